"""Augmentation: labels move with the pixels, mirroring twice is nothing, values stay in range."""

import math

import pytest
import torch

from facelab.geometry.camera import euler_from_rotation, rotation_from_euler
from facelab.recognition import augmentation
from facelab.recognition.augmentation import MIRRORED, Labelled, mirror, move


def dots(points: torch.Tensor, sigma: float = 1.5) -> torch.Tensor:
    """Pictures with a soft dot at one point each, (batch, 2)."""
    line = torch.arange(64.0)
    x, y = line - points[:, :1], line - points[:, 1:]
    dot = torch.exp(-(x.square()[:, None] + y.square()[:, :, None]) / (2 * sigma**2))
    return dot[:, None].expand(-1, 3, -1, -1) * 2 - 1


def centres(images: torch.Tensor) -> torch.Tensor:
    """Where the dots are: the mean place, weighted by brightness."""
    weight = (images[:, 0] + 1) / 2
    weight = weight / weight.sum((1, 2), keepdim=True)
    line = torch.arange(64.0)
    return torch.stack([(weight.sum(1) * line).sum(1), (weight.sum(2) * line).sum(1)], dim=1)


@pytest.fixture
def faces(random) -> Labelled:
    points = 24 + 16 * torch.rand(8, 68, 2, generator=random)
    return Labelled(dots(points[:, 30]), points, 0.3 * torch.randn(8, 3, generator=random))


def test_landmarks_move_with_the_pixels(faces, random):
    transforms = augmentation.random_transforms(8, faces.images, random)
    moved = move(faces, transforms)
    torch.testing.assert_close(centres(moved.images), moved.landmarks[:, 30], rtol=0, atol=0.02)
    assert (moved.landmarks - faces.landmarks).norm(dim=2).amax() > 3


def test_mirrored_landmarks_lie_on_the_mirrored_pixels(faces):
    everyone = torch.ones(8, dtype=torch.bool)
    mirrored = mirror(faces, everyone)
    torch.testing.assert_close(centres(mirrored.images), mirrored.landmarks[:, 30])
    none = mirror(faces, ~everyone)
    torch.testing.assert_close(none.landmarks, faces.landmarks)


def test_mirroring_is_an_involution(faces):
    assert sorted(MIRRORED) == list(range(68))
    assert [MIRRORED[i] for i in MIRRORED] == list(range(68))
    everyone = torch.ones(8, dtype=torch.bool)
    twice = mirror(mirror(faces, everyone), everyone)
    for name in ("images", "landmarks", "euler_rad"):
        torch.testing.assert_close(getattr(twice, name), getattr(faces, name))


def test_the_heads_own_landmarks_are_symmetric_under_the_permutation():
    from facelab.geometry.morphable import anny_head

    points = anny_head().mean_mm[anny_head().landmarks]
    across = points[list(MIRRORED)] * torch.tensor([-1.0, 1, 1])
    assert (across - points).norm(dim=1).amax() < 1.0  # millimetres


def test_mirrored_angles_are_those_of_the_mirrored_rotation(faces):
    angles = mirror(faces, torch.ones(8, dtype=torch.bool)).euler_rad
    flip = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    rotation = flip @ rotation_from_euler(*faces.euler_rad.unbind(1)) @ flip
    torch.testing.assert_close(angles, torch.stack(euler_from_rotation(rotation), dim=1))


def test_a_turned_picture_is_a_rolled_head(faces, random):
    """World y points up and the picture's down: what turns x to y there is a roll taken off."""
    transforms = augmentation.random_transforms(8, faces.images, random)
    angles = move(faces, transforms).euler_rad
    turn = torch.eye(3).repeat(8, 1, 1)
    scale = transforms[:, :, 0].norm(dim=1)[:, None, None]
    turn[:, :2, :2] = (transforms[:, :, :2] / scale).mT
    rotation = turn @ rotation_from_euler(*faces.euler_rad.unbind(1))
    torch.testing.assert_close(angles, torch.stack(euler_from_rotation(rotation), dim=1))


@pytest.mark.parametrize("change", [change for _, change in augmentation.DISTURBANCES])
def test_disturbances_keep_the_shape_and_change_something(change, random):
    images = torch.rand(4, 3, 64, 64, generator=random) * 1.6 - 0.8
    changed = change(images, random)
    assert changed.shape == images.shape
    assert torch.isfinite(changed).all()
    assert not torch.allclose(changed, images, atol=1e-3)


def test_blur_keeps_an_even_picture_and_coarse_rounding_keeps_the_mean(random):
    even = torch.full((2, 3, 64, 64), 0.25)
    torch.testing.assert_close(augmentation.blur(even, random), even)
    torch.testing.assert_close(augmentation.shrink(even, random), even)
    images = torch.rand(2, 3, 64, 64, generator=random) - 0.5
    error = (augmentation.quantise(images, random) - images).mean((1, 2, 3)).abs()
    assert error.amax() < 0.26 / 8 / 2  # half the largest step of a block's mean, 8 being its gain


def test_augmented_faces_follow_from_the_stream(faces):
    streams = [torch.Generator().manual_seed(s) for s in (1, 1, 2)]
    one, same, other = (augmentation.augment(faces, stream) for stream in streams)
    assert torch.equal(one.images, same.images)
    assert not torch.equal(one.images, other.images)
    assert one.images.abs().amax() <= 1
    assert math.isfinite(float(one.landmarks.sum()))
