"""Which hair a picture shows: every cut is laid over the known head, and the best one stays.

A cut is right when one colour explains the pixels that it covers, the skin those that it leaves
bare, and the background the rest.
"""

import dataclasses
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from data_scripts.pair_parts.light import mean_log, posterior, to_linear
from facelab.geometry.appearance import HAIR_STYLES, Appearance
from facelab.geometry.camera import Camera, Rotation
from facelab.geometry.lighting import Light
from facelab.geometry.morphable import MorphableModel
from facelab.geometry.painting import (
    BARE_HAIR,
    EUMELANIN,
    GREY_HAIR,
    PHEOMELANIN,
    hair_colour,
    textures,
)
from facelab.geometry.rasterize import draw, region_map
from facelab.geometry.render import portrait
from facelab.geometry.scene import dress
from facelab.types import Image, Vertices

SIDE = 32  # pixels of the pictures on which cuts are compared
SCALE = 0.35  # a colour that is this far off, of a range of -1 to 1, is half explained
FEWEST = 6  # pixels from which a colour is taken
# Means and deviations a priori: eumelanin, pheomelanin, and how far the light on the hair is from
# what the drawing says, as a logarithm.
PRIOR = ((0.6, 0.25, 0.0), (0.5, 0.15, 0.1))
# How far a colour is from what the pigments can give: black hair is not brown, as theirs is. Red
# counts most, as their hair has most of it.
TINT = (0.3, 0.5, 0.8)
GREY_LEVEL = 0.3  # deviation of the light's level where hair is held to be grey


class Cut(NamedTuple):
    """A style of `HAIR_STYLES` and what varies it."""

    style: str
    volume: float = 0.5
    length: float = 0.5
    bangs: float = 0.0
    receding: float = 0.0


CUTS = (
    Cut("bald"),
    Cut("buzz"),
    *(Cut("short", volume) for volume in (0.1, 0.9)),
    Cut("short", 0.5, receding=0.8),
    *(Cut("full", volume) for volume in (0.1, 0.6)),
    *(Cut(style, 0.3, bangs=0.8) for style in ("short", "full")),
    *(Cut("bob", 0.4, length, bangs) for length in (0.1, 0.9) for bangs in (0.0, 0.8)),
    *(Cut("long", volume, 0.4, bangs) for volume in (0.2, 0.8) for bangs in (0.0, 0.8)),
)


def wearing(looks: Appearance, cut: Cut) -> Appearance:
    """Return the same heads, all with this cut."""
    like = looks.hair_volume
    return dataclasses.replace(
        looks,
        hair_style=torch.full_like(looks.hair_style, HAIR_STYLES.index(cut.style)),
        hair_volume=torch.full_like(like, cut.volume),
        hair_length=torch.full_like(like, cut.length),
        bangs=torch.full_like(like, cut.bangs),
        receding=torch.full_like(like, cut.receding),
    )


class Head(NamedTuple):
    """Heads before a cut: at rest, their turn, the camera of small pictures, looks, the bare head.

    `bare` (batch, 3, SIDE, SIDE) are pictures of the bald heads in the light of the photographs.
    """

    vertices: Vertices
    turn: Rotation
    camera: Camera
    looks: Appearance
    bare: Image

    @classmethod
    def of(
        cls, model: MorphableModel, vertices: Vertices, pose: tuple[Rotation, Camera],
        looks: Appearance, light: Light,
    ) -> "Head":  # fmt: skip
        """Draw the bald heads."""
        scene, (turn, camera) = dress(model, vertices, looks), pose
        scene = dataclasses.replace(scene, vertices=scene.vertices @ turn.mT)
        black, painted = torch.zeros(1, 3, 1, 1), textures(looks)
        drawn = portrait(scene, painted, camera, light, black, size=SIDE, samples=1)
        return cls(vertices, turn, camera, looks, drawn.images)


