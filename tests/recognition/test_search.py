"""The search finds faces that a single look misses, and says where they are in the picture."""

import math

import pytest
import torch
import torch.nn.functional as F

from facelab import assets
from facelab.images import load_image
from facelab.recognition import search
from facelab.recognition.mtcnn import Faces, detect
from facelab.recognition.sampling import warp
from facelab.recognition.search import find_faces


@pytest.fixture(autouse=True)
def one_thread():
    """MTCNN's networks are too small for more; other tests may run beside this one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def astronaut() -> torch.Tensor:
    return load_image(assets.path("astronaut"))


@pytest.fixture(scope="module")
def found(astronaut) -> Faces:
    return find_faces(astronaut)


def cropped(image: torch.Tensor, faces: Faces, margin: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut the first face out with a margin as a share of its sides; also where the crop starts."""
    left, top, right, bottom = faces.boxes[0].tolist()
    dx, dy = margin * (right - left), margin * (bottom - top)
    x, y = round(left - dx), round(top - dy)
    crop = image[:, :, y : round(bottom + dy), x : round(right + dx)]
    return crop.contiguous(), torch.tensor([x, y])


def calls(monkeypatch, answers: dict[str, Faces] | None = None) -> list[str]:
    """Record which ways are gone; `answers` are given in place of searching."""
    gone = []
    for name in ("_quick_search", "_full_search", "_with_margin", "_levelled", "_turned"):
        way = getattr(search, name)

        def recorded(image, name=name, way=way):
            gone.append(name)
            return way(image) if answers is None else answers.get(name, some_faces())

        monkeypatch.setattr(search, name, recorded)
    return gone


def some_faces(*probabilities: float) -> Faces:
    count = len(probabilities)
    boxes = torch.tensor([[0.0, 0, 100 - i, 100 - i] for i in range(count)]).reshape(count, 4)
    return Faces(boxes, torch.rand(count, 5, 2), torch.tensor(probabilities))


def test_a_portrait_is_found_at_once(astronaut, found, monkeypatch):
    gone = calls(monkeypatch)
    large = F.interpolate(astronaut, scale_factor=2.0, mode="bilinear")
    faces = find_faces(large)
    assert gone == ["_quick_search"]
    expected = (found.landmarks[0] + 0.5) * 2 - 0.5
    assert (faces.landmarks[0] - expected).norm(dim=1).max() < 3


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_photograph_is_found_upright(astronaut, found, quarters):
    """The points of the turned picture, turned back with the picture, are those of the upright."""
    turned = torch.rot90(astronaut[:, :, :300], quarters, (2, 3))
    faces = find_faces(turned)
    # Place an image of coordinates, turn it alike, and look up what lies at the points.
    y, x = torch.meshgrid(torch.arange(300.0), torch.arange(512.0), indexing="ij")
    places = torch.rot90(torch.stack([x, y])[None], quarters, (2, 3))[0]
    at = faces.landmarks[0].round().long()
    original = places[:, at[:, 1], at[:, 0]].T
    assert (original - found.landmarks[0]).norm(dim=1).max() < 4
    width, height = faces.boxes[0, 2:] - faces.boxes[0, :2]
    assert width > 0
    assert height > 0


def test_a_tight_crop_needs_a_margin(monkeypatch):
    """obama.jpg cut 5 % inside the face's box: MTCNN sees nothing without a margin."""
    portrait = load_image(assets.path("portraits") / "obama.jpg")
    whole = find_faces(portrait)
    crop, start = cropped(portrait, whole, -0.05)
    crop = F.interpolate(crop, scale_factor=2.0, mode="bilinear")
    assert len(detect(crop)) == 0
    gone = calls(monkeypatch)
    faces = find_faces(crop)
    assert gone[-1] == "_with_margin"
    expected = (whole.landmarks[0] - start + 0.5) * 2 - 0.5
    assert (faces.landmarks[0] - expected).norm(dim=1).max() < 0.05 * crop.shape[3]


