"""What each reader learns and how it is measured: one class a reader, under one signature."""

import functools
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_scripts.reader_parts import pictures
from data_scripts.reader_parts.pictures import Pictures
from facelab import images
from facelab.data.attributes import ATTRIBUTE_NAMES
from facelab.losses import wing_loss
from facelab.recognition import face_points, face_readers
from facelab.recognition.augmentation import Labelled, augment, disturb, move, random_transforms
from facelab.types import Image

# Generated faces, how many and their seed: to learn from, to measure with, for the judge to learn.
GENERATED, HELD_OUT, JUDGES = (1500, 1), (200, 2), (1500, 3)
WEAK = 0.3  # weight of a generated face's five points beside a render's 68


def run(network: nn.Module, faces: Image) -> Tensor:
    """Return what a network says, 100 faces at a time, without gradients."""
    with torch.no_grad():
        return torch.cat([network(part) for part in faces.split(100)])


def learn(network: nn.Module, faces: Image) -> Tensor:
    """Return what a network says in training: bfloat16 and channels last, float32 out."""
    with torch.autocast("cpu", torch.bfloat16):
        return network(faces.contiguous(memory_format=torch.channels_last))


def augmented(faces: Pictures, rows: Tensor, random: torch.Generator) -> Labelled:
    """Return these faces, augmented."""
    labelled = Labelled(faces.images(rows), faces.landmarks[rows], faces.euler_rad[rows])
    return augment(labelled, random)


class Landmarks68:
    """Wing loss on 68 landmarks of renders and, with less weight, on five of generated faces.

    `build` is the network's class, `module` where its presets and `save` are.
    """

    def __init__(
        self,
        preset: str,
        training: Pictures,
        *,
        module: ModuleType = face_points,
        build: type[nn.Module] = face_points.LandmarkRegressor,
        generated: tuple[int, int] = GENERATED,
    ):
        self.module, self.network = module, build(getattr(module, preset))
        self.network.mean_xy.copy_(training.landmarks.mean(0) - face_points.CENTRE_PX)
        self.levels, self.points = pictures.generated(*generated)
        self.weak_labels = (
            f"{generated[0]} faces of gan-face-generate, seed {generated[1]}, MTCNN's five points"
        )

    def loss(self, faces: Pictures, rows: Tensor, random: torch.Generator) -> Tensor:
        """Return the mean loss of a batch: two thirds renders, one third generated faces."""
        drawn = augmented(faces, rows, random)
        weak = torch.randint(len(self.levels), (len(rows) // 2,), generator=random)
        other = Labelled(
            images.from_uint8(self.levels[weak]), self.points[weak], torch.zeros(len(weak), 3)
        )
        moved = move(other, random_transforms(len(weak), other.images, random))
        seen = torch.cat([drawn.images, disturb(moved.images, random)])
        points = learn(self.network, seen)
        loss = wing_loss(points[: len(rows)], drawn.landmarks).mean()
        return (
            loss
            + WEAK * wing_loss(face_points.five_points(points[len(rows) :]), moved.landmarks).mean()
        )

    def measure(self, faces: Pictures) -> dict[str, Any]:
        """Return the normalised mean error, and that of five points against MTCNN's."""
        error = face_points.normalised_error(
            run(self.network, faces.images(slice(None))), faces.landmarks
        )
        levels, points = pictures.generated(*HELD_OUT)
        five = face_points.five_points(run(self.network, images.from_uint8(levels)))
        apart = (points[:, 0] - points[:, 1]).norm(dim=1)
        weak = (five - points).norm(dim=2).mean(1) / apart
        return {
            "normalised_mean_error": round(float(error.mean()), 5),
            "normalised_median_error": round(float(error.median()), 5),
            "normalised_by": "the distance of the outer corners of the eyes in the picture",
            "generated_faces": len(levels),
            "generated_five_point_error": round(float(weak.mean()), 5),
            "generated_normalised_by": "the distance of MTCNN's eyes, whose points are the truth",
        }


class Pose:
    """Smooth L1 loss on yaw, pitch and roll."""

    module, weak_labels = face_readers, None

    def __init__(self, preset: str, training: Pictures):
        self.network = face_readers.PoseRegressor(getattr(face_readers, preset))

    def loss(self, faces: Pictures, rows: Tensor, random: torch.Generator) -> Tensor:
        """Return the mean loss of a batch."""
        drawn = augmented(faces, rows, random)
        said = learn(self.network, drawn.images)
        return 10 * F.smooth_l1_loss(said, drawn.euler_rad, beta=0.1)

    def measure(self, faces: Pictures) -> dict[str, Any]:
        """Return the mean absolute error of each angle, in degrees."""
        said = run(self.network, faces.images(slice(None)))
        error = (said - faces.euler_rad).abs().rad2deg().mean(0).tolist()
        names = ("yaw_error_deg", "pitch_error_deg", "roll_error_deg")
        return {name: round(value, 3) for name, value in zip(names, error, strict=True)}


class Attributes:
    """Cross entropy on every attribute, in which both answers count the same."""

    module, weak_labels = face_readers, None

    def __init__(self, preset: str, training: Pictures):
        self.network = face_readers.AttributeClassifier(
            ATTRIBUTE_NAMES, getattr(face_readers, preset)
        )
        share = training.attributes.float().mean(0).clamp(0.01, 0.99)
        self.weights = torch.stack([0.5 / (1 - share), 0.5 / share])  # without, with

    def loss(self, faces: Pictures, rows: Tensor, random: torch.Generator) -> Tensor:
        """Return the mean loss of a batch."""
        drawn, truth = augmented(faces, rows, random), faces.attributes[rows]
        said = learn(self.network, drawn.images)
        weights = torch.where(truth, self.weights[1], self.weights[0])
        return F.binary_cross_entropy_with_logits(said, truth.float(), weights)

    def measure(self, faces: Pictures) -> dict[str, Any]:
        """Return the balanced accuracy of each attribute, None where all faces are alike."""
        said = run(self.network, faces.images(slice(None))) > 0
        values = face_readers.balanced_accuracy(said, faces.attributes).tolist()
        each = {
            name: round(value, 4) if value == value else None
            for name, value in zip(ATTRIBUTE_NAMES, values, strict=True)
        }
        known = [value for value in each.values() if value is not None]
        return {
            "balanced_accuracy": each,
            "mean_balanced_accuracy": round(sum(known) / len(known), 4),
        }


# Neither network of landmarks has seen the faces that the other learnt from, nor those of HELD_OUT.
TASKS = {
    "landmarks": Landmarks68,
    "landmarks_judge": functools.partial(
        Landmarks68, module=face_readers, build=face_readers.LandmarkJudge, generated=JUDGES
    ),
    "pose": Pose,
    "attributes": Attributes,
}
