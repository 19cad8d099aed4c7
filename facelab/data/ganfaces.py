"""Generated faces of new people, with labels: a folder of packed files and an index.

    ganfaces.json         version, config, and of each file its name, faces and SHA-256
    faces-00000.facepack  2,560 faces, person after person; the next files go on with the count

`facelab generate ganfaces` writes such folders. The index is there from the beginning and grows
with the files, so that an interrupted folder says how far it came. It has no time and no machine
in it: the same config gives the same bytes.

What a face shows is what its labels say as far as the network that made it of a render kept to it:
the labels are the render's, exact there.
"""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from facelab.assets import cache
from facelab.data.anny_faces import AnnyFaces
from facelab.data.base import FaceDataset, Indices, collate, hash_config
from facelab.data.packed import ENDING, Packed
from facelab.data.seeding import seed_of
from facelab.errors import DatasetError
from facelab.types import Batch

INDEX, VERSION = "ganfaces.json", 1
RECIPE = "ganfaces-1"  # changes whenever the same config gives other faces
SHARD = 2560  # faces of a file
OPEN = 256  # files that are kept open
SPLIT = "train"
AGAIN = "delete it and call the command that made the folder once more, which makes it again"

Progress = Callable[[int], None]  # faces done so far


def renders(size: int, identities: int, views: int, seed: int, *, device: str = "cpu") -> AnnyFaces:
    """Return the renders that generated faces are made of: new people, in no test set.

    The people come from a stream of their own, so that no seed of `AnnyFaces` has drawn them, and
    belong to the train split, so that nobody is in a validation or test set of anything.
    """
    words = seed_of("ganfaces", seed)
    return AnnyFaces(size, identities, views, seed=words, split=SPLIT, device=device)


class File(NamedTuple):
    """What a finished file is known by."""

    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "File":
        """Return what a file is known by."""
        return cls(path.stat().st_size, cache.sha256(path))


