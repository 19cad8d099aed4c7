"""Judges that see coarse pictures, people of coarse patterns, and contestants that are known."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facelab.comparison.cases import COMMON, Case, Pool, Task
from facelab.comparison.contestants import Knob
from facelab.comparison.costs import Cost
from facelab.comparison.judging import Judges
from facelab.data.base import FaceDataset
from facelab.data.seeding import stream
from facelab.methods.d2ae.claims import OF_THE_PICTURE
from facelab.metrics.extractors import Extractor
from facelab.recognition import face_readers
from facelab.recognition.align import Template
from facelab.recognition.embedder import Embedder
from facelab.types import Batch, Image

NAMES = (*OF_THE_PICTURE, "Male")
OPEN = NAMES.index("Mouth_Slightly_Open")


def seeded(build: Callable, seed: int = 0):
    """Build something from a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


class Patterns(FaceDataset):
    """People with a coarse pattern each and three pictures of it; every other mouth is open."""

    id, split, attribute_names = "patterns", "test", NAMES

    def __init__(self, people: int = 24, views: int = 3, size: int = 64):
        self.people, self.size = people, size
        self.identity = torch.arange(people).repeat_interleave(views)

    def config(self) -> dict:
        return {"people": self.people, "size": self.size}

    def batch(self, indices) -> Batch:
        found = self.resolve(indices)
        coarse = [
            torch.rand(3, 4, 4, generator=stream("pattern", int(self.identity[i])))
            + 0.3 * torch.rand(3, 4, 4, generator=stream("view", i))
            for i in found
        ]
        images = F.interpolate(torch.stack(coarse) - 0.65, (self.size, self.size))
        flags = torch.zeros(len(found), len(NAMES), dtype=torch.bool)
        flags[:, OPEN] = torch.tensor(found) % 2 == 1
        return Batch(images, self.identity[found], attributes=flags)


class Coarse(Embedder):
    """Sees a picture of 4 x 4."""

    size, template, threshold, threshold_squared = 64, "book64", 1.0, 0.5

    def __init__(self, id: str):
        super().__init__()
        self.id = id
        self.gain = nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.gain * F.adaptive_avg_pool2d(images, 4).flatten(1)


class Means(Extractor):
    """Sees the means of the colours."""

    id, features = "means", 3

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.gain * images.mean((2, 3))


@dataclass(frozen=True)
class Known:
    """A contestant that mixes the face with the other's; it saw "second"."""

    name: str = "known"
    template: Template = COMMON
    refuses: str | None = None
    strengths: tuple[float, ...] = (0.0, 0.5, 1.0)
    lost: int = 0

    def refusal(self, case: Case) -> str | None:
        return self.refuses

    def knob(self, task: Task) -> Knob:
        return Knob("how much of the other", self.strengths)

    def seen(self, task: Task) -> tuple[str, ...]:
        return ("second",)

    def begin(self, case: Case) -> Callable[[float], Image]:
        count = len(case) - self.lost
        return lambda strength: torch.lerp(case.faces, case.others, strength)[:count]

    def cost(self, task: Task) -> Cost:
        return Cost(trained=2, needed=3, training_images=40, training_minutes=1.5)


@pytest.fixture(name="seeded")
def seeded_builder() -> Callable:
    return seeded


@pytest.fixture(scope="session")
def patterns() -> type[Patterns]:
    return Patterns


@pytest.fixture(scope="session")
def known() -> type[Known]:
    return Known


@pytest.fixture(scope="session")
def pool() -> Pool:
    """The patterns of 24 people: six of each kind."""
    return Pool.of(Patterns(), 6)


@pytest.fixture(scope="session")
def judges() -> Judges:
    """Two embedders "first" and "second", random readers, means, and photographs of noise."""
    attributes = seeded(lambda: face_readers.AttributeClassifier(NAMES, face_readers.TINY))
    points = seeded(lambda: face_readers.LandmarkJudge(face_readers.TINY), 1)
    nn.init.normal_(points.head.weight, 0, 0.1, generator=torch.Generator().manual_seed(2))
    photos = torch.rand(10, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1
    embedders = (Coarse("first"), Coarse("second"))
    return Judges(embedders, attributes.eval(), points.eval(), Means(), photos)
