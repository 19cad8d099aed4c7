"""Faces in several packed files with one index: any dataset, however large, on several machines.

    index.json            version, config, number of faces, of each file its bytes and SHA-256
    faces-00000.facepack  the first faces; the next files go on with the count

`write` packs a dataset into such a folder, or one part of several, each on a machine of its own;
`Shards` opens it and gives any face in any order. The index is there from the beginning, without a
file, and names all files at once when all are whole: a folder with a file too few, or with one that
is still being written, is never opened. It has no time and no machine in it.

Why not a kept library? Faces are met in random order and a run goes on from where it was, which
speaks against what is read from front to back: TFRecord ("not random access", TensorFlow's guide to
python_io) and WebDataset, made for sequential reading of tar archives (its page on PyPI). An LMDB
has one write transaction at a time, by processes of one host (py-lmdb's description), so machines
can't share the work; FFCV needs OpenCV and libturbojpeg from the system (Debian's package of it);
MosaicML Streaming has random access, but holds numpy below 2.2 since its 0.11 (release notes),
and facelab's lock has 2.4. Arrow's file comes closest: random access through a memory map, and a
footer that is written last (its format's description). It would bring pyarrow for arrays that numpy
maps as they lie, and sums, resuming and parts would still be ours.
"""

import dataclasses
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facelab.assets import cache
from facelab.data.base import FaceDataset, Indices
from facelab.data.packed import Packed, batch_of, pack
from facelab.data.seeding import SPLITS, require_split
from facelab.data.shard_index import AGAIN, File, Index, claim, require
from facelab.errors import DatasetError, ParameterError
from facelab.types import Batch

INDEX = "index.json"
SHARD = 8192  # faces of a file: 101 MB at 64 x 64 pixels, 1.6 GB at 256 x 256
OPEN = 256  # files that are kept open
SPLIT = "label.split"  # the column with a face's split: its place in SPLITS

Progress = Callable[[int], None]  # faces done so far
Part = tuple[int, int]  # (1, 4) is the first of four


@dataclass(frozen=True)
class Contents(Index):
    """The index of any dataset: `config` is the dataset's own, `faces` how many it has."""

    FILE = INDEX
    MAKE = "the command that made it"
    GO_ON = "call the command that made it once more, for each part where it is made in parts"
    faces: int = 0

    @property
    def count(self) -> int:
        """How many faces there are when all files are."""
        return self.faces

    @classmethod
    def of(cls, card: dict, files: tuple[File, ...]) -> "Contents":
        """Return the index that was written as `card`."""
        return cls(card["config"], card["shard"], files, card["faces"])


class Sharded(FaceDataset):
    """The faces of a folder's files, opened when they are asked for.

    Raises `DatasetError` when the folder is unfinished, when a file is missing, cut short, changed
    or another folder's, and for what `check` finds.
    """

    def __init__(self, folder: Path, index: Index):
        self.folder, self.index = folder, index
        if not index.finished:
            there = sum((folder / index.name(number)).is_file() for number in range(index.shards))
            raise DatasetError(
                f"{folder} is not finished: {there} of {index.shards} files are there; "
                f"{index.GO_ON}, and it goes on"
            )
        for number, file in enumerate(index.files):
            require(folder / index.name(number), file.size_bytes)
        self._open: dict[int, Packed] = {}
        self._rows: dict[str, tuple] = {}

    def __getstate__(self) -> dict:
        # To another process go names, not the files' contents: it opens them itself.
        return self.__dict__ | {"_open": {}}

    @abstractmethod
    def check(self, number: int, shard: Packed) -> str | None:
        """Return what a file should have and what it has, in words, or None when all is well."""

    def config(self) -> dict:
        """Return everything that the faces follow from, as JSON values."""
        return self.index.config

    def shard(self, number: int) -> Packed:
        """Return a file of the folder, opened."""
        if number not in self._open:
            if len(self._open) >= OPEN:
                del self._open[next(iter(self._open))]
            self._open[number] = self._opened(number)
        return self._open[number]

    def _opened(self, number: int) -> Packed:
        path = self.folder / self.index.name(number)
        shard = Packed(path, config=self.index.shard_config(number))
        rows = {name: (array.dtype, array.shape[1:]) for name, array in shard.arrays.items()}
        self._rows = self._rows or rows
        if rows != self._rows or len(shard) != len(self.index.span(number)):
            raise DatasetError(f"{path} has other arrays or faces than the files before; {AGAIN}")
        if wrong := self.check(number, shard):
            raise DatasetError(f"{path} {wrong}; {AGAIN}")
        return shard

    def batch(self, indices: Indices) -> Batch:
        """Return these faces with their labels."""
        return batch_of(self._gathered(indices, set()))

    def labels(self, indices: Indices) -> Batch:
        """Return the labels of these faces and read nothing else: pictures without pixels."""
        found = self._gathered(indices, {"images", "coverage"})
        return batch_of(found | {"images": np.empty((len(found["identity"]), 0, 0, 3), np.uint8)})

    def _gathered(self, indices: Indices, without: set[str]) -> dict[str, np.ndarray]:
        """Return the rows of these faces, of all arrays but some, as they are stored."""
        found = np.asarray(self.resolve(indices), dtype=np.int64)
        numbers, rows = found // self.index.shard, found % self.index.shard
        # The bytes are gathered first and made numbers once, however many files they are from.
        whole = {
            name: np.empty((len(found), *shape), dtype)
            for name, (dtype, shape) in self._rows.items()
            if name not in without
        }
        for number in np.unique(numbers).tolist():
            places, arrays = np.flatnonzero(numbers == number), self.shard(number).arrays
            for name, gathered in whole.items():
                gathered[places] = arrays[name][rows[places]]
        return whole

    def column(self, name: str) -> Tensor:
        """Return a whole label, such as "attributes" or "label.split", as a tensor."""
        return torch.cat([self.shard(n).column(name) for n in range(self.index.shards)])

    def verify(self, progress: Progress | None = None) -> None:
        """Compute every file's SHA-256. Raises `DatasetError` for the first one that is wrong."""
        for number, file in enumerate(self.index.files):
            path = self.folder / self.index.name(number)
            if cache.sha256(path) != file.sha256:
                raise DatasetError(f"{path} is not what was written; {AGAIN}")
            if progress:
                progress(self.index.span(number).stop)


