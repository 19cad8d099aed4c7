"""Fetch one large file from a web address: go on where it broke off, and check its SHA-256.

For what no package index has. Python's own client does the work, so proxies in the environment
hold (HTTP_PROXY, HTTPS_PROXY, NO_PROXY). What has arrived is kept in the cache, named by the sum
that the whole file should have, so that a second attempt, from any mirror, asks for the rest alone.
"""

import http.client
import re
import urllib.error
import urllib.request
from io import BufferedIOBase
from pathlib import Path

from facelab.assets import cache
from facelab.assets.archives import CHUNK
from facelab.assets.fetching import bar
from facelab.assets.table import File
from facelab.errors import AssetError

SECONDS = 30  # without a byte


def download(file: File, url: str, progress: bool = True) -> Path:
    """Fetch `file` from `url` into the cache, verified, and return where it lies.

    A file that is there already, whole and right, is not asked for. Raises `AssetError`, with what
    to do, when the address can't be reached, offers a file of another size, or sends another file;
    what arrived before a break is kept.
    """
    if not re.match(r"https?://", url):
        raise AssetError(f"{url} is no web address; give one that starts with https:// or http://")
    place = part_path(file)
    with cache.lock(place):
        have = place.stat().st_size if place.exists() else 0
        cache.require_room(file.name, max(0, file.size_bytes - have))
        if have < file.size_bytes:
            _receive(file, url, place, have, progress)
        _verify(file, url, place)
    return place


def part_path(file: File) -> Path:
    """Return where a file that is being fetched is collected."""
    return cache.cache_dir() / "downloads" / f"{file.sha256[:16]}-{file.name}"


def _receive(file: File, url: str, place: Path, have: int, progress: bool) -> None:
    """Append to `place` what is missing of its bytes, or write all of it anew."""
    with _open(file, url, have) as answer:
        have = _start(file, url, answer, have)
        reason = ""
        with cache.writing(file.name, place):
            out = place.open("ab" if have else "wb")
        with out, bar(file.name, file.size_bytes, progress) as advance:
            try:
                while chunk := answer.read(min(CHUNK, file.size_bytes - have)):
                    _write(file, place, out, chunk)
                    have += len(chunk)
                    advance(have)
            except (OSError, http.client.HTTPException) as error:
                reason = f" ({error})" if str(error) else ""
    if have < file.size_bytes:
        raise AssetError(
            f"{file.name}: {url} broke off after {have:,} of {file.size_bytes:,} bytes{reason}; "
            "run this again, it goes on from there"
        )


def _write(file: File, place: Path, out: BufferedIOBase, chunk: bytes) -> None:
    with cache.writing(file.name, place):
        out.write(chunk)
        out.flush()


def _open(file: File, url: str, have: int) -> http.client.HTTPResponse:
    """Ask for the bytes from `have` on. Raises `AssetError` when there is no useful answer."""
    headers = {"User-Agent": "facelab"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        request = urllib.request.Request(url, headers=headers)
        return urllib.request.urlopen(request, timeout=SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _another(file, url, f"no more than {have:,} bytes") from error
        raise _unreachable(file, url, f"{error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise _unreachable(file, url, str(reason) or type(error).__name__) from error


def _start(file: File, url: str, answer: http.client.HTTPResponse, have: int) -> int:
    """Return the byte at which the answer starts: `have`, or 0 where a server sends everything.

    Raises `AssetError` when the whole file has another size than ours.
    """
    length = answer.headers.get("Content-Length")
    total = int(length) if length and length.isdigit() else None
    start = 0
    if answer.status == http.client.PARTIAL_CONTENT:
        sent = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if not sent or int(sent[1]) != have:
            raise _another(file, url, "another part than asked for")
        start, total = have, None if sent[2] == "*" else int(sent[2])
    if total not in (None, file.size_bytes):
        raise _another(file, url, f"{total:,} bytes")
    return start


def _another(file: File, url: str, offered: str) -> AssetError:
    return AssetError(
        f"{file.name}: {url} offers {offered}, {file.size_bytes:,} bytes expected; it is another "
        "file, or a page that wants a login; give another address with --url"
    )


def _unreachable(file: File, url: str, reason: str) -> AssetError:
    return AssetError(
        f"{file.name} can't be fetched from {url} ({reason}); check the network and the proxy "
        "settings, give a mirror with --url, or a file that you have with --from"
    )


def _verify(file: File, url: str, place: Path) -> None:
    found = cache.sha256(place)
    if found != file.sha256 or place.stat().st_size != file.size_bytes:
        place.unlink()
        raise AssetError(
            f"{file.name} from {url} has SHA-256 {found}, expected {file.sha256}; it was deleted; "
            "run this again, or give another address with --url"
        )
