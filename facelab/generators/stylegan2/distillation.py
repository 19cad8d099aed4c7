"""A generator copied into StyleGAN2's layout: the same latents, the same faces, and a W space.

The book's pre-trained generator, a DCGAN, has no W. A StyleGAN2 that learns to draw the same face
for the same latent has one, and a CPU can train it: the target of every pixel is known, so no game
is needed, though one may be added for sharpness. This is the book's own recipe, no paper's:

- The teacher is frozen. Its latents are brought to length sqrt(latents), as the student's mapping
  network does to its own: z and 2 z are one face to the student, and so they are to its teacher.
- The loss is the mean absolute difference of the two images and, with `coarse`, of their means
  over 4, 8 and 16 pixels, which a student can match long before it has any detail; with
  `adversarial`, also -log D of the student's image, D being StyleGAN2's discriminator, whose real
  images are the teacher's.
- The mapping network is shallow and learns as fast as the rest: there is no game for it to upset.
- The student's noise is the stored one, for the teacher has none.

What comes out is a copy of DCGAN's faces: no better than the teacher, and smoother.
"""

import copy
import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn

from facelab.generators import adversarial, dcgan, presets
from facelab.generators.generator import Generator
from facelab.generators.stylegan2 import config as sizes
from facelab.generators.stylegan2 import training
from facelab.generators.stylegan2.networks import Discriminator, StyleGAN2, pixel_norm
from facelab.phases import Method, Phase, Step, Terms
from facelab.types import Batch, Image

METHOD = "stylegan2-distillation"
COARSE = (4, 8, 16)  # pixels


@dataclass(frozen=True)
class Config:
    """The student's settings, the weights of the pixels' and the means' errors, and of the game.

    `beta1` is Adam's where there is no game. Raises `ParameterError` on a weight below 0.
    """

    student: sizes.Config = field(default_factory=lambda: STUDENT)
    pixels: float = 10.0
    coarse: float = 10.0
    adversarial: float = 0.0
    beta1: float = 0.9

    def __post_init__(self):
        presets.require_positive({"pixels": self.pixels})
        more = {"coarse": self.coarse, "adversarial": self.adversarial}
        presets.require_positive(more, zero=True)
        presets.require_share({"beta1": self.beta1})

    @property
    def size(self) -> int:
        """The images' side in pixels."""
        return self.student.size

    @property
    def batch_size(self) -> int:
        """What a run takes unless it is told otherwise."""
        return self.student.batch_size


STUDENT = sizes.Config(
    channels=(128, 128, 128, 64, 32),
    latents=100,
    styles=256,
    mapping_layers=2,
    mapping_rate=1.0,
    learning_rate=0.004,
    r1=0.1,
    batch_size=16,
    ema_decay=0.998,
)
TINY = Config(
    sizes.Config(
        channels=(8, 8, 8, 8, 8),
        latents=100,
        styles=16,
        mapping_layers=2,
        r1_every=4,
        batch_size=4,
        ema_decay=0.9,
    ),
    adversarial=0.1,
)
BOOK = Config()
PAPER = Config(sizes.Config(latents=100), adversarial=1.0)
PRESETS = {"tiny": TINY, "book": BOOK, "paper": PAPER}


class Teacher(nn.Module):
    """A frozen generator that stays in evaluation mode whatever a training loop says."""

    def __init__(self, generator: Generator):
        super().__init__()
        self.generator = generator.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "Teacher":
        """Stay in evaluation mode: batch normalisation must not follow the student's batches."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, latent: torch.Tensor) -> Image:
        """Return the teacher's images of latents that were brought to length sqrt(latents)."""
        return self.generator(pixel_norm(latent))


def coarse_error(target: Image, images: Image) -> adversarial.PerSample:
    """Return the mean |difference| of the images' means over 4, 8 and 16 pixels, added up."""
    errors = [
        adversarial.reconstruction_error(F.avg_pool2d(target, k), F.avg_pool2d(images, k))
        for k in COARSE
        if k <= images.shape[2]
    ]
    return torch.stack(errors).sum(0)


