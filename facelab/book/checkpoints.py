"""Shipped weights: what their files and headers say, and which records know them.

A record measures a file when it names its SHA-256, tells of the training that the file's header
tells of (data, step, pictures, seed), or is what the header keeps of it.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facelab.book.fingerprint import file_sum
from facelab.book.ledger import sums
from facelab.book.measured import Records
from facelab.book.overview import CHAPTER_RECORD
from facelab.errors import CheckpointError
from facelab.verdicts import at

HEADERS = ("source", "facelab")  # where a file's metadata have JSON
# Of a run's record: it tells how weights were made, and measures nothing but their losses.
ENGINES_OWN = ("settings", "outcome")


@dataclass(frozen=True)
class Checkpoint:
    """A safetensors file: `numbers` counts them by type, `header` is the JSON of its metadata."""

    file: str
    sha256: str
    size_bytes: int
    numbers: Mapping[str, int]
    header: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return Path(self.file).name.removesuffix(".safetensors")

    @property
    def training(self) -> tuple | None:
        """What tells its training from others, None where the header has no training."""
        return _training(self.header)

    @property
    def data(self) -> str:
        """The names of what it learned from, as the header has them."""
        ways = (("data", "id"), ("record", "trained_on"), ("record", "weak_labels"))
        found = (at(self.header, *way) for way in (*ways, ("facts", "data")))
        return ", ".join(name for name in found if name)


@dataclass(frozen=True)
class Place:
    """A place in a record, and whether the record is that of the training itself."""

    record: str
    where: str
    made_in: bool


def read(path: Path, root: Path) -> Checkpoint:
    """Return what a file below `root` says; raises `CheckpointError` when it is damaged."""
    from safetensors import SafetensorError, safe_open

    numbers: Counter[str] = Counter()
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            for name in file.keys():  # noqa: SIM118 - a handle is no dictionary
                part = file.get_slice(name)
                numbers[part.get_dtype()] += math.prod(part.get_shape())
        header = next((json.loads(metadata[key]) for key in HEADERS if key in metadata), {})
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is no file of weights ({error}); fetch or copy it again"
        ) from None
    place = path.relative_to(root).as_posix()
    return Checkpoint(place, file_sum(path), path.stat().st_size, dict(numbers), header)


def shipped(root: Path) -> list[Path]:
    """Return the files of weights below facelab/, by name."""
    return sorted((root / "facelab").rglob("*.safetensors"))


class Knowledge:
    """The records of the project at `root`, and which of them know a file."""

    def __init__(self, root: Path) -> None:
        chapters = Path(CHAPTER_RECORD).stem
        self.records = Records(root)
        names = sorted(path.stem for path in self.records.folder.glob("*.json"))
        self.names = [name for name in names if name != chapters]
        self._by_sum: dict[str, dict[str, str]] = {}
        self._by_training: dict[tuple, dict[str, str]] = {}
        for name in self.names:
            record = self.records.get(name)
            for place, key, value in sums(record, ()):
                way = "/".join(map(str, (*place, key)))
                self._by_sum.setdefault(value, {}).setdefault(name, way)
            for place, table in tables(record):
                if training := _training(table):
                    self._by_training.setdefault(training, {}).setdefault(name, "/".join(place))

    def with_sum(self, *sha256: str) -> list[Place]:
        """Return the places that name one of these sums, the first of each record."""
        return self._placed([self._by_sum.get(each, {}) for each in sha256])

    def of(self, checkpoint: Checkpoint) -> list[Place]:
        """Return the places that know a checkpoint, one of each record."""
        found = [self._by_sum.get(checkpoint.sha256, {})]
        if checkpoint.training:
            found.append(self._by_training.get(checkpoint.training, {}))
        if own := checkpoint.header.get("record"):
            found.append({name: "" for name in self.names if self.records.get(name) == own})
        return self._placed(found)

    def _placed(self, found: list[dict[str, str]]) -> list[Place]:
        ways = {name: way for places in reversed(found) for name, way in places.items()}
        return [Place(name, ways[name], self._made_in(name)) for name in sorted(ways)]

    def _made_in(self, name: str) -> bool:
        return all(key in (self.records.get(name) or {}) for key in ENGINES_OWN)


def tables(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict]]:
    """Yield every table of a record with its place."""
    if isinstance(value, dict):
        yield place, value
    entries = value.items() if isinstance(value, dict) else ()
    for key, inner in enumerate(value) if isinstance(value, list) else entries:
        yield from tables(inner, (*place, str(key)))


def _training(table: Mapping[str, Any]) -> tuple | None:
    """Return data, step, pictures and seed of a table that tells of a training, or None."""
    facts = (
        at(table, "data", "sha256"),
        table.get("step", table.get("steps")),
        table.get("images"),
        table.get("seed"),
    )
    return None if None in facts else facts
