"""Pairs as a dataset: photo-like faces, and beside each the render of the head fitted to it.

Pose, shape and expression come from landmarks, which a network reads and `geometry/fit.py` fits;
skin and light from the pixels (`light.py`), hair too (`hair.py`). Eyeglasses and moustaches are
those of which the attribute reader is sure. Then the head is drawn as AnnyFaces draws heads.
"""

import dataclasses
import functools
import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from data_scripts.pair_parts import hair, light
from facelab.assets import cache
from facelab.data.base import FaceDataset, Indices
from facelab.data.masks import attribute_mask
from facelab.data.samples import Samples
from facelab.data.seeding import seed_of
from facelab.data.views import backgrounds
from facelab.errors import ParameterError
from facelab.geometry.appearance import EYEGLASSES, HAIR_STYLES, Appearance
from facelab.geometry.camera import Camera, rotation_from_euler
from facelab.geometry.fit import FitSettings, fit_landmarks
from facelab.geometry.fit_result import FitResult
from facelab.geometry.morphable import HEAD, MorphableModel, anny_head
from facelab.geometry.painting import textures
from facelab.geometry.render import Portrait, portrait
from facelab.geometry.scene import Scene, dress
from facelab.images import to_uint8
from facelab.recognition.face_points import MODELS, landmark_regressor
from facelab.recognition.face_readers import attribute_classifier
from facelab.types import Batch, Image, Landmarks

RECIPE = "ganfaces-pairs-1"  # changes whenever the same seed gives other pairs
SIZE, AT_ONCE, LOOKED_AT = 64, 16, 256
NOISE = 0.02  # of what the landmark network says, as a share of the landmarks' spread
MOUTH = 3.0  # weight of the mouth, whose opening no other landmark tells of
# Of the spread: a fit that is farther from what the network read has failed. The network reads
# something in any picture, but only a face's landmarks are those of a head. One in twenty fails.
LARGEST_ERROR = 0.011
CELLS = 4  # of a background, a side
# Logits at which the attribute reader is believed: it learned on renders, and errs more here.
SURE = {"Eyeglasses": 1.5, "Mustache": 2.0, "No_Beard": -2.0}
# What is read in a picture changes with these.
READ_WITH = (HEAD, *(MODELS / f"{name}.safetensors" for name in ("landmarks", "attributes")))
FEWEST = 12  # pixels of clothing from which its colour is taken
UNKNOWNS = ("yaw_rad", "pitch_rad", "roll_rad", "identity", "expression", "residual_px")


def fit(model: MorphableModel, photos: Image) -> FitResult:
    """Return heads fitted to the landmarks that are read in photographs."""
    with torch.no_grad():
        points = landmark_regressor()(photos)
    weights = torch.ones(1, points.shape[1])
    weights[:, 48:] = MOUTH
    settings = FitSettings(noise=NOISE)
    return fit_landmarks(model, points, size=SIZE, weights=weights, settings=settings)


def rows_of(fitted: FitResult, rows: Int[Tensor, " chosen"]) -> FitResult:
    """Return the fits of some faces, without how they came about."""
    camera = {n: v[rows] if isinstance(v, Tensor) else v for n, v in vars(fitted.camera).items()}
    values = {name: getattr(fitted, name)[rows] for name in UNKNOWNS}
    return dataclasses.replace(fitted, camera=Camera(**camera), stages=(), **values)


def spread_of(landmarks: Landmarks) -> Float[Tensor, " batch"]:
    """Return the root mean square distance of landmarks from their middle, in pixels."""
    off = landmarks - landmarks.mean(1, keepdim=True)
    return off.square().sum(2).mean(1).sqrt()


def landmark_error(model: MorphableModel, fitted: FitResult) -> Float[Tensor, " batch"]:
    """Return how far fitted landmarks are from those that were read, as a share of the spread."""
    return fitted.residual_px.mean(1) / spread_of(fitted.landmarks(model))


