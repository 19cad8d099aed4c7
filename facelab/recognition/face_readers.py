"""What a face shows: pose of the head, attributes and 68 landmarks. For evaluation only.

**Never build a loss on these networks, nor on anything that was trained with them.** A generator
that is trained against a reader learns to please it, and what the reader then says about its faces
is worth nothing. So nothing that a training loss uses may be scored with itself, and these are
kept for scoring: other networks (separable convolutions, Howard et al. 2017, MobileNets) from other
seeds than `face_points`, and in evaluation mode no gradient comes out of them.

They are trained by `data_scripts/train_readers.py` on AnnyFaces, where all of it is known exactly.
On pictures of another kind they are estimates with an error that nobody measured, save that the
landmarks also learnt from generated faces, where MTCNN's five points say how far off they are.
"""

import functools
import os
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from facelab.assets import networks
from facelab.errors import AssetError, ParameterError
from facelab.recognition.face_points import CENTRE_PX, MODELS, POINTS, UNIT_PX, require_size
from facelab.types import Image, Landmarks

POSE, ATTRIBUTES, LANDMARKS = "pose_regressor", "attribute_classifier", "landmark_judge"
WRITER = "facelab.recognition.face_readers.save"

Angles = Float[Tensor, "batch 3"]
Logits = Float[Tensor, "batch attributes"]


@dataclass(frozen=True)
class Config:
    """How large a reader is: channels after the stem, at 32 x 32 pixels, and of each stage.

    Every stage halves the side, down to 4 x 4. Raises `ParameterError` when they don't fit.
    """

    channels: tuple[int, int, int, int] = (32, 80, 160, 320)

    def __post_init__(self):
        whole = all(type(n) is int and 0 < n <= 1024 for n in self.channels)
        if not whole or len(self.channels) != 4:
            raise ParameterError(
                f"a reader of channels {self.channels} can't be built; give four whole numbers "
                "from 1 to 1,024"
            )


TINY = Config(channels=(8, 12, 16, 24))
BOOK = Config()  # 0.25 million parameters


class Separable(nn.Module):
    """A convolution per channel, then one across channels, each normalised; a shortcut if it fits.

    Source: Howard et al. 2017, section 3.1.
    """

    def __init__(self, above: int, below: int, stride: int):
        super().__init__()
        self.within = nn.Conv2d(above, above, 3, stride, 1, groups=above, bias=False)
        self.within_norm = nn.BatchNorm2d(above)
        self.across = nn.Conv2d(above, below, 1, bias=False)
        self.across_norm = nn.BatchNorm2d(below)
        self.residual = stride == 1 and above == below

    def forward(self, x: Float[Tensor, "batch _ _ _"]) -> Float[Tensor, "batch _ _ _"]:
        """Return the features of the layer."""
        y = F.relu(self.within_norm(self.within(x)))
        y = self.across_norm(self.across(y))
        return F.relu(x + y if self.residual else y)


