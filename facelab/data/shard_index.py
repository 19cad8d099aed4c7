"""What a folder of packed files holds, on one page of JSON: the index of `facelab.data.shards`.

The index is there from the beginning, so that a folder says what it will hold. It has no time and
no machine in it: the same faces give the same bytes.
"""

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, NamedTuple

from facelab.assets import cache
from facelab.data.base import hash_config
from facelab.data.packed import ENDING
from facelab.errors import DatasetError

VERSION = 1
AGAIN = "delete it and call the command that made the folder once more, which makes it again"


class File(NamedTuple):
    """What a finished file is known by."""

    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "File":
        """Return what a file is known by."""
        return cls(path.stat().st_size, cache.sha256(path))


@dataclass(frozen=True)
class Index(ABC):
    """What a folder holds: the config that all follows from, and which files are finished.

    A file has `shard` faces, but for the last one. `files` are the first ones, in order. `FILE` is
    the index's own name; `MAKE` and `GO_ON` say how a folder is made, and how one is finished.
    """

    FILE: ClassVar[str]
    MAKE: ClassVar[str]
    GO_ON: ClassVar[str]
    config: dict
    shard: int
    files: tuple[File, ...] = ()

    @property
    @abstractmethod
    def count(self) -> int:
        """How many faces there are when all files are."""

    @classmethod
    @abstractmethod
    def of(cls, card: dict, files: tuple[File, ...]) -> "Index":
        """Return the index that was written as `card`."""

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
        return replace(self, files=(*self.files, file))

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
        with cache.writing(self.FILE, folder):
            cache.write_beside(folder / self.FILE, text.encode())

    @classmethod
    def read(cls, folder: Path) -> "Index":
        """Read a folder's index. Raises `DatasetError` when it is missing, damaged or another's."""
        path, remedy = folder / cls.FILE, f"make the folder again with {cls.MAKE}"
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise DatasetError(f"{folder} has no {cls.FILE}; {remedy}") from error
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
        for name, kind in (("config", dict), ("faces", int), ("shard", int), ("files", list)):
            if not isinstance(card.get(name), kind) or card[name] == 0:
                raise DatasetError(f"{path} lacks {name!r}; {remedy}")
        try:
            index = cls.of(card, tuple(File(f["bytes"], f["sha256"]) for f in card["files"]))
            known = index.count
        except (KeyError, TypeError) as error:
            raise DatasetError(f"{path} lacks {error}; {remedy}") from error
        if known != card["faces"]:
            raise DatasetError(f"{path} has {card['faces']} faces, expected {known}; {remedy}")
        return index


def claim(folder: Path, wanted: Index) -> Index:
    """Return a folder's index, written anew if it has none; call it with the index's lock.

    Raises `DatasetError` when the folder holds other faces.
    """
    if not (folder / wanted.FILE).exists():
        if any(folder.glob(f"*{ENDING}")):
            raise DatasetError(f"{folder} holds other faces; give an empty or new folder")
        wanted.write(folder)
        return wanted
    found = type(wanted).read(folder)
    same = hash_config(found.config) == hash_config(wanted.config)
    if same and (found.count, found.shard) == (wanted.count, wanted.shard):
        return found
    differing = [n for n in wanted.config if wanted.config[n] != found.config.get(n)]
    differing += ["shard"] if found.shard != wanted.shard else ["number of faces"]
    different = differing[0]
    raise DatasetError(
        f"{folder} holds faces that were made with another {different}; give another folder, or "
        f"the settings in {folder / wanted.FILE}"
    )


def require(path: Path, size_bytes: int) -> None:
    """Raise `DatasetError` unless a file is there and as long as it was."""
    if not path.is_file():
        raise DatasetError(f"{path} is missing; call the command that made the folder once more")
    actual = path.stat().st_size
    if actual != size_bytes:
        raise DatasetError(
            f"{path} has {actual:,} bytes, expected {size_bytes:,}: it was cut short or changed; "
            f"{AGAIN}"
        )
