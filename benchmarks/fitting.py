"""Fitting the morphable head to 200 renders whose parameters are known.

Prints a record and writes it to runs/bench/fitting.json: for landmarks with more and more noise,
how far the fitted landmarks are from the true ones, in distances of the outer corners of the eyes,
how far the pose is off, and how long a face takes; then the same after the pixels, with hair,
glasses, shadows and directional light in the pictures that the fit knows nothing of. Then faces of
the pre-trained generator, whose landmarks the regressor reads: how far the fitted ones are from
what it read, and both from MTCNN's five points.
"""

import argparse
import dataclasses
import math
import time
from pathlib import Path
from typing import NamedTuple

import torch
from recording import record

from facelab.generators import dcgan
from facelab.geometry.appearance import sample
from facelab.geometry.camera import Camera, rotation_from_euler
from facelab.geometry.fit import FitSettings, fit_landmarks
from facelab.geometry.fit_result import FitResult
from facelab.geometry.lighting import Light
from facelab.geometry.morphable import MorphableModel, anny_head
from facelab.geometry.painting import textures
from facelab.geometry.pixel_fit import PixelSettings, fit_pixels
from facelab.geometry.render import portrait
from facelab.geometry.scene import dress
from facelab.recognition import face_points
from facelab.recognition.mtcnn import detect

ROOT = Path(__file__).parents[1]
LARGEST_DEG = (35.0, 15.0, 20.0)  # yaw, pitch, roll
ACTIONS = 4  # expressions of a face
NOISES = (0.0, 0.01, 0.02, 0.03)
GENERATED_NOISE = 0.05


class Truth(NamedTuple):
    """What the pictures were made from."""

    images: torch.Tensor
    landmarks: torch.Tensor
    rotation: torch.Tensor
    angles_rad: torch.Tensor
    identity: torch.Tensor
    eyes_px: torch.Tensor


def draw(model: MorphableModel, count: int, size: int, random: torch.Generator) -> Truth:
    """Heads of all kinds with up to four facial actions, turned, lit from somewhere in front."""
    spread = torch.deg2rad(torch.tensor(LARGEST_DEG))
    angles = (2 * torch.rand(count, 3, generator=random) - 1) * spread
    identity = model.sample_identity(count, random)
    expression = torch.zeros(count, len(model.expression_mm))
    chosen = torch.rand(expression.shape, generator=random).topk(ACTIONS, dim=1).indices
    expression.scatter_(1, chosen, 0.7 * torch.rand(count, ACTIONS, generator=random))
    about = torch.randn(count, 3, generator=random) * torch.tensor([10.0, 10.0, 40.0])
    camera = Camera.portrait(size, batch=count)
    camera = dataclasses.replace(camera, translation_mm=camera.translation_mm + about)
    rotation = rotation_from_euler(*angles.unbind(1))
    vertices = model.shape(identity, expression) @ rotation.mT
    landmarks = camera.project(model.landmark_points(vertices))[0]
    images = picture(model, vertices, camera, identity, size, random)
    eyes = (landmarks[:, 36] - landmarks[:, 45]).norm(dim=1)
    return Truth(images, landmarks, rotation, angles, identity, eyes)


@torch.no_grad()
def picture(
    model: MorphableModel,
    vertices: torch.Tensor,
    camera: Camera,
    identity: torch.Tensor,
    size: int,
    random: torch.Generator,
) -> torch.Tensor:
    """The pictures (count, 3, size, size): with hair, eyeglasses and shadows."""
    looks = sample(model.phenotype(identity), random)
    sideways = torch.randn(len(identity), 3, generator=random) * torch.tensor([0.8, 0.4, 0.0])
    light = Light.from_direction(sideways + torch.tensor([0.0, 0.3, 1.0]), 0.5, 0.4, 0.1)
    drawn = []
    for rows in torch.arange(len(identity)).split(16):
        some = looks.rows(rows)
        cameras, lights = (
            dataclasses.replace(
                whole,
                **{
                    name: value[rows]
                    for name, value in vars(whole).items()
                    if isinstance(value, torch.Tensor)
                },
            )
            for whole in (camera, light)
        )
        scene = dress(model, vertices[rows], some)
        grey = torch.full((1, 3, 1, 1), 0.3)
        pictures = portrait(
            scene, textures(some), cameras, lights, grey, size=size, samples=2, shadows=True
        )
        drawn.append(pictures.images)
    return torch.cat(drawn)


