"""The recogniser that generated faces are to help: trained on a base set and on added people.

The paper puts two softmax layers on one network, one a dataset, and halves the gradient of the
added faces' (section 5.3): nobody of the base set is told apart from anybody who was added, so that
what the two sets look like teaches nothing. Here they are one layer, `Training`'s, in which a face
sees the columns of its own set alone; that is the same. With nothing added it is that training.

Other than in the paper the network is small, begins with random weights and not with ImageNet's,
and sees angles alone (see `recognition.book_training`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facelab.errors import ParameterError
from facelab.losses import softmax_loss
from facelab.phases import Method, Phase, Step, Terms
from facelab.recognition import book_embedder, book_training
from facelab.types import Batch, Image

SMALL = book_embedder.Config(channels=(16, 32, 64, 128), blocks=(1, 1, 1, 1))


@dataclass(frozen=True)
class Config:
    """`base` people are numbered first, `added` people after them; their losses weigh `weight`.

    `network`, `batch_size` and the rest are those of `book_training.Config`. Raises
    `ParameterError` on what can't be used.
    """

    base: int
    added: int = 0
    weight: float = 0.5
    network: book_embedder.Config = field(default_factory=lambda: SMALL)
    batch_size: int = 32
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    ema_decay: float = 0.99

    def __post_init__(self):
        if self.base < 2 or self.added < 0 or self.added == 1:
            raise ParameterError(
                f"{self.base} people and {self.added} added ones can't be told apart; give at "
                "least 2 of the first, and of the others none or at least 2"
            )
        if not self.weight > 0:
            raise ParameterError(f"a weight of {self.weight} teaches nothing; give one above 0")

    @property
    def training(self) -> book_training.Config:
        """The settings of the training underneath."""
        return book_training.Config(
            self.network,
            people=self.base + self.added,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            ema_decay=self.ema_decay,
        )


class TwoSets(Method):
    """One phase: the embedding, and a classifier of each set, learn together."""

    id = "ganfaces-recogniser"
    averaged = ("embedder",)

    def __init__(self, config: Config):
        self.config, self.ema_decay = config, config.ema_decay
        self.inner = book_training.Training(config.training)
        self.networks = self.inner.networks

    def phases(self) -> list[Phase]:
        """Return the only phase: `Training`'s with the loss of here."""
        (phase,) = self.inner.phases()
        return [Phase(phase.name, phase.parameters, self.terms, phase.optimiser)]

    def terms(self, batch: Batch, step: Step) -> Terms:
        """Return the softmax loss of each face over its own set, weighted if it was added."""
        faces = book_training.augmented(batch.images, step)
        unit = F.normalize(self.networks["embedder"](faces).float(), dim=1)
        columns = F.normalize(self.networks["classifier"].weight.float(), dim=1)
        logits = self.inner.config.scale * F.linear(unit, columns)
        return {"softmax": self.loss(logits, batch.identity)}

    def loss(self, logits: Tensor, identity: Tensor) -> Tensor:
        """Return the loss of logits (batch, people): each face counts its own set's columns."""
        base, people = self.config.base, logits.shape[1]
        added = identity >= base
        others = added[:, None] != (torch.arange(people, device=logits.device) >= base)
        own = softmax_loss(logits.masked_fill(others, -torch.inf), identity)
        return torch.where(added, self.config.weight * own, own)

    def preview(self, networks: Mapping[str, nn.Module], batch: Batch) -> Image:
        """Return each face of the batch beside the one that its embedding is closest to."""
        return self.inner.preview(networks, batch)
