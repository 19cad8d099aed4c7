"""Unpack RecordIO files of pictures, as MXNet writes them, without MXNet; nothing in them is run.

    train.idx   a line a record: KEY, a tab, where the record begins in train.rec
    train.rec   a record: the magic number; 3 bits of kind and 29 of length; so many bytes, and
                zeros up to the next multiple of 4 (all numbers are little endian)
    property    people,height,width

A record that has the magic number in it was cut there: kind 0 is a whole one, 1, 2 and 3 are the
first, a middle and the last piece, and the number belongs between them. A picture's record: flag
(uint32), label (float32), two ids (uint64), `flag` more labels (float32) in place of the one, and
the file. In copies made for InsightFace, record 0 has no picture but two labels: pictures have the
keys from 1 to below the first one, and what comes after them describes the people.

The layout is that of dmlc-core's recordio and of mxnet/python/mxnet/recordio.py (`IRHeader`).
"""

import os
import shutil
import struct
from collections.abc import Callable
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

from facelab.assets import cache
from facelab.errors import DatasetError

RECORDS, INDEX, PROPERTY = "train.rec", "train.idx", "property"
MAGIC = 0xCED7230A
WHOLE, FIRST, MIDDLE, LAST = range(4)
HEAD = struct.Struct("<IfQQ")
MOST_LABELS, MOST_PEOPLE = 1 << 16, 1 << 24  # float32 counts whole numbers up to here
SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG\r\n\x1a\n": ".png"}

Progress = Callable[[int], None]  # pictures done so far


class Record(NamedTuple):
    """What a record says, and the file in it."""

    labels: tuple[float, ...]
    content: bytes


class Reader:
    """The records of a folder: `keys` are those of the pictures, `people` their number if told.

    Raises `DatasetError`, naming the file and the place, for what is no such folder, and for what
    is damaged, cut short, or leads out of the file.
    """

    def __init__(self, folder: Path):
        self.path = folder / RECORDS
        for name in (RECORDS, INDEX):
            if not (folder / name).is_file():
                raise DatasetError(f"{folder} has no {name}; give the folder that has both")
        self.size_bytes = self.path.stat().st_size
        self.people = _told_people(folder / PROPERTY)
        self._places = _index(folder / INDEX)
        self._stream = self.path.open("rb")
        try:
            self.keys = self._pictures()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def picture(self, key: int) -> tuple[int, str, bytes]:
        """Return a record's person, its file's ending, and the file."""
        labels, content = self.record(key)
        person = labels[0] if labels else -1.0
        if not (0 <= person < (self.people or MOST_PEOPLE) and person == int(person)):
            raise self._damaged(key, f"{person} is no person's number")
        for magic, suffix in SUFFIXES.items():
            if content.startswith(magic):
                return int(person), suffix, content
        raise self._damaged(key, "it has no JPEG and no PNG")

    def record(self, key: int) -> Record:
        """Return a record."""
        data = self._bytes(key)
        if len(data) < HEAD.size:
            raise self._damaged(key, f"it has {len(data)} bytes, too few")
        flag, label, _, _ = HEAD.unpack_from(data)
        if not flag:
            return Record((label,), data[HEAD.size :])
        end = HEAD.size + 4 * flag
        if flag > MOST_LABELS or end > len(data):
            raise self._damaged(key, f"it has no room for {flag:,} labels")
        return Record(struct.unpack_from(f"<{flag}f", data, HEAD.size), data[end:])

    def _pictures(self) -> tuple[int, ...]:
        keys = tuple(sorted(self._places))
        if keys[0] == 0:
            labels, content = self.record(0)
            if not content:
                end = labels[0]
                if not (1 < end <= len(keys)):
                    raise self._damaged(0, f"pictures end at {end}, of {len(keys):,} records")
                keys = tuple(range(1, int(end)))
        absent = next((key for key in keys if key not in self._places), None)
        if absent is not None:
            raise DatasetError(f"{self.path.with_name(INDEX)} has no record {absent}; get it again")
        return keys

    def _bytes(self, key: int) -> bytes:
        """Return a record's bytes, put together again where they were cut."""
        place, pieces = self._places[key], []
        while True:
            kind, piece, place = self._piece(key, place)
            if kind not in ((MIDDLE, LAST) if pieces else (WHOLE, FIRST)):
                raise self._damaged(key, "its pieces are out of order")
            pieces.append(piece)
            if kind in (WHOLE, LAST):
                return struct.pack("<I", MAGIC).join(pieces)

    def _piece(self, key: int, place: int) -> tuple[int, bytes, int]:
        """Return a piece's kind, its bytes, and where the next one begins."""
        self._stream.seek(place)
        head = self._stream.read(8)
        if len(head) < 8:
            raise self._damaged(key, f"the file ends before its byte {place:,}")
        magic, kind_and_length = struct.unpack("<II", head)
        if magic != MAGIC:
            raise self._damaged(key, f"no record begins at byte {place:,}")
        length = kind_and_length & ((1 << 29) - 1)
        if length > self.size_bytes - place - 8:
            raise self._damaged(key, f"it would end behind the file's {self.size_bytes:,} bytes")
        piece = self._stream.read(length)
        return kind_and_length >> 29, piece, place + 8 + (length + 3) // 4 * 4

    def _damaged(self, key: int, why: str) -> DatasetError:
        return DatasetError(
            f"{self.path}, record {key}: {why}; it is damaged, or {INDEX} is not its own: get both "
            "again"
        )


