"""Cameras: their orders and signs, what is impossible, and where they agree."""

import math
from dataclasses import replace

import pytest
import torch

from facelab.errors import ParameterError
from facelab.geometry.camera import Camera, euler_from_rotation, rotation_from_euler


def angle(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_each_angle_turns_the_head_where_it_says():
    """The nose, the crown and the left ear of a head, after a quarter turn about each axis."""
    zero, quarter = angle(0.0), angle(math.pi / 2)
    ear, crown, nose = torch.eye(3, dtype=torch.float64)
    yaw = rotation_from_euler(quarter, zero, zero)[0]
    torch.testing.assert_close(yaw @ nose, ear)  # to its left
    pitch = rotation_from_euler(zero, quarter, zero)[0]
    torch.testing.assert_close(pitch @ nose, crown)  # up
    roll = rotation_from_euler(zero, zero, quarter)[0]
    torch.testing.assert_close(roll @ crown, -ear)  # to its right shoulder


def test_a_roll_is_a_turn_of_the_picture(random):
    """Counter-clockwise, about where the axis of sight meets the picture."""
    points = torch.randn(1, 20, 3, generator=random, dtype=torch.float64) * 50
    camera = Camera.portrait(64, angle(700.0), 300.0)
    yaw, pitch, roll = angle(0.4), angle(-0.2), angle(0.3)
    plain = camera.project(points @ rotation_from_euler(yaw, pitch, 0 * roll).mT)[0] - 31.5
    rolled = camera.project(points @ rotation_from_euler(yaw, pitch, roll).mT)[0] - 31.5
    cos, sin = math.cos(0.3), math.sin(0.3)
    turn = torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64)  # y points down
    torch.testing.assert_close(rolled, plain @ turn.T)


@pytest.mark.parametrize("pitch", [math.pi / 2, -math.pi / 2])
def test_straight_up_and_down_the_angles_still_give_the_rotation(pitch):
    rotation = rotation_from_euler(angle(0.7), angle(pitch), angle(-0.4))
    yaw, found, roll = euler_from_rotation(rotation)
    assert float(roll) == 0
    torch.testing.assert_close(found, angle(pitch), rtol=0, atol=1e-7)
    torch.testing.assert_close(rotation_from_euler(yaw, found, roll), rotation)


def test_gradients_of_the_angles(random):
    angles = torch.randn(3, 4, generator=random, dtype=torch.float64) * 0.5
    angles[:, 0] = 0  # nothing is lost at rest
    angles.requires_grad_()

    def there_and_back(angles):
        return torch.stack(euler_from_rotation(rotation_from_euler(*angles)))

    torch.testing.assert_close(there_and_back(angles), angles)
    assert torch.autograd.gradcheck(there_and_back, angles)
    locked = rotation_from_euler(angle(0.3), angle(math.pi / 2), angle(0.0)).requires_grad_()
    torch.stack(euler_from_rotation(locked)).sum().backward()
    assert torch.isfinite(locked.grad).all()


def test_both_cameras_agree_at_the_origins_depth():
    flat = torch.tensor([[[30.0, 40.0, 0.0], [-80.0, 10.0, 0.0]]])
    near = torch.tensor([[[30.0, 40.0, 100.0]]])
    shots = [Camera.portrait(128, 800.0, 256.0, kind=k) for k in ("perspective", "orthographic")]
    (left, _), (right, depth) = (shot.project(flat) for shot in shots)
    torch.testing.assert_close(left, right)
    # Half a pixel to the millimetre; x to the right, y up.
    torch.testing.assert_close(right[0], torch.tensor([[78.5, 43.5], [23.5, 58.5]]))
    torch.testing.assert_close(depth, torch.full((1, 2), 800.0))
    torch.testing.assert_close(shots[0].scale_px_per_mm, torch.tensor([0.5]))
    closer, same = (shot.project(near)[0][0, 0] - 63.5 for shot in shots)
    torch.testing.assert_close(closer, same * 800 / 700)


def test_a_portrait_may_be_wide_and_its_distances_many():
    camera = Camera.portrait((40, 80), torch.tensor([500.0, 900.0]), 200.0)
    pixels, depth = camera.project(torch.tensor([[[0.0, 100.0, 0.0], [0.0, 0.0, 0.0]]]))
    expected = torch.tensor([[39.5, -0.5], [39.5, 19.5]])  # the field's top is the picture's edge
    torch.testing.assert_close(pixels, expected.expand(2, 2, 2))
    torch.testing.assert_close(depth[:, 0], torch.tensor([500.0, 900.0]))


def test_behind_the_camera_nothing_is_infinite():
    camera = Camera.portrait(64, 100.0, 50.0)
    pixels, depth = camera.project(torch.tensor([[[3.0, 4.0, 100.0], [3.0, 4.0, 250.0]]]))
    assert torch.isfinite(pixels).all()
    torch.testing.assert_close(depth, torch.tensor([[0.0, -150.0]]))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"focal_px": torch.tensor([0.0])}, "focal length must be positive"),
        ({"focal_px": torch.tensor([torch.nan])}, "focal_px has a value that isn't finite"),
        ({"centre_px": torch.tensor([[torch.inf, 0.0]])}, "centre_px has a value"),
        ({"rotation": torch.full((1, 3, 3), torch.nan)}, "rotation has a value"),
        ({"rotation": 2 * torch.eye(3)[None]}, "stretches or mirrors"),
        ({"rotation": -torch.eye(3)[None]}, "stretches or mirrors"),
        ({"translation_mm": torch.zeros(1, 3), "kind": "orthographic"}, "in front of an ortho"),
    ],
)
def test_an_impossible_camera_says_why(changes, match):
    with pytest.raises(ParameterError, match=match):
        replace(Camera.portrait(64), **changes)


@pytest.mark.parametrize("factor", [0.0, -2.0, math.nan])
def test_a_picture_has_no_impossible_scale(factor):
    with pytest.raises(ParameterError, match="can't be scaled"):
        Camera.portrait(64).scaled(factor)
