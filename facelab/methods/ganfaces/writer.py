"""Write a dataset of generated faces: renders of new people, passed through G, in checked files.

Every file is packed on its own, block by block, so that a process which is killed loses a block at
most: called again, it goes on where it was. Nothing depends on how often that happened, on how many
processes shared the work, or on the time.
"""

import dataclasses
import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from facelab import devices
from facelab.assets import cache
from facelab.data.base import FaceDataset, Indices
from facelab.data.ganfaces import INDEX, RECIPE, SHARD, GanFaces, Index, renders
from facelab.data.shard_index import File, claim
from facelab.data.shards import Progress, pack_file
from facelab.errors import DatasetError, ParameterError
from facelab.methods.ganfaces import checkpoint
from facelab.methods.ganfaces.networks import Translator
from facelab.types import Batch

# Of a render's labels, those that hold of the generated face as well. The looks that were painted
# on the head follow from the seeds.
LABELS = (
    "identity_seed", "view_seed", "identity_coefficients", "expression_weights", "phenotype",
    "light_harmonics", "light_direction", "light_intensity",
)  # fmt: skip
AT_ONCE = 128
TOLD_EVERY_S = 0.2


@dataclass(frozen=True)
class Order:
    """What is to be written: people, views of each, pixels, a seed, and which G makes them.

    `size` is a multiple of 4; a G is at its best at the size that it was trained at. Raises
    `ParameterError` for a size that G can't make.
    """

    identities: int
    views: int
    size: int = 64
    seed: int = 0
    checkpoint: Path | None = None

    def __post_init__(self):
        if self.size % 4:
            raise ParameterError(
                f"faces of {self.size} pixels can't be made; give a size that is a multiple of 4"
            )

    @property
    def weights(self) -> Path:
        """The file of G."""
        return self.checkpoint or checkpoint.book_path()

    def renders(self, device: str = "cpu") -> FaceDataset:
        """Return the renders that the faces are made of."""
        return renders(self.size, self.identities, self.views, self.seed, device=device)

    def config(self) -> dict:
        """Return everything that the faces follow from, as JSON values."""
        return {
            "recipe": RECIPE,
            "identities": self.identities,
            "views": self.views,
            "size": self.size,
            "seed": self.seed,
            "generator": cache.sha256(self.weights),
            "renders": self.renders().config(),
        }


class Translated(FaceDataset):
    """Some faces of a dataset of renders as G makes photo-like ones of them, with their labels."""

    def __init__(self, source: FaceDataset, span: range, generator: Translator, config: dict):
        self.source, self.span, self.generator, self._config = source, span, generator, config
        self.id, self.size, self.split = "ganfaces", source.size, source.split
        self.people, self.attribute_names = source.people, source.attribute_names
        self.identity = source.identity[span.start : span.stop]
        self.device = next(generator.parameters()).device

    def config(self) -> dict:
        """Return what these faces are of which dataset."""
        return self._config

    @torch.no_grad()
    def batch(self, indices: Indices) -> Batch:
        """Return these faces."""
        found = [self.span[index] for index in self.resolve(indices)]
        batch = self.source.batch(found)
        made = [self.generator(p.to(self.device)).cpu() for p in batch.images.split(AT_ONCE)]
        return Batch(
            torch.cat(made),
            batch.identity,
            attributes=batch.attributes,
            landmarks=batch.landmarks,
            euler_rad=batch.euler_rad,
            labels={name: batch.labels[name] for name in LABELS},
        )


