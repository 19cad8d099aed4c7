"""Heads that others fitted to photographs: the parameters of 300W-LP and AFLW2000-3D.

Beside each picture NAME.jpg lies NAME.mat with the fit of a Basel Face Model (Zhu et al. 2016, Face
Alignment Across Large Poses: A 3D Solution, CVPR):

    Pose_Para   7    pitch, yaw, roll in radians; tx, ty, tz in pixels; the scale f
    Shape_Para  199  of the shape components of unit length, in micrometres
    Exp_Para    29   of FaceWarehouse's expression components (Model_Exp.mat)
    Tex_Para    199  of the colour components of unit length, 0 to 255
    Illum_Para  10   ambient and directional RGB, two angles of the lamp, gloss and its exponent
    Color_Para  7    gain and offset RGB, and the contrast of colours
    roi         4    where the picture was cut out of the photograph
    pt2d        2 x 68 the landmarks (2 x 21 in AFLW2000-3D, which has pt3d_68, 3 x 68, instead)

A vertex S of the head is at f R S + t, x to the right and y upwards in a picture of 450 x 450, with
R = Rx(pitch) Ry(yaw) Rz(roll), and in MATLAB's picture, whose first pixel is (1, 1), at (X, 451 -
Y); so it is (X - 1, 450 - Y) here, and landmarks are one less than in the file. That is what
main_show_with_BFM.m and RotationMatrix.m of the sets' folder Code/ do, and similar_transform of
3DDFA_V2 (utils/tddfa_util.py). Names and shapes are those that TensorFlow Datasets reads
(the300w_lp, aflw2k3d).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from facelab.data.public import mat
from facelab.errors import DatasetError
from facelab.geometry.camera import Camera, Rotation, euler_from_rotation
from facelab.progress import progress_bar
from facelab.types import Similarity

SIDE = 450  # pixels of a picture
FIT = {"Pose_Para": (7,), "Shape_Para": (199,), "Exp_Para": (29,)}
LOOKS = {"Tex_Para": (199,), "Illum_Para": (10,), "Color_Para": (7,)}
DISTANCE_MM = 1000.0  # of the camera: an orthographic one sees the same from anywhere

Pose = Float[Tensor, "batch 7"]


@dataclass(frozen=True)
class Fits:
    """What is known of a picture a row, float32.

    `pose` (rows, 7), `shape` (rows, 199) and `expression` (rows, 29) as in the files; `points`
    (rows, 68, 2) are landmarks in pixels, the centre of the top left one being (0, 0).
    """

    pose: np.ndarray
    shape: np.ndarray
    expression: np.ndarray
    points: np.ndarray

    def labels(self) -> dict[str, np.ndarray]:
        """Return the labels of a dataset: "euler_rad" is yaw, pitch and roll as `Batch` has it."""
        return {
            "pose_para": self.pose,
            "shape_para": self.shape,
            "expression_para": self.expression,
            "euler_rad": euler_rad(torch.from_numpy(self.pose)).numpy(),
        }


def read(folder: Path, pictures: Sequence[str], points: str = "pt2d") -> Fits:
    """Read the fit beside each of some pictures of a folder.

    `points` names the array of landmarks, whose first two rows are x and y. Raises `DatasetError`,
    naming the file, for one that is missing or doesn't fit, and for a head without a size.
    """
    paths = [(folder / name).with_suffix(".mat") for name in pictures]
    absent = [path for path in paths if not path.is_file()]
    if absent:
        raise DatasetError(
            f"{absent[0]} is missing, one of {len(absent):,} of {len(paths):,} fits; unpack the "
            "archive again, whole"
        )
    rows = np.empty((len(paths), 7 + 199 + 29), np.float32)
    landmarks = np.empty((len(paths), 68, 2), np.float32)
    wanted = FIT | {points: (2 if points == "pt2d" else 3, 68)}
    with progress_bar("reading fits", len(paths), "files") as bar:
        for row, path in enumerate(paths):
            arrays = mat.read(path, wanted)
            if not arrays["Pose_Para"][6] > 0:
                raise DatasetError(
                    f"{path} has the scale {arrays['Pose_Para'][6]}, expected one above 0; delete "
                    "it and its picture to leave them out"
                )
            rows[row] = np.concatenate([arrays[name] for name in FIT])
            landmarks[row] = arrays[points][:2].T - 1
            bar.update()
    pose, shape, expression = np.split(rows, (7, 7 + 199), axis=1)
    parts = (np.ascontiguousarray(part) for part in (pose, shape, expression))
    return Fits(*parts, landmarks)


def rotation(pose: Pose) -> Rotation:
    """Return how the heads are turned, (batch, 3, 3), for columns: R = Rx(pitch) Ry(yaw) Rz(roll).

    A positive pitch looks up, a positive yaw to the left of the picture, and a positive roll turns
    the head clockwise: the last two are the other way about than in `geometry.camera`.
    """
    zero, one = torch.zeros_like(pose[:, 0]), torch.ones_like(pose[:, 0])
    cosines, sines = pose[:, :3].cos().unbind(1), pose[:, :3].sin().unbind(1)
    (cx, cy, cz), (sx, sy, sz) = cosines, sines
    about_x = torch.stack([one, zero, zero, zero, cx, sx, zero, -sx, cx], dim=1)
    about_y = torch.stack([cy, zero, -sy, zero, one, zero, sy, zero, cy], dim=1)
    about_z = torch.stack([cz, sz, zero, -sz, cz, zero, zero, zero, one], dim=1)
    x, y, z = (rows.unflatten(1, (3, 3)) for rows in (about_x, about_y, about_z))
    return x @ y @ z


def euler_rad(pose: Pose) -> Float[Tensor, "batch 3"]:
    """Return yaw, pitch and roll by which `camera.rotation_from_euler` makes the same turn."""
    return torch.stack(euler_from_rotation(rotation(pose)), dim=1)


def camera(pose: Pose, frame: Similarity) -> Camera:
    """Return the cameras that see heads, in millimetres and turned, where the pictures have them.

    `frame` (batch, 2, 3) takes pixels of the file to those of the packed picture, as the label
    "frame" of `Pictures` does. What is far or near, tz, makes no difference to a picture.
    """
    scale = pose[:, 6] * 1000  # the model is in micrometres
    middle = torch.stack([pose[:, 3] - 1, SIDE - pose[:, 4]], dim=1)
    turned = frame[:, :, :2]
    enlarged = turned[:, :, 0].norm(dim=1)
    # Half a turn about x, from y up to y down; then the turn of the picture itself.
    facing = torch.diag(pose.new_tensor([1.0, -1.0, -1.0])).repeat(len(pose), 1, 1)
    facing[:, :2, :2] = turned / enlarged[:, None, None] @ facing[:, :2, :2]
    far = pose.new_zeros(len(pose), 3)
    far[:, 2] = DISTANCE_MM
    return Camera(
        kind="orthographic",
        focal_px=scale * enlarged * DISTANCE_MM,
        centre_px=torch.einsum("bij,bj->bi", turned, middle) + frame[:, :, 2],
        rotation=facing,
        translation_mm=far,
    )