class Shards(Sharded):
    """The faces that `write` packed into a folder, with all their labels and splits.

    Raises `DatasetError` when the index is missing, unfinished, changed or of another version, and
    when a file is missing, cut short, changed, or another folder's.
    """

    def __init__(self, folder: str | Path):
        folder = Path(folder)
        super().__init__(folder, Contents.read(folder))
        first = self.shard(0)
        self.id, self.size, self.split = first.id, first.size, first.split
        self.people, self.attribute_names = first.people, first.attribute_names
        self.identity = self.column("identity")

    def check(self, number: int, shard: Packed) -> str | None:
        """Return what is wrong with the people of a file, if anything is."""
        least, most = int(shard.identity.min()), int(shard.identity.max())
        if least < 0 or most >= shard.people:
            return f"has people {least} to {most}, expected 0 to {shard.people - 1}"
        return None

    def only(self, split: str) -> FaceDataset:
        """Return the faces of a split, their people numbered from 0; "all" are these.

        Raises `ParameterError` when there is no such split, and `DatasetError` when the faces have
        no label `split`, or none of them is in it.
        """
        require_split(split)
        return self if split == "all" else OneSplit(self, split)


class OneSplit(FaceDataset):
    """The faces of a folder that are in one split, in their order, with all their labels.

    People are numbered from 0 in the order of their numbers in the folder; `rows` are the faces'
    numbers there. Raises as `Shards.only` does.
    """

    def __init__(self, source: Shards, split: str):
        if SPLIT not in source.shard(0).arrays:
            raise DatasetError(f"{source.folder} has no label 'split'; take all of its faces")
        labels = source.column(SPLIT)
        self.rows = torch.nonzero(labels == SPLITS.index(split))[:, 0]
        if not len(self.rows):
            known = ", ".join(SPLITS[number] for number in labels.unique().tolist())
            raise DatasetError(
                f"no face of {source.folder} is in the split {split}; it has: {known}"
            )
        self.source, self.split = source, split
        self.id, self.size = f"{source.id}:{split}", source.size
        self.attribute_names = source.attribute_names
        people, self.identity = source.identity[self.rows].unique(return_inverse=True)
        self.people = len(people)

    def config(self) -> dict:
        """Return the folder's config, and the split."""
        return {"recipe": "split-1", "of": self.source.config(), "split": self.split}

    def batch(self, indices: Indices) -> Batch:
        """Return these faces with their labels."""
        return self._own(self.source.batch, indices)

    def labels(self, indices: Indices) -> Batch:
        """Return the labels of these faces and read nothing else: pictures without pixels."""
        return self._own(self.source.labels, indices)

    def _own(self, read: Callable[[Tensor], Batch], indices: Indices) -> Batch:
        found = self.resolve(indices)
        return dataclasses.replace(read(self.rows[found]), identity=self.identity[found])


class Span(FaceDataset):
    """Consecutive faces of a dataset: what one file holds."""

    def __init__(self, source: FaceDataset, span: range, config: dict):
        self.source, self.span, self._config = source, span, config
        self.id, self.size, self.split = source.id, source.size, source.split
        self.people, self.attribute_names = source.people, source.attribute_names
        self.identity = source.identity[span.start : span.stop]

    def config(self) -> dict:
        """Return what these faces are of which dataset."""
        return self._config

    def batch(self, indices: Indices) -> Batch:
        """Return these faces."""
        return self.source.batch([self.span[index] for index in self.resolve(indices)])