class Reader(nn.Module):
    """Faces (batch, 3, 64, 64) in [-1, 1], framed like `book64`, to `outputs` numbers each.

    The last features are weighted by place and channel (a convolution per channel over all 4 x 4
    places), as faces are aligned. In evaluation mode no gradient flows.
    """

    def __init__(self, outputs: int, config: Config = BOOK):
        super().__init__()
        self.config = config
        self.stem = nn.Conv2d(3, config.channels[0], 3, stride=2, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(config.channels[0])
        layers, above = [], config.channels[0]
        for below in config.channels[1:]:
            layers += [Separable(above, below, 2), Separable(below, below, 1)]
            above = below
        self.layers = nn.Sequential(*layers)
        self.places = nn.Conv2d(above, above, 4, groups=above, bias=False)
        self.places_norm = nn.BatchNorm2d(above)
        self.head = nn.Linear(above, outputs)

    def forward(self, images: Image) -> Float[Tensor, "batch outputs"]:
        """Return the numbers, float32. Raises `ImageError` when the faces have another size."""
        require_size(images)
        with torch.set_grad_enabled(self.training and torch.is_grad_enabled()):
            x = F.relu(self.stem_norm(self.stem(images.to(self.stem.weight.dtype))))
            x = F.relu(self.places_norm(self.places(self.layers(x))))
            return self.head(x.flatten(1)).float()


class PoseRegressor(Reader):
    """Faces to yaw, pitch and roll in radians, (batch, 3), as in `camera.rotation_from_euler`."""

    method = POSE

    def __init__(self, config: Config = BOOK):
        super().__init__(3, config)


class AttributeClassifier(Reader):
    """Faces to a logit per attribute of `names`, (batch, attributes); above 0 means that it has it.

    The two answers were made to count the same in training, however rare one is, so a logit is not
    that of the probability in a population.
    """

    method = ATTRIBUTES

    def __init__(self, names: tuple[str, ...], config: Config = BOOK):
        super().__init__(len(names), config)
        self.names = tuple(names)

    def decide(self, images: Image) -> Bool[Tensor, "batch attributes"]:
        """Return which attributes faces (batch, 3, 64, 64) have, in the order of `names`."""
        return self(images) > 0


class LandmarkJudge(Reader):
    """Faces to 68 landmarks (batch, 68, 2) in pixels (x, y), in the order of 300-W.

    It judges what a loss on `face_points.landmark_regressor` has moved: another network, of another
    seed and of other faces. `mean_xy` are the mean landmarks, measured from the picture's centre; a
    new network says these for any picture.
    """

    method = LANDMARKS
    mean_xy: Float[Tensor, "68 2"]

    def __init__(self, config: Config = BOOK):
        super().__init__(2 * POINTS, config)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("mean_xy", torch.zeros(POINTS, 2))

    def forward(self, images: Image) -> Landmarks:
        """Return the landmarks, float32. Raises `ImageError` when the faces have another size."""
        offsets = super().forward(images).unflatten(1, (POINTS, 2))
        return CENTRE_PX + self.mean_xy + UNIT_PX * offsets


def balanced_accuracy(
    decided: Bool[Tensor, "batch attributes"], truth: Bool[Tensor, "batch attributes"]
) -> Float[Tensor, " attributes"]:
    """Return the mean of the shares of faces with and without an attribute that are told right.

    Guessing gives 0.5. NaN where all faces have the attribute, or none has it.
    """
    right = (decided == truth).double()
    with_it, without = truth.double(), (~truth).double()
    shares = [(right * w).sum(0) / w.sum(0) for w in (with_it, without)]
    return ((shares[0] + shares[1]) / 2).float()


def save(
    path: str | os.PathLike,
    network: PoseRegressor | AttributeClassifier | LandmarkJudge,
    **facts: Any,
) -> str:
    """Write a reader as safetensors in float16, beside and renamed; return the file's SHA-256.

    `facts` go into the header: what it was trained on, how long, how good it is. Raises
    `AssetError` when the file can't be written.
    """
    config = asdict(network.config)
    if isinstance(network, AttributeClassifier):
        facts = {**facts, "names": list(network.names)}
    return networks.save(path, network.method, network, half=True, config=config, **facts)


def _config(header: dict[str, Any]) -> Config:
    return Config(channels=tuple(header["config"]["channels"]))


def load_pose(path: str | os.PathLike, device: str = "cpu") -> PoseRegressor:
    """Return a `PoseRegressor` that `save` wrote, frozen, in evaluation mode, on `device`.

    Raises `CheckpointError` when the file is missing, damaged or of another method.
    """
    network, _ = networks.load(path, POSE, lambda header: PoseRegressor(_config(header)), WRITER)
    return network.to(device, memory_format=torch.channels_last)


def load_attributes(path: str | os.PathLike, device: str = "cpu") -> AttributeClassifier:
    """Return an `AttributeClassifier` that `save` wrote, frozen, in evaluation mode, on `device`.

    Raises `CheckpointError` when the file is missing, damaged or of another method.
    """

    def build(header: dict[str, Any]) -> AttributeClassifier:
        return AttributeClassifier(tuple(map(str, header["names"])), _config(header))

    network, _ = networks.load(path, ATTRIBUTES, build, WRITER)
    return network.to(device, memory_format=torch.channels_last)


def load_landmarks(path: str | os.PathLike, device: str = "cpu") -> LandmarkJudge:
    """Return a `LandmarkJudge` that `save` wrote, frozen, in evaluation mode, on `device`.

    Raises `CheckpointError` when the file is missing, damaged or of another method.
    """
    network, _ = networks.load(
        path, LANDMARKS, lambda header: LandmarkJudge(_config(header)), WRITER
    )
    return network.to(device, memory_format=torch.channels_last)


@functools.cache
def pose_regressor(device: str = "cpu") -> PoseRegressor:
    """Return the pose reader that comes with facelab. Raises `CheckpointError` if it is damaged."""
    return load_pose(MODELS / "pose.safetensors", device)


@functools.cache
def attribute_classifier(device: str = "cpu") -> AttributeClassifier:
    """Return the attribute reader of facelab. Raises `CheckpointError` if it is damaged."""
    return load_attributes(MODELS / "attributes.safetensors", device)


@functools.cache
def attribute_judge(device: str = "cpu") -> AttributeClassifier:
    """Return the second attribute reader: the same network from another seed, on other people.

    It judges what was made with the help of `attribute_classifier`. Raises `AssetError` while none
    is shipped and `CheckpointError` if it is damaged.
    """
    path = MODELS / "attributes_judge.safetensors"
    if not path.exists():
        raise AssetError(
            "no second attribute classifier is shipped yet; train one with `python "
            "data_scripts/train_readers.py --what attributes --seed 32 --people-seed 1 -o "
            f"{path}`"
        )
    return load_attributes(path, device)


@functools.cache
def landmark_judge(device: str = "cpu") -> LandmarkJudge:
    """Return the second reader of 68 landmarks, which no loss looks through.

    Raises `AssetError` while none is shipped and `CheckpointError` if it is damaged.
    """
    path = MODELS / "landmarks_judge.safetensors"
    if not path.exists():
        raise AssetError(
            "no second reader of landmarks is shipped yet; train one with `python "
            "data_scripts/train_readers.py --what landmarks_judge --seed 41 --people-seed 1 "
            f"--steps 9000 -o {path}`"
        )
    return load_landmarks(path, device)
