"""`facelab swap` and `facelab deidentify`: options, exit codes, and what is said where."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from facelab import cli
from facelab.images import save_image
from facelab.methods.idmap import checkpoint, deidentification, session
from facelab.methods.idmap.commands import deidentify, swap
from facelab.recognition.gallery import Failure
from facelab.recognition.pictures import Report

A, B, C = Path("a"), Path("b"), Path("c")


@pytest.fixture(params=["swap", "deidentify"])
def verb(request):
    return request.param


def run(command, *arguments):
    result = CliRunner().invoke(command, list(map(str, arguments)))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def words(verb, *more):
    """Return a call of the verb."""
    first = ["swap", "--identity", "a", "--attributes", "b"]
    return [*(first if verb == "swap" else ["deidentify", "b"]), *map(str, more)]


def refused(capsys, *arguments):
    """Return what the command line says of a user's mistake: one line, exit code 2."""
    with pytest.raises(SystemExit) as left:
        cli.main(list(map(str, arguments)))
    assert left.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    return line


def report(verb, known=((True, False), (False, False)), failures=0, doubts=()):
    """Return a report with a row for each of `known`."""
    names = ("verified_as_identity", "verified_as_attributes")
    if verb == "deidentify":
        names = ("verified_before", "verified_after")
    rows = [dict(zip(names, pair, strict=True)) for pair in known]
    failed = [Failure(f"{n}.png", "ImageError", f"{n}.png is gone") for n in range(failures)]
    return Report(rows, failed, {"judge": "faceres", "warnings": list(doubts)})


@pytest.fixture
def returns(monkeypatch):
    """Lets a verb's work give a report, without the work; returns the orders."""
    orders = []

    def put(verb, found):
        module = session if verb == "swap" else deidentification
        monkeypatch.setattr(module, "run", lambda order: orders.append(order) or found)
        return orders

    return put


# --- options -------------------------------------------------------------------------------------


def test_the_verbs_are_there(verb):
    assert cli.ELSEWHERE[verb] == ("facelab.methods.idmap.commands", verb)
    shown = CliRunner().invoke(cli.facelab, [verb, "--help"])
    assert shown.exit_code == 0
    options = {"--identity", "--aligned", "--checkpoint", "--generator", "--policy", "--overwrite"}
    own = {"--attributes", "--paste"} if verb == "swap" else {"--seed", "--show-originals"}
    assert options | own | {"--json"} <= {*shown.output.split()}
    if verb == "deidentify":
        assert "No sheet is written without --show-originals" in " ".join(shown.output.split())


def test_the_options_of_swap_reach_the_session(returns, tmp_path):
    orders = returns("swap", report("swap"))
    run(swap, "--identity", "a", "--attributes", "b", "c", "-o", tmp_path)
    run(swap, "--attributes", "b", "--aligned", "-o", tmp_path, "--identity", "a", "b", "--paste",
        "--checkpoint", "f", "--generator", "g", "--policy", "largest", "--overwrite",
        "--attributes", "c")  # fmt: skip
    assert orders == [
        session.Order((A,), (B, C), tmp_path),
        session.Order((A, B), (B, C), tmp_path, aligned=True, paste=True, checkpoint=Path("f"),
                      generator=Path("g"), policy="largest", overwrite=True),
    ]  # fmt: skip


def test_the_options_of_deidentify_reach_the_session(returns, tmp_path):
    orders = returns("deidentify", report("deidentify"))
    run(deidentify, "a", "b", "-o", tmp_path)
    run(deidentify, "a", "-o", tmp_path, "--identity", "b", "--identity", "c", "--seed", "3",
        "--aligned", "--show-originals", "--checkpoint", "f", "--generator", "g", "--policy",
        "central", "--overwrite", "b")  # fmt: skip
    assert orders == [
        deidentification.Order((A, B), tmp_path),
        deidentification.Order((A, B), tmp_path, (B, C), 3, True, True, Path("f"), Path("g"),
                               "central", True),
    ]  # fmt: skip


@pytest.mark.parametrize("missing", ["--identity", "--attributes", "-o"])
def test_what_swap_must_be_given(missing, tmp_path):
    given = {"--identity": ["a.png"], "--attributes": ["b.png"], "-o": [tmp_path]}
    for words_ in ([], [missing]):
        others = [word for name, more in given.items() if name != missing for word in (name, *more)]
        result = run(swap, *others, *words_)
        assert result.exit_code == 2
        assert missing in result.output


def test_words_that_belong_to_no_option(tmp_path):
    result = run(swap, "--identity", "a", "--attributes", "b", "-o", tmp_path, "c")
    assert result.exit_code == 2
    assert "unexpected extra argument (c)" in result.output


