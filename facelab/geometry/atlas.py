"""Where on a head a texel lies: the maps from which appearance paints a texture.

The texture of a head is a square picture. Each of its texels shows one place of the surface, and
on the mean head that place has a position in millimetres. Zones such as a beard's or freckles' are
told from that position and the landmarks, so that they fit every identity: a texel keeps its place
on the face when the face changes its shape.
"""

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facelab.errors import GeometryError
from facelab.geometry.morphable import MorphableModel, anny_head
from facelab.geometry.rasterize import interpolate, rasterize

SIZE = 256
# Free places of the head's texture: hair (u and v, low and high), the frames of eyeglasses and
# clothes over the shoulders, where the unrolled skin lies in several layers.
HAIR = (0.62, 0.99, 0.87, 0.985)
FRAMES, CLOTH = (0.20, 0.925), (0.36, 0.925)
# A hairline: degrees around the head from its front, millimetres above the eyes.
HAIRLINE = ((0, 70), (35, 64), (58, 40), (75, 15), (95, 22), (115, -15), (180, -55))
# A beard's upper edge, in degrees and in millimetres above the corners of the mouth.
BEARDLINE = ((0, -11), (22, -9), (34, 0), (55, 6), (72, 36), (78, 52))

Map = Float[Tensor, "rows columns"]
Box = tuple[slice, slice]  # rows and columns of a texture


@dataclass(frozen=True)
class Atlas:
    """Maps of a head's texture, each (SIZE, SIZE), zones between 0 and 1.

    `positions` (SIZE, SIZE, 3) are places on the mean head in millimetres, `around` the degrees
    about its vertical axis, 0 in front; `brow_mm` is the distance from the middle line of the
    nearer brow and `brow_along` runs along it from 0 at the nose to 1; `eye_angle` is the angle
    from an eye's axis in radians and `eye_turn` that around it. `occlusion` is the share of
    directions in which a place sees the sky. `boxes` has for each zone the rows and columns
    outside of which it is 0.
    """

    positions: Float[Tensor, "rows columns 3"]
    around: Map
    zones: dict[str, Map]
    brow_mm: Map
    brow_along: Map
    eye_angle: Map
    eye_turn: Map
    hairline_mm: Map
    occlusion: Map
    boxes: dict[str, Box]

    def to(self, device: str | torch.device) -> "Atlas":
        """Return the maps on another device."""
        return self._map(lambda value: value.to(device))

    def cut(self, zone: str) -> "Atlas":
        """Return the maps within a zone's box."""
        return self._map(lambda value: value[self.boxes[zone]])

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Atlas":
        values = {
            name: {key: change(part) for key, part in value.items()}
            if name == "zones"
            else change(value)
            for name, value in vars(self).items()
            if name != "boxes"
        }
        return Atlas(boxes=self.boxes, **values)


@functools.cache
def head_atlas() -> Atlas:
    """Return the maps of the book's head; about half a second, once."""
    return make_atlas(anny_head())


def make_atlas(model: MorphableModel) -> Atlas:
    """Return the maps of a model with texture coordinates, regions and 68 landmarks.

    Raises `GeometryError` when the model lacks one of them.
    """
    if not (len(model.uv) and len(model.triangle_regions) and len(model.landmarks) == 68):
        raise GeometryError(
            f"{model.id} has no texture coordinates, regions or 68 landmarks, so it can't be "
            "painted; use facelab.geometry.morphable.anny_head()"
        )
    places = _positions_of_places(model)
    drawn = torch.cat([places, _occlusion(model)[_vertices_of_places(model)][:, None]], dim=1)
    maps, found = _unwrap(model, drawn, places)
    region = torch.where(found >= 0, model.triangle_regions[found.clamp_min(0)], -1)
    region = _grow(region[None, None].float() + 1, found[None, None] >= 0)[0, 0] - 1
    filled = _grow(maps[None], found[None, None] >= 0)[0]
    positions, occlusion = filled[:3].permute(1, 2, 0), filled[3]
    marks = model.mean_mm[model.landmarks]
    masks = {name: _soft(region == i) for i, name in enumerate(model.region_names)}
    around = torch.rad2deg(torch.atan2(positions[..., 0], positions[..., 2]))
    brow_mm, brow_along = _brow(positions, marks)
    angle, turn = _eye(model, positions)
    hairline = positions[..., 1] - marks[36:48, 1].mean() - _table(HAIRLINE, around.abs())
    zones = masks | _zones(positions, around.abs(), marks, masks)
    zones |= _wholes(zones, hairline, brow_mm)
    occlusion = F.avg_pool2d(occlusion[None, None], 3, 1, 1, count_include_pad=False)[0, 0]
    boxes = {name: _extent(zone) for name, zone in zones.items()}
    return Atlas(
        positions, around, zones, brow_mm, brow_along, angle, turn, hairline, occlusion, boxes
    )


