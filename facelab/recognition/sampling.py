"""Move pixels: sample a picture along a similarity transform, without aliasing, differentiably.

A transform is a matrix (2, 3) that takes (x, y, 1) in pixels of one picture to (x, y) in pixels of
another. The centre of the top left pixel is (0, 0) on both sides, so that its corner is at
(-0.5, -0.5); a picture that is scaled by s therefore moves by (s - 1) / 2 as well.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ImageError
from facelab.types import Landmarks, Similarity

BLACK = -1.0


def scale_of(transform: Similarity) -> Float[Tensor, " batch"]:
    """Return how many pixels of the target one pixel of the source becomes, along a side."""
    return transform[:, :, 0].norm(dim=1)


def turn_of(transform: Similarity) -> Float[Tensor, " batch"]:
    """Return the angle in degrees by which a transform turns a picture, from x towards y."""
    return torch.rad2deg(torch.atan2(transform[:, 1, 0], transform[:, 0, 0]))


def inverse(transform: Similarity) -> Similarity:
    """Return the transform back.

    Raises `ImageError` when it does not exist because a transform shrinks everything to a point.
    """
    if not (scale_of(transform.detach()) > 1e-9).all():
        raise ImageError("a transform of scale zero has no inverse; check the landmarks it is from")
    a, b = transform[:, 0, 0], transform[:, 1, 0]
    turned = torch.stack([torch.stack([a, b], 1), torch.stack([-b, a], 1)], 1)
    turned = turned / (a.square() + b.square())[:, None, None]
    shift = -torch.einsum("bij,bj->bi", turned, transform[:, :, 2])
    return torch.cat([turned, shift[:, :, None]], dim=2)


def move_points(points: Landmarks, transform: Similarity) -> Landmarks:
    """Apply a transform to points (batch, points, 2), in pixels (x, y)."""
    return torch.einsum("bij,bpj->bpi", transform[:, :, :2], points) + transform[:, None, :, 2]


def resize_transform(source: tuple[int, int], target: tuple[int, int]) -> Similarity:
    """Return the transform that scales pictures of size `source` to `target`, (height, width).

    The scale is that of the widths; corner goes to corner. Shape (1, 2, 3).
    """
    scale = target[1] / source[1]
    shift = (scale - 1) / 2
    return torch.tensor([[[scale, 0.0, shift], [0.0, scale, shift]]])


def warp(
    images: Float[Tensor, "#batch channels height width"],
    transform: Similarity,
    size: tuple[int, int],
    fill: float = BLACK,
) -> Float[Tensor, "batch channels rows columns"]:
    """Sample pictures of `size` (rows, columns) along `transform`, which maps image to result.

    One image serves any number of transforms; otherwise there is one transform per image. Pixels
    from outside the image are `fill`. Where the result is smaller than its source, each of its
    pixels is the mean of up to 4 x 4 bilinear samples, taken from a copy of the image that was
    halved (2 x 2 means) until at most four of its pixels fall on one of the result: that keeps
    fine patterns from aliasing. All of it is differentiable with respect to the images.
    """
    back = inverse(transform.to(images))
    levels, samples = _plan(scale_of(back.detach()))
    if not levels:
        return images.new_empty((0, images.shape[1], *size))
    copies = _halvings(images - fill, max(levels))
    rows = torch.arange(len(back), device=images.device)
    parts, order = [], []
    for plan in sorted(set(zip(levels, samples, strict=True))):
        chosen = rows[[p == plan for p in zip(levels, samples, strict=True)]]
        copy = copies[plan[0]] if len(images) == 1 else copies[plan[0]][chosen]
        parts.append(_sample(copy, back[chosen], size, *plan))
        order.append(chosen)
    return torch.cat(parts)[torch.argsort(torch.cat(order))] + fill


def _plan(shrink: Float[Tensor, " batch"]) -> tuple[list[int], list[int]]:
    """Choose, from source pixels per result pixel, the halvings and the samples along a side."""
    levels, samples = [], []
    for value in shrink.tolist():
        level = max(0, math.ceil(math.log2(max(value, 1e-9)) - 2))
        levels.append(level)
        # A hair above a whole number is rounding, not a reason for a further sample.
        samples.append(max(1, math.ceil(value / 2**level - 1e-3)))
    return levels, samples


def _halvings(images: Tensor, count: int) -> list[Tensor]:
    """Return the images and `count` copies, each half as large as the one before."""
    copies = [images]
    for _ in range(count):
        images = copies[-1]
        odd = (0, images.shape[3] % 2, 0, images.shape[2] % 2)
        if any(odd):
            images = F.pad(images, odd, mode="replicate")
        copies.append(F.avg_pool2d(images, 2))
    return copies


def _sample(
    images: Tensor, back: Similarity, size: tuple[int, int], level: int, samples: int
) -> Tensor:
    """Sample halved images at `samples` x `samples` points per result pixel and average them.

    The sample j of pixel i lies at i + (j + 0.5) / samples - 0.5. A point p of the original lies at
    (p + 0.5) / 2^level - 0.5 in the halved copy, and grid_sample counts from -1 at the left edge
    to 1 at the right one.
    """
    rows, columns = size
    y, x = (
        (torch.arange(n * samples, dtype=back.dtype, device=back.device) + 0.5) / samples - 0.5
        for n in (rows, columns)
    )
    points = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    points = torch.einsum("bij,rcj->brci", back[:, :, :2], points) + back[:, None, None, :, 2]
    extent = points.new_tensor([images.shape[3], images.shape[2]]) * 2**level
    grid = (points + 0.5) * (2 / extent) - 1
    images = images.expand(len(back), -1, -1, -1)
    sampled = F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
    return F.avg_pool2d(sampled, samples) if samples > 1 else sampled
