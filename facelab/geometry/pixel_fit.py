"""Fit a morphable head to pictures, stage 2: light, looks and all else from the pixels.

From where stage 1 (`geometry/fit.py`) left them, pose, identity and expression are moved by the
gradient of the picture that a renderer draws of them, together with the light (nine harmonics for
each colour) and the continuous parameters of the appearance. Per face

    sum_i w_i |u_i - u_i'|^2 / s^2 + n mean_p rho(|I_p - I_p'| / s_I) + priors

goes down: the landmarks as in stage 1, the pixels p that show a face with a penalty rho that grows
only linearly, so that hair, glasses and shadows that are not modelled count little (Black and
Rangarajan 1996), and each parameter's distance from what is usual. Adam (Kingma and Ba 2015) takes
the steps: it treats every number on its own, so that faces of a batch do not depend on each other.
An outline has no gradient; shading, the edges of brows, lips and eyes, and the landmarks have.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ImageError, ParameterError
from facelab.geometry.appearance import Appearance, plain
from facelab.geometry.camera import Camera, rotation_from_euler
from facelab.geometry.fit import FitSettings
from facelab.geometry.fit_result import FitResult, Stage, joined
from facelab.geometry.lighting import Light
from facelab.geometry.morphable import MorphableModel
from facelab.geometry.painting import textures
from facelab.geometry.render import portrait
from facelab.geometry.scene import Scene
from facelab.types import Image, Landmarks, Vertices

Weight = Float[Tensor, "batch 1 height width"]
Render = Callable[[Vertices, Camera, Light, Appearance], tuple[Image, Weight]]

# The regions whose pixels are compared, and what of the appearance is fitted.
FACE = ("skin", "lips", "brows", "eyes", "iris")
LOOKS = (
    "melanin",
    "haemoglobin",
    "lip_redness",
    "lip_darkness",
    "brow_density",
    "brow_thickness",
    "hair_eumelanin",
    "iris",
    "stubble",
)
# How far Adam moves each parameter at first: radians, millimetres, deviations, weights, radiance,
# and looks on the scale of the logistic function.
RATES = {
    "angles": 0.005,
    "shift": 1.0,
    "identity": 0.03,
    "expression": 0.01,
    "harmonics": 0.06,
    "looks": 0.08,
}


@dataclass(frozen=True)
class PixelSettings:
    """How pixels are weighed and how long they are followed.

    Pictures are compared at `size` x `size` pixels. `pixel_noise` is s_I, of a range of -1 to 1;
    `pixel_count` is n, how many pixels count as telling something of their own; `colour_deviation`
    is how far a light's colours are from grey, a priori. A face has converged when the last tenth
    of the `steps` lowers its loss by less than `tolerance` of it. `landmarks` are the settings of
    stage 1, which say what landmarks and priors weigh.
    """

    size: int = 96
    steps: int = 100
    pixel_noise: float = 0.1
    pixel_count: float = 1000.0
    colour_deviation: float = 0.2
    tolerance: float = 0.02
    at_once: int = 16
    landmarks: FitSettings = field(default_factory=FitSettings)

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self)[:-1]:
            if not 0 < getattr(self, item.name) < math.inf:
                raise ParameterError(
                    f"{item.name} is {getattr(self, item.name)}; give a number above 0"
                )


def face_renderer(model: MorphableModel, size: int, *, samples: int = 1) -> Render:
    """Return a renderer of bare heads: without hair, glasses and shadows, before black.

    It gives pictures (batch, 3, size, size) and where they show a face (batch, 1, size, size).
    """
    wanted = torch.tensor([model.region_names.index(name) for name in FACE])

    def render(
        vertices: Vertices, camera: Camera, light: Light, appearance: Appearance
    ) -> tuple[Image, Weight]:
        scene = Scene(
            vertices, model.triangles, model.triangle_regions, model.region_names, model.uv,
            model.uv_triangles, len(model.triangles),
        )  # fmt: skip
        black = vertices.new_zeros(1, 3, 1, 1)
        drawn = portrait(
            scene, textures(appearance), camera, light, black, size=size, samples=samples
        )
        shown = torch.isin(drawn.regions, wanted.to(vertices.device))[:, None].to(vertices)
        return drawn.images, shown

    return render


def fit_pixels(
    model: MorphableModel,
    images: Float[Tensor, "_ 3 height width"],
    landmarks: Float[Tensor, "_ points 2"],
    start: FitResult,
    *,
    weights: Float[Tensor, "_ points"] | None = None,
    render: Render | None = None,
    settings: PixelSettings | None = None,
) -> FitResult:
    """Refine heads that were fitted to landmarks by the pixels of their pictures.

    `images` (batch, 3, side, side) in [-1, 1] and `landmarks` (batch, L, 2) are those of stage 1,
    `start` its result. `render` draws heads at the settings' size; as a rule it is
    `face_renderer`. The result has light and appearance, and one stage more; of all steps it is the
    one with the smallest loss.

    Raises `ImageError` when pictures are not square, not finite, or not as many as the faces.
    """
    settings = settings or PixelSettings()
    _require_images(images, len(start), landmarks)
    if weights is None:
        weights = landmarks.new_ones(1, landmarks.shape[1])
    weights = weights.expand(len(landmarks), -1)
    render = render or face_renderer(model, settings.size)
    small = F.interpolate(
        images, (settings.size, settings.size), mode="bilinear", antialias=True, align_corners=False
    )
    parts = []
    for rows in torch.arange(len(start)).split(settings.at_once):
        known = _Known.of(small[rows], landmarks[rows], weights[rows], images.shape[2], settings)
        parts.append(_descend(model, known, _Unknown.of(start, rows), render, settings))
    values = [torch.cat([values[i] for values, _ in parts]) for i in range(len(RATES))]
    stage = joined([stage for _, stage in parts])
    found = dataclasses.replace(start, **_unpacked(start, _Unknown(*values)))
    residual_px = (found.landmarks(model) - landmarks).norm(dim=2)
    return dataclasses.replace(found, residual_px=residual_px, stages=(*start.stages, stage))


def _require_images(images: Tensor, count: int, landmarks: Tensor) -> None:
    if len(images) != count or len(landmarks) != count:
        raise ImageError(
            f"there are {len(images)} pictures and the landmarks of {len(landmarks)} faces, but "
            f"{count} faces were fitted; give one of each for every face"
        )
    if images.shape[2] != images.shape[3]:
        raise ImageError(
            f"pictures of {images.shape[3]} x {images.shape[2]} pixels are not square; crop them"
        )
    if not torch.isfinite(images).all():
        raise ImageError("a picture has values that are not finite; look at what computed it")


@dataclass(frozen=True)
class _Known:
    """What the pictures say: small ones, landmarks and how precise they are."""

    images: Image
    landmarks: Landmarks
    trust: Float[Tensor, "batch points"]
    factor: float  # of the small pictures' side

    @classmethod
    def of(
        cls, images: Tensor, landmarks: Tensor, weights: Tensor, side: int, settings: PixelSettings
    ) -> "_Known":
        share = weights / weights.mean(1, keepdim=True)
        middle = (share[..., None] * landmarks).mean(1, keepdim=True)
        spread = (share * (landmarks - middle).square().sum(2)).mean(1).sqrt()
        noise_px = (settings.landmarks.noise * spread).clamp_min(1e-6)
        return cls(images, landmarks, share.sqrt() / noise_px[:, None], settings.size / side)


@dataclass(frozen=True)
class _Unknown:
    """What is looked for, as numbers that may have any value, and the camera's fixed part."""

    angles: Float[Tensor, "batch 3"]  # yaw, pitch, roll
    shift: Float[Tensor, "batch 3"]
    identity: Float[Tensor, "batch components"]
    expression: Float[Tensor, "batch expressions"]
    harmonics: Float[Tensor, "batch 9 3"]
    looks: Float[Tensor, "batch looks"]
    camera: Camera | None = None

    @classmethod
    def of(cls, start: FitResult, rows: Tensor) -> "_Unknown":
        camera = start.camera
        some = Camera(
            camera.kind,
            *(getattr(camera, item.name)[rows] for item in dataclasses.fields(camera)[1:]),
        )
        angles = torch.stack([start.yaw_rad, start.pitch_rad, start.roll_rad], dim=1)[rows]
        harmonics = Light.ambient(0.8, batch=len(rows)).harmonics.to(angles)
        return cls(
            angles, some.translation_mm, start.identity[rows], start.expression[rows], harmonics,
            _usual_looks(len(rows)).to(angles), some,
        )  # fmt: skip

    def tensors(self) -> list[Tensor]:
        return [getattr(self, name) for name in RATES]