def box_of(limits: tuple[float, float, float, float], margin: float = 1.5 / SIZE) -> Box:
    """Return the texels of a rectangle (u and v, low and high) and a margin, in shares."""
    u0, u1, v0, v1 = limits
    low, high = ((math.ceil((v - margin) * SIZE - 0.5) for v in (v0, u0)),
                 (math.floor((v + margin) * SIZE - 0.5) for v in (v1, u1)))  # fmt: skip
    rows, columns = (
        slice(max(first, 0), min(last, SIZE - 1) + 1) for first, last in zip(low, high, strict=True)
    )
    return rows, columns


def _extent(zone: Map) -> Box:
    """Return the box outside of which a zone is 0; a zone that is 0 everywhere gets one texel."""
    rows, columns = (torch.nonzero((zone > 0).any(dim))[:, 0].tolist() or [0] for dim in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _wholes(zones: dict[str, Map], hairline_mm: Map, brow_mm: Map) -> dict[str, Map]:
    """Return zones that hold others, so that what is painted together has one box."""
    head = (zones["scalp"] + zones["any_skin"]).clamp(max=1)
    return {
        "bearded": torch.maximum(zones["beard"], zones["moustache"]),
        "browed": (brow_mm < 9).float(),
        "eyeball": (zones["eyes"] + zones["iris"]).clamp(max=1),
        "hairy": head * (hairline_mm > -14),
    }


def smooth_step(x: Tensor, low: float, high: float) -> Tensor:
    """Return 0 below `low`, 1 above `high` and a smooth rise between; `high` may be the lower."""
    share = ((x - low) / (high - low)).clamp(0, 1)
    return share * share * (3 - 2 * share)


def _table(points: tuple[tuple[float, float], ...], x: Tensor) -> Tensor:
    """Interpolate a table of (x, y) linearly."""
    found = torch.full_like(x, points[0][1])
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        found = torch.where(x >= x0, y0 + (y1 - y0) * ((x - x0) / (x1 - x0)).clamp(max=1), found)
    return found


def _vertices_of_places(model: MorphableModel) -> Tensor:
    """Return the vertex that each texture coordinate belongs to."""
    vertices = torch.zeros(len(model.uv), dtype=torch.long)
    vertices[model.uv_triangles.flatten()] = model.triangles.flatten()
    return vertices


def _positions_of_places(model: MorphableModel) -> Float[Tensor, "places 3"]:
    return model.mean_mm[_vertices_of_places(model)]


def _unwrap(model: MorphableModel, values: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Draw values of texture coordinates over the atlas; the outermost surface is on top."""
    depth = 2000 - places[:, [0, 2]].norm(dim=1)
    fragments = rasterize(
        (model.uv * SIZE - 0.5)[None],
        depth[None],
        model.uv_triangles,
        (SIZE, SIZE),
        perspective=False,
    )
    return interpolate(fragments, model.uv_triangles, values[None])[0], fragments.triangle[0]


def _grow(values: Tensor, known: Tensor, steps: int = 12) -> Tensor:
    """Fill texels that show nothing from their neighbours, so that no seam is seen."""
    known = known.to(values)
    for _ in range(steps):
        total = F.avg_pool2d(known, 3, 1, 1)
        mean = F.avg_pool2d(values * known, 3, 1, 1) / total.clamp_min(1e-9)
        values = torch.where(known > 0, values, mean)
        known = (total > 0).to(values)
    return values


def _soft(mask: Tensor) -> Map:
    """Blur a region's edge by about a texel."""
    kernel = mask.new_tensor([1.0, 2.0, 1.0], dtype=torch.float32) / 4
    padded = F.pad(mask.float()[None, None], (1, 1, 1, 1), mode="replicate")
    across = F.conv2d(padded, kernel.view(1, 1, 1, 3))
    return F.conv2d(across, kernel.view(1, 1, 3, 1))[0, 0]


def _occlusion(model: MorphableModel, directions: int = 48, size: int = 160) -> Tensor:
    """Return for each vertex of the mean head the share of directions that nothing hides."""
    from facelab.geometry.lighting import cast_shadows
    from facelab.geometry.rasterize import vertex_normals

    steps = torch.arange(directions) + 0.5
    z = 1 - 2 * steps / directions
    turn = steps * 2.399963  # the golden angle: directions spread evenly over the sphere
    flat = (1 - z * z).sqrt()
    directions_to = torch.stack([flat * turn.cos(), z, flat * turn.sin()], dim=1)
    vertices = model.mean_mm[None]
    normals = vertex_normals(vertices, model.triangles)
    seen, facing = torch.zeros(vertices.shape[1]), torch.full((vertices.shape[1],), 1e-6)
    for direction in directions_to.split(1):
        weight = (normals[0] @ direction[0]).clamp_min(0)
        visible = cast_shadows(
            vertices, model.triangles, vertices, normals, direction, size_px=size
        )[0]
        seen, facing = seen + weight * visible, facing + weight
    return seen / facing


def _brow(positions: Tensor, marks: Tensor) -> tuple[Map, Map]:
    """Return the distance from the nearer brow's middle line, and the place along it."""
    best = torch.full(positions.shape[:2], 1e6)
    along = torch.zeros_like(best)
    for side in (marks[17:22].flip(0), marks[22:27]):  # from the nose outwards
        for step, (a, b) in enumerate(itertools.pairwise(side)):
            share = ((positions - a) @ (b - a) / (b - a).square().sum()).clamp(0, 1)
            away = (positions - a - share[..., None] * (b - a)).norm(dim=-1)
            nearer = away < best
            best = torch.where(nearer, away, best)
            along = torch.where(nearer, (step + share) / 4, along)
    return best, along


def _eye(model: MorphableModel, positions: Tensor) -> tuple[Map, Map]:
    """Return the angle from the eyes' axis and that around it, for texels of the eyes' disc."""
    eyes = torch.cat([model.region("eyes"), model.region("iris")])
    left = model.mean_mm[model.triangles[eyes].unique()]
    left = left[left[:, 0] > 0]
    centre = (left.amin(0) + left.amax(0)) / 2
    offset = positions * positions.new_tensor([1.0, 1.0, 1.0])
    offset = torch.cat([offset[..., :1].abs(), offset[..., 1:]], dim=-1) - centre
    flat = offset[..., :2].norm(dim=-1)
    return torch.atan2(flat, offset[..., 2]), torch.atan2(offset[..., 1], offset[..., 0])


def _zones(
    positions: Tensor, around: Tensor, marks: Tensor, masks: dict[str, Map]
) -> dict[str, Map]:
    """Return the zones of the skin that appearance paints."""
    x, y, z = positions.unbind(-1)
    x = x.abs()
    corner, nose, chin = marks[54], marks[33], marks[8]
    cheek = marks[[13, 14]].mean(0)
    skin = (masks["skin"] + masks["ears"] + masks["neck"] + masks["brows"]).clamp(max=1)
    face = (skin - masks["ears"]).clamp(min=0) * (1 - masks["lips"])
    above = y - corner[1] - _table(BEARDLINE, around)
    low = smooth_step(y, float(chin[1]) - 38, float(chin[1]) - 12)
    beard = smooth_step(above, 4, -4) * low * smooth_step(around, 96, 82) * face
    lip_x = float(corner[0])
    moustache = (
        smooth_step(y, float(nose[1]) + 1, float(nose[1]) - 3)
        * smooth_step(y, float(corner[1]) - 6, float(corner[1]) + 1)
        * smooth_step(x, lip_x + 7, lip_x)
    )
    moustache = moustache * smooth_step(z, 40, 60) * face
    goatee = smooth_step(x, 22, 14) * beard * smooth_step(z, 40, 60)

    def blob(centre: Tensor, width: float, height: float) -> Map:
        far = ((x - centre[0]) / width).square() + ((y - centre[1]) / height).square()
        return torch.exp(-far) * (z > 20)

    eye = marks[42:48].mean(0)
    apple = torch.stack([marks[45, 0] - 4, (eye[1] + nose[1]) / 2 - 4])
    return {
        "any_skin": skin,
        "beard": beard,
        "moustache": moustache,
        "goatee": goatee.clamp(max=1),
        "freckles": (blob(apple, 22, 14) + blob(marks[29][:2], 12, 14)).clamp(max=1) * face,
        "cheeks": blob(apple + apple.new_tensor([6.0, -4.0]), 20, 15) * face,
        "bags": blob(eye[:2] - eye.new_tensor([2.0, 11.0]), 15, 5) * face,
        "eye_shadow": blob(eye[:2] + eye.new_tensor([1.0, 8.0]), 18, 7) * face,
        "lids": _lid_line(positions, marks),
        "forehead": blob(torch.stack([cheek[0] * 0, eye[1] + 50]), 45, 18) * face,
        "clothes": smooth_step(y - 0.25 * x, float(chin[1]) - 47, float(chin[1]) - 51),
    }


def _lid_line(positions: Tensor, marks: Tensor) -> Map:
    """Return 1 on the edges of the lids, where lashes grow, more on the upper lid."""
    place = torch.cat([positions[..., :1].abs(), positions[..., 1:]], dim=-1)
    found = torch.zeros(positions.shape[:2])
    for ends, weight in (((42, 43), 1), ((43, 44), 1), ((44, 45), 1), ((45, 46), 0.5),
                         ((46, 47), 0.5), ((47, 42), 0.5)):  # fmt: skip
        a, b = marks[ends[0]], marks[ends[1]]
        share = ((place - a) @ (b - a) / (b - a).square().sum()).clamp(0, 1)
        away = (place - a - share[..., None] * (b - a)).norm(dim=-1)
        found = torch.maximum(found, weight * smooth_step(away, 2.6, 0.9))
    return found
