"""Attributes that can be edited: measures by hand, label and judge apart, and the other way."""

import pytest
import torch

from facelab.data.anny_faces import AnnyFaces
from facelab.errors import AssetError, ParameterError
from facelab.methods.ganid import attributes
from facelab.methods.ganid.attributes import (
    ATTRIBUTES,
    NAMES,
    Reading,
    find,
    lip_gap,
    luminance,
    nose_offset,
    skin_lightness,
    smile,
)
from facelab.recognition import face_readers


@pytest.fixture
def face() -> torch.Tensor:
    """A schematic face, (1, 68, 2): eyes 40 apart at height 0, nose at 20, mouth at 40."""
    points = torch.zeros(1, 68, 2)
    points[0, 36:42] = torch.tensor([-20.0, 0.0])
    points[0, 42:48] = torch.tensor([20.0, 0.0])
    points[0, 30] = torch.tensor([0.0, 15.0])
    points[0, 33] = torch.tensor([0.0, 20.0])
    points[0, 48], points[0, 54] = torch.tensor([-12.0, 40.0]), torch.tensor([12.0, 40.0])
    points[0, [61, 62, 63]] = torch.tensor([0.0, 38.0])
    points[0, [65, 66, 67]] = torch.tensor([0.0, 42.0])
    return points


def turned(points: torch.Tensor, degrees: float, scale: float = 1.0) -> torch.Tensor:
    angle = torch.tensor(degrees).deg2rad()
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]),
                        torch.stack([angle.sin(), angle.cos()])])  # fmt: skip
    return scale * points @ turn.mT + 7


def test_geometry_by_hand(face):
    assert float(lip_gap(face)) == pytest.approx(4 / 20)
    assert float(smile(face)) == pytest.approx(24 / 40)  # corners at the lips' height: no lift
    assert float(nose_offset(face)) == 0
    face[0, [48, 54], 1] -= 4
    assert float(smile(face)) == pytest.approx((24 + 0.5 * 4) / 40)
    face[0, 30, 0] += 10
    assert float(nose_offset(face)) == pytest.approx(10 / 40)


@pytest.mark.parametrize("measure", [lip_gap, smile, nose_offset])
def test_geometry_does_not_depend_on_place_roll_and_size(face, measure, tolerance, random):
    face = face + torch.randn(1, 68, 2, generator=random)
    expected = measure(face)
    for moved in (turned(face, 25.0), turned(face, -10.0, 1.7)):
        torch.testing.assert_close(measure(moved), expected, **tolerance[torch.float32])


def test_luminance_of_the_centre_alone():
    faces = torch.full((1, 3, 64, 64), 0.5)
    assert float(luminance(faces)) == pytest.approx(0.5)
    faces[:, :, :16] = -1
    assert float(luminance(faces)) == pytest.approx(0.5)
    faces[:, 0] = -1
    assert float(luminance(faces)) == pytest.approx(0.5 * 0.701 - 0.299, abs=1e-6)


def test_lightness_is_that_of_the_cie(face):
    """Middle grey, level 119 of 255, has L* 50; white has 100 and black 0."""
    points = (face + torch.tensor([32.0, 15.0])) * torch.tensor([1.0, 1.0])
    for level, expected in ((119, 50.0), (255, 100.0), (0, 0.0)):
        faces = torch.full((1, 3, 64, 64), 2 * level / 255 - 1)
        assert float(skin_lightness(faces, points)) == pytest.approx(expected, abs=0.2)
    faces = torch.ones(1, 3, 64, 64)
    faces[:, :, 23:44, 15:50] = -1  # between eyes and mouth
    assert float(skin_lightness(faces, points)) < 1


def test_label_and_judge_have_nothing_in_common():
    for attribute in ATTRIBUTES:
        label, judge = (m.by.split(":")[0] for m in (attribute.label, attribute.judge))
        assert label != judge, attribute.name
        assert judge not in ("attribute_classifier", "pose_regressor")
    assert len(set(NAMES)) == len(ATTRIBUTES) >= 8
    assert {"glasses", "mouth", "direction", "brightness"} <= set(NAMES)


