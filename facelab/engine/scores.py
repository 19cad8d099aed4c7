"""What a run's evaluations found: the last, the best, and how long there was none better."""

from collections.abc import Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from facelab.engine.settings import Evaluation
from facelab.errors import ParameterError


class Scores:
    """The measurements of a run; `evaluation` None measures nothing.

    `metrics` are the last numbers and `step` is where they were measured, -1 for nowhere yet;
    `best` is the step of the best watched number and the number; `stale` counts measurements since.
    """

    def __init__(self, evaluation: Evaluation | None):
        self.evaluation = evaluation
        self.metrics: dict[str, float] = {}
        self.step, self.stale = -1, 0
        self.best: tuple[int, float] | None = None

    @property
    def embedders(self) -> tuple[str, ...]:
        """Ids of the embedders that score."""
        return self.evaluation.embedders if self.evaluation else ()

    def due(self, step: int) -> bool:
        """Tell whether to measure after so many steps."""
        return self.evaluation is not None and step % self.evaluation.every == 0

    @property
    def exhausted(self) -> bool:
        """Whether the run is to stop, because nothing has got better for long enough."""
        patience = self.evaluation.patience if self.evaluation else None
        return patience is not None and self.stale >= patience

    def measure(self, networks: Mapping[str, nn.Module], step: int) -> None:
        """Measure these networks. Raises `ParameterError` when the watched number is missing."""
        with torch.no_grad(), evaluating(networks):
            found = self.evaluation.measure(networks)
        self.metrics = {name: float(value) for name, value in found.items()}
        self.step, watch = step, self.evaluation.watch
        if watch is None:
            return
        if watch not in self.metrics:
            raise ParameterError(
                f"the evaluation measures {', '.join(self.metrics) or 'nothing'}; {watch!r}, which "
                "is watched, must be among that"
            )
        value = self.metrics[watch]
        if self.evaluation.is_better(value, self.best and self.best[1]):
            self.best, self.stale = (step, value), 0
        else:
            self.stale += 1

    @property
    def state(self) -> dict[str, Any]:
        """All of it as JSON values; None stands for a number that is not finite."""
        finite = {k: v if abs(v) < float("inf") else None for k, v in self.metrics.items()}
        best = list(self.best) if self.best else None
        return {"metrics": finite, "step": self.step, "stale": self.stale, "best": best}

    @state.setter
    def state(self, known: Mapping[str, Any]) -> None:
        self.metrics = {k: float("nan") if v is None else v for k, v in known["metrics"].items()}
        self.step, self.stale = known["step"], known["stale"]
        self.best = tuple(known["best"]) if known["best"] else None


@contextmanager
def evaluating(networks: Mapping[str, nn.Module]):
    """Have networks in evaluation mode; each of their modules gets its own mode back."""
    modes = [(m, m.training) for network in networks.values() for m in network.modules()]
    for network in networks.values():
        network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
