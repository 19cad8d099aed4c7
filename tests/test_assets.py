"""The assets: fetched by pip from an index that the test serves, verified, and never lost."""

import contextlib
import dataclasses
import errno
import hashlib
import http.server
import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from facelab import assets
from facelab.assets import archives, cache, download, store
from facelab.assets.table import ASSETS, Asset, File, Source, Tree, digest
from facelab.errors import AssetError, CheckpointError

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


@pytest.fixture
def tiny(monkeypatch) -> Asset:
    asset = one_file(FIRST)
    monkeypatch.setitem(ASSETS, "tiny", asset)
    return asset


def left_over(home: Path) -> list[str]:
    return [path.name for path in home.rglob("*") if ".part-" in path.name]


# Fetching


def test_a_file_is_fetched_once_and_then_found(index, tiny, home, capsys):
    index.serve_wheel("facelab-tiny", {"tiny/weights.bin": CONTENT, "tiny/evil.py": b"1/0"})
    path = assets.path("tiny")
    assert path == home / "assets" / "tiny" / "weights.bin"
    assert path.read_bytes() == CONTENT
    assert [item.name for item in path.parent.iterdir()] == ["weights.bin"]
    assert assets.path("tiny") == path
    assert index.downloads == 1
    assert left_over(home) == []
    # Off a terminal there is one line, and none when nothing was fetched.
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("tiny: 0.0 MB from facelab-tiny==1.0 (wheel) in ")


