"""Dress a head: hair as a shell over the scalp, and the frames of eyeglasses.

Both are meshes of one topology for all heads, so that a batch is drawn at once. The shell's
vertices are bound to places on the head and lifted from there; where a style has no hair they sink
below the skin, so that the hairline is where the shell meets the head. Eyeglasses that nobody
wears shrink to a point.
"""

import functools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from facelab.geometry.appearance import HAIR_STYLES, Appearance
from facelab.geometry.atlas import CLOTH, FRAMES, HAIR, HAIRLINE, _table, smooth_step
from facelab.geometry.morphable import MorphableModel
from facelab.types import Triangles, Vertices

COLUMNS, SCALP_ROWS, HANGING_ROWS = 72, 20, 8
SUNK_MM = -4.0
RIM_STEPS, TUBE_STEPS = 28, 5
# Volume of a style in millimetres (at hair_volume 0 and 1) and its length (at hair_length 0 and 1).
VOLUME_MM = {
    "bald": (-4, -4),
    "buzz": (-4, -4),
    "short": (4, 12),
    "full": (12, 34),
    "bob": (8, 18),
    "long": (7, 18),
}
LENGTH_MM = {"bob": (45, 95), "long": (120, 240)}


@dataclass(frozen=True)
class Scene:
    """Meshes ready to be drawn: heads with hair and eyeglasses, one topology for the batch.

    `vertices` (batch, V, 3) in millimetres; the first are the head's own, in their order.
    `triangles` (T, 3) have regions, indices into `region_names`, and texture coordinates
    `uv[uv_triangles]`. All face outwards, so that backs need not be drawn; after the first
    `outer_count` come those of thin sheets once more, seen from within.
    """

    vertices: Vertices
    triangles: Triangles
    triangle_regions: Int[Tensor, " triangles"]
    region_names: tuple[str, ...]
    uv: Float[Tensor, "places 2"]
    uv_triangles: Int[Tensor, "triangles 3"]
    outer_count: int


def dress(model: MorphableModel, vertices: Vertices, appearance: Appearance) -> Scene:
    """Return heads (batch, V, 3) of the book's model with hair and eyeglasses.

    One head serves any number of appearances. Differentiable in the vertices and the continuous
    parameters of hair and frames.
    """
    vertices = vertices.expand(len(appearance), -1, -1)
    shell = _shell(model)
    hair = _hair_vertices(shell, vertices, appearance)
    frames = _frame_vertices(model, vertices, appearance)
    count = vertices.shape[1]
    grid, tubes = _hair_triangles(vertices.device), _frame_triangles(vertices.device)
    # Only what hangs is seen from within.
    inner = grid[grid.amin(1) >= (SCALP_ROWS - 3) * (COLUMNS + 1)].flip(1)
    names = (*model.region_names, "hair", "eyeglasses")
    regions = [
        model.triangle_regions,
        torch.full((len(grid),), len(names) - 2, device=vertices.device),
        torch.full((len(tubes),), len(names) - 1, device=vertices.device),
        torch.full((len(inner),), len(names) - 2, device=vertices.device),
    ]
    hair_uv = _hair_uv(vertices.device)
    places = len(model.uv)
    frame_places = torch.full_like(tubes, places + len(hair_uv))
    covered = model.triangle_regions == model.region_names.index("shoulders")
    head_places = torch.where(covered[:, None], places + len(hair_uv) + 1, model.uv_triangles)
    outer = (model.triangles, grid + count, tubes + count + hair.shape[1])
    return Scene(
        vertices=torch.cat([vertices, hair, frames], dim=1),
        triangles=torch.cat([*outer, inner + count]),
        triangle_regions=torch.cat(regions),
        region_names=names,
        uv=torch.cat([model.uv, hair_uv, model.uv.new_tensor([FRAMES, CLOTH])]),
        uv_triangles=torch.cat([head_places, grid + places, frame_places, inner + places]),
        outer_count=sum(len(part) for part in outer),
    )


