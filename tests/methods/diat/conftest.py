"""Random pictures with attributes, and tiny networks of DIAT: quick to make, the same each time."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from facelab.data.base import FaceDataset
from facelab.data.by_attribute import ByAttribute
from facelab.methods.diat import training
from facelab.methods.diat.features import FaceLayers
from facelab.types import Batch

SIDE = 16  # of training.TINY


class Pictures(FaceDataset):
    """Random pictures; those whose number is odd have all four attributes of DIAT's tasks."""

    id, split = "pictures", "train"
    attribute_names = ("Mouth_Slightly_Open", "Eyeglasses", "Young", "Male")

    def __init__(self, count: int = 22, size: int = SIDE, seed: int = 0):
        random = torch.Generator().manual_seed(seed)
        self.size, self.people, self.seed = size, count, seed
        self.identity = torch.arange(count)
        self.images = torch.rand(count, 3, size, size, generator=random) * 2 - 1

    def config(self) -> dict:
        return {"count": len(self), "size": self.size, "seed": self.seed}

    def batch(self, indices) -> Batch:
        rows = torch.tensor(self.resolve(indices))
        odd = (rows % 2 == 1)[:, None].expand(-1, 4)
        return Batch(self.images[rows], self.identity[rows], attributes=odd)


@pytest.fixture
def guided() -> Callable[..., ByAttribute]:
    """Makes a dataset that a task learns from."""

    def make(attribute: str = "Mouth_Slightly_Open", to: bool = True, **options) -> ByAttribute:
        return ByAttribute(Pictures(**options), attribute, to)

    return make


@pytest.fixture
def game() -> Callable[..., training.Game]:
    """Makes a tiny game; its first weights follow from the seed. `options` are Config's."""

    def make(seed: int = 0, denoiser: nn.Module | None = None, **options) -> training.Game:
        config = training.Config.from_json(
            {
                **vars(training.TINY),
                "transform": {"width": 4, "blocks": 1},
                "weights": {},
                **options,
            }
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return training.Game(config, denoiser)

    return make


class Quarters(FaceLayers):
    """Two linear maps of a picture: the means of its quarters, and of the whole."""

    embedders = ("quarters",)

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def forward(self, images: Tensor) -> list[Tensor]:
        pooled = nn.functional.adaptive_avg_pool2d(images * self.factor, 2)
        return [pooled, pooled.mean((2, 3), keepdim=True)]


@pytest.fixture
def quarters(monkeypatch) -> type[FaceLayers]:
    """Let the game look through `Quarters` in place of a recogniser."""
    monkeypatch.setattr(training, "face_layers", lambda name: Quarters().requires_grad_(False))
    return Quarters
