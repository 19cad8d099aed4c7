"""Moving pixels: exact cases, twins, aliasing and gradients."""

import math

import pytest
import torch
import torch.nn.functional as F

from facelab.errors import ImageError
from facelab.recognition import sampling
from facelab.recognition.sampling import (
    inverse,
    move_points,
    resize_transform,
    scale_of,
    warp,
)


def similarity(scale: float, angle_rad: float, shift: tuple[float, float]) -> torch.Tensor:
    a, b = scale * math.cos(angle_rad), scale * math.sin(angle_rad)
    return torch.tensor([[[a, -b, shift[0]], [b, a, shift[1]]]], dtype=torch.float64)


@pytest.fixture
def picture(random):
    """A smooth picture, 40 rows and 48 columns, float64."""
    rough = torch.rand(1, 3, 6, 7, generator=random, dtype=torch.float64) * 2 - 1
    return F.interpolate(rough, (40, 48), mode="bicubic")


def test_the_identity_changes_nothing(picture):
    assert torch.allclose(warp(picture, similarity(1, 0, (0, 0)), (40, 48)), picture)


def test_a_shift_by_whole_pixels_copies_them(picture):
    """The target's (x, y) is the source's (x + 3, y - 2); what comes from outside is black."""
    moved = warp(picture, similarity(1, 0, (-3, 2)), (40, 48))
    assert torch.allclose(moved[:, :, 2:, :45], picture[:, :, :38, 3:])
    assert torch.allclose(moved[:, :, :2], torch.tensor(-1.0, dtype=torch.float64))
    assert torch.allclose(moved[:, :, :, 45:], torch.tensor(-1.0, dtype=torch.float64))


def test_a_quarter_turn_is_rot90(picture):
    """(x, y) -> (39 - y, x): clockwise in an image, where y points down."""
    turn = torch.tensor([[[0.0, -1, 39], [1, 0, 0]]], dtype=torch.float64)
    assert torch.allclose(warp(picture, turn, (48, 40)), torch.rot90(picture, -1, (2, 3)))


