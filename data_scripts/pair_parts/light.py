"""What a picture says of skin and light, in closed form, when the head in it is known already.

A pixel of linear colour I shows a surface of albedo a and normal n under E(n), the light of nine
harmonics: I = a E(n) / pi. Skin is lit pigment, so that log a falls along two known colours with
melanin and haemoglobin (`painting.skin_colour`); with a level of the light and Gaussian priors both
follow from the mean logarithm of the face's colour. Then the albedo of each pixel is known, and the
harmonics are least squares. A dark face in much light and a pale one in little look alike but for
the colour: it is the priors that choose.

A hundred times faster than `geometry/pixel_fit.py`, and without a gradient.
"""

import dataclasses
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from facelab.geometry.appearance import Appearance, plain
from facelab.geometry.fit_result import FitResult
from facelab.geometry.lighting import DIFFUSE, Light, spherical_harmonics
from facelab.geometry.morphable import MorphableModel
from facelab.geometry.painting import BARE_SKIN, HAEMOGLOBIN, SKIN_MELANIN, textures
from facelab.geometry.rasterize import render_channels
from facelab.types import Image, Vertices

Logs = Float[Tensor, "batch 3"]
# Means and deviations a priori: melanin, haemoglobin and the logarithm of the light's level; how
# far the light's colour is from white, as a logarithm.
SKIN_PRIOR = ((0.30, 0.42, math.log(0.6)), (0.22, 0.12, 0.45))
TINT = (0.10, 0.10, 0.10)
# Deviation of the harmonics of order 1 and 2 as shares of the level, and of a pixel's albedo.
ORDERS, ALBEDO_NOISE = (0.5, 0.25), 0.25
OUTLIER = 0.6
LAMP = 0.6  # how much of what a lamp could give is given to a lamp, which shines and casts shadows
REWEIGHED = 3  # times that pixels which don't fit are trusted less
DARKEST = 0.002  # linear: what is below says nothing


@dataclass(frozen=True)
class Canvas:
    """What the known heads are at each pixel of their pictures.

    `linear` (batch, 3, side, side) are the photographs' own colours, linear; `normals` and `uv` as
    in `rasterize.Channels`; `regions` are indices of the model's region names, -1 where no head is.
    """

    linear: Float[Tensor, "batch 3 side side"]
    normals: Float[Tensor, "batch 3 side side"]
    uv: Float[Tensor, "batch 2 side side"]
    regions: Int[Tensor, "batch side side"]

    def shows(self, model: MorphableModel, *names: str) -> Bool[Tensor, "batch side side"]:
        """Return where these regions are seen, and bright enough to say something."""
        wanted = torch.tensor([model.region_names.index(name) for name in names])
        return torch.isin(self.regions, wanted) & (self.linear.amax(1) > DARKEST)


def to_linear(images: Image) -> Image:
    """Return the linear colours of pictures: what `render.to_srgb` and `compress` undo."""
    coded = (images.clamp(-1, 1) + 1) / 2
    linear = torch.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    over = ((linear - 0.7) / 0.3).clamp(0, 0.95)
    return torch.where(linear > 0.7, 0.7 - 0.3 * torch.log1p(-over), linear)


def canvas(model: MorphableModel, fitted: FitResult, vertices: Vertices, images: Image) -> Canvas:
    """Return what bare heads are at each pixel of the photographs that they were fitted to."""
    drawn = render_channels(
        fitted.camera, vertices, model.triangles, torch.zeros_like(vertices),
        size=images.shape[2:], regions=model.triangle_regions, uv=model.uv,
        uv_triangles=model.uv_triangles, samples=1, cull=True,
    )  # fmt: skip
    return Canvas(to_linear(images), drawn.normals, drawn.uv, drawn.regions)


def posterior(
    seen: Logs,
    fixed: Logs,
    directions: Float[Tensor, "3 unknowns"],
    prior: tuple[Float[Tensor, "batch unknowns"], Float[Tensor, " unknowns"]],
    noise: Float[Tensor, "3"],
) -> Float[Tensor, "batch unknowns"]:
    """Return the most probable x of seen = fixed + directions x + noise, Gaussian all along.

    `prior` are the means and the deviations of x, `noise` that of each number seen.
    """
    mean, deviation = prior
    scaled = directions / noise[:, None]
    curvature = scaled.T @ scaled + torch.diag(deviation.pow(-2))
    off = (seen - fixed - mean @ directions.T) / noise
    return mean + torch.linalg.solve(curvature, (off @ scaled).T).T


