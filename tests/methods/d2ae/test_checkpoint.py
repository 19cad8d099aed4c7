"""Files: what a run exports is what `load` reads, and what others wrote is refused."""

import dataclasses

import pytest
import torch

from facelab.assets import networks
from facelab.engine import loop
from facelab.engine.export import export_weights
from facelab.engine.settings import Settings
from facelab.errors import AssetError, CheckpointError
from facelab.methods.d2ae import checkpoint
from facelab.methods.d2ae.model import disentangler_of


def test_a_file_gives_the_autoencoder_of_its_header(tmp_path, model, save, batch):
    path = save(tmp_path / "x.safetensors", model)
    found = checkpoint.load(path)
    assert found.config == model.config
    for key, value in model.half().float().state_dict().items():
        torch.testing.assert_close(found.state_dict()[key], value)
    assert found.deviation_p.tolist() == [2] * 5
    assert found(batch.images).shape == batch.images.shape
    assert not found.training
    assert checkpoint.read_header(path)["method"] == "d2ae"


@pytest.mark.parametrize("alone", [False, True])
def test_what_a_run_exports(tmp_path, Faces, game_of, batch, alone):
    left_out = {"classify": False, "dispel": False, "decode": False} if alone else {}
    settings = Settings(steps=3, batch=4, workers=0)
    folder = tmp_path / "run"
    result = loop.train(game_of(**left_out), Faces(), settings, folder, progress=False)
    export_weights(folder, tmp_path / "x.safetensors", half=False)
    found = checkpoint.load(tmp_path / "x.safetensors")
    wanted = disentangler_of(result.networks, game_of(**left_out).config)
    torch.testing.assert_close(found.features(batch.images), wanted.features(batch.images))
    assert float(found.deviation_t.min()) > 0
    assert not [key for key in found.state_dict() if key.split(".")[0] in ("identity", "hidden")]


def test_files_of_others(tmp_path, model, save):
    with pytest.raises(CheckpointError, match="can't be read"):
        checkpoint.load(tmp_path / "none.safetensors")
    path, other = save(tmp_path / "x.safetensors", model), tmp_path / "y.safetensors"
    networks.save(other, "idmap", model, config={})
    with pytest.raises(CheckpointError, match="is of idmap, d2ae expected; give a file that"):
        checkpoint.load(other)
    with pytest.raises(CheckpointError, match="does not hold the network of its header"):
        checkpoint.load(save(other, model, features=6))
    with pytest.raises(CheckpointError, match="has a header that can't be used"):
        checkpoint.load(save(other, model, width=5))
    with pytest.raises(CheckpointError, match="has a header that can't be used"):
        checkpoint.load(save(other, model, channels=[0]))
    other.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError):
        checkpoint.load(other)


def test_the_number_of_people_is_not_in_a_file(tmp_path, model, save, batch):
    """An export has no classifier: that its training had other people changes nothing."""
    path = save(tmp_path / "x.safetensors", model, people=77)
    found = checkpoint.load(path)
    assert found.config == dataclasses.replace(model.config, people=77)
    assert found.features(batch.images).t.shape == (6, 5)


def test_no_checkpoint_yet(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "MODELS", tmp_path)
    with pytest.raises(AssetError, match="train one with `facelab train d2ae --preset book"):
        checkpoint.book()


def test_the_shipped_file(tmp_path, monkeypatch, model, save):
    monkeypatch.setattr(checkpoint, "MODELS", tmp_path)
    save(tmp_path / "d2ae.safetensors", model)
    assert checkpoint.book().config == model.config
