"""A package index that the tests serve, tiny archives for it, and an empty cache."""

import contextlib
import hashlib
import http.server
import io
import os
import tarfile
import threading
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from facelab.assets.table import ASSETS, Asset, File, Source

CONTENT = bytes(range(256)) * 40
METADATA = "Metadata-Version: 2.1\nName: {}\nVersion: 1.0\nRequires-Python: <3\n"


def sum_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wheel(distribution: str, members: dict[str, bytes]) -> bytes:
    """A wheel for no Python that exists, so that every test meets that trap."""
    stem = distribution.replace("-", "_")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        info = f"{stem}-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", METADATA.format(distribution))
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return stream.getvalue()


def sdist(stem: str, members: dict[str, bytes], setup: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in {"setup.py": setup.encode(), **members}.items():
            info = tarfile.TarInfo(f"{stem}-1.0/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


class Index(http.server.ThreadingHTTPServer):
    """A package index: archives by file name, the requests that came, and one that may hang."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.archives: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.stops_halfway = 0
        self.halfway, self.go_on = threading.Event(), threading.Event()

    def serve_wheel(self, distribution: str, members: dict[str, bytes]) -> None:
        name = f"{distribution.replace('-', '_')}-1.0-py3-none-any.whl"
        self.archives[name] = wheel(distribution, members)

    def go_on_after(self, seconds: float) -> None:
        """Go on when the client has had that long to look at the first half."""
        waiting = threading.Thread(
            target=lambda: (self.halfway.wait(20), time.sleep(seconds), self.go_on.set())
        )
        waiting.start()

    @property
    def downloads(self) -> int:
        return sum(name.endswith((".whl", ".tar.gz")) for name in self.asked)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.strip("/").split("/")[-1]
        self.server.asked.append(name)
        if name in self.server.archives:
            self._send(self.server.archives[name], "application/octet-stream")
            return
        stem = name.replace("-", "_")
        links = [
            f'<a href="/files/{archive}">{archive}</a>'
            for archive in self.server.archives
            if archive.startswith(f"{stem}-")
        ]
        if links:
            self._send("".join(links).encode(), "text/html")
        else:
            self.send_error(404)

    def _send(self, data: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if kind != "text/html" and self.server.stops_halfway:
            self.server.stops_halfway -= 1
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.server.halfway.set()
            self.server.go_on.wait(20)
            data = data[len(data) // 2 :]
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass

    def handle(self):
        with contextlib.suppress(OSError):  # the client was killed, as some tests do
            super().handle()


@pytest.fixture
def index(monkeypatch):
    server = Index()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    for name in ("EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX", "CONSTRAINT", "CERT"):
        monkeypatch.delenv(f"PIP_{name}", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def home(request, monkeypatch, tmp_path):
    """An empty cache, but for the tests of the real table."""
    if "registry" not in request.keywords:
        monkeypatch.setenv("FACELAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def one_file(*sources: Source, content: bytes = CONTENT, name: str = "tiny") -> Asset:
    file = File("weights.bin", sum_of(content), len(content))
    return Asset(name, "A tiny file", sources, "CC0-1.0", "tests", "the test", files=(file,))


FIRST = Source("facelab-tiny", "1.0", "tiny", archive_bytes=1000)


def spoil(home: Path) -> Path:
    """Put another file where the tiny asset belongs."""
    old = home / "assets" / "tiny" / "weights.bin"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")
    return old


@pytest.fixture
def pack() -> SimpleNamespace:
    """What the tests make archives and assets with."""
    return SimpleNamespace(
        content=CONTENT, first=FIRST, one_file=one_file, wheel=wheel, sdist=sdist, spoil=spoil
    )


@pytest.fixture
def tiny(monkeypatch) -> Asset:
    asset = one_file(FIRST)
    monkeypatch.setitem(ASSETS, "tiny", asset)
    return asset
