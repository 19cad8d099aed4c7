"""Which triangle each pixel shows: the z-buffer behind `rasterize`, where its rules are written.

Nothing here walks over triangles or pixels. Triangles that cover no pixel's centre are dropped, the
others are cut into rows of the picture and the rows into pixels, each time all of them in one go.

A triangle covers a row between two of its edges, and from there on everything is exact: both
triangles at an edge compute one and the same crossing with the row, because an edge runs from its
upper to its lower end whoever asks; and a pixel's centre is right of it or it isn't.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

FARTHEST_PX = 1e6
# Twice the area of the smallest triangle, in square pixels: float32 can't say what is inside it.
SMALLEST = 1e-6
# How many rows and pixels of triangles are in memory at once: some 100 bytes for each.
ROWS_AT_ONCE = PIXELS_AT_ONCE = {"cpu": 1_000_000, "cuda": 16_000_000}
# What the buffer holds where nothing is: the bits of an infinite depth, above a triangle's index.
EMPTY = 0x7F800000 << 32


class Rules(NamedTuple):
    """What a picture is drawn by; see `rasterize`."""

    size: tuple[int, int]
    perspective: bool
    cull: bool


class _Jobs(NamedTuple):
    """Triangles to draw, from all images; what they are, and the plane of their depth."""

    key: Int[Tensor, " jobs"]  # the triangle's index
    image: Int[Tensor, " jobs"]
    # What settles depth is linear in the picture: 1 / depth, or the depth itself (orthographic).
    constant: Float[Tensor, " jobs"]
    along_x: Float[Tensor, " jobs"]
    along_y: Float[Tensor, " jobs"]


class _Halves(NamedTuple):
    """The jobs, each cut in two where its middle corner is: above it (2 j) and below it (2 j + 1).

    In its rows a half lies between two edges, each x = at + y slope.
    """

    first: Int[Tensor, " halves"]
    rows: Int[Tensor, " halves"]
    at: tuple[Float[Tensor, " halves"], Float[Tensor, " halves"]]
    slope: tuple[Float[Tensor, " halves"], Float[Tensor, " halves"]]


def visible(
    pixels_xy: Tensor, depth_mm: Tensor, triangles: Tensor, rules: Rules
) -> Int[Tensor, "batch height width"]:
    """Return the index of the triangle that each pixel shows, or -1."""
    device, (height, width) = pixels_xy.device, rules.size
    shape = (len(pixels_xy), height, width)
    buffer = torch.full(shape, EMPTY, dtype=torch.int64, device=device)
    jobs, halves = _jobs(pixels_xy, depth_mm, triangles, rules)
    for half, step in _expand(halves.rows, ROWS_AT_ONCE[device.type]):
        y = halves.first.index_select(0, half) + step
        ends = [
            torch.addcmul(at.index_select(0, half), slope.index_select(0, half), y)
            for at, slope in zip(halves.at, halves.slope, strict=True)
        ]
        left, right = (
            pick(*ends).ceil_().clamp_(0, width).long() for pick in (torch.minimum, torch.maximum)
        )
        for row, step in _expand(right - left, PIXELS_AT_ONCE[device.type]):
            job = half.index_select(0, row).bitwise_right_shift_(1)
            x = left.index_select(0, row) + step
            _draw(jobs, job, (x, y.index_select(0, row)), buffer, rules.perspective)
    return torch.where(buffer >= EMPTY, -1, buffer & 0xFFFFFFFF)


def _expand(counts: Int[Tensor, " owners"], at_once: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Give every owner its count of things; yield whose they are and their place with the owner.

    At most `at_once` things at a time: the memory stays bounded however many there are.
    """
    ends = counts.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    begins = ends - counts
    for begin in range(0, total, at_once):
        end = min(begin + at_once, total)
        if total > at_once:
            counts = (ends.clamp(begin, end) - begins.clamp(begin, end)).clamp_min(0)
        owner = torch.repeat_interleave(counts, output_size=end - begin)
        number = torch.arange(begin, end, device=counts.device)
        yield owner, number - begins.index_select(0, owner)


