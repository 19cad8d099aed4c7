"""Unpacking what somebody else packed: whole and safely, or not at all."""

import bz2
import errno
import io
import lzma
import shutil
import stat
import tarfile
import zipfile

import pytest

from facelab.data.public import extraction
from facelab.errors import AssetError, DatasetError

FILES = {"set/a.jpg": b"a" * 5000, "set/in/b.jpg": bytes(range(256)) * 40, "c.txt": b""}


def unpack(archive, folder, most_bytes=100_000, most_files=10):
    return extraction.extract(archive, folder, most_bytes=most_bytes, most_files=most_files)


def refused(archive, folder, **limits) -> str:
    with pytest.raises(DatasetError) as caught:
        unpack(archive, folder, **limits)
    assert not folder.exists()
    assert [path for path in folder.parent.iterdir() if path.is_dir()] == []
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    return place / "unpacked"


@pytest.fixture
def write(tmp_path):
    def keep(data: bytes):
        path = tmp_path / "archive"
        path.write_bytes(data)
        return path

    return keep


@pytest.fixture
def archive(mini, write):
    """Write an archive of a kind from members."""

    def make(kind: str, members: dict[str, bytes]):
        if kind == "zip":
            return write(mini.zipped(members))
        return write(mini.tarred(members, "" if kind == "tar" else kind))

    return make


KINDS = pytest.mark.parametrize("kind", ["zip", "tar", "gz", "bz2", "xz"])


@KINDS
def test_every_kind_comes_out_as_it_went_in(archive, folder, kind):
    assert unpack(archive(kind, FILES), folder) == folder
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}
    assert found == FILES


def test_a_folder_that_is_there_is_taken_as_it_is(archive, folder):
    folder.mkdir()
    (folder / "mine").write_bytes(b"")
    unpack(archive("zip", FILES), folder)
    assert [path.name for path in folder.iterdir()] == ["mine"]


def test_what_a_killed_call_left_is_taken_away(archive, folder):
    left = folder.with_name(".unpacked.unpacking")
    left.mkdir()
    (left / "half.jpg").write_bytes(b"")
    unpack(archive("zip", FILES), folder)
    assert not list(folder.parent.rglob("half.jpg"))


@KINDS
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../x", "leads out"),
        ("a/../../x", "leads out"),
        ("/x", "absolute"),
        ("C:/x", "no plain name"),
        ("a\\..\\x", "no plain name"),
    ],
)
def test_names_that_lead_elsewhere(archive, folder, kind, name, why):
    message = refused(archive(kind, FILES | {name: b"x"}), folder)
    assert repr(name) in message
    assert why in message


@KINDS
def test_the_archive_s_own_folder_is_no_member(archive, folder, kind):
    unpack(archive(kind, {"./a.jpg": b"a", "b//c.jpg": b"c"}), folder)
    assert (folder / "a.jpg").read_bytes() == b"a"
    assert (folder / "b/c.jpg").read_bytes() == b"c"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("second", "why"),
    [
        ("a.jpg", "'a.jpg' is there twice"),
        ("./a.jpg", "'a.jpg' is there twice"),
        ("a.jpg/b.jpg", "'a.jpg/b.jpg' lies in a file"),
    ],
)
def test_a_name_twice(write, folder, second, why):
    tar, whole_zip = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as opened:
        opened.addfile(tarfile.TarInfo("a.jpg"))
        opened.addfile(tarfile.TarInfo(second))
    with zipfile.ZipFile(whole_zip, "w") as opened:
        opened.writestr("a.jpg", b"")
        opened.writestr(second, b"")
    for stream in (tar, whole_zip):
        assert why in refused(write(stream.getvalue()), folder)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar(write, folder, kind):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as opened:
        info = tarfile.TarInfo("odd")
        info.type, info.linkname = kind, "/etc/passwd"
        opened.addfile(info)
    assert "'odd' is a link or a device" in refused(write(stream.getvalue()), folder)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip(write, folder, kind):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as opened:
        info = zipfile.ZipInfo("odd")
        info.external_attr = (kind | 0o777) << 16
        opened.writestr(info, b"/etc/passwd")
    assert "'odd' is a link or a device" in refused(write(stream.getvalue()), folder)


