"""BEGAN: an autoencoder as the discriminator (Berthelot, Schumm & Metz 2017).

D. Berthelot, T. Schumm, L. Metz, "BEGAN: Boundary Equilibrium Generative Adversarial Networks",
2017. The discriminator tells real images by how well it reconstructs them, and a number k_t, which
follows the two errors, keeps the game in balance. GANFaces (Gecer et al. 2018) plays three of these
games at once.

| here | source |
|---|---|
| `Decoder`, `Encoder`, `AutoEncoder` | section 3.5 and figure 1 |
| `Game.discriminator_terms` | section 3.4: L_D = L(x) - k_t L(G(z_D)) |
| `Game.generator_terms` | section 3.4: L_G = L(G(z_G)) |
| `Balance`, `adversarial.next_k` | section 3.4: k_{t+1} = k_t + lambda_k (gamma L(x) - L(G(z_G))) |
| `adversarial.convergence` | section 3.4.1: M_global |

Where this is not the paper: L is a mean over pixels, not a sum (k and M then don't depend on the
size); the learning rate halves at fixed steps instead of when M stalls; the optional residuals of
section 3.5.1 that vanish are left out. How the encoder widens is drawn, not said: here the second
convolution of a layer halves the side and adds n channels. At 128 pixels with n = 128 that makes
17.0 million parameters in all, and the paper counts 17.3.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facelab.generators import adversarial, presets
from facelab.generators.generator import Generator, sample_prior
from facelab.phases import Method, Optimiser, Phase, Step, Terms
from facelab.types import Batch, Image, Latent

METHOD = "began"
START = 8  # the side in pixels at which the encoder ends and a decoder begins

Code = Float[Tensor, "batch code"]
Features = Float[Tensor, "batch channels height width"]


@dataclass(frozen=True)
class Config:
    """Sizes of the networks, the game's balance, and how the networks are trained.

    `size` is the image's side in pixels, 16 to 256; `width` is the paper's n and `code` its N_h and
    N_z. `gamma` is the diversity ratio, `k_rate` lambda_k; `reading` says which rule moves k (see
    `adversarial.next_k`). With `skips` a decoder sees its first features again at every scale
    (section 3.5.1). The learning rate halves at the `halve_at` steps. `batch_size` is what a run
    takes unless it is told otherwise. Raises `ParameterError` on what can't be used.
    """

    size: int = 64
    width: int = 64
    code: int = 64
    gamma: float = 0.5
    k_rate: float = 0.001
    reading: adversarial.Reading = "began"
    skips: bool = False
    learning_rate: float = 1e-4
    beta1: float = 0.5
    halve_at: tuple[int, ...] = ()
    batch_size: int = 16
    ema_decay: float = 0.999

    def __post_init__(self):
        known = self.size in (16, 32, 64, 128, 256)
        presets.require(known, f"size = {self.size!r}", "16, 32, 64, 128 or 256")
        presets.require_whole({"width": self.width}, most=512)
        presets.require_whole({"code": self.code, "batch_size": self.batch_size})
        presets.require_share({"gamma": self.gamma, "k_rate": self.k_rate, "beta1": self.beta1})
        presets.require_share({"ema_decay": self.ema_decay})
        presets.require_positive({"learning_rate": self.learning_rate})
        adversarial.next_k(0.0, 0.0, 0.0, reading=self.reading)  # refuses an unknown reading

    @property
    def scales(self) -> int:
        """How many sides there are from 8 pixels up to the image's."""
        return (self.size // START).bit_length()


TINY = Config(width=4, code=8, k_rate=0.01, batch_size=8, ema_decay=0.9)
BOOK = Config(width=24, ema_decay=0.998)
PAPER = Config(size=128, width=128, halve_at=(100_000, 200_000, 300_000))
PRESETS = {"tiny": TINY, "book": BOOK, "paper": PAPER}


# --- networks ------------------------------------------------------------------------------------


class Decoder(nn.Module):
    """A code (batch, code) to an image: the generator, and the discriminator's second half.

    A linear layer makes 8 x 8 pixels with n channels; at each scale there are two 3 x 3
    convolutions with ELUs, and between scales the side is doubled by repeating pixels.
    """

    def __init__(self, config: Config):
        super().__init__()
        n = config.width
        self.width, self.skips = n, config.skips
        self.first = nn.Linear(config.code, n * START * START)
        again = 2 * n if config.skips else n
        scales = [_pair(n if scale == 0 else again, n) for scale in range(config.scales)]
        self.scales = nn.ModuleList(scales)
        self.last = nn.Conv2d(n, 3, 3, padding=1)

    def forward(self, code: Code) -> Image:
        """Return images (batch, 3, size, size), around [-1, 1]: there is no tanh."""
        first = self.first(code).unflatten(1, (self.width, START, START))
        x = self.scales[0](first)
        for scale in self.scales[1:]:
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            if self.skips:
                again = F.interpolate(first, size=tuple(x.shape[2:]), mode="nearest")
                x = torch.cat([x, again], dim=1)
            x = scale(x)
        return self.last(x)


def _pair(above: int, below: int, widen: int = 0) -> nn.Sequential:
    """Two 3 x 3 convolutions with ELUs; with `widen` the second also halves the side."""
    second = nn.Conv2d(below, below + widen, 3, stride=2 if widen else 1, padding=1)
    return nn.Sequential(nn.Conv2d(above, below, 3, padding=1), nn.ELU(), second, nn.ELU())


class Encoder(nn.Module):
    """An image (batch, 3, size, size) to its code; at each half of the side n channels more."""

    def __init__(self, config: Config):
        super().__init__()
        n = config.width
        self.first = nn.Sequential(nn.Conv2d(3, n, 3, padding=1), nn.ELU())
        widths = [n * scale for scale in range(1, config.scales)]
        self.scales = nn.Sequential(*[_pair(width, width, widen=n) for width in widths])
        self.last = nn.Linear(n * config.scales * START * START, config.code)

    def forward(self, images: Image) -> Code:
        """Return the codes (batch, code), of any size: no non-linearity follows."""
        return self.last(self.scales(self.first(images)).flatten(1))


class AutoEncoder(nn.Module):
    """The discriminator D(v): an image to its code and back."""

    def __init__(self, config: Config):
        super().__init__()
        self.encoder, self.decoder = Encoder(config), Decoder(config)

    def forward(self, images: Image) -> Image:
        """Return the reconstructions of images (batch, 3, size, size)."""
        return self.decoder(self.encoder(images))

    def error(self, images: Image) -> adversarial.PerSample:
        """Return L(v) of each image, the mean absolute error of its reconstruction."""
        return adversarial.reconstruction_error(images, self(images))


class BEGAN(Generator):
    """BEGAN's generator: a decoder, fed with z uniform on [-1, 1]^code."""

    prior = "uniform"

    def __init__(self, config: Config = BOOK, id: str = METHOD):
        super().__init__()
        self.id, self.latents, self.size = id, config.code, config.size
        self.decoder = Decoder(config)

    def sample_latent(self, count: int, random: torch.Generator) -> Latent:
        """Draw `count` vectors, uniform on [-1, 1]; shape (count, latents), on the CPU."""
        return sample_prior(self.prior, count, self.latents, random)

    def mapping(self, latent: Latent) -> Latent:
        """Return the latent vectors themselves: there is no mapping network."""
        return latent

    def synthesis(self, w: Latent) -> Image:
        """Turn latent vectors (batch, latents) into images (batch, 3, size, size)."""
        return self.decoder(w)


def initialise(network: nn.Module) -> None:
    """Draw weights as Glorot & Bengio (2010) do, biases 0. The paper does not say how it starts."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


class Balance(nn.Module):
    """What the game remembers beside its weights: k_t, and the discriminator's last errors.

    They are buffers, so that checkpoints keep them. Here k starts at 0, as in the paper.
    """

    k: Tensor
    real: Tensor
    discriminator: Tensor

    def __init__(self):
        super().__init__()
        for name in ("k", "real", "discriminator"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))


# --- training ------------------------------------------------------------------------------------


class Game(Method):
    """BEGAN's training: a step of the discriminator, one of the generator, then k moves."""

    id = METHOD
    averaged = ("generator",)

    def __init__(self, config: Config = BOOK):
        self.config, self.ema_decay = config, config.ema_decay
        self.generator = BEGAN(config)
        self.discriminator = AutoEncoder(config)
        self.balance = Balance()
        self.networks = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "balance": self.balance,
        }
        for network in self.networks.values():
            initialise(network)

    @classmethod
    def preset(cls, name: str) -> "Game":
        """Return the training with the settings "tiny", "book" or "paper"."""
        return cls(presets.choose(PRESETS, name))

    def phases(self) -> list[Phase]:
        """Return the discriminator's phase and the generator's, after which k moves."""
        adam = Optimiser(
            self.config.learning_rate,
            betas=(self.config.beta1, 0.999),
            schedule="milestones" if self.config.halve_at else "constant",
            milestones=self.config.halve_at,
            factor=0.5,
        )
        critic, maker = self.discriminator_terms, self.generator_terms
        return [
            Phase("discriminator", ("discriminator",), critic, adam, after=self.remember),
            Phase("generator", ("generator",), maker, adam, after=self.rebalance),
        ]

    def discriminator_terms(self, batch: Batch, step: Step) -> Terms:
        """Return L(x) and -k_t L(G(z_D)); their sum is L_D."""
        presets.require_size(batch.images, self.config.size)
        z = step.draw(self.generator.sample_latent, len(batch), batch.images)
        with torch.no_grad():
            fakes = self.generator(z)
        k = self.balance.k.float()
        both = self.discriminator.error(torch.cat([batch.images, fakes]))
        real, fake = both.split(len(batch))
        return {"real": real, "fake": -k * fake}

    def generator_terms(self, batch: Batch, step: Step) -> Terms:
        """Return L(G(z_G)) for as many latents as the batch has images."""
        z = step.draw(self.generator.sample_latent, len(batch), batch.images)
        return {"fake": self.discriminator.error(self.generator(z))}

    def remember(self, means: Mapping[str, float]) -> Mapping[str, float]:
        """Keep L(x) and L_D of the whole batch until the generator has moved."""
        self.balance.real.fill_(means["real"])
        self.balance.discriminator.fill_(means["real"] + means["fake"])
        return {}

    def rebalance(self, means: Mapping[str, float]) -> Mapping[str, float]:
        """Move k by the whole batch's errors; return k and the convergence measure M."""
        real, fake = float(self.balance.real), means["fake"]
        k = adversarial.next_k(
            float(self.balance.k),
            real,
            fake,
            discriminator=float(self.balance.discriminator),
            gamma=self.config.gamma,
            rate=self.config.k_rate,
            reading=self.config.reading,
        )
        self.balance.k.fill_(k)
        return {"k": k, "M": adversarial.convergence(real, fake, gamma=self.config.gamma)}

    def preview(self, networks: Mapping[str, nn.Module], batch: Batch) -> Image:
        """Return sixteen faces, of the same latents at every call."""
        return networks["generator"].sample(16, torch.Generator().manual_seed(0))


# --- use -----------------------------------------------------------------------------------------


def load(path: str | os.PathLike, device: str = "cpu") -> BEGAN:
    """Return a generator that `engine.export` wrote, frozen, in evaluation mode, on `device`.

    Raises `CheckpointError` when the file is missing, damaged, or of another method or
    configuration than its header says. Runs no code of the file.
    """
    return presets.load(path, METHOD, _build, device)


def _build(header: dict) -> BEGAN:
    return BEGAN(Config(**presets.from_json(header["config"])))


def book(device: str = "cpu") -> BEGAN:
    """Return the shipped BEGAN for 64 x 64 pixels. Raises `AssetError` while none is shipped."""
    return presets.book(METHOD, lambda path: load(path, device), "facelab train began")
