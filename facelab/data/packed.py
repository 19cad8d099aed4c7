"""Faces in one file: memory-mapped, checked block by block, built in pieces and never half there.

    magic, 8 bytes | length of the header, 8 bytes | header, JSON
    the arrays, each whole and at a multiple of 4,096 bytes
    one SHA-256 a block of faces | one SHA-256 over the header and those

The header has the format's version, the dataset's config and its hash, the number of faces and of
faces in a block, and each array's name, type, shape and place. Pictures are uint8, (faces, height,
width, 3); labels are arrays of one row a face. Any `FaceDataset` can be packed.

A file is built under another name. A block's sum is written after the block is on the disk, so that
a build that was killed goes on with the first block whose sum is missing or wrong; when all are
there, the file is renamed. A file of another version, of another config or length, or whose header
or sums were changed, isn't opened; `verify` reads the blocks as well.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facelab.data.base import FaceDataset, Indices, hash_config
from facelab.data.masks import attribute_masks
from facelab.errors import DatasetError
from facelab.images import from_uint8, to_uint8
from facelab.types import Batch

MAGIC = b"FACEPACK"
VERSION = 1
BLOCK = 128
PAGE, SUM = 4096, 32
ENDING = ".facepack"
FULL = {errno.ENOSPC, errno.EDQUOT}
LABEL = "label."

Progress = Callable[[int], None]  # faces done so far


@dataclass(frozen=True)
class _Array:
    name: str
    dtype: np.dtype
    shape: tuple[int, ...]  # of one face
    offset: int

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)


@dataclass(frozen=True)
class _Layout:
    """Where everything is in a file."""

    header: bytes
    count: int
    block: int
    arrays: tuple[_Array, ...]

    @classmethod
    def plan(cls, card: dict, rows: dict[str, np.ndarray], count: int, block: int) -> "_Layout":
        """Lay out `count` faces whose arrays are like `rows`."""
        described = [
            {"name": name, "dtype": row.dtype.str, "shape": list(row.shape[1:])}
            for name, row in rows.items()
        ]
        card = card | {"version": VERSION, "count": count, "block": block, "arrays": described}
        return cls.read(json.dumps(card, sort_keys=True).encode())

    @classmethod
    def read(cls, header: bytes) -> "_Layout":
        """Return the layout that a header describes."""
        card = json.loads(header)
        count, offset, arrays = card["count"], _aligned(16 + len(header)), []
        for entry in card["arrays"]:
            array = _Array(entry["name"], np.dtype(entry["dtype"]), tuple(entry["shape"]), offset)
            arrays.append(array)
            offset = _aligned(offset + count * array.row_bytes)
        return cls(header, count, card["block"], tuple(arrays))

    @property
    def blocks(self) -> int:
        return -(-self.count // self.block)

    @property
    def sums_offset(self) -> int:
        last = self.arrays[-1]
        return _aligned(last.offset + self.count * last.row_bytes)

    @property
    def total_bytes(self) -> int:
        return self.sums_offset + (self.blocks + 1) * SUM

    def span(self, number: int) -> range:
        """The faces of a block."""
        return range(number * self.block, min((number + 1) * self.block, self.count))

    def start(self) -> bytes:
        """The file's first bytes."""
        return MAGIC + len(self.header).to_bytes(8, "little") + self.header