def _usual_looks(batch: int) -> Float[Tensor, "batch looks"]:
    values = plain(batch).values()
    return torch.logit(torch.stack([values[name] for name in LOOKS], dim=1).clamp(0.02, 0.98))


def _unpacked(start: FitResult, unknown: _Unknown) -> dict:
    """Return the fields of a result."""
    yaw, pitch, roll = unknown.angles.unbind(1)
    return {
        "yaw_rad": yaw,
        "pitch_rad": pitch,
        "roll_rad": roll,
        "camera": dataclasses.replace(start.camera, translation_mm=unknown.shift),
        "identity": unknown.identity,
        "expression": unknown.expression,
        "light": _light(unknown.harmonics),
        "appearance": _appearance(unknown.looks),
    }


def _light(harmonics: Float[Tensor, "batch 9 3"]) -> Light:
    ahead = harmonics.new_tensor([[0.0, 0.0, 1.0]]).expand(len(harmonics), 3)
    return Light(harmonics, ahead, torch.zeros_like(ahead))


def _appearance(looks: Float[Tensor, "batch looks"]) -> Appearance:
    values = dict(zip(LOOKS, torch.sigmoid(looks).unbind(1), strict=True))
    return dataclasses.replace(plain(len(looks)).to(looks.device), **values)


