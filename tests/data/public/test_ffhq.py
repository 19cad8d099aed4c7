"""FFHQ's layout: every picture by its number, and what its authors say of each of them."""

import io
import json
import zipfile

import numpy as np
import PIL.Image
import pytest

from facelab.data.public import ffhq, table
from facelab.data.public.pictures import Pictures, five_points
from facelab.errors import DatasetError


@pytest.fixture(scope="session")
def small(mini):
    """The module of FFHQ's small set."""
    return mini.load(mini.HERE / "mini_ffhq.py")


@pytest.fixture(scope="session")
def made(small):
    """Its files."""
    return small.ffhq()


@pytest.fixture
def place(made, tmp_path):
    """A folder in which they were unpacked."""
    with zipfile.ZipFile(io.BytesIO(made["thumbnails128x128.zip"])) as archive:
        archive.extractall(tmp_path / "mine")
    (tmp_path / "mine/ffhq-dataset-v2.json").write_bytes(made["ffhq-dataset-v2.json"])
    return tmp_path / "mine"


def change(place, do) -> None:
    """Change what the list says."""
    path = place / "ffhq-dataset-v2.json"
    entries = json.loads(path.read_bytes())
    do(entries)
    path.write_text(json.dumps(entries))


def test_numbers_splits_and_people(place):
    """Of 60,000 the first are to train with; each picture is somebody."""
    found = ffhq.listing(place)
    assert found.folder == place / "thumbnails128x128"
    assert found.files[:3] == ("00000/00000.png", "00000/00001.png", "00000/00999.png")
    assert found.files[-1] == "69000/69999.png"
    assert found.split.tolist() == [0, 0, 0, 0, 1, 1]
    assert found.identity.tolist() == [0, 1, 2, 3, 4, 5]


def test_licences_and_the_list_with_the_authors_beside(place):
    found = ffhq.listing(place)
    assert found.labels["licence"].tolist() == [1, 2, 3, 4, 5, 0]
    assert [name for name, _ in ffhq.LICENCES][2] == "CC BY-NC 2.0"
    assert found.beside == (("ffhq-dataset-v2.json", place / "ffhq-dataset-v2.json"),)
    assert "1 for CC BY 2.0, 2 for CC BY-NC 2.0" in ffhq.FFHQ.licence
    assert "where it doesn't, it was not given" in ffhq.FFHQ.licence
    assert "not to develop or improve the recognition of faces" in ffhq.LARGE.terms


def test_landmarks_are_in_the_thumbnail_s_pixels(place, small):
    """The corners of the pictures, -0.5 and 1023.5, come to -0.5 and 127.5."""
    found = ffhq.listing(place)
    points = np.array(small.POINTS, np.float32)
    for row, own in enumerate(found.landmarks):
        expected = (points + [row, 0] + 0.5) / 8 - 0.5
        np.testing.assert_allclose(own, expected, rtol=0, atol=1e-4)
    faces = Pictures("ffhq", found, 32, "book64").batch([3])
    assert faces.landmarks.shape == (1, 68, 2)
    target = ffhq_target()
    middle = five_points(faces.landmarks).mean(1)[0]
    np.testing.assert_allclose(middle.numpy(), target, rtol=0, atol=0.05)


def ffhq_target() -> np.ndarray:
    """The middle of the template's five points in a picture of 32: least squares keep the mean."""
    from facelab.recognition.align import TEMPLATES

    points = TEMPLATES["book64"].points_xy.numpy()
    return (points.mean(0) + 0.5) / 2 - 0.5


def test_without_the_list_there_are_pictures_alone(place):
    (place / "ffhq-dataset-v2.json").unlink()
    found = ffhq.listing(place)
    assert (len(found), dict(found.labels), found.landmarks, found.beside) == (6, {}, None, ())


def test_the_list_may_lie_above_the_pictures(place):
    assert ffhq.listing(place / "thumbnails128x128").landmarks.shape == (6, 68, 2)


