"""Datasets that the tests of this folder share: small, and drawn once."""

import pytest
import torch

from facelab.data.anny_faces import AnnyFaces
from facelab.data.base import FaceDataset
from facelab.types import Batch


@pytest.fixture(scope="session")
def faces() -> AnnyFaces:
    """Six people with three views each, 64 pixels."""
    return AnnyFaces(64, 6, 3, seed=1, masks=("mouth", "eyeglasses"))


@pytest.fixture(scope="session")
def drawn(faces) -> Batch:
    """All faces of `faces`, drawn in one batch."""
    return faces.batch(range(len(faces)))


@pytest.fixture(scope="session")
def many() -> tuple[AnnyFaces, Batch]:
    """The labels of 400 people, one view each, not drawn."""
    dataset = AnnyFaces(64, 400, 1, seed=2)
    return dataset, dataset.labels(range(400))


class Numbers(FaceDataset):
    """Faces of one colour each, whose labels are their number: quick to make, easy to check."""

    id, size, split, people = "numbers", 4, "train", 5
    attribute_names = ("Odd",)

    def __init__(self, count: int = 50, seed: int = 0):
        self.identity = torch.arange(count) % 5
        self.seed, self.calls = seed, []

    def config(self) -> dict:
        return {"recipe": "numbers", "count": len(self), "seed": self.seed}

    def batch(self, indices) -> Batch:
        found = torch.tensor(self.resolve(indices))
        self.calls.append(found.tolist())
        level = (found % 256).float() * 2 / 255 - 1
        return Batch(
            images=level[:, None, None, None].expand(-1, 3, 4, 4).contiguous(),
            identity=self.identity[found],
            attributes=(found % 2 == 1)[:, None],
            labels={"number": found, "half": found / 2},
        )


@pytest.fixture
def numbers() -> type[Numbers]:
    """The class of such datasets."""
    return Numbers