@pytest.mark.parametrize("missing", ["-o", "FRAMES_OR_IMAGES"])
def test_what_deidentify_must_be_given(missing, tmp_path):
    given = ["-o", tmp_path] if missing != "-o" else ["a.png"]
    result = run(deidentify, *given)
    assert result.exit_code == 2
    assert missing in result.output


# --- what is said --------------------------------------------------------------------------------


def test_a_line_says_what_came_of_a_swap(returns, tmp_path):
    returns("swap", report("swap"))
    result = run(cli.facelab, *words("swap", "-o", tmp_path))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "2 swapped, 0 skipped; by faceres the same person as identity: 1 of 2, as attributes: 0 of "
        f"2; {tmp_path / 'swap.json'}\n"
    )


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (((True, False), (True, True)), "2 of 2 before, 1 of 2 after"),
        (((None, True),), "1 of 1 after"),
    ],
)
def test_a_line_says_on_how_many_frames_the_person_is_known(returns, tmp_path, known, told):
    returns("deidentify", report("deidentify", known))
    result = run(cli.facelab, *words("deidentify", "-o", tmp_path))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        f"{len(known)} de-identified, 0 skipped; the person is verified by faceres on {told}; "
        f"{tmp_path / 'deidentify.json'}\n"
    )


def test_json_is_the_record(returns, verb, tmp_path):
    found = report(verb)
    returns(verb, found)
    result = run(cli.facelab, *words(verb, "-o", tmp_path, "--json"))
    assert result.stdout.count("\n") == 1
    assert json.loads(result.stdout) == found.facts()


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_what_is_left_out_is_on_standard_error_and_in_the_exit_code(
    returns, verb, tmp_path, as_json
):
    returns(verb, report(verb, failures=2, doubts=("two people",)))
    result = run(cli.facelab, *words(verb, "-o", tmp_path, *as_json))
    assert result.exit_code == 3
    assert result.stderr.splitlines() == [
        "warning: two people", "skipped: 0.png is gone", "skipped: 1.png is gone",
    ]  # fmt: skip
    if as_json:
        assert len(json.loads(result.stdout)["skipped"]) == 2
    else:
        assert "2 skipped; " in result.stdout


def test_where_all_are_left_out_the_exit_code_is_3_too(returns, verb, tmp_path):
    returns(verb, report(verb, known=(), failures=1))
    result = run(cli.facelab, *words(verb, "-o", tmp_path))
    assert result.exit_code == 3
    record = "swap.json" if verb == "swap" else "deidentify.json"
    assert result.stdout == f"no picture could be used; {tmp_path / record}\n"


def test_a_doubt_alone_is_no_failure(returns, verb, tmp_path):
    returns(verb, report(verb, doubts=("two people",)))
    result = run(cli.facelab, *words(verb, "-o", tmp_path))
    assert (result.exit_code, result.stderr) == (0, "warning: two people\n")


def test_a_mistake_is_one_line_and_exit_code_2(verb, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(checkpoint, "MODELS", tmp_path / "models")
    picture = save_image(torch.zeros(1, 3, 64, 64), tmp_path / "in/a.png")
    first = ["swap", "--identity", picture, "--attributes", picture]
    common = (*(first if verb == "swap" else ["deidentify", picture]), "--aligned")
    away = ("-o", tmp_path / "out")
    assert refused(capsys, *common, *away).startswith(
        "AssetError: no checkpoint of idmap is shipped yet; train one with `facelab train idmap"
    )
    assert refused(capsys, *common, *away, "--policy", "x").startswith(
        "ParameterError: there is no policy 'x' here; choose one of: error, largest, central"
    )
    assert not (tmp_path / "out").exists()
    line = refused(capsys, *common, "-o", picture.parent, "--overwrite")
    assert "to be " in line
    assert line.endswith("give another folder") or "give another folder, so that" in line
    file = tmp_path / "damaged.safetensors"
    file.write_bytes(b"nothing")
    line = refused(capsys, *common, *away, "--checkpoint", file)
    assert line.startswith(f"CheckpointError: {file} is damaged")


def test_ctrl_c_is_130(verb, tmp_path, monkeypatch, capsys):
    def interrupted(order):
        raise KeyboardInterrupt

    monkeypatch.setattr(session if verb == "swap" else deidentification, "run", interrupted)
    with pytest.raises(SystemExit) as left:
        cli.main(words(verb, "-o", tmp_path))
    assert left.value.code == 130
    assert capsys.readouterr().err.strip() == ""
