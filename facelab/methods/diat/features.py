"""What the perceptual identity loss looks through: layers 4 and 5 of a frozen face network.

The paper takes the fourth and fifth convolution of VGG-Face, whose weights no package registry has.

| name | network | layers |
|---|---|---|
| "dlib-stages" | the book's default recogniser | its fourth and fifth stage of one resolution |
| "dlib-layers" | the same | its fourth and fifth convolution, as deep as the paper's |
| "vgg-face" | a file that the reader has, VGG-Face in PyTorch | conv2_2 and conv3_1 |

The second is to the first what edges are to faces: where a convolution is that early, a loss on it
says little about who somebody is, and much about the picture. The paper chose it for that
("better performance on image reconstruction").
"""

import copy
import itertools
import os
from abc import ABC, abstractmethod
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facelab import assets
from facelab.errors import AssetError, CheckpointError, ParameterError
from facelab.recognition.align import reframe
from facelab.types import Image

Features = Float[Tensor, "batch _ _ _"]
Name = Literal["dlib-stages", "dlib-layers", "vgg-face"]
FRAMING = "book64"
LAST_STAGES = (4, 5)
VGG_ENVIRONMENT = "FACELAB_VGG_FACE"
# Of VGG-Face: 224 pixels, BGR, from 0 to 255 less these means (Parkhi et al. 2015).
VGG_SIZE, VGG_MEAN = 224, (93.5940, 104.7624, 129.1863)
VGG_NAMES = ("conv_1_1", "conv_1_2", "conv_2_1", "conv_2_2", "conv_3_1")
VGG_WIDTHS = (3, 64, 64, 128, 128, 256)


class FaceLayers(nn.Module, ABC):
    """A frozen network whose two layers are compared.

    `embedders` are the ids of the recognisers that it is a part of: none of them may judge what
    was trained through it.
    """

    embedders: tuple[str, ...]

    @abstractmethod
    def forward(self, images: Image) -> list[Features]:
        """Return the two layers' maps of faces framed like `book64`, differentiable."""


class DlibStages(FaceLayers):
    """The maps after the fourth and the fifth stage of dlib's recogniser."""

    embedders = ("dlib",)

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: Image) -> list[Features]:
        """Return the maps (batch, 256, 4, 4) and (batch, 256, 2, 2)."""
        return self.network.stages(_framed(images), LAST_STAGES)


class DlibLayers(FaceLayers):
    """The maps after the fourth and the fifth convolution of dlib's recogniser."""

    embedders = ("dlib",)

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: Image) -> list[Features]:
        """Return two maps (batch, 32, 35, 35), after their activations."""
        x = self.network.blocks[0](self.network.begin(_framed(images)))
        fourth = F.relu(self.network.blocks[1].first(x))
        return [fourth, F.relu(self.network.blocks[1].second(fourth) + x)]

    def first(self, images: Image) -> list[Features]:
        """Return the maps (batch, 32, 72, 72) and (batch, 32, 35, 35) of the first two."""
        maps = F.relu(self.network.stem(_framed(images)))
        pooled = F.max_pool2d(maps, 3, stride=2)
        return [maps, F.relu(self.network.blocks[0].first(pooled))]


def _framed(images: Image) -> Float[Tensor, "batch 3 side side"]:
    return reframe(images, FRAMING, "dlib150")


class VggLayers(FaceLayers):
    """conv2_2 and conv3_1 of VGG-Face, after their activations. Source: Parkhi et al. 2015."""

    embedders = ("vgg-face",)
    mean: Tensor

    def __init__(self):
        super().__init__()
        pairs = itertools.pairwise(VGG_WIDTHS)
        self.convolutions = nn.ModuleList([nn.Conv2d(a, b, 3, padding=1) for a, b in pairs])
        self.register_buffer("mean", torch.tensor(VGG_MEAN)[:, None, None], persistent=False)

    def forward(self, images: Image) -> list[Features]:
        """Return the maps (batch, 128, 112, 112) and (batch, 256, 56, 56)."""
        x, found = self._prepared(images), []
        for number, layer in enumerate(self.convolutions, start=1):
            x = F.relu(layer(x))
            if number >= 4:
                found.append(x)
            if number in (2, 4):  # the pools come after the activations
                x = F.max_pool2d(x, 2)
        return found

    def first(self, images: Image) -> list[Features]:
        """Return the maps (batch, 64, 224, 224) of conv1_1 and conv1_2, after their activations."""
        one, two = self.convolutions[:2]
        maps = F.relu(one(self._prepared(images)))
        return [maps, F.relu(two(maps))]

    def _prepared(self, images: Image) -> Float[Tensor, "batch 3 side side"]:
        size = (VGG_SIZE, VGG_SIZE)
        x = F.interpolate(images, size, mode="bilinear", align_corners=False)
        return (x.flip(1) + 1) * 127.5 - self.mean


def load_vgg(path: str | os.PathLike) -> VggLayers:
    """Return the first five convolutions of a VGG-Face file, as PyTorch ports of it are stored.

    Names are `conv_1_1.weight` or `conv1_1.weight`, and so on; all else is left out. Raises
    `CheckpointError` when the file is damaged, or has no such tensors of these shapes.
    """
    weights, network = assets.load_weights(path), VggLayers()
    found = {}
    for number, name in enumerate(VGG_NAMES):
        for kind in ("weight", "bias"):
            short = name.replace("conv_", "conv")
            tensor = weights.get(f"{name}.{kind}", weights.get(f"{short}.{kind}"))
            if tensor is None:
                raise CheckpointError(
                    f"{path} has no {name}.{kind}; give VGG-Face (Parkhi et al. 2015) as a PyTorch "
                    "state dictionary"
                )
            found[f"convolutions.{number}.{kind}"] = tensor.float()
    try:
        network.load_state_dict(found)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{path} does not fit VGG-Face: {reason}") from error
    return network


def face_layers(name: str, device: str = "cpu") -> FaceLayers:
    """Return the frozen network called `name`, on `device`.

    Raises `ParameterError` when there is none, and `AssetError` when its weights are not here:
    those of "vgg-face" are a file that FACELAB_VGG_FACE names.
    """
    if name not in get_args(Name):
        known = ", ".join(get_args(Name))
        raise ParameterError(f"there are no layers called {name!r}; choose one of: {known}")
    if name == "vgg-face":
        path = os.environ.get(VGG_ENVIRONMENT)
        if not path:
            raise AssetError(
                "VGG-Face's weights don't come with facelab; set "
                f'{VGG_ENVIRONMENT} to a file that you have, or choose "dlib-stages"'
            )
        layers: FaceLayers = load_vgg(path)
    else:
        from facelab.recognition.embedder import embedder

        # A copy: all callers share the recogniser, and a training moves its own to its device.
        network = copy.deepcopy(embedder("dlib", device).network)
        layers = DlibStages(network) if name == "dlib-stages" else DlibLayers(network)
    return layers.eval().requires_grad_(False).to(device)