@dataclass(frozen=True)
class _Shell:
    """Where on the head each vertex of the shell is bound, and which way it is lifted."""

    corners: Int[Tensor, "points 3"]
    weights: Float[Tensor, "points 3"]
    outward: Float[Tensor, "points 3"]
    around: Float[Tensor, " points"]  # degrees from the front, without sign
    hairline_mm: Float[Tensor, " points"]  # height above the hairline


_SHELLS: dict[tuple[str, str], _Shell] = {}


def _shell(model: MorphableModel) -> _Shell:
    key = (model.id, str(model.mean_mm.device))
    if key not in _SHELLS:
        _SHELLS[key] = _bind(model)
    return _SHELLS[key]


def _bind(model: MorphableModel) -> _Shell:
    """Send rays from within the mean head; where they leave it the shell is bound.

    Rows go from the crown to the brow in front, to the lobe at the sides and to the nape behind.
    """
    marks = model.mean_mm[model.landmarks]
    eye_y = marks[36:48, 1].mean()
    origin = torch.stack([eye_y * 0, eye_y + 22, eye_y * 0 - 8])
    turn = torch.linspace(-math.pi, math.pi, COLUMNS + 1).to(origin)
    around = torch.rad2deg(turn).abs()
    lowest = _table(((0, 76), (45, 84), (70, 100), (100, 112), (140, 122), (180, 124)), around)
    share = torch.linspace(0, 1, SCALP_ROWS).to(origin)[:, None]
    polar = torch.deg2rad(share * lowest)
    flat = polar.sin()
    ways = torch.stack([flat * turn.sin(), polar.cos(), flat * turn.cos()], dim=2).flatten(0, 1)
    skin = torch.cat([model.region(n) for n in ("skin", "scalp", "brows", "ears", "neck")])
    corners, weights = _cast(origin, ways, model.mean_mm, model.triangles[skin])
    places = (model.mean_mm[corners] * weights[..., None]).sum(1)
    degrees = torch.rad2deg(torch.atan2(places[:, 0], places[:, 2])).abs()
    line = places[:, 1] - eye_y - _table(HAIRLINE, degrees)
    return _Shell(corners, weights, ways, around.repeat(SCALP_ROWS), line)


def _cast(origin: Tensor, ways: Tensor, points: Tensor, triangles: Tensor) -> tuple[Tensor, Tensor]:
    """Return the triangle's corners and weights where rays first meet a surface.

    A ray passes through a triangle when its volumes with the three edges have one sign; their
    shares are the weights.
    """
    corners = points[triangles] - origin
    edges = torch.linalg.cross(corners.roll(-1, dims=1), corners.roll(-2, dims=1))
    volumes = torch.einsum("rc,tec->rte", ways, edges)
    total = volumes.sum(2)
    weights = volumes / torch.where(total.abs() < 1e-6, 1e-6, total)[..., None]
    # Along a ray the plane through the corners is this far away.
    reach = (corners[:, 0] * edges[:, 0]).sum(1) / torch.where(total.abs() < 1e-6, 1e-6, total)
    met = (weights > -1e-4).all(2) & (reach > 0)
    # Beyond the first layer there are an ear's outside and the shoulders.
    first = torch.where(met, reach, torch.inf).argmin(1)
    return triangles[first], weights[torch.arange(len(ways)), first]


def _of_style(style: Tensor, table: dict[str, tuple[float, float]], share: Tensor) -> Tensor:
    """Return a style's value between its two ends, (batch)."""
    ends = share.new_tensor([table.get(name, (0.0, 0.0)) for name in HAIR_STYLES])[style]
    return ends[:, 0] + share * (ends[:, 1] - ends[:, 0])