class Distillation(Method):
    """Trains a StyleGAN2 to draw what another generator draws, latent by latent.

    The batch's images are not looked at, only counted. Raises `ParameterError` when the teacher's
    latents or images have another size than the student's.
    """

    id = METHOD
    averaged = ("generator",)

    def __init__(self, config: Config = BOOK, teacher: Generator | None = None):
        student = config.student
        self.config, self.ema_decay = config, student.ema_decay
        # A copy: the loop moves networks to its device, and the pre-trained one is everybody's.
        teacher = copy.deepcopy(dcgan.pretrained()) if teacher is None else teacher
        wanted, given = (teacher.latents, teacher.size), (student.latents, student.size)
        presets.require(
            wanted == given,
            f"a student of {given[0]} latents and {given[1]} pixels",
            f"the teacher's {wanted[0]} and {wanted[1]}",
        )
        self.generator, self.teacher = StyleGAN2(student, id=METHOD), Teacher(teacher)
        self.networks: dict[str, nn.Module] = {"generator": self.generator, "teacher": self.teacher}
        if config.adversarial:
            self.discriminator = Discriminator(student)
            self.networks["discriminator"] = self.discriminator

    @classmethod
    def preset(cls, name: str) -> "Distillation":
        """Return the training with the settings "tiny", "book" or "paper" (the full width)."""
        return cls(presets.choose(PRESETS, name))

    def phases(self) -> list[Phase]:
        """Return the student's phase and, where there is a game, the discriminator's and R1."""
        c, student = self.config, self.config.student
        maker = training.lazy(student.learning_rate, student.path_every)
        if not c.adversarial:  # only a game needs a short memory
            maker = dataclasses.replace(maker, betas=(c.beta1, maker.betas[1]))
        weights = {"pixels": c.pixels, "coarse": c.coarse}
        if c.adversarial:
            weights["adversarial"] = c.adversarial
        phases = [Phase("generator", ("generator",), self.generator_terms, maker, weights=weights)]
        if not c.adversarial:
            return phases
        critic = training.lazy(student.learning_rate, student.r1_every)
        r1 = training.r1_phase(student, self.r1_terms, critic)
        second = Phase("discriminator", ("discriminator",), self.discriminator_terms, critic)
        return [*phases, second, r1]

    def generator_terms(self, batch: Batch, step: Step) -> Terms:
        """Return the mean |student - teacher| of each image and, in a game, -log D(student)."""
        z = step.draw(self.generator.sample_latent, len(batch), batch.images)
        images = self.generator(z)
        target = self.teacher(z)
        terms = {
            "pixels": adversarial.reconstruction_error(target, images),
            "coarse": coarse_error(target, images),
        }
        if self.config.adversarial:
            fake = self.discriminator(images)
            terms["adversarial"] = adversarial.non_saturating_generator(fake)
        return terms

    def discriminator_terms(self, batch: Batch, step: Step) -> Terms:
        """Return -log D(teacher) - log(1 - D(student)), each of its own latents."""
        real = step.draw(self.generator.sample_latent, len(batch), batch.images)
        z = step.draw(self.generator.sample_latent, len(batch), batch.images)
        with torch.no_grad():
            fakes = self.generator(z)
        real, fake = self.discriminator(self.teacher(real)), self.discriminator(fakes)
        return {"adversarial": adversarial.non_saturating_discriminator(real, fake)}

    def r1_terms(self, batch: Batch, step: Step) -> Terms:
        """Return |dD(x)/dx|^2 at the teacher's images."""
        z = step.draw(self.generator.sample_latent, len(batch), batch.images)
        images = self.teacher(z).requires_grad_()
        return {"penalty": adversarial.r1_penalty(self.discriminator(images), images)}

    def preview(self, networks: Mapping[str, nn.Module], batch: Batch) -> Image:
        """Return eight faces of the teacher, and below them the student's of the same latents."""
        where = next(networks["generator"].parameters()).device
        z = self.generator.sample_latent(8, torch.Generator().manual_seed(0)).to(where)
        with torch.no_grad():
            return torch.cat([networks["teacher"](z), networks["generator"](z)]).cpu()


def load(path: str | os.PathLike, device: str = "cpu") -> StyleGAN2:
    """Return a student that `engine.export` wrote, frozen, in evaluation mode, on `device`.

    Raises `CheckpointError` when the file is missing, damaged, or of another method or
    configuration than its header says. Runs no code of the file.
    """
    return training.read(path, METHOD, _settings, device)


def _settings(header: dict) -> sizes.Config:
    return sizes.Config(**presets.from_json(header["config"]["student"]))


def book(device: str = "cpu") -> StyleGAN2:
    """Return the shipped copy of the pre-trained DCGAN. Raises `AssetError` while there is none."""
    return presets.book(METHOD, lambda path: load(path, device), f"facelab train {METHOD}")