def test_a_terminal_gets_a_bar(index, tiny, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    index.serve_wheel("facelab-tiny", {"tiny/weights.bin": CONTENT})
    archive = next(iter(index.archives.values()))
    source = dataclasses.replace(FIRST, archive_bytes=len(archive))
    monkeypatch.setitem(ASSETS, "tiny", dataclasses.replace(tiny, sources=(source,)))
    index.stops_halfway = 1
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    threading.Timer(1.2, index.go_on.set).start()
    assets.path("tiny")
    assert "tiny:   0%" in terminal.getvalue()


def test_a_second_source_is_tried(index, tiny, monkeypatch, capsys):
    second = dataclasses.replace(FIRST, distribution="facelab-other", folder="elsewhere")
    monkeypatch.setitem(ASSETS, "tiny", one_file(FIRST, second))
    index.serve_wheel("facelab-tiny", {"tiny/weights.bin": CONTENT[::-1]})
    index.serve_wheel("facelab-other", {"elsewhere/weights.bin": CONTENT})
    assert assets.path("tiny").read_bytes() == CONTENT
    assert index.downloads == 2
    assert "from facelab-other==1.0" in capsys.readouterr().err


def test_an_sdist_is_read_and_its_setup_never_runs(index, monkeypatch, tmp_path):
    setup = f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit(1)\n"
    files = {"photos/a.jpg": b"a" * 50, "photos/b.jpg": b"b" * 60}
    archive = sdist("facelab_photos", files, setup)
    index.archives["facelab_photos-1.0.tar.gz"] = archive
    source = Source(
        "facelab-photos", "1.0", "facelab_photos-1.0/photos", "sdist", 1, sum_of(archive)
    )
    listed = tuple(File(Path(k).name, sum_of(v), len(v)) for k, v in files.items())
    asset = dataclasses.replace(one_file(source, name="photos"), files=listed)
    monkeypatch.setitem(ASSETS, "photos", asset)
    folder = assets.path("photos")
    assert {path.name: path.read_bytes()[:1] for path in folder.iterdir()} == {
        "a.jpg": b"a",
        "b.jpg": b"b",
    }
    assert not (tmp_path / "ran").exists()

    # Another archive under the same name is refused before anything of it is read.
    changed = sdist("facelab_photos", files, setup + "# changed\n")
    index.archives["facelab_photos-1.0.tar.gz"] = changed
    shutil.rmtree(folder)
    with pytest.raises(AssetError) as caught:
        assets.path("photos")
    assert sum_of(archive) in str(caught.value)
    assert sum_of(changed) in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_a_tree_takes_what_matches_and_nothing_outside(index, monkeypatch, home):
    wanted = {"main.js": b"main", "fonts/one.woff": b"one"}
    members = {f"web/static/{name}": data for name, data in wanted.items()}
    members |= {"web/static/../../../evil.js": b"evil", "web/static/other.txt": b"no"}
    index.serve_wheel("facelab-tiny", members)
    sums = {name: sum_of(data) for name, data in wanted.items()}
    tree = Tree(("*.js", "fonts/*.woff"), count=2, sha256=digest(sums), size_bytes=7)
    source = dataclasses.replace(FIRST, folder="web/static")
    asset = dataclasses.replace(one_file(source), files=(), tree=tree)
    monkeypatch.setitem(ASSETS, "tiny", asset)
    folder = assets.path("tiny")
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == set(wanted)
    assert not list(home.parent.rglob("evil.js"))

    # A file too many is damage as well, and the repair takes it away.
    (folder / "stray.js").write_bytes(b"stray")
    assert assets.listing()[-1]["state"] == "damaged"
    assert assets.path("tiny") == folder
    assert not (folder / "stray.js").exists()


def test_the_reader_s_constraints_do_not_stop_a_download(index, tiny, monkeypatch, tmp_path):
    (tmp_path / "constraints.txt").write_text("facelab-tiny==2.0\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "constraints.txt"))
    index.serve_wheel("facelab-tiny", {"tiny/weights.bin": CONTENT})
    assert assets.path("tiny").is_file()


def test_two_processes_download_once(index, tiny, home):
    index.serve_wheel("facelab-tiny", {"tiny/weights.bin": CONTENT})
    index.stops_halfway = 1
    first = start_fetching(tiny)
    assert index.halfway.wait(20)
    second = start_fetching(tiny)
    waiting = second.stderr.readline()
    index.go_on.set()
    results = [process.communicate(timeout=30)[0].strip() for process in (first, second)]
    assert "waiting" in waiting
    assert results == [str(home / "assets" / "tiny" / "weights.bin")] * 2
    assert index.downloads == 1


def start_fetching(asset: Asset) -> subprocess.Popen:
    """Fetch in another process, whose table has `asset` too."""
    program = (
        "from facelab.assets.table import *\n"
        f"ASSETS['tiny'] = {asset!r}\n"
        "from facelab import assets; print(assets.path('tiny'))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_download_is_not_taken_for_complete(index, tiny, home, sent):
    index.serve_wheel("facelab-tiny", {"tiny/weights.bin": CONTENT})
    index.stops_halfway = 1
    process = start_fetching(tiny)
    assert index.halfway.wait(20)
    process.send_signal(sent)
    process.communicate(timeout=20)
    assert not list(home.rglob("weights.bin"))
    assert bool(left_over(home)) == (sent == signal.SIGKILL)
    assert assets.path("tiny").read_bytes() == CONTENT
    assert left_over(home) == []


# Failing to fetch: the message has all that was tried, and nothing is lost


def spoil(home: Path) -> Path:
    old = home / "assets" / "tiny" / "weights.bin"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")
    return old


def test_a_tampered_wheel_leaves_the_old_file(index, tiny, home):
    tampered = CONTENT[:-1] + b"!"
    index.serve_wheel("facelab-tiny", {"tiny/weights.bin": tampered})
    old = spoil(home)
    with pytest.raises(AssetError) as caught:
        assets.path("tiny")
    assert old.read_bytes() == b"old"
    message = str(caught.value)
    assert f"{sum_of(tampered)} ({len(CONTENT)} bytes), expected {sum_of(CONTENT)}" in message
    assert f"kept: weights.bin has SHA-256 {sum_of(b'old')} (3 bytes)" in message
    assert "\n" not in message
    assert left_over(home) == []


def test_a_right_download_replaces_a_damaged_file(index, tiny, home):
    index.serve_wheel("facelab-tiny", {"tiny/weights.bin": CONTENT})
    old = spoil(home)
    with pytest.raises(AssetError, match=f"{sum_of(b'old')}.*{sum_of(CONTENT)}"):
        assets.verify("tiny")
    assert assets.fetch(["tiny"]) == [old]
    assert old.read_bytes() == CONTENT
    assert assets.verify("tiny") == old


def test_a_package_that_the_index_lacks(index, tiny):
    with pytest.raises(AssetError) as caught:
        assets.path("tiny")
    message = str(caught.value)
    assert "tiny can't be fetched from facelab-tiny==1.0 (wheel): pip: " in message
    assert "No matching distribution found for facelab-tiny==1.0" in message
    assert "pip config list" in message
    assert "FACELAB_CACHE" in message


def test_no_network_names_the_cause_and_all_sources(index, tiny, monkeypatch):
    port = index.server_port
    monkeypatch.setenv("PIP_INDEX_URL", f"https://127.0.0.1:{port}/simple")
    second = dataclasses.replace(FIRST, distribution="facelab-other")
    monkeypatch.setitem(ASSETS, "tiny", one_file(FIRST, second))
    monkeypatch.setitem(ASSETS, "more", one_file(FIRST, name="more"))
    with pytest.raises(AssetError) as caught:
        assets.fetch(["tiny", "more"])
    for part in ("facelab-tiny==1.0", "nor from facelab-other==1.0", "; more can't be fetched"):
        assert part in str(caught.value)


def test_pip_s_reason_is_found_in_its_log():
    log = (
        "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('"
        "<pip._vendor.urllib3.X object at 0x1>: Failed to establish a new connection: [Errno 111]"
        " Connection refused')': /simple/x/\n"
        "WARNING: Location 'file:///x' is ignored: it is neither a file nor a directory.\n"
        "ERROR: No matching distribution found for x==1\n"
    )
    assert str(download._failure(log, "x")) == (
        "pip: No matching distribution found for x==1 "
        "(Failed to establish a new connection: [Errno 111] Connection refused)"
    )
    assert "no output" in str(download._failure("", "x"))
    assert "ensurepip" in str(download._failure("/usr/bin/python: No module named pip", "x"))
    full = download._failure("ERROR: Could not install: [Errno 28] No space left on device", "x")
    assert isinstance(full, AssetError)
    assert "no space is left" in str(full)


def test_a_full_disk_is_one_clear_error(index, tiny, home, monkeypatch):
    old = spoil(home)
    usage = shutil.disk_usage(home)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5000))
    with pytest.raises(AssetError, match=r"tiny needs 0 MB: no space is left .*FACELAB_CACHE"):
        assets.path("tiny")
    assert index.asked == []

    # Full in the middle: the second source would not help, and isn't asked.
    monkeypatch.undo()
    monkeypatch.setenv("FACELAB_CACHE", str(home))
    monkeypatch.setitem(ASSETS, "tiny", one_file(FIRST, FIRST))
    asked = []

    def full(source, *_):
        asked.append(source)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store, "download", full)
    with pytest.raises(AssetError, match="no space is left"):
        assets.path("tiny")
    assert len(asked) == 1
    assert old.read_bytes() == b"old"
    assert left_over(home) == []


