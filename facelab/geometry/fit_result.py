"""What fitting a morphable head to pictures gives: the heads, and a report of how it went."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from facelab.geometry.appearance import Appearance
from facelab.geometry.camera import Angle, Camera, rotation_from_euler
from facelab.geometry.lighting import Light
from facelab.geometry.morphable import MorphableModel
from facelab.types import Landmarks, Vertices


@dataclass(frozen=True)
class Stage:
    """How one stage went, one value a face.

    `loss_before` and `loss_after` are what it minimised; `reasons` say why a face has not
    converged, and are empty for those that have.
    """

    name: str
    iterations: Int[Tensor, " batch"]
    loss_before: Float[Tensor, " batch"]
    loss_after: Float[Tensor, " batch"]
    reasons: tuple[str, ...]

    @property
    def converged(self) -> Bool[Tensor, " batch"]:
        """Which faces have converged."""
        return torch.tensor([not reason for reason in self.reasons])

    def __str__(self) -> str:
        count, total = int(self.converged.sum()), len(self.reasons)
        steps, loss = self.iterations.double().median(), self.loss_after.median()
        lines = [
            f"{self.name}: {count} of {total} converged, {steps:.0f} iterations and a loss of "
            f"{loss:.4g} (medians)"
        ]
        lines += [f"  face {i}: {reason}" for i, reason in enumerate(self.reasons) if reason]
        return "\n".join(lines)


def joined(stages: list[Stage]) -> Stage:
    """Return how a stage went for all faces, of its parts."""
    iterations, before, after = (
        torch.cat([getattr(stage, name) for stage in stages])
        for name in ("iterations", "loss_before", "loss_after")
    )
    reasons = tuple(reason for stage in stages for reason in stage.reasons)
    return Stage(stages[0].name, iterations, before, after, reasons)


@dataclass(frozen=True)
class FitResult:
    """Heads that were fitted to pictures, and how well.

    `yaw_rad`, `pitch_rad`, `roll_rad` (batch) turn the head as `rotation_from_euler` says; `camera`
    stands still in front of it. `identity` (batch, K) and `expression` (batch, E) are coefficients
    of the model; `residual_px` (batch, L) is how far each landmark is from where it was given.
    `light` and `appearance` are there after stage 2. `stages` tell of the convergence.
    """

    yaw_rad: Angle
    pitch_rad: Angle
    roll_rad: Angle
    camera: Camera
    identity: Float[Tensor, "batch components"]
    expression: Float[Tensor, "batch expressions"]
    residual_px: Float[Tensor, "batch points"]
    stages: tuple[Stage, ...]
    light: Light | None = None
    appearance: Appearance | None = None

    def __len__(self) -> int:
        return len(self.identity)

    @property
    def converged(self) -> Bool[Tensor, " batch"]:
        """Which faces have converged in every stage."""
        return torch.stack([stage.converged for stage in self.stages]).all(0)

    def report(self) -> str:
        """Return the convergence report: a line a stage, and one for each face that has not."""
        return "\n".join(map(str, self.stages))

    def vertices(self, model: MorphableModel) -> Vertices:
        """Return the heads' vertices (batch, V, 3), turned, in the world of `camera`."""
        turn = rotation_from_euler(self.yaw_rad, self.pitch_rad, self.roll_rad)
        return model.shape(self.identity, self.expression) @ turn.mT

    def landmarks(self, model: MorphableModel) -> Landmarks:
        """Return where the heads' landmarks are in the picture, (batch, L, 2) in pixels."""
        return self.camera.project(model.landmark_points(self.vertices(model)))[0]


def portrait_camera(
    focal_px: Angle, centre_px: Float[Tensor, " 2"], translation_mm: Float[Tensor, "batch 3"]
) -> Camera:
    """Return the perspective camera that looks along -z, as `Camera.portrait` does."""
    count = len(focal_px)
    turn = torch.diag(focal_px.new_tensor([1.0, -1.0, -1.0]))
    return Camera(
        "perspective",
        focal_px,
        centre_px.expand(count, 2),
        turn.expand(count, 3, 3),
        translation_mm,
    )
