"""A method and a dataset that take a step in a millisecond, with every kind of phase.

"single" is one objective, "game" two players, "lazy" a game with a regulariser that runs every
fourth step on the discriminator's optimiser and differentiates twice.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from facelab.data.base import FaceDataset
from facelab.data.seeding import stream
from facelab.phases import Method, Optimiser, Phase
from facelab.types import Batch

SIZE, VALUES = 4, 48


class Noise(FaceDataset):
    """Faces of noise, each from its number."""

    id, split = "noise", "train"

    def __init__(self, count: int = 40, seed: int = 0, size: int = SIZE):
        self.identity, self.people = torch.arange(count), count
        self.seed, self.size = seed, size

    def config(self) -> dict:
        return {"count": len(self), "seed": self.seed, "size": self.size}

    def batch(self, indices) -> Batch:
        found = self.resolve(indices)
        shape = (3, self.size, self.size)
        images = [torch.rand(shape, generator=stream(self.seed, i)) * 2 - 1 for i in found]
        return Batch(images=torch.stack(images), identity=torch.tensor(found))


@dataclass(frozen=True)
class Config:
    """How the toy is built."""

    kind: str = "lazy"
    latents: int = 3
    width: int = 8
    normalised: bool = False
    dropout: float = 0.0
    rates: tuple[float, float] = (1e-2, 2e-2)


class Generator(nn.Module):
    """Latents to pictures."""

    def __init__(self, config: Config):
        super().__init__()
        # The mean takes a bias out again: its gradient would be rounding, which Adam enlarges.
        self.first = nn.Linear(config.latents, config.width, bias=not config.normalised)
        self.norm = nn.BatchNorm1d(config.width) if config.normalised else nn.Identity()
        self.drop = nn.Dropout(config.dropout)
        self.last = nn.Linear(config.width, VALUES)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        hidden = self.drop(torch.tanh(self.norm(self.first(latent))))
        return torch.tanh(self.last(hidden)).unflatten(1, (3, SIZE, SIZE))


class Toy(Method):
    """The method; `poison` is a step at which a loss becomes infinite.

    With `drift` each process counts something of its own.
    """

    id, averaged, ema_decay = "toy", ("generator",), 0.9

    def __init__(self, config: Config = Config(), poison: int | None = None, drift: bool = False):
        self.config, self.poison, self.drift = config, poison, drift
        self.generator = Generator(config)
        if drift:
            self.generator.register_buffer("count", torch.zeros(()))
        critic = [nn.Flatten(), nn.Linear(VALUES, config.width), nn.Tanh()]
        self.critic = nn.Sequential(*critic, nn.Linear(config.width, 1))
        self.networks = {"generator": self.generator, "critic": self.critic}

    @classmethod
    def preset(cls, name: str) -> "Toy":
        return cls(Config(width={"tiny": 8, "book": 16, "paper": 32}[name]))

    def phases(self) -> list[Phase]:
        slow, fast = (Optimiser(rate, betas=(0.5, 0.9)) for rate in self.config.rates)
        if self.config.kind == "single":
            return [Phase("single", ("generator",), self.fit_loss, slow, clip_norm=0.5)]
        game = [
            Phase("critic", ("critic",), self.critic_loss, slow),
            Phase("generator", ("generator",), self.generator_loss, fast, every=2, offset=1),
        ]
        if self.config.kind == "game":
            return game
        lazy = Phase(
            "r1", ("critic",), self.r1_loss, slow, {"r1": 0.3}, every=4, shares="critic"
        )  # fmt: skip
        return [game[0], lazy, game[1]]

    def _fake(self, batch, step):
        def sample(count, random):
            return torch.randn(count, self.config.latents, generator=random)

        if self.drift:
            self.generator.count += step.rank
        return self.generator(step.draw(sample, len(batch), batch.images))

    def fit_loss(self, batch, step):
        return {"distance": (self._fake(batch, step) - batch.images).square().mean((1, 2, 3))}

    def critic_loss(self, batch, step):
        real = F.softplus(-self.critic(batch.images))[:, 0]
        if step.number == self.poison:
            real = real / 0
        return {"real": real, "fake": F.softplus(self.critic(self._fake(batch, step)))[:, 0]}

    def generator_loss(self, batch, step):
        return {"fake": F.softplus(-self.critic(self._fake(batch, step)))[:, 0]}

    def r1_loss(self, batch, step):
        images = batch.images.requires_grad_()
        scores = self.critic(images).sum()
        (gradient,) = torch.autograd.grad(scores, images, create_graph=True)
        return {"r1": gradient.square().sum((1, 2, 3))}

    def preview(self, networks, batch):
        latents = torch.randn(len(batch), self.config.latents, generator=stream("preview"))
        return networks["generator"](latents)


def toy(seed: int = 0, poison: int | None = None, drift: bool = False, **config) -> Toy:
    """Return a method whose first weights follow from the seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Toy(Config(**config), poison, drift)