def _losses(
    model: MorphableModel, known: _Known, unknown: _Unknown, render: Render, settings: PixelSettings
) -> Float[Tensor, " batch"]:
    """Return each face's loss."""
    turn = rotation_from_euler(*unknown.angles.unbind(1))
    vertices = model.shape(unknown.identity, unknown.expression) @ turn.mT
    camera = dataclasses.replace(unknown.camera, translation_mm=unknown.shift)
    pixels_xy = camera.project(model.landmark_points(vertices))[0]
    apart = (pixels_xy - known.landmarks).square().sum(2)
    loss = (known.trust.square() * apart).sum(1)
    images, shown = render(
        vertices, camera.scaled(known.factor), _light(unknown.harmonics), _appearance(unknown.looks)
    )
    off = (images - known.images).square().mean(1, keepdim=True) / settings.pixel_noise**2
    penalty = 2 * ((1 + off).sqrt() - 1)
    loss = loss + settings.pixel_count * (shown * penalty).sum((1, 2, 3)) / shown.sum(
        (1, 2, 3)
    ).clamp_min(1)
    return loss + _priors(unknown, settings)


def _priors(unknown: _Unknown, settings: PixelSettings) -> Float[Tensor, " batch"]:
    usual = settings.landmarks
    looks = unknown.looks - _usual_looks(1).to(unknown.looks)
    grey = unknown.harmonics.mean(2, keepdim=True)
    return (
        (unknown.identity / usual.identity_deviation).square().sum(1)
        + (unknown.expression / usual.expression_deviation).square().sum(1)
        + looks.square().sum(1)
        + ((unknown.harmonics - grey) / settings.colour_deviation).square().sum((1, 2))
    )


def _descend(
    model: MorphableModel,
    known: _Known,
    start: _Unknown,
    render: Render,
    settings: PixelSettings,
) -> tuple[list[Tensor], Stage]:
    """Return the best values of each face on the way down, and how it went."""
    leaves = [value.clone().requires_grad_() for value in start.tensors()]
    unknown = _Unknown(*leaves, camera=start.camera)
    optimizer, schedule = _adam(leaves, settings.steps)
    best = [leaf.detach().clone() for leaf in leaves]
    least = []  # the smallest loss so far, after each step
    for step in range(settings.steps + 1):
        losses = _losses(model, known, unknown, render, settings)
        now = losses.detach().cpu()
        better = now < least[-1] if least else torch.ones_like(now, dtype=torch.bool)
        least.append(torch.where(better, now, least[-1]) if least else now)
        for kept, leaf in zip(best, leaves, strict=True):
            kept[better] = leaf.detach()[better]
        if step < settings.steps:
            optimizer.zero_grad()
            losses.sum().backward()
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                unknown.expression.clamp_(*settings.landmarks.expression_range)
    steps = torch.full((len(now),), settings.steps)
    reasons = _reasons(least[0], least[-1], least[int(0.9 * settings.steps)], settings)
    return best, Stage("pixels", steps, least[0], least[-1], reasons)


def _adam(
    leaves: list[Tensor], steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Return Adam, and what lets its rates fall along a quarter of a cosine."""
    groups = [{"params": [v], "lr": rate} for v, rate in zip(leaves, RATES.values(), strict=True)]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
    return optimizer, torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: max(0.02, math.cos(math.pi / 2 * step / steps))
    )


def _reasons(
    before: Tensor, after: Tensor, tail: Tensor, settings: PixelSettings
) -> tuple[str, ...]:
    reasons = []
    for first, last, near in zip(before.tolist(), after.tolist(), tail.tolist(), strict=True):
        if not math.isfinite(last):
            reasons.append("its loss is not finite")
        elif last >= first:
            reasons.append("its pixels fit no better than at the start")
        elif near - last > settings.tolerance * near:
            reasons.append(f"its loss was still falling after {settings.steps} steps")
        else:
            reasons.append("")
    return tuple(reasons)
