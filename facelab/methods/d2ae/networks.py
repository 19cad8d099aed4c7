"""The networks: encoder, the two branches, decoder, and the critic of figure 11."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facelab.errors import ParameterError
from facelab.methods.d2ae.config import Config
from facelab.methods.d2ae.spread import Spread
from facelab.recognition.book_embedder import Block
from facelab.types import Image

Maps = Float[Tensor, "batch channels rows columns"]
Codes = Float[Tensor, "batch _"]  # P's have no columns where there is no branch P
Logits = Float[Tensor, " batch"]
SLOPE = 0.2  # of the critic's leaky rectifiers
INCEPTION_CHANNELS = 1792


class Features(NamedTuple):
    """f_T and f_P of faces, (batch, features) each: who it is, and all the rest."""

    t: Codes
    p: Codes


class SmallEncoder(nn.Module):
    """E for small pictures: (batch, 3, size, size) to maps (batch, channels, rows, columns).

    A convolution of stride 2 and stages of residual blocks (He et al. 2016); each stage but the
    first halves the side. `channels` is how many the maps have.
    """

    def __init__(self, widths: Sequence[int], blocks: int):
        super().__init__()
        self.channels = widths[-1]
        self.stem = nn.Conv2d(3, widths[0], 3, stride=2, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(widths[0])
        layers: list[nn.Module] = []
        for number, (above, below) in enumerate(itertools.pairwise((widths[0], *widths))):
            layers.append(Block(above, below, stride=2 if number else 1))
            layers += [Block(below, below, stride=1) for _ in range(blocks - 1)]
        self.blocks = nn.Sequential(*layers)

    def forward(self, images: Image) -> Maps:
        """Return the maps."""
        return self.blocks(F.relu(self.stem_norm(self.stem(images))))


class InceptionResnet(nn.Module):
    """E of the paper: facenet-pytorch's Inception-ResNet v1 without its head, of random weights.

    Pictures of 235 pixels become maps (batch, 1792, rows, columns); section 4.2 puts the branches
    where its average pooling was.
    """

    channels = INCEPTION_CHANNELS

    def __init__(self):
        super().__init__()
        from facenet_pytorch.models.inception_resnet_v1 import InceptionResnetV1

        whole = InceptionResnetV1()
        head = ("avgpool_1a", "dropout", "last_linear", "last_bn")
        kept = {name: part for name, part in whole.named_children() if name not in head}
        self.body = nn.Sequential()
        for name, part in kept.items():  # they are in the order in which they run
            self.body.add_module(name, part)

    def forward(self, images: Image) -> Maps:
        """Return the maps."""
        return self.body(images)


class Branch(nn.Module):
    """B_T or B_P: three convolutions, the mean over the picture, a linear layer to the code.

    Source: section 4.2; normalisations and width are ours.
    """

    def __init__(self, channels: int, width: int, features: int):
        super().__init__()
        layers: list[nn.Module] = []
        for above in (channels, width, width):
            layers += _convolution(above, width)
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear(width, features)

    def forward(self, maps: Maps) -> Codes:
        """Return the codes (batch, features) of maps (batch, channels, rows, columns)."""
        return self.last(self.layers(maps).mean(dim=(2, 3)))


class Decoder(nn.Module):
    """D: f_T and f_P, side by side, to pictures (batch, 3, size, size).

    A linear layer to `start` x `start` maps, then levels of convolutions, each at twice the side of
    that before; the last convolution gives RGB, of any value. What is larger than `size` is cut to
    its middle, in PAPER the 256 pixels of 4 x 2^6 to 235. Source: section 4.2.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.size, self.start, self.features = config.size, config.start, config.features
        self.scale = config.picture_scale
        widths = config.decoder
        self.first = nn.Linear(2 * config.features, widths[0] * config.start**2)
        self.levels = nn.ModuleList()
        counts, last = config.convolutions, len(widths) - 1
        for number, (above, below) in enumerate(itertools.pairwise((widths[0], *widths))):
            inner = [above] + [below] * (counts[number] - 1)
            outer = [below] * (counts[number] - (number == last))
            pairs = zip(inner, outer, strict=False)  # the last level has one fewer
            layers = [part for pair in pairs for part in _convolution(*pair)]
            if number == last:
                layers.append(nn.Conv2d(inner[-1], 3, 3, padding=1))
            self.levels.append(nn.Sequential(*layers))

    def forward(self, t: Codes, p: Codes) -> Image:
        """Return pictures. Raises `ParameterError` for codes of another length."""
        if not t.shape[1] == p.shape[1] == self.features:
            raise ParameterError(
                f"codes of {t.shape[1]} and {p.shape[1]} numbers can't be decoded; give f_T and "
                f"f_P of {self.features} each"
            )
        maps = self.first(torch.cat([t, p], dim=1)).unflatten(1, (-1, self.start, self.start))
        for number, level in enumerate(self.levels):
            if number:
                maps = F.interpolate(maps, scale_factor=2, mode="nearest")
            maps = level(maps)
        return cut(maps, self.size) * self.scale


class Critic(nn.Module):
    """Figure 11's discriminator: pictures to a logit each, that of "true".

    As DCGAN's (Radford et al. 2016), convolutions of 4 x 4 with stride 2, the first without a
    normalisation; a linear layer on the mean over the picture fits every size.
    """

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        layers: list[nn.Module] = []
        for number, (above, below) in enumerate(itertools.pairwise((3, *widths))):
            layers.append(nn.Conv2d(above, below, 4, stride=2, padding=1, bias=not number))
            layers += [nn.BatchNorm2d(below)] if number else []
            layers.append(nn.LeakyReLU(SLOPE))
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear(widths[-1], 1)

    def forward(self, images: Image) -> Logits:
        """Return the logits."""
        return self.last(self.layers(images).mean(dim=(2, 3)))[:, 0].float()


def _convolution(above: int, below: int) -> list[nn.Module]:
    convolution = nn.Conv2d(above, below, 3, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(below), nn.ReLU()]


def cut(images: Image, size: int) -> Float[Tensor, "batch 3 side side"]:
    """Return the middle `size` x `size` pixels; where one is over, it is at the right and below."""
    top, left = ((side - size) // 2 for side in images.shape[2:])
    return images[:, :, top : top + size, left : left + size]


def parts_of(config: Config) -> dict[str, nn.Module]:
    """Return what a user needs of a configuration, new: all but classifiers and critic.

    "encoder", "distilling" (B_T), "spread" (of "t" and "p") and, where there are, "dispelling"
    (B_P) and "decoder".
    """
    encoder: nn.Module
    if config.encoder == "inception-resnet":
        encoder = InceptionResnet()
    else:
        encoder = SmallEncoder(config.channels, config.blocks)
    shape = (encoder.channels, config.branch, config.features)
    parts: dict[str, nn.Module] = {"encoder": encoder, "distilling": Branch(*shape)}
    if config.two:
        parts["dispelling"] = Branch(*shape)
    if config.decode:
        parts["decoder"] = Decoder(config)
    names = "tp" if config.two else "t"
    spreads = {name: Spread(config.features, config.spread_momentum) for name in names}
    return parts | {"spread": nn.ModuleDict(spreads)}


def encode(parts: Mapping[str, nn.Module], images: Image) -> Features:
    """Return f_T and f_P of faces, float32; without a branch P the latter has no columns."""
    maps = parts["encoder"](images)
    t = parts["distilling"](maps).float()
    if "dispelling" not in parts:
        return Features(t, t.new_zeros(len(t), 0))
    return Features(t, parts["dispelling"](maps).float())
