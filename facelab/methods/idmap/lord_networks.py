"""LORD's networks: codes in tables, a generator that they steer, and encoders that find them.

A person's code is called `identity` here, class code in the paper; `content` is all else that a
picture shows.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from facelab.generators import presets
from facelab.types import Embedding, Image

Features = Float[Tensor, "batch channels height width"]
Numbers = Int[Tensor, " batch"]
Identity = Float[Tensor, "batch identity"]
Content = Float[Tensor, "batch content"]

SLOPE = 0.2
EPSILON = 1e-5
SPREAD = 0.05  # codes begin between -0.05 and 0.05, as in the authors' code
MOST = 10_000_000  # people or pictures


@dataclass(frozen=True)
class Shape:
    """Sizes of LORD's networks; the defaults are those of the paper and the authors' code.

    `size` is the pictures' side, `content` and `identity` the lengths of the codes. The generator
    doubles the side once for each of `widths`, the channels of its modulated layers; `last` are the
    channels of the layer after them, and `kernels` the sides of its last two filters. An encoder
    halves the side before each of `encoder` but the first; `hidden` is the width of its two linear
    layers. Raises `ParameterError` on what can't be used.
    """

    size: int = 64
    content: int = 128
    identity: int = 256
    widths: tuple[int, ...] = (256, 256, 256, 256)
    last: int = 64
    kernels: tuple[int, ...] = (5, 7)
    encoder: tuple[int, ...] = (64, 128, 256, 256, 256)
    hidden: int = 256

    def __post_init__(self):
        names = ("size", "content", "identity", "last", "hidden")
        presets.require_whole({name: getattr(self, name) for name in names})
        for name in ("widths", "encoder"):
            widths = getattr(self, name)
            presets.require(bool(widths), f"{name} = {widths}", "one width a layer")
            presets.require_whole({f"{name} {n}": width for n, width in enumerate(widths)})
        presets.require(self.widths[0] % 8 == 0, f"widths = {self.widths}", "a multiple of 8 first")
        odd = len(self.kernels) == 2 and all(type(k) is int and k % 2 == 1 for k in self.kernels)
        presets.require(odd, f"kernels = {self.kernels}", "two odd sides")
        halvings = max(len(self.widths), len(self.encoder) - 1)
        whole = self.size % (1 << halvings) == 0
        presets.require(whole, f"size = {self.size}", f"a multiple of {1 << halvings}")


class Codes(nn.Module):
    """Two tables: a code for each person, and one for each picture.

    The tables are kept divided by `rate`, and multiplied by it when they are read: Adam, whose
    steps have one size, so moves the codes `rate` times as fast as it moves a network.
    """

    def __init__(self, people: int, pictures: int, shape: Shape, rate: float):
        super().__init__()
        self.rate = rate
        self.people = nn.Parameter(torch.empty(people, shape.identity))
        self.pictures = nn.Parameter(torch.empty(pictures, shape.content))
        for table in (self.people, self.pictures):
            nn.init.uniform_(table, -SPREAD / rate, SPREAD / rate)

    def identity(self, numbers: Numbers) -> Identity:
        """Return the codes of these people, (batch, identity)."""
        return self.rate * F.embedding(numbers, self.people)

    def content(self, numbers: Numbers) -> Content:
        """Return the codes of these pictures, (batch, content), without noise."""
        return self.rate * F.embedding(numbers, self.pictures)


def adaptive_norm(x: Features, style: Float[Tensor, "batch styles"]) -> Features:
    """Return x with mean and deviation of each channel of each picture as `style` has them.

    The first half of `style` are the means, the second the deviations. Source: Huang & Belongie
    2017, equation 8.
    """
    shift, factor = style.to(x.dtype)[:, :, None, None].chunk(2, dim=1)
    return F.instance_norm(x, eps=EPSILON) * factor + shift


class Generator(nn.Module):
    """A picture from a content code, through layers that an identity code modulates.

    Three linear layers make a small map of the content; each further layer doubles the side,
    convolves, and is normalised to what a linear map of the identity says.
    """

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape, widths = shape, shape.widths
        self.side = shape.size >> len(widths)
        places = self.side * self.side
        lengths = (shape.content, *(places * width for width in _growing(widths[0])))
        self.begin = nn.ModuleList([nn.Linear(*pair) for pair in _pairs(lengths)])
        above = (widths[0], *widths)
        self.layers = nn.ModuleList([nn.Conv2d(a, b, 3, padding=1) for a, b in _pairs(above)])
        self.styles = nn.ModuleList([nn.Linear(shape.identity, 2 * width) for width in widths])
        for style in self.styles:  # every deviation begins near 1: it is a gain of what is behind
            nn.init.zeros_(style.bias)
            nn.init.ones_(style.bias[len(style.bias) // 2 :])
        late, last = shape.kernels
        self.late = nn.Conv2d(widths[-1], shape.last, late, padding=late // 2)
        self.last = nn.Conv2d(shape.last, 3, last, padding=last // 2)

    def forward(self, identity: Identity, content: Content) -> Image:
        """Return pictures in [-1, 1]."""
        x = content
        for layer in self.begin:
            x = F.leaky_relu(layer(x), SLOPE)
        x = x.unflatten(1, (-1, self.side, self.side))
        for layer, style in zip(self.layers, self.styles, strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = adaptive_norm(F.leaky_relu(layer(x), SLOPE), style(identity))
        return torch.tanh(self.last(F.leaky_relu(self.late(x), SLOPE))).float()


def _growing(width: int) -> tuple[int, int, int]:
    return width // 8, width // 4, width


def _pairs(values: Sequence[int]) -> list[tuple[int, int]]:
    return list(itertools.pairwise(values))


class Encoder(nn.Module):
    """A code from a picture: convolutions that halve the side, then three linear layers."""

    def __init__(self, shape: Shape, code: int):
        super().__init__()
        widths, hidden = shape.encoder, shape.hidden
        halvings = [nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in _pairs(widths)]
        self.layers = nn.ModuleList([nn.Conv2d(3, widths[0], 7, padding=3), *halvings])
        side = shape.size >> len(halvings)
        lengths = (widths[-1] * side * side, hidden, hidden)
        self.hidden = nn.ModuleList([nn.Linear(*pair) for pair in _pairs(lengths)])
        self.last = nn.Linear(hidden, code)

    def forward(self, images: Image) -> Embedding:
        """Return the codes, float32."""
        x = images
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
        x = x.flatten(1)
        for layer in self.hidden:
            x = F.leaky_relu(layer(x), SLOPE)
        return self.last(x).float()


class Lord(nn.Module):
    """What is used: both encoders and the generator.

    `embedders` are the recognisers that its losses saw: none of them may judge its pictures. Faces
    are framed like `framing`.
    """

    framing = "book64"

    def __init__(self, shape: Shape, embedders: tuple[str, ...] = ()):
        super().__init__()
        self.shape, self.size, self.embedders = shape, shape.size, embedders
        self.generator = Generator(shape)
        self.identity_encoder = Encoder(shape, shape.identity)
        self.content_encoder = Encoder(shape, shape.content)

    def forward(self, identity: Image, attributes: Image) -> Image:
        """Return who `identity` shows, as `attributes` shows somebody, differentiable."""
        return self.generator(self.identity_encoder(identity), self.content_encoder(attributes))

    @torch.no_grad()
    def combine(self, identity: Image, attributes: Image) -> Image:
        """Return faces of the people of one picture that look and show what those of another do.

        Raises `ParameterError` when the faces have another size.
        """
        for images in (identity, attributes):
            presets.require_size(images, self.size)
        return self(identity, attributes)
