"""DCGAN: a generator made of five transposed convolutions (Radford, Metz & Chintala 2016).

`pretrained()` gives the book's default generator: the same network, trained by its authors on
DigiFace-1M (rendered faces of people who do not exist), as the asset `gan-face-generate`.
"""

import functools
import itertools

import torch
from torch import nn

from facelab import assets
from facelab.errors import CheckpointError
from facelab.generators.generator import Generator
from facelab.types import Image, Latent

PRIORS = ("normal", "uniform")


class DCGAN(Generator):
    """The DCGAN generator for 64 x 64 images.

    A latent vector is a 1 x 1 picture of `latents` channels. The first layer makes it 4 x 4 with
    8 `width` channels; four more double the side and halve the channels, down to RGB and a tanh.

    `prior` is "normal", N(0, 1), as in common code, or "uniform" on [-1, 1], as in the paper and
    in Li & Luo (2017).
    """

    size = 64

    def __init__(
        self, latents: int = 100, width: int = 64, prior: str = "normal", id: str = "dcgan"
    ):
        super().__init__()
        if prior not in PRIORS:
            raise ValueError(f"prior {prior!r} is unknown; choose one of {', '.join(PRIORS)}")
        self.id, self.latents, self.prior = id, latents, prior
        channels = [8 * width, 4 * width, 2 * width, width]
        layers: list[nn.Module] = _stage(latents, channels[0], stride=1, padding=0)
        for above, below in itertools.pairwise(channels):
            layers += _stage(above, below, stride=2, padding=1)
        layers += [nn.ConvTranspose2d(width, 3, 4, stride=2, padding=1, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def sample_latent(self, count: int, random: torch.Generator) -> Latent:
        """Draw `count` vectors from the prior; shape (count, latents), float32, on the CPU."""
        if self.prior == "normal":
            return torch.randn(count, self.latents, generator=random)
        return torch.rand(count, self.latents, generator=random) * 2 - 1

    def forward(self, latent: Latent) -> Image:
        """Turn latent vectors (batch, latents) into images (batch, 3, 64, 64) in [-1, 1]."""
        return self.main(latent[:, :, None, None])


def _stage(above: int, below: int, *, stride: int, padding: int) -> list[nn.Module]:
    convolution = nn.ConvTranspose2d(above, below, 4, stride=stride, padding=padding, bias=False)
    return [convolution, nn.BatchNorm2d(below), nn.ReLU(inplace=True)]


@functools.cache
def pretrained(device: str = "cpu") -> DCGAN:
    """Load the pre-trained generator, frozen and in evaluation mode.

    64 x 64 pixels, 100 latents, N(0, 1). The asset is fetched when it is not in the cache.
    Raises `CheckpointError` when the file does not hold this network.
    """
    weights = assets.load_weights(assets.path("gan-face-generate"))
    return load_generator(weights, id="gan-face-generate").to(device)


def load_generator(weights: dict, id: str) -> DCGAN:
    """Build a frozen DCGAN from a state dictionary, or from a checkpoint that holds one.

    The number of latents and the width are read off the first and the last layer. Raises
    `CheckpointError` when the tensors are not those of a DCGAN generator.
    """
    state = weights.get("netG_state_dict", weights)
    first, last = state.get("main.0.weight"), state.get("main.12.weight")
    if first is None or last is None or first.ndim != 4 or last.ndim != 4:
        raise CheckpointError(
            f"{id} is not a DCGAN generator: it lacks main.0.weight or main.12.weight; "
            "give the weights of a 64-pixel DCGAN generator"
        )
    network = DCGAN(latents=first.shape[0], width=last.shape[0], id=id)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{id} does not fit the DCGAN generator: {reason}") from error
    return network.eval().requires_grad_(False)
