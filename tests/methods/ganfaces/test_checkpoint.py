"""G as a file: what is saved is what is loaded, and nothing else is."""

import dataclasses

import pytest
import torch

from facelab.assets import networks
from facelab.data.anny_faces import AnnyFaces
from facelab.data.domains import Domains
from facelab.engine import checkpoints, export, loop
from facelab.engine.settings import Settings
from facelab.engine.state import AVERAGE
from facelab.errors import AssetError, CheckpointError
from facelab.methods.ganfaces import checkpoint, training
from facelab.methods.ganfaces.networks import Translator


def test_a_file_gives_the_network_of_its_header(weights, random):
    network = checkpoint.load(weights)
    assert isinstance(network, Translator)
    assert network.shape == training.TINY.translator
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    images = torch.rand(2, 3, 16, 16, generator=random) * 2 - 1
    made = network(images)
    assert torch.equal(made, network(images)), "no dropout"
    assert made.shape == images.shape
    assert not torch.equal(made[0], made[1])


def test_what_a_run_exports_is_loaded(tmp_path, renders):
    data = Domains(*(renders(16, 8, 2, seed) for seed in (1, 2, 3)))
    game, run, path = training.Game(training.TINY), tmp_path / "run", tmp_path / "g.safetensors"
    settings = Settings(steps=2, batch=4, seed=0, workers=0)
    loop.train(game, data, settings, run, progress=False)
    export.export_weights(run, path, networks=("generator",), half=False)
    loaded = checkpoint.load(path).state_dict()
    trained = checkpoints.newest(run).tensors
    for name, value in loaded.items():
        assert torch.equal(value, trained[f"{AVERAGE}/generator/{name}"]), name


def test_files_of_others(tmp_path, weights):
    with pytest.raises(CheckpointError, match="can't be read"):
        checkpoint.load(tmp_path / "none.safetensors")
    other = tmp_path / "other.safetensors"
    networks.save(other, "dcgan", checkpoint.load(weights), config={})
    with pytest.raises(CheckpointError, match="is of dcgan, ganfaces expected; give a file that"):
        checkpoint.load(other)
    config = dataclasses.asdict(training.TINY) | {"translator": {"width": 5}}
    networks.save(other, "ganfaces", checkpoint.load(weights), config=config)
    with pytest.raises(CheckpointError, match="does not hold the network of its header"):
        checkpoint.load(other)
    networks.save(other, "ganfaces", checkpoint.load(weights), config={"width": 5})
    with pytest.raises(CheckpointError, match="has a header that can't be used"):
        checkpoint.load(other)
    other.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError):
        checkpoint.load(other)


def test_the_book_says_what_to_do_while_none_is_shipped(tmp_path, monkeypatch, weights):
    monkeypatch.setattr(checkpoint, "MODELS", tmp_path)
    with pytest.raises(AssetError, match=r"no checkpoint of ganfaces is shipped yet; train one"):
        checkpoint.book()
    (tmp_path / "ganfaces.safetensors").write_bytes(weights.read_bytes())
    assert isinstance(checkpoint.book(), Translator)


def test_the_shipped_network_translates_and_keeps_what_it_sees():
    """Unseen people: near their renders, and nearer than to each other's."""
    renders = AnnyFaces(64, 6, 1, seed=3, split="test").batch(range(6)).images
    network = checkpoint.book()
    with torch.no_grad():
        made = network(renders)
    own, others = ((made - x).abs().mean() for x in (renders, renders.roll(1, 0)))
    assert made.shape == renders.shape
    assert 0.03 < own < 0.15
    assert others > 2 * own
