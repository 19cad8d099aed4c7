"""Attribute transfer without a network: every picture is optimised by itself.

So CNIA does it, which DIAT is compared with (M. Li, W. Zuo, D. Zhang, "Convolutional Network for
Attribute-driven and Identity-preserving Human Face Generation", arXiv:1608.06434, 2016): gradient
descent on the pixels, from the input, down losses of a face and of an attribute. CNIA's attribute
loss compares VGG-Face's maps with those of a guiding picture; here both losses are DIAT's own, of a
trained D that stays as it is, so that what differs is the network T and nothing else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.generators import presets
from facelab.methods.diat import losses
from facelab.methods.diat.features import FaceLayers, face_layers
from facelab.methods.diat.losses import Logits, Maps, PerSample
from facelab.methods.diat.networks import Denoiser, Discriminator
from facelab.methods.diat.training import LAYERS, Config
from facelab.types import Image


@dataclass(frozen=True)
class Result:
    """The optimised pictures, in [-1, 1], and their losses, (steps + 1, batch).

    Row 0 of `losses` are those of the input, the last row those of `images`.
    """

    images: Image
    losses: Float[Tensor, "_ batch"]


class Objective:
    """What equations 7 and 14 ask of a picture, T's part of the game: one value per sample.

    `source` are the pictures whose identity is kept. `layers` is what equation 2 looks through,
    loaded by its name where it is not given; an adaptive config (equation 13) looks through the
    discriminator. `denoiser` is f of equation 6, needed where `weights.smooth` is not 0. Raises
    `ParameterError` without it, and for pictures of another size than the config's.
    """

    def __init__(
        self,
        source: Image,
        discriminator: Discriminator,
        config: Config,
        *,
        layers: FaceLayers | None = None,
        denoiser: Denoiser | None = None,
    ):
        presets.require_size(source, config.size)
        if config.weights.smooth and denoiser is None:
            raise ParameterError(
                f"smooth = {config.weights.smooth} needs the denoising network f of equation 6; "
                "train one with facelab.methods.diat.regularisation, or set smooth to 0"
            )
        self.config, self.discriminator, self.denoiser = config, discriminator, denoiser
        self.layers: FaceLayers | None = None
        if config.weights.identity and not config.adaptive:
            self.layers = layers or face_layers(config.identity, str(source.device))
        with torch.no_grad():
            _, self.source = self._seen(source)

    def __call__(self, images: Image) -> PerSample:
        """Return attribute + lambda identity + gamma smoothness of pictures."""
        weights = self.config.weights
        logits, maps = self._seen(images)
        total = losses.attribute_transform(logits, self.config.reading)
        if weights.identity:
            total = total + weights.identity * losses.identity_loss(
                maps, self.source, weights.layers
            )
        if weights.smooth:
            total = total + weights.smooth * losses.squared_error(self.denoiser(images), images)
        return total

    def _seen(self, images: Image) -> tuple[Logits, Sequence[Maps]]:
        """Return D's logits, and the maps that the identity loss compares."""
        last = len(self.discriminator.convolutions)
        *maps, top = self.discriminator.features(images, (*LAYERS, last))
        if self.layers is not None:
            maps = self.layers(images)
        return self.discriminator.decide(top), maps


def optimise(
    images: Image,
    discriminator: Discriminator,
    config: Config,
    *,
    steps: int,
    learning_rate: float,
    layers: FaceLayers | None = None,
    denoiser: Denoiser | None = None,
    progress: Callable[[int], None] | None = None,
) -> Result:
    """Change pictures until a discriminator takes them for faces with its attribute.

    `steps` of Adam move the pixels (the paper's optimiser of networks; CNIA descends the gradient),
    which are kept in [-1, 1]. Each picture is its own optimum: a batch gives what its pictures
    would one by one. The discriminator is not changed, nor are the arguments; `layers` and
    `denoiser` are `Objective`'s. `progress` is called with the number of steps that are done.
    Raises `ParameterError` for steps or a rate that can't be used, and as `Objective` does.
    """
    presets.require_whole({"steps": steps}, 0, 1_000_000)
    presets.require_positive({"learning_rate": learning_rate})
    objective = Objective(images, discriminator, config, layers=layers, denoiser=denoiser)
    pixels = images.detach().clone().requires_grad_()
    adam = torch.optim.Adam([pixels], lr=learning_rate)
    told = []
    for step in range(1, steps + 1):
        value = objective(pixels)
        told.append(value.detach())
        # A sum, so that no picture's step depends on how many there are.
        (pixels.grad,) = torch.autograd.grad(value.sum(), [pixels])
        adam.step()
        with torch.no_grad():
            pixels.clamp_(-1, 1)
        if progress is not None:
            progress(step)
    with torch.no_grad():
        told.append(objective(pixels))
    return Result(pixels.detach(), torch.stack(told))
