"""`facelab disentangle`: options, exit codes, and what is said where."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from facelab import cli
from facelab.errors import ParameterError
from facelab.images import save_image
from facelab.methods.d2ae import checkpoint, session
from facelab.methods.d2ae.commands import disentangle, paired
from facelab.recognition.gallery import Failure
from facelab.recognition.pictures import Report

A, B, C = Path("a"), Path("b"), Path("c")
WORDS = {
    "swap": ["--identity", "a", "--attributes", "b"],
    "edit": ["a", "b", "--attribute", "Smiling"],
    "interpolate": ["--start", "a", "--end", "b"],
    "reconstruct": ["a", "b"],
}
WHOM = {
    "swap": ("identity", "attributes"),
    "edit": ("input",),
    "interpolate": ("start", "end"),
    "reconstruct": ("input",),
}


@pytest.fixture(params=WORDS)
def verb(request):
    return request.param


def run(*arguments):
    result = CliRunner().invoke(disentangle, list(map(str, arguments)))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def report(verb, failures=0, rows=2, doubts=(), judged=None):
    """Return a report with rows of which the first is verified."""
    found = [{f"verified_as_{name}": not k for name in WHOM[verb]} for k in range(rows)]
    for row, seen in zip(found, judged or (), strict=False):
        row["judged"] = seen
    failed = [Failure(f"{n}.png", "ImageError", f"{n}.png is gone") for n in range(failures)]
    return Report(found, failed, {"judge": "faceres", "warnings": list(doubts)})


@pytest.fixture
def returns(monkeypatch):
    """Lets a verb's work give a report, without the work; returns what was asked."""

    def put(verb, found):
        asked = []
        monkeypatch.setattr(session, verb, lambda *given: asked.append(given) or found)
        return asked

    return put


def test_the_verb_is_there(verb):
    assert cli.ELSEWHERE["disentangle"] == ("facelab.methods.d2ae.commands", "disentangle")
    shown = CliRunner().invoke(cli.facelab, ["disentangle", verb, "--help"])
    assert shown.exit_code == 0
    options = {"--aligned", "--checkpoint", "--policy", "--overwrite", "--json", "--output"}
    own = {word for word in WORDS[verb] if word.startswith("--")}
    assert options | own <= {*shown.output.split()}


def test_the_options_reach_the_session(returns, tmp_path):
    plain, full = session.Order(tmp_path), session.Order(tmp_path, True, Path("f"), "largest", True)
    every = ("--aligned", "--checkpoint", "f", "--policy", "largest", "--overwrite")
    out = ("-o", tmp_path)
    asked = returns("swap", report("swap"))
    run("swap", "--identity", "a", "--attributes", "b", "c", *out)
    run("swap", "--attributes", "b", *every, "--identity", "a", "c", *out)
    assert asked == [(plain, (A,), (B, C)), (full, (A, C), (B,))]
    asked = returns("edit", report("edit"))
    run("edit", "a", "b", "--attribute", "Smiling", *out)
    run("edit", "a", "--attribute", "Smiling", "--strength", "-0.7", "--attribute", "Male",
        "--strength", "0.2", *every, "--directions", "c", *out)  # fmt: skip
    assert asked == [
        (plain, (A, B), {"Smiling": 1.0}, None),
        (full, (A,), {"Smiling": -0.7, "Male": 0.2}, C),
    ]
    asked = returns("interpolate", report("interpolate"))
    run("interpolate", "--start", "a", "--end", "b", *out)
    run("interpolate", "--end", "b", "--start", "a", *every, "--branch", "both", "--steps", 3, *out)
    assert asked == [(plain, A, B, "identity", 7), (full, A, B, "both", 3)]
    asked = returns("reconstruct", report("reconstruct"))
    run("reconstruct", "a", "b", *every, *out)
    assert asked == [(full, (A, B))]


def test_strengths_and_attributes_are_paired():
    assert paired(("a", "b"), ()) == {"a": 1.0, "b": 1.0}
    assert paired(("a", "b"), (0.5, -1.0)) == {"a": 0.5, "b": -1.0}
    with pytest.raises(ParameterError, match="attributes: 2, strengths: 1; give one strength for"):
        paired(("a", "b"), (0.5,))
    with pytest.raises(ParameterError, match="--attribute a is given more than once"):
        paired(("b", "a", "a"), ())