def _hair_vertices(
    shell: _Shell, vertices: Vertices, appearance: Appearance
) -> Float[Tensor, "batch _ 3"]:
    """Return the shell's vertices, scalp rows first, then the rows that hang from the last."""
    base = (vertices[:, shell.corners] * shell.weights[None, :, :, None]).sum(2)
    style = appearance.hair_style
    volume = _of_style(style, VOLUME_MM, appearance.hair_volume)[:, None]
    length = _of_style(style, LENGTH_MM, appearance.hair_length)[:, None]
    line = shell.hairline_mm - 28 * appearance.receding[:, None] * smooth_step(
        shell.around, 110, 60
    )
    fringe = appearance.bangs[:, None] * smooth_step(shell.around, 62, 42)
    line = line + (18 + 24 * fringe) * (fringe > 0.05)
    hangs = smooth_step(shell.around, 62, 74) * (length > 0)
    covered = torch.maximum(1 - (1 - smooth_step(line, -2, 26)).square(), hangs)
    bumps = _bumps(appearance, shell.around) * (1 + 5 * appearance.curl[:, None])
    lift = covered * (volume + bumps.clamp_min(-0.6 * volume.abs())) + (1 - covered) * SUNK_MM
    lift = torch.where(volume > 0, lift, SUNK_MM)
    scalp = base + lift[..., None] * shell.outward
    last = scalp[:, -COLUMNS - 1 :]
    steps = torch.arange(1, HANGING_ROWS + 1, device=vertices.device) / HANGING_ROWS
    down = steps[None, :, None] * (length * hangs[:, -COLUMNS - 1 :])[:, None]
    inward = smooth_step(steps, 0.5, 1.0)[None, :, None, None] * 6 * shell.outward[-COLUMNS - 1 :]
    sideways = vertices.new_tensor([1.0, 0.0, 1.0])
    hanging = last[:, None] - inward * sideways * (length > 0)[:, None, None]
    fall = torch.stack([torch.zeros_like(down), -down, torch.zeros_like(down)], dim=-1)
    return torch.cat([scalp, (hanging + fall).flatten(1, 2)], dim=1)


def _bumps(appearance: Appearance, around: Tensor) -> Float[Tensor, "batch points"]:
    """Return how uneven the hair is, in millimetres; the seam at the back closes."""
    rows = []
    for seed in appearance.noise.tolist():
        random = torch.Generator().manual_seed(seed + 5)
        noise = torch.randn(SCALP_ROWS, COLUMNS + 1, generator=random)
        noise[:, -1] = noise[:, 0]
        noise[0] = noise[0, 0]
        rows.append(noise.flatten())
    return torch.stack(rows).to(around) * 0.5


def _grid(rows: int, columns: int) -> Tensor:
    """Return the triangles of a grid of vertices, row by row, counter-clockwise seen from above."""
    corner = torch.arange(rows - 1)[:, None] * columns + torch.arange(columns - 1)
    a = corner.flatten()
    b, c, d = a + 1, a + columns, a + columns + 1
    return torch.cat([torch.stack([a, c, b], 1), torch.stack([b, c, d], 1)])


@functools.cache
def _hair_triangles(device: torch.device) -> Triangles:
    return _grid(SCALP_ROWS + HANGING_ROWS, COLUMNS + 1).to(device)


@functools.cache
def _hair_uv(device: torch.device) -> Float[Tensor, "places 2"]:
    u = torch.linspace(HAIR[0], HAIR[1], COLUMNS + 1)
    v = torch.linspace(HAIR[2], HAIR[3], SCALP_ROWS + HANGING_ROWS)
    return (
        torch.stack([u.expand(len(v), -1), v[:, None].expand(-1, len(u))], 2)
        .flatten(0, 1)
        .to(device)
    )


@functools.cache
def _frame_triangles(device: torch.device) -> Triangles:
    """Return the triangles of two rims, the bridge and two temples: tubes of TUBE_STEPS sides."""
    parts, start = [], 0
    for rings in (RIM_STEPS + 1, RIM_STEPS + 1, 4, 3, 3):
        parts.append(_grid(rings, TUBE_STEPS + 1) + start)
        start += rings * (TUBE_STEPS + 1)
    return torch.cat(parts).flip(1).to(device)


