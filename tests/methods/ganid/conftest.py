"""A generator that is linear and a recogniser that sees patches: what they do is known exactly."""

import pytest
import torch
from torch import nn

from facelab.generators.generator import Generator
from facelab.methods.ganid.attributes import Attribute, Measure
from facelab.methods.ganid.scoring import Scorer
from facelab.recognition.embedder import Embedder

LATENTS, GAIN = 6, 0.1


class Stripes(Generator):
    """Number i of a latent vector is, times 0.1, the level of the i-th of six stripes of grey."""

    id, latents, size, prior = "stripes", LATENTS, 64, "normal"

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(GAIN), requires_grad=False)

    def sample_latent(self, count, random):
        return torch.randn(count, LATENTS, generator=random)

    def mapping(self, latent):
        return latent

    def synthesis(self, w):
        rows = torch.arange(64) * LATENTS // 64
        return (self.gain * w)[:, rows][:, None, :, None].expand(-1, 3, -1, 64)


class Patches(Embedder):
    """Sees the mean of 8 x 8 patches."""

    size, template, threshold, threshold_squared = 64, "book64", 0.2, 0.04

    def __init__(self, id: str = "patches"):
        super().__init__()
        self.id = id
        self.gain = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, images):
        return nn.functional.adaptive_avg_pool2d(images.mean(1), 8).flatten(1) * self.gain + 0.3


def level(number: int):
    """Read number i of the latent vector off the face."""
    row = number * 64 // LATENTS + 5
    return lambda reading: reading.faces[:, 0, row, 32] / GAIN


@pytest.fixture
def stripes() -> Stripes:
    return Stripes()


@pytest.fixture
def patches() -> Patches:
    return Patches()


@pytest.fixture
def scorer(stripes, patches) -> Scorer:
    return Scorer(stripes, patches, "fixed")


@pytest.fixture
def unseen(stripes) -> Scorer:
    return Scorer(stripes, Patches("others"), "fixed")


@pytest.fixture
def first() -> Attribute:
    """Labelled by the first number, and judged to be there where that is above 1."""
    return Attribute(
        "first", "high", "low", Measure("the first stripe", level(0)),
        Measure("the first stripe, above 1", level(0), 1.0),
    )  # fmt: skip
