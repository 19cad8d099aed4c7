"""Every public dataset's script from a web server to packed faces, on small files.

`bench` runs for each set, `fetched` for one of each script: what can go wrong between a server and
the packed folder, each time with nothing partial left under the name of a whole, and with the bytes
of an undisturbed run in the end.
"""

import concurrent.futures
import errno
import io
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from facelab.assets import cache, web
from facelab.data import packed
from facelab.data.public import extraction, preparation
from facelab.data.shards import Shards
from facelab.errors import DatasetError

SMALL = pytest.mark.parametrize("set_name", ["celeba"])


def test_fresh(bench):
    """From the web or a folder to faces that can be opened; a second time nothing is asked."""
    status, out, err = bench.run()
    assert (status, out) == (0, str(bench.target)), err
    for word in ("licence", "terms", bench.real.title):
        assert word in err
    faces = Shards(bench.target)
    mini = bench.mini
    assert (len(faces), faces.people, faces.size) == (mini.pictures, mini.people, 16)
    assert faces.column("label.split").tolist() == list(mini.splits)
    assert not bench.sources.exists()
    asked = len(bench.server.paths)
    assert asked == len(bench.real.files)
    assert bench.run()[:2] == (0, str(bench.target))
    assert len(bench.server.paths) == asked
    assert bench.run("--verify")[:2] == (0, str(bench.target))


