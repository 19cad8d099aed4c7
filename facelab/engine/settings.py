"""How a run is done, whatever is trained: length, batch, precision, and what is written when."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from facelab.errors import ParameterError

PRECISIONS, DEVICES = ("fp32", "bf16"), ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Settings:
    """What a run needs to know beside the method and the data.

    A run ends after `steps` steps or `minutes` minutes, whichever comes first; minutes of earlier
    parts of a resumed run count. `batch` is the number of faces a step over all processes, each of
    which computes its share in `accumulate` parts, to save memory. `seed` decides the order of the
    data and everything that a loss draws.

    `device` "auto" takes a GPU if there is one; `processes` are those of this machine, one a GPU
    (torchrun's environment, where there is one, says how many there are instead). `precision`
    "bf16" computes losses under autocast; parameters, averages and optimisers stay float32.
    `channels_last` stores pictures and filters so; it is quicker for most convolutions.

    `workers` threads prepare batches, `prefetch` ahead; with 0 workers the loop makes its own.
    Every `log_every` steps losses are logged, every `preview_every` the method draws
    `preview_faces` faces (0: never). A checkpoint is written every `checkpoint_every` steps (0: not
    by steps) and every `checkpoint_minutes`; the last `keep` stay, and the best.

    Raises `ParameterError` for a value that can't be.
    """

    steps: int | None = None
    minutes: float | None = None
    batch: int = 64
    accumulate: int = 1
    seed: int = 0
    device: str = "auto"
    processes: int = 1
    precision: str = "fp32"
    channels_last: bool = False
    workers: int = 1
    prefetch: int = 2
    log_every: int = 20
    preview_every: int = 0
    preview_faces: int = 16
    checkpoint_every: int = 0
    checkpoint_minutes: float = 5.0
    keep: int = 2

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise ParameterError("a run without an end was asked for; give steps, minutes or both")
        for name in ("batch", "accumulate", "processes", "log_every", "preview_faces", "keep"):
            _require(name, getattr(self, name), 1)
        for name in ("workers", "prefetch", "preview_every", "checkpoint_every"):
            _require(name, getattr(self, name), 0)
        if self.steps is not None:
            _require("steps", self.steps, 0)
        for name in ("minutes", "checkpoint_minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ParameterError(f"{name} is {value}; give a number above 0")
        for name, choices in (("precision", PRECISIONS), ("device", DEVICES)):
            value, known = getattr(self, name), ", ".join(choices)
            if value not in choices:
                raise ParameterError(f"there is no {name} {value!r}; choose from: {known}")


def _require(name: str, value: int, least: int) -> None:
    if value < least:
        raise ParameterError(f"{name} is {value}; give {least} or more")


@dataclass(frozen=True)
class Evaluation:
    """How good the networks are, measured every `every` steps and at the end, and when to stop.

    `measure` is given the networks, averages where the method keeps them, in evaluation mode, and
    returns numbers by name. `watch` names the one that the best checkpoint is chosen by; after
    `patience` measurements without a better one the run stops (None: never). `embedders` are the
    ids of the embedders that score: a loss must not have seen them.
    """

    measure: Callable[[Mapping[str, nn.Module]], Mapping[str, float]]
    every: int
    watch: str | None = None
    lower_is_better: bool = True
    patience: int | None = None
    embedders: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require("every", self.every, 1)
        if self.patience is not None:
            _require("patience", self.patience, 1)
            if self.watch is None:
                raise ParameterError("patience needs a number to watch; give watch its name")

    def is_better(self, value: float, best: float | None) -> bool:
        """Tell whether a measurement beats the best so far; what is not finite never does."""
        if not math.isfinite(value):
            return False
        return best is None or (value < best if self.lower_is_better else value > best)
