"""DCGAN: five transposed convolutions against five convolutions (Radford, Metz & Chintala 2016).

A. Radford, L. Metz, S. Chintala, "Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks", ICLR 2016.

`pretrained()` gives the book's default generator: the same network, trained by its authors on
DigiFace-1M (rendered faces of people who do not exist), as the asset `gan-face-generate`. `Game`
trains one from nothing.

| here | source |
|---|---|
| `DCGAN`, `Discriminator` | figure 1 and the guidelines of section 3 |
| `initialise` | section 4: all weights from N(0, 0.02) |
| `Game` | section 4: Adam, 0.0002, beta 0.5; Goodfellow et al. 2014 for the two losses |

Where this is not the paper: kernels are 4 x 4, as in everybody's PyTorch code, and not 5 x 5, so
that a transposed convolution covers each pixel equally often; the generator is averaged over steps
for use.
"""

import functools
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from facelab import assets
from facelab.errors import CheckpointError
from facelab.generators import adversarial, presets
from facelab.generators.generator import Generator, sample_prior
from facelab.phases import Method, Optimiser, Phase, Step, Terms
from facelab.types import Batch, Image, Latent

METHOD = "dcgan"
PRIORS = ("normal", "uniform")


@dataclass(frozen=True)
class Config:
    """Sizes of the two networks, and how they are trained.

    `prior` is "normal", N(0, 1), as in common code, or "uniform" on [-1, 1], as in the paper and
    in Li & Luo (2017). `width` is the number of channels at 32 x 32 pixels; it doubles at each half
    of the side. `batch_size` is what a run takes unless it is told otherwise. Raises
    `ParameterError` on what can't be used.
    """

    latents: int = 200
    width: int = 64
    prior: str = "uniform"
    learning_rate: float = 2e-4
    beta1: float = 0.5
    batch_size: int = 64
    ema_decay: float = 0.999

    def __post_init__(self):
        presets.require_whole({"latents": self.latents, "batch_size": self.batch_size})
        presets.require_whole({"width": self.width}, most=512)
        known = f"one of {', '.join(PRIORS)}"
        presets.require(self.prior in PRIORS, f"prior {self.prior!r}", known)
        presets.require_positive({"learning_rate": self.learning_rate})
        presets.require_share({"beta1": self.beta1, "ema_decay": self.ema_decay})


TINY = Config(latents=8, width=4, batch_size=8, ema_decay=0.9)
# The prior of Li & Luo; the generator has 2.8 million parameters. Small batches and a short average
# suit the few thousand steps that two cores can do.
BOOK = Config(width=48, batch_size=32, ema_decay=0.995)
PAPER = Config(latents=100, width=128, batch_size=128)
PRESETS = {"tiny": TINY, "book": BOOK, "paper": PAPER}


# --- networks ------------------------------------------------------------------------------------


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
        return sample_prior(self.prior, count, self.latents, random)

    def mapping(self, latent: Latent) -> Latent:
        """Return the latent vectors themselves: there is no mapping network."""
        return latent

    def synthesis(self, w: Latent) -> Image:
        """Turn latent vectors (batch, latents) into images (batch, 3, 64, 64) in [-1, 1]."""
        return self.main(w[:, :, None, None])


def _stage(above: int, below: int, *, stride: int, padding: int) -> list[nn.Module]:
    convolution = nn.ConvTranspose2d(above, below, 4, stride=stride, padding=padding, bias=False)
    return [convolution, nn.BatchNorm2d(below), nn.ReLU(inplace=True)]


class Discriminator(nn.Module):
    """The generator's mirror: five convolutions, leaky rectifiers, one logit an image.

    Batch normalisation is left out at the first and the last layer, as in the paper.
    """

    def __init__(self, width: int = 64):
        super().__init__()
        layers: list[nn.Module] = [_halve(3, width), nn.LeakyReLU(0.2, inplace=True)]
        for above, below in itertools.pairwise([width, 2 * width, 4 * width, 8 * width]):
            layers += [_halve(above, below), nn.BatchNorm2d(below)]
            layers += [nn.LeakyReLU(0.2, inplace=True)]
        self.main = nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, bias=False))

    def forward(self, images: Image) -> adversarial.Logits:
        """Return the logit of "real" for each image (batch, 3, 64, 64)."""
        return self.main(images).flatten()


