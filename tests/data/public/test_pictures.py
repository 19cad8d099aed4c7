"""Listings, framings and their landmarks, and what is found where nobody published points."""

import dataclasses

import numpy as np
import pytest
import torch

from facelab.data.public import cards, detecting, table
from facelab.data.public.fetching import Noted
from facelab.data.public.pictures import (
    CENTRE,
    Listing,
    Pictures,
    centre_transform,
    five_points,
    framing_transform,
    require_files,
    seek,
)
from facelab.errors import DatasetError, ParameterError
from facelab.images import save_image
from facelab.recognition.align import TEMPLATES
from facelab.recognition.mtcnn import Faces
from facelab.recognition.sampling import move_points

POINTS = torch.tensor([[[40.0, 50], [70, 52], [56, 66], [44, 82], [68, 84]]])


@pytest.fixture
def listing(tmp_path):
    """Four pictures of 120 x 100 pixels, grey but for a white pixel where the nose is."""
    names = ("b.png", "a.png", "in/c.png", "d.png")
    for number, name in enumerate(names):
        picture = torch.zeros(1, 3, 100, 120)
        picture[0, :, 30:33] = -0.1 * number
        picture[0, :, 65:68, 55:58] = 1
        (tmp_path / "in").mkdir(exist_ok=True)
        save_image(picture, tmp_path / name)
    return Listing(
        tmp_path,
        names,
        np.array([1, 0, 1, 2]),
        np.array([0, 0, 2, 1], np.uint8),
        attributes=np.array([[True], [False], [True], [False]]),
        attribute_names=("Smiling",),
        landmarks=POINTS.expand(4, -1, -1).numpy(),
        labels={"age": np.array([20, 30, 40, 50], np.float32)},
    )


def test_a_batch_has_all_that_the_listing_has(listing):
    faces = Pictures("some", listing, 50)
    assert (faces.id, faces.people, len(faces), faces.size) == ("some-50-centre", 3, 4, 50)
    batch = faces.batch([2, 0])
    assert batch.images.shape == (2, 3, 50, 50)
    assert batch.identity.tolist() == [1, 1]
    assert batch.attributes.tolist() == [[True], [True]]
    assert batch.labels["split"].tolist() == [2, 0]
    assert batch.labels["split"].dtype == torch.uint8
    assert batch.labels["age"].tolist() == [40, 20]
    # The square of 100 pixels begins at column 10 and is halved: (56 - 10 + 0.5) / 2 - 0.5.
    assert batch.labels["landmarks5"][0, 2].tolist() == [22.75, 32.75]
    assert batch.landmarks is None


@pytest.mark.parametrize("framing", [CENTRE, "book64", "arcface112"])
@pytest.mark.parametrize("size", [64, 112, 30])
def test_the_landmark_lies_on_the_bright_spot(listing, framing, size):
    """Whatever the framing and size: the centre of light is where the nose came to lie."""
    batch = Pictures("some", listing, size, framing).batch([0])
    light = (batch.images[0, 0] - batch.images[0, 0].median()).clamp(min=0)
    y, x = torch.meshgrid(*(torch.arange(size, dtype=torch.float32),) * 2, indexing="ij")
    centre = torch.stack([(x * light).sum(), (y * light).sum()]) / light.sum()
    torch.testing.assert_close(centre, batch.labels["landmarks5"][0, 2], rtol=0, atol=0.15)


@pytest.mark.parametrize("size", [64, 32, 200])
def test_points_come_to_lie_on_the_template(size):
    """Points that have the template's own shape lie on it exactly, corner on corner."""
    template = TEMPLATES["book64"]
    scale = size / template.size
    moved = move_points(
        template.points_xy[None] * 3 + 7,
        framing_transform(template.points_xy[None] * 3 + 7, template, size),
    )
    expected = (template.points_xy[None] + 0.5) * scale - 0.5
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-3)


def test_the_middle_square_by_hand():
    """A picture of 8 x 4 pixels to 2: columns 2 to 5, halved."""
    transform = centre_transform(4, 8, 2)
    corners = torch.tensor([[[1.5, -0.5], [5.5, 3.5]]])
    assert move_points(corners, transform).tolist() == [[[-0.5, -0.5], [1.5, 1.5]]]


