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
from jaxtyping import Bool, Float, Int
from torch import Tensor

from facelab.types import Triangles

FARTHEST_PX = 1e6
# Twice the area of the smallest triangle, in square pixels: float32 can't say what is inside it.
SMALLEST = 1e-6
# How many rows and pixels of triangles are in memory at once. On the CPU they stay in its cache.
AT_ONCE = {"cpu": 96_000, "cuda": 16_000_000}
# What the buffer holds where nothing is: the bits of an infinite depth, and of the triangle -1.
EMPTY = 0x7F800000_FFFFFFFF


class Rules(NamedTuple):
    """What a picture is drawn by; see `rasterize`."""

    size: tuple[int, int]
    perspective: bool
    cull: bool


class _Jobs(NamedTuple):
    """Triangles to draw, from all images; what they are, and the plane of their depth."""

    key: Int[Tensor, " jobs"]  # the triangle's index
    corner: Int[Tensor, " jobs"]  # the image's first pixel in the buffer
    # What settles depth is linear in the picture: 1 / depth, or the depth itself (orthographic).
    constant: Float[Tensor, " jobs"]
    along_x: Float[Tensor, " jobs"]
    along_y: Float[Tensor, " jobs"]
    least: Float[Tensor, " jobs"]
    most: Float[Tensor, " jobs"]


class _Halves(NamedTuple):
    """The jobs, cut in two where the middle corner is: first what is above it, then what is below.

    In its rows a half lies between two edges: where they cross the first row of their own, and how
    far right they go with each row. The long edge began `skipped` rows above the half's `first`.
    """

    first: Int[Tensor, " halves"]
    rows: Int[Tensor, " halves"]
    skipped: Int[Tensor, " halves"]
    long: tuple[Float[Tensor, " halves"], Float[Tensor, " halves"]]
    short: tuple[Float[Tensor, " halves"], Float[Tensor, " halves"]]


def visible(
    pixels_xy: Tensor, depth_mm: Tensor, triangles: Tensor, rules: Rules
) -> Int[Tensor, "batch height width"]:
    """Return the index of the triangle that each pixel shows, or -1.

    The whole batch must have less than 2^31 pixels.
    """
    height, width = rules.size
    shape = (len(pixels_xy), height, width)
    buffer = torch.full(shape, EMPTY, dtype=torch.int64, device=pixels_xy.device)
    jobs, halves = _jobs(pixels_xy, depth_mm, corners_of(triangles), rules)
    for half, step in _expand(halves.rows):
        ends = (
            _crossing(halves.long, half, step + halves.skipped.index_select(0, half)),
            _crossing(halves.short, half, step),
        )
        left, right = (
            pick(*ends).ceil_().clamp_(0, width).int() for pick in (torch.minimum, torch.maximum)
        )
        y = step.add_(halves.first.index_select(0, half))
        for row, step in _expand(right.sub_(left)):
            job = half.index_select(0, row)
            job.sub_((job >= len(jobs.key)).int().mul_(len(jobs.key)))
            x = step.add_(left.index_select(0, row))
            _draw(jobs, job, (x, y.index_select(0, row)), buffer, rules.perspective)
    return buffer.bitwise_left_shift_(32).bitwise_right_shift_(32)  # the lower half, with its sign


def corners_of(triangles: Triangles) -> tuple[Tensor, Tensor, Tensor]:
    """Return first, second and third corners as contiguous indices, int32: to index with them."""
    first, second, third = triangles.T.int().contiguous()
    return first, second, third


def _expand(counts: Int[Tensor, " owners"]) -> Iterator[tuple[Tensor, Tensor]]:
    """Give every owner its count of things; yield whose they are and their place with the owner.

    About `AT_ONCE` things at a time: the memory stays bounded however many there are.
    """
    device, at_once = counts.device, AT_ONCE[counts.device.type]
    ends = counts.cumsum(0)
    begins = ends - counts
    total = int(ends[-1]) if len(ends) else 0
    marks = torch.arange(at_once, total + at_once, at_once, device=device)
    first = 0
    for last in torch.searchsorted(ends, marks).add_(1).clamp_(max=len(ends)).tolist():
        if last == first:  # the owner before had more than `AT_ONCE`
            continue
        begin = begins[first:last] - begins[first]
        number = torch.arange(int(ends[last - 1] - begins[first]), dtype=torch.int32, device=device)
        # Every owner's beginning raises the number of those who follow: repeat_interleave, faster.
        raised = torch.zeros(len(number) + 1, dtype=torch.int32, device=device)
        raised.scatter_add_(0, begin, torch.ones_like(begin, dtype=torch.int32))
        owner = raised[:-1].cumsum(0, dtype=torch.int32).sub_(1)
        yield owner + first, number.sub_(begin.int().index_select(0, owner))
        first = last


def true_places(mask: Bool[Tensor, " things"]) -> Int[Tensor, " found"]:
    """Return where a mask is true, int32: `nonzero`, but its time does not hang on the mask."""
    count = mask.cumsum(0, dtype=torch.int32)
    found = int(count[-1]) if len(count) else 0
    # What is not found is written to place 0, over and over, and left out in the end.
    places = torch.empty(found + 1, dtype=torch.int32, device=mask.device)
    number = torch.arange(len(mask), dtype=torch.int32, device=mask.device)
    return places.scatter_(0, count.mul_(mask).long(), number)[1:]


def _crossing(edges: tuple[Tensor, Tensor], half: Tensor, step: Tensor) -> Tensor:
    """Return where edges cross the row `step` below their first one.

    A product and a sum: one rounding each, the same on both sides of an edge.
    """
    at, slope = (v.index_select(0, half) for v in edges)
    return slope.mul_(step).add_(at)


