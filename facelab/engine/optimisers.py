"""Optimisers and the learning rates of their schedules, as a function of the step alone."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from facelab.errors import ParameterError
from facelab.phases import Optimiser

ENDING = ("linear", "cosine")  # schedules that need to know where the run ends


def build(settings: Optimiser, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimiser of these settings, with torch's fused update where it has one.

    Fused, one pass over memory updates a tensor: a step of Adam is about nine times quicker on a
    CPU than in torch's default form, and differs from it in rounding. RMSprop, which has none,
    smooths squared gradients by the second of `betas`.
    """
    chosen = list(parameters)
    common = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    if settings.name in ("adam", "adamw"):
        kind = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
        own = {"betas": settings.betas, "eps": settings.epsilon}
        return kind(chosen, fused=True, **own, **common)
    if settings.name == "sgd":
        return torch.optim.SGD(chosen, momentum=settings.momentum, fused=True, **common)
    own = {"alpha": settings.betas[1], "momentum": settings.momentum, "eps": settings.epsilon}
    return torch.optim.RMSprop(chosen, **own, **common)


def learning_rate(settings: Optimiser, step: int, steps: int | None) -> float:
    """Return the learning rate at a step, counted from 0, of a run of `steps`.

    Raises `ParameterError` when the schedule falls to the run's end and the run has none.
    """
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    if settings.schedule == "milestones":
        passed = sum(step >= milestone for milestone in settings.milestones)
        return settings.learning_rate * settings.factor**passed
    if settings.schedule in ENDING:
        return settings.learning_rate * _falling(settings, step, steps)
    return settings.learning_rate


def _falling(settings: Optimiser, step: int, steps: int | None) -> float:
    if steps is None:
        raise ParameterError(
            f"the {settings.schedule} schedule falls to the run's end; give the number of steps"
        )
    share = (step - settings.warmup_steps) / max(1, steps - settings.warmup_steps)
    share = min(1.0, share)
    return 1 - share if settings.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * share))
