"""What every way of looking has in common: it proposes latent vectors, pass by pass."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.data.seeding import stream
from facelab.methods.ganid.bank import Bank
from facelab.methods.ganid.scoring import Scorer, Target
from facelab.types import Latent

Distances = Float[Tensor, " batch"]
AT_ONCE = 250  # candidates that random search takes in a pass


@dataclass(frozen=True)
class Pass:
    """What was tried at once: latent vectors, their distances from the target, at which stage."""

    latents: Latent
    distances: Distances
    stage: str

    def best(self) -> tuple[Latent, float]:
        """Return the closest latent vector, (1, latents), and its distance."""
        row = int(self.distances.argmin())
        return self.latents[row : row + 1], float(self.distances[row])


class Strategy(ABC):
    """A search under way for one target.

    All that it needs to go on after a pass is in `state`, so that a search that was interrupted
    ends as if it had not been. Its first candidates come from the `bank`, which other targets
    share; the same seed is the same noise for all of them. `config` is a frozen dataclass, or None.
    """

    name: str
    config: Any = None

    def __init__(self, scorer: Scorer, target: Target, bank: Bank, seed: int = 0):
        self.scorer, self.target, self.bank = scorer, target, bank
        self.random = stream("ganid-search", seed)

    @abstractmethod
    def next_pass(self, allowed: int) -> Pass:
        """Try between 1 and `allowed` latent vectors and learn from them."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Return what has been learnt, as tensors by name."""

    @abstractmethod
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up what `state` returned."""

    def noise(self, count: int) -> Latent:
        """Draw from the prior: the interval [-I, I] where it is uniform, else N(0, 1)."""
        return self.scorer.generator.sample_latent(count, self.random)

    @torch.no_grad()
    def score(self, latents: Latent) -> Distances:
        """Return the distances of latent vectors from the target, on the CPU."""
        return self.scorer.distances(latents, self.target).cpu()

    def from_bank(self, first: int, count: int, stage: str) -> Pass:
        """Return candidates of the bank as a pass."""
        distances = self.bank.distances(self.target, first, count)
        return Pass(self.bank.latents(first, count), distances, stage)


class RandomSearch(Strategy):
    """Draw from the prior and keep the closest: what every cleverer search has to beat."""

    name = "random"

    def __init__(self, scorer: Scorer, target: Target, bank: Bank, seed: int = 0):
        super().__init__(scorer, target, bank, seed)
        self.taken = 0

    def next_pass(self, allowed: int) -> Pass:
        """Return the next candidates of the bank, up to 250."""
        found = self.from_bank(self.taken, min(allowed, AT_ONCE), "random")
        self.taken += len(found.latents)
        return found

    def state(self) -> dict[str, Tensor]:
        """Return how many candidates have been taken."""
        return {"taken": torch.tensor(self.taken)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on after the candidates that have been taken."""
        self.taken = int(state["taken"])
