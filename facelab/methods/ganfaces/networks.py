"""G and G': shallow residual networks from one kind of face picture to another."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facelab.generators import began, presets
from facelab.types import Image

Features = Float[Tensor, "batch channels height width"]


class Residual(nn.Module):
    """Two 3 x 3 convolutions and a shortcut, then dropout. Source: Johnson et al. 2016."""

    def __init__(self, width: int, drop: float):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.first_norm = nn.InstanceNorm2d(width, affine=True)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second_norm = nn.InstanceNorm2d(width, affine=True)
        self.drop = nn.Dropout2d(drop)

    def forward(self, x: Features) -> Features:
        """Return x plus what the block adds, same shape."""
        y = F.relu(self.first_norm(self.first(x)))
        return self.drop(x + self.second_norm(self.second(y)))


@dataclass(frozen=True)
class Shape:
    """Sizes of a translator: channels at full size, residual blocks, dropout, skip connections.

    `keep` is the share of channels that dropout keeps after each block. Raises `ParameterError` on
    what can't be used.
    """

    width: int = 32
    blocks: int = 3
    keep: float = 0.9
    skips: bool = True

    def __post_init__(self):
        presets.require_whole({"width": self.width, "blocks": self.blocks}, most=512)
        presets.require_share({"keep": self.keep})
        presets.require(self.keep > 0, f"keep = {self.keep}", "a share above 0")


class Translator(nn.Module):
    """A face picture (batch, 3, size, size) to one of another domain, of the same size.

    7 x 7 convolution, two halvings of the side, residual blocks, two doublings, 7 x 7 convolution,
    tanh; normalised within each picture. With `skips`, as in G, each doubling also sees what the
    first half had at its size, and the last convolution the picture itself, which no normalisation
    has robbed of its light. Sides must be multiples of 4. Source: GANFaces, section 4.
    """

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape, n = shape, shape.width
        self.first = _layer(3, n, 7)
        self.halvings = nn.ModuleList([_layer(n, 2 * n, 3, 2), _layer(2 * n, 4 * n, 3, 2)])
        self.blocks = nn.Sequential(*[Residual(4 * n, 1 - shape.keep) for _ in range(shape.blocks)])
        more = 2 if shape.skips else 1
        self.doublings = nn.ModuleList([_layer(4 * n * more, 2 * n, 3), _layer(2 * n * more, n, 3)])
        self.last = nn.Conv2d(n * more + (3 if shape.skips else 0), 3, 7, padding=3)

    def forward(self, images: Image) -> Image:
        """Return pictures in [-1, 1]."""
        x, seen = self.first(images), []
        for layer in self.halvings:
            seen.append(x)
            x = layer(x)
        seen.append(x)
        x = self.blocks(x)
        for layer in self.doublings:
            x = F.interpolate(layer(self._beside(x, seen)), scale_factor=2.0, mode="nearest")
        x = self._beside(x, seen)
        if self.shape.skips:
            x = torch.cat([x, images], dim=1)
        return torch.tanh(self.last(x)).float()

    def _beside(self, x: Tensor, seen: list[Tensor]) -> Tensor:
        again = seen.pop()
        return torch.cat([x, again], dim=1) if self.shape.skips else x


def _layer(above: int, below: int, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(above, below, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.InstanceNorm2d(below, affine=True), nn.ReLU())


class Critic(nn.Module):
    """D_R and D_S: BEGAN's autoencoder on pictures of any size up to its own.

    Smaller pictures are mirrored outwards to the autoencoder's side, a power of two; their error
    counts over the whole.
    """

    def __init__(self, size: int, width: int, code: int):
        super().__init__()
        self.side = 1 << (size - 1).bit_length()
        config = began.Config(size=self.side, width=width, code=code, skips=True)
        self.network = began.AutoEncoder(config)
        began.initialise(self.network)

    def error(self, images: Image) -> Float[Tensor, " batch"]:
        """Return how badly each picture is reconstructed: the mean absolute error."""
        missing = self.side - images.shape[-1]
        if missing:
            low = missing // 2
            images = F.pad(images, (low, missing - low, low, missing - low), mode="reflect")
        return self.network.error(images)


@torch.no_grad()
def initialise(network: Translator) -> None:
    """Draw the convolutions' weights from N(0, 0.02), as common code for CycleGAN does.

    With skips the network begins near its input: the last convolution passes the picture on, and
    has a tenth of that deviation for the rest.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
    if network.shape.skips:
        weight = network.last.weight
        middle = weight.shape[-1] // 2
        weight.mul_(0.1)
        weight[:, -3:] = 0
        weight[:, -3:, middle, middle] = torch.eye(3)