def compare(model: MorphableModel, result: FitResult, truth: Truth, seconds: float) -> dict:
    """How far the fit is from the truth, as medians and 90 % quantiles over faces."""
    off = (result.landmarks(model) - truth.landmarks).norm(dim=2).mean(1) / truth.eyes_px
    found = torch.stack([result.yaw_rad, result.pitch_rad, result.roll_rad], dim=1)
    turn = rotation_from_euler(*found.unbind(1)).mT @ truth.rotation
    trace = turn.diagonal(dim1=1, dim2=2).sum(1)
    angle = torch.rad2deg(torch.arccos(((trace - 1) / 2).clamp(-1, 1)))
    euler = torch.rad2deg((found - truth.angles_rad).abs())
    shape = (model.shape(result.identity) - model.shape(truth.identity)).norm(dim=2).mean(1)
    return {
        "landmark error, distances of the eyes": _spread(off),
        "rotation, degrees": _spread(angle),
        "yaw, pitch, roll, degrees (medians)": [round(float(x), 3) for x in euler.median(0).values],
        "neutral shape, mm": _spread(shape),
        "converged": int(result.converged.sum()),
        "iterations (median)": int(result.stages[-1].iterations.median()),
        "seconds a face": round(seconds / len(result), 4),
    }


def generated(model: MorphableModel, count: int) -> dict:
    """Fit heads to generated faces; there is no truth, so readers are compared with each other."""
    photos = dcgan.pretrained().sample(count, torch.Generator().manual_seed(21))
    points = face_points.landmark_regressor()(photos)
    eyes = (points[:, 36] - points[:, 45]).norm(dim=1)
    fitted = fit_landmarks(model, points, size=64, settings=FitSettings(noise=GENERATED_NOISE))
    off = fitted.residual_px.mean(1) / eyes
    seen = [(i, detect(photos[[i]])) for i in range(count)]
    five = torch.stack([faces.landmarks[0] for _, faces in seen if len(faces)])
    rows = torch.tensor([i for i, faces in seen if len(faces)])

    def from_mtcnn(landmarks: torch.Tensor) -> dict[str, float]:
        own = face_points.five_points(landmarks[rows])
        return _spread((own - five).norm(dim=2).mean(1) / eyes[rows])

    return {
        "generator": "gan-face-generate, seed 21",
        "faces": count,
        "fitted against the regressor, distances of the eyes": _spread(off),
        "best, worst": [round(float(v), 5) for v in (off.min(), off.max())],
        "converged": int(fitted.converged.sum()),
        "faces that MTCNN finds": len(rows),
        "regressor against MTCNN's five points": from_mtcnn(points),
        "fitted against MTCNN's five points": from_mtcnn(fitted.landmarks(model)),
    }


def _spread(values: torch.Tensor) -> dict[str, float]:
    quantiles = values.quantile(torch.tensor([0.5, 0.9])).tolist()
    return dict(zip(("median", "90 %"), (round(x, 5) for x in quantiles), strict=True))


def measure(count: int, pixels: int, size: int, pixel_noise: float) -> dict:
    """Fit landmarks at every level of noise, and pixels at one."""
    model, random = anny_head(), torch.Generator().manual_seed(20)
    truth = draw(model, count, size, random)
    table, started = {}, None
    for noise in NOISES:
        jitter = torch.randn(truth.landmarks.shape, generator=random)
        seen = truth.landmarks + noise * truth.eyes_px[:, None, None] * jitter
        settings = FitSettings(noise=max(FitSettings().noise, 1.7 * noise))
        start = time.perf_counter()
        result = fit_landmarks(model, seen, size=size, settings=settings)
        table[f"{noise:.0%}"] = compare(model, result, truth, time.perf_counter() - start)
        if math.isclose(noise, pixel_noise):
            started = seen, settings
    record = {
        "landmarks with noise of so many distances of the eyes": table,
        "generated faces": generated(model, count),
    }
    if not pixels:
        return record
    seen, settings = started
    some = Truth(*(values[:pixels] for values in truth))
    first = fit_landmarks(model, seen[:pixels], size=size, settings=settings)
    start = time.perf_counter()
    refined = fit_pixels(
        model, some.images, seen[:pixels], first, settings=PixelSettings(landmarks=settings)
    )
    record[f"pixels, after landmarks with noise of {pixel_noise:.0%}"] = {
        "faces": pixels,
        "before": compare(model, first, some, 0.0) | {"seconds a face": None},
        "after": compare(model, refined, some, time.perf_counter() - start),
    }
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=200)
    parser.add_argument("--pixels", type=int, default=200, help="how many of them; 0 for none")
    parser.add_argument("--pixel-noise", type=float, default=0.02, choices=NOISES)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/fitting.json")
    options = parser.parse_args()
    record(
        "the morphable head fitted to renders with known parameters",
        options.output,
        options.threads,
        lambda: measure(options.faces, options.pixels, options.size, options.pixel_noise),
        faces=options.faces,
        size=options.size,
        **{"largest yaw, pitch, roll, degrees": LARGEST_DEG},
    )


if __name__ == "__main__":
    main()