def _halve(above: int, below: int) -> nn.Conv2d:
    return nn.Conv2d(above, below, 4, stride=2, padding=1, bias=False)


def initialise(network: nn.Module) -> None:
    """Draw weights from N(0, 0.02), scales of normalisations from N(1, 0.02). Source: section 4."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
            nn.init.zeros_(layer.bias)


# --- training ------------------------------------------------------------------------------------


class Game(Method):
    """DCGAN's training: a step of the discriminator, then one of the generator.

    The generator minimises -log D(G(z)), the non-saturating loss. Each draws its own latents.
    """

    id = METHOD
    averaged = ("generator",)

    def __init__(self, config: Config = BOOK):
        self.config, self.ema_decay = config, config.ema_decay
        self.generator = DCGAN(config.latents, config.width, config.prior)
        self.discriminator = Discriminator(config.width)
        self.networks = {"generator": self.generator, "discriminator": self.discriminator}
        for network in self.networks.values():
            initialise(network)

    @classmethod
    def preset(cls, name: str) -> "Game":
        """Return the training with the settings "tiny", "book" or "paper"."""
        return cls(presets.choose(PRESETS, name))

    def phases(self) -> list[Phase]:
        """Return the discriminator's phase and the generator's."""
        betas = (self.config.beta1, 0.999)
        adam = Optimiser(self.config.learning_rate, betas=betas)
        return [
            Phase("discriminator", ("discriminator",), self.discriminator_terms, adam),
            Phase("generator", ("generator",), self.generator_terms, adam),
        ]

    def discriminator_terms(self, batch: Batch, step: Step) -> Terms:
        """Return -log D(x) - log(1 - D(G(z))) of each pair of a real and a generated image."""
        presets.require_size(batch.images, self.generator.size)
        z = step.draw(self.generator.sample_latent, len(batch), batch.images)
        with torch.no_grad():
            fakes = self.generator(z)
        # Two passes, so that batch normalisation sees real and generated images apart.
        real, fake = self.discriminator(batch.images), self.discriminator(fakes)
        return {"adversarial": adversarial.non_saturating_discriminator(real, fake)}

    def generator_terms(self, batch: Batch, step: Step) -> Terms:
        """Return -log D(G(z)) for as many latents as the batch has images."""
        z = step.draw(self.generator.sample_latent, len(batch), batch.images)
        fake = self.discriminator(self.generator(z))
        return {"adversarial": adversarial.non_saturating_generator(fake)}

    def preview(self, networks: Mapping[str, nn.Module], batch: Batch) -> Image:
        """Return sixteen faces, of the same latents at every call."""
        return networks["generator"].sample(16, torch.Generator().manual_seed(0))


# --- use -----------------------------------------------------------------------------------------


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
    with torch.device("meta"):  # so that loading draws no random numbers
        network = DCGAN(latents=first.shape[0], width=last.shape[0], id=id)
    state = {k: t.float() if t.is_floating_point() else t for k, t in state.items()}
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{id} does not fit the DCGAN generator: {reason}") from error
    return network.eval().requires_grad_(False)


def load(path: str | os.PathLike, device: str = "cpu") -> DCGAN:
    """Return a generator that `engine.export` wrote, frozen, in evaluation mode, on `device`.

    Raises `CheckpointError` when the file is missing, damaged, or of another method or
    configuration than its header says. Runs no code of the file.
    """
    return presets.load(path, METHOD, _build, device)


def _build(header: dict) -> DCGAN:
    config = Config(**presets.from_json(header["config"]))
    return DCGAN(config.latents, config.width, config.prior)


def book(device: str = "cpu") -> DCGAN:
    """Return the shipped DCGAN with the uniform prior on [-1, 1]^200.

    Raises `AssetError` while no checkpoint is shipped.
    """
    return presets.book(METHOD, lambda path: load(path, device), "facelab train dcgan")