def _frame_vertices(
    model: MorphableModel, vertices: Vertices, appearance: Appearance
) -> Float[Tensor, "batch _ 3"]:
    """Return the frames' vertices, laid on the landmarks of each head."""
    marks = vertices[:, model.landmarks]
    worn = (appearance.eyeglasses > 0).to(vertices)[:, None, None]
    front = torch.maximum(marks[:, [19, 24], 2].mean(1), marks[:, 27, 2] - 3) + 7
    eyes = [marks[:, side].mean(1) for side in (range(36, 42), range(42, 48))]
    radius = vertices.new_tensor([0.0, 1.1, 2.0, 1.5])[appearance.eyeglasses]
    rims = [
        _rim(eye, front, appearance.eyeglasses, side)
        for eye, side in zip(eyes, (-1, 1), strict=True)
    ]
    ends = [
        rim[:, RIM_STEPS // 2 if side < 0 else 0] for rim, side in zip(rims, (-1, 1), strict=True)
    ]
    inner = [
        rim[:, 3 if side < 0 else RIM_STEPS // 2 - 3]
        for rim, side in zip(rims, (-1, 1), strict=True)
    ]
    share = torch.linspace(0, 1, 4).to(vertices)[:, None]
    bridge = inner[0][:, None] + share * (inner[1] - inner[0])[:, None]
    arch = (4 * share * (1 - share))[None] * vertices.new_tensor([0.0, 2.0, 2.0])
    temples = [
        torch.stack([end, _temple(marks, end, side, 0.12), _temple(marks, end, side, 1.0)], dim=1)
        for end, side in zip(ends, (-1, 1), strict=True)
    ]
    lines = [*rims, bridge + arch, *temples]
    middle = marks[:, 27:28]
    tubes = torch.cat([_tube(line, radius) for line in lines], dim=1)
    return middle + worn * (tubes - middle)


def _rim(eye: Tensor, front: Tensor, style: Tensor, side: int) -> Float[Tensor, "batch steps 3"]:
    """Return a closed line about an eye: a superellipse in a plane that leans back outwards."""
    half = eye.new_tensor([[0, 0], [21, 20], [25, 17], [24, 19]])[style]
    power = eye.new_tensor([2.0, 2.0, 4.5, 2.6])[style][:, None]
    turn = torch.linspace(0, 2 * math.pi, RIM_STEPS + 1).to(eye)
    c, s = turn.cos(), turn.sin()
    radius = (c.abs().pow(power) + s.abs().pow(power)).pow(-1 / power)
    x, y = half[:, :1] * radius * c, half[:, 1:] * radius * s
    back = 0.12 * (side * x + half[:, :1])
    z = front[:, None] - back
    return torch.stack([eye[:, :1] + 1.5 * side + x, eye[:, 1:2] - 1 + y, z], dim=2)


def _temple(marks: Tensor, end: Tensor, side: int, share: float) -> Tensor:
    """Return a place on the way from a rim's outer end to above the ear."""
    ear = marks[:, 0 if side < 0 else 16]
    over = torch.stack([ear[:, 0] + 5 * side, ear[:, 1] + 10, ear[:, 2] - 14], dim=1)
    beside = torch.stack([end[:, 0] + 6 * side, end[:, 1] + 3, end[:, 2] - 6], dim=1)
    return beside if share < 0.5 else over


def _tube(line: Float[Tensor, "batch steps 3"], radius: Tensor) -> Vertices:
    """Return the vertices of a tube about a line, (batch, steps (TUBE_STEPS + 1), 3)."""
    ahead = torch.cat([line[:, 1:], 2 * line[:, -1:] - line[:, -2:-1]], dim=1) - line
    closed = (line[:, 0] - line[:, -1]).norm(dim=1, keepdim=True) < 1e-3
    ahead = torch.where(
        closed[..., None]
        & (torch.arange(line.shape[1], device=line.device) == line.shape[1] - 1)[None, :, None],
        ahead[:, :1],
        ahead,
    )
    ahead = torch.nn.functional.normalize(ahead, dim=2, eps=1e-6)
    up = torch.where(
        ahead[..., 2:].abs() > 0.8,
        line.new_tensor([0.0, 1.0, 0.0]),
        line.new_tensor([0.0, 0.0, 1.0]),
    )
    first = torch.nn.functional.normalize(torch.linalg.cross(ahead, up), dim=2, eps=1e-6)
    second = torch.linalg.cross(ahead, first)
    turn = torch.linspace(0, 2 * math.pi, TUBE_STEPS + 1).to(line)
    ring = first[:, :, None] * turn.cos()[:, None] + second[:, :, None] * turn.sin()[:, None]
    return (line[:, :, None] + radius[:, None, None, None] * ring).flatten(1, 2)
