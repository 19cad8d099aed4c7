"""Fetch one large file from a web address: go on where it broke off, and check its sum.

For what no package index has. Python's own client does the work, so proxies in the environment
hold (HTTP_PROXY, HTTPS_PROXY, NO_PROXY). What has arrived is kept, so that a second attempt asks
for the rest alone.

Where size and sum are known, the rest may come from any mirror: the sum tells at the end. Where one
of them isn't, a note beside the file says from where its beginning came, how long the whole was
said to be and by which mark (ETag or date) the server knows it; two different files are not joined.
"""

import hashlib
import http.client
import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path

from facelab.assets import cache
from facelab.assets.archives import CHUNK
from facelab.assets.fetching import bar
from facelab.assets.table import File
from facelab.errors import AssetError

SECONDS = 30  # without a byte


class Unavailable(AssetError):
    """An address doesn't give the file, or not all of it; another address may."""


@dataclass(frozen=True)
class Known:
    """What is known of a file before it is fetched; None where nothing is.

    SHA-256 decides where both sums are given. A file that `tells_its_end`, such as an archive, may
    come without a sum from a server that doesn't say how long it is: whoever reads it notices when
    it was cut short.
    """

    name: str
    size_bytes: int | None = None
    sha256: str | None = None
    md5: str | None = None
    tells_its_end: bool = False

    @property
    def sum(self) -> tuple[str, str] | None:
        """The name of the algorithm and the sum that decide, or None."""
        if self.sha256:
            return "SHA-256", self.sha256
        return ("MD5", self.md5) if self.md5 else None


@dataclass(frozen=True)
class _Note:
    """Where the beginning of a file came from."""

    url: str
    total: int | None
    mark: str | None


@dataclass
class _Answer:
    """A server's answer: the byte that it starts at, and what it says of the whole file."""

    response: http.client.HTTPResponse
    start: int
    total: int | None
    mark: str | None

    @property
    def ends_by_itself(self) -> bool:
        return bool(self.response.chunked)


def download(
    file: File | Known, url: str, progress: bool = True, place: Path | None = None
) -> Path:
    """Fetch `file` from `url`, verified, and return where it lies: at `place`, or in the cache.

    A file that is there already, whole and right, is not asked for. Raises `Unavailable`, with what
    to do, when the address can't be reached, offers a file of another size, or sends another file,
    and `AssetError` when it can't be written; what arrived before a break is kept.
    """
    if not re.match(r"https?://", url):
        raise AssetError(f"{url} is no web address; give one that starts with https:// or http://")
    known = file if isinstance(file, Known) else Known(file.name, file.size_bytes, file.sha256)
    place = place or part_path(known)
    with cache.lock(place):
        have = place.stat().st_size if place.exists() else 0
        if known.size_bytes is not None:
            cache.require_room(known.name, max(0, known.size_bytes - have))
        if not _came(known, place, have):
            _receive(known, url, place, progress)
        _verify(known, url, place)
        _note_path(place).unlink(missing_ok=True)
    return place


def part_path(file: File | Known) -> Path:
    """Return where a file that is being fetched is collected, when nothing else is said."""
    key = (
        file.sha256 or getattr(file, "md5", None) or hashlib.sha256(file.name.encode()).hexdigest()
    )
    return cache.cache_dir() / "downloads" / f"{key[:16]}-{file.name}"


def _receive(file: Known, url: str, place: Path, progress: bool) -> None:
    """Append to `place` what is missing of its bytes, or write all of it anew."""
    answer = _ask(file, url, place)
    with answer.response as response:
        have, reason = answer.start, ""
        expected = answer.total if file.size_bytes is None else file.size_bytes
        cache.require_room(file.name, max(0, (expected or 0) - have))
        with cache.writing(file.name, place):
            out = place.open("ab" if have else "wb")
            _write_note(file, place, _Note(url, answer.total, answer.mark))
        with out, bar(file.name, expected or 0, progress) as advance:
            try:
                left = CHUNK if expected is None else expected - have
                while chunk := response.read1(min(CHUNK, left)):
                    _write(file, place, out, chunk)
                    have += len(chunk)
                    advance(have)
                    left = CHUNK if expected is None else expected - have
            except (OSError, http.client.HTTPException) as error:
                reason = f" ({error})" if str(error) else f" ({type(error).__name__})"
    if reason or have < (expected or 0):
        of = "" if expected is None else f" of {expected:,}"
        raise Unavailable(
            f"{file.name}: {url} broke off after {have:,}{of} bytes{reason}; "
            "run this again, it goes on from there"
        )
    if expected is None and not (file.sum or file.tells_its_end or answer.ends_by_itself):
        place.unlink()
        raise Unavailable(
            f"{file.name}: {url} doesn't say how long the file is, and no sum is known, so nobody "
            "can tell whether all of it came; fetch it yourself and give it with --from"
        )


def _write(file: Known, place: Path, out: BufferedIOBase, chunk: bytes) -> None:
    with cache.writing(file.name, place):
        out.write(chunk)
        out.flush()


def _came(file: Known, place: Path, have: int) -> bool:
    """Tell whether as many bytes are there as the file has."""
    if file.size_bytes is not None:
        return have >= file.size_bytes
    note = _read_note(place)
    return note is not None and have == note.total