def test_an_unknown_attribute_is_named():
    assert find("mouth").name == "mouth"
    with pytest.raises(ParameterError, match="no attribute 'glases'; did you mean glasses"):
        find("glases")
    with pytest.raises(ParameterError, match="no attribute 'xyz'; choose one of: glasses, mouth"):
        find("xyz")


def test_the_opposite_is_judged_by_its_own_rule(random):
    faces = torch.rand(4, 3, 64, 64, generator=random) * 2 - 1
    mouth, direction = find("mouth"), find("direction")
    closed = mouth.reversed()
    assert (closed.name, closed.meaning) == ("not mouth", mouth.without)
    assert torch.equal(closed.judged(faces), -mouth.judged(faces))
    assert torch.equal(closed.labels(faces), -mouth.labels(faces))
    assert torch.equal(closed.reversed().judged(faces), mouth.judged(faces))
    left = direction.reversed()
    # A face that looks ahead is turned to neither side.
    both = 2 * -attributes.NOSE_OFFSET
    torch.testing.assert_close(left.judged(faces) + direction.judged(faces), torch.full((4,), both))


def test_each_reader_looks_once(monkeypatch, random):
    asked = []
    real = face_readers.attribute_classifier

    def counted(device):
        asked.append(device)
        return real(device)

    monkeypatch.setattr(face_readers, "attribute_classifier", counted)
    reading = Reading(torch.rand(2, 3, 64, 64, generator=random))
    for name in ("glasses", "smile", "bangs"):
        find(name).label(reading)
    assert asked == ["cpu"]


def test_faces_of_any_size_are_read(random):
    small = torch.rand(2, 3, 8, 8, generator=random) * 2 - 1
    large = torch.nn.functional.interpolate(small, size=128, mode="bilinear")
    same = torch.nn.functional.interpolate(small, size=64, mode="bilinear")
    apart = (find("mouth").labels(large) - find("mouth").labels(same)).abs().max()
    assert float(apart) < 0.5


def test_without_a_second_classifier_it_says_how_to_get_one(monkeypatch, tmp_path):
    monkeypatch.setattr(face_readers, "MODELS", tmp_path)
    face_readers.attribute_judge.cache_clear()
    with pytest.raises(AssetError, match="train one with `python data_scripts/train_readers"):
        find("glasses").judged(torch.zeros(1, 3, 64, 64))
    face_readers.attribute_judge.cache_clear()


@pytest.fixture(scope="module")
def strangers():
    """Rendered people that no training saw, with what is true of them."""
    return AnnyFaces(64, 150, 1, seed=79, split="test").batch(range(150))


def test_geometry_tells_open_mouths_and_smiles(strangers):
    """On rendered faces the truth is known; records/ganid_attributes.json has more."""
    from facelab.data.attributes import ATTRIBUTE_NAMES

    for name, truth in (("mouth", "Mouth_Slightly_Open"), ("smile", "Smiling")):
        said = find(name).judged(strangers.images)[:, None] > 0
        column = ATTRIBUTE_NAMES.index(truth)
        right = face_readers.balanced_accuracy(said, strangers.attributes[:, [column]])
        assert float(right) > 0.75, name


def test_geometry_tells_where_a_head_is_turned(strangers):
    yaw_deg = strangers.euler_rad[:, 0].rad2deg()
    right, left = find("direction"), find("direction").reversed()
    assert (right.judged(strangers.images)[yaw_deg > 30] > 0).all()
    assert (left.judged(strangers.images)[yaw_deg < -30] > 0).all()
    ahead = yaw_deg.abs() < 8
    assert not (right.judged(strangers.images)[ahead] > 0).any()
    assert not (left.judged(strangers.images)[ahead] > 0).any()
