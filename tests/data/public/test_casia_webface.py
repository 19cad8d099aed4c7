"""CASIA-WebFace: folders of people, and records that are unpacked without MXNet, all or nothing."""

import errno
import os
import shutil
import struct

import pytest

from facelab.data.public import casia_webface, recordio
from facelab.errors import AssetError, DatasetError
from facelab.images import load_image


@pytest.fixture(scope="session")
def small(mini):
    """The module of the small set."""
    return mini.load(mini.HERE / "mini_casia_webface.py")


@pytest.fixture(scope="session")
def jpegs(mini):
    """Five pictures."""
    return [mini.jpeg(112, 112, seed) for seed in range(5)]


@pytest.fixture
def place(small, tmp_path):
    """The published layout."""
    for name, data in small.casia().items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "mine"


@pytest.fixture
def write(tmp_path):
    """Write files of records into a folder."""

    def written(files: dict[str, bytes]):
        folder = tmp_path / "faces_webface_112x112"
        folder.mkdir(exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        return folder

    return written


@pytest.fixture
def folder(write, small, jpegs):
    """Five pictures of three people, the second of whom has a list of labels."""
    labels = (0.0, (1.0, 9.0, 9.0), (1.0, 8.0, 8.0), 2.0, 0.0)
    return write(small.records(list(zip(labels, jpegs, strict=True)), 3))


# --- folders -------------------------------------------------------------------------------------


def test_people_by_their_folders(place):
    found = casia_webface.listing(place)
    assert found.folder == place / "CASIA-WebFace"
    assert found.identity.tolist() == [0, 0, 0, 1, 2, 2, 2]
    assert found.files[2:5] == ("0000045/003.jpg", "0000099/001.jpg", "0000102/001.jpg")
    assert found.split.tolist() == [0] * 7


def test_numbers_count_and_not_their_letters(tmp_path):
    for name in ("10/a.jpg", "9/b.PNG", "9/Thumbs.db", "9/.c.jpg", "notes/d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert casia_webface.listing(tmp_path).files == ("9/b.PNG", "10/a.jpg")


def test_folders_that_don_t_fit(place):
    (place / "CASIA-WebFace/7").mkdir()
    with pytest.raises(DatasetError, match="7 has no picture; unpack the set again, or delete it"):
        casia_webface.listing(place)
    (place / "CASIA-WebFace/7").rename(place / "CASIA-WebFace/45")
    with pytest.raises(DatasetError, match="have one number; keep one of them"):
        casia_webface.listing(place)
    with pytest.raises(DatasetError, match=r"has no 0000045/001.jpg"):
        casia_webface.listing(place / "CASIA-WebFace/0000099")


def test_records_have_to_be_unpacked_first(folder):
    for given in (folder, folder.parent):
        with pytest.raises(DatasetError, match=rf"--unpack {folder} -o PICTURES"):
            casia_webface.listing(given)


# --- records -------------------------------------------------------------------------------------


def test_pictures_come_out_as_they_were_packed(folder, jpegs, tmp_path):
    """What describes people is left out, and the folder can be listed."""
    done = []
    target = recordio.unpack(folder, tmp_path / "new/pictures", done.append)
    found = casia_webface.listing(target)
    assert found.files == (
        "0000000/00000001.jpg",
        "0000000/00000005.jpg",
        "0000001/00000002.jpg",
        "0000001/00000003.jpg",
        "0000002/00000004.jpg",
    )
    order = [int(name[-5]) - 1 for name in found.files]
    assert [(target / name).read_bytes() for name in found.files] == [jpegs[n] for n in order]
    assert found.identity.tolist() == [0, 0, 1, 1, 2]
    assert done == [1, 2, 3, 4, 5]
    assert sorted(path.name for path in target.parent.iterdir()) == ["pictures"]
    assert load_image(target / found.files[0]).shape == (1, 3, 112, 112)


def test_without_a_first_record_all_are_pictures(write, small, jpegs, tmp_path):
    rows = [small.framed(small.record(float(n), jpegs[n])) for n in range(3)]
    target = recordio.unpack(write(small.as_files(rows, 3)), tmp_path / "pictures")
    assert sorted(path.name for path in target.rglob("*.jpg")) == [
        f"{key:08d}.jpg" for key in range(3)
    ]


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_record_that_was_cut_at_the_magic_number(write, small, jpegs, tmp_path, times):
    """Its pieces come together again, the number between them."""
    magic = struct.pack("<I", small.MAGIC)
    content = jpegs[0] + bytes(-len(jpegs[0]) % 4) + b"abcd".join([magic] * times) + b"xyz"
    framed = small.framed(small.record(0.0, content))
    assert framed.count(magic) == times + 1
    target = recordio.unpack(write(small.as_files([framed], 1)), tmp_path / "pictures")
    assert (target / "0000000/00000000.jpg").read_bytes() == content


def test_pieces_begin_at_multiples_of_four(write, small, jpegs, tmp_path):
    """Zeros that fill a piece up are no part of it."""
    magic, whole = struct.pack("<I", small.MAGIC), small.record(0.0, jpegs[0])
    first = whole[: len(whole) // 8 * 4 + 1]
    framed = magic + struct.pack("<I", 1 << 29 | len(first)) + first + bytes(3)
    framed += magic + struct.pack("<I", 3 << 29 | 2) + b"yz" + bytes(2)
    target = recordio.unpack(write(small.as_files([framed], 1)), tmp_path / "pictures")
    found = (target / "0000000/00000000.jpg").read_bytes()
    assert found == first[24:] + magic + b"yz"


def refused(folder, target, message):
    with pytest.raises(DatasetError, match=message):
        recordio.unpack(folder, target)
    assert [path.name for path in target.parent.iterdir()] == [folder.name]


def change(path, do) -> None:
    path.write_bytes(do(path.read_bytes()))


def at(place: int, data: bytes):
    """Return a function that puts bytes at a place."""
    return lambda whole: whole[:place] + data + whole[place + len(data) :]


# Record 0 begins at byte 0 and has 8 + 24 + 8 bytes; record 1 begins at 40.
@pytest.mark.parametrize(
    ("name", "do", "message"),
    [
        ("train.rec", lambda data: data[: len(data) // 2], "record [1-5]: (it would end|the file)"),
        ("train.rec", lambda data: b"", "record 0: the file ends before its byte 0"),
        ("train.rec", at(40, b"\0"), "record 1: no record begins at byte 40"),
        ("train.rec", at(44, b"\xff\xff\xff\x1f"), "record 1: it would end behind the file"),
        ("train.rec", at(47, b"\x40"), "record 1: its pieces are out of order"),
        ("train.rec", at(44, b"\x04\0\0\0"), "record 1: it has 4 bytes, too few"),
        ("train.rec", at(48, b"\xff\xff\0\0"), "record 1: it has no room for 65,535 labels"),
        ("train.rec", at(48, b"\xff\xff\xff\x7f"), "record 1: it has no room for 2,147,483,647"),
        ("train.rec", at(52, struct.pack("<f", 0.5)), "record 1: 0.5 is no person's number"),
        ("train.rec", at(52, struct.pack("<f", -1)), "record 1: -1.0 is no person's number"),
        ("train.rec", at(52, struct.pack("<f", 3)), "record 1: 3.0 is no person's number"),
        ("train.rec", at(52, struct.pack("<f", float("nan"))), "record 1: nan is no person's"),
        ("train.rec", at(72, b"cnumpy"), "record 1: it has no JPEG and no PNG"),
        (
            "train.rec",
            at(32, struct.pack("<f", 1e9)),
            "pictures end at 1000000000.0, of 9",
        ),
        ("train.rec", at(32, struct.pack("<f", float("inf"))), "record 0: pictures end at inf"),
        ("train.idx", lambda data: b"", "train.idx is empty"),
        ("train.idx", lambda data: data + b"3\t40\n", "line 10: .*expected a new key"),
        ("train.idx", lambda data: b"0 0\n", "line 1: .*expected a new key, a tab and a place"),
        ("train.idx", lambda data: data.replace(b"\n4\t", b"\n44\t"), "has no record 4"),
        ("train.idx", lambda data: b"9" * 5000, "line 1: "),
        (
            "train.idx",
            lambda data: data.replace(b"1\t40", b"1\t99999999999"),
            "byte 99,999,999,999",
        ),
        ("property", lambda data: b"ten", "property begins with b'ten'"),
    ],
)
def test_what_is_damaged_is_named_and_nothing_is_left(folder, tmp_path, name, do, message):
    change(folder / name, do)
    refused(folder, tmp_path / "pictures", message)


def test_an_index_that_names_one_place_many_times(folder, tmp_path):
    """It can't make more of a file than the file has."""
    index = "".join(f"{key}\t40\n" for key in range(1, 100))
    (folder / "train.idx").write_text(index)
    refused(folder, tmp_path / "pictures", "unpacks to more than its [0-9,]+ bytes")


@pytest.mark.parametrize("name", ["train.rec", "train.idx"])
def test_both_files_are_needed(folder, tmp_path, name):
    (folder / name).unlink()
    refused(folder, tmp_path / "pictures", f"has no {name}; give the folder that has both")


def test_a_folder_that_is_there_is_left_alone(folder, tmp_path):
    target = tmp_path / "pictures"
    target.mkdir()
    with pytest.raises(DatasetError, match="is there already; give a new folder with -o"):
        recordio.unpack(folder, target)
    assert list(target.iterdir()) == []


def test_no_room(folder, tmp_path, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(AssetError, match="no space is left"):
        recordio.unpack(folder, tmp_path / "pictures")
    assert not (tmp_path / "pictures").exists()


def test_a_disk_that_fills_up(folder, tmp_path):
    """Half-way: nothing is left under the new name, nor beside it."""

    def full(done):
        if done == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(AssetError, match="no space is left"):
        recordio.unpack(folder, tmp_path / "pictures", full)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_the_script_unpacks(folder, mini, tmp_path, capsys):
    script = mini.load(mini.SCRIPTS / "casia_webface.py")
    target = tmp_path / "pictures"
    assert script.main([f"--unpack={folder}", "-o", str(target)]) == 0
    assert capsys.readouterr().out.strip() == str(target)
    assert len(list(target.rglob("*.jpg"))) == 5
    assert script.main(["--unpack", str(folder), "-o", str(target)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("casia-webface: ")
    assert err.count("\n") == 1
    assert script.main(["--from", str(target), "--size", "16", "--accept"]) == 0
