"""`facelab transfer`: options, exit codes, and what is said where."""

import json

import pytest
from click.testing import CliRunner

from facelab import cli
from facelab.methods.diat import checkpoint, session
from facelab.methods.diat.commands import transfer
from facelab.methods.diat.tasks import TASKS


@pytest.fixture(autouse=True)
def judge(means):
    return means


def run(*arguments):
    result = CliRunner().invoke(transfer, list(map(str, arguments)))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def refused(capsys, *arguments):
    """Return what the command line says of a user's mistake: one line, exit code 2."""
    with pytest.raises(SystemExit) as left:
        cli.main(["transfer", *map(str, arguments)])
    assert left.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    return line


def test_the_verb_is_there():
    assert cli.ELSEWHERE["transfer"] == ("facelab.methods.diat.commands", "transfer")
    shown = CliRunner().invoke(cli.facelab, ["transfer", "--help"])
    assert shown.exit_code == 0
    words = shown.output.split()
    assert all(task in " ".join(words) for task in TASKS)
    assert {"--task", "--aligned", "--checkpoint", "--policy", "--overwrite", "--json"} <= {*words}


def test_a_line_says_what_came_of_it(face, weights, tmp_path):
    out = tmp_path / "out"
    result = run("--task", "mouth_open", "--checkpoint", weights(), "--aligned", "-o", out,
                 face("a.png"), face("b.png", seed=1))  # fmt: skip
    assert result.exit_code == 0
    assert result.stderr == ""
    rows = json.loads((out / "transfer.json").read_text())["pictures"]
    before, after = (sum(row[f"judge_{when}"] > 0 for row in rows) for when in ("before", "after"))
    known = sum(row["identity_distance"] < 0.25 for row in rows)
    assert result.stdout == (
        f"2 transferred, 0 skipped; attribute_judge: Mouth_Slightly_Open: {before} before, {after} "
        f"after; same person by means: {known} of 2; {out / 'transfer.json'}\n"
    )


def test_json_is_the_record(face, weights, tmp_path):
    out = tmp_path / "out"
    result = run("--task", "mouth_open", "--checkpoint", weights(), "--aligned", "-o", out,
                 "--json", face("a.png"))  # fmt: skip
    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1
    assert json.loads(result.stdout) == json.loads((out / "transfer.json").read_text())


@pytest.mark.parametrize("as_json", [True, False])
def test_what_is_left_out_is_on_standard_error_and_in_the_exit_code(
    photograph, weights, tmp_path, as_json
):
    images = [photograph("none.png", 0), photograph("a.png"), photograph("two.png", 2)]
    out, file = tmp_path / "out", weights()
    json_or_not = ["--json"] if as_json else []
    result = run("--task", "mouth_open", "--checkpoint", file, "-o", out, *json_or_not, *images)
    assert result.exit_code == 3
    first, second = result.stderr.splitlines()
    assert first.startswith(f"skipped: {images[0]}: no face was found")
    assert second.startswith(f"skipped: {images[2]}: 2 faces were found where one is expected")
    if as_json:
        told = json.loads(result.stdout)
        assert [row["path"] for row in told["skipped"]] == [str(images[0]), str(images[2])]
    else:
        assert result.stdout.startswith("1 transferred, 2 skipped; ")
    assert {path.name for path in out.iterdir()} == {"a.png", "sheet.png", "transfer.json"}


def test_where_all_are_left_out_the_exit_code_is_3_too(photograph, weights, tmp_path):
    out = tmp_path / "out"
    result = run("--task", "mouth_open", "--checkpoint", weights(), "-o", out,
                 photograph("none.png", 0))  # fmt: skip
    assert result.exit_code == 3
    assert result.stdout == f"no picture could be used; {out / 'transfer.json'}\n"
    assert [path.name for path in out.iterdir()] == ["transfer.json"]


def test_the_options_reach_the_session(tmp_path, monkeypatch):
    got = []
    monkeypatch.setattr(session, "run", lambda order: got.append(order) or session.Report())
    run("--task", "x", "a", "b", "-o", tmp_path)
    run("--task", "y", "a", "-o", tmp_path, "--aligned", "--checkpoint", tmp_path / "f",
        "--policy", "largest", "--overwrite")  # fmt: skip
    a, b = type(tmp_path)("a"), type(tmp_path)("b")
    assert got == [
        session.Order("x", (a, b), tmp_path, False, None, "error", False),
        session.Order("y", (a,), tmp_path, True, tmp_path / "f", "largest", True),
    ]


def test_a_mistake_is_one_line_and_exit_code_2(face, weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(checkpoint, "MODELS", tmp_path / "models")
    common = ("-o", tmp_path / "out", "--aligned", face("a.png"))
    assert refused(capsys, "--task", "smile", *common).startswith(
        "ParameterError: there is no task 'smile'; choose one of: mouth_open, mouth_close"
    )
    assert refused(capsys, "--task", "mouth_open", *common).startswith(
        "AssetError: no checkpoint of mouth_open is shipped yet; train one with `facelab train"
    )
    file = weights("mouth_close")
    line = refused(capsys, "--task", "mouth_open", "--checkpoint", file, *common)
    assert line.startswith(f"ParameterError: {file} does mouth_close, not mouth_open")
    file.write_bytes(b"nothing")
    line = refused(capsys, "--task", "mouth_open", "--checkpoint", file, *common)
    assert line.startswith(f"CheckpointError: {file} is damaged")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", ["--task", "-o", "IMG"])
def test_what_must_be_given(missing, tmp_path):
    given = {"--task": ["--task", "mouth_open"], "-o": ["-o", str(tmp_path)], "IMG": ["a.png"]}
    arguments = [word for name, words in given.items() if name != missing for word in words]
    result = CliRunner().invoke(transfer, arguments)
    assert result.exit_code == 2
    assert missing in result.output
