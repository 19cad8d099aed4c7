"""DigiFace-1M's layout: people by number out of eight archives, none of their pictures missing."""

import zipfile
from io import BytesIO

import pytest

from facelab.data.public import digiface, home
from facelab.errors import DatasetError

PEOPLE = (0, 1, 2000, 4000, 6000, 8000, 100_000, 133_333, 166_666)
COUNTS = (2, 3, 2, 2, 2, 2, 2, 2, 2)
IDENTITY = [row for row, count in enumerate(COUNTS) for _ in range(count)]


@pytest.fixture(scope="session")
def made(mini):
    """The small set's files."""
    return mini.load(mini.HERE / "mini_digiface.py").whole()


@pytest.fixture
def lay(made):
    """Unpack the archives, each to the folder that a function names."""

    def unpack(where) -> None:
        for name, data in made.items():
            with zipfile.ZipFile(BytesIO(data)) as archive:
                archive.extractall(where(name))

    return unpack


@pytest.fixture
def place(lay, tmp_path):
    """A folder in which all of them were unpacked."""
    lay(lambda name: tmp_path / "mine")
    return tmp_path / "mine"


def test_people_and_pictures_by_number(place):
    found = digiface.listing(place)
    assert found.identity.tolist() == IDENTITY
    assert found.files[:3] == ("0/0.png", "0/1.png", "1/0.png")
    assert found.files[-1] == "166666/1.png"
    assert found.split.tolist() == [0] * 19


def test_ten_is_after_nine(place):
    for number in range(2, 12):
        (place / f"0/{number}.png").write_bytes(b"")
    files = digiface.listing(place).files
    assert files[8:12] == ("0/8.png", "0/9.png", "0/10.png", "0/11.png")


def test_archives_that_were_unpacked_apart_come_together(lay):
    """As the command unpacks them; called again, or after it was interrupted, all are there."""
    sources = home.sources("digiface-1m")
    lay(lambda name: sources / f"{name}.d")
    (sources / "people").mkdir()
    (sources / "subjects_0-1999_72_imgs.zip.d/1").rename(sources / "people/1")
    for _ in range(2):
        found = digiface.listing(sources)
        assert found.folder == sources / "people"
        assert found.identity.tolist() == IDENTITY
        assert found.files[2] == "1/0.png"
        assert all((found.folder / name).is_file() for name in found.files)


def test_a_reader_s_folders_stay_as_they_are(lay, tmp_path):
    """One folder an archive, as many programs unpack them."""
    lay(lambda name: tmp_path / name.removesuffix(".zip"))
    found = digiface.listing(tmp_path)
    assert found.identity.tolist() == IDENTITY
    assert found.files[0] == "subjects_0-1999_72_imgs/0/0.png"
    assert not (tmp_path / "people").exists()


def test_the_people_with_72_pictures_are_those_below_ten_thousand(place):
    found = digiface.deep_listing(place)
    assert (len(found), found.people) == (13, 6)
    assert found.files[-1] == "8000/1.png"


@pytest.mark.parametrize("number", [0, 1])
def test_a_missing_picture_is_named(place, number):
    (place / f"1/{number}.png").unlink()
    with pytest.raises(DatasetError, match=rf"1/{number}.png is missing"):
        digiface.listing(place)


def test_somebody_without_pictures(place):
    (place / "7").mkdir()
    with pytest.raises(DatasetError, match=r"7/0.png is missing"):
        digiface.listing(place)


def test_somebody_twice(place):
    (place / "again/1").mkdir(parents=True)
    with pytest.raises(DatasetError, match="are one person; keep one of them"):
        digiface.listing(place)
    (place / "again/1").rmdir()
    (place / "01").mkdir()
    with pytest.raises(DatasetError, match="have one number; keep one of them"):
        digiface.listing(place)


def test_somebody_in_two_archives(lay):
    sources = home.sources("digiface-1m")
    lay(lambda name: sources / f"{name}.d")
    (sources / "subjects_2000-3999_72_imgs.zip.d/1").mkdir()
    with pytest.raises(DatasetError, match=r"/1 is there twice: .* delete .*digiface-1m and get"):
        digiface.listing(sources)


def test_an_empty_folder(tmp_path):
    with pytest.raises(DatasetError, match=r"has no 0/0.png"):
        digiface.listing(tmp_path)


def test_the_archives_names_hold_the_published_numbers():
    """The people of a part are those from one number of its name to the other."""
    counts = {}
    for file in digiface.DIGIFACE.files:
        _, ends, pictures, _ = file.name.split("_")
        first, last = map(int, ends.split("-"))
        counts[first] = (last - first + 1, int(pictures))
    people = sum(count for count, _ in counts.values())
    pictures = sum(count * each for count, each in counts.values())
    assert (people, pictures) == (digiface.DIGIFACE.people, digiface.DIGIFACE.pictures)
    assert len(digiface.DEEP_SET.files) == 5
    assert "Nobody here exists" in digiface.DIGIFACE.caution
