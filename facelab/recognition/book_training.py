"""Training the book's recogniser on people who do not exist, as a method of the training loop.

A classifier over the training people sits on the embedding and is thrown away afterwards (FaceNet,
section 2, of the recognisers before it). It sees the embedding at length one, times `scale`: then
only angles tell people apart, as they will in use (Wang et al. 2017, NormFace). With `triplets`
above 0 the semi-hard triplets that a batch happens to hold are added (FaceNet, equation 3).

Schroff, Kalenichenko & Philbin, "FaceNet", CVPR 2015. Wang et al., "NormFace: L2 Hypersphere
Embedding for Face Verification", ACM Multimedia 2017.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facelab.data.base import FaceDataset
from facelab.errors import DatasetError, ParameterError
from facelab.losses import semi_hard_triplets, softmax_loss, triplet_loss
from facelab.phases import Method, Optimiser, Phase, Step, Terms
from facelab.recognition import book_embedder
from facelab.recognition.augmentation import Labelled, disturb, move, random_transforms
from facelab.types import Batch, Image


@dataclass(frozen=True)
class Config:
    """The network, how many people it learns, and how.

    `people` is how many the training data has; `scale` multiplies the cosines before the softmax;
    `triplets` weighs the triplet loss beside it. `batch_size` is in images. Raises `ParameterError`
    on what can't be used.
    """

    network: book_embedder.Config = field(default_factory=lambda: book_embedder.BOOK)
    people: int = 2000
    scale: float = 24.0
    triplets: float = 0.0
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    schedule: str = "constant"
    batch_size: int = 64
    ema_decay: float = 0.998

    def __post_init__(self):
        if isinstance(self.network, Mapping):  # when read from JSON
            object.__setattr__(self, "network", book_embedder.Config(**self.network))
        if self.people < 2 or self.batch_size < 2:
            raise ParameterError(
                f"{self.people} people in batches of {self.batch_size} teach nothing; give at "
                "least 2 of each"
            )
        if not (self.scale > 0 and self.triplets >= 0 and self.learning_rate > 0):
            raise ParameterError(
                f"scale {self.scale}, triplets {self.triplets} and learning rate "
                f"{self.learning_rate} can't be used; give numbers above 0 (triplets may be 0)"
            )


TINY = Config(book_embedder.TINY, people=64, batch_size=8, ema_decay=0.9)
BOOK = Config()
# No paper's: the book's network on what FaceNet's public heirs learned from, by default the 10,575
# people of CASIA-WebFace. A training is fitted to the people of its data.
PAPER = Config(people=10_575, batch_size=256)
PRESETS = {"tiny": TINY, "book": BOOK, "paper": PAPER}


class Training(Method):
    """One objective, one phase: embedding and classifier learn together."""

    id = book_embedder.METHOD
    averaged = ("embedder",)

    def __init__(self, config: Config = BOOK):
        self.config, self.ema_decay = config, config.ema_decay
        self.network = book_embedder.Network(config.network)
        self.classifier = nn.Linear(config.network.features, config.people, bias=False)
        self.networks = {"embedder": self.network, "classifier": self.classifier}

    @classmethod
    def preset(cls, name: str) -> "Training":
        """Return the training with the settings "tiny", "book" or "paper"."""
        if name not in PRESETS:
            raise ParameterError(f"there is no preset {name!r}; choose from: {', '.join(PRESETS)}")
        return cls(PRESETS[name])

    def fitted(self, dataset: FaceDataset) -> "Training":
        """Return a training for as many people as the data have: this one where it has them.

        Raises `DatasetError` for faces of another size, and for a single person.
        """
        people, config = dataset.people, self.config
        if dataset.size != book_embedder.SIZE or people < 2:
            raise DatasetError(
                f"{dataset.id} has {people:,} people at {dataset.size} pixels; the book's "
                f"recogniser learns to tell two or more apart at {book_embedder.SIZE} pixels"
            )
        if people == config.people:
            return self
        return type(self)(dataclasses.replace(config, people=people))

    def phases(self) -> list[Phase]:
        """Return the only phase."""
        adam = Optimiser(
            self.config.learning_rate,
            name="adamw",
            weight_decay=self.config.weight_decay,
            schedule=self.config.schedule,
            warmup_steps=100,
        )
        weights = {"triplets": self.config.triplets} if self.config.triplets else {}
        return [Phase("identity", ("embedder", "classifier"), self.terms, adam, weights)]

    def terms(self, batch: Batch, step: Step) -> Terms:
        """Return the softmax loss of each face and, where asked for, its triplets' mean loss.

        Raises `DatasetError` when a face is of a person beyond those of the config.
        """
        if int(batch.identity.max()) >= self.config.people:
            raise DatasetError(
                f"the data have person number {int(batch.identity.max())}, the classifier has "
                f"{self.config.people} people; give data of that many"
            )
        unit = F.normalize(self.network(augmented(batch.images, step)).float(), dim=1)
        cosines = F.linear(unit, F.normalize(self.classifier.weight.float(), dim=1))
        found = {"softmax": softmax_loss(self.config.scale * cosines, batch.identity)}
        if self.config.triplets:
            found["triplets"] = self._triplets(unit, batch.identity)
        return found

    @staticmethod
    def _triplets(unit: Tensor, identity: Tensor) -> Tensor:
        """Return each anchor's mean triplet loss, scaled so that the batch's mean is theirs."""
        chosen = semi_hard_triplets(unit, identity)
        total = unit.new_zeros(len(unit))
        if not len(chosen):
            return total
        each = triplet_loss(*unit[chosen].unbind(1))
        return total.index_add(0, chosen[:, 0], each) * (len(unit) / len(chosen))

    def preview(self, networks: Mapping[str, nn.Module], batch: Batch) -> Image:
        """Return each face of the batch beside the one that its embedding is closest to."""
        with torch.no_grad():
            unit = F.normalize(networks["embedder"](batch.images).float(), dim=1)
        nearest = (unit @ unit.T).fill_diagonal_(-2).argmax(1)
        return torch.stack([batch.images, batch.images[nearest]], dim=1).flatten(0, 1)


def augmented(images: Image, step: Step) -> Image:
    """Return faces moved and disturbed at random, in a way that the step and the process decide."""
    seed = int(torch.randint(2**40, (), generator=step.random)) + step.rank
    random = torch.Generator().manual_seed(seed)
    here, count = images.float().cpu(), len(images)
    faces = Labelled(here, here.new_zeros(count, 68, 2), here.new_zeros(count, 3))
    with torch.autocast("cpu", enabled=False):  # a blur in bfloat16 can't be put among float32
        moved = move(faces, random_transforms(count, here, random)).images
        return disturb(moved, random).to(images.device)