def unpack(source: Path, target: Path, progress: Progress | None = None) -> Path:
    """Write the pictures of `source` to target/PERSON/KEY.jpg: all of them, or nothing.

    They are the files as they were packed, written beside the new folder `target`, which gets its
    name in the end. Raises `DatasetError` for damaged records and a folder that is there already,
    and `AssetError` for a disk that is full.
    """
    if target.exists():
        raise DatasetError(f"{target} is there already; give a new folder with -o")
    beside = target.with_name(f".{target.name}.{os.getpid()}.unpacking")
    with Reader(source) as reader, cache.writing(RECORDS, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(target.parent).free < reader.size_bytes:
            raise cache.disk_full(f"{RECORDS} needs {reader.size_bytes / 1e6:.0f} MB", target)
        try:
            _write(reader, beside, progress)
            os.replace(beside, target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return target


def _write(reader: Reader, folder: Path, progress: Progress | None) -> None:
    left = reader.size_bytes
    for done, key in enumerate(reader.keys, start=1):
        person, suffix, content = reader.picture(key)
        left -= len(content)
        if left < 0:  # an index may name one place many times
            raise DatasetError(
                f"{reader.path} unpacks to more than its {reader.size_bytes:,} bytes; {INDEX} is "
                "not its own: get both again"
            )
        path = folder / f"{person:07d}" / f"{key:08d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if progress:
            progress(done)


def _index(path: Path) -> dict[int, int]:
    """Return where each record begins."""
    places = {}
    with path.open("rb") as stream:
        for number, line in enumerate(_lines(stream), start=1):
            key, _, place = line.strip().partition(b"\t")
            if not (key.isdigit() and place.isdigit() and len(line) < 50) or int(key) in places:
                raise DatasetError(
                    f"{path}, line {number}: {line[:40]!r}; expected a new key, a tab and a place"
                )
            places[int(key)] = int(place)
    if not places:
        raise DatasetError(f"{path} is empty; get it again")
    return places


def _lines(stream: BufferedIOBase):
    """Yield lines, none of them longer than is sensible."""
    while line := stream.readline(100):
        yield line


def _told_people(path: Path) -> int | None:
    """Return the number of people that the file of properties tells, or None."""
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        told = stream.read(100).strip().split(b",")[0]
    if not told.isdigit() or not 0 < int(told) <= MOST_PEOPLE:
        raise DatasetError(f"{path} begins with {told[:20]!r}, expected the number of people")
    return int(told)
