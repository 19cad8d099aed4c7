"""HSE-FaceRes: a second face recogniser, small and quick; it also guesses gender and age.

A MobileNet (Howard et al. 2017, width 1) that A. V. Savchenko trained to tell the people of
VGGFace2 apart, with two heads for gender and age on its features ("Efficient facial representations
for age, gender and identity recognition in organizing photo albums using multi-output ConvNet",
PeerJ Computer Science 5:e197, 2019). 224 x 224 pixels in, 1,024 numbers out. The weights are the
asset `faceres`: rounded to float16, and converted to TensorFlow.js by V. Mandic.

dlib's recogniser shares neither author, network, loss nor data set with it, so that one can judge
what the other has taught; but both learned from pictures of celebrities. What it says about gender
and age is a guess from pixels, after what its training pictures were labelled with; it is no fact
about a person.

What TensorFlow does otherwise than torch: "same" padding puts what is left over at the end, so that
a 3 x 3 kernel with stride 2 on an even side pads the right and the bottom alone. Turned by 180
degrees, the picture and the kernels, that is torch's own padding by one, which takes no copy. The
file has the batch normalisations as a factor and a summand per channel; `fold` multiplies the
factor into the convolution before it. Both change nothing but the rounding.
"""

import functools
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facelab import assets
from facelab.errors import CheckpointError
from facelab.recognition.embedder import Embedder
from facelab.recognition.tfjs_file import TfjsFile
from facelab.types import Embedding, Image

ASSET, FILE = "faceres", "faceres.json"
SIZE = 224
# Mean red, green and blue of ImageNet, in levels of 0 to 255: the network takes levels less these.
PIXEL_MEAN = (123.68, 116.779, 103.939)
Blocks = tuple[tuple[int, int, int], ...]  # (channels in, channels out, stride) of each
BLOCKS: Blocks = (
    (32, 64, 1),
    (64, 128, 2),
    (128, 128, 1),
    (128, 256, 2),
    (256, 256, 1),
    (256, 512, 2),
    *[(512, 512, 1)] * 5,
    (512, 1024, 2),
    (1024, 1024, 1),
)
HIDDEN = 256
# The head for age has one class a year; the first is the first year, 1 (HSE_FaceRec_tf).
YEARS = 100
THRESHOLD_SQUARED = 0.78  # records/faceres.json: FMR = FNMR on validation people
# How many faces go through a processor at once: of more, the features don't fit its cache.
AT_ONCE = {"cpu": 4}

# Channels, rows and columns change from layer to layer.
Features = Float[Tensor, "batch _ _ _"]
Guesses = Float[Tensor, " batch"]


# --- the file ------------------------------------------------------------------------------------


def read_graph(path: str | os.PathLike, blocks: Blocks = BLOCKS) -> dict[str, Tensor]:
    """Read `faceres.json` and, beside it, `faceres.bin`: the weights by TensorFlow's names.

    Raises `CheckpointError` when a file is missing, damaged or of another network.
    """
    file = TfjsFile(
        path,
        holds="the recogniser HSE-FaceRes",
        remedy="fetch it again with `facelab assets fetch faceres`",
    )
    constants = _constants(blocks)
    shapes = {name: tuple(tensor.shape) for name, tensor in constants.items()}
    tensors = file.tensors(_shapes(blocks) | shapes)
    for name, expected in constants.items():
        found = tensors.pop(name).tolist()
        if found != expected.tolist():
            file.fail(f"{name} {expected.tolist()}", str(found))
    return tensors


def _convolutions(blocks: Blocks) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return, by TensorFlow's name of each layer, our name and the shape of its kernel."""
    layers = {"conv1": ("stem", (3, 3, 3, blocks[0][0]))}
    for index, (above, below, _) in enumerate(blocks):
        layers[f"conv_dw_{index + 1}"] = (f"blocks.{index}.depthwise", (3, 3, above, 1))
        layers[f"conv_pw_{index + 1}"] = (f"blocks.{index}.pointwise", (1, 1, above, below))
    return layers


def _kernel_name(layer: str) -> str:
    return f"{layer}/{'depthwise_kernel' if '_dw_' in layer else 'convolution/merged_input'}"


