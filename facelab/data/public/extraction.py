"""Unpack an archive that somebody else made: whole and safely, or not at all.

Members are written beside the folder, which gets its name when all of them are there. Only files
and folders under plain relative names are taken; how much comes out is bounded by what the caller
allows, whatever the archive says of itself.
"""

import bz2
import gzip
import lzma
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

from facelab.assets import cache
from facelab.errors import DatasetError, UserError

CHUNK = 1 << 20
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
ENCRYPTED = 0x1  # a bit of a zip member's flags
BLOCK = 512  # of a tar
END_BYTES = 22  # of a zip's last record, without its comment

Progress = Callable[[int], None]  # files done so far


class _Member(NamedTuple):
    """A file or a folder of an archive; `stream` opens a file."""

    name: str
    size_bytes: int
    is_folder: bool
    stream: Callable[[], BufferedIOBase]


@dataclass
class _Limit:
    """What may still come out of an archive."""

    archive: Path
    most_bytes: int
    most_files: int
    files: int = 0
    bytes: int = 0

    def take(self, member: _Member) -> None:
        self.files += 1
        self.bytes += member.size_bytes
        if self.files > self.most_files:
            raise _refused(self.archive, member.name, f"is one of more than {self.most_files:,}")
        if self.bytes > self.most_bytes:
            raise _refused(
                self.archive, member.name, f"makes it more than {self.most_bytes:,} bytes"
            )