@KINDS
def test_more_files_or_bytes_than_allowed(archive, folder, kind):
    path = archive(kind, FILES)
    assert "'c.txt' is one of more than 2" in refused(path, folder, most_files=2)
    size = sum(map(len, FILES.values()))
    assert "makes it more than 15,239 bytes" in refused(path, folder, most_bytes=size - 1)
    unpack(path, folder, most_bytes=size, most_files=3)


def test_a_zip_that_says_small_and_is_large(mini, write, folder):
    """A million zeros as 10 bytes: no more than those are ever written."""
    data = bytearray(mini.zipped({"bomb": bytes(1_000_000)}))
    for start in (data.index(b"PK\x03\x04") + 22, data.index(b"PK\x01\x02") + 24):
        data[start : start + 4] = (10).to_bytes(4, "little")
    assert "'bomb' is damaged" in refused(write(bytes(data)), folder)


def test_a_zip_that_says_large_and_is_small(mini, write, folder):
    data = bytearray(mini.zipped({"short": bytes(1000)}))
    for start in (data.index(b"PK\x03\x04") + 22, data.index(b"PK\x01\x02") + 24):
        data[start : start + 4] = (1001).to_bytes(4, "little")
    assert "'short'" in refused(write(bytes(data)), folder)


def test_an_encrypted_zip(mini, write, folder):
    data = bytearray(mini.zipped({"a": b"a"}))
    for start in (data.index(b"PK\x03\x04") + 6, data.index(b"PK\x01\x02") + 8):
        data[start] |= 1
    assert "'a' is encrypted" in refused(write(bytes(data)), folder)


@KINDS
def test_every_way_to_be_cut_short(archive, folder, kind):
    """Anywhere: also where a tar's reader takes the missing end for the end."""
    path = archive(kind, FILES)
    whole = path.read_bytes()
    tail = len(whole) - (10_240 - 512 if kind == "tar" else 1)  # a tar ends in zeros
    places = [*range(1, tail, max(1, tail // 12)), tail]
    if kind == "tar":
        sizes = [512 * (1 + -(-len(data) // 512)) for data in FILES.values()]
        places += [sizes[0], sum(sizes[:2]), sum(sizes)]  # between members
        places = [place for place in places if place <= sum(sizes) + 511]
    for place in places:
        path.write_bytes(whole[:place])
        message = refused(path, folder)
        assert "damaged" in message or "ends" in message, place
    path.write_bytes(whole)
    unpack(path, folder)


@pytest.mark.parametrize("kind", ["zip", "gz", "xz", "bz2"])
def test_every_changed_byte_is_found_or_does_not_matter(archive, folder, kind):
    """What is unpacked after a change, if anything, has the bytes that went in."""
    path = archive(kind, FILES)
    whole = path.read_bytes()
    found = 0
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            unpack(path, folder, most_files=3)
        except (DatasetError, AssetError):
            found += 1
            assert not folder.exists()
            continue
        contents = sorted(p.read_bytes() for p in folder.rglob("*") if p.is_file())
        assert contents == sorted(FILES.values())
        shutil.rmtree(folder)
    assert found > 40


@pytest.mark.parametrize("data", [b"", b"PK", b"no archive", bytes(100), b"\x1f\x8b"])
def test_what_is_no_archive(write, folder, data):
    assert "is damaged or cut short" in refused(write(data), folder)


def test_compressed_things_that_are_no_tar(write, folder):
    for compress in (bz2.compress, lzma.compress):
        assert "is damaged or cut short" in refused(write(compress(b"no tar" * 1000)), folder)


def test_a_full_disk(archive, folder, monkeypatch):
    path = archive("zip", FILES)
    usage = shutil.disk_usage("/")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=15_000))
        with pytest.raises(AssetError, match="no space is left"):
            unpack(path, folder)

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(extraction, "_copy", full)
        with pytest.raises(AssetError, match="no space is left"):
            unpack(path, folder)
    assert list(folder.parent.glob(".*unpacking")) == []
    assert not folder.exists()
    unpack(path, folder)


def test_progress_counts_files(archive, folder):
    told = []
    path = archive("zip", FILES)
    extraction.extract(path, folder, most_bytes=10**6, most_files=9, progress=told.append)
    assert told == [1, 2, 3]
