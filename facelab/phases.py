"""What a method hands the training loop: its networks, and a list of phases that move them.

A phase is a loss and the parameters that it moves. A single objective is one phase, an adversarial
game two, a regulariser that runs every sixteenth step one more. The loop in `facelab/engine` knows
these words and no paper; a method knows them and no loop.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from facelab.types import Batch, Image

Terms = Mapping[str, Float[Tensor, " batch"]]


@dataclass(frozen=True)
class Optimiser:
    """Settings of one optimiser and of its learning rate's schedule.

    `learning_rate` rises linearly from 0 over `warmup_steps`, then keeps still ("constant"), falls
    to 0 at the run's end ("linear", "cosine"), or is multiplied by `factor` at each of the
    `milestones`, which are steps ("milestones").
    """

    learning_rate: float
    name: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.0
    weight_decay: float = 0.0
    epsilon: float = 1e-8
    schedule: Literal["constant", "linear", "cosine", "milestones"] = "constant"
    warmup_steps: int = 0
    milestones: tuple[int, ...] = ()
    factor: float = 0.1


@dataclass(frozen=True)
class Step:
    """What the loop tells a loss: the step's number from 0, and where randomness comes from.

    `random` is a CPU stream that is the same in every process of a run. `draw` gives a process its
    own rows of what one process with the whole batch would draw.
    """

    number: int
    random: torch.Generator
    rank: int = 0
    world: int = 1

    def draw(
        self,
        sampler: Callable[[int, torch.Generator], Tensor],
        count: int,
        like: Tensor,
    ) -> Tensor:
        """Return `count` rows of `sampler(count * world, random)` on `like`'s device."""
        rows = sampler(count * self.world, self.random)
        return rows[self.rank * count : (self.rank + 1) * count].to(like.device)


@dataclass(frozen=True)
class Phase:
    """One loss, and what it moves.

    `parameters` are names of the method's networks, or of their parts ("encoder.blocks"): all else
    is frozen while the loss is computed. `loss` returns terms with one value per sample; the loop
    takes their means, weights them (1 where `weights` has no entry) and adds them up. The phase
    runs at the steps that `every` divides, after leaving out `offset`, and before the step `until`.
    `shares` names the phase whose optimiser it uses, instead of one of its own. `clip_norm` bounds
    the gradient's norm.
    `after` is called once the parameters have moved, with the terms' means over the whole batch of
    all processes, for what is updated without a gradient; what it returns is logged.
    """

    name: str
    parameters: tuple[str, ...]
    loss: Callable[[Batch, Step], Terms]
    optimiser: Optimiser
    weights: Mapping[str, float] = field(default_factory=dict)
    every: int = 1
    offset: int = 0
    until: int | None = None
    shares: str | None = None
    clip_norm: float | None = None
    after: Callable[[Mapping[str, float]], Mapping[str, float]] | None = None


class Method(ABC):
    """What can be trained: networks by name, phases in the order in which they run.

    `id` names the method in checkpoints and records, `config` is a frozen dataclass of JSON values.
    All that a run changes is in `networks`: numbers without a gradient are buffers there. Of those
    in `averaged` the loop keeps an exponential moving average with `ema_decay`.

    `embedders` are the ids of the embedders that a loss sees: none of them may score what comes
    out. `assets` names the assets that training reads. A run's record has both.
    """

    id: str
    config: Any
    networks: Mapping[str, nn.Module]
    averaged: tuple[str, ...] = ()
    ema_decay: float = 0.999
    embedders: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()

    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """Return the phases; called once, when training starts or resumes."""

    @abstractmethod
    def preview(self, networks: Mapping[str, nn.Module], batch: Batch) -> Image:
        """Return pictures that show how far training is, made by these networks.

        `networks` are the method's own or their averages, in evaluation mode; `batch` is the same
        at every call. What is drawn at random comes from a fixed seed.
        """