def _jobs(
    pixels_xy: Tensor, depth_mm: Tensor, triangles: Tensor, rules: Rules
) -> tuple[_Jobs, _Halves]:
    """Drop the triangles that show nothing; return what is needed to draw the others."""
    key, image = _candidates(pixels_xy, depth_mm, triangles, rules)
    corners = [image * pixels_xy.shape[1] + c.index_select(0, key) for c in triangles.unbind(1)]
    near = 1 / depth_mm.double() if rules.perspective else depth_mm
    x, y, near = (
        tuple(v.flatten().double().index_select(0, corner) for corner in corners)
        for v in (pixels_xy[..., 0], pixels_xy[..., 1], near)
    )
    bx, by, bn = x[1] - x[0], y[1] - y[0], near[1] - near[0]
    cx, cy, cn = x[2] - x[0], y[2] - y[0], near[2] - near[0]
    area = bx * cy - by * cx
    along_x, along_y = (bn * cy - cn * by) / area, (cn * bx - bn * cx) / area
    constant = near[0] - along_x * x[0] - along_y * y[0]
    return _Jobs(key, image, constant, along_x, along_y), _halves(x, y, rules.size[0])


def _candidates(
    pixels_xy: Tensor, depth_mm: Tensor, triangles: Tensor, rules: Rules
) -> tuple[Int[Tensor, " jobs"], Int[Tensor, " jobs"]]:
    """Return triangle and image of all triangles that may cover a pixel's centre."""
    height, width = rules.size
    # Vertices first, so that one index copies a row with all images.
    x, y = (v.T.contiguous() for v in pixels_xy.unbind(2))
    # The first column right of each vertex, and the first row below it, in the picture. When all
    # corners have the same, there is no centre between them.
    places = (x.ceil().clamp_(0, width).int(), y.ceil().clamp_(0, height).int())
    (x0, y0), (xb, yb), (xc, yc) = (
        (x.index_select(0, corner), y.index_select(0, corner)) for corner in triangles.unbind(1)
    )
    area = (xb - x0).mul_(yc - y0).sub_((yb - y0).mul_(xc - x0))
    keep = area < -SMALLEST if rules.cull else area.abs_() > SMALLEST
    for place in places:
        a, b, c = (place.index_select(0, corner) for corner in triangles.unbind(1))
        keep &= (a != b).logical_or_(a != c)
    seen = (depth_mm > 0) & (pixels_xy.abs() < FARTHEST_PX).all(-1)
    if not seen.all():
        for corner in triangles.unbind(1):
            keep &= seen.T.index_select(0, corner)
    key, image = keep.nonzero().unbind(1)
    return key.contiguous(), image.contiguous()


def _halves(x: tuple[Tensor, ...], y: tuple[Tensor, ...], height: int) -> _Halves:
    """Cut triangles at their middle corner, into two parts between two edges each."""
    x, y = list(x), list(y)
    for i, j in ((0, 1), (1, 2), (0, 1)):  # sorts the corners downwards
        swap = y[i] > y[j]
        x[i], x[j] = torch.where(swap, x[j], x[i]), torch.where(swap, x[i], x[j])
        y[i], y[j] = torch.minimum(y[i], y[j]), torch.maximum(y[i], y[j])
    # The rows from the first at or below a corner: a centre on a level edge is below it.
    top, middle, bottom = (v.ceil().clamp_(0, height).long() for v in y)
    slopes, ats = [], []
    for i, j in ((0, 2), (0, 1), (1, 2)):
        slopes.append((x[j] - x[i]) / (y[j] - y[i]))
        ats.append(x[i] - slopes[-1] * y[i])
    return _Halves(
        first=_paired(top, middle),
        rows=_paired(middle - top, bottom - middle),
        at=(_paired(ats[0], ats[0]), _paired(*ats[1:])),
        slope=(_paired(slopes[0], slopes[0]), _paired(*slopes[1:])),
    )


def _paired(above: Tensor, below: Tensor) -> Tensor:
    return torch.stack([above, below], dim=1).flatten()


def _draw(
    jobs: _Jobs, job: Tensor, pixel_xy: tuple[Tensor, Tensor], buffer: Tensor, perspective: bool
) -> None:
    """Keep in the buffer what is nearest, of pixels that triangles cover.

    The bits of a positive float have its order, so depth and index fit into one whole number whose
    minimum is the nearest triangle, and of equally near ones that with the smaller index.
    """
    x, y = pixel_xy
    near = torch.addcmul(jobs.constant.index_select(0, job), jobs.along_x.index_select(0, job), x)
    near = near.addcmul_(jobs.along_y.index_select(0, job), y)
    depth = (near.reciprocal_() if perspective else near).float()
    key = depth.view(torch.int32).long().bitwise_left_shift_(32)
    key = key.bitwise_or_(jobs.key.index_select(0, job))
    height, width = buffer.shape[1:]
    pixel = (jobs.image.index_select(0, job).mul_(height).add_(y)).mul_(width).add_(x)
    buffer.view(-1).scatter_reduce_(0, pixel, key, "amin")