@pytest.mark.parametrize("missing", ["--identity", "--attributes", "--attribute", "--start", "-o"])
def test_what_must_be_given(missing, verb):
    words = [*WORDS[verb], "-o", "x"]
    if missing not in words:
        missing = words[0] if words[0].startswith("--") else "-o"
    at = words.index(missing)
    result = run(verb, *words[:at], *words[at + 2 :])
    assert result.exit_code == 2
    assert missing in result.output


@pytest.mark.parametrize("verb", ["edit", "reconstruct"])
def test_a_picture_must_be_given(verb):
    result = run(verb, *WORDS[verb][2:], "-o", "x")
    assert result.exit_code == 2
    assert "IMG" in result.output


def test_a_line_says_what_came_of_it(returns, verb, tmp_path):
    returns(verb, report(verb, doubts=("two people",)))
    result = run(verb, *WORDS[verb], "-o", tmp_path)
    assert (result.exit_code, result.stderr) == (0, "warning: two people\n")
    done = {"swap": "swapped", "edit": "edited", "interpolate": "frames"}.get(verb, "rebuilt")
    whom = ", ".join(f"as {name}: 1 of 2" for name in WHOM[verb])
    assert result.stdout == (
        f"2 {done}, 0 skipped; by faceres the same person {whom}; {tmp_path / 'disentangle.json'}\n"
    )


def test_a_line_says_what_the_attribute_judge_sees(returns, tmp_path):
    seen = [{"Smiling": {"before": -1.0, "after": 0.5}, "Halo": None},
            {"Smiling": {"before": 1.0, "after": 2.0}, "Halo": None}]  # fmt: skip
    returns("edit", report("edit", judged=seen))
    result = run("edit", *WORDS["edit"], "-o", tmp_path)
    assert "; Smiling: 1 before, 2 after; Halo: nobody to judge it; " in result.stdout


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_what_is_left_out_is_told(returns, verb, tmp_path, as_json):
    found = report(verb, failures=1)
    returns(verb, found)
    result = run(verb, *WORDS[verb], "-o", tmp_path, *as_json)
    assert (result.exit_code, result.stderr) == (3, "skipped: 0.png is gone\n")
    if as_json:
        assert json.loads(result.stdout) == found.facts()
    else:
        assert "2 " in result.stdout
        assert "1 skipped; " in result.stdout


def test_where_all_are_left_out(returns, verb, tmp_path):
    returns(verb, report(verb, failures=1, rows=0))
    result = run(verb, *WORDS[verb], "-o", tmp_path)
    assert result.exit_code == 3
    assert result.stdout == f"no picture could be used; {tmp_path / 'disentangle.json'}\n"


def refused(capsys, *arguments):
    """Return what the command line says of a user's mistake: one line, exit code 2."""
    with pytest.raises(SystemExit) as left:
        cli.main(["disentangle", *map(str, arguments)])
    assert left.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    return line


def test_a_mistake_is_one_line_and_exit_code_2(verb, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(checkpoint, "MODELS", tmp_path / "models")
    for name in "ab":
        save_image(torch.zeros(1, 3, 16, 16), tmp_path / f"in/{name}.png")
    words = [str(tmp_path / f"in/{w}.png") if w in "ab" else w for w in WORDS[verb]]
    common = (verb, *words, "--aligned", "-o", tmp_path / "out")
    assert refused(capsys, *common).startswith(
        "AssetError: no checkpoint of d2ae is shipped yet; train one with `facelab train d2ae"
    )
    file = tmp_path / "damaged.safetensors"
    file.write_bytes(b"nothing")
    line = refused(capsys, *common, "--checkpoint", file)
    assert line.startswith(f"CheckpointError: {file} is damaged")
    assert refused(capsys, *common, "--policy", "x").startswith(
        "ParameterError: there is no policy 'x' here; choose one of: error, largest, central"
    )
    assert not (tmp_path / "out").exists()