def _ask(file: Known, url: str, place: Path) -> _Answer:
    """Ask for what is missing; where the beginning can't be used, for everything."""
    note = _read_note(place)
    have = _usable(file, url, place, note)
    answer = _open(file, url, have, note if have and note and note.url == url else None)
    if answer is not None:
        if not answer.start or _fits(file, answer, note):
            return answer
        answer.response.close()
    return _open(file, url, 0, None)


def _usable(file: Known, url: str, place: Path, note: _Note | None) -> int:
    """Return how many of the bytes that are there may be the beginning of what `url` has."""
    have = place.stat().st_size if place.exists() else 0
    if file.size_bytes is not None and file.sum:
        return have
    if note is None or (not file.sum and (note.url != url or not (note.mark or note.total))):
        return 0
    return have if note.total is None or have < note.total else 0


def _fits(file: Known, answer: _Answer, note: _Note | None) -> bool:
    """Tell whether a part is of the same file as what is there, as far as both sides say."""
    if file.size_bytes is not None and file.sum:
        return True
    same_length = None in (note.total, answer.total) or note.total == answer.total
    same_mark = None in (note.mark, answer.mark) or note.mark == answer.mark
    return same_length and (same_mark or file.sum is not None)


def _open(file: Known, url: str, have: int, note: _Note | None) -> _Answer | None:
    """Ask for the bytes from `have` on.

    Returns None when the file there is shorter than that and ours may be another. Raises
    `Unavailable` when there is no useful answer.
    """
    headers = {"User-Agent": "facelab"}
    if have:
        headers["Range"] = f"bytes={have}-"
    if note and note.mark:
        headers["If-Range"] = note.mark
    try:
        request = urllib.request.Request(url, headers=headers)
        response = urllib.request.urlopen(request, timeout=SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            if file.size_bytes is None:
                return None
            raise _another(file, url, f"no more than {have:,} bytes") from error
        raise _unreachable(file, url, f"{error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise _unreachable(file, url, str(reason) or type(error).__name__) from error
    try:
        return _understood(file, url, response, have)
    except AssetError:
        response.close()
        raise


def _understood(file: Known, url: str, response: http.client.HTTPResponse, have: int) -> _Answer:
    """Return the answer, which starts at `have`, or at 0 where a server sends everything.

    Raises `Unavailable` when the whole file has another size than ours, or is a web page.
    """
    length = response.headers.get("Content-Length")
    total = int(length) if length and length.isdigit() else None
    start = 0
    if response.status == http.client.PARTIAL_CONTENT:
        sent = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not sent or int(sent[1]) != have:
            raise _another(file, url, "another part than asked for")
        start, total = have, None if sent[2] == "*" else int(sent[2])
    if file.size_bytes is not None and total not in (None, file.size_bytes):
        raise _another(file, url, f"{total:,} bytes")
    if response.headers.get_content_type() == "text/html" and "Content-Type" in response.headers:
        raise _another(file, url, "a web page")
    etag = response.headers.get("ETag")
    strong = etag if etag and not etag.startswith("W/") else None
    return _Answer(response, start, total, strong or response.headers.get("Last-Modified"))


def _another(file: Known, url: str, offered: str) -> Unavailable:
    expected = "" if file.size_bytes is None else f", {file.size_bytes:,} bytes expected"
    return Unavailable(
        f"{file.name}: {url} offers {offered}{expected}; it is another "
        "file, or a page that wants a login; give another address with --url"
    )


def _unreachable(file: Known, url: str, reason: str) -> Unavailable:
    return Unavailable(
        f"{file.name} can't be fetched from {url} ({reason}); check the network and the proxy "
        "settings, give a mirror with --url, or a file that you have with --from"
    )


def _verify(file: Known, url: str, place: Path) -> None:
    if file.size_bytes is not None and place.stat().st_size != file.size_bytes:
        found = f"{place.stat().st_size:,} bytes, expected {file.size_bytes:,}"
    elif file.sum is None or file_sum(place, file.sum[0]) == file.sum[1]:
        return
    else:
        found = f"{file.sum[0]} {file_sum(place, file.sum[0])}, expected {file.sum[1]}"
    place.unlink()
    _note_path(place).unlink(missing_ok=True)
    raise Unavailable(
        f"{file.name} from {url} has {found}; it was deleted; "
        "run this again, or give another address with --url"
    )


def file_sum(path: Path, algorithm: str) -> str:
    """Return a file's "SHA-256" or "MD5"."""
    name = algorithm.replace("-", "").lower()
    with path.open("rb") as stream:
        # MD5 is what some sets publish: it tells damage, not a forgery.
        return hashlib.file_digest(
            stream, lambda: hashlib.new(name, usedforsecurity=False)
        ).hexdigest()


# --- the note beside a file whose size or sum is unknown -----------------------------------------


def _note_path(place: Path) -> Path:
    return place.with_name(f"{place.name}.from.json")


def _write_note(file: Known, place: Path, note: _Note) -> None:
    if file.size_bytes is None or not file.sum:
        cache.write_beside(_note_path(place), json.dumps(vars(note)).encode())


def _read_note(place: Path) -> _Note | None:
    try:
        found = json.loads(_note_path(place).read_text(encoding="utf-8"))
        return _Note(str(found["url"]), found["total"], found["mark"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
