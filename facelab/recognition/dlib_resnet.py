"""dlib's face recogniser as a torch module: 150 x 150 pixels in, 128 numbers out.

A residual network of 29 convolutions (D. King, "High Quality Face Recognition with Deep Metric
Learning", dlib.net, 2017), trained on about three million faces with a metric loss: two faces of
one person lie within a Euclidean distance of 0.6, faces of two people beyond it.

What differs from a textbook ResNet, all of it dlib's doing:

- A convolution with stride 2 has no padding, and neither have the pools: 150 -> 72 -> 35 -> 17 ->
  8 -> 3 (4 with the shortcut) -> 1.
- A shortcut that halves the side is a 2 x 2 average pool, without weights. Where it has fewer
  channels than the block, or the block has fewer rows, the smaller one is filled up with zeros.
- Batch normalisation is frozen to a factor and a summand per channel. `fold` multiplies them into
  the convolution before, and the input's normalisation into the first one, which has no padding;
  this changes nothing but the rounding.
- The last layer has no bias, and the result is not brought to length one.
"""

import functools
import os
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facelab import assets
from facelab.errors import CheckpointError
from facelab.recognition.dlib_file import DlibFile
from facelab.recognition.embedder import Embedder
from facelab.types import Embedding, Image

SIZE = 150
FEATURES = 128
# Mean red, green and blue of the training faces, in levels of 0 to 255 (the file has them too).
PIXEL_MEAN = (122.782, 117.001, 104.298)
# The Euclidean distance of raw embeddings that training pulled faces of one person below.
THRESHOLD = 0.6
# (channels in, channels out, whether the side is halved), from the image to the embedding.
BLOCKS = (
    *[(32, 32, False)] * 3,
    (32, 64, True),
    *[(64, 64, False)] * 3,
    (64, 128, True),
    *[(128, 128, False)] * 2,
    (128, 256, True),
    *[(256, 256, False)] * 2,
    (256, 256, True),
)

# A stage is all blocks of one resolution; the blocks that end the last two.
STAGE_ENDS = {4: 12, 5: 13}

# Channels, rows and columns change from layer to layer.
Features = Float[Tensor, "batch _ _ _"]


# --- the file ------------------------------------------------------------------------------------


def read_dat(path: str | os.PathLike) -> dict[str, Tensor]:
    """Read `dlib_face_recognition_resnet_model_v1.dat`.

    Returns, for every convolution NAME (stem, blocks.0.first, blocks.0.second ...), NAME.weight
    (out, in, rows, columns), NAME.bias, NAME.factor and NAME.summand (out,), the last two being
    the frozen batch normalisation; and head.weight (128, 256).

    Raises `CheckpointError`, with the offset, when the file is missing, cut short, damaged or of
    another network.
    """
    file = DlibFile(
        path,
        holds="dlib's face recogniser",
        remedy="fetch it again with `facelab assets fetch dlib-resnet`",
    )
    tensors: dict[str, Tensor] = {}
    _read_start(file)
    _read_convolution(file, "stem", tensors, channels=(3, 32), side=7, stride=2)
    _read_layer_end(file, first=True)
    _read_affine(file, "stem", tensors, channels=32)
    _read_named(file, "relu_")
    _read_pool(file, "max_pool_2", side=3, stride=2)
    for index, (above, below, halves) in enumerate(BLOCKS):
        _read_block(file, f"blocks.{index}", tensors, (above, below), halves)
    _read_pool(file, "avg_pool_2", side=0, stride=1)  # side 0: over the whole picture
    _read_head(file, tensors)
    file.end()
    return tensors


def _read_start(file: DlibFile) -> None:
    """Read what lies before the first layer: the loss, one version number a layer, the input."""
    file.require(1, "version of the loss layer")
    file.text("loss_metric_2")
    file.real("margin of the loss")
    file.require_real(THRESHOLD, "distance threshold of the loss")
    for version in _layer_versions():
        file.require(version, "version of a layer")
    file.text("input_rgb_image_sized")
    for mean in PIXEL_MEAN:
        file.require_real(mean, "mean colour")
    for side in ("rows", "columns"):
        file.require(SIZE, f"{side} of the input")


def _layer_versions() -> list[int]:
    """Return each layer's version, from the last layer to the first: 1 marks dlib's tags."""
    layer, tag, first_layer = 2, 1, 3
    versions = [first_layer, layer, layer, layer]  # convolution, affine, relu, max pool
    for _, _, halves in BLOCKS:
        versions += [tag, *[layer] * 5]  # convolution, affine, relu, convolution, affine
        versions += [tag, tag, layer] if halves else []  # the shortcut's tag, skip, average pool
        versions += [layer, layer]  # sum, relu
    versions += [layer, layer]  # average pool, matrix
    return versions[::-1]


