"""Gradient descent through generator, alignment and embedder: what the field does today."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.methods.ganid.bank import Bank
from facelab.methods.ganid.scoring import Scorer, Target
from facelab.methods.ganid.strategy import Pass, Strategy
from facelab.types import Latent


@dataclass(frozen=True)
class Config:
    """The closest `starts` of `initial` random vectors go down together, `steps` steps of Adam.

    Then the next closest follow, and when no more `starts` are left, others of `initial` new random
    vectors, until the budget is spent. `rate` is Adam's in the beginning; it falls to a tenth.
    `prior` weighs how unlike the prior's a vector is. Raises `ParameterError` on what can't be
    used.
    """

    initial: int = 100
    starts: int = 4
    steps: int = 50
    rate: float = 0.1
    prior: float = 0.1

    def __post_init__(self):
        if min(self.initial, self.starts, self.steps) < 1 or self.starts > self.initial:
            raise ParameterError(
                f"{self.starts} starts of {self.initial} vectors and {self.steps} steps can't be "
                "used; give at least 1 of each, and no more starts than vectors"
            )
        if not (self.rate > 0 and self.prior >= 0):
            raise ParameterError(
                f"rate {self.rate} and prior {self.prior} can't be used; give a rate above 0 and "
                "a prior of 0 or more"
            )


DEFAULT = Config()


def prior_penalty(latent: Latent, prior: str) -> Float[Tensor, " batch"]:
    """Return how unlike the prior's each latent vector is, 0 or more; near 0 for those it draws.

    "uniform": the mean square of what is beyond [-1, 1], 0 within. "normal": (|z|^2 / n - 1)^2, for
    almost all vectors of N(0, 1) have a length near the root of n.
    """
    if prior == "uniform":
        return (latent.abs() - 1).clamp_min(0).square().mean(1)
    return (latent.square().mean(1) - 1).square()


class Gradient(Strategy):
    """Adam on identity distance + prior, from the closest random vectors, several at a time.

    A latent vector with its gradient counts as one evaluation, though it costs a backward pass too.
    """

    name = "gradient"

    def __init__(
        self,
        scorer: Scorer,
        target: Target,
        bank: Bank,
        seed: int = 0,
        config: Config = DEFAULT,
    ):
        super().__init__(scorer, target, bank, seed)
        self.config = config
        self.looks, self.round, self.step = 0, 0, 0
        self._go_from(torch.zeros(config.starts, scorer.generator.latents))

    def _go_from(self, latents: Latent) -> None:
        """Start at these latent vectors, with an Adam that has learnt nothing."""
        self.latents = latents.clone().requires_grad_()
        self.adam = torch.optim.Adam([self.latents], lr=self.config.rate, betas=(0.9, 0.99))

    def next_pass(self, allowed: int) -> Pass:
        """Look for starts, or take one step with all of them."""
        rounds = self.config.initial // self.config.starts  # that one look at the bank feeds
        if self.round == self.looks * rounds:
            first = self.looks * self.config.initial
            self.looks += 1
            return self.from_bank(first, min(allowed, self.config.initial), "random")
        if self.step == 0:
            self._go_from(self._starts(self.round % rounds))
        found = self._descend(min(allowed, self.config.starts))
        self.step += 1
        if self.step == self.config.steps:
            self.round, self.step = self.round + 1, 0
        return found

    def _starts(self, turn: int) -> Latent:
        """Return the closest vectors of the last look, or those that come after in later turns."""
        first, starts = (self.looks - 1) * self.config.initial, self.config.starts
        distances = self.bank.distances(self.target, first, self.config.initial)
        rows = distances.argsort(stable=True)[turn * starts :][:starts]
        return self.bank.latents(first, self.config.initial)[rows]

    def _descend(self, count: int) -> Pass:
        """Score the first `count` vectors under way, and move them a step down."""
        tried = self.latents[:count].detach().clone()
        with torch.enable_grad():
            moving = self.latents[:count]
            distances = self.scorer.distances(moving, self.target).cpu()
            penalty = prior_penalty(moving, self.scorer.generator.prior)
            loss = (distances + self.config.prior * penalty).sum()
        # Of the vectors alone: a network that is not frozen keeps its own gradients.
        (self.latents.grad,) = torch.autograd.grad(loss, self.latents)
        self.adam.param_groups[0]["lr"] = self.config.rate * falling(self.step, self.config.steps)
        self.adam.step()
        return Pass(tried, distances.detach(), "gradient")

    def state(self) -> dict[str, Tensor]:
        """Return the vectors under way, what Adam has learnt, and how far all of it has come."""
        learnt = self.adam.state.get(self.latents, {})
        return {
            "latents": self.latents.detach(),
            "numbers": torch.tensor([self.looks, self.round, self.step]),
            **{f"adam.{name}": value for name, value in learnt.items()},
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up what `state` returned."""
        self._go_from(state["latents"])
        self.looks, self.round, self.step = map(int, state["numbers"])
        learnt = {k.removeprefix("adam."): t for k, t in state.items() if k.startswith("adam.")}
        if learnt:
            self.adam.state[self.latents] = {k: t.clone() for k, t in learnt.items()}


def falling(step: int, steps: int) -> float:
    """Return the share of the learning rate at a step: from 1 towards a tenth, as a cosine."""
    return 0.55 + 0.45 * math.cos(math.pi * step / steps)
