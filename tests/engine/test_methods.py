"""Every method that can be trained by name keeps to the loop's words: a few steps of each."""

import dataclasses

import pytest
import torch

from facelab.data.base import FaceDataset
from facelab.data.domains import RENDER, Domains
from facelab.engine import checkpoints, methods
from facelab.engine.export import export_weights
from facelab.engine.loop import train
from facelab.engine.players import gather
from facelab.engine.settings import Settings
from facelab.generators import dcgan
from facelab.images import to_uint8

STEPS = 9  # beyond the second turn of the tiny presets' lazy regularisers


@pytest.fixture(autouse=True, scope="module")
def teacher():
    """Have the teacher of the distillation ready: loading it draws from the global stream."""
    dcgan.pretrained()


class Pairs(FaceDataset):
    """Noise with a second picture for each: what a method between two domains learns from."""

    def __init__(self, noise):
        self.noise, self.id, self.size, self.split = noise, "pairs", noise.size, noise.split
        self.identity, self.people = noise.identity, noise.people

    def config(self):
        return self.noise.config()

    def batch(self, indices):
        batch = self.noise.batch(indices)
        return dataclasses.replace(batch, labels={RENDER: to_uint8(batch.images)})


def data(toy, method):
    noise = toy.Noise(size=getattr(method.config, "size", 64))
    return Domains(noise, noise, Pairs(noise)) if method.id == "ganfaces" else noise


def run(toy, name, folder, steps, seed=0, **changes):
    method = methods.build(name, "tiny", seed)
    dataset = data(toy, method)
    settings = Settings(steps, batch=4, device="cpu", log_every=1, preview_every=5, **changes)
    return train(method, dataset, settings, folder, resume=True, progress=False)


@pytest.mark.parametrize("name", list(methods.METHODS))
def test_it_trains_goes_on_and_is_exported(toy, tmp_path, name):
    whole = run(toy, name, tmp_path / "whole", STEPS)
    run(toy, name, tmp_path / "parts", 5)
    rest = run(toy, name, tmp_path / "parts", STEPS, seed=1)
    assert [dict(e.losses) for e in rest.history] == [dict(e.losses) for e in whole.history]
    first, second = (checkpoints.newest(tmp_path / n).tensors for n in ("whole", "parts"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert len(list((tmp_path / "whole" / "previews").iterdir())) == 2
    assert len(export_weights(tmp_path / "whole", tmp_path / "x.safetensors")) == 64


@pytest.mark.parametrize("name", list(methods.METHODS))
@pytest.mark.parametrize("preset", methods.PRESETS)
def test_every_preset_has_phases_that_move_something(name, preset):
    with torch.device("meta"):
        method = methods.build(name, preset)
    assert gather(method.phases(), method.networks)
