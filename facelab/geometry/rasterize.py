"""A batched z-buffer in plain PyTorch: which triangle each pixel shows, and where in it.

A mesh of a head has thousands of triangles of a pixel or two each. So nothing walks over triangles
or over pixels of the picture: triangles that cover no pixel's centre are dropped first, the others
are put in groups by the size of their bounding box, and each group tests its few pixels in one go.
Depth is settled by a minimum over whole numbers: the bits of a positive float have its order, and
the triangle's index below them breaks ties.

Finding the triangles has no gradient. What follows has: the barycentric coordinates of each pixel
are computed anew from its triangle's corners, and attributes are interpolated with them.

Rules. A pixel shows a triangle when its centre, at whole (x, y), is inside; a centre on an edge
belongs to the triangle on its right, or below a level one (the top-left rule), so that neighbours
leave no hole and share no pixel. Of triangles at the same depth the one with the smaller index is
shown. Nothing is clipped: a triangle is dropped as a whole when a corner is at or behind the camera
or more than `FARTHEST_PX` from the picture's corner, and so is one without an area.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from facelab.errors import GeometryError, ParameterError
from facelab.types import Triangles, Vertices

FARTHEST_PX = 1e6
# Twice the area of the smallest triangle, in square pixels; below it float32 can't say what is in.
SMALLEST = 1e-6
# Sides of the groups, in pixels. What is larger than the last is cut into tiles of its size.
SIDES = (1, 2, 3, 4, 6, 8, 12, 16)
# How many triangles (all images together) and tested pixels are in memory at once.
TRIANGLES_AT_ONCE = {"cpu": 200_000, "cuda": 64_000_000}
PIXELS_AT_ONCE = {"cpu": 4_000_000, "cuda": 64_000_000}
EMPTY = torch.iinfo(torch.int64).max


@dataclass(frozen=True)
class Fragments:
    """What each pixel shows: a triangle (-1: nothing), where in it, and how deep.

    `barycentrics` (batch, height, width, 3) are the weights of the triangle's corners on the
    surface itself, perspective undone, and zero where nothing is; `depth_mm` is infinite there.
    """

    triangle: Int[Tensor, "batch height width"]
    barycentrics: Float[Tensor, "batch height width 3"]
    depth_mm: Float[Tensor, "batch height width"]

    @property
    def mask(self) -> Bool[Tensor, "batch height width"]:
        """Where there is something."""
        return self.triangle >= 0


def rasterize(
    pixels_xy: Float[Tensor, "batch vertices 2"],
    depth_mm: Float[Tensor, "batch vertices"],
    triangles: Triangles,
    size: tuple[int, int],
    *,
    perspective: bool = True,
    cull: bool = False,
) -> Fragments:
    """Draw meshes of one topology: what `Camera.project` gives, on pictures of (height, width).

    `perspective` says which camera it was, so that places on a triangle are found as that camera
    sees them. `cull` leaves out triangles that show their back, clockwise in the picture: for a
    closed surface nothing changes but the time. Barycentrics and depth are differentiable in the
    pixels and depths of the vertices; the outline is not.

    Raises `GeometryError` when vertices aren't finite or triangles name none of them, and
    `ParameterError` for a picture without pixels.
    """
    _require_mesh(pixels_xy, depth_mm, triangles)
    if min(size) < 1:
        raise ParameterError(
            f"a picture of {size[1]} x {size[0]} pixels is impossible; give (height, width) of at "
            "least 1"
        )
    rules = _Rules(size, perspective, cull)
    at_once = max(1, TRIANGLES_AT_ONCE[_device(pixels_xy)] // max(1, len(triangles)))
    parts = [
        _fragments(
            _visible(xy.detach(), depth.detach(), triangles, rules),
            xy,
            depth,
            triangles,
            perspective,
        )
        for xy, depth in zip(pixels_xy.split(at_once), depth_mm.split(at_once), strict=True)
    ]
    if len(parts) == 1:
        return parts[0]
    return Fragments(
        *(torch.cat([getattr(p, field.name) for p in parts]) for field in fields(Fragments))
    )


def _device(tensor: Tensor) -> str:
    return "cpu" if tensor.device.type == "cpu" else "cuda"


def _require_mesh(pixels_xy: Tensor, depth_mm: Tensor, triangles: Tensor) -> None:
    if not (torch.isfinite(pixels_xy).all() and torch.isfinite(depth_mm).all()):
        raise GeometryError(
            "the mesh has vertices that aren't finite (NaN or infinity); look at what computed them"
        )
    if len(triangles) and not (triangles.min() >= 0 and triangles.max() < pixels_xy.shape[1]):
        raise GeometryError(
            f"the triangles name vertices {int(triangles.min())} to {int(triangles.max())}, but "
            f"the mesh has 0 to {pixels_xy.shape[1] - 1}; give the triangles of this mesh"
        )


class _Rules(NamedTuple):
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
    return field[which]


def _visible(
    pixels_xy: Tensor, depth_mm: Tensor, triangles: Tensor, rules: _Rules
) -> Int[Tensor, "batch height width"]:
    """Return the index of the triangle that each pixel shows, or -1."""
    # A group's square must fit into the picture; a smaller picture gets a margin.
    height, width = (max(n, SIDES[-1]) for n in rules.size)
    buffer = torch.full(
        (len(pixels_xy), height, width), EMPTY, dtype=torch.int64, device=pixels_xy.device
    )
    jobs, counts = _jobs(pixels_xy, depth_mm, triangles, rules)
    for group, side in zip(jobs.split(counts), (*SIDES, None), strict=True):
        at_once = PIXELS_AT_ONCE[_device(buffer)] // (side or SIDES[-1]) ** 2
        for squares in group.slices(at_once) if side else _tiles(group, SIDES[-1], at_once):
            _draw(squares, side or SIDES[-1], buffer, rules.perspective)
    found = buffer[:, : rules.size[0], : rules.size[1]]
    return torch.where(found == EMPTY, -1, found & 0xFFFFFFFF)


def _jobs(
    pixels_xy: Tensor, depth_mm: Tensor, triangles: Tensor, rules: _Rules
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
    near, x, y = (tuple(v.flatten()[kept] for v in corners) for corners in (near, x, y))
    left, top, columns, rows = (v[kept] for v in (left, top, columns, rows))
    key = torch.div(kept, len(pixels_xy), rounding_mode="floor")
    image = kept - key * len(pixels_xy)
    return _Jobs(key, image, left, top, columns, rows, x, y, near), counts


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
    """Test side x side pixels of every job and keep the nearest triangle in the buffer."""
    height, width = buffer.shape[1:]
    left, top = jobs.left.clamp_max(width - side), jobs.top.clamp_max(height - side)
    steps = torch.arange(side, dtype=left.dtype, device=left.device)[:, None]
    inside = _inside(jobs, left + steps, top + steps)
    row, column, job = inside.nonzero().unbind(1)
    near = _near(jobs, left + steps, top + steps)[inside].float()
    corner = (jobs.image * height + top.long()) * width + left.long()
    bits = near.view(torch.int32).long()
    if perspective:
        bits = 0x7FFFFFFF - bits  # the larger 1 / depth is the nearer
    key = (bits << 32) | jobs.key[job]
    buffer.view(-1).scatter_reduce_(0, corner[job] + row * width + column, key, "amin")


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


def _fragments(
    triangle: Tensor,
    pixels_xy: Tensor,
    depth_mm: Tensor,
    triangles: Tensor,
    perspective: bool,
) -> Fragments:
    """Compute where in its triangle each pixel lies, differentiably."""
    at = (triangle >= 0).nonzero().unbind(1)
    _, row, column = at
    corners = _corners(triangle, triangles, at, pixels_xy.shape[1])
    pixel_x, pixel_y, flat = column.to(depth_mm), row.to(depth_mm), depth_mm.flatten()
    x, y = (pixels_xy[..., i].flatten() for i in range(2))
    (ax, bx, cx), (ay, by, cy) = (
        [v[corner] - pixel for corner in corners] for v, pixel in ((x, pixel_x), (y, pixel_y))
    )
    areas = (bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx)
    turned = (areas[0] + areas[1] + areas[2]).detach().sign()
    depths = [flat[corner] for corner in corners]
    # A rounding error may put a centre that lies on an edge a hair outside.
    weights = [(area * turned).clamp_min(0) for area in areas]
    if perspective:
        weights = [weight / depth for weight, depth in zip(weights, depths, strict=True)]
    whole = weights[0] + weights[1] + weights[2]
    weights = [weight / whole for weight in weights]
    depth = sum(weight * depth for weight, depth in zip(weights, depths, strict=True))
    return Fragments(
        triangle,
        flat.new_zeros((*triangle.shape, 3)).index_put(at, torch.stack(weights, dim=1)),
        flat.new_full(triangle.shape, torch.inf).index_put(at, depth),
    )


def _corners(
    triangle: Tensor, triangles: Tensor, at: tuple[Tensor, ...], vertices: int
) -> tuple[Tensor, ...]:
    """Return the corners of the triangles at some pixels, as indices into all images' vertices."""
    shown = triangle[at]
    first = at[0] * vertices if vertices else 0
    return tuple(corner[shown] + first for corner in triangles.unbind(1))


