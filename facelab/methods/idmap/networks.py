"""The networks that are trained: E_attr, the map M, and the critic of latent vectors D_W."""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facelab.errors import ParameterError
from facelab.methods.idmap.config import Config
from facelab.types import Image

Codes = Float[Tensor, "batch _"]  # the two encoders' have lengths of their own
W = Float[Tensor, "batch *styles"]
Logits = Float[Tensor, " batch"]
SLOPE = 0.2  # of the leaky ReLUs
INCEPTION = 299  # the side that InceptionV3 was built for
INCEPTION_FEATURES = 2048


class SmallEncoder(nn.Module):
    """E_attr for small pictures: pictures (batch, 3, size, size) to codes (batch, features).

    What DCGAN's discriminator is built of (Radford et al. 2016): each convolution of 4 x 4 halves
    the side, all are normalised. The last maps are not averaged over the picture: where things are
    is what attributes are about.
    """

    def __init__(self, size: int, channels: Sequence[int], features: int):
        super().__init__()
        side = size >> len(channels)
        if not channels or not side:
            raise ParameterError(
                f"an encoder of channels {tuple(channels)} halves {size} pixels too often or not "
                "at all; give one to log2(size) widths"
            )
        layers: list[nn.Module] = []
        for above, below in itertools.pairwise((3, *channels)):
            layers.append(nn.Conv2d(above, below, 4, stride=2, padding=1, bias=False))
            layers += [nn.BatchNorm2d(below), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(channels[-1] * side * side, features)

    def forward(self, images: Image) -> Codes:
        """Return the codes."""
        return self.head(self.layers(images).flatten(1))


class InceptionEncoder(nn.Module):
    """E_attr of the paper: torchvision's InceptionV3, its last features before the classifier.

    Pictures of any size are scaled to 299 pixels. With other than 2,048 `features` a linear layer
    follows, as in the authors' code. It begins with random weights; `load_imagenet` gives it those
    that a reader has.
    """

    def __init__(self, features: int):
        super().__init__()
        from torchvision.models import inception_v3

        self.network = inception_v3(weights=None, aux_logits=False, init_weights=False)
        last = nn.Identity()
        if features != INCEPTION_FEATURES:
            last = nn.Linear(INCEPTION_FEATURES, features)
        self.network.fc = last

    def forward(self, images: Image) -> Codes:
        """Return the codes."""
        size = (INCEPTION, INCEPTION)
        x = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        return self.network(x)


def attribute_encoder(config: Config) -> nn.Module:
    """Return a new E_attr of a configuration."""
    if config.encoder == "inception":
        return InceptionEncoder(config.attribute_features)
    return SmallEncoder(config.size, config.channels, config.attribute_features)


class Mapper(nn.Module):
    """M: the two codes, side by side, to w (batch, w) or, for W+, (batch, layers, w).

    A perceptron with leaky ReLUs, four layers in the paper. Raises `ParameterError` when the codes
    are of other lengths.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.widths = (config.identity_features, config.attribute_features)
        self.w, self.layers = config.w, config.layers
        self.perceptron = perceptron(sum(self.widths), config.mapping, config.w * config.layers)

    def forward(self, identity: Codes, attributes: Codes) -> W:
        """Return M([identity, attributes]): equation 1, and M behind it."""
        given = (identity.shape[1], attributes.shape[1])
        if given != self.widths:
            raise ParameterError(
                f"codes of {given[0]} and {given[1]} numbers don't fit M, which takes "
                f"{self.widths[0]} of identity and {self.widths[1]} of attributes; use the "
                "encoders that it was trained with"
            )
        w = self.perceptron(torch.cat([identity, attributes], dim=1)).float()
        return w if self.layers == 1 else w.unflatten(1, (self.layers, self.w))


class LatentCritic(nn.Module):
    """D_W: latent vectors (batch, w) to a logit each; of W+, the mean over its layers."""

    def __init__(self, config: Config):
        super().__init__()
        self.perceptron = perceptron(config.w, config.critic, 1)

    def forward(self, w: W) -> Logits:
        """Return the logits; D_W(w) of the paper is their sigmoid."""
        logits = self.perceptron(w)[..., 0].float()
        return logits if w.ndim == 2 else logits.mean(dim=1)


def perceptron(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Return linear layers of these widths with leaky ReLUs between.

    Initialised so that numbers of about 1 stay so from layer to layer (He et al. 2015): M's first
    vectors are then no farther out than the generator's own.
    """
    layers: list[nn.Module] = []
    for above, below in itertools.pairwise((inputs, *hidden)):
        layers += [_linear(above, below, SLOPE), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, _linear((inputs, *hidden)[-1], outputs, slope=1.0))


def _linear(above: int, below: int, slope: float) -> nn.Linear:
    layer = nn.Linear(above, below)
    nn.init.kaiming_normal_(layer.weight, a=slope)
    nn.init.zeros_(layer.bias)
    return layer