class Pairs(FaceDataset):
    """`count` photo-like faces whose label "render" is the fitted head, uint8 (.., 64, 64, 3).

    Faces are those of `Samples` of the train split, in their order, without those whose fit has
    failed: "photo" has a face's number there, "landmark_error" and "colour_error" say how well the
    head fits (shares of the landmarks' spread; root mean square over the face, of -1 to 1).
    """

    size, split = SIZE, "train"

    def __init__(self, count: int, seed: int):
        if count < 1:
            raise ParameterError(f"{count} pairs make no dataset; give at least 1")
        self.id, self.seed = "ganfaces-pairs", seed
        self.people, self.identity = count, torch.arange(count)
        # More than are needed; a face is the same however many there are.
        self.photos = Samples(2 * count + LOOKED_AT, seed=seed, split=self.split)
        self.model = anny_head()

    def config(self) -> dict:
        """Return everything that the pairs follow from, as JSON values."""
        photos = self.photos.config()
        return {
            "recipe": RECIPE,
            "photos": {name: photos[name] for name in ("recipe", "generator", "seed", "split")},
            "count": len(self),
            "largest_error": LARGEST_ERROR,
            "models": {path.stem: cache.sha256(path) for path in READ_WITH},
        }

    @functools.cached_property
    def fits(self) -> tuple[Int[Tensor, " count"], FitResult]:
        """The numbers of the faces whose fit is good, as many as are needed, and their fits."""
        numbers, parts, start = [], [], 0
        while sum(map(len, numbers)) < len(self):
            if start >= len(self.photos):
                raise ParameterError(
                    f"only {sum(map(len, numbers))} of {start} faces could be fitted; ask for fewer"
                )
            stop = min(start + LOOKED_AT, len(self.photos))
            fitted = fit(self.model, self.photos.batch(range(start, stop)).images)
            good = torch.nonzero(landmark_error(self.model, fitted) <= LARGEST_ERROR)[:, 0]
            if len(good):
                numbers.append(start + good)
                parts.append(rows_of(fitted, good))
            start = stop
        return torch.cat(numbers)[: len(self)], _joined(parts)

    @torch.no_grad()
    def batch(self, indices: Indices) -> Batch:
        """Return these pairs."""
        found = torch.tensor(self.resolve(indices))
        numbers, fits = self.fits
        chosen = numbers[found]
        photos, fitted = self.photos.batch(chosen).images, rows_of(fits, found)
        seeds = torch.tensor([seed_of("pair", self.seed, int(n)) % 2**40 for n in chosen])
        renders = torch.cat(
            [
                render(self.model, photos[rows], rows_of(fitted, rows), seeds[rows])
                for rows in torch.arange(len(found)).split(AT_ONCE)
            ]
        )
        points = fitted.landmarks(self.model)
        face = attribute_mask(points, SIZE, "face")
        off = ((renders - photos).square().mean(1, keepdim=True) * face).sum((1, 2, 3))
        labels = {
            "render": to_uint8(renders),
            "photo": chosen,
            "landmark_error": landmark_error(self.model, fitted),
            "colour_error": (off / face.sum((1, 2, 3)).clamp_min(1)).sqrt(),
        }
        euler_rad = torch.stack([fitted.yaw_rad, fitted.pitch_rad, fitted.roll_rad], dim=1)
        return Batch(
            photos, self.identity[found], landmarks=points, euler_rad=euler_rad, labels=labels
        )


def _joined(parts: list[FitResult]) -> FitResult:
    first = parts[0]
    camera = {
        name: torch.cat([getattr(p.camera, name) for p in parts]) if isinstance(v, Tensor) else v
        for name, v in vars(first.camera).items()
    }
    values = {name: torch.cat([getattr(part, name) for part in parts]) for name in UNKNOWNS}
    return dataclasses.replace(first, camera=Camera(**camera), **values)