def interpolate(
    fragments: Fragments,
    triangles: Triangles,
    attributes: Float[Tensor, "_ vertices channels"],
) -> Float[Tensor, "batch channels height width"]:
    """Return attributes of the vertices, (batch or 1, vertices, channels), at every pixel.

    Zero where nothing is. Differentiable in the attributes, and through the barycentrics in the
    vertices.
    """
    batch, vertices = len(fragments.triangle), attributes.shape[1]
    if len(attributes) not in (1, batch):
        raise GeometryError(
            f"there are attributes of {len(attributes)} meshes for {batch} pictures; give one for "
            "each, or one for all"
        )
    at = fragments.mask.nonzero().unbind(1)
    corners = _corners(fragments.triangle, triangles, at, 0 if len(attributes) == 1 else vertices)
    weights = fragments.barycentrics[at]
    values = attributes.flatten(0, 1)
    mixed = sum(values[corner] * weights[:, [i]] for i, corner in enumerate(corners))
    pixels = mixed.new_zeros((*fragments.triangle.shape, mixed.shape[1])).index_put(at, mixed)
    return pixels.permute(0, 3, 1, 2)


def nearest_label(
    fragments: Fragments, triangles: Triangles, labels: Int[Tensor, " vertices"]
) -> Int[Tensor, "batch height width"]:
    """Return at every pixel the label of its triangle's nearest corner; -1 where nothing is."""
    at = fragments.mask.nonzero().unbind(1)
    corner = triangles[fragments.triangle[at], fragments.barycentrics[at].argmax(1)]
    empty = torch.full_like(fragments.triangle, -1)
    return empty.index_put(at, labels[corner].to(empty.dtype))


def vertex_normals(vertices: Vertices, triangles: Triangles) -> Vertices:
    """Return unit normals of the vertices: the mean of the faces' around them, weighted by area.

    They point to where a triangle's corners run counter-clockwise. A vertex without a triangle of
    any area has the normal (0, 0, 0). Differentiable.
    """
    # Coordinates first, (3, batch, ...), so that each is one contiguous block.
    planes = vertices.permute(2, 0, 1).contiguous()
    a, b, c = (planes[:, :, corner] for corner in triangles.unbind(1))
    faces = torch.linalg.cross(b - a, c - a, dim=0)
    index = triangles.T.expand(3, len(vertices), *triangles.T.shape)
    faces = faces[:, :, None].expand(index.shape).flatten(2)
    normals = torch.zeros_like(planes).scatter_add(2, index.flatten(2), faces)
    return F.normalize(normals.permute(1, 2, 0), dim=2, eps=1e-20)