@pytest.mark.parametrize("what", ["byte", "length"])
def test_a_thumbnail_that_is_not_the_published_one(place, what):
    path = place / "thumbnails128x128/59000/59999.png"
    data = bytearray(path.read_bytes())
    data[-1] ^= what == "byte"
    path.write_bytes(data + b"\0" * (what == "length"))
    with pytest.raises(DatasetError, match=r"59999.png is not the picture that was published: MD5"):
        ffhq.listing(place)


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (lambda found: found.pop("999"), "has no '999'; get the file again"),
        (lambda found: found["0"].pop("category"), "has no 'category'"),
        (lambda found: found["0"].update(category="validation"), "picture 0 is in 'validation'"),
        (lambda found: found["0"]["image"].pop("face_landmarks"), "landmarks are missing"),
        (lambda found: found["0"]["image"]["face_landmarks"].pop(), "landmarks are missing"),
        (lambda found: found["0"]["image"]["face_landmarks"][3].pop(), "can't be read"),
        (lambda found: found["1"].update(thumbnail=7), "MD5 [0-9a-f]{32}, expected None"),
        (lambda found: found.update({"0": None}), "can't be read"),
    ],
)
def test_a_list_that_doesn_t_fit(place, do, message):
    change(place, do)
    with pytest.raises(DatasetError, match=message):
        ffhq.listing(place)


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000])
def test_what_is_no_list(place, text):
    (place / "ffhq-dataset-v2.json").write_text(text)
    with pytest.raises(DatasetError, match=r"ffhq-dataset-v2.json can't be read"):
        ffhq.listing(place)


def picture(path, side: int, height: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", (side, height or side)).save(path)


@pytest.mark.parametrize(
    "names",
    [
        ("00007.png", "60000.png"),
        ("ffhq/00007.jpg", "ffhq/60000.jpeg"),
        ("a/b/00000/00007.png", "a/b/60000/60000.PNG"),
        ("00000/img00000007.png", "00060/img00060000.png"),
    ],
)
def test_larger_pictures_lie_as_readers_have_them(tmp_path, names):
    """Flat or by thousands, PNG or JPEG; the number in the name is the picture's."""
    for name in names:
        picture(tmp_path / name, 256)
    found = ffhq.large_listing(tmp_path)
    inner = [name.split("b/")[-1].removeprefix("ffhq/") for name in names]
    assert list(found.files) == inner
    assert found.split.tolist() == [0, 1]


def test_larger_pictures_have_landmarks_of_their_size(place, small):
    for number in small.NUMBERS:
        picture(place / f"mine/{number:05d}.jpg", 512)
    for path in place.rglob("*.png"):
        path.unlink()
    for path in (place / "thumbnails128x128").iterdir():
        if path.is_dir():
            path.rmdir()
    found = ffhq.large_listing(place)
    expected = (np.array(small.POINTS) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(found.landmarks[0], expected, rtol=0, atol=1e-3)
    assert found.labels["licence"].tolist() == [1, 2, 3, 4, 5, 0]


@pytest.mark.parametrize(
    ("names", "read", "message"),
    [
        ({"0.png": (256, 256)}, ffhq.listing, "has 256 pixels a side, a thumbnail 128"),
        ({"0.png": (128, 128)}, ffhq.large_listing, "has 128 pixels a side, expected at least 256"),
        ({"0.png": (256, 300)}, ffhq.large_listing, "256 x 300 pixels; FFHQ's pictures are square"),
        ({"70000.png": (256, 256)}, ffhq.large_listing, "70000.png is no picture of FFHQ"),
        (
            {"00001.png": (256, 256), "00000/00001.jpg": (256, 256)},
            ffhq.large_listing,
            "keep one of them",
        ),
        (
            {"a/00001.png": (256, 256), "b/00002.png": (256, 256)},
            ffhq.large_listing,
            "a and .*b both have pictures",
        ),
        ({"a/face.png": (256, 256)}, ffhq.large_listing, "has no 00000.png and no folder 00000"),
        ({"00000/face.png": (256, 256)}, ffhq.large_listing, "has no picture such as"),
    ],
)
def test_pictures_that_don_t_fit(tmp_path, names, read, message):
    for name, (width, height) in names.items():
        picture(tmp_path / name, width, height)
    with pytest.raises(DatasetError, match=message):
        read(tmp_path)


def test_what_is_no_picture(tmp_path):
    (tmp_path / "00000.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"00000.png can't be read as a picture"):
        ffhq.large_listing(tmp_path)


def test_thumbnails_are_taken_where_other_sizes_lie_beside_them(place):
    picture(place / "images1024x1024/00000/00000.png", 256)
    assert len(ffhq.listing(place)) == 6


def test_the_list_s_sum_is_the_published_one():
    file = table.find("ffhq").files[1]
    assert (file.size_bytes, file.md5) == (267_793_842, "425ae20f06a4da1d4dc0f46d40ba5fd6")
    assert table.find("ffhq-256").files == ()