@pytest.mark.parametrize("degrees", [45, 60, -55])
def test_a_tilted_head_is_found_where_it_is(astronaut, found, degrees):
    """The picture turned by more than MTCNN bears: the points are the upright ones, turned."""
    angle = math.radians(degrees)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    middle = torch.tensor([224.0, 130.0])  # the face's
    shift = torch.tensor([150.0, 150.0]) - turn @ middle
    tilted = warp(astronaut, torch.cat([turn, shift[:, None]], dim=1)[None], (300, 300), fill=0.0)
    assert search._best(detect(tilted)) < search.SURE
    faces = find_faces(tilted)
    expected = found.landmarks[0] @ turn.T + shift
    assert (faces.landmarks[0] - expected).norm(dim=1).max() < 8
    middle_of_box = (faces.boxes[0, :2] + faces.boxes[0, 2:]) / 2
    assert (middle_of_box - expected.mean(dim=0)).norm() < 20


def test_a_tilted_picture_is_seen_whole(monkeypatch):
    """White on grey: all of its area is still there, and its points come back."""
    seen = []
    monkeypatch.setattr(
        search, "_search", lambda image, _: (seen.append(image), some_faces(1.0))[1]
    )
    for angle in (0.5, -0.5):
        back = search._tilted(torch.ones(1, 3, 60, 100), angle)
        assert seen[-1][:, 0].sum().item() == pytest.approx(6000, rel=0.01)
        # Lengths stay: the found points lie in a square of 1, in the original too.
        assert torch.pdist(back.landmarks[0]).max() < math.sqrt(2)


@pytest.mark.parametrize(
    "light",
    [
        lambda levels: 0.012 * levels,  # three of 255 levels, as a dark room has
        lambda levels: 0.9 + 0.04 * levels,  # pale
        lambda levels: levels**30,  # a few lights in the dark: to stretch it is not enough
    ],
    ids=["dark", "pale", "night"],
)
def test_bad_light_is_corrected(astronaut, found, light, monkeypatch):
    picture = (light((astronaut + 1) / 2) * 255).round() / 127.5 - 1
    gone = calls(monkeypatch)
    faces = find_faces(picture)
    assert gone[-1] == "_levelled"
    assert (faces.landmarks[0] - found.landmarks[0]).norm(dim=1).max() < 6


def test_a_small_face_in_a_large_picture_is_searched_again(astronaut, monkeypatch):
    """Below 40 pixels at 640 the quick way does not count: the points would be coarse."""
    small = F.interpolate(astronaut, scale_factor=0.5, mode="area")
    picture = torch.zeros(1, 3, 900, 1400)
    picture[:, :, 500:756, 800:1056] = small
    gone = calls(monkeypatch)
    faces = find_faces(picture)
    assert gone == ["_quick_search", "_full_search"]
    eyes = faces.landmarks[0, 0]
    assert 800 < eyes[0] < 1056
    assert 500 < eyes[1] < 756


def test_every_face_leaves_out_the_quick_way(astronaut, monkeypatch):
    gone = calls(monkeypatch)
    large = F.interpolate(astronaut, scale_factor=1.5, mode="bilinear")
    find_faces(large, every_face=True)
    assert gone == ["_full_search"]


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (10, 3000), (64, 64)])
def test_a_picture_without_a_face_has_none(size, random):
    picture = torch.rand(1, 3, *size, generator=random) * 2 - 1
    faces = find_faces(picture)
    assert len(faces) == 0
    assert faces.landmarks.shape == (0, 5, 2)


def test_one_sure_face_makes_a_search_count_and_probable_ones_come_along(monkeypatch):
    gone = calls(monkeypatch, {"_quick_search": some_faces(0.93, 0.995, 0.8)})
    faces = find_faces(torch.zeros(1, 3, 700, 700))
    assert gone == ["_quick_search"]
    torch.testing.assert_close(faces.probabilities, torch.tensor([0.93, 0.995]))


def test_an_unsure_face_is_taken_when_no_way_finds_a_sure_one(monkeypatch):
    """Turned faces that are not sure are not believed: MTCNN sees faces upside down."""
    answers = {
        "_quick_search": some_faces(0.8),
        "_full_search": some_faces(0.76, 0.85),
        "_turned": some_faces(0.95),
    }
    gone = calls(monkeypatch, answers)
    faces = find_faces(torch.zeros(1, 3, 700, 700))
    assert gone == ["_quick_search", "_full_search", "_with_margin", "_levelled", "_turned"]
    assert faces.probabilities.tolist() == pytest.approx([0.85])
    answers["_turned"] = some_faces(0.995)
    assert find_faces(torch.zeros(1, 3, 700, 700)).probabilities.tolist() == pytest.approx([0.995])