@dataclass(frozen=True)
class Index:
    """What a folder holds: the config that all follows from, and which files are finished.

    `config` has the numbers of `identities` and `views`, `size`, `seed`, and more that the writer
    says. A file has `shard` faces, but for the last one. `files` are the first ones, in order.
    """

    config: dict
    shard: int = SHARD
    files: tuple[File, ...] = ()

    @property
    def count(self) -> int:
        """How many faces there are when all files are."""
        return self.config["identities"] * self.config["views"]

    @property
    def shards(self) -> int:
        """How many files there are when all are."""
        return -(-self.count // self.shard)

    @property
    def finished(self) -> bool:
        """Whether all files are there."""
        return len(self.files) == self.shards

    def name(self, number: int) -> str:
        """Return a file's name."""
        return f"faces-{number:05d}{ENDING}"

    def span(self, number: int) -> range:
        """Return the numbers of a file's faces."""
        return range(number * self.shard, min((number + 1) * self.shard, self.count))

    def shard_config(self, number: int) -> dict:
        """Return the config that a file is packed with."""
        return {"dataset": hash_config(self.config), "first": self.span(number).start}

    def followed_by(self, file: File) -> "Index":
        """Return the index after the next file was finished."""
        return dataclasses.replace(self, files=(*self.files, file))

    def write(self, folder: Path) -> None:
        """Write the index beside and rename it. Raises `AssetError` when it can't be written."""
        files = [
            {
                "name": self.name(number),
                "faces": len(self.span(number)),
                "bytes": file.size_bytes,
                "sha256": file.sha256,
            }
            for number, file in enumerate(self.files)
        ]
        card = {
            "version": VERSION, "config": self.config, "faces": self.count, "shard": self.shard,
            "files": files,
        }  # fmt: skip
        text = json.dumps(card | {"sha256": hash_config(card)}, indent=1, sort_keys=True)
        with cache.writing(INDEX, folder):
            cache.write_beside(folder / INDEX, text.encode())

    @classmethod
    def read(cls, folder: Path) -> "Index":
        """Read a folder's index. Raises `DatasetError` when it is missing, damaged or another's."""
        path = folder / INDEX
        remedy = "make the folder again with facelab generate ganfaces"
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise DatasetError(f"{folder} has no {INDEX}; {remedy}") from error
        except (OSError, ValueError) as error:
            raise DatasetError(f"{path} can't be read ({error}); {remedy}") from error
        version = card.get("version") if isinstance(card, dict) else None
        if version != VERSION:
            raise DatasetError(
                f"{path} is of version {version}, this facelab reads {VERSION}; {remedy}"
            )
        known = card.pop("sha256", None)
        if known != hash_config(card):
            raise DatasetError(f"{path} was changed after it was written; {remedy}")
        try:
            files = tuple(File(file["bytes"], file["sha256"]) for file in card["files"])
            return cls(card["config"], card["shard"], files)
        except (KeyError, TypeError) as error:
            raise DatasetError(f"{path} lacks {error}; {remedy}") from error


class GanFaces(FaceDataset):
    """The faces that `facelab generate ganfaces` wrote to a folder, with their labels.

    `identity` numbers the people from 0. A batch has attributes, 68 landmarks and angles, and its
    `labels` the coefficients of shape and expression, the phenotype, the light and the seeds; all
    are those of the renders that the faces were made of. Raises `DatasetError` when the index is
    missing, unfinished, changed or of another version, when a file is missing, cut short, changed
    or another folder's, and when people are numbered otherwise than the index says.
    """

    split = SPLIT

    def __init__(self, folder: str | Path):
        self.folder, self.index = Path(folder), Index.read(Path(folder))
        index, config = self.index, self.index.config
        if not index.finished:
            raise DatasetError(
                f"{self.folder} is not finished: {len(index.files)} of {index.shards} files are "
                "there; call the command that made it once more, and it goes on"
            )
        for number, file in enumerate(index.files):
            _require(self.folder / index.name(number), file.size_bytes)
        self.id, self.size = f"ganfaces-{config['size']}", config["size"]
        self.people = config["identities"]
        self.identity = torch.arange(self.people).repeat_interleave(config["views"])
        self._open: dict[int, Packed] = {}
        self.attribute_names = self._shard(0).attribute_names

    def config(self) -> dict:
        """Return everything that the faces follow from, as JSON values."""
        return self.index.config

    def _shard(self, number: int) -> Packed:
        if number not in self._open:
            if len(self._open) == OPEN:
                del self._open[next(iter(self._open))]
            self._open[number] = self._opened(number)
        return self._open[number]

    def _opened(self, number: int) -> Packed:
        path, span = self.folder / self.index.name(number), self.index.span(number)
        shard = Packed(path, config=self.index.shard_config(number))
        expected = self.identity[span.start : span.stop]
        if not torch.equal(shard.identity, expected):
            raise DatasetError(
                f"{path} has people {int(shard.identity.min())} to {int(shard.identity.max())}, "
                f"the index says {int(expected.min())} to {int(expected.max())}; {AGAIN}"
            )
        return shard

    def batch(self, indices: Indices) -> Batch:
        """Return these faces with their labels."""
        found = torch.tensor(self.resolve(indices), dtype=torch.long)
        numbers = found // self.index.shard
        parts, places = [], []
        for number in numbers.unique().tolist():
            rows = torch.nonzero(numbers == number)[:, 0]
            parts.append(self._shard(number).batch(found[rows] - number * self.index.shard))
            places.append(rows)
        return collate(parts).rows(torch.cat(places).argsort())

    def renders(self) -> AnnyFaces:
        """Return the renders that the faces were made of, in the same order."""
        config = self.index.config
        return renders(*(config[name] for name in ("size", "identities", "views", "seed")))

    def verify(self, progress: Progress | None = None) -> None:
        """Compute every file's SHA-256. Raises `DatasetError` for the first one that is wrong."""
        for number, file in enumerate(self.index.files):
            path = self.folder / self.index.name(number)
            if cache.sha256(path) != file.sha256:
                raise DatasetError(f"{path} is not what was written; {AGAIN}")
            if progress:
                progress(self.index.span(number).stop)


def _require(path: Path, size_bytes: int) -> None:
    """Raise `DatasetError` unless a file is there and as long as it was."""
    if not path.is_file():
        raise DatasetError(f"{path} is missing; call the command that made the folder once more")
    actual = path.stat().st_size
    if actual != size_bytes:
        raise DatasetError(
            f"{path} has {actual:,} bytes, expected {size_bytes:,}: it was cut short or changed; "
            f"{AGAIN}"
        )
