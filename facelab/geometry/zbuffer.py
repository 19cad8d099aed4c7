"""Which triangle each pixel shows: the z-buffer behind `rasterize`, where its rules are written.

Nothing here walks over triangles or pixels. Triangles that cover no pixel's centre are dropped. The
others are put in groups by the size of their bounding boxes, and each group tests its few pixels in
one go.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

FARTHEST_PX = 1e6
# Twice the area of the smallest triangle, in square pixels; below it float32 can't say what is in.
SMALLEST = 1e-6
# Sides of the groups, in pixels. What is larger than the last is cut into tiles of its size.
SIDES = (1, 2, 3, 4, 6, 8, 12, 16)
# How many pixels are tested at once; the memory that this takes is about 20 bytes for each.
PIXELS_AT_ONCE = {"cpu": 4_000_000, "cuda": 64_000_000}
# What the buffer holds where nothing is: the bits of an infinite depth, above a triangle's index.
EMPTY = 0x7F800000 << 32


class Rules(NamedTuple):
    """What a picture is drawn by; see `rasterize`."""

    size: tuple[int, int]
    perspective: bool
    cull: bool


class _Jobs(NamedTuple):
    """Triangles that may cover a pixel, from all images of a chunk; every tensor is (jobs,)."""

    key: Tensor  # the triangle's index
    image: Tensor
    left: Tensor  # the bounding box, in whole pixels, cut to the picture
    top: Tensor
    columns: Tensor
    rows: Tensor
    x: tuple[Tensor, Tensor, Tensor]  # the corners
    y: tuple[Tensor, Tensor, Tensor]
    near: tuple[Tensor, Tensor, Tensor]  # what is linear in the picture: 1 / depth, or the depth

    def take(self, which: Tensor | slice) -> "_Jobs":
        """Return some of the jobs."""
        return _Jobs(*(_pick(field, which) for field in self))

    def split(self, counts: list[int]) -> Iterator["_Jobs"]:
        """Yield the first `counts[0]` jobs, the next `counts[1]`, and so on."""
        begin = 0
        for count in counts:
            yield self.take(slice(begin, begin + count))
            begin += count

    def slices(self, at_once: int) -> Iterator["_Jobs"]:
        """Yield the jobs, `at_once` at a time."""
        for begin in range(0, len(self.key), at_once):
            yield self.take(slice(begin, begin + at_once))


def _pick(field: Tensor | tuple[Tensor, ...], which: Tensor | slice) -> Tensor | tuple:
    if isinstance(field, tuple):
        return tuple(_pick(tensor, which) for tensor in field)
    return field[which] if isinstance(which, slice) else field.index_select(0, which)


def visible(
    pixels_xy: Tensor, depth_mm: Tensor, triangles: Tensor, rules: Rules
) -> Int[Tensor, "batch height width"]:
    """Return the index of the triangle that each pixel shows, or -1."""
    # A group's square must fit into the picture; a smaller picture gets a margin.
    height, width = (max(n, SIDES[-1]) for n in rules.size)
    buffer = torch.full(
        (len(pixels_xy), height, width), EMPTY, dtype=torch.int64, device=pixels_xy.device
    )
    jobs, counts = _jobs(pixels_xy, depth_mm, triangles, rules)
    for group, side in zip(jobs.split(counts), (*SIDES, None), strict=True):
        at_once = PIXELS_AT_ONCE[buffer.device.type] // (side or SIDES[-1]) ** 2
        for squares in group.slices(at_once) if side else _tiles(group, SIDES[-1], at_once):
            _draw(squares, side or SIDES[-1], buffer, rules.perspective)
    found = buffer[:, : rules.size[0], : rules.size[1]]
    return torch.where(found >= EMPTY, -1, found & 0xFFFFFFFF)


def _jobs(
    pixels_xy: Tensor, depth_mm: Tensor, triangles: Tensor, rules: Rules
) -> tuple[_Jobs, list[int]]:
    """Drop the triangles that show nothing; return the others by size, and how many of each."""
    seen = (depth_mm > 0) & (pixels_xy.abs() < FARTHEST_PX).all(-1)
    near = 1 / depth_mm if rules.perspective else depth_mm
    # A NaN fails every comparison below: a bad corner drops its triangle.
    values = [torch.where(seen, pixels_xy[..., 0], torch.nan), pixels_xy[..., 1], near]
    # Vertices first, so that one index copies a row with all images.
    x, y, near = (
        tuple(v.T.contiguous().index_select(0, corner) for corner in triangles.unbind(1))
        for v in values
    )
    area = _doubled_area(x, y)
    keep = -area > SMALLEST if rules.cull else area.abs() > SMALLEST
    boxes = []
    for corners, length in ((x, rules.size[1]), (y, rules.size[0])):
        low, high = _extent(corners)
        low, high = low.ceil_().clamp_min_(0), high.floor_().clamp_max_(length - 1)
        keep &= low <= high
        boxes += [low, (high - low).add_(1)]
    kept = keep.flatten().nonzero()[:, 0]
    left, columns, top, rows = (v.flatten() for v in boxes)
    order, counts = _by_size(torch.maximum(columns, rows)[kept])
    kept = kept[order]
    key = torch.div(kept, len(pixels_xy), rounding_mode="floor")
    image = kept - key * len(pixels_xy)
    x, y, near = (tuple(v.flatten() for v in corners) for corners in (x, y, near))
    fields = (_pick(field, kept) for field in (left, top, columns, rows, x, y, near))
    return _Jobs(key, image, *fields), counts


def _by_size(sides: Float[Tensor, " jobs"]) -> tuple[Int[Tensor, " jobs"], list[int]]:
    """Return the order that brings jobs of one group together, and the sizes of the groups.

    There is one group for each of `SIDES`, and one for what is larger.
    """
    order, smaller = [], 0
    for side in (*SIDES, torch.inf):
        order.append(((sides > smaller) & (sides <= side)).nonzero()[:, 0])
        smaller = side
    return torch.cat(order), [len(group) for group in order]


def _doubled_area(x: tuple[Tensor, ...], y: tuple[Tensor, ...]) -> Tensor:
    """Return twice the area of triangles, negative where they run counter-clockwise as seen."""
    return (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0])


def _extent(corners: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    a, b, c = corners
    return torch.minimum(torch.minimum(a, b), c), torch.maximum(torch.maximum(a, b), c)


def _tiles(jobs: _Jobs, side: int, at_once: int) -> Iterator[_Jobs]:
    """Cut boxes into squares of side x side pixels; yield at most `at_once` of them at a time."""
    across, down = ((n / side).ceil().long() for n in (jobs.columns, jobs.rows))
    ends = (across * down).cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    for begin in range(0, total, at_once):
        number = torch.arange(begin, min(begin + at_once, total), device=ends.device)
        job = torch.searchsorted(ends, number, right=True)
        within = number - (ends - across * down)[job]
        row = torch.div(within, across[job], rounding_mode="floor")
        column = within - row * across[job]
        some = jobs.take(job)
        yield some._replace(left=some.left + column * side, top=some.top + row * side)


def _draw(jobs: _Jobs, side: int, buffer: Tensor, perspective: bool) -> None:
    """Test side x side pixels of every job and keep the nearest triangle in the buffer.

    The bits of a positive float have its order, so depth and index fit into one whole number whose
    minimum is the nearest triangle, and of equally near ones that with the smaller index.
    """
    height, width = buffer.shape[1:]
    left, top = jobs.left.clamp_max(width - side), jobs.top.clamp_max(height - side)
    steps = torch.arange(side, device=left.device)[:, None]
    near = _near(jobs, left + steps, top + steps)
    depth = near.reciprocal_() if perspective else near
    depth.masked_fill_(_inside(jobs, left + steps, top + steps).logical_not_(), torch.inf)
    key = depth.float().view(torch.int32).long().bitwise_left_shift_(32).bitwise_or_(jobs.key)
    corner = (jobs.image * height + top.long()) * width + left.long()
    pixel = corner + (steps * width + steps.T)[:, :, None]
    buffer.view(-1).scatter_reduce_(0, pixel.flatten(), key.flatten(), "amin")


def _inside(jobs: _Jobs, column_x: Tensor, row_y: Tensor) -> Bool[Tensor, "side side jobs"]:
    """Say which pixel centres, by row and column, are in each triangle (the top-left rule).

    Both triangles at an edge compute the same number for a pixel, whatever the order in which they
    name its ends, because the ends are sorted first: downwards, level ones leftwards. A centre for
    which it is zero or more is right of the edge, or below a level one.
    """
    x, y = jobs.x, jobs.y
    turned = _doubled_area(x, y) > 0
    inside = None
    for start, end in ((0, 1), (1, 2), (2, 0)):
        x0, y0, x1, y1 = x[start], y[start], x[end], y[end]
        swap = (y0 > y1) | ((y0 == y1) & (x0 < x1))
        dx, dy = x1 - x0, y1 - y0
        dx, dy = torch.where(swap, -dx, dx), torch.where(swap, -dy, dy)
        x0, y0 = torch.where(swap, x1, x0), torch.where(swap, y1, y0)
        right = (dy * (column_x - x0))[None] >= (dx * (row_y - y0))[:, None]
        right ^= turned ^ swap
        inside = right if inside is None else inside.logical_and_(right)
    return inside


def _near(jobs: _Jobs, column_x: Tensor, row_y: Tensor) -> Float[Tensor, "side side jobs"]:
    """Return what settles depth at the pixel centres: linear in the picture, so a plane."""
    x, y, near = jobs.x, jobs.y, jobs.near
    bx, by, bn = x[1] - x[0], y[1] - y[0], near[1] - near[0]
    cx, cy, cn = x[2] - x[0], y[2] - y[0], near[2] - near[0]
    area = bx * cy - by * cx
    along_x, along_y = (bn * cy - cn * by) / area, (cn * bx - bn * cx) / area
    plane = (along_x * (column_x - x[0]))[None] + (along_y * (row_y - y[0]) + near[0])[:, None]
    return plane.clamp_(*_extent(near))
