"""The losses of a run: kept where they were computed until somebody looks, so no step waits.

A number that is read off a GPU makes the program wait for it. So the ledger keeps tensors and reads
them all at once when losses are logged or a checkpoint is due; on a CPU at once.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from facelab.engine.distribution import Processes


class NotFinite(ArithmeticError):
    """A loss is NaN or infinite: which phase's, which term, at which step."""

    def __init__(self, phase: str, term: str, value: float, step: int):
        super().__init__(f"phase {phase!r}: {term} is {value} at step {step}")
        self.step = step


@dataclass(frozen=True)
class _Page:
    step: int
    phase: str
    names: tuple[str, ...]
    values: Tensor


class Ledger:
    """Means of every term of every phase since they were last taken.

    `waits` says whether numbers are read when they are looked at only, as on a GPU; `latest` are
    the terms that were read last.
    """

    def __init__(self, processes: Processes):
        self._processes, self.waits = processes, processes.device.type != "cpu"
        self._unread: list[_Page] = []
        self._sums: dict[str, list[float]] = {}
        self.latest: Mapping[str, float] = {}

    def add(self, step: int, phase: str, names: Sequence[str], values: Tensor) -> None:
        """Take the terms' means of a phase at a step, over this process's rows."""
        self._unread.append(_Page(step, phase, tuple(names), values.detach()))
        if not self.waits:
            self.read()

    def read(self) -> None:
        """Read what is unread, as means over all processes, which must all call this.

        Raises `NotFinite` for the first number that isn't finite.
        """
        if not self._unread:
            return
        pages, self._unread = self._unread, []
        numbers = self._processes.mean(torch.cat([page.values for page in pages])).tolist()
        for page in pages:
            own, numbers = numbers[: len(page.names)], numbers[len(page.names) :]
            self.latest = dict(zip(page.names, own, strict=True))
            self._enter(page, self.latest)

    def _enter(self, page: _Page, found: Mapping[str, float]) -> None:
        for name, value in found.items():
            if not math.isfinite(value):
                raise NotFinite(page.phase, name, value, page.step)
            self.note(f"{page.phase}/{name}", value)

    def note(self, name: str, value: float) -> None:
        """Count a number in that is known already."""
        entry = self._sums.setdefault(name, [0.0, 0])
        entry[0] += value
        entry[1] += 1

    def take(self) -> dict[str, float]:
        """Return the means by "phase/term", and begin anew."""
        self.read()
        means = {name: total / count for name, (total, count) in self._sums.items()}
        self._sums = {}
        return means

    @property
    def state(self) -> dict[str, list[float]]:
        """The sums and counts so far: what a checkpoint keeps. Call `read` before."""
        return {name: list(entry) for name, entry in self._sums.items()}

    @state.setter
    def state(self, sums: Mapping[str, Sequence[float]]) -> None:
        self._sums = {name: list(entry) for name, entry in sums.items()}