def write(
    order: Order,
    folder: str | Path,
    *,
    jobs: int = 1,
    device: str = "cpu",
    shard: int = SHARD,
    progress: Progress | None = None,
) -> GanFaces:
    """Write the faces of an order to a folder and open it; what is there already is kept.

    `jobs` processes write a file each, on one thread each; `progress` is called with the number of
    faces done. Raises `DatasetError` when the folder holds other faces or the disk is full, and
    what `checkpoint.load` raises.
    """
    if jobs < 1:
        raise ParameterError(f"{jobs} processes write nothing; give at least 1")
    devices.choose(device)  # refuses a GPU that is not there
    checkpoint.load(order.weights)  # what is wrong with it is said before anything is written
    folder = Path(folder)
    with cache.lock(folder / INDEX), cache.writing("ganfaces", folder):
        index = _claim(folder, order, shard)
        numbers = range(len(index.files), index.shards)
        tell = _Told(progress, min(len(index.files) * shard, index.count))
        task = _Task(order, folder, index, device)
        made = _one_by_one(task, numbers, tell) if jobs == 1 else _shared(task, numbers, jobs, tell)
        for file in made:
            index = index.followed_by(file)
            index.write(folder)
    return GanFaces(folder)


def _claim(folder: Path, order: Order, shard: int) -> Index:
    """Return the folder's index, a new one if it has none.

    It says of no more files than are there: one that was deleted is made again.
    """
    found = claim(folder, Index(order.config(), shard))
    there = [(folder / found.name(number)).is_file() for number in range(len(found.files))]
    kept = there.index(False) if False in there else len(there)
    return dataclasses.replace(found, files=found.files[:kept])


@dataclass(frozen=True)
class _Task:
    """What every process needs to write a file."""

    order: Order
    folder: Path
    index: Index
    device: str

    @functools.cached_property
    def source(self) -> FaceDataset:
        return self.order.renders(self.device)

    @functools.cached_property
    def generator(self) -> Translator:
        return checkpoint.load(self.order.weights, self.device)

    def write(self, number: int, more: Callable[[int], None]) -> File:
        """Write a file, unless it is there, and return what it is known by.

        `more` is called with how many faces are done since it was called last.
        """
        index, path, done = self.index, self.folder / self.index.name(number), 0

        def progress(now: int) -> None:
            nonlocal done
            more(now - done)
            done = now

        config = index.shard_config(number)
        faces = Translated(self.source, index.span(number), self.generator, config)
        return pack_file(faces, path, progress)


class _Told:
    """Tells a caller how many faces are done, counting from those of before."""

    def __init__(self, progress: Progress | None, done: int):
        self.progress, self.done = progress, done
        self(0)

    def __call__(self, more: int) -> None:
        self.done += more
        if self.progress:
            self.progress(self.done)


def _one_by_one(task: _Task, numbers: range, tell: _Told) -> Iterator[File]:
    """Yield the files in order, all written here."""
    for number in numbers:
        with _one_thread():
            file = task.write(number, tell)
        yield file


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch count on one thread: sums on several round as their number wants it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _shared(task: _Task, numbers: range, jobs: int, tell: _Told) -> Iterator[File]:
    """Yield the files in order, written by several processes."""
    context = multiprocessing.get_context("spawn")
    counter, stop = context.Value("q", 0), context.Event()
    pool = ProcessPoolExecutor(jobs, context, _start, (task, counter, stop))
    try:
        futures = [pool.submit(_write, number) for number in numbers]
        seen = 0
        for future in futures:
            waiting = True
            while waiting:
                waiting = bool(wait([future], timeout=TOLD_EVERY_S).not_done)
                now = counter.value
                tell(now - seen)
                seen = now
            yield future.result()
    except BrokenProcessPool as error:
        raise DatasetError(
            f"a process that wrote to {task.folder} was killed, perhaps for its memory; call again "
            "with fewer --jobs, what is done is kept"
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


_state: dict[str, Any] = {}  # of a process that writes files for another


def _start(task: _Task, counter: Any, stop: Any) -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    _state.update(task=task, counter=counter, stop=stop)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    """A parent that was killed can't say that nobody waits any more."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _write(number: int) -> File:
    def more(faces: int) -> None:
        if _state["stop"].is_set():
            raise KeyboardInterrupt
        with _state["counter"].get_lock():
            _state["counter"].value += faces

    return _state["task"].write(number, more)