def _read_block(
    file: DlibFile, name: str, tensors: dict, channels: tuple[int, int], halves: bool
) -> None:
    below = channels[1]
    stride = 2 if halves else 1
    _read_convolution(file, f"{name}.first", tensors, channels=channels, side=3, stride=stride)
    _read_layer_end(file)
    _read_affine(file, f"{name}.first", tensors, channels=below)
    _read_named(file, "relu_")
    _read_convolution(file, f"{name}.second", tensors, channels=(below, below), side=3, stride=1)
    _read_layer_end(file)
    _read_affine(file, f"{name}.second", tensors, channels=below)
    if halves:
        _read_pool(file, "avg_pool_2", side=2, stride=2)
    _read_named(file, "add_prev_")
    _read_named(file, "relu_")


def _read_convolution(
    file: DlibFile, name: str, tensors: dict, *, channels: tuple[int, int], side: int, stride: int
) -> None:
    above, below = channels
    shape = (below, above, side, side)
    count = below * above * side * side
    padding = side // 2 if stride == 1 else 0
    file.text("con_4")
    parameters = file.tensor((count + below, 1, 1, 1), f"{name}: parameters").flatten()
    file.require(below, f"{name}: filters")
    for what, value in (("side", side), ("stride", stride), ("padding", padding)):
        for _ in range(2):  # rows, columns
            file.require(value, f"{name}: {what}")
    file.sizes(shape, f"{name}: filters")
    file.sizes((1, below, 1, 1), f"{name}: biases")
    for _ in range(4):
        file.real(f"{name}: training multiplier")
    tensors[f"{name}.weight"] = parameters[:count].reshape(shape)
    tensors[f"{name}.bias"] = parameters[count:].clone()


def _read_affine(file: DlibFile, name: str, tensors: dict, *, channels: int) -> None:
    file.text("affine_")
    parameters = file.tensor((2 * channels, 1, 1, 1), f"{name}: factors and summands").flatten()
    file.sizes((1, channels, 1, 1), f"{name}: factors")
    file.sizes((1, channels, 1, 1), f"{name}: summands")
    file.require(0, f"{name}: mode (0: one number a channel)")
    tensors[f"{name}.factor"] = parameters[:channels].clone()
    tensors[f"{name}.summand"] = parameters[channels:].clone()
    _read_layer_end(file)


def _read_pool(file: DlibFile, kind: str, *, side: int, stride: int) -> None:
    file.text(kind)
    for what, value in (("side", side), ("stride", stride), ("padding", 0)):
        for _ in range(2):  # rows, columns
            file.require(value, f"{kind}: {what}")
    _read_layer_end(file)


def _read_head(file: DlibFile, tensors: dict) -> None:
    above = BLOCKS[-1][1]
    file.text("fc_2")
    file.require(FEATURES, "head: numbers out")
    file.require(above, "head: numbers in")
    parameters = file.tensor((above, FEATURES, 1, 1), "head: parameters")
    file.sizes((above, FEATURES, 1, 1), "head: weights")
    file.sizes((0, 0, 0, 0), "head: biases")
    file.require(1, "head: mode (1: no bias)")
    for _ in range(4):
        file.real("head: training multiplier")
    tensors["head.weight"] = parameters[:, :, 0, 0].T.contiguous()
    _read_layer_end(file)


def _read_named(file: DlibFile, kind: str) -> None:
    """Read a layer that has a name and nothing else."""
    file.text(kind)
    _read_layer_end(file)


def _read_layer_end(file: DlibFile, first: bool = False) -> None:
    """Read what ends every layer: three flags and three training buffers, which are empty."""
    for _ in range(3):
        file.flag("a layer's flag")
    for _ in range(3):
        file.tensor((0, 0, 0, 0), "a layer's training buffer")
    if first:
        file.require(1, "samples per image")


# --- the network ---------------------------------------------------------------------------------