def mean_log(linear: Float[Tensor, "batch 3 side side"], where: Tensor) -> Logs:
    """Return the mean logarithm of the colours of some pixels, without the odd fifth either way."""
    logs = torch.where(where[:, None], linear.clamp_min(DARKEST).log(), torch.nan).flatten(2)
    low, high = logs.nanquantile(torch.tensor([0.2, 0.8]), dim=2, keepdim=True)
    return torch.where((logs >= low) & (logs <= high), logs, torch.nan).nanmean(2)


def skin(model: MorphableModel, seen: Canvas) -> tuple[Appearance, Float[Tensor, " batch"]]:
    """Return bald heads with the skin of the photographs, and the level of the light on them."""
    logs = mean_log(seen.linear, seen.shows(model, "skin"))
    bare = logs.new_tensor(BARE_SKIN).log()
    taken = logs.new_tensor([SKIN_MELANIN, HAEMOGLOBIN])
    directions = torch.cat([-taken, torch.ones(1, 3)]).T
    mean, deviation = logs.new_tensor(SKIN_PRIOR)
    found = posterior(
        logs,
        bare.expand_as(logs),
        directions,
        (mean.expand(len(logs), 3), deviation),
        logs.new_tensor(TINT),
    )
    looks = dataclasses.replace(
        plain(len(logs)),
        melanin=found[:, 0].clamp(0.03, 0.9),
        haemoglobin=found[:, 1].clamp(0.1, 0.9),
    )
    return looks, found[:, 2].exp()


def light(
    model: MorphableModel, seen: Canvas, looks: Appearance, level: Float[Tensor, " batch"]
) -> Light:
    """Return the harmonics that explain the face's pixels best, given its albedo; no lamp.

    Pixels that fit badly, as hair over the brow does, count less (Geman and McClure's weights).
    """
    grid = seen.uv.permute(0, 2, 3, 1) * 2 - 1
    albedo = F.grid_sample(
        textures(looks)[:, :3], grid, padding_mode="border", align_corners=False
    ).flatten(2)
    harmonics = spherical_harmonics(seen.normals.permute(0, 2, 3, 1)).flatten(1, 2)
    design = harmonics * (harmonics.new_tensor(DIFFUSE) / math.pi)
    where = seen.shows(model, "skin", "lips", "brows").flatten(1).float()
    usual = Light.ambient(1.0).harmonics * level[:, None, None]
    spread = torch.cat(
        [torch.full((n,), s) for n, s in zip((1, 3, 5), (2.0, *ORDERS), strict=True)]
    )
    precision = torch.diag_embed((spread * level[:, None]).pow(-2))
    goal = (seen.linear.flatten(2) / albedo.clamp_min(0.02)).mT  # E(n) / pi as each pixel has it
    weight, found = where, usual
    for _ in range(REWEIGHED):
        trust = weight / (ALBEDO_NOISE * level[:, None]).square()
        normal = torch.einsum("bpk,bp,bpl->bkl", design, trust, design) + precision
        right = torch.einsum("bpk,bp,bpc->bkc", design, trust, goal) + precision @ usual
        found = torch.linalg.solve(normal, right)
        off = (design @ found - goal).square().mean(2) / (OUTLIER * level[:, None]).square()
        weight = where / (1 + off).square()
    ahead = torch.tensor([[0.0, 0.0, 1.0]]).expand(len(found), 3)
    return Light(found, ahead, torch.zeros_like(ahead))


def with_lamp(found: Light) -> Light:
    """Return nearly the same light on matt skin, part of it from a lamp that shines on gloss.

    A lamp of intensity I facing d lights a surface by I max(0, n.d), whose harmonics of order 1
    are those of a level I / 2; they are taken from the others.
    """
    first = found.harmonics[:, 1:4] * (2 / 3 * math.sqrt(3 / (4 * math.pi)))  # of y, z, x
    slope = first.mean(2)[:, [2, 0, 1]]
    direction = F.normalize(slope, dim=1, eps=1e-6)
    still = slope.norm(dim=1, keepdim=True) < 1e-4
    direction = torch.where(still, found.direction, direction)
    strength = torch.einsum("bkc,bk->bc", first[:, [2, 0, 1]], direction).clamp_min(0)
    lamp = 2 * LAMP * strength
    glow = Light.from_direction(direction, 0.0, 0.0, 1.0625 * lamp)  # 1/4 + 1/2 + 5/16
    return Light(found.harmonics - glow.harmonics, direction, lamp)
