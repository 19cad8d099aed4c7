"""Light: second-order spherical harmonics for what comes from all around, one directional light.

Normals and directions are in world space (y up, a head looks along +z). Colours are linear: twice
the value is twice the light. Radiance is measured so that a white surface under an ambient light of
level 1, or facing a directional light of intensity 1, shows its albedo.

Ramamoorthi and Hanrahan, An Efficient Representation for Irradiance Environment Maps (2001).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.geometry.camera import Camera, Rotation
from facelab.geometry.rasterize import rasterize
from facelab.types import Triangles, Vertices

# A_l of equation 8 in the paper, the share of order l that a diffuse surface lets through, once per
# coefficient: pi, 2 pi / 3 and pi / 4.
DIFFUSE = (math.pi, *(2 * math.pi / 3,) * 3, *(math.pi / 4,) * 5)
# Up to this slope the bias of a shadow test grows with tan(angle to the light).
STEEPEST = 8.0


def spherical_harmonics(normals: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points 9"]:
    """Return the nine real harmonics up to order 2 at unit vectors (..., 3).

    In the order Y00, Y1-1, Y10, Y11, Y2-2, Y2-1, Y20, Y21, Y22, that is 1, y, z, x, xy, yz,
    3z^2 - 1, xz, x^2 - y^2 times the constants of Ramamoorthi and Hanrahan (2001), equation 3.
    """
    x, y, z = normals.unbind(-1)
    first = math.sqrt(3 / (4 * math.pi))  # 0.488603
    second = math.sqrt(15 / (4 * math.pi))  # 1.092548
    return torch.stack(
        [
            torch.full_like(x, math.sqrt(1 / (4 * math.pi))),  # 0.282095
            first * y,
            first * z,
            first * x,
            second * x * y,
            second * y * z,
            math.sqrt(5 / (16 * math.pi)) * (3 * z * z - 1),  # 0.315392
            second * x * z,
            second / 2 * (x * x - y * y),  # 0.546274
        ],
        dim=-1,
    )


def irradiance(
    normals: Float[Tensor, "batch *points 3"], coefficients: Float[Tensor, "#batch 9 3"]
) -> Float[Tensor, "batch *points 3"]:
    """Return the light that falls on surfaces with these unit normals, from all around.

    E(n) = sum over l, m of A_l L_lm Y_lm(n), equation 9 of Ramamoorthi and Hanrahan (2001);
    `coefficients` are L_lm for red, green and blue, in the order of `spherical_harmonics`. Radiance
    1 from everywhere gives pi.
    """
    weighted = coefficients * coefficients.new_tensor(DIFFUSE)[:, None]
    harmonics = spherical_harmonics(normals).flatten(1, -2)
    return (harmonics @ weighted).unflatten(1, normals.shape[1:-1])


class Preset(NamedTuple):
    """A directional light, where it stands, and what comes from around."""

    direction: tuple[float, float, float]
    intensity: float
    ambient: float
    glow: float  # a broad light from the same side, of this level on a surface that faces it


# Left and right are the head's own; seen from the front its left is the right of the picture.
PRESETS = {
    "frontal": Preset((0.0, 0.25, 1.0), 0.55, 0.35, 0.15),
    "left": Preset((1.0, 0.25, 0.45), 0.75, 0.20, 0.20),
    "right": Preset((-1.0, 0.25, 0.45), 0.75, 0.20, 0.20),
    "top": Preset((0.0, 1.0, 0.35), 0.75, 0.25, 0.20),
    "bottom": Preset((0.0, -1.0, 0.6), 0.60, 0.20, 0.20),
    "three-quarter": Preset((0.7, 0.6, 0.75), 0.70, 0.25, 0.20),
    "backlit": Preset((0.35, 0.6, -1.0), 0.90, 0.30, 0.15),
    "overcast": Preset((0.0, 1.0, 0.2), 0.10, 0.55, 0.35),
}


@dataclass(frozen=True)
class Light:
    """What lights each head of a batch, in world space; a batch of one serves any number.

    `harmonics` (batch, 9, 3) are the coefficients L_lm of the radiance from all around, in the
    order of `spherical_harmonics`; `direction` (batch, 3) points towards the directional light, a
    unit vector; `intensity` (batch, 3) is its colour.

    Raises `ParameterError` when a value isn't finite, a direction isn't a unit vector or an
    intensity is negative.
    """

    harmonics: Float[Tensor, "batch 9 3"]
    direction: Float[Tensor, "batch 3"]
    intensity: Float[Tensor, "batch 3"]

    def __post_init__(self) -> None:
        for name in ("harmonics", "direction", "intensity"):
            if not torch.isfinite(getattr(self, name)).all():
                raise ParameterError(f"the light's {name} has a value that isn't finite; give one")
        if not ((self.direction.detach().norm(dim=1) - 1).abs() < 1e-3).all():
            raise ParameterError(
                "the direction to a light must be a unit vector; divide it by its length"
            )
        if not (self.intensity >= 0).all():
            raise ParameterError("a light can't have a negative intensity; give 0 to turn it off")

    @classmethod
    def ambient(cls, level: float = 1.0, *, batch: int = 1) -> "Light":
        """Return white light of the same `level` from everywhere, and nothing else."""
        return cls.from_direction(torch.tensor([[0.0, 0.0, 1.0]]).expand(batch, 3), 0.0, level)

    @classmethod
    def from_direction(
        cls,
        direction: Float[Tensor, "batch 3"],
        intensity: float | Float[Tensor, "batch 3"] = 0.7,
        ambient: float | Float[Tensor, "batch 3"] = 0.3,
        glow: float | Float[Tensor, "batch 3"] = 0.0,
    ) -> "Light":
        """Return a directional light with light from around it.

        `direction` points to the light and need not have length 1. `ambient` comes from everywhere;
        `glow` is a broad light about the direction, of that level on a surface that faces it: the
        harmonics of a distant lamp, which a diffuse surface can't tell from a soft box.
        """
        if not (direction.detach().norm(dim=1) > 1e-9).all():
            raise ParameterError("a light has no direction of length 0; give where it comes from")
        towards = F.normalize(direction, dim=1)
        ambient, glow, intensity = (
            torch.as_tensor(v).to(towards).expand_as(towards) for v in (ambient, glow, intensity)
        )
        basis = spherical_harmonics(towards)
        facing = (basis.square() * basis.new_tensor(DIFFUSE)).sum(1, keepdim=True)
        lamp = basis[:, :, None] * (math.pi / facing)[:, :, None] * glow[:, None]
        even = F.pad(ambient[:, None] * math.sqrt(4 * math.pi), (0, 0, 0, 8))
        return cls(lamp + even, towards, intensity)

    @classmethod
    def preset(cls, name: str, *, batch: int = 1) -> "Light":
        """Return a light by its name in `PRESETS`. Raises `ParameterError` when there is none."""
        if name not in PRESETS:
            raise ParameterError(
                f"there is no light called {name!r}; choose one of: {', '.join(PRESETS)}"
            )
        preset = PRESETS[name]
        direction = torch.tensor([preset.direction]).expand(batch, 3)
        return cls.from_direction(direction, preset.intensity, preset.ambient, preset.glow)


def shade(
    albedo: Float[Tensor, "#batch *points 3"],
    normals: Float[Tensor, "batch *points 3"],
    light: Light,
    visibility: Float[Tensor, "batch *points"] | None = None,
) -> Float[Tensor, "batch *points 3"]:
    """Return the colour of a diffuse surface: albedo (E(n) / pi + intensity max(0, n.d) visible).

    Colours and unit normals have their channels last, per vertex or per pixel; all in world space
    and linear. `visibility` says how much of the directional light arrives, 0 in shadow and 1
    without; light from around is not shadowed. Negative light, which harmonics of order 2 can
    give opposite a strong lamp, counts as none. Differentiable in everything.
    """
    around = irradiance(normals, light.harmonics).clamp_min(0) / math.pi
    facing = (normals.flatten(1, -2) @ light.direction[:, :, None]).clamp_min(0)
    if visibility is not None:
        facing = facing * visibility.flatten(1)[:, :, None]
    direct = (facing * light.intensity[:, None]).unflatten(1, normals.shape[1:-1])
    return albedo * (around + direct)


@torch.no_grad()
def cast_shadows(
    vertices_mm: Vertices,
    triangles: Triangles,
    points_mm: Float[Tensor, "batch *points 3"],
    normals: Float[Tensor, "batch *points 3"],
    direction: Float[Tensor, "#batch 3"],
    *,
    size_px: int = 256,
) -> Float[Tensor, "batch *points"]:
    """Return how much of a directional light reaches points of a scene: 0 in shadow, 1 in light.

    The mesh, (batch, vertices, 3) in mm, is drawn as the light sees it, orthographically, and a
    point is in shadow where that picture has something nearer (Williams, Casting Curved Shadows on
    Curved Surfaces, 1978). Four of its pixels vote, weighted as in bilinear interpolation, so that
    a shadow's edge is one of them wide. The bias that keeps a surface from shading itself grows
    with its slope. Points are in world space, per vertex or per pixel. Not differentiable.
    """
    camera = _light_camera(vertices_mm, direction, size_px)
    pixels_xy, depth_mm = camera.project(vertices_mm)
    nearest_mm = rasterize(
        pixels_xy, depth_mm, triangles, (size_px, size_px), perspective=False
    ).depth_mm
    flat_xy, flat_depth = camera.project(points_mm.flatten(1, -2))
    cosine = (normals.flatten(1, -2) @ direction[:, :, None])[..., 0].clamp_min(1e-6)
    slope = ((1 - cosine.square()).clamp_min(0).sqrt() / cosine).clamp_max(STEEPEST)
    texel_mm = 1 / camera.scale_px_per_mm[:, None]
    visibility = _vote(nearest_mm, flat_xy, flat_depth - texel_mm * (0.5 + 1.5 * slope))
    return visibility.unflatten(1, points_mm.shape[1:-1])


def _vote(
    nearest_mm: Float[Tensor, "batch height width"],
    pixels_xy: Float[Tensor, "batch points 2"],
    depth_mm: Float[Tensor, "batch points"],
) -> Float[Tensor, "batch points"]:
    """Return the share of the four pixels about each point that have nothing nearer than it."""
    height, width = nearest_mm.shape[1:]
    corner = pixels_xy.floor()
    right, down = (pixels_xy - corner).unbind(-1)
    x, y = corner.long().unbind(-1)
    votes = torch.zeros_like(depth_mm)
    for dx, across in ((0, 1 - right), (1, right)):
        for dy, along in ((0, 1 - down), (1, down)):
            index = (y + dy).clamp(0, height - 1) * width + (x + dx).clamp(0, width - 1)
            votes += across * along * (nearest_mm.flatten(1).gather(1, index) >= depth_mm)
    return votes


def _light_camera(
    vertices_mm: Vertices, direction: Float[Tensor, "#batch 3"], size_px: int
) -> Camera:
    """Return the orthographic camera that looks along the light and just sees the whole mesh."""
    low, high = vertices_mm.amin(1), vertices_mm.amax(1)
    middle = (low + high) / 2
    radius = (vertices_mm - middle[:, None]).norm(dim=2).amax(1).clamp_min(1e-3)
    rotation = _looking_along(-direction).expand(len(vertices_mm), 3, 3)
    translation = -(rotation @ middle[:, :, None])[..., 0]
    # The origin must have a positive depth for the scale, and so must every vertex.
    back = radius * 2 + middle.norm(dim=1)
    translation = translation + F.pad(back[:, None], (2, 0))
    return Camera(
        kind="orthographic",
        focal_px=(size_px - 3) / (2 * radius) * translation[:, 2],
        centre_px=torch.full_like(translation[:, :2], (size_px - 1) / 2),
        rotation=rotation,
        translation_mm=translation,
    )


def _looking_along(forward: Float[Tensor, "batch 3"]) -> Rotation:
    """Return a rotation to camera space whose z is `forward`; where x points is of no account."""
    helper = F.one_hot(forward.abs().argmin(1), 3).to(forward)
    right = F.normalize(torch.linalg.cross(helper, forward), dim=1)
    return torch.stack([right, torch.linalg.cross(forward, right), forward], dim=1)
