"""Fetch a published file from its sources in turn: whole and right, or not at all.

A file is collected beside its place and renamed when it is whole, so that what has its name is the
file. Its size and SHA-256 are noted then: without a published sum, that is all there is to compare
a later copy with.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from facelab.assets import cache, web
from facelab.data.public.table import Published
from facelab.errors import AssetError, DatasetError, ParameterError

NOTED = "fetched.json"


@dataclass(frozen=True)
class Noted:
    """What a file is known by."""

    size_bytes: int
    sha256: str


def known(file: Published) -> web.Known:
    """Return what the downloader has to know of a file."""
    archive = file.kind != "file"
    return web.Known(file.name, file.size_bytes, file.sha256, file.md5, tells_its_end=archive)


def fetch(file: Published, folder: Path, *, url: str | None = None, progress: bool = True) -> Path:
    """Return a file in `folder`, fetched from `url` first, then from its own addresses in turn.

    A file that is there is not asked for. Raises `AssetError`, in one line, with what each source
    answered when none has it, or when it can't be written; what arrived is kept for the next call.
    """
    final = folder / file.name
    with cache.lock(final):
        if not final.is_file():
            part = _collected(file, folder, url, progress)
            with cache.writing(file.name, folder):
                _note(folder, file.name, part)
                os.replace(part, final)
    return final


def _collected(file: Published, folder: Path, url: str | None, progress: bool) -> Path:
    """Return the whole file, beside its place, from the first source that gives it."""
    refused, part = [], folder / f".{file.name}.part"
    for address in dict.fromkeys(filter(None, (url, *file.urls))):
        try:
            return web.download(known(file), address, progress, part)
        except web.Unavailable as error:
            refused.append(str(error))
    raise AssetError(_refusal(file, refused))


def take(path: Path, file: Published, folder: Path) -> Path:
    """Return a file that a reader has, checked and noted; a small one as a copy in `folder`.

    An archive is used where it lies. Raises `DatasetError` for another file.
    """
    with cache.writing(file.name, folder):
        folder.mkdir(parents=True, exist_ok=True)
        if file.kind == "file":
            check(path, file)
            cache.write_beside(folder / file.name, path.read_bytes())
            path = folder / file.name
        _keep_note(folder, file.name, check(path, file))
    return path


def _refusal(file: Published, refused: list[str]) -> str:
    if not refused:
        return f"{file.name} has no address; get it yourself and give its folder with --from"
    if len(refused) == 1:
        return refused[0]
    return f"{file.name} was not had from any of {len(refused)} addresses: " + " | ".join(refused)


def address(base: str | None, file: Published, files: int) -> str | None:
    """Return the address of a file at a mirror that a reader named.

    `base` is a folder's address, ending in "/", in which the files have their names; for a set of
    one file it may be that file's own. Raises `ParameterError` for a file's address for several.
    """
    if base is None or base.endswith("/"):
        return None if base is None else base + file.name
    if files > 1:
        raise ParameterError(
            f"the set has {files} files, so --url has to be the address of their folder, ending "
            f'in "/"; this is {base}'
        )
    return base


def check(path: Path, file: Published) -> Noted:
    """Return what a file that a reader has is known by. Raises `DatasetError` for another file."""
    size = path.stat().st_size
    found = Noted(size, cache.sha256(path))
    wrong = None
    if file.size_bytes not in (None, size):
        wrong = f"has {size:,} bytes, expected {file.size_bytes:,}"
    elif file.sha256 not in (None, found.sha256):
        wrong = f"has SHA-256 {found.sha256}, expected {file.sha256}"
    elif file.sha256 is None and file.md5 is not None:
        md5 = web.file_sum(path, "MD5")
        wrong = None if md5 == file.md5 else f"has MD5 {md5}, expected {file.md5}"
    if wrong:
        raise DatasetError(f"{path} {wrong}; give the file as it was published")
    return found


def noted(folder: Path) -> Mapping[str, Noted]:
    """Return what the files that were fetched into `folder` are known by."""
    try:
        found = json.loads((folder / NOTED).read_text(encoding="utf-8"))
        return {name: Noted(**value) for name, value in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _note(folder: Path, name: str, path: Path) -> None:
    _keep_note(folder, name, Noted(path.stat().st_size, cache.sha256(path)))


def _keep_note(folder: Path, name: str, found: Noted) -> None:
    values = {key: vars(value) for key, value in noted(folder).items()} | {name: vars(found)}
    text = json.dumps(values, indent=1, sort_keys=True)
    cache.write_beside(folder / NOTED, text.encode())
