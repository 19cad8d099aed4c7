"""Checks every annotation of facelab while the tests run; readers pay nothing for it."""

import contextlib
import http.server
import importlib.util
import os
import re
import sys
import threading
import types
from pathlib import Path

import pytest
from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

# The hook takes its checker by name. The numeric tower: an int is fine where a float is expected.
checker = types.ModuleType("facelab_annotation_checker")
checker.check = beartype(conf=BeartypeConf(is_pep484_tower=True))
sys.modules[checker.__name__] = checker
install_import_hook("facelab", f"{checker.__name__}.check")

import torch  # noqa: E402

# nbformat imports jsonschema, which builds a grammar of internationalised addresses: a second in
# each of the many processes that the tests start, for a check that no notebook asks for. Where the
# package can't be imported, jsonschema leaves that check out.
LIGHT = str(Path(__file__).parent / "light")
sys.path.insert(0, LIGHT)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [LIGHT, os.environ.get("PYTHONPATH")]))

# One table of tolerances, by data type: for results that differ by rounding alone.
TOLERANCE = {
    torch.float64: {"rtol": 1e-9, "atol": 1e-9},
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
    torch.bfloat16: {"rtol": 3e-2, "atol": 3e-2},
}


@pytest.fixture
def tolerance() -> dict:
    """The tolerances by data type, as keywords of torch.testing.assert_close."""
    return TOLERANCE


@pytest.fixture
def random() -> torch.Generator:
    """A random stream that starts the same for every test."""
    return torch.Generator().manual_seed(0)


class FileServer(http.server.ThreadingHTTPServer):
    """A web server on this machine; it serves `content` at any path.

    `ranges` says whether it answers a request for a part with that part; `cut` ends the connection
    after that many bytes, once; `states_size` whether it says how much will come; `status` is an
    error that it answers with. `asked` keeps the Range of each request, or None.

    With `pages`, path -> bytes, it serves several files and answers 404 for any other. `cuts` and
    `stalls`, path -> bytes, end the connection of one of them or send no more, once; `statuses` are
    errors by path; `mark` is the ETag, which a request for a part may ask for if it heeds
    `conditions`, and `content_type` the type that it states. `paths` keeps the path of each
    request.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content, self.ranges, self.states_size = b"", True, True
        self.cut: int | None = None
        self.status: int | None = None
        self.shift = 0
        self.asked: list[str | None] = []
        self.pages: dict[str, bytes] = {}
        self.cuts: dict[str, int] = {}
        self.stalls: dict[str, int] = {}
        self.statuses: dict[str, int] = {}
        self.mark: str | None = None
        self.conditions = True
        self.content_type: str | None = None
        self.paths: list[str] = []
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"{self.base}file.pt"

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        wanted = self.headers.get("Range")
        server.asked.append(wanted)
        server.paths.append(self.path)
        content = server.pages.get(self.path) if server.pages else server.content
        status = server.status or server.statuses.get(self.path)
        if status or content is None:
            self.send_error(status or 404)
            return
        condition = self.headers.get("If-Range")
        met = not server.conditions or condition in (None, server.mark)
        partial = wanted and server.ranges and met
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if partial else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        self._head(content, start)
        body = content[start:]
        if server.cut is not None:
            body, server.cut = body[: server.cut], None
        stall = server.stalls.pop(self.path, None)
        body = body[: server.cuts.pop(self.path, stall)]
        self.wfile.write(body)
        if stall is not None:
            self.wfile.flush()
            server.closing.wait()

    def _head(self, content: bytes, start: int) -> None:
        server = self.server
        self.send_response(206 if start else 200)
        if start:
            first, total = start + server.shift, len(content)
            self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
        if server.states_size:
            self.send_header("Content-Length", str(len(content) - start))
        if server.mark:
            self.send_header("ETag", server.mark)
        if server.content_type:
            self.send_header("Content-Type", server.content_type)
        self.end_headers()

    def log_message(self, *arguments):
        pass

    def handle(self):
        with contextlib.suppress(OSError):  # the client left, as some tests do
            super().handle()


@pytest.fixture
def file_server(monkeypatch):
    """A server that goes wrong when it is told to; no proxy stands before it."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = FileServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()
    thread.join()


class Killed(BaseException):
    """The process ends here, as far as a process can be ended within a test."""


class Reaper:
    """Ends the process at its `at`-th step to the disk, before or after taking it."""

    Killed = Killed

    def __init__(self, monkeypatch, at: int, after: bool):
        self.at, self.after, self.taken = at, after, 0
        for name in ("fsync", "replace"):
            monkeypatch.setattr(os, name, self.struck(getattr(os, name)))

    def struck(self, step):
        def take(*arguments):
            self.taken += 1
            if self.taken != self.at:
                return step(*arguments)
            if self.after:
                step(*arguments)
            raise Killed

        return take


@pytest.fixture(scope="session")
def reaper():
    """What ends a process at one of its steps to the disk."""
    return Reaper


@pytest.fixture(scope="session")
def data_script():
    """Return a function that loads a script of data_scripts/ by its name, without running it."""

    def load(name: str) -> types.ModuleType:
        path = Path(__file__).parents[1] / "data_scripts" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"data_scripts_{name}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
