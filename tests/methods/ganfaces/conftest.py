"""A generator of a few weights, as a file, and renders that cost nothing to draw."""

import dataclasses
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from facelab.assets import networks
from facelab.data.base import FaceDataset
from facelab.images import to_uint8
from facelab.methods.ganfaces import training, writer
from facelab.methods.ganfaces.networks import Translator, initialise
from facelab.types import Batch


def save(path: Path, seed: int = 0) -> Path:
    """Write a random tiny G as `export_weights` does."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Translator(training.TINY.translator)
        initialise(network)
    config = dataclasses.asdict(training.TINY)
    networks.save(path, training.METHOD, network, half=True, config=config)
    return path


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """The file of a tiny G."""
    return save(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture
def another(tmp_path) -> Path:
    """The file of another one."""
    return save(tmp_path / "another.safetensors", seed=1)


class Renders(FaceDataset):
    """Random pictures of 16 pixels in place of renders; `drawn` has the numbers of all faces.

    As pairs they serve too: each picture is its own render.
    """

    size, split, attribute_names = 16, "train", ("Odd",)
    drawn: ClassVar[list[int]] = []

    def __init__(self, size, identities, views, seed, *, device="cpu"):
        self.id, self.people = "renders", identities
        self.identity = torch.arange(identities).repeat_interleave(views)
        self.seed, self.views = seed, views

    def config(self):
        return {"seed": self.seed, "people": self.people, "views": self.views}

    def batch(self, indices):
        rows = self.resolve(indices)
        Renders.drawn += rows
        number = torch.tensor(rows)
        images = torch.stack([self.picture(row) for row in rows])
        return Batch(
            images,
            self.identity[rows],
            attributes=(number % 2 == 1)[:, None],
            landmarks=number.float()[:, None, None].expand(-1, 68, 2).clone(),
            euler_rad=number.float()[:, None].expand(-1, 3).clone(),
            labels={name: number.float() for name in writer.LABELS} | {"render": to_uint8(images)},
        )

    def picture(self, row):
        random = torch.Generator().manual_seed(1000 * self.seed + row)
        return torch.rand(3, 16, 16, generator=random) * 2 - 1


@pytest.fixture
def renders(monkeypatch) -> type[Renders]:
    """Let the writer use such renders."""
    Renders.drawn = []
    monkeypatch.setattr(writer, "renders", Renders)
    return Renders
