import subprocess
import sys
import time

import pytest

from facelab import cli
from facelab.errors import AssetError


def _exit_code(arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    return stopped.value.code or 0


def test_help_is_quick_and_names_every_verb():
    start = time.perf_counter()
    out = subprocess.run(
        [sys.executable, "-m", "facelab", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert time.perf_counter() - start < 3
    for verb in ("align", "assets", "book", "doctor", "embed", "render", "verify"):
        assert f"\n  {verb} " in out


def test_help_does_not_import_torch():
    program = (
        "import sys; from facelab import cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass"
    )
    program += "\nprint('torch' in sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert out.stdout.splitlines()[-1] == "False"


def test_a_user_error_is_one_line_and_exit_code_2(monkeypatch, capsys):
    def missing(names):
        raise AssetError("asset 'x' is gone; fetch it")

    monkeypatch.setattr("facelab.assets.fetch", missing)
    assert _exit_code(["assets", "fetch", "x"]) == 2
    assert capsys.readouterr().err == "AssetError: asset 'x' is gone; fetch it\n"


@pytest.mark.parametrize("arguments", [["assets", "nothing"], ["assets", "path"], ["--nothing"]])
def test_a_wrong_call_says_how_to_call(arguments, capsys):
    assert _exit_code(arguments) == 2
    assert "Usage: facelab" in capsys.readouterr().err


def test_ctrl_c_is_130_without_a_traceback(monkeypatch, capsys):
    def interrupted(names):
        raise KeyboardInterrupt

    monkeypatch.setattr("facelab.assets.fetch", interrupted)
    assert _exit_code(["assets", "fetch"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_our_own_bugs_keep_their_traceback(monkeypatch):
    def broken(names):
        raise ZeroDivisionError

    monkeypatch.setattr("facelab.assets.fetch", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["assets", "fetch"])


def test_paths_and_good_exit(capsys):
    assert _exit_code(["assets", "path", "astronaut"]) == 0
    assert capsys.readouterr().out.strip().endswith("astronaut.png")