def fold(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Multiply the normalisations into the convolutions, in float64.

    With y = factor (weight * x + bias) + summand, the new weight is factor weight and the new bias
    factor bias + summand. The first convolution then sees x = (127.5 (image + 1) - mean) / 256;
    that is linear as well. Takes what `read_dat` returns; returns `DlibResNet`'s state dictionary.
    """
    folded = {"head.weight": tensors["head.weight"]}
    for name in [key.removesuffix(".factor") for key in tensors if key.endswith(".factor")]:
        parts = ("weight", "bias", "factor", "summand")
        weight, bias, factor, summand = (tensors[f"{name}.{part}"].double() for part in parts)
        weight, bias = weight * factor[:, None, None, None], bias * factor + summand
        if name == "stem":
            offset = (127.5 - torch.tensor(PIXEL_MEAN, dtype=torch.float64)) / 256
            bias = bias + torch.einsum("oihw,i->o", weight, offset)
            weight = weight * (127.5 / 256)
        folded[f"{name}.weight"], folded[f"{name}.bias"] = weight.float(), bias.float()
    return folded


def add(a: Features, b: Features) -> Features:
    """Add two tensors; where one is smaller, it is filled up with zeros at the end (dlib's sum)."""
    if a.shape == b.shape:
        return a + b
    channels, rows, columns = (max(pair) for pair in zip(a.shape[1:], b.shape[1:], strict=True))
    padded = [
        F.pad(x, (0, columns - x.shape[3], 0, rows - x.shape[2], 0, channels - x.shape[1]))
        for x in (a, b)
    ]
    return padded[0] + padded[1]


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut; `halves` makes the picture half as large."""

    def __init__(self, above: int, below: int, halves: bool):
        super().__init__()
        self.halves = halves
        stride, padding = (2, 0) if halves else (1, 1)
        self.first = nn.Conv2d(above, below, 3, stride=stride, padding=padding)
        self.second = nn.Conv2d(below, below, 3, padding=1)

    def forward(self, x: Features) -> Features:
        """Return relu(shortcut + second(relu(first(x))))."""
        shortcut = F.avg_pool2d(x, 2) if self.halves else x
        y = F.relu(self.first(x), inplace=True)
        return F.relu(add(self.second(y), shortcut), inplace=True)


class DlibResNet(nn.Module):
    """The network alone: images (batch, 3, 150, 150) in [-1, 1] to raw embeddings (batch, 128)."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, BLOCKS[0][0], 7, stride=2)
        self.blocks = nn.Sequential(*(Residual(*block) for block in BLOCKS))
        self.head = nn.Linear(BLOCKS[-1][1], FEATURES, bias=False)

    def forward(self, images: Image) -> Embedding:
        """Return the raw embeddings, in the data type of the weights."""
        x = self.blocks(self.begin(images))
        return self.head(x.mean(dim=(2, 3)))

    def begin(self, images: Image) -> Features:
        """Return what the blocks are given: the first convolution's maps, clipped and pooled."""
        x = self.stem(images.to(self.stem.weight.dtype))
        # The largest of clipped values is the clipped largest: a quarter of the work.
        return F.relu(F.max_pool2d(x, 3, stride=2), inplace=True)

    def stages(self, images: Image, numbers: Sequence[int]) -> list[Features]:
        """Return the maps after these stages, numbers of `STAGE_ENDS`, ascending."""
        found, x, first = [], self.begin(images), 0
        for number in numbers:
            end = STAGE_ENDS[number] + 1
            x, first = self.blocks[first:end](x), end
            found.append(x)
        return found


class DlibEmbedder(Embedder):
    """dlib's recogniser behind the interface that all embedders share."""

    id = "dlib"
    size = SIZE
    template = "dlib150"
    threshold = THRESHOLD
    # (0.6 / 1.40)^2: aligned faces have raw embeddings of length 1.40 (root mean square, 1.2-1.5).
    threshold_squared = 0.184

    def __init__(self, network: DlibResNet):
        super().__init__()
        self.network = network

    def forward(self, images: Image) -> Embedding:
        """Return the raw embeddings, shape (batch, 128), of faces (batch, 3, 150, 150)."""
        self.require_size(images)
        return self.network(images)


def load_dat(path: str | os.PathLike) -> DlibResNet:
    """Build the network from dlib's own file. Raises `CheckpointError` as `read_dat` does."""
    network = DlibResNet()
    network.load_state_dict(fold(read_dat(path)))
    return network.eval().requires_grad_(False)


@functools.cache
def dlib(device: str = "cpu") -> DlibEmbedder:
    """Return dlib's recogniser, frozen, float32, channels last (the fastest), on `device`.

    The asset `dlib-resnet` is fetched when it is not in the cache and converted to safetensors
    once. One object per device is shared by all callers: take a `copy.deepcopy` before changing its
    data type or its weights. Raises `CheckpointError` when the converted file is damaged.
    """
    path = assets.derived("dlib-resnet", "folded", lambda original: fold(read_dat(original)))
    network = DlibResNet()
    try:
        network.load_state_dict(assets.load_weights(path))
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} does not hold dlib's recogniser; delete it, it is made again from the asset"
        ) from error
    recogniser = DlibEmbedder(network).eval().requires_grad_(False)
    return recogniser.to(device, memory_format=torch.channels_last)
