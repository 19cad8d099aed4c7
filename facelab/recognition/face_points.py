"""Where 68 landmarks of a face are, as a function of its pixels: a network to learn through.

A small residual network says how far each landmark is from where it is on average. Faces are framed
like the book's generators draw them (the template `book64`), so that the average is close already.
Gradients flow to the pixels: a loss on landmarks can move a generator. What scores landmarks must
be another network or a detector (MTCNN).

It is trained by `data_scripts/train_readers.py` with the wing loss (Feng et al. 2018,
`losses.wing_loss`) on AnnyFaces, rendered people who do not exist, and on generated faces.
"""

import functools
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facelab.assets import networks
from facelab.errors import ImageError, ParameterError
from facelab.recognition.book_embedder import Block
from facelab.types import Image, Landmarks

METHOD = "landmark_regressor"
SIZE, POINTS = 64, 68
CENTRE_PX = (SIZE - 1) / 2
UNIT_PX = 8.0  # one of the head's outputs is that many pixels
MODELS = Path(__file__).parent / "models"
LEFT_EYE, RIGHT_EYE = 36, 45  # outer corners, whose distance errors are divided by (300-W)
# Templates have five points; among the 68: eyes, tip of the nose, corners of the mouth.
FIVE = (tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48,), (54,))


@dataclass(frozen=True)
class Config:
    """How large the network is: channels after the stem, at 32 x 32 pixels, and of each stage.

    Every stage halves the side and has two blocks. Raises `ParameterError` when they don't fit.
    """

    channels: tuple[int, ...] = (24, 32, 64, 112)

    def __post_init__(self):
        whole = all(type(n) is int and 0 < n <= 1024 for n in self.channels)
        if not whole or not 2 <= len(self.channels) <= 5:
            raise ParameterError(
                f"a network of channels {self.channels} can't be built; give two to five whole "
                "numbers from 1 to 1,024"
            )


TINY = Config(channels=(8, 12, 16))
BOOK = Config()  # 0.8 million parameters


class LandmarkRegressor(nn.Module):
    """Faces (batch, 3, 64, 64) in [-1, 1] to landmarks (batch, 68, 2) in pixels (x, y).

    The order is that of 300-W. `mean_xy` are the mean landmarks, measured from the picture's
    centre; a new network says these for any picture.
    """

    mean_xy: Float[Tensor, "68 2"]

    def __init__(self, config: Config = BOOK):
        super().__init__()
        self.config = config
        self.stem = nn.Conv2d(3, config.channels[0], 3, stride=2, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(config.channels[0])
        blocks, above = [], config.channels[0]
        for below in config.channels[1:]:
            blocks += [Block(above, below, stride=2), Block(below, below, stride=1)]
            above = below
        self.blocks = nn.Sequential(*blocks)
        side = SIZE >> len(config.channels)
        # Not averaged over the picture: where something is, is the question.
        self.head = nn.Linear(above * side * side, 2 * POINTS)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("mean_xy", torch.zeros(POINTS, 2))

    def forward(self, images: Image) -> Landmarks:
        """Return the landmarks, float32. Raises `ImageError` when the faces have another size."""
        require_size(images)
        x = F.relu(self.stem_norm(self.stem(images.to(self.stem.weight.dtype))))
        offsets = self.head(self.blocks(x).flatten(1)).float().unflatten(1, (POINTS, 2))
        return CENTRE_PX + self.mean_xy + UNIT_PX * offsets


def require_size(images: Tensor) -> None:
    """Raise `ImageError` unless the images are 64 x 64 pixels."""
    if tuple(images.shape[2:]) != (SIZE, SIZE):
        raise ImageError(
            f"faces of {SIZE} x {SIZE} pixels are needed, got {images.shape[3]} x "
            f"{images.shape[2]}; align them to the template 'book64' with "
            "facelab.recognition.align.crop_faces"
        )


def five_points(landmarks: Landmarks) -> Float[Tensor, "batch 5 2"]:
    """Return the points of a template, (batch, 5, 2), that 68 landmarks (batch, 68, 2) stand for.

    An eye is the mean of the six points around it. Differentiable.
    """
    return torch.stack([landmarks[:, list(points)].mean(1) for points in FIVE], dim=1)


def normalised_error(points: Landmarks, target: Landmarks) -> Float[Tensor, " batch"]:
    """Return each face's mean distance of points to the true ones, in inter-ocular distances.

    That is the distance of the true outer corners of the eyes, as in 300-W; both arguments are
    (batch, 68, 2). It is the distance in the picture, so it shrinks as a head turns to the side.
    """
    between_eyes = (target[:, LEFT_EYE] - target[:, RIGHT_EYE]).norm(dim=1)
    return (points - target).norm(dim=2).mean(dim=1) / between_eyes


def save(path: str | os.PathLike, network: LandmarkRegressor, **facts: Any) -> str:
    """Write a network as safetensors in float16, beside and renamed; return the file's SHA-256.

    `facts` go into the header: what it was trained on, how long, how good it is. Raises
    `AssetError` when the file can't be written.
    """
    return networks.save(path, METHOD, network, half=True, config=asdict(network.config), **facts)


def load(path: str | os.PathLike, device: str = "cpu") -> LandmarkRegressor:
    """Return a network that `save` wrote, frozen, float32, in evaluation mode, on `device`.

    Raises `CheckpointError` when the file is missing, damaged or of another method.
    """
    writer = "facelab.recognition.face_points.save"
    network, _ = networks.load(path, METHOD, _build, writer)
    return network.to(device, memory_format=torch.channels_last)


def _build(header: dict[str, Any]) -> LandmarkRegressor:
    return LandmarkRegressor(Config(channels=tuple(header["config"]["channels"])))


@functools.cache
def landmark_regressor(device: str = "cpu") -> LandmarkRegressor:
    """Return the network that comes with facelab. Raises `CheckpointError` when it is damaged."""
    return load(MODELS / "landmarks.safetensors", device)
