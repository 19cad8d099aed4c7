"""StyleGAN2's training: the logistic game, with R1 and path length every few steps."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from facelab.generators import adversarial, presets
from facelab.generators.stylegan2.config import BOOK, PRESETS, Config
from facelab.generators.stylegan2.networks import Discriminator, StyleGAN2, WPlus
from facelab.phases import Method, Optimiser, Phase, Step, Terms
from facelab.types import Batch, Image

METHOD = "stylegan2"


def lazy(learning_rate: float, every: int) -> Optimiser:
    """Return Adam for a network whose regulariser runs every so many steps.

    With c = every / (every + 1) the rate is multiplied by c and the betas, 0 and 0.99, are raised
    to c, so that the extra steps leave the network's pace what it was. Source: Karras et al. 2020,
    appendix B.
    """
    c = every / (every + 1)
    return Optimiser(c * learning_rate, betas=(0.0, 0.99**c))


def r1_phase(config: Config, terms: Callable[[Batch, Step], Terms], critic: Optimiser) -> Phase:
    """Return R1's phase: gamma / 2 times the penalty, times the steps that it leaves out."""
    return Phase(
        "r1",
        ("discriminator",),
        terms,
        critic,
        weights={"penalty": config.r1 / 2 * config.r1_every},
        every=config.r1_every,
        shares="discriminator",
    )


class Game(Method):
    """StyleGAN2's training, in four phases: two steps of the game, two of its regularisers.

    The regularisers run seldom and weigh as much more (section 3.1): R1 holds the discriminator's
    slope at real images down, path length keeps an image's answer to a step in W even.
    """

    id = METHOD
    averaged = ("generator",)

    def __init__(self, config: Config = BOOK):
        self.config, self.ema_decay = config, config.ema_decay
        self.generator = StyleGAN2(config)
        self.discriminator = Discriminator(config)
        self.path_length = adversarial.RunningMean()
        self.networks = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "path_length": self.path_length,
        }

    @classmethod
    def preset(cls, name: str) -> "Game":
        """Return the training with the settings "tiny", "book" or "paper" (256 pixels).

        "paper-64" and "paper-128" are the paper's networks for smaller images.
        """
        return cls(presets.choose(PRESETS, name))

    def phases(self) -> list[Phase]:
        """Return the generator's phase, path length, the discriminator's phase, and R1."""
        c = self.config
        maker, critic = lazy(c.learning_rate, c.path_every), lazy(c.learning_rate, c.r1_every)
        path = Phase(
            "path_length",
            ("generator",),
            self.path_terms,
            maker,
            weights={"penalty": c.path_weight * c.path_every, "length": 0.0},
            every=c.path_every,
            shares="generator",
            after=self.follow,
        )
        return [
            Phase("generator", ("generator",), self.generator_terms, maker),
            *([path] if c.path_weight else []),
            Phase("discriminator", ("discriminator",), self.discriminator_terms, critic),
            *([r1_phase(c, self.r1_terms, critic)] if c.r1 else []),
        ]

    def generator_terms(self, batch: Batch, step: Step) -> Terms:
        """Return -log D(G(z)) for as many latents as the batch has images."""
        fake = self.discriminator(self.draw(len(batch), step, batch.images)[0])
        return {"adversarial": adversarial.non_saturating_generator(fake)}

    def discriminator_terms(self, batch: Batch, step: Step) -> Terms:
        """Return -log D(x) - log(1 - D(G(z))) of each pair of a real and a generated image."""
        presets.require_size(batch.images, self.config.size)
        with torch.no_grad():
            fakes, _ = self.draw(len(batch), step, batch.images)
        # Two passes: the spread that D looks at is that of real images, or of generated ones.
        real, fake = self.discriminator(batch.images), self.discriminator(fakes)
        return {"adversarial": adversarial.non_saturating_discriminator(real, fake)}

    def r1_terms(self, batch: Batch, step: Step) -> Terms:
        """Return |dD(x)/dx|^2 of each real image."""
        images = batch.images.detach().requires_grad_()
        return {"penalty": adversarial.r1_penalty(self.discriminator(images), images)}

    def path_terms(self, batch: Batch, step: Step) -> Terms:
        """Return (|J^T y| - a)^2 on a part of the batch, and the lengths, which have no weight."""
        count = max(1, len(batch) // self.config.path_shrink)
        images, w = self.draw(count, step, batch.images)
        shape = images.shape[1:]
        direction = step.draw(
            lambda rows, random: torch.randn(rows, *shape, generator=random), count, images
        )
        lengths = adversarial.path_lengths(images, w, direction)
        penalty = adversarial.path_length_penalty(lengths, self.path_length.mean)
        return {"penalty": penalty, "length": lengths.detach()}

    def follow(self, means: Mapping[str, float]) -> Mapping[str, float]:
        """Move the running mean a towards the whole batch's mean length; return it."""
        return {"a": self.path_length.update(means["length"])}

    def draw(self, count: int, step: Step, like: Tensor) -> tuple[Image, WPlus]:
        """Return images with random noise, and their W+, some of it mixed from two w."""
        generator = self.generator
        w = generator.mapping(step.draw(generator.sample_latent, count, like))
        other = generator.mapping(step.draw(generator.sample_latent, count, like))
        w = generator.mix(w, other, step.draw(self.sample_crossover, count, like))
        return generator.synthesis(w, step.draw(generator.sample_noise, count, like)), w

    def sample_crossover(self, count: int, random: torch.Generator) -> Tensor:
        """Draw the layer at which an image turns to its second w: 1, 2, ... or, unmixed, the last.

        Shape (count,).
        """
        chance, place = torch.rand(2, count, generator=random)
        layers = self.generator.layers
        return torch.where(chance < self.config.mixing, 1 + (place * (layers - 1)).floor(), layers)

    def preview(self, networks: Mapping[str, nn.Module], batch: Batch) -> Image:
        """Return sixteen faces, of the same latents and the stored noise at every call."""
        return networks["generator"].sample(16, torch.Generator().manual_seed(0))


# --- use -----------------------------------------------------------------------------------------


def load(path: str | os.PathLike, device: str = "cpu") -> StyleGAN2:
    """Return a generator that `engine.export` wrote, frozen, in evaluation mode, on `device`.

    Its mean w is measured when the file has none, as after a training. Raises `CheckpointError`
    when the file is missing, damaged, or of another method or configuration than its header says.
    Runs no code of the file.
    """
    return read(path, METHOD, _settings, device)


def _settings(header: dict[str, Any]) -> Config:
    return Config(**presets.from_json(header["config"]))


def read(
    path: str | os.PathLike,
    method: str,
    settings: Callable[[dict[str, Any]], Config],
    device: str,
) -> StyleGAN2:
    """Do what `load` does for any method that trains a StyleGAN2; `settings` reads the header."""
    network = presets.load(path, method, lambda header: StyleGAN2(settings(header)), device)
    return network if network.mean_w.any() else network.measure_mean_w()


def book(device: str = "cpu") -> StyleGAN2:
    """Return the shipped StyleGAN2, 64 x 64 pixels. Raises `AssetError` while none is shipped."""
    return presets.book(METHOD, lambda path: load(path, device), "facelab train stylegan2")
