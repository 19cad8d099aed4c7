"""CMA-ES: candidates from a normal distribution that learns which directions pay.

N. Hansen, A. Ostermeier, "Completely Derandomized Self-Adaptation in Evolution Strategies",
Evolutionary Computation 9(2), 2001; from its first author's package `cma`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facelab.data.seeding import seed_of
from facelab.errors import ParameterError
from facelab.methods.ganid.bank import Bank
from facelab.methods.ganid.scoring import Scorer, Target
from facelab.methods.ganid.strategy import Pass, Strategy
from facelab.types import Latent


@dataclass(frozen=True)
class Config:
    """CMA-ES starts at the closest of `initial` random vectors, with standard deviation `sigma`.

    `population` vectors are tried at once; with `diagonal` only the variances are adapted, which
    takes fewer evaluations in many dimensions. Raises `ParameterError` on what can't be used.
    """

    initial: int = 100
    population: int = 50
    sigma: float = 0.3
    diagonal: bool = True

    def __post_init__(self):
        if self.initial < 1 or self.population < 4 or not self.sigma > 0:
            raise ParameterError(
                f"{self.initial} vectors first, a population of {self.population} and sigma "
                f"{self.sigma} can't be used; give at least 1, at least 4, and a sigma above 0"
            )


DEFAULT = Config()


class CmaEs(Strategy):
    """The package's strategy behind ours: ask, score, tell.

    Its state is what it was told: told the same again, it is where it was.
    """

    name = "cmaes"

    def __init__(
        self,
        scorer: Scorer,
        target: Target,
        bank: Bank,
        seed: int = 0,
        config: Config = DEFAULT,
    ):
        super().__init__(scorer, target, bank, seed)
        self.config, self.seed = config, seed
        self.told: list[list[float]] = []
        self.evolution: Any = None

    def next_pass(self, allowed: int) -> Pass:
        """Return the random start, or one generation."""
        if self.evolution is None:
            found = self.from_bank(0, min(allowed, self.config.initial), "random")
            self._begin(found.best()[0])
            return found
        asked = self.evolution.ask()
        latents = torch.tensor(np.stack(asked), dtype=torch.float32)[:allowed]
        found = Pass(latents, self.score(latents), "cmaes")
        if len(latents) == len(asked):  # a shorter one, at the budget's end, can't be learnt from
            self._tell(asked, found.distances.double().tolist())
        return found

    def _begin(self, start: Latent) -> None:
        import cma

        draws = np.random.default_rng(seed_of("ganid-cmaes", self.seed))
        options = {
            "popsize": self.config.population,
            "CMA_diagonal": self.config.diagonal,
            "randn": lambda *size: draws.standard_normal(size),
            "seed": np.nan,  # there is nothing to seed: the numbers are ours
            "verbose": -9,
            "verb_log": 0,
        }
        self.evolution = cma.CMAEvolutionStrategy(
            start[0].double().numpy(), self.config.sigma, options
        )

    def _tell(self, asked: list, distances: list[float]) -> None:
        self.evolution.tell(asked, distances)
        self.told.append(distances)

    def state(self) -> dict[str, Tensor]:
        """Return every distance that the strategy was told."""
        told = torch.tensor(self.told, dtype=torch.float64)
        return {
            "told": told.reshape(-1, self.config.population),
            "begun": torch.tensor(self.evolution is not None),
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Tell a new strategy the same again."""
        if not state["begun"]:
            return
        self._begin(self.from_bank(0, self.config.initial, "random").best()[0])
        for distances in state["told"].tolist():
            self._tell(self.evolution.ask(), distances)
