"""A tiny autoencoder of 16 pixels with random weights, and faces of noise."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from facelab.assets import networks
from facelab.data.base import FaceDataset
from facelab.data.seeding import stream
from facelab.methods.d2ae.config import TINY, Config
from facelab.methods.d2ae.model import Disentangler
from facelab.methods.d2ae.training import METHOD, Disentangling
from facelab.phases import Step
from facelab.types import Batch

PEOPLE, VIEWS, SIZE = 5, 3, 16


class Faces(FaceDataset):
    """Noise of 16 pixels: five people with three pictures each, one after the other."""

    id, split, size = "noise", "train", SIZE

    def __init__(self, identity: Tensor | None = None, people: int = PEOPLE):
        everybody = torch.arange(PEOPLE).repeat_interleave(VIEWS)
        self.identity, self.people = everybody if identity is None else identity, people

    def config(self) -> dict:
        return {"identity": self.identity.tolist()}

    def batch(self, indices) -> Batch:
        found = self.resolve(indices)
        images = [torch.rand(3, SIZE, SIZE, generator=stream("noise", i)) * 2 - 1 for i in found]
        return Batch(images=torch.stack(images), identity=self.identity[found])


def tiny_config(**changes) -> Config:
    """The tiny configuration for faces of 16 pixels."""
    weights = dataclasses.replace(TINY.weights, **changes.pop("weights", {}))
    small = {"size": SIZE, "channels": (6, 8), "features": 5, "decoder": (8, 8, 6)}
    more = {"convolutions": (1, 2, 1), "people": PEOPLE, "weights": weights}
    return dataclasses.replace(TINY, **small | more | changes)


def seeded(build, seed: int = 0):
    """Build something from a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


@pytest.fixture(name="tiny_config")
def tiny_config_maker():
    """Makes a tiny configuration with changes."""
    return tiny_config


@pytest.fixture(name="seeded")
def seeded_builder():
    """Builds something from a seed."""
    return seeded


@pytest.fixture(name="game_of")
def game_maker():
    """Makes the training of a tiny configuration with changes, from a seed."""
    return lambda **changes: seeded(lambda: Disentangling(tiny_config(**changes)))


@pytest.fixture(name="step")
def step_maker():
    """Makes a step whose random stream starts the same each time."""
    return lambda number=0: Step(number, torch.Generator().manual_seed(7))


@pytest.fixture(name="Faces")
def faces_class():
    """The class of faces of noise."""
    return Faces


@pytest.fixture
def batch() -> Batch:
    """Six faces of three people."""
    return Faces().batch([0, 1, 3, 4, 6, 7])


@pytest.fixture(name="model_of")
def model_maker():
    """Makes a random autoencoder of a tiny configuration with changes."""
    return lambda **changes: seeded(lambda: Disentangler(tiny_config(**changes)))


@pytest.fixture
def model(model_of) -> Disentangler:
    """A random autoencoder whose running deviations are not 0."""
    made = model_of()
    for number, spread in enumerate(made.parts["spread"].values(), 1):
        spread.statistics.running_var.fill_(number**2)
    return made


@pytest.fixture
def vivid(model_of) -> Disentangler:
    """A random autoencoder whose weights keep variances, so that what its codes say is seen.

    Its running deviations are 1 (f_T) and 2 (f_P), as those of `model`.
    """
    made, random = model_of(), torch.Generator().manual_seed(5)
    for part in made.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu", generator=random)
    made.parts["decoder"].levels[-1][-1].weight.mul_(0.3)
    for number, spread in enumerate(made.parts["spread"].values(), 1):
        spread.statistics.running_var.fill_(number**2)
    return made


@pytest.fixture(name="save")
def saver():
    """Writes an autoencoder as `export_weights` does."""

    def save(path: Path, model: Disentangler, **changes) -> Path:
        config = dataclasses.asdict(model.config) | changes
        networks.save(path, METHOD, model, half=True, config=config, networks=[*model.parts])
        return path

    return save
