"""People who sit for a picture: what a condition changes, and what it leaves."""

import math

import pytest
import torch

from facelab.data.anny_faces import AnnyFaces
from facelab.data.sitting import Condition, across, sitting
from facelab.errors import ParameterError

SIZE = 32


@pytest.fixture(scope="module")
def conditions():
    return [Condition(), Condition(yaw_rad=0.5), Condition(expression={"jawOpen": 0.8})]


@pytest.fixture(scope="module")
def drawn(conditions):
    return sitting([11, 12], conditions, size=SIZE, view_seed=3)


def test_everybody_is_drawn_in_every_condition(drawn):
    assert drawn.images.shape == (6, 3, SIZE, SIZE)
    assert drawn.identity.tolist() == [0, 0, 0, 1, 1, 1]
    assert drawn.labels["identity_seed"].tolist() == [11, 11, 11, 12, 12, 12]
    yaw = torch.tensor([0.0, 0.5, 0.0])
    torch.testing.assert_close(drawn.euler_rad[:, 0], torch.cat([yaw, yaw]))
    assert not drawn.euler_rad[:, 1:].any()
    named = AnnyFaces(SIZE, 1, 1).model.expression_names.index("jawOpen")
    weights = drawn.labels["expression_weights"]
    torch.testing.assert_close(weights[:, named], torch.tensor([0.0, 0, 0.8] * 2))
    assert int((weights > 0).sum()) == 2


def test_the_person_is_that_of_the_seed_and_the_rest_of_the_view(drawn):
    usual = AnnyFaces(SIZE, [11, 12], [3]).labels([0, 1])
    for name in ("identity_coefficients", "phenotype", "looks_eyeglasses", "looks_clothing_hue"):
        for person in range(2):
            rows = drawn.labels[name][3 * person : 3 * person + 3]
            assert torch.equal(rows, usual.labels[name][person : person + 1].expand_as(rows))


def test_a_turned_head_moves_the_nose_and_an_open_jaw_the_chin(drawn):
    points = drawn.landmarks.reshape(2, 3, 68, 2)
    eyes = (points[:, :, 36:42].mean(2) + points[:, :, 42:48].mean(2)) / 2
    nose = points[:, :, 30, 0] - eyes[:, :, 0]
    assert (nose[:, 0].abs() < 1).all()
    # Its own left is the viewer's right.
    assert (nose[:, 1] - nose[:, 0] > 2).all()
    gap = (points[:, :, 66] - points[:, :, 62]).norm(dim=2)
    assert (gap[:, 2] > gap[:, 0] + 1).all()


def test_the_lamp_lights_the_side_where_it_is():
    faces = sitting([11], [Condition(lamp_rad=lamp) for lamp in (-1.3, 1.3)], size=SIZE).images
    left, right = (
        faces[:, :, 8:24, part].mean((1, 2, 3)) for part in (slice(6, 16), slice(16, 26))
    )
    assert left[0] - right[0] > 0.1
    assert right[1] - left[1] > 0.1


def test_shadows_are_what_one_asks_for():
    lamp = Condition(lamp_rad=1.3)
    without, cast = (sitting([11], [lamp], size=SIZE, shadows=s).images for s in (False, True))
    assert float((cast - without).max()) < 0.02
    assert float((cast - without).min()) < -0.05


def test_the_columns_of_figure_six():
    columns = across(0.4, {"jawOpen": 0.5}, -0.2)
    assert [c.yaw_rad for c in columns] == [-0.4, 0.0, 0.4, 0.0, 0.4]
    assert [dict(c.expression) for c in columns] == [{}] * 3 + [{"jawOpen": 0.5}] * 2
    assert {c.lamp_rad for c in columns} == {-0.2}


def test_drawing_again_gives_the_same_and_views_of_seeds_are_as_before(drawn, conditions):
    again = sitting([11, 12], conditions, size=SIZE, view_seed=3)
    assert torch.equal(again.images, drawn.images)
    faces = AnnyFaces(SIZE, [11], [3])
    composed = faces.draw(faces.faces([(11, 3)]), torch.tensor([0]))
    assert torch.equal(composed.images, faces.batch([0]).images)


def test_what_can_not_be_is_named():
    with pytest.raises(ParameterError, match="0 people in 1 conditions"):
        sitting([], [Condition()])
    with pytest.raises(ParameterError, match="1 people in 0 conditions"):
        sitting([1], [])
    with pytest.raises(ParameterError, match="no expression 'wink'"):
        sitting([1], [Condition(expression={"wink": 1.0})])
    assert math.isfinite(float(sitting([1, 1], [Condition()], size=SIZE).images.mean()))