def test_a_cache_that_cannot_be_made(tiny, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path / "file"))
    with pytest.raises(AssetError, match=r"can't be written .*FACELAB_CACHE"):
        assets.path("tiny")


# Archives: what they claim is not believed


def test_a_bomb_is_not_unpacked(tmp_path):
    """A member that says it is too large, and one that lies about it."""
    bomb = tmp_path / "bomb.whl"
    bomb.write_bytes(wheel("bomb", {"tiny/weights.bin": bytes(30_000_000)}))
    assert bomb.stat().st_size < 100_000
    with pytest.raises(archives.SourceError, match="30000000 bytes there, 10240 expected"):
        archives.extract(bomb, FIRST, one_file(FIRST), tmp_path / "out")

    said = (30_000_000).to_bytes(4, "little")
    bomb.write_bytes(bomb.read_bytes().replace(said, len(CONTENT).to_bytes(4, "little")))
    with pytest.raises(archives.SourceError, match="damaged"):
        archives.extract(bomb, FIRST, one_file(FIRST), tmp_path / "out")
    sizes = [path.stat().st_size for path in (tmp_path / "out").rglob("*.bin")]
    assert all(size <= len(CONTENT) for size in sizes)


def test_a_stream_is_copied_up_to_its_size_only(tmp_path):
    with pytest.raises(archives.SourceError, match="goes on after its 4 bytes"):
        archives._copy(io.BytesIO(b"12345"), tmp_path / "long", 4)
    with pytest.raises(archives.SourceError, match="ends 2 bytes too early"):
        archives._copy(io.BytesIO(b"12"), tmp_path / "short", 4)