def _shapes(blocks: Blocks) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight that the file has to have."""
    shapes = {}
    for layer, (_, kernel) in _convolutions(blocks).items():
        shapes[_kernel_name(layer)] = kernel
        depthwise = "_dw_" in layer
        channels = kernel[2] if depthwise else kernel[3]
        for part in ("mul", "sub") if depthwise else ("sub",):
            shapes[f"{layer}_bn/batchnorm_1/{part}"] = (channels,)
    for head, (above, below) in _heads(blocks).items():
        shapes |= {f"{head}/kernel": (above, below), f"{head}/bias": (below,)}
    return shapes


def _heads(blocks: Blocks) -> dict[str, tuple[int, int]]:
    return {
        "feats": (blocks[-1][1], HIDDEN),
        "gender_pred": (HIDDEN, 1),
        "age_pred": (HIDDEN, YEARS),
    }


def _constants(blocks: Blocks) -> dict[str, Tensor]:
    """Return what else the file has: what `Network` does anyway.

    Every activation is limited to between 0 and 6 (relu6), and the mean is over rows and columns.
    """
    limits = {"Cast": torch.tensor(6.0), "Const_1": torch.tensor(0.0)}
    constants = {
        f"{layer}_relu/{k}": v for layer in _convolutions(blocks) for k, v in limits.items()
    }
    axes = torch.tensor([1, 2], dtype=torch.int32)
    return constants | {"global_pooling/Mean/reduction_indices": axes}


# --- the network ---------------------------------------------------------------------------------


def fold(tensors: dict[str, Tensor], blocks: Blocks = BLOCKS) -> dict[str, Tensor]:
    """Return `Network`'s state dictionary, from what `read_graph` returns.

    TensorFlow has kernels as (rows, columns, in, out), torch as (out, in, rows, columns), and a
    depthwise one as (rows, columns, out, 1). The factor of a normalisation is multiplied into the
    kernel before it, in float64. All kernels are turned by 180 degrees, and the first one takes
    red, green, blue instead of blue, green, red.
    """
    folded = {}
    for layer, (name, _) in _convolutions(blocks).items():
        kernel = tensors[_kernel_name(layer)].double()
        if "_dw_" in layer:
            factor = tensors[f"{layer}_bn/batchnorm_1/mul"].double()
            weight = kernel.permute(2, 3, 0, 1) * factor[:, None, None, None]
        else:
            weight = kernel.permute(3, 2, 0, 1)
        folded[f"{name}.weight"] = weight.flip(2, 3).float()
        folded[f"{name}.bias"] = tensors[f"{layer}_bn/batchnorm_1/sub"]
    folded["stem.weight"] = folded["stem.weight"].flip(1)
    for head in _heads(blocks):
        name = head.removesuffix("_pred")
        folded[f"{name}.weight"] = tensors[f"{head}/kernel"].T.contiguous()
        folded[f"{name}.bias"] = tensors[f"{head}/bias"]
    return folded


class Separable(nn.Module):
    """A 3 x 3 convolution of each channel by itself, then one of 1 x 1 across them."""

    def __init__(self, above: int, below: int, stride: int):
        super().__init__()
        self.depthwise = nn.Conv2d(above, above, 3, stride, padding=1, groups=above)
        self.pointwise = nn.Conv2d(above, below, 1)

    def forward(self, x: Features) -> Features:
        """Return relu6(pointwise(relu6(depthwise(x))))."""
        x = F.relu6(self.depthwise(x), inplace=True)
        return F.relu6(self.pointwise(x), inplace=True)


class Network(nn.Module):
    """The network alone: images (batch, 3, side, side) in [-1, 1] to features and guesses."""

    def __init__(self, blocks: Blocks = BLOCKS):
        super().__init__()
        self.stem = nn.Conv2d(3, blocks[0][0], 3, stride=2, padding=1)
        self.blocks = nn.Sequential(*(Separable(*block) for block in blocks))
        self.feats = nn.Linear(blocks[-1][1], HIDDEN)
        self.gender, self.age = nn.Linear(HIDDEN, 1), nn.Linear(HIDDEN, YEARS)

    def forward(self, images: Image) -> Embedding:
        """Return the features (batch, 1024), none of them negative, in the weights' data type."""
        at_once = AT_ONCE.get(images.device.type, len(images))
        parts = [self._features(part) for part in images.split(max(1, at_once))]
        return torch.cat(parts)

    def _features(self, images: Image) -> Embedding:
        mean = images.new_tensor(PIXEL_MEAN)[:, None, None]
        levels = ((images + 1) * 127.5 - mean).flip(2, 3)
        x = F.relu6(self.stem(levels.to(self.stem.weight.dtype)), inplace=True)
        return self.blocks(x).mean(dim=(2, 3))

    def guess(self, features: Embedding) -> tuple[Guesses, Guesses]:
        """Return the probability of "male" and the expected age in years, both float32.

        The paper takes the expectation over the two likeliest years; this is over all of them.
        """
        hidden = F.relu(self.feats(features))
        male = torch.sigmoid(self.gender(hidden).float())[:, 0]
        years = torch.arange(1, YEARS + 1, device=features.device, dtype=torch.float32)
        return male, torch.softmax(self.age(hidden).float(), dim=1) @ years


class FaceRes(Embedder):
    """HSE-FaceRes behind the interface that all embedders share; raw embeddings have length one."""

    id = "faceres"
    size = SIZE
    template = "faceres224"
    threshold = THRESHOLD_SQUARED**0.5
    threshold_squared = THRESHOLD_SQUARED

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def forward(self, images: Image) -> Embedding:
        """Return the embeddings, shape (batch, 1024), of faces (batch, 3, 224, 224)."""
        self.require_size(images)
        return F.normalize(self.network(images), dim=1)

    def gender_and_age(self, images: Image) -> tuple[Guesses, Guesses]:
        """Return the probability of "male" and the expected age in years, as the network guesses.

        Takes faces as `forward` does. Differentiable. Raises `ImageError` when they have another
        size.
        """
        self.require_size(images)
        return self.network.guess(self.network(images))


@functools.cache
def faceres(device: str = "cpu") -> FaceRes:
    """Return the recogniser, frozen, float32, channels last, on `device`.

    The asset `faceres` is fetched when it is not in the cache and converted to safetensors once.
    One object per device is shared by all callers: take a `copy.deepcopy` before changing its data
    type or its weights. Raises `CheckpointError` when the converted file is damaged.
    """
    path = assets.derived(ASSET, "folded", lambda folder: fold(read_graph(Path(folder, FILE))))
    network = Network()
    try:
        network.load_state_dict(assets.load_weights(path))
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} does not hold the recogniser HSE-FaceRes; delete it, it is made again from "
            "the asset"
        ) from error
    recogniser = FaceRes(network).eval().requires_grad_(False)
    return recogniser.to(device, memory_format=torch.channels_last)
