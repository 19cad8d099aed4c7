"""Batches by the number of the step: any step's batch can be had at any time, so resume is exact.

An epoch is a permutation of the dataset that follows from the seed and the epoch's number. The
epochs lie end to end; step s takes the faces from s batch to (s + 1) batch of that line, so every
batch is full and no face is left out. Threads prepare the next batches while a step computes.
"""

import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from jaxtyping import Int
from torch import Tensor

from facelab.data.base import FaceDataset
from facelab.data.seeding import stream
from facelab.errors import ParameterError
from facelab.types import Batch


class Order:
    """The order in which `count` faces are seen, epoch after epoch."""

    def __init__(self, count: int, seed: int):
        self.count, self.seed = count, seed
        self._epoch = functools.lru_cache(maxsize=2)(self._shuffled)

    def _shuffled(self, epoch: int) -> Tensor:
        return torch.randperm(self.count, generator=stream("epoch", self.seed, epoch))

    def faces(self, start: int, size: int) -> Int[Tensor, " size"]:
        """Return the numbers of `size` faces, from place `start` of the line of all epochs."""
        parts, place = [], start
        while place < start + size:
            epoch, first = divmod(place, self.count)
            last = min(self.count, first + start + size - place)
            parts.append(self._epoch(epoch)[first:last])
            place += last - first
        return torch.cat(parts)


class Batches:
    """A process's batches of a run. Use it as a context: the threads end with it.

    `batch` is the number of faces of all processes; this one gets its rows of them. `finish` is
    done to a batch where it is prepared. Raises `ParameterError` when the dataset is empty.
    """

    def __init__(
        self,
        dataset: FaceDataset,
        batch: int,
        seed: int,
        *,
        rank: int = 0,
        world: int = 1,
        workers: int = 1,
        prefetch: int = 2,
        finish: Callable[[Batch], Batch] = lambda batch: batch,
    ):
        if not len(dataset):
            raise ParameterError(f"{dataset.id} has no faces to train on")
        self.dataset, self.batch, self.finish = dataset, batch, finish
        self.order = Order(len(dataset), seed)
        self._rows = slice(rank * batch // world, (rank + 1) * batch // world)
        self._ahead = prefetch if workers else 0
        self._threads = ThreadPoolExecutor(workers, "batches") if self._ahead else None
        self._coming: dict[int, Future[Batch]] = {}

    def __enter__(self) -> "Batches":
        return self

    def __exit__(self, *_: object) -> None:
        if self._threads:
            self._threads.shutdown(wait=True, cancel_futures=True)

    def faces(self, step: int) -> Tensor:
        """Return the numbers of the faces that this process sees at a step."""
        return self.order.faces(step * self.batch, self.batch)[self._rows]

    def at(self, step: int) -> Batch:
        """Return a step's batch, and have the next ones prepared."""
        if not self._threads:
            return self._prepare(self.faces(step))
        for coming in range(step, step + 1 + self._ahead):
            if coming not in self._coming:
                # The order is looked up here: its cache belongs to one thread.
                faces = self.faces(coming)
                self._coming[coming] = self._threads.submit(self._prepare, faces)
        wanted = self._coming.pop(step)
        self._coming = {number: one for number, one in self._coming.items() if number > step}
        return wanted.result()

    def _prepare(self, faces: Tensor) -> Batch:
        return self.finish(self.dataset.batch(faces))