def _jobs(
    pixels_xy: Tensor, depth_mm: Tensor, corners: tuple[Tensor, ...], rules: Rules
) -> tuple[_Jobs, _Halves]:
    """Drop the triangles that show nothing; return what is needed to draw the others."""
    key, image = _candidates(pixels_xy, depth_mm, corners, rules)
    first = image * pixels_xy.shape[1]
    corners = [corner.index_select(0, key) + first for corner in corners]
    near = 1 / depth_mm if rules.perspective else depth_mm
    x, y, near = (
        tuple(v.flatten().index_select(0, corner) for corner in corners)
        for v in (pixels_xy[..., 0], pixels_xy[..., 1], near)
    )
    bx, by, bn = x[1] - x[0], y[1] - y[0], near[1] - near[0]
    cx, cy, cn = x[2] - x[0], y[2] - y[0], near[2] - near[0]
    area = bx * cy - by * cx
    along_x, along_y = (bn * cy - cn * by) / area, (cn * bx - bn * cx) / area
    constant = near[0] - along_x * x[0] - along_y * y[0]
    least, most = (pick(pick(near[0], near[1]), near[2]) for pick in (torch.minimum, torch.maximum))
    corner = image * (rules.size[0] * rules.size[1])
    jobs = _Jobs(key, corner, constant, along_x, along_y, least, most)
    return jobs, _halves(x, y, rules.size[0])


def _candidates(
    pixels_xy: Tensor, depth_mm: Tensor, corners: tuple[Tensor, ...], rules: Rules
) -> tuple[Int[Tensor, " jobs"], Int[Tensor, " jobs"]]:
    """Return triangle and image of all triangles that may cover a pixel's centre."""
    height, width = rules.size
    # Vertices first, so that one index copies a row with all images.
    x, y = (v.T.contiguous() for v in pixels_xy.unbind(2))
    # The first column right of each vertex, and the first row below it, in the picture. When all
    # corners have the same, there is no centre between them.
    places = (x.ceil().clamp_(0, width).int(), y.ceil().clamp_(0, height).int())
    (x0, y0), (xb, yb), (xc, yc) = (
        (x.index_select(0, corner), y.index_select(0, corner)) for corner in corners
    )
    area = (xb - x0).mul_(yc - y0).sub_((yb - y0).mul_(xc - x0))
    keep = area < -SMALLEST if rules.cull else area.abs_() > SMALLEST
    for place in places:
        a, b, c = (place.index_select(0, corner) for corner in corners)
        keep &= (a != b).logical_or_(a != c)
    seen = (depth_mm > 0) & (pixels_xy.abs() < FARTHEST_PX).all(-1)
    if not seen.all():
        for corner in corners:
            keep &= seen.T.index_select(0, corner)
    found = true_places(keep.flatten())
    key = torch.div(found, keep.shape[1], rounding_mode="floor")
    return key, found - key * keep.shape[1]


def _halves(x: tuple[Tensor, ...], y: tuple[Tensor, ...], height: int) -> _Halves:
    """Cut triangles at their middle corner, into two parts between two edges each."""
    x, y = list(x), list(y)
    for i, j in ((0, 1), (1, 2), (0, 1)):  # sorts the corners downwards
        # Products with 0 and 1 are exact, and five times as fast as `where` on so mixed a mask.
        swap, keep = (y[i] > y[j]).to(y[i]), (y[i] <= y[j]).to(y[i])
        x[i], x[j] = keep * x[i] + swap * x[j], swap * x[i] + keep * x[j]
        y[i], y[j] = torch.minimum(y[i], y[j]), torch.maximum(y[i], y[j])
    # The first row at or below a corner, in the picture: a centre on a level edge is below it.
    rows = [v.ceil().clamp_(0, height) for v in y]
    edges = []
    for i, j in ((0, 2), (0, 1), (1, 2)):
        slope = (x[j] - x[i]) / (y[j] - y[i])
        edges.append((x[i] + slope * (rows[i] - y[i]), slope))
    whole, upper, lower = edges
    top, middle, bottom = (row.int() for row in rows)
    return _Halves(
        first=torch.cat([top, middle]),
        rows=torch.cat([middle - top, bottom - middle]),
        skipped=torch.cat([torch.zeros_like(top), middle - top]),
        long=tuple(torch.cat([v, v]) for v in whole),
        short=tuple(torch.cat(pair) for pair in zip(upper, lower, strict=True)),
    )


def _draw(
    jobs: _Jobs, job: Tensor, pixel_xy: tuple[Tensor, Tensor], buffer: Tensor, perspective: bool
) -> None:
    """Keep in the buffer what is nearest, of pixels that triangles cover.

    The bits of a positive float have its order, so depth and index fit into one whole number whose
    minimum is the nearest triangle, and of equally near ones that with the smaller index.
    """
    x, y = pixel_xy
    constant, along_x, along_y, least, most = (v.index_select(0, job) for v in jobs[2:])
    near = along_x.mul_(x).add_(along_y.mul_(y)).add_(constant)
    near = torch.clamp(near, least, most)
    depth = (near.reciprocal_() if perspective else near).float()
    key = depth.view(torch.int32).long().bitwise_left_shift_(32)
    key = key.bitwise_or_(jobs.key.index_select(0, job))
    pixel = y.mul_(buffer.shape[2]).add_(x).add_(jobs.corner.index_select(0, job))
    buffer.view(-1).scatter_reduce_(0, pixel.long(), key, "amin")