def _aligned(offset: int) -> int:
    return -(-offset // PAGE) * PAGE


def arrays_of(batch: Batch) -> dict[str, np.ndarray]:
    """Return a batch as arrays of one row a face, as they are packed; masks are left out."""
    found = {"images": to_uint8(batch.images).numpy(), "identity": batch.identity.numpy()}
    for name in ("attributes", "landmarks", "euler_rad"):
        value = getattr(batch, name)
        if value is not None:
            found[name] = value.numpy()
    if batch.coverage is not None:
        found["coverage"] = (batch.coverage[:, 0] * 255).round().byte().numpy()
    labels = {LABEL + name: value.numpy() for name, value in batch.labels.items()}
    return {name: np.ascontiguousarray(value) for name, value in (found | labels).items()}


def batch_of(arrays: dict[str, np.ndarray], masks: tuple[str, ...] = ()) -> Batch:
    """Return the batch that `arrays_of` took apart, pictures and coverage rounded to 8 bits."""
    tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
    images, coverage = tensors.pop("images"), tensors.pop("coverage", None)
    known = {name: tensors[name] for name in tensors if not name.startswith(LABEL)}
    landmarks = known.get("landmarks")
    return Batch(
        images=from_uint8(images),
        coverage=None if coverage is None else coverage[:, None].float() / 255,
        masks={} if landmarks is None else attribute_masks(landmarks, images.shape[1], masks),
        labels={
            name.removeprefix(LABEL): tensors[name] for name in tensors if name.startswith(LABEL)
        },
        **known,
    )


def pack(
    dataset: FaceDataset,
    path: str | Path,
    *,
    block: int = BLOCK,
    progress: Progress | None = None,
) -> "Packed":
    """Write a dataset to a file and open it; a build that was interrupted goes on.

    When the file is there already and holds this dataset, it is opened. `progress` is called with
    the number of faces done. Raises `DatasetError` when the file is another dataset's, the disk
    is full, or the place can't be written.
    """
    from filelock import FileLock

    path = Path(path)
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # One process builds, others wait for it and open what it made.
        with FileLock(path.with_name(f".{path.name}.lock")):
            if not path.exists():
                _build(dataset, path, block, progress)
    return Packed(path, config=dataset.config())


def _build(dataset: FaceDataset, path: Path, block: int, progress: Progress | None) -> None:
    beside = path.with_name(f".{path.name}.part")
    card = {
        "id": dataset.id,
        "size": dataset.size,
        "split": dataset.split,
        "people": dataset.people,
        "attribute_names": list(dataset.attribute_names),
        "config": dataset.config(),
        "config_hash": dataset.config_hash,
    }
    layout = _Layout.plan(card, arrays_of(dataset.batch([0])), len(dataset), block)
    with _opened(beside, layout, path) as file:
        for number in range(layout.blocks):
            span = layout.span(number)
            if not _is_whole(file, layout, number):
                _write_block(file, layout, number, arrays_of(dataset.batch(list(span))))
            if progress:
                progress(span.stop)
        file.seek(layout.sums_offset)
        root = _root(layout.header, file.read(layout.blocks * SUM))
        file.seek(layout.sums_offset + layout.blocks * SUM)
        file.write(root)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


@contextlib.contextmanager
def _opened(beside: Path, layout: _Layout, path: Path) -> Iterator:
    """Open the file that is being built: an earlier one if it is of the same layout."""
    start = layout.start()
    known = beside.exists() and beside.stat().st_size == layout.total_bytes
    if known:
        with beside.open("rb") as file:
            known = file.read(len(start)) == start
    if not known:
        beside.unlink(missing_ok=True)
        free = shutil.disk_usage(path.parent).free
        if free < layout.total_bytes:
            raise DatasetError(
                f"{path} needs {layout.total_bytes / 1e6:,.0f} MB and the disk has "
                f"{free / 1e6:,.0f} MB left; free some, or choose another place"
            )
        with beside.open("wb") as file:
            file.truncate(layout.total_bytes)
            file.write(start)
    with beside.open("r+b") as file:
        yield file


def _write_block(file, layout: _Layout, number: int, rows: dict[str, np.ndarray]) -> None:
    """Write a block's faces and, when they are on the disk, its sum."""
    first, digest = layout.span(number).start, hashlib.sha256()
    for array in layout.arrays:
        row = rows[array.name]
        if row.dtype != array.dtype or row.shape != (len(layout.span(number)), *array.shape):
            raise DatasetError(
                f"array {array.name!r} is {row.dtype} {row.shape} in block {number}, expected "
                f"{array.dtype} {array.shape}; a dataset's batches must be alike"
            )
        data = row.tobytes()
        digest.update(data)
        file.seek(array.offset + first * array.row_bytes)
        file.write(data)
    file.flush()
    os.fsync(file.fileno())
    file.seek(layout.sums_offset + number * SUM)
    file.write(digest.digest())
    file.flush()


def _is_whole(file, layout: _Layout, number: int) -> bool:
    """Tell whether a block has a sum and the bytes that it is the sum of."""
    file.seek(layout.sums_offset + number * SUM)
    known = file.read(SUM)
    return known != bytes(SUM) and known == _block_sum(file, layout, number)


def _block_sum(file, layout: _Layout, number: int) -> bytes:
    span, digest = layout.span(number), hashlib.sha256()
    for array in layout.arrays:
        file.seek(array.offset + span.start * array.row_bytes)
        digest.update(file.read(len(span) * array.row_bytes))
    return digest.digest()


def _root(header: bytes, sums: bytes) -> bytes:
    return hashlib.sha256(header + sums).digest()


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DatasetError(
                f"{path}: no space is left on the disk; free some and call again, what is done "
                "is kept"
            ) from error
        raise DatasetError(
            f"{path} can't be written ({error.strerror or error}); choose another place"
        ) from error


class Packed(FaceDataset):
    """A packed dataset: the faces of a file, read when they are asked for.

    `config`, when given, is the one that the file has to be made with; `masks` as in `AnnyFaces`.
    Raises `DatasetError` when the file is missing, damaged, of another version or config.
    """

    def __init__(
        self, path: str | Path, *, config: dict | None = None, masks: tuple[str, ...] = ()
    ):
        self.path, self.masks = Path(path), tuple(masks)
        self._layout, self._card = _read(self.path)
        if config is not None and hash_config(config) != self._card["config_hash"]:
            raise DatasetError(
                f"{path} was made with other settings ({_difference(config, self._card['config'])})"
                "; give another path, or delete it to have it made again"
            )
        self.id, self.size = self._card["id"], self._card["size"]
        self.split, self.people = self._card["split"], self._card["people"]
        self.attribute_names = tuple(self._card["attribute_names"])
        # One map for all: each keeps the file open, and a process may have a thousand files.
        whole = np.memmap(self.path, np.uint8, "r")
        self._maps = {array.name: self._part(whole, array) for array in self._layout.arrays}
        self.identity = torch.from_numpy(np.array(self._maps["identity"]))

    def _part(self, whole: np.memmap, array: _Array) -> np.memmap:
        end = array.offset + self._layout.count * array.row_bytes
        rows = whole[array.offset : end].view(array.dtype)
        return rows.reshape(self._layout.count, *array.shape)

    def config(self) -> dict:
        """Return the config of the dataset that was packed."""
        return self._card["config"]

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, memory-mapped and read-only; labels begin with "label."."""
        return dict(self._maps)

    def batch(self, indices: Indices) -> Batch:
        """Return these faces with their labels."""
        found = np.asarray(self.resolve(indices), dtype=np.int64)
        return batch_of({name: array[found] for name, array in self._maps.items()}, self.masks)

    def column(self, name: str) -> Tensor:
        """Return a whole label, such as "attributes" or "label.phenotype", as a tensor."""
        if name not in self._maps:
            known = ", ".join(self._maps)
            raise DatasetError(f"{self.path} has no array {name!r}; it has: {known}")
        return torch.from_numpy(np.array(self._maps[name]))

    def verify(self, progress: Progress | None = None) -> None:
        """Compute every block's sum anew. Raises `DatasetError` for the first one that is wrong."""
        layout = self._layout
        with self.path.open("rb") as file:
            for number in range(layout.blocks):
                span = layout.span(number)
                if not _is_whole(file, layout, number):
                    raise DatasetError(
                        f"{self.path}: faces {span.start} to {span.stop - 1} are not what was "
                        "written; delete the file and make it again"
                    )
                if progress:
                    progress(span.stop)


def _read(path: Path) -> tuple[_Layout, dict]:
    """Return a file's layout and header, if it is whole and of this version."""
    remedy = "delete it and make it again"
    if not path.is_file():
        raise DatasetError(f"{path} does not exist; make it with facelab.data.packed.pack")
    actual = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(16)
        length = int.from_bytes(start[8:], "little")
        if len(start) < 16 or start[:8] != MAGIC or length > actual:
            raise DatasetError(f"{path} is no packed dataset; give a file that pack made")
        header = file.read(length)
        card = _parse(path, header)
        if card.get("version") != VERSION:
            raise DatasetError(
                f"{path} is of format version {card.get('version')}, this facelab reads {VERSION}; "
                f"{remedy}"
            )
        try:
            layout = _Layout.read(header)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DatasetError(f"{path} has a damaged header; {remedy}") from error
        if actual != layout.total_bytes:
            raise DatasetError(
                f"{path} has {actual:,} bytes, expected {layout.total_bytes:,}: it was cut short "
                f"or changed; {remedy}"
            )
        file.seek(layout.sums_offset)
        sums, root = file.read(layout.blocks * SUM), file.read(SUM)
    if root != _root(header, sums) or hash_config(card["config"]) != card["config_hash"]:
        raise DatasetError(f"{path}: its header or sums were changed; {remedy}")
    return layout, card


def _parse(path: Path, header: bytes) -> dict:
    try:
        card = json.loads(header)
    except ValueError as error:
        raise DatasetError(f"{path} has a damaged header; delete it and make it again") from error
    return card if isinstance(card, dict) else {}


def _difference(wanted: dict, found: dict) -> str:
    """Say what differs first between two configs."""
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            return f"{name} is {str(found.get(name))[:60]}, expected {str(wanted.get(name))[:60]}"
    return "in nothing that can be named"
