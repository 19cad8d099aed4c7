"""What every generator of the book can do: draw latent vectors, and turn them into faces."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from facelab.types import Image, Latent


class Generator(nn.Module, ABC):
    """Maps a latent vector to a face image.

    `latents` is the length of a latent vector, `size` the side of an image in pixels, and `prior`
    names the distribution that `sample_latent` draws from.
    """

    id: str
    latents: int
    size: int
    prior: str

    @abstractmethod
    def sample_latent(self, count: int, random: torch.Generator) -> Latent:
        """Draw `count` latent vectors from the prior, shape (count, latents), on the CPU.

        The numbers depend on `random` alone, so that a seed means the same faces on any device.
        """

    @abstractmethod
    def forward(self, latent: Latent) -> Image:
        """Turn latent vectors (batch, latents) into images (batch, 3, size, size) in [-1, 1]."""

    @torch.no_grad()
    def sample(self, count: int, random: torch.Generator, batch: int = 64) -> Image:
        """Draw `count` faces, `batch` at a time; shape (count, 3, size, size) on the CPU."""
        where: Tensor = next(self.parameters())
        faces = [
            self(latent.to(where.device)).cpu()
            for latent in self.sample_latent(count, random).split(batch)
        ]
        return torch.cat(faces)
