"""Generators by name and from files."""

import importlib
import json
import subprocess
import sys

import pytest
import safetensors.torch
import torch

from facelab.assets import networks
from facelab.errors import CheckpointError, ParameterError
from facelab.generators import dcgan
from facelab.generators.catalogue import GENERATORS, READERS, generator
from facelab.generators.dcgan import DCGAN, TINY


@pytest.fixture
def file(tmp_path):
    """A tiny generator as a run exports it."""
    network = DCGAN(TINY.latents, TINY.width, TINY.prior)
    path = tmp_path / "mine.safetensors"
    config = dcgan.Config(latents=8, width=4, batch_size=8, ema_decay=0.9)
    networks.save(path, "dcgan", network, config=vars(config), id="mine")
    return path, network


def test_every_place_can_be_called():
    for place in (*GENERATORS.values(), *READERS.values()):
        module, _, function = place.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_readers_are_called_like_their_methods():
    for method, place in READERS.items():
        module = importlib.import_module(place.partition(":")[0])
        assert method == module.METHOD


def test_the_default_is_the_pretrained_one():
    assert generator() is generator("digiface-dcgan") is dcgan.pretrained("cpu")


def test_a_name_is_called_with_the_device(monkeypatch):
    made = DCGAN(latents=8, width=4)
    monkeypatch.setattr(dcgan, "book", lambda device: (device, made)[1])
    assert generator("dcgan", "cpu") is made


def test_a_file_is_read(file, random):
    path, network = file
    found = generator(path)
    assert (found.id, found.latents, found.prior, found.training) == ("mine", 8, "uniform", False)
    assert not any(p.requires_grad for p in found.parameters())
    z = found.sample_latent(2, random)
    torch.testing.assert_close(found(z), network.eval()(z))
    assert generator(str(path)).id == "mine"


def test_an_unknown_name_is_refused_with_a_guess():
    with pytest.raises(ParameterError, match=r"no generator 'stylgan2'; did you mean stylegan2\?"):
        generator("stylgan2")
    with pytest.raises(ParameterError, match=r"choose one of: digiface-dcgan, dcgan, .* or give a"):
        generator("weights.pt")


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    networks.save_tensors(path, "book_embedder", {"x": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="holds book_embedder, not a generator; give a file"):
        generator(path)
    safetensors.torch.save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="holds nothing that facelab knows, not a generator"):
        generator(path)
    source = {"source": json.dumps(["dcgan"])}
    safetensors.torch.save_file({"x": torch.zeros(1)}, path, metadata=source)
    with pytest.raises(CheckpointError, match="holds nothing that facelab knows"):
        generator(path)


def test_a_missing_or_damaged_file_is_refused(tmp_path, file):
    with pytest.raises(CheckpointError, match="is damaged, cut short or not a file of weights"):
        generator(tmp_path / "none.safetensors")
    path, _ = file
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="is damaged, cut short"):
        generator(path)


def test_nothing_is_imported_before_it_is_asked_for():
    program = (
        "import sys; from facelab.generators import catalogue;"
        "print(sorted(n for n in sys.modules if n.startswith('facelab.generators.')))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    names = ["facelab.generators.catalogue", "facelab.generators.generator"]
    assert run.stdout.strip() == str(names)