@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_truncated_archive_is_another_source_s_turn(tmp_path, kept):
    noise = torch.randint(256, (40_000,), dtype=torch.uint8).numpy().tobytes()
    whole = {
        "wheel": wheel("tiny", {"tiny/weights.bin": noise}),
        "sdist": sdist("tiny", {"tiny/weights.bin": noise}, ""),
    }
    for kind, data in whole.items():
        folder = "tiny" if kind == "wheel" else "tiny-1.0/tiny"
        source = Source("tiny", "1.0", folder, kind)
        path = tmp_path / kind
        path.write_bytes(data)
        archives.extract(path, source, one_file(source, content=noise), tmp_path / f"{kind}-out")
        assert (tmp_path / f"{kind}-out" / "weights.bin").read_bytes() == noise
        path.write_bytes(data[: int(kept * len(data))])
        with pytest.raises(archives.SourceError, match="damaged"):
            archives.extract(path, source, one_file(source, content=noise), tmp_path / "out")


def test_a_link_in_an_sdist_is_not_followed(tmp_path):
    (tmp_path / "secret").write_bytes(CONTENT)
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        link = tarfile.TarInfo("tiny/weights.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        archive.addfile(link)
    source = dataclasses.replace(FIRST, kind="sdist")
    with pytest.raises(archives.SourceError, match=r"no tiny/weights\.bin"):
        archives.extract(tmp_path / "x.tar.gz", source, one_file(source), tmp_path / "out")


# What is known already


def test_a_sum_is_computed_once_while_the_file_is_the_same(index, tiny, home, monkeypatch):
    index.serve_wheel("facelab-tiny", {"tiny/weights.bin": CONTENT})
    path = assets.path("tiny")
    computed = []
    sha256 = cache.sha256
    monkeypatch.setattr(cache, "sha256", lambda file: (computed.append(file), sha256(file))[1])
    assets.path("tiny")
    first = len(computed)  # the moved file's, once
    assets.path("tiny")
    assert len(computed) == first <= 1
    os.utime(path, ns=(1, 1))
    assets.path("tiny")
    assert len(computed) == first + 1
    assets.verify("tiny")
    assert len(computed) == first + 2
    path.write_bytes(CONTENT[::-1])
    assert assets.path("tiny").read_bytes() == CONTENT
    assert index.downloads == 2


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x": 1}', '{"%s": [1, "a"]}', "\0"])
def test_a_damaged_record_of_sums_is_only_a_lost_record(tmp_path, text):
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    record = tmp_path / "sums.json"
    record.write_text(text.replace("%s", str(file)))
    sums = cache.Sums(record)
    assert sums.of(file) == sum_of(b"abc")
    sums.save()
    assert json.loads(record.read_text())[str(file)][2] == sum_of(b"abc")


def test_a_cache_that_cannot_be_written_can_be_read(tiny, home, monkeypatch):
    file = spoil(home)
    file.write_bytes(CONTENT)

    def refuse(*_):
        raise PermissionError(errno.EACCES, "read-only")

    monkeypatch.setattr(cache, "write_beside", refuse)
    monkeypatch.setattr(cache, "FileLock", refuse)
    assert assets.path("tiny") == file


# The table


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(AssetError, match="did you mean portraits"):
        assets.path("portrait")
    with pytest.raises(AssetError, match=r"choose one of .*mathjax"):
        assets.verify("qqq")


def test_verify_of_an_absent_asset_says_how_to_fetch_it(tiny):
    with pytest.raises(AssetError, match="facelab assets fetch tiny"):
        assets.verify("tiny")


def test_the_listing_serves_people_and_programs(tiny, home):
    rows = {row["name"]: row for row in assets.listing()}
    assert rows["tiny"]["state"] == "absent"
    spoil(home)
    rows = {row["name"]: row for row in assets.listing()}
    assert rows["tiny"]["state"] == "damaged"
    assert rows["mtcnn"]["state"] == "ready"
    assert json.loads(json.dumps(rows)) == rows
    text = assets.render_listing(list(rows.values()))
    assert "gan-face-generate==1.1.1 (wheel)" in text
    assert "CC0-1.0" in text


def test_every_asset_says_what_it_is_and_how_it_is_checked():
    for asset in ASSETS.values():
        assert asset.title, asset.name
        assert asset.licence, asset.name
        assert asset.use, asset.name
        assert asset.provenance, asset.name
        assert bool(asset.files) != bool(asset.tree), asset.name
        assert len(asset.sha256) == 64
        assert asset.size_bytes > 0
        for source in asset.sources:
            # pip would run an sdist that has no sum.
            assert source.kind != "sdist" or len(source.archive_sha256) == 64


def test_an_installed_asset_is_verified_and_never_fetched(monkeypatch, tmp_path):
    folder = assets.path("mtcnn")
    assert sorted(path.name for path in folder.glob("*.pt")) == ["onet.pt", "pnet.pt", "rnet.pt"]
    assert assets.verify("mtcnn") == folder
    # A damaged installation names both sums, and pip's remedy; another version is named.
    shutil.copytree(folder, tmp_path / "data")
    (tmp_path / "data" / "onet.pt").write_bytes(b"onet")
    monkeypatch.setattr(store, "_folder", lambda asset: tmp_path / "data")
    with pytest.raises(AssetError, match=f"{sum_of(b'onet')}.*165bfbe4.*facenet-pytorch==2.5.3"):
        assets.path("mtcnn")
    monkeypatch.setattr(store.importlib.metadata, "version", lambda _: "2.6.0")
    with pytest.raises(AssetError, match=r"comes with facenet-pytorch==2.5.3, but 2.6.0 is"):
        assets.path("mtcnn")


def test_the_table_is_read_without_torch():
    program = (
        "import sys; from facelab import assets; assets.listing();"
        "print([m for m in ('torch', 'numpy', 'tqdm', 'facenet_pytorch') if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"


@pytest.mark.registry
@pytest.mark.parametrize("name", list(ASSETS))
def test_the_real_asset_verifies(name):
    assets.path(name)
    assets.verify(name)


@pytest.mark.registry
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "which"),
    [(a.name, i) for a in ASSETS.values() for i in range(len(a.sources)) if not a.installed],
)
def test_every_source_gives_the_right_files(name, which, monkeypatch, tmp_path):
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path))
    asset = ASSETS[name]
    only = dataclasses.replace(asset, sources=(asset.sources[which],))
    monkeypatch.setitem(ASSETS, name, only)
    start = time.monotonic()
    assets.path(name)
    assert time.monotonic() - start < 300
    assets.verify(name)