def extract(
    archive: Path,
    folder: Path,
    *,
    most_bytes: int,
    most_files: int,
    progress: Progress | None = None,
) -> Path:
    """Unpack a zip or a tar (also .gz, .bz2, .xz) into the new folder `folder` and return it.

    A folder that is there is taken as it is: it got its name when it was whole. `progress` is
    called with the number of files done. Raises `DatasetError`, naming the member, for a name that
    is absolute or goes up, for a link or a device, for a name that comes twice, for more files or
    bytes than allowed and for a member that is longer than it says; for an archive that is damaged,
    cut short or encrypted; and `AssetError` for a disk that is full.
    """
    with cache.lock(folder):
        if folder.is_dir():
            return folder
        beside = folder.with_name(f".{folder.name}.unpacking")
        try:
            with cache.writing(archive.name, folder):
                shutil.rmtree(beside, ignore_errors=True)
                beside.mkdir(parents=True)
                with _reading(archive):
                    _unpack(archive, beside, _Limit(archive, most_bytes, most_files), progress)
                os.replace(beside, folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return folder


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Turn what the readers raise for a damaged archive into a `DatasetError`."""
    try:
        yield
    except UserError:
        raise
    except (*DAMAGED, OSError) as error:
        # bz2 raises an OSError without a number for damage; those of the disk have one.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DatasetError(
            f"{archive} is damaged or cut short ({error or type(error).__name__}); delete it and "
            "get it again"
        ) from error


def _unpack(archive: Path, folder: Path, limit: _Limit, progress: Progress | None) -> None:
    seen: dict[str, bool] = {}
    with _opened(archive) as members:
        for member in members:
            name = _plain(archive, member.name)
            if not name:  # the archive's own "./"
                continue
            _require_new(archive, name, member.is_folder, seen)
            target = folder / name
            if member.is_folder:
                target.mkdir(parents=True, exist_ok=True)
                continue
            limit.take(member)
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(archive, member, target)
            if progress:
                progress(limit.files)


def _refused(archive: Path, name: str, why: str) -> DatasetError:
    return DatasetError(
        f"{archive}: the member {name[:200]!r} {why}; nothing was unpacked, and this is not the "
        "archive that was published: delete it and get it again"
    )


def _plain(archive: Path, name: str) -> str:
    """Return a member's name without "." parts. Raises `DatasetError` for one that leads out."""
    parts = name.split("/")
    if "\\" in name or re.match(r"[A-Za-z]:", name) or "\0" in name:
        raise _refused(archive, name, "has no plain name")
    if name.startswith("/"):
        raise _refused(archive, name, "has an absolute name")
    if ".." in parts:
        raise _refused(archive, name, "leads out of the folder")
    return "/".join(part for part in parts if part not in ("", "."))


def _require_new(archive: Path, name: str, is_folder: bool, seen: dict[str, bool]) -> None:
    """Raise `DatasetError` when a name comes twice, or is both a file and a folder."""
    if seen.get(name, is_folder) != is_folder or (name in seen and not is_folder):
        raise _refused(archive, name, "is there twice")
    seen[name] = is_folder
    parent = name.rpartition("/")[0]
    while parent and parent not in seen:
        seen[parent] = True
        parent = parent.rpartition("/")[0]
    if parent and not seen[parent]:
        raise _refused(archive, name, "lies in a file")


def _copy(archive: Path, member: _Member, target: Path) -> None:
    """Copy as many bytes as a member says it has; it must not have another number."""
    left = member.size_bytes
    try:
        with member.stream() as stream, target.open("xb") as out:
            while chunk := stream.read(min(CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    break
                out.write(chunk)
    except DAMAGED as error:
        raise _refused(archive, member.name, f"is damaged ({error})") from error
    if left < 0:
        raise _refused(archive, member.name, f"goes on after its {member.size_bytes:,} bytes")
    if left:
        raise _refused(archive, member.name, f"ends {left:,} bytes too early")


@contextmanager
def _opened(archive: Path) -> Iterator[Iterator[_Member]]:
    with archive.open("rb") as file:
        start = file.read(6)
    if start.startswith(b"PK"):
        with zipfile.ZipFile(archive) as opened:
            _require_end(archive, opened)
            _require_room(archive, sum(info.file_size for info in opened.infolist()))
            yield _zip_members(archive, opened)
        return
    _require_room(archive, archive.stat().st_size)
    with _decompressed(archive, start) as stream, tarfile.open(fileobj=stream, mode="r:") as opened:
        yield _tar_members(archive, opened, stream)


def _require_end(archive: Path, opened: zipfile.ZipFile) -> None:
    """Raise unless a zip's last record is at its end, with a comment as long as it says."""
    with archive.open("rb") as file:
        file.seek(-END_BYTES - len(opened.comment), os.SEEK_END)
        end = file.read(END_BYTES)
    if end[:4] != b"PK\5\6" or int.from_bytes(end[-2:], "little") != len(opened.comment):
        raise zipfile.BadZipFile("its end is damaged")


def _require_room(archive: Path, size_bytes: int) -> None:
    cache.require_room(f"unpacking {archive.name}", size_bytes)


def _zip_members(archive: Path, opened: zipfile.ZipFile) -> Iterator[_Member]:
    for info in opened.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refused(archive, info.filename, "is a link or a device")
        if info.flag_bits & ENCRYPTED:
            raise _refused(archive, info.filename, "is encrypted")
        yield _Member(
            info.orig_filename, info.file_size, info.is_dir(), lambda info=info: opened.open(info)
        )


def _tar_members(
    archive: Path, opened: tarfile.TarFile, stream: BufferedIOBase
) -> Iterator[_Member]:
    while (info := opened.next()) is not None:
        if not (info.isreg() or info.isdir()):
            raise _refused(archive, info.name, "is a link or a device")
        yield _Member(
            info.name, info.size, info.isdir(), lambda info=info: opened.extractfile(info)
        )
        opened.members.clear()  # a list of a million would only take memory
    # The reader takes a missing end for the end: a whole archive has a block of zeros there.
    if stream.tell() - opened.offset < BLOCK:
        raise EOFError("its end is missing")
    while stream.read(CHUNK):  # to the sum at the end of a compressed one
        pass


def _decompressed(archive: Path, start: bytes) -> BufferedIOBase:
    """Open a tar that may be compressed, by its first bytes."""
    openers = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
    for magic, opener in openers.items():
        if start.startswith(magic):
            return opener(archive, "rb")
    return archive.open("rb")