def test_cut_at_ten_points(fetched):
    """One download that breaks off ten times, the last time one byte before its end."""
    total = len(fetched.files[fetched.archive])
    points = [1, 2, *(total * part // 8 for part in range(1, 8)), total - 1]
    path, have = f"/{fetched.archive}", 0
    for point in points:
        fetched.server.cuts[path] = point - have
        assert f"broke off after {point:,} of {total:,} bytes" in fetched.refused()
        have = point
    fetched.ends_as_a_fresh_one()
    asked = [
        r for p, r in zip(fetched.server.paths, fetched.server.asked, strict=True) if p == path
    ]
    assert asked[: len(points) + 1] == [None, *(f"bytes={point}-" for point in points)]


@pytest.mark.parametrize("place", [0, 0.5, 1])
def test_a_changed_checksum(fetched, place):
    name = fetched.archive
    changed = bytearray(fetched.files[name])
    changed[round(place * (len(changed) - 1))] ^= 1
    fetched.server.pages[f"/{name}"] = bytes(changed)
    line = fetched.refused()
    if any((file.sha256 or file.md5) and file.name == name for file in fetched.real.files):
        assert "it was deleted; run this again" in line
    else:  # nobody published a sum: the reader of the archive finds it
        assert "damaged" in line
    fetched.server.pages[f"/{name}"] = fetched.files[name]
    fetched.ends_as_a_fresh_one()


def test_a_404_at_the_first_mirror(fetched):
    fetched.publish(mirrors=("first/", "second/"))
    for file in fetched.real.files:
        fetched.server.statuses[f"/first/{file.name}"] = 404
    fetched.ends_as_a_fresh_one()
    assert f"/second/{fetched.archive}" in fetched.server.paths


def test_a_404_everywhere(fetched):
    fetched.publish(mirrors=("first/", "second/"))
    fetched.server.pages.clear()
    fetched.server.pages["/other"] = b""
    line = fetched.refused()
    assert "was not had from any of 2 addresses" in line
    assert line.count("404 Not Found") == 2
    fetched.publish()
    fetched.ends_as_a_fresh_one()


def test_a_mirror_of_the_reader_s_comes_first(fetched):
    fetched.publish(mirrors=("", "mine/"))
    status, _, _ = fetched.run("--url", f"{fetched.server.base}mine/")
    assert status == 0
    assert set(fetched.server.paths) == {f"/mine/{file.name}" for file in fetched.real.files}
    assert fetched.content() == fetched.fresh()


def test_a_server_that_stops_sending(fetched, monkeypatch):
    """What came is kept, and the next call asks for the rest."""
    half = len(fetched.files[fetched.archive]) // 2
    fetched.server.stalls[f"/{fetched.archive}"] = half
    with monkeypatch.context() as patch:
        patch.setattr(web, "SECONDS", 1)
        line = fetched.refused()
    assert f"broke off after {half:,}" in line
    assert "timed out" in line
    fetched.ends_as_a_fresh_one()
    assert f"bytes={half}-" in fetched.server.asked


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_truncated_archive_whose_size_and_sum_nobody_knows(fetched, share):
    fetched.publish(sizes=False, sums=False)
    fetched.server.states_size = False
    whole = fetched.files[fetched.archive]
    fetched.server.pages[f"/{fetched.archive}"] = whole[: round(share * len(whole))]
    for file in fetched.real.files:
        if file.kind == "file":  # it could not be told whether these are whole
            (fetched.sources).mkdir(parents=True, exist_ok=True)
            (fetched.sources / file.name).write_bytes(fetched.files[file.name])
    assert "damaged" in fetched.refused()
    fetched.server.states_size = True
    fetched.publish()
    status, _, line = fetched.run()
    assert status == 0, line
    faces, card = fetched.content(), "CARD.md"
    assert {**faces, card: b""} == {**fetched.fresh(), card: b""}


def evil(archive: bytes, what: str) -> bytes:
    """Return an archive with one more member, which should be refused."""
    return (_evil_zip if archive.startswith(b"PK") else _evil_tar)(archive, what)


def _evil_zip(archive: bytes, what: str) -> bytes:
    stream = io.BytesIO(archive)
    with zipfile.ZipFile(stream, "a") as opened:
        info = zipfile.ZipInfo({"up": "../pwned", "absolute": "/tmp/pwned"}.get(what, "pwned"))
        if what in ("symlink", "device"):
            kind = stat.S_IFLNK if what == "symlink" else stat.S_IFCHR
            info.external_attr = (kind | 0o644) << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        opened.writestr(info, b"/etc/passwd" if what != "bomb" else bytes(100_000))
    data = bytearray(stream.getvalue())
    if what == "bomb":  # it says 10 bytes, here and in the directory at the end
        for start in (data.rindex(b"PK\x03\x04") + 22, data.rindex(b"PK\x01\x02") + 24):
            data[start : start + 4] = (10).to_bytes(4, "little")
    return bytes(data)


def _evil_tar(archive: bytes, what: str) -> bytes:
    kinds = {"symlink": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE, "device": tarfile.CHRTYPE}
    info = tarfile.TarInfo({"up": "../pwned", "absolute": "/tmp/pwned"}.get(what, "pwned"))
    info.type = kinds.get(what, tarfile.REGTYPE)
    info.linkname = "/etc/passwd" if what in kinds else ""
    stream = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as before,
        tarfile.open(fileobj=stream, mode="w:gz") as opened,
    ):
        for member in before.getmembers():
            opened.addfile(member, before.extractfile(member))
        opened.addfile(info)
        if what == "bomb":  # two gigabytes, of which here is the beginning
            info.size = 2 << 30
            opened.fileobj.write(info.tobuf() + bytes(1 << 20))
    return stream.getvalue()


@pytest.mark.parametrize("what", ["up", "absolute", "symlink", "device", "bomb"])
def test_an_archive_that_means_ill(fetched, what):
    refuses_what_means_ill(fetched, what)


@pytest.mark.parametrize("set_name", ["lfw"])
def test_a_tar_with_a_hard_link(bench):
    refuses_what_means_ill(bench, "hard link")


def refuses_what_means_ill(fetched, what: str) -> None:
    """Its sum is the published one; nothing is unpacked all the same, and nothing outside."""
    right = fetched.files[fetched.archive]
    fetched.files[fetched.archive] = evil(right, what)
    fetched.publish()
    line = fetched.refused()
    assert "pwned" in line
    assert "nothing was unpacked" in line
    assert not any(fetched.folder.rglob("pwned"))
    assert not Path("/tmp/pwned").exists()
    fetched.files[fetched.archive] = right
    fetched.publish()
    fetched.ends_as_a_fresh_one()


def full(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_no_space_before_anything_is_fetched(fetched, monkeypatch):
    usage = shutil.disk_usage("/")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=500))
        assert "no space is left" in fetched.refused()
    fetched.ends_as_a_fresh_one()


