"""The scripts that prepare data: help, make, verify, and one clear line on an error."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from facelab import assets

FOLDER = Path(__file__).parents[2] / "data_scripts"
# These two make no asset that could be verified against a sum: one installs, the other trains.
OTHERS = {"packages", "train_readers"}
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in OTHERS)
CONVERTERS = ["dlib_resnet", "gan_face_generate"]


def load(name: str):
    spec = importlib.util.spec_from_file_location(f"data_scripts_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_is_a_script_for_each_asset_that_makes_something():
    assert {"dlib_resnet", "gan_face_generate", "photographs", "facenet"} <= set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_says_what_it_makes(name, capsys):
    with pytest.raises(SystemExit) as caught:
        load(name).main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    for word in ("--output", "--verify", "SHA-256", "default: "):
        assert word in out


def test_the_trainer_says_what_it_trains_and_records(capsys):
    with pytest.raises(SystemExit) as caught:
        load("train_readers").main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    for word in ("--what", "--preset", "--steps", "--seed", "--output", "--record"):
        assert word in out


def test_a_script_runs_by_its_path_and_without_torch_for_its_help():
    program = (
        "import runpy, sys; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_path({str(FOLDER / 'dlib_resnet.py')!r}, run_name='__main__')\n"
        "except SystemExit as error: sys.exit(error.code or 'torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert "DlibResNet" in out.stdout


@pytest.mark.parametrize("name", CONVERTERS)
def test_a_converted_file_loads_and_verifies(name, tmp_path, capsys):
    script, output = load(name), tmp_path / "new" / "weights.safetensors"
    assert script.main(["--output", str(output)]) == 0
    assert script.main(["--output", str(output), "--verify"]) == 0
    assert capsys.readouterr().out.split() == [str(output)] * 2
    tensors = load_file(output)
    assert all(t.dtype == torch.float32 for t in tensors.values() if t.is_floating_point())
    network(name).load_state_dict(tensors)  # strict: every tensor, of the right shape

    some = sorted(tensors)[0]
    save_file(tensors | {some: tensors[some] + 1e-6}, output)
    assert script.main(["-o", str(output), "--verify"]) == 2
    err = capsys.readouterr().err
    assert f"{some} differs" in err
    assert err.count("\n") == 1


def network(name: str) -> torch.nn.Module:
    from facelab.generators.dcgan import DCGAN
    from facelab.recognition.dlib_resnet import DlibResNet

    return DlibResNet() if name == "dlib_resnet" else DCGAN()


@pytest.mark.parametrize("name", CONVERTERS)
def test_without_an_output_the_cache_has_it(name, tmp_path, monkeypatch, capsys):
    script = load(name)
    fetched = assets.path(script.NAME)
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path))
    here = tmp_path / "assets" / script.NAME / fetched.name
    here.parent.mkdir(parents=True)
    shutil.copy(fetched, here)
    assert script.main(["--verify"]) == 2
    assert "can't be read" in capsys.readouterr().err
    assert script.main([]) == 0
    assert script.main(["--verify"]) == 0
    first, second = capsys.readouterr().out.split()
    assert first == second
    assert Path(first).parent == tmp_path / "derived"


@pytest.mark.parametrize("name", CONVERTERS)
def test_an_output_that_cannot_be_written(name, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert load(name).main(["-o", str(tmp_path / "file" / "x.safetensors")]) == 2
    err = capsys.readouterr().err
    assert "can't be written" in err
    assert "choose another place" in err
    assert err.count("\n") == 1


def test_an_interrupted_script_says_so_in_one_line(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(assets, "derived", interrupt)
    assert load("dlib_resnet").main([]) == 130
    assert capsys.readouterr().err == "dlib-resnet: interrupted; nothing that was there is lost\n"


def test_photographs_come_with_their_data_card(tmp_path, capsys):
    script, folder = load("photographs"), tmp_path / "new" / "photographs"
    assert script.main(["--output", str(folder), "--verify"]) == 2
    assert "obama.jpg is missing" in capsys.readouterr().err
    assert script.main(["--output", str(folder)]) == 0
    assert script.main(["--output", str(folder), "--verify"]) == 0
    assert capsys.readouterr().out.split() == [str(folder)] * 2
    files = {"astronaut.png", "obama.jpg", "obama2.jpg", "obama3.jpg", "biden.jpg", "README.md"}
    assert {path.name for path in folder.iterdir()} == files
    card = (folder / "README.md").read_text()
    for name in ("astronaut", "portraits"):
        asset = assets.find(name)
        assert asset.licence in card
        assert asset.use in card
        assert asset.provenance in card
        assert all(file.sha256 in card for file in asset.files)

    (folder / "biden.jpg").write_bytes(b"another")
    (folder / "README.md").unlink()
    assert script.main(["--output", str(folder), "--verify"]) == 2
    err = capsys.readouterr().err
    assert "README.md is missing, biden.jpg is not as it should be" in err
    assert err.count("\n") == 1


def test_photographs_cannot_go_into_a_file(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert load("photographs").main(["-o", str(tmp_path / "file")]) == 2
    assert "photographs: photographs: " in capsys.readouterr().err