def faces_of_part(faces: int, part: Part = (1, 1), shard: int = SHARD) -> int:
    """Return how many of so many faces a part packs. Raises `ParameterError` for no such part."""
    index = Contents({}, shard, faces=faces)
    return sum(len(index.span(number)) for number in _numbers(index, part))


def _numbers(index: Index, part: Part) -> range:
    """Return the numbers of a part's files: part 2 of 4 has the second, the sixth, and so on."""
    number, parts = part
    if not 1 <= number <= parts:
        raise ParameterError(
            f"there is no part {number}/{parts}; give I/N with I from 1 to N, such as 1/4"
        )
    return range(number - 1, index.shards, parts)


def write(
    dataset: FaceDataset,
    folder: str | Path,
    *,
    shard: int = SHARD,
    part: Part = (1, 1),
    progress: Progress | None = None,
) -> Shards | None:
    """Pack a dataset, or a part of it, into a folder; what is there already is kept.

    Of `part` (i, n) the files number i, i + n, ... are packed, so that n machines share the work,
    on one disk or each on its own (then copy all files into one folder and `join` it). `progress`
    is called with the number of the part's faces that are done. Returns the folder, opened, when
    all files are there, else None: other parts aren't finished. A killed call goes on when it is
    made again. Raises `DatasetError` when the folder holds other faces or the disk is full,
    `ParameterError` when there is no such part, and what the dataset raises.
    """
    if shard < 1 or not len(dataset):
        raise ParameterError(
            f"{len(dataset)} faces can't be packed {shard} to a file; give at least 1 of both"
        )
    folder, index = Path(folder), Contents(dataset.config(), shard, faces=len(dataset))
    numbers = _numbers(index, part)
    with cache.lock(folder / INDEX), cache.writing("the packed faces", folder):
        index = claim(folder, index)
    made, done = {}, 0
    for number in numbers:

        def told(now: int, done: int = done) -> None:
            if progress:
                progress(done + now)

        made[number] = _made(dataset, folder, index, number, told)
        done += len(index.span(number))
    return Shards(folder) if _complete(folder, made) else None


def _made(
    dataset: FaceDataset, folder: Path, index: Index, number: int, progress: Progress
) -> File:
    """Return what a file is known by, packing it unless it is there."""
    path, span = folder / index.name(number), index.span(number)
    if index.finished and path.is_file():
        require(path, index.files[number].size_bytes)
        progress(len(span))
        return index.files[number]
    return pack_file(Span(dataset, span, index.shard_config(number)), path, progress)


def pack_file(faces: FaceDataset, path: Path, progress: Progress | None = None) -> File:
    """Pack a file's faces, or read those that are there, and return what it is known by.

    Raises `DatasetError` for what `pack` and `Packed.verify` refuse.
    """
    told = []

    def tell(done: int) -> None:
        told.append(done)
        if progress:
            progress(done)

    packed = pack(faces, path, progress=tell)
    if len(packed) != len(faces):
        raise DatasetError(f"{path} has {len(packed)} faces, expected {len(faces)}; {AGAIN}")
    if not told:  # it was finished before the index was told so
        packed.verify(progress)
    return File.of(path)


def join(folder: str | Path) -> Shards:
    """Complete the index of a folder whose parts were packed apart, and open it.

    Every file that the index doesn't know is read and its sums are checked. Raises `DatasetError`
    when files are missing, naming the first ones, or one is damaged or of another dataset.
    """
    folder = Path(folder)
    index = Contents.read(folder)
    missing = _missing(folder, index)
    if missing:
        names = ", ".join(index.name(number) for number in missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise DatasetError(f"{folder} lacks {names}{more}; {index.GO_ON}, or copy them there")
    _complete(folder, {})
    return Shards(folder)


def _missing(folder: Path, index: Index) -> list[int]:
    return [n for n in range(index.shards) if not (folder / index.name(n)).is_file()]


def _complete(folder: Path, made: dict[int, File]) -> bool:
    """Write the finished index, if all files are there, and tell whether they are."""
    with cache.lock(folder / INDEX), cache.writing("the packed faces", folder):
        index = Contents.read(folder)
        if _missing(folder, index):
            return False
        known = dict(enumerate(index.files)) | made
        files = [known.get(n) or _checked(folder, index, n) for n in range(index.shards)]
        whole = dataclasses.replace(index, files=tuple(files))
        if whole != index:
            whole.write(folder)
    return True


def _checked(folder: Path, index: Index, number: int) -> File:
    """Return what a file is known by that another process packed, having read all of it."""
    path = folder / index.name(number)
    shard = Packed(path, config=index.shard_config(number))
    if len(shard) != len(index.span(number)):
        raise DatasetError(
            f"{path} has {len(shard)} faces, expected {len(index.span(number))}; {AGAIN}"
        )
    shard.verify()
    return File.of(path)
