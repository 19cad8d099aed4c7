"""DIAT's networks: T of Table 1, D of Table 2, the denoiser, and the local enhancement network.

The tables say neither how layers are normalised nor which activation they have. Here T has what
the network has from which its shape comes (Johnson et al. 2016): normalisation after every
convolution but the last, within each picture, and ReLU. D has leaky ReLU, as DCGAN's, and no
normalisation, so that its maps of two pictures can be compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facelab.generators import presets
from facelab.types import Image

SLOPE = 0.2
Features = Float[Tensor, "batch _ _ _"]
Mask = Float[Tensor, "batch 1 height width"]


@dataclass(frozen=True)
class Shape:
    """Sizes of T: channels at full size, residual blocks, and whether the input is added at last.

    Table 1 has 32 channels, 5 blocks and no such sum. With `skip` T says what to change, begins at
    "nothing", and needs no pre-training to copy: what a short run can afford. Raises
    `ParameterError` on what can't be used.
    """

    width: int = 32
    blocks: int = 5
    skip: bool = False

    def __post_init__(self):
        presets.require_whole({"width": self.width, "blocks": self.blocks}, most=512)


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut. Source: Johnson et al. 2016."""

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.first_norm = _norm(width)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.second_norm = _norm(width)

    def forward(self, x: Features) -> Features:
        """Return x plus what the block adds, same shape."""
        y = F.relu(self.first_norm(self.first(x)))
        return x + self.second_norm(self.second(y))


class TransformNetwork(nn.Module):
    """T: faces (batch, 3, size, size) to faces of the same size, a multiple of 4 from 8 on.

    Convolutions 9 x 9, 3 x 3 / 2, 3 x 3 / 2, residual blocks, deconvolutions 3 x 3 / 2, 3 x 3 / 2,
    10 x 10. The first deconvolution is padded to double its input; the second is not and gives one
    pixel less than that (127 of 128), as printed, which the last one, with its even kernel, makes
    good. Source: Table 1; the padding is an erratum (it prints 64 from 32 without).
    """

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape, n = shape, shape.width
        self.down = nn.ModuleList(
            [
                nn.Conv2d(3, n, 9, padding=4),
                nn.Conv2d(n, 2 * n, 3, stride=2, padding=1),
                nn.Conv2d(2 * n, 4 * n, 3, stride=2, padding=1),
            ]
        )
        self.blocks = nn.Sequential(*[Residual(4 * n) for _ in range(shape.blocks)])
        self.up = nn.ModuleList(
            [
                nn.ConvTranspose2d(4 * n, 2 * n, 3, stride=2, padding=1, output_padding=1),
                nn.ConvTranspose2d(2 * n, n, 3, stride=2, padding=1),
            ]
        )
        self.down_norms = nn.ModuleList([_norm(n), _norm(2 * n), _norm(4 * n)])
        self.up_norms = nn.ModuleList([_norm(2 * n), _norm(n)])
        self.last = nn.ConvTranspose2d(n, 3, 10, padding=4)
        initialise(self)
        if shape.skip:
            nn.init.zeros_(self.last.weight)

    def forward(self, images: Image) -> Image:
        """Return faces: within [-1, 1], or with `skip` the input and what is added, unbounded."""
        x = images
        for layer, norm in zip(self.down, self.down_norms, strict=True):
            x = F.relu(norm(layer(x)))
        x = self.blocks(x)
        for layer, norm in zip(self.up, self.up_norms, strict=True):
            x = F.relu(norm(layer(x)))
        x = self.last(x)
        return (images + x if self.shape.skip else torch.tanh(x)).float()


class Discriminator(nn.Module):
    """D: faces (batch, 3, size, size) to one logit each; `size` is a multiple of 16.

    Six convolutions, 1,000 hidden units, one output. `width` is the channels of the first, 32 in
    Table 2. D(x) = sigmoid(logit) is what both losses see: the log loss of the game and the least
    squares of the pre-training. Source: Table 2.
    """

    def __init__(self, size: int, width: int = 32, hidden: int = 1000):
        super().__init__()
        n = width
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(3, n, 8, stride=2, padding=3),
                nn.Conv2d(n, n, 3, padding=1),
                nn.Conv2d(n, 2 * n, 4, stride=2, padding=1),
                nn.Conv2d(2 * n, 2 * n, 3, padding=1),
                nn.Conv2d(2 * n, 4 * n, 4, stride=2, padding=1),
                nn.Conv2d(4 * n, 4 * n, 4, stride=2, padding=1),
            ]
        )
        self.hidden = nn.Linear(4 * n * (size // 16) ** 2, hidden)
        self.head = nn.Linear(hidden, 1)
        initialise(self)

    def features(self, images: Image, layers: Sequence[int]) -> list[Features]:
        """Return D_l(x), what the convolutions of these numbers (1 to 6) give after activation."""
        found, x = [], images
        for number, layer in enumerate(self.convolutions[: max(layers)], start=1):
            x = F.leaky_relu(layer(x), SLOPE)
            if number in layers:
                found.append(x)
        return found

    def forward(self, images: Image) -> Float[Tensor, " batch"]:
        """Return the logit of each face being of the guided set."""
        return self.decide(self.features(images, (len(self.convolutions),))[0])

    def decide(self, features: Features) -> Float[Tensor, " batch"]:
        """Return the logits of what the sixth convolution gave."""
        x = F.leaky_relu(self.hidden(features.flatten(1)), SLOPE)
        return self.head(x)[:, 0].float()


class Denoiser(nn.Module):
    """f: two 3 x 3 convolutions that take the artefacts of T off a face.

    It begins as the identity. Source: section 3.1.1 (channels in between: ours).
    """

    def __init__(self, width: int = 32):
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.second = nn.Conv2d(width, 3, 3, padding=1)
        initialise(self)
        nn.init.zeros_(self.second.weight)

    def forward(self, images: Image) -> Image:
        """Return the faces without artefacts, same shape."""
        return (images + self.second(F.relu(self.first(images)))).float()


class LocalEnhancer(nn.Module):
    """E of local tasks: four convolutions that see the input and the transformed face.

    It begins with the transformed face. Source: section 3.2 (kernels and channels: ours).
    """

    def __init__(self, width: int = 32):
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(6, width, 5, padding=2),
                nn.Conv2d(width, width, 3, padding=1),
                nn.Conv2d(width, width, 3, padding=1),
            ]
        )
        self.last = nn.Conv2d(width, 3, 3, padding=1)
        initialise(self)
        nn.init.zeros_(self.last.weight)

    def forward(self, images: Image, transformed: Image) -> Image:
        """Return the enhanced faces, same shape."""
        x = torch.cat([images, transformed], dim=1)
        for layer in self.layers:
            x = F.relu(layer(x))
        return (transformed + self.last(x)).float()


def _norm(width: int) -> nn.InstanceNorm2d:
    return nn.InstanceNorm2d(width, affine=True)


def initialise(network: nn.Module) -> None:
    """Draw the weights of convolutions and matrices as He et al. 2015 do for ReLU, biases 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