def half_written(write):
    """Return a writer of chunks that fails half-way in the second one, or in a large one."""
    seen = []

    def failing(file, place, out, chunk):
        seen.append(chunk)
        if len(seen) > 1 or len(chunk) > 1000:
            write(file, place, out, chunk[: len(chunk) // 2])
            with cache.writing(file.name, place):
                full()
        write(file, place, out, chunk)

    return failing


@pytest.mark.parametrize("step", ["arrives", "is unpacked", "is packed"])
def test_a_disk_that_fills_up(fetched, monkeypatch, step):
    """While the archive arrives, is unpacked, or is packed."""
    with monkeypatch.context() as patch:
        if step == "arrives":
            patch.setattr(web, "_write", half_written(web._write))
        elif step == "is unpacked":
            patch.setattr(extraction, "_copy", full)
        else:
            patch.setattr(packed, "_write_block", full)
        status, out, line = fetched.run()
    assert (status, out) == (2, ""), line
    assert "no space is left" in line
    with pytest.raises(DatasetError, match=r"is not finished|has no index"):
        Shards(fetched.target)
    if step == "is unpacked":
        fetched.nothing_is_taken_for_complete()
    fetched.ends_as_a_fresh_one()


def test_a_dry_run_writes_nothing(bench):
    if bench.mini.unpacked:
        bench.lay()
    before = sorted(bench.folder.rglob("*"))
    status, out, err = bench.run("--dry-run", accept=False)
    assert (status, out) == (0, str(bench.target)), err
    assert sorted(bench.folder.rglob("*")) == before
    assert bench.server.paths == []
    for file in bench.real.files:
        assert f"would fetch {file.name}" in err


def test_terms_have_to_be_accepted(bench):
    status, out, line = bench.run(accept=False)
    if not bench.real.terms:
        assert status == 0
        return
    assert (status, out) == (2, "")
    assert "have to be accepted; read them and give --accept" in line
    assert bench.server.paths == []
    assert not bench.target.exists()


class Terminal(io.StringIO):
    """Somebody who answers."""

    def isatty(self):
        return True


@SMALL
@pytest.mark.parametrize("answer", ["yes\n", "no\n", "", "maybe\n"])
def test_terms_are_asked_for_on_a_terminal(bench, monkeypatch, answer):
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    status, _, line = bench.run(accept=False)
    if answer == "yes\n":
        assert status == 0
        assert "Do you accept the terms of CelebA" in line
    else:
        assert status == 2
        assert line == "celeba: the terms were not accepted, so nothing was done"
        assert bench.server.paths == []


@SMALL
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--framing", "moon"], "celeba has no framing 'moon'; choose one of: centre, book64"),
        (["--size", "0"], "--size 0 can't be; give at least 1"),
        (["--from", "/nowhere"], "/nowhere is no folder"),
        (["--url", "https://x.org/one.zip"], "the set has 5 files, so --url has to be"),
    ],
)
def test_mistakes_of_the_command_line(bench, words, message):
    status, _, line = bench.run(*words)
    assert status == 2
    assert message in line


@SMALL
@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "a/b"])
def test_what_is_no_part(bench, capsys, part):
    with pytest.raises(SystemExit) as caught:
        bench.run("--part", part)
    assert caught.value.code == 2
    assert f"'{part}' is no part; give I/N" in capsys.readouterr().err