def regions(
    model: MorphableModel, head: Head, cut: Cut
) -> tuple[Int[Tensor, "batch side side"], int]:
    """Return what each pixel shows with this cut, and which of it is hair."""
    scene = dress(model, head.vertices, wearing(head.looks, cut))
    turned = scene.vertices @ head.turn.mT
    drawn = draw(head.camera, turned, scene.triangles, (SIDE, SIDE), cull=True)
    shown = region_map(drawn, scene.triangle_regions)
    hair = scene.region_names.index("hair")
    if cut.style == "buzz":
        shown = torch.where(shown == scene.region_names.index("scalp"), hair, shown)
    return shown, hair


def misfit(
    model: MorphableModel, head: Head, photos: Float[Tensor, "batch 3 side side"], cut: Cut
) -> Float[Tensor, " batch"]:
    """Return the share of the picture that a cut leaves unexplained."""
    shown, hair = regions(model, head, cut)
    covered, behind = shown == hair, shown == -1
    left = torch.arange(SIDE) < SIDE // 2
    guess = head.bare
    for where in (covered, behind & left, behind & ~left):
        guess = torch.where(where[:, None], _median(photos, where), guess)
    off = (photos - guess).square().mean(1) / SCALE**2
    counted = shown != model.region_names.index("shoulders")
    return (counted * off / (1 + off)).mean((1, 2))


def _median(photos: Tensor, where: Tensor) -> Float[Tensor, "batch 3 1 1"]:
    chosen = torch.where(where[:, None], photos, torch.nan).flatten(2)
    return chosen.nanmedian(2).values.nan_to_num(0.0)[..., None, None]


def best_cuts(model: MorphableModel, head: Head, photos: Image) -> Int[Tensor, " batch"]:
    """Return the number of `CUTS` that explains each photograph best."""
    small = F.interpolate(photos, (SIDE, SIDE), mode="area")
    return torch.stack([misfit(model, head, small, cut) for cut in CUTS]).argmin(0)


def cut(model: MorphableModel, head: Head, photos: Image) -> Appearance:
    """Return the heads with the cuts of the photographs, of a middling brown."""
    chosen = best_cuts(model, head, photos)
    styles = torch.tensor([HAIR_STYLES.index(each.style) for each in CUTS])
    numbers = torch.tensor([each[1:] for each in CUTS])[chosen].T
    names = ("hair_volume", "hair_length", "bangs", "receding")
    return dataclasses.replace(
        head.looks, hair_style=styles[chosen], **dict(zip(names, numbers, strict=True))
    )


def coloured(
    looks: Appearance, photos: Image, drawn: Image, where: Bool[Tensor, "batch height width"]
) -> Appearance:
    """Return the heads with the hair's colour of the photographs, pigments or grey.

    `drawn` are these heads with some colour, and `where` it shows: what the light makes of that
    colour, it makes of another. As for the skin, the pigments are the most probable ones.
    """
    seen = mean_log(to_linear(photos), where)
    level = mean_log(to_linear(drawn), where) - hair_colour(looks).log()
    known = where.sum((1, 2)) >= FEWEST
    seen, level = (torch.where(known[:, None], value, 0.0) for value in (seen, level))
    bare, grey = seen.new_tensor(BARE_HAIR).log(), seen.new_tensor(GREY_HAIR).log()
    taken = seen.new_tensor([EUMELANIN, PHEOMELANIN])
    directions = torch.cat([-taken, torch.ones(1, 3)]).T
    mean, deviation = seen.new_tensor(PRIOR)
    prior = mean.expand(len(seen), 3), deviation
    found = posterior(seen, bare + level, directions, prior, seen.new_tensor(TINT))
    off = (seen - bare - level - found @ directions.T).div(seen.new_tensor(TINT)).square().sum(1)
    pigmented = off + ((found - mean) / deviation).square().sum(1)
    ashen = ((seen - grey - level) / GREY_LEVEL).square().sum(1)
    values = {
        "hair_eumelanin": found[:, 0].clamp(0.05, 1.1),
        "hair_pheomelanin": found[:, 1].clamp(0.0, 0.9),
        "hair_grey": (ashen + 2 < pigmented).to(seen),
    }
    return dataclasses.replace(
        looks,
        **{name: torch.where(known, v, getattr(looks, name)) for name, v in values.items()},
    )