def test_many_at_once_are_those_of_one_after_the_other(listing):
    """They are read by several threads, and come in the order that was asked for."""
    faces = Pictures("some", listing, 20, "book64")
    rows = [3, 1, 2, 0] * 8
    batch = faces.batch(rows)
    for place, row in enumerate(rows):
        alone = faces.batch([row])
        torch.testing.assert_close(batch.images[place], alone.images[0], rtol=0, atol=0)
        assert batch.identity[place] == listing.identity[row]
        assert batch.labels["age"][place] == listing.labels["age"][row]


def test_68_points_are_the_batch_s_landmarks_and_align_by_five(listing):
    points = np.zeros((4, 68, 2), np.float32)
    five = POINTS[0].numpy()
    points[:, 36:42], points[:, 42:48] = five[0], five[1]
    points[:, 30], points[:, 48], points[:, 54] = five[2], five[3], five[4]
    whole = dataclasses.replace(listing, landmarks=points)
    batch = Pictures("some", whole, 64, "book64").batch([0])
    torch.testing.assert_close(
        five_points(batch.landmarks),
        Pictures("some", listing, 64, "book64").batch([0]).labels["landmarks5"],
    )
    assert batch.landmarks.shape == (1, 68, 2)
    with pytest.raises(DatasetError, match="21 landmarks can't align"):
        five_points(torch.zeros(1, 21, 2))


def test_the_frame_takes_points_of_the_file_along(listing):
    framed = dataclasses.replace(listing, keep_frame=True)
    batch = Pictures("some", framed, 64, "book64").batch([0])
    torch.testing.assert_close(
        move_points(POINTS, batch.labels["frame"]), batch.labels["landmarks5"]
    )


def test_the_config_follows_what_is_in_it(listing):
    """Other files, labels, sizes or framings are other datasets; the same are the same."""
    one = Pictures("some", listing, 64).config()
    assert Pictures("some", listing, 64).config() == one
    others = [
        Pictures("other", listing, 64),
        Pictures("some", listing, 32),
        Pictures("some", listing, 64, "book64"),
        Pictures("some", listing.rows(np.array([0, 1, 2])), 64),
        Pictures("some", dataclasses.replace(listing, split=np.zeros(4, np.uint8)), 64),
        Pictures("some", listing.with_landmarks(listing.landmarks + 1), 64),
    ]
    hashes = {Pictures("some", listing, 64).config_hash, *(o.config_hash for o in others)}
    assert len(hashes) == 7


def test_rows_number_people_anew(listing):
    some = listing.rows(np.array([0, 3]))
    assert some.files == ("b.png", "d.png")
    assert some.identity.tolist() == [0, 1]
    assert some.labels["age"].tolist() == [20, 50]
    assert some.attributes.tolist() == [[True], [False]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"files": ()}, "has no picture"),
        ({"identity": np.array([0, 1])}, "2 rows of identity for 4 pictures"),
        ({"identity": np.array([0, 1, 3, 3])}, "without a gap"),
        ({"split": np.array([0, 1, 2, 3], np.uint8)}, "a split is above 2"),
        ({"labels": {"age": np.zeros(5)}}, "5 rows of age"),
    ],
)
def test_columns_that_don_t_fit(listing, changes, message):
    with pytest.raises(DatasetError, match=message):
        dataclasses.replace(listing, **changes)


def test_what_can_t_be_framed(listing):
    with pytest.raises(ParameterError, match="there is no framing 'moon'"):
        Pictures("some", listing, 64, "moon")
    with pytest.raises(ParameterError, match="at least 1"):
        Pictures("some", listing, 0)
    with pytest.raises(DatasetError, match="has no landmarks"):
        Pictures("some", dataclasses.replace(listing, landmarks=None), 64, "book64")


