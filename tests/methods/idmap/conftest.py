"""Tiny frozen networks in place of the trained ones, and faces that a tiny generator draws."""

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from facelab.assets import networks
from facelab.data.latents import DrawnFaces
from facelab.generators.stylegan2.config import TINY as TINY_STYLE
from facelab.generators.stylegan2.networks import StyleGAN2
from facelab.methods.idmap import training
from facelab.methods.idmap.config import TINY
from facelab.methods.idmap.identity_encoder import IdentityEncoder
from facelab.methods.idmap.model import Encoders, IdentityMap
from facelab.recognition import face_points
from facelab.recognition.embedder import Embedder


class Recogniser(Embedder):
    """A random recogniser of 64 pixels, whose faces lie as the book's generators draw them."""

    id, size, template, threshold, threshold_squared = "random", 64, "book64", 0.5, 1.0

    def __init__(self, seed: int = 0, id: str = "random"):
        super().__init__()
        self.id = id
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layer = nn.Linear(3 * 8 * 8, 6)

    def forward(self, images):
        self.require_size(images)
        return self.layer(F.adaptive_avg_pool2d(images, 8).flatten(1))


def seeded(build, seed: int = 0):
    """Build a network from a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def tiny_config(**changes):
    """The tiny configuration for the networks of this file."""
    return dataclasses.replace(TINY, w=8, identity_features=6, embedder="random", **changes)


@pytest.fixture
def config():
    """A tiny configuration."""
    return tiny_config()


@pytest.fixture(name="tiny_config")
def tiny_config_maker():
    """Makes a tiny configuration with changes."""
    return tiny_config


@pytest.fixture(name="seeded")
def seeded_builder():
    """Builds a network from a seed."""
    return seeded


@pytest.fixture
def recogniser():
    """The class of random recognisers."""
    return Recogniser


@pytest.fixture(name="save")
def save_map():
    """Writes a file of a map with random weights."""
    return save


@pytest.fixture(scope="session")
def generator() -> StyleGAN2:
    """A random StyleGAN2 of 64 pixels, whose w has 8 numbers."""
    network = seeded(lambda: StyleGAN2(TINY_STYLE, id="tiny"))
    return network.eval().requires_grad_(False).measure_mean_w(64)


@pytest.fixture
def frozen(generator) -> training.Frozen:
    """What training looks through, of random weights."""
    points = seeded(lambda: face_points.LandmarkRegressor(face_points.TINY), 1)
    nn.init.normal_(points.head.weight, 0, 0.1, generator=torch.Generator().manual_seed(2))
    identity = IdentityEncoder(Recogniser())
    return training.Frozen(identity, generator, points.eval().requires_grad_(False))


@pytest.fixture
def faces(generator) -> DrawnFaces:
    """Twelve faces of the tiny generator, with latent vectors and codes."""
    return DrawnFaces(generator, 12, embedder=Recogniser())


@pytest.fixture
def model(config, generator) -> IdentityMap:
    """A map of random weights."""
    return IdentityMap(seeded(lambda: Encoders(config)), IdentityEncoder(Recogniser()), generator)


def save(path: Path, config, seed: int = 0) -> Path:
    """Write random E_attr and M as `export_weights` does."""
    facts = {"config": dataclasses.asdict(config), "networks": ["attributes", "mapping"]}
    encoders = seeded(lambda: Encoders(config), seed)
    networks.save(path, training.METHOD, encoders, half=True, **facts)
    return path
