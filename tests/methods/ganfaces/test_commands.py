"""`facelab generate ganfaces`, at 16 pixels."""

import functools
import json
import os

import pytest
from click.testing import CliRunner

from facelab import cli
from facelab.data.ganfaces import GanFaces
from facelab.methods.ganfaces import writer


@pytest.fixture
def generate(renders, weights, monkeypatch, capsys):
    """Run the command with the options that all tests share; return code, output and errors."""
    monkeypatch.setattr(writer, "write", functools.partial(writer.write, shard=6))

    def run(*options) -> tuple[int, str, str]:
        given = ("generate", "ganfaces", "--size", 16, "--checkpoint", weights, *options)
        with pytest.raises(SystemExit) as stopped:
            cli.main(list(map(str, given)))
        out, err = capsys.readouterr()
        return stopped.value.code or 0, out, err

    return run


def test_it_writes_a_dataset_and_says_so(generate, tmp_path):
    code, out, err = generate("--identities", 4, "--views", 5, "-o", tmp_path / "faces")
    assert (code, err) == (0, "")
    dataset = GanFaces(tmp_path / "faces")
    assert (len(dataset), dataset.people) == (20, 4)
    assert "ganfaces.json: 4 people, 20 faces of 16 x 16 pixels, 20 made in" in out
    assert out.count("\n") == 1


def test_json_and_a_second_call(generate, tmp_path):
    options = ("--identities", 4, "--views", 5, "--seed", 3, "--json", "-o", tmp_path / "faces")
    first = json.loads(generate(*options)[1])
    (tmp_path / "faces" / "faces-00003.facepack").unlink()
    second = json.loads(generate(*options)[1])
    assert (first["faces"], first["made"], second["made"]) == (20, 20, 2)
    assert first["config"] == second["config"] == GanFaces(tmp_path / "faces").config()
    assert first["config"]["seed"] == 3
    files = (tmp_path / "faces").glob("*.facepack")
    size = sum(os.path.getsize(file) for file in files)
    assert first["bytes_a_face"] == round(size / 20)


def test_an_error_is_one_line(generate, tmp_path):
    for options, message in (
        (("--size", 18), "ParameterError: faces of 18 pixels can't be made"),
        (("--jobs", 0), "ParameterError: 0 processes write nothing"),
        (("--checkpoint", tmp_path / "no"), f"CheckpointError: {tmp_path / 'no'} can't be read"),
    ):
        code, out, err = generate(*options, "-o", tmp_path / "faces")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(message)


def test_the_group_says_what_it_has():
    result = CliRunner().invoke(cli.facelab, ["generate", "--help"])
    assert result.exit_code == 0
    assert "ganfaces" in result.output
