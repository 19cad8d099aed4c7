"""Package indexes that the tests serve, tiny archives for them, and an empty cache."""

import base64
import contextlib
import hashlib
import http.server
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse
import zipfile
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from facelab.assets.table import ASSETS, Asset, File, Source

CONTENT = bytes(range(256)) * 40
ARCHIVE = "application/octet-stream"
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
    return tgz(f"{stem}-1.0", {"setup.py": setup.encode(), **members})


def tgz(folder: str, members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


class Index(http.server.ThreadingHTTPServer):
    """A package index: archives by file name, the requests that came, and one that may hang."""

    def __init__(self, handler: type | None = None):
        super().__init__(("127.0.0.1", 0), handler or _Handler)
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
        return sum(name.endswith((".whl", ".tar.gz", ".tgz")) for name in self.asked)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.strip("/").split("/")[-1]
        self.server.asked.append(name)
        if name in self.server.archives:
            self._send(self.server.archives[name], ARCHIVE)
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
        if kind == ARCHIVE and self.server.stops_halfway:
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


class Registry(Index):
    """npm's index: packages by name, with the integrity that it says their archives have."""

    def __init__(self):
        super().__init__(_NpmHandler)
        self.packages: dict[str, dict] = {}

    def serve_package(self, name: str, members: dict[str, bytes], **manifest) -> bytes:
        """Serve version 1.0.0 with these files and this package.json; return its archive."""
        manifest = {"name": name, "version": "1.0.0", **manifest}
        archive = tgz("package", {"package.json": json.dumps(manifest).encode(), **members})
        file = f"{name.split('/')[-1]}-1.0.0.tgz"
        self.archives[file] = archive
        sha512 = base64.b64encode(hashlib.sha512(archive).digest()).decode()
        place = f"http://127.0.0.1:{self.server_port}/files/{file}"
        dist = {"tarball": place, "integrity": f"sha512-{sha512}"}
        self.packages[name] = {
            "name": name,
            "dist-tags": {"latest": "1.0.0"},
            "versions": {"1.0.0": {**manifest, "dist": dist}},
        }
        return archive


class _NpmHandler(_Handler):
    def do_GET(self):
        path = urllib.parse.unquote(self.path).strip("/")
        self.server.asked.append(path)
        archive = path.removeprefix("files/")
        if archive in self.server.archives:
            self._send(self.server.archives[archive], ARCHIVE)
        elif path in self.server.packages:
            self._send(json.dumps(self.server.packages[path]).encode(), "application/json")
        else:
            self.send_error(404)


@pytest.fixture
def registry(monkeypatch):
    yield from served(Registry(), monkeypatch, npm_settings)


def npm_settings(port: int) -> dict[str, str]:
    """A reader's npm with a mirror, and without any other settings."""
    # npm refuses one file for both.
    nothing = {"npm_config_userconfig": os.devnull, "npm_config_globalconfig": "no-such-file"}
    mirror = {"npm_config_registry": f"http://127.0.0.1:{port}/"}
    return nothing | mirror | {"npm_config_fetch_retries": "0"}


def served(server: Index, monkeypatch, settings):
    """Serve until the test ends, in an environment with the settings that lead to the server."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    for name, value in settings(server.server_port).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def index(monkeypatch):
    for name in ("EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX", "CONSTRAINT", "CERT"):
        monkeypatch.delenv(f"PIP_{name}", raising=False)
    yield from served(Index(), monkeypatch, pip_settings)


def pip_settings(port: int) -> dict[str, str]:
    """A reader's pip with a mirror, and without any other settings."""
    mirror = {"PIP_INDEX_URL": f"http://127.0.0.1:{port}/simple"}
    return mirror | {"PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"}


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


def start_fetching(asset: Asset) -> subprocess.Popen:
    """Fetch in another process, whose table has `asset` too."""
    program = (
        # A shell hands processes in the background an ignored Ctrl-C.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from facelab.assets.table import *\n"
        f"ASSETS['tiny'] = {asset!r}\n"
        "from facelab import assets; print(assets.path('tiny'))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def still_running(home: Path) -> list[int]:
    """Return the processes whose command line names the cache."""
    found = psutil.process_iter(["pid", "cmdline"])
    return [p.info["pid"] for p in found if str(home) in " ".join(p.info["cmdline"] or [])]


def left_over(home: Path) -> list[str]:
    """Return the folders of work under the cache that nobody cleared away."""
    return [path.name for path in home.rglob("*") if ".part-" in path.name]


@pytest.fixture
def processes() -> SimpleNamespace:
    """What the tests start other processes with, and see what these leave behind."""
    return SimpleNamespace(start=start_fetching, running=still_running, left_over=left_over)


@pytest.fixture
def tiny(monkeypatch) -> Asset:
    asset = one_file(FIRST)
    monkeypatch.setitem(ASSETS, "tiny", asset)
    return asset
