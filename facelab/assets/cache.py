"""The reader's cache: where files lie, who may write, which sums are known already."""

import errno
import hashlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from facelab.errors import AssetError

FULL = {errno.ENOSPC, errno.EDQUOT}


def cache_dir() -> Path:
    """Return the folder of all that is fetched: $FACELAB_CACHE, else the user's cache folder."""
    chosen = os.environ.get("FACELAB_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("facelab", appauthor=False)


def disk_full(what: str, place: Path | None = None) -> AssetError:
    """Return the error for a disk that has no room for `what` at `place`, or in the cache."""
    return AssetError(
        f"{what}: no space is left on the disk that holds {place or cache_dir()}; free some, or "
        f"{_elsewhere(place)}"
    )


def _elsewhere(place: Path | None) -> str:
    if place is None or place.absolute().is_relative_to(cache_dir()):
        return "let the environment variable FACELAB_CACHE name a folder on another disk"
    return "choose another place"


@contextmanager
def writing(what: str, place: Path | None = None) -> Iterator[None]:
    """Turn any failure to write `what` into an `AssetError` that names the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise disk_full(what, place) from error
        raise AssetError(
            f"{what}: {place or error.filename or cache_dir()} can't be written "
            f"({error.strerror or error}); make it writable, or {_elsewhere(place)}"
        ) from error


def require_room(what: str, size_bytes: int) -> None:
    """Raise `AssetError` when the cache's disk has less than `size_bytes` left."""
    folder = cache_dir()
    while not folder.exists():
        folder = folder.parent
    if shutil.disk_usage(folder).free < size_bytes:
        raise disk_full(f"{what} needs {size_bytes / 1e6:.0f} MB")


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Be the only process, and the only thread, that makes `path`; others wait and say so."""
    with writing(path.name):
        path.parent.mkdir(parents=True, exist_ok=True)
        guard = FileLock(f"{path}.lock")
        try:
            guard.acquire(timeout=1)
        except Timeout:
            print(f"{path.name}: another process is at it; waiting for it", file=sys.stderr)
            guard.acquire()
    try:
        yield
    finally:
        guard.release()


def sha256(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_beside(path: Path, data: bytes) -> None:
    """Write a file under another name and rename it: what was there is kept until that is done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


class Sums:
    """SHA-256 of files, computed once: remembered with the file's size and modification time."""

    def __init__(self, record: Path):
        self._record, self._changed = record, False
        try:
            known = json.loads(record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = None
        self._known: dict = known if isinstance(known, dict) else {}

    def of(self, path: Path, fresh: bool = False) -> str:
        """Return a file's SHA-256; compute it when the file is new or changed, or if `fresh`."""
        stat = path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns]
        match self._known.get(str(path)):
            case [size, time, str(known)] if [size, time] == stamp and not fresh:
                return known
        self._known[str(path)] = [*stamp, sha256(path)]
        self._changed = True
        return self._known[str(path)][2]

    def save(self) -> None:
        """Keep what was computed; a cache that can't be written only computes it again."""
        if not self._changed:
            return
        with suppress(OSError):
            write_beside(self._record, json.dumps(self._known, indent=0).encode())