# Weights


class Payload:
    def __reduce__(self):
        return (os.mkdir, ("pwned",))


def test_weights_of_either_format_are_read(tmp_path):
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(1, dtype=torch.int64)}
    save_file(tensors, tmp_path / "a.safetensors")
    (tmp_path / "renamed.bin").write_bytes(save(tensors))
    torch.save(tensors, tmp_path / "a.pt")
    torch.save({"net": tensors, "epoch": 3}, tmp_path / "nested.pt")
    for name in ("a.safetensors", "renamed.bin", "a.pt"):
        loaded = assets.load_weights(tmp_path / name)
        assert loaded.keys() == tensors.keys()
        for key, tensor in tensors.items():
            assert torch.equal(loaded[key], tensor)
    assert torch.equal(assets.load_weights(tmp_path / "nested.pt")["net"]["a"], tensors["a"])


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle 2", "pickle 4"])
def test_code_in_weights_is_refused_and_not_run(tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    if form.startswith("pickle"):
        Path("evil.pt").write_bytes(pickle.dumps({"a": Payload()}, protocol=int(form[-1])))
    else:
        torch.save({"a": Payload()}, "evil.pt", _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(CheckpointError) as caught:
        assets.load_weights("evil.pt")
    assert "evil.pt holds code (" in str(caught.value)
    assert ("mkdir" in str(caught.value)) == (form != "pickle 4")
    assert "safetensors.torch.save_file" in str(caught.value)
    assert not Path("pwned").exists()


def test_damaged_weights_are_named(tmp_path):
    tensors = {"a": torch.randn(1000)}
    torch.save(tensors, tmp_path / "cut.pt")
    torch.save(tensors, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    save_file(tensors, tmp_path / "cut.safetensors")
    for path in list(tmp_path.iterdir()):
        path.write_bytes(path.read_bytes()[:-700])
    (tmp_path / "empty.pt").touch()
    (tmp_path / "text.pt").write_text("not weights at all\n")
    (tmp_path / "text.safetensors").write_text("not weights at all\n")
    for path in tmp_path.iterdir():
        with pytest.raises(CheckpointError, match=f"{path.name} is damaged.*again"):
            assets.load_weights(path)
    with pytest.raises(CheckpointError, match="can't be read"):
        assets.load_weights(tmp_path / "absent.pt")
    with pytest.raises(CheckpointError, match="can't be read"):
        assets.load_weights(tmp_path)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="holds a list, not a dictionary"):
        assets.load_weights(tmp_path / "list.pt")


def test_weights_are_compared_bit_by_bit(tmp_path):
    tensors = {"a": torch.arange(3.0), "b": torch.zeros(2)}
    path = tmp_path / "w.safetensors"
    assets.save_weights(path, tensors, "test")
    assets.verify_weights(path, tensors)
    for word, other in {
        "a differs": tensors | {"a": torch.tensor([0.0, 1.0, 2.0 + 1e-6])},
        "b differs": tensors | {"b": torch.zeros(2, dtype=torch.float64)},
        "lacks c": tensors | {"c": torch.ones(1)},
        "has an unknown tensor b": {"a": tensors["a"]},
    }.items():
        with pytest.raises(CheckpointError, match=f"{word}.*make it again"):
            assets.verify_weights(path, other)


@pytest.fixture
def tiny_here(tiny, home) -> Asset:
    spoil(home).write_bytes(CONTENT)
    return tiny


def convert(path: Path) -> dict:
    return {"bytes": torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8).clone()}


def test_a_derived_file_is_made_once_and_again_when_damaged(tiny_here):
    made = []

    def counting(path: Path) -> dict:
        made.append(path)
        return convert(path)

    path = assets.derived("tiny", "bytes", counting)
    assert path.name == f"tiny-{sum_of(CONTENT)[:16]}-bytes.safetensors"
    assert load_file(path)["bytes"].numpy().tobytes() == CONTENT
    assert assets.derived("tiny", "bytes", counting) == path
    assert len(made) == 1
    assert assets.derived("tiny", "other", counting) != path
    assert len(made) == 2
    whole = path.read_bytes()
    for damage in (whole[:-5], whole[:-1] + b"!", b""):
        path.write_bytes(damage)
        assets.derived("tiny", "bytes", counting)
        assert path.read_bytes() == whole
    path.with_suffix(".sha256").unlink()  # killed between the file and its sum
    assets.derived("tiny", "bytes", counting)
    assert len(made) == 6
    with pytest.raises(AssetError, match="suffix"):
        assets.derived("tiny", "../evil", counting)


def test_two_threads_derive_once(tiny_here):
    made, paths = [], []

    def slow(path: Path) -> dict:
        made.append(path)
        time.sleep(0.2)
        return convert(path)

    threads = [
        threading.Thread(target=lambda: paths.append(assets.derived("tiny", "slow", slow)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(set(paths)) == 1


def test_a_failed_save_leaves_the_old_weights(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    assets.save_weights(path, {"a": torch.ones(3)}, "test")

    def full(self, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(AssetError, match="no space is left"):
        assets.save_weights(path, {"a": torch.zeros(3)}, "test")
    assert torch.equal(load_file(path)["a"], torch.ones(3))
    assert [item.name for item in tmp_path.iterdir()] == [path.name]
