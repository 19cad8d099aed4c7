"""Algorithm 1 of Li & Luo, as it is printed and as it can be meant.

| line | printed | here |
|---|---|---|
| 2 | N = 1000, T = 0.4; alpha and beta are never set | `initial`; `alpha_start`, `beta_start` |
| 4-5 | N vectors of [-I, I], the closest is I_opt | stage "random" |
| 7 | coarse stage until the distance is at most T | `coarse_passes`; None is the print |
| 8 | from [-I + alpha I_opt, I + alpha I_opt] | `coarse_candidates` |
| 9, 15 | Select_Optimal forgets the I_opt before | `keep_best` |
| 14 | from [-I_opt + beta I, I_opt + beta I] | `fine_candidates`, `fine` |
| 16-17 | alpha grows again, beta never does | `beta_step`, `beta_factor` |

As printed, the fine stage is never reached: the coarse stage ends only once the distance is at most
T, and then the condition of the fine stage fails at once.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.methods.ganid.bank import Bank
from facelab.methods.ganid.scoring import Scorer, Target
from facelab.methods.ganid.strategy import Pass, Strategy
from facelab.types import Latent

Fine = Literal["noise", "printed"]
Best = Float[Tensor, "1 latents"]


@dataclass(frozen=True)
class Config:
    """One reading of Algorithm 1.

    `initial` vectors are drawn first, `per_pass` in every later pass. Alpha starts at
    `alpha_start` and grows by `alpha_step` a pass, to 1. After `coarse_passes` passes (None: never)
    the fine stage begins: beta starts at `beta_start`, grows by `beta_step` a pass, and is
    multiplied by `beta_factor` after a pass that found nothing closer; it stays from `beta_least`
    to 1. `fine` is "noise", amplitude beta around I_opt, or "printed". `keep_best` lets I_opt stand
    until something is closer. Raises `ParameterError` on what can't be used.
    """

    initial: int = 1000
    per_pass: int = 100
    alpha_start: float = 0.0
    alpha_step: float = 0.1
    coarse_passes: int | None = 10
    fine: str = "noise"
    beta_start: float = 0.3
    beta_step: float = 0.0
    beta_factor: float = 0.9
    beta_least: float = 0.05
    keep_best: bool = True

    def __post_init__(self):
        if self.initial < 1 or self.per_pass < 1:
            raise ParameterError(
                f"{self.initial} vectors first and {self.per_pass} a pass find nothing; give at "
                "least 1 of each"
            )
        if self.coarse_passes is not None and self.coarse_passes < 0:
            raise ParameterError(
                f"{self.coarse_passes} coarse passes can't be made; give 0 or more, or None"
            )
        if self.fine not in get_args(Fine):
            raise ParameterError(
                f"there is no fine stage {self.fine!r}; choose one of: {', '.join(get_args(Fine))}"
            )
        shares = (self.alpha_start, self.beta_start, self.beta_factor, self.beta_least)
        steps = (self.alpha_step, self.beta_step)
        if not all(0 <= share <= 1 for share in shares) or not all(step >= 0 for step in steps):
            raise ParameterError(
                f"alpha and beta can't start at {self.alpha_start} and {self.beta_start} with "
                f"steps of {steps}, a factor of {self.beta_factor} and at least {self.beta_least}; "
                "give steps of 0 or more, and 0 to 1 for the others"
            )


CORRECTED = Config()
PRINTED = Config(per_pass=1000, coarse_passes=None, fine="printed", keep_best=False)
READINGS = {"corrected": CORRECTED, "printed": PRINTED}


def coarse_candidates(best: Best, alpha: float, noise: Latent) -> Latent:
    """Return alpha I_opt + noise of the prior. Source: Algorithm 1, line 8.

    `best` is (1, latents), `noise` (candidates, latents), as in the two functions below.
    """
    return alpha * best + noise


def fine_candidates(best: Best, beta: float, noise: Latent) -> Latent:
    """Return I_opt + beta noise: property 1. Source: Algorithm 1, line 14, as it is meant."""
    return best + beta * noise


def fine_candidates_printed(best: Best, beta: float, noise: Latent) -> Latent:
    """Return vectors of [-I_opt + beta I, I_opt + beta I]. Source: Algorithm 1, line 14.

    Where I_opt is negative the ends are taken in the other order; the interval is the same.
    """
    return beta + best * noise


class Greedy(Strategy):
    """Algorithm 1: a random start, then candidates drawn to the best, then noise around it.

    `best` is I_opt and `distance` how far it is: the closest so far with `keep_best`, without it
    the closest of the last pass, which can be worse than the one before.
    """

    name = "greedy"

    def __init__(
        self,
        scorer: Scorer,
        target: Target,
        bank: Bank,
        seed: int = 0,
        config: Config = CORRECTED,
    ):
        super().__init__(scorer, target, bank, seed)
        self.config, self.passes = config, 0
        self.alpha, self.beta = config.alpha_start, config.beta_start
        self.best = torch.zeros(1, scorer.generator.latents)
        self.distance = float("inf")

    @property
    def stage(self) -> str:
        """Return "random", "coarse" or "fine"."""
        if self.passes == 0:
            return "random"
        last = self.config.coarse_passes
        return "coarse" if last is None or self.passes <= last else "fine"

    def next_pass(self, allowed: int) -> Pass:
        """Draw one set V and take its closest vector for I_opt."""
        stage = self.stage
        if stage == "random":
            found = self.from_bank(0, min(allowed, self.config.initial), stage)
        else:
            latents = self._candidates(stage, min(allowed, self.config.per_pass))
            found = Pass(latents, self.score(latents), stage)
        self._learn(found)
        return found

    def _candidates(self, stage: str, count: int) -> Latent:
        noise = self.noise(count)
        if stage == "coarse":
            return coarse_candidates(self.best, self.alpha, noise)
        draw = fine_candidates if self.config.fine == "noise" else fine_candidates_printed
        return draw(self.best, self.beta, noise)

    def _learn(self, found: Pass) -> None:
        """Select_Optimal, then line 10 or 16."""
        latent, distance = found.best()
        better = distance < self.distance
        if better or not self.config.keep_best:
            self.best, self.distance = latent, distance
        if found.stage == "coarse":
            self.alpha = min(1.0, self.alpha + self.config.alpha_step)
        elif found.stage == "fine":
            factor = 1.0 if better else self.config.beta_factor
            beta = self.beta * factor + self.config.beta_step
            self.beta = min(1.0, max(self.config.beta_least, beta))
        self.passes += 1

    def state(self) -> dict[str, Tensor]:
        """Return I_opt, alpha, beta, how many passes were made, and the random stream."""
        numbers = [self.alpha, self.beta, self.distance, self.passes]
        return {
            "best": self.best,
            "numbers": torch.tensor(numbers, dtype=torch.float64),
            "random": self.random.get_state(),
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up what `state` returned."""
        self.best = state["best"]
        self.alpha, self.beta, self.distance, passes = state["numbers"].tolist()
        self.passes = int(passes)
        self.random.set_state(state["random"])