def test_doubling_agrees_with_interpolate(picture):
    transform = resize_transform((40, 48), (80, 96))
    expected = F.interpolate(picture, (80, 96), mode="bilinear", align_corners=False)
    inner = (..., slice(1, -1), slice(1, -1))  # interpolate repeats the border, warp fades it out
    assert torch.allclose(warp(picture, transform, (80, 96))[inner], expected[inner])


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_shrinking_by_a_whole_number_takes_means(random, factor):
    picture = torch.rand(1, 3, 48, 48, generator=random, dtype=torch.float64)
    size = (48 // factor, 48 // factor)
    small = warp(picture, resize_transform((48, 48), size), size)
    assert torch.allclose(small, F.avg_pool2d(picture, factor))


@pytest.mark.parametrize("shrink", [3.7, 5.3, 11.0, 31.0])
def test_fine_stripes_become_grey_and_do_not_alias(shrink):
    """Stripes of two pixels, mean 0: plain bilinear sampling leaves a strong false pattern."""
    stripes = torch.ones(1, 3, 640, 640, dtype=torch.float64)
    stripes[:, :, :, 1::2] = -1
    side = int(480 / shrink)
    there = similarity(1 / shrink, 0.05, (0.0, 0.0))
    there[0, :, 2] = (side - 1) / 2 - there[0, :, :2] @ there.new_tensor([319.6, 319.3])
    small = warp(stripes, there, (side, side))
    back = inverse(there)
    x, y = torch.meshgrid(*[torch.arange(side, dtype=torch.float64)] * 2, indexing="xy")
    points = move_points(torch.stack([x, y], -1).flatten(0, 1)[None], back).reshape(
        1, side, side, 2
    )
    plain = F.grid_sample(stripes, (points + 0.5) * 2 / 640 - 1, align_corners=False)
    assert plain.square().mean().sqrt() > 0.5
    assert small.abs().max() < 0.25
    assert small.square().mean().sqrt() < 0.1


def test_halving_an_odd_picture_keeps_its_last_row_and_column():
    """A white picture of 65 pixels a side, eight to one: white up to its last pixel."""
    white = torch.ones(1, 3, 65, 65, dtype=torch.float64)
    transform = similarity(1 / 8, 0.0, (0.0, 0.0))
    transform[0, :, 2] = 7.5 - 64.5 / 8  # the right edge, 64.5, comes to the edge of pixel 7
    assert torch.allclose(warp(white, transform, (8, 8)), white[..., :8, :8])


def test_shrinking_keeps_a_slope_in_its_place():
    """A linear picture stays linear under any similarity: nothing is half a pixel off."""
    x, y = torch.meshgrid(*[torch.arange(301, dtype=torch.float64)] * 2, indexing="xy")
    slope = ((2 * x + y) / 903)[None, None].expand(1, 3, -1, -1)
    for scale in (2.0, 1.0, 0.6, 0.4, 0.21, 0.09):
        transform = similarity(scale, 0.3, (20.0, -8.0))
        centre = move_points(torch.full((1, 1, 2), 150.0, dtype=torch.float64), transform)[0, 0]
        # A crop of 9 pixels about the middle of the picture.
        transform[0, :, 2] -= centre - 4
        small = warp(slope, transform, (9, 9))
        xs, ys = torch.meshgrid(*[torch.arange(9, dtype=torch.float64)] * 2, indexing="xy")
        points = torch.stack([xs, ys], -1).flatten(0, 1)[None]
        points = move_points(points, inverse(transform))[0]
        expected = ((2 * points[:, 0] + points[:, 1]) / 903).reshape(9, 9)
        assert (small[0, 0] - expected).abs().max() < 1e-9, scale


def test_a_batch_gives_what_single_pictures_give(random):
    """Every picture has its own plan of halvings and samples, in whatever company."""
    pictures = torch.rand(4, 3, 90, 70, generator=random)
    transforms = torch.cat(
        [similarity(s, a, (1, 2)) for s, a in ((0.1, 0), (1.5, 0.2), (0.1, 1.0), (0.3, 0.1))]
    ).float()
    together = warp(pictures, transforms, (16, 20))
    for index in range(4):
        alone = warp(pictures[[index]], transforms[[index]], (16, 20))
        assert torch.allclose(together[[index]], alone, atol=1e-6)


def test_one_picture_serves_many_transforms(random):
    picture = torch.rand(1, 3, 90, 70, generator=random)
    transforms = torch.cat([similarity(s, 0.1, (3, 2)) for s in (0.1, 1.5, 0.4)]).float()
    many = warp(picture, transforms, (8, 8))
    assert torch.allclose(many, warp(picture.expand(3, -1, -1, -1), transforms, (8, 8)), atol=1e-6)


def test_no_transform_gives_no_picture():
    assert warp(torch.zeros(1, 3, 9, 9), torch.zeros(0, 2, 3), (4, 5)).shape == (0, 3, 4, 5)


@pytest.mark.parametrize("scale", [1.7, 0.45, 0.12])
def test_gradcheck(random, scale):
    picture = torch.rand(1, 1, 21, 20, generator=random, dtype=torch.float64, requires_grad=True)
    transform = similarity(scale, 0.4, (2.2, 0.7))
    assert torch.autograd.gradcheck(lambda p: warp(p, transform, (4, 3)), picture)


def test_points_go_there_and_back(random):
    points = torch.rand(3, 5, 2, generator=random, dtype=torch.float64) * 100
    transforms = torch.cat([similarity(s, s, (5 * s, -3)) for s in (0.2, 1.0, 3.0)])
    assert torch.allclose(scale_of(transforms), torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64))
    moved = move_points(points, transforms)
    assert not torch.allclose(moved, points)
    assert torch.allclose(move_points(moved, inverse(transforms)), points)


def test_a_transform_without_a_scale_has_no_inverse():
    with pytest.raises(ImageError, match="scale zero has no inverse"):
        inverse(torch.zeros(1, 2, 3))


def test_the_turn_of_a_transform_is_in_degrees():
    for scale, degrees in ((1.0, 0.0), (2.0, 30.0), (0.5, -45.0), (1.5, 120.0)):
        angle = math.radians(degrees)
        cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
        transform = torch.tensor([[[cosine, -sine, 3.0], [sine, cosine, -7.0]]])
        assert float(sampling.turn_of(transform)[0]) == pytest.approx(degrees, abs=1e-4)
        assert float(sampling.scale_of(transform)[0]) == pytest.approx(scale)
