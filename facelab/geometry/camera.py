"""Where a head is and how a camera sees it.

The world is right-handed, in millimetres, y up: a head at the origin looks along +z and has +x on
its left, which is the right of the picture when it faces the viewer. Camera space has x right,
y down and z forward, so that z is the depth. Pixels are (x, y); the centre of the top left one is
(0, 0), its corner (-0.5, -0.5).

Hartley and Zisserman, Multiple View Geometry (2nd ed. 2004), chapter 6, has both cameras.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.types import Vertices

Kind = Literal["perspective", "orthographic"]
Angle = Float[Tensor, " batch"]
Rotation = Float[Tensor, "batch 3 3"]

# A micrometre: nearer points, and those behind the camera, have no place in the picture.
NEAREST_MM = 1e-3


def rotation_from_euler(yaw_rad: Angle, pitch_rad: Angle, roll_rad: Angle) -> Rotation:
    """Return how a head is turned: R = R_roll(z) R_pitch(x) R_yaw(y), for columns p_world = R p.

    Positive yaw turns the head to its left, the picture's right; positive pitch makes it look up;
    positive roll tilts it to its right shoulder, counter-clockwise in a frontal picture. The yaw
    comes first, about the head's own neck, and the roll last, about the axis of sight: for a
    camera in front of it a roll is a turn of the picture and nothing else. Radians; (batch, 3, 3).
    """
    zero, one = torch.zeros_like(yaw_rad), torch.ones_like(yaw_rad)
    yaw_cos, pitch_cos, roll_cos = (a.cos() for a in (yaw_rad, pitch_rad, roll_rad))
    yaw_sin, pitch_sin, roll_sin = (a.sin() for a in (yaw_rad, pitch_rad, roll_rad))
    yaw = _matrix([yaw_cos, zero, yaw_sin, zero, one, zero, -yaw_sin, zero, yaw_cos])
    pitch = _matrix([one, zero, zero, zero, pitch_cos, pitch_sin, zero, -pitch_sin, pitch_cos])
    roll = _matrix([roll_cos, -roll_sin, zero, roll_sin, roll_cos, zero, zero, zero, one])
    return roll @ pitch @ yaw


def _matrix(entries: list[Tensor]) -> Rotation:
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


def euler_from_rotation(rotation: Rotation) -> tuple[Angle, Angle, Angle]:
    """Return yaw, pitch and roll in radians: the inverse of `rotation_from_euler`.

    The pitch is in [-pi/2, pi/2], the others in [-pi, pi]. A head that looks straight up or down
    (to within 1e-6) has lost an angle: yaw and roll turn it about the same axis. The roll is 0
    there and the yaw is the whole turn, so that the angles still give the rotation again.
    """
    upright = torch.hypot(rotation[:, 0, 1], rotation[:, 1, 1])  # cos(pitch)
    locked = upright < 1e-6
    one, zero = torch.ones_like(upright), torch.zeros_like(upright)
    yaw = torch.atan2(
        torch.where(locked, rotation[:, 0, 2], -rotation[:, 2, 0]),
        torch.where(locked, rotation[:, 0, 0], rotation[:, 2, 2]),
    )
    pitch = torch.atan2(-rotation[:, 2, 1], upright)
    roll = torch.atan2(
        torch.where(locked, zero, -rotation[:, 0, 1]), torch.where(locked, one, rotation[:, 1, 1])
    )
    return yaw, pitch, roll


@dataclass(frozen=True)
class Camera:
    """One camera per head of a batch; a batch of one serves any number of heads.

    `rotation` and `translation_mm` take the world to camera space: p_camera = R p_world + t.
    `focal_px` is the focal length in pixels and `centre_px` where the axis meets the picture.
    The perspective camera shows (focal x / z, focal y / z); the scaled orthographic one gives every
    point the depth of the world's origin, (focal x / t_z, focal y / t_z), so that both show things
    at the origin equally large.

    Raises `ParameterError` when a value isn't finite, the focal length (or, orthographic, the depth
    of the origin) isn't positive, or the rotation isn't one.
    """

    kind: Kind
    focal_px: Float[Tensor, " batch"]
    centre_px: Float[Tensor, "batch 2"]
    rotation: Rotation
    translation_mm: Float[Tensor, "batch 3"]

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ParameterError(
                f"there is no camera {self.kind!r}; choose one of: {', '.join(get_args(Kind))}"
            )
        for name in ("focal_px", "centre_px", "rotation", "translation_mm"):
            if not torch.isfinite(getattr(self, name)).all():
                raise ParameterError(f"the camera's {name} has a value that isn't finite; give one")
        if not (self.focal_px > 0).all():
            raise ParameterError("a focal length must be positive; give focal_px in pixels")
        if self.kind == "orthographic" and not (self.translation_mm[:, 2] > 0).all():
            raise ParameterError(
                "the origin must lie in front of an orthographic camera, whose scale is that at "
                "its depth; give a positive translation_mm along z"
            )
        _require_rotation(self.rotation.detach())

    @classmethod
    def portrait(
        cls,
        size_px: int | tuple[int, int],
        distance_mm: float | Float[Tensor, " batch"] = 800.0,
        field_mm: float | Float[Tensor, " batch"] = 300.0,
        *,
        kind: Kind = "perspective",
        batch: int = 1,
    ) -> "Camera":
        """Return a camera on the +z axis that looks at the origin, where faces look at it.

        `size_px` is the side of the picture, or (height, width); `distance_mm` how far the camera
        is from the origin; `field_mm` the height of what it shows at that distance. Both may be
        tensors (batch,), one value per picture; a float is for all `batch` of them.
        """
        height, width = (size_px, size_px) if isinstance(size_px, int) else size_px
        if not (height > 0 and width > 0):
            raise ParameterError(
                f"a picture of {width} x {height} pixels is impossible; give a size of at least 1"
            )
        distance, field = torch.broadcast_tensors(
            *(torch.as_tensor(v, dtype=_float_type(v)) for v in (distance_mm, field_mm))
        )
        if not ((distance > 0) & (field > 0)).all():
            raise ParameterError(
                "the distance and the field of a portrait must be positive; give millimetres"
            )
        distance, field = (v.expand(batch) if v.ndim == 0 else v for v in (distance, field))
        zero = torch.zeros_like(distance)
        # Half a turn about x: from y up and z towards the viewer to y down and z forward.
        turn = torch.diag(distance.new_tensor([1.0, -1.0, -1.0]))
        centre = distance.new_tensor([(width - 1) / 2, (height - 1) / 2])
        return cls(
            kind=kind,
            focal_px=height * distance / field,
            centre_px=centre.expand(len(distance), 2),
            rotation=turn.expand(len(distance), 3, 3),
            translation_mm=torch.stack([zero, zero, distance], dim=1),
        )

    @property
    def scale_px_per_mm(self) -> Float[Tensor, " batch"]:
        """How many pixels a millimetre at the world's origin takes."""
        return self.focal_px / self.translation_mm[:, 2]

    def to_camera(self, points_mm: Float[Tensor, "#batch points 3"]) -> Vertices:
        """Take points of the world, (batch, points, 3) in mm, to camera space."""
        return points_mm @ self.rotation.mT + self.translation_mm[:, None]

    def project(
        self, points_mm: Float[Tensor, "#batch points 3"]
    ) -> tuple[Float[Tensor, "batch points 2"], Float[Tensor, "batch points"]]:
        """Return where points of the world lie in the picture, and how deep.

        Pixels (x, y), shape (batch, points, 2), and depths in mm, (batch, points). A depth of zero
        or less is at or behind the camera: those pixels mean nothing, but are finite.
        """
        points_camera = self.to_camera(points_mm)
        depth_mm = points_camera[..., 2]
        if self.kind == "perspective":
            scale = self.focal_px[:, None] / depth_mm.clamp_min(NEAREST_MM)
        else:
            scale = self.scale_px_per_mm[:, None]
        pixels_xy = points_camera[..., :2] * scale[..., None] + self.centre_px[:, None]
        return pixels_xy, depth_mm

    def scaled(self, factor: float) -> "Camera":
        """Return the camera for a picture `factor` times as large, edge on edge.

        The picture's corner is at -0.5, so the centre moves by (factor - 1) / 2 as well.
        """
        if not factor > 0:
            raise ParameterError(
                f"a picture can't be scaled by {factor}; give a factor above 0, such as 2"
            )
        centre_px = (self.centre_px + 0.5) * factor - 0.5
        return replace(self, focal_px=self.focal_px * factor, centre_px=centre_px)


def _float_type(value: float | Tensor) -> torch.dtype:
    return value.dtype if isinstance(value, Tensor) else torch.get_default_dtype()


def _require_rotation(rotation: Rotation) -> None:
    identity = torch.eye(3, dtype=rotation.dtype, device=rotation.device)
    off = (rotation @ rotation.mT - identity).abs().amax()
    if off > 1e-3 or (torch.linalg.det(rotation) < 0).any():
        raise ParameterError(
            "the camera's rotation stretches or mirrors; give orthogonal matrices of determinant 1"
        )