def test_seek_looks_two_folders_down(tmp_path):
    (tmp_path / "a/b/set/set").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden/list.txt").touch()
    assert seek(tmp_path, "set") == tmp_path / "a/b/set/set"
    (tmp_path / "a/list.txt").touch()
    assert seek(tmp_path, "list.txt") == tmp_path / "a/list.txt"
    (tmp_path / "c").mkdir()
    (tmp_path / "c/list.txt").touch()
    with pytest.raises(DatasetError, match="are both there"):
        seek(tmp_path, "list.txt")
    with pytest.raises(DatasetError, match="has no nothing"):
        seek(tmp_path, "nothing")


def test_missing_pictures_are_counted(listing):
    with pytest.raises(DatasetError, match=r"x.png is missing, one of 2 of 3 pictures"):
        require_files(listing.folder, ("a.png", "x.png", "y.png"))


@pytest.fixture
def finder(monkeypatch):
    """A detector that finds two faces in every picture, none in every fourth; it counts."""
    seen = []

    def detect(image):
        seen.append(image)
        count = 0 if len(seen) % 4 == 0 else 2
        boxes = torch.tensor([[0.0, 0, 10, 10], [40, 40, 80, 80]])[:count]
        points = torch.cat([POINTS - 40, POINTS])[:count]
        return Faces(boxes, points, torch.ones(count))

    monkeypatch.setattr("facelab.recognition.mtcnn.detect", detect)
    return seen


def test_faces_are_found_once_and_those_without_one_left_out(
    listing, finder, tmp_path, monkeypatch
):
    """The one nearest the middle counts; a second call reads what the first one found."""
    monkeypatch.setattr(detecting, "CHUNK", 3)
    bare = dataclasses.replace(listing, landmarks=None)
    told = []
    found, left_out = detecting.with_landmarks(bare, tmp_path / "found", progress=told.append)
    assert left_out == ("d.png",)
    assert found.files == ("b.png", "a.png", "in/c.png")
    assert found.people == 2
    torch.testing.assert_close(torch.from_numpy(found.landmarks), POINTS.expand(3, -1, -1))
    assert told == [3, 4]
    again, _ = detecting.with_landmarks(bare, tmp_path / "found")
    assert len(finder) == 4
    np.testing.assert_array_equal(again.landmarks, found.landmarks)


def test_parts_share_the_search(listing, finder, tmp_path, monkeypatch):
    monkeypatch.setattr(detecting, "CHUNK", 1)
    bare, place = dataclasses.replace(listing, landmarks=None), tmp_path / "found"
    with pytest.raises(DatasetError, match="the other parts of 2 are still looking"):
        detecting.with_landmarks(bare, place, (2, 2))
    assert len(finder) == 2
    found, left_out = detecting.with_landmarks(bare, place, (1, 2))
    assert len(finder) == 4
    assert (len(found), len(left_out)) == (3, 1)


def test_no_face_at_all(listing, tmp_path, monkeypatch):
    nobody = Faces(torch.zeros(0, 4), torch.zeros(0, 5, 2), torch.zeros(0))
    monkeypatch.setattr("facelab.recognition.mtcnn.detect", lambda image: nobody)
    with pytest.raises(DatasetError, match="no face was found in any picture"):
        detecting.with_landmarks(dataclasses.replace(listing, landmarks=None), tmp_path / "found")


def test_a_card_says_what_there_is(listing):
    described = table.PublicSet(
        "some", "Some Faces", "Faces.", "none", "ask first", "Who (2020)", "https://x.org",
        files=(table.Published("set.zip", (), sha256="a" * 64), table.Published("list.txt", ())),
        pictures=5,
    )  # fmt: skip
    files = {"set.zip": Noted(1234567, "a" * 64), "list.txt": Noted(7, "b" * 64)}
    text = cards.card(described, listing, 64, "book64", files=files, left_out=("x.png",))
    assert "4 pictures of 3 people; 5 pictures were published" in text
    assert "Splits: train 2, validation 1, test 1." in text
    assert "Labels: identity, split, 1 attributes, 5 landmarks, age." in text
    assert "1 pictures in which no face was found are left out" in text
    assert f"| `set.zip` | 1,234,567 | `{'a' * 64}` | published |" in text
    assert f"| `list.txt` | 7 | `{'b' * 64}` | of the first whole copy |" in text
    assert cards.sums(text) == files
    assert "no sum of its archive" in cards.card(described, listing, 64, CENTRE)