def test_verify_finds_one_byte(fetched):
    assert fetched.run()[0] == 0
    path = next(fetched.target.glob("*.facepack"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    time = path.stat().st_mtime_ns
    path.write_bytes(data)
    os.utime(path, ns=(time, time))
    status, _, line = fetched.run("--verify")
    assert status == 2
    assert f"{path} is not what was written" in line


def test_archives_that_the_reader_has(fetched):
    """Nothing is fetched; they stay, and are checked."""
    given = fetched.lay()
    assert fetched.run("--from", given)[0] == 0
    assert fetched.server.paths == []
    assert (given / fetched.archive).is_file()
    assert fetched.content() == fetched.fresh()


def test_another_archive_that_the_reader_has_is_refused(fetched):
    given = fetched.lay()
    (given / fetched.archive).write_bytes(fetched.files[fetched.archive][:-1])
    assert f"{fetched.archive} has " in fetched.refused("--from", given)
    assert (given / fetched.archive).is_file()


def test_a_folder_that_was_unpacked_gives_the_same_faces(fetched):
    """The card alone differs: nobody knows the sums of the archives."""
    assert fetched.run("--from", fetched.unpack(fetched.folder / "mine"))[0] == 0
    found, fresh = fetched.content(), fetched.fresh()
    assert b"no sum of its archive is known" in found.pop("CARD.md")
    fresh.pop("CARD.md")
    assert found == fresh


def test_a_folder_with_something_else_is_left_alone(fetched):
    output = fetched.folder / "mine"
    output.mkdir()
    (output / "CARD.md").write_text("mine")
    status, _, line = fetched.run("-o", output)
    assert status == 2
    assert "holds CARD.md, which is not of this set" in line
    assert [path.name for path in output.iterdir()] == ["CARD.md"]
    assert (output / "CARD.md").read_text() == "mine"


KILLED = """
import os, signal, sys
from facelab.data import packed
from facelab.data.public import preparation

preparation.SHARD, write, calls = 2, packed._write_block, []

def dying(file, layout, number, rows):
    calls.append(number)
    if len(calls) == 3:
        array = layout.arrays[0]
        file.seek(array.offset)
        file.write(b"half")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    write(file, layout, number, rows)

packed._write_block = dying
preparation.main(("celeba", "celeba-wild"), sys.argv[1:])
"""


@SMALL
def test_a_packing_that_was_killed(bench, monkeypatch):
    """In its third file of five; called again, the bytes are those of an undisturbed one."""
    given = bench.unpack(bench.folder / "mine")
    words = ["--size", "16", "--accept", "--from", str(given)]
    done = subprocess.run([sys.executable, "-c", KILLED, *words], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    bench.nothing_is_taken_for_complete()
    assert len(list(bench.target.glob("*.facepack"))) == 2
    monkeypatch.setattr(preparation, "SHARD", 2)
    assert bench.run("--from", given)[0] == 0
    found = bench.content()
    assert len([name for name in found if name.endswith(".facepack")]) == 5
    with bench.elsewhere("undisturbed"):
        assert bench.run("--from", given)[0] == 0
        assert bench.content() == found


@SMALL
def test_two_parts(bench, monkeypatch):
    """Each packs its own files; with the second one the folder is whole and the sources go."""
    monkeypatch.setattr(preparation, "SHARD", 2)
    status, out, err = bench.run("--part", "2/2")
    assert (status, out) == (0, str(bench.target))
    assert "other parts aren't finished" in err
    bench_files = sorted(path.name for path in bench.target.glob("*.facepack"))
    assert bench_files == ["faces-00001.facepack", "faces-00003.facepack"]
    assert bench.sources.exists()
    assert bench.run("--part", "1/2")[0] == 0
    assert len(Shards(bench.target)) == 9
    assert not bench.sources.exists()
    assert bench.content() == bench.fresh()


@SMALL
def test_two_at_once(bench, mini):
    """One waits for the other: each file is asked for once, and both have the folder."""
    script = mini.load(mini.SCRIPTS / "celeba.py")
    words = ["celeba", "--size", "16", "--accept"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert list(pool.map(script.main, [words, words])) == [0, 0]
    assert len(bench.server.paths) == len(bench.real.files)
    assert bench.content() == bench.fresh()


@SMALL
def test_a_lock_that_was_left_is_no_stranger(bench):
    """As a call leaves it that was killed before the index was there."""
    bench.target.mkdir(parents=True)
    (bench.target / "index.json.lock").touch()
    bench.ends_as_a_fresh_one()


@SMALL
def test_kept_archives_are_verified_too(bench):
    assert bench.run("--keep")[0] == 0
    assert bench.run("--verify")[0] == 0
    archive = bench.sources / bench.archive
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    assert "is not the file that" in bench.run("--verify")[2]


@SMALL
def test_other_settings_need_another_folder(bench):
    output = bench.folder / "mine"
    assert bench.run("-o", output)[0] == 0
    before = bench.content(output)
    status, _, line = bench.run("-o", output, "--framing", "book64")
    assert status == 2
    assert "holds faces whose framing is centre, not book64" in line
    assert bench.content(output) == before