def render(
    model: MorphableModel, photos: Image, fitted: FitResult, seeds: Int[Tensor, " batch"]
) -> Image:
    """Return the fitted heads as AnnyFaces would draw them, looking like the photographs.

    `seeds` make what is irregular: blotches of the skin, streaks of the hair.
    """
    turn = rotation_from_euler(fitted.yaw_rad, fitted.pitch_rad, fitted.roll_rad)
    rest = model.shape(fitted.identity, fitted.expression)
    seen = light.canvas(model, fitted, rest @ turn.mT, photos)
    looks, level = light.skin(model, seen)
    looks = worn(dataclasses.replace(looks, noise=seeds), photos)
    around = light.light(model, seen, looks, level)
    pose = turn, fitted.camera.scaled(hair.SIDE / SIZE)
    looks = hair.cut(model, hair.Head.of(model, rest, pose, looks, around), photos)
    lamp = light.with_lamp(around)

    def draw(looks: Appearance, behind: Tensor) -> tuple[Scene, Portrait]:
        scene = dress(model, rest, looks)
        scene = dataclasses.replace(scene, vertices=scene.vertices @ turn.mT)
        painted = textures(looks)
        return scene, portrait(scene, painted, fitted.camera, lamp, behind, size=SIZE, shadows=True)

    scene, first = draw(looks, torch.zeros(1, 3, 1, 1))
    looks = hair.coloured(looks, photos, first.images, hair_shown(scene, first, looks))
    cloth = first.regions == scene.region_names.index("shoulders")
    looks = clothed(looks, light.to_linear(photos), cloth, level)
    return draw(looks, backdrop(photos, first.coverage))[1].images


def hair_shown(scene: Scene, drawn: Portrait, looks: Appearance) -> Tensor:
    """Return where hair is seen: the shell, or the scalp where hair is cropped to it."""
    shell, scalp = (drawn.regions == scene.region_names.index(n) for n in ("hair", "scalp"))
    cropped = looks.hair_style == HAIR_STYLES.index("buzz")
    return shell | (scalp & cropped[:, None, None])


def worn(looks: Appearance, photos: Image) -> Appearance:
    """Return the heads with eyeglasses and moustaches where the attribute reader is sure."""
    reader = attribute_classifier()
    logits = dict(zip(reader.names, reader(photos).T, strict=True))
    glasses = logits["Eyeglasses"] > SURE["Eyeglasses"]
    bearded = (logits["Mustache"] > SURE["Mustache"]) & (logits["No_Beard"] < SURE["No_Beard"])
    return dataclasses.replace(
        looks,
        eyeglasses=torch.where(glasses, EYEGLASSES.index("rectangular"), 0),
        moustache=bearded.float(),
    )


def clothed(
    looks: Appearance,
    linear: Float[Tensor, "batch 3 side side"],
    where: Tensor,
    level: Float[Tensor, " batch"],
) -> Appearance:
    """Return the heads with clothes of about the colour that the photographs have there."""
    colour = light.mean_log(linear, where).exp() / level[:, None]
    known = where.sum((1, 2)) >= FEWEST
    third = 2 * math.pi * torch.arange(3) / 3
    hue = torch.atan2(colour @ third.sin(), colour @ third.cos()) / (2 * math.pi) % 1
    lightness = ((colour.amax(1) - 0.03) / 0.6).clamp(0, 1).sqrt()
    return dataclasses.replace(
        looks,
        clothing_hue=torch.where(known, hue, looks.clothing_hue),
        clothing_lightness=torch.where(known, lightness, looks.clothing_lightness),
    )


def backdrop(photos: Image, coverage: Float[Tensor, "batch 1 side side"]) -> Image:
    """Return backgrounds of the photographs' colours beside the heads: a few cells, blurred."""
    free, linear, step = 1 - coverage, light.to_linear(photos).clamp(0, 1), SIZE // CELLS
    amount, cells = F.avg_pool2d(free, step), F.avg_pool2d(linear * free, step)
    mean = cells.sum((2, 3), keepdim=True) / amount.sum((2, 3), keepdim=True).clamp_min(1e-3)
    # A cell that the head hides has the mean colour.
    coarse = (cells + 0.05 * mean) / (amount + 0.05)
    return backgrounds((coarse, torch.zeros_like(coarse)), SIZE)
