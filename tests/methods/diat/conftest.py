"""Random pictures with attributes, and tiny networks of DIAT: quick to make, the same each time."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facelab.assets import networks
from facelab.data.base import FaceDataset
from facelab.data.by_attribute import ByAttribute
from facelab.images import save_image
from facelab.methods.diat import enhancement, session, training
from facelab.methods.diat.features import FaceLayers
from facelab.methods.diat.networks import TransformNetwork
from facelab.methods.diat.tasks import find_task
from facelab.methods.diat.transfer import Transfer
from facelab.recognition.embedder import Embedder
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


# --- what `facelab transfer` works with ----------------------------------------------------------


@pytest.fixture
def weights(tmp_path) -> Callable[..., Path]:
    """Writes a random tiny transfer as `export_weights` does; `both` adds the second stage.

    `changes` are of T's config.
    """

    def save(task: str = "mouth_open", name: str = "tiny", both: bool = True, **changes) -> Path:
        game = dataclasses.replace(training.TINY, task=task, **changes)
        config = dataclasses.replace(enhancement.TINY, game=game)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            transform = TransformNetwork(game.transform)
            second = enhancement.new_enhancer(config) if both else None
            if both:  # E of a local task begins with what T gives
                nn.init.normal_(second.last.weight, 0, 0.1)
        saved = Transfer(find_task(task), game.size, transform, second) if both else transform
        method = enhancement.METHOD if both else training.METHOD
        settings = dataclasses.asdict(config if both else game)
        path = tmp_path / "weights" / f"{name}.safetensors"
        networks.save(path, method, saved, config=settings, step=1234)
        return path

    return save


class Means(Embedder):
    """Recognises a face by the mean colours of its quarters."""

    id, size, template, threshold, threshold_squared = "means", 64, "book64", 1.0, 0.25

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(1.0), requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.factor * F.adaptive_avg_pool2d(images, 2).flatten(1)


@pytest.fixture
def means(monkeypatch) -> Means:
    """Let this one judge identity."""
    found = Means().eval()
    monkeypatch.setattr(session, "find_embedder", lambda name: found)
    return found


@pytest.fixture
def face(tmp_path) -> Callable[..., Path]:
    """Writes a random aligned face of `side` pixels."""

    def write(name: str, side: int = SIDE, seed: int = 0) -> Path:
        random = torch.Generator().manual_seed(seed)
        picture = torch.rand(1, 3, side, side, generator=random) * 2 - 1
        return save_image(picture, tmp_path / "faces" / name)

    return write
