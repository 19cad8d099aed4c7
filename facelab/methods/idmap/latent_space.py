"""The latent space that M maps into: its true vectors, and how near to them others are.

A generator with a mapping network has W, what the network gives; one without has its prior. Means
and covariances are measured on true vectors, and Mahalanobis distances say how far out a vector
lies: for N(0, 1) in n dimensions their squares follow chi^2 with n degrees of freedom.
"""

import math
import os
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.data.latents import vectors_of
from facelab.errors import CheckpointError, ParameterError
from facelab.generators import catalogue
from facelab.generators.generator import Generator
from facelab.types import Latent

MEASURED, SEED = 10_000, 0  # true vectors that a space is measured on, as in figure 9
READERS_OWN = ("stylegan2-ffhq-256", "stylegan2-ffhq-1024")  # generators of the paper's presets
JITTER = 1e-6  # of the variance: two directions of a small space may be the same

Distances = Float[Tensor, " batch"]


def true_vectors(
    generator: Generator, count: int, random: torch.Generator, truncation: float = 1.0
) -> Latent:
    """Draw vectors of the generator's latent space, (count, w), on the CPU.

    `truncation` is that of `data.latents.vectors_of`.
    """
    return vectors_of(generator, generator.sample_latent(count, random), truncation)


def length_of(generator: Generator) -> int:
    """Return how long the vectors are that the generator's `synthesis` takes."""
    return true_vectors(generator, 1, torch.Generator()).shape[1]


def shell(generator: Generator) -> float | None:
    """Return how long all vectors of a generator's latent space about are: sqrt(w) of N(0, 1).

    None where a mapping network makes them, or where the prior is another: there short vectors are
    as true as long ones.
    """
    where = next(generator.parameters()).device
    latent = torch.zeros(1, generator.latents, device=where)
    if generator.prior != "normal" or generator.mapping(latent) is not latent:
        return None
    return math.sqrt(generator.latents)


def find_generator(name: str | os.PathLike, w: int, size: int, device: str = "cpu") -> Generator:
    """Return a generator by name or file, once its latent vectors and pictures are as expected.

    A file may be of the book's own generators or a published StyleGAN2. Raises `CheckpointError`
    when its latent vectors have another length than `w`, or its pictures another side than `size`,
    and what `catalogue.generator` raises.
    """
    found = read_generator(name, device)
    length = length_of(found)
    if (length, found.size) != (w, size):
        raise CheckpointError(
            f"the generator {os.fspath(name)} takes latent vectors of {length} numbers and draws "
            f"{found.size} pixels, the map was made for {w} numbers and {size} pixels; give the "
            "generator that it was trained with, or train a map for this one"
        )
    return found


def read_generator(name: str | os.PathLike, device: str = "cpu") -> Generator:
    """Return a generator of the book's by name or file, or else a published StyleGAN2.

    Those of `READERS_OWN` are read where data_scripts/stylegan2_ffhq.py keeps them; `AssetError`
    says so while they are not there.
    """
    name = os.fspath(name)
    if name in READERS_OWN:
        from facelab.generators.stylegan2 import published

        return published.generator(name, device)
    if name in catalogue.GENERATORS or not os.path.isfile(name):
        return catalogue.generator(name, device)
    try:
        return catalogue.generator(name, device)
    except (CheckpointError, ParameterError) as first:
        from facelab.generators.stylegan2.public import load_public

        try:
            return load_public(name, device=device)
        except CheckpointError as second:
            raise CheckpointError(f"{first}; nor is it a published StyleGAN2: {second}") from second


@dataclass(frozen=True)
class LatentSpace:
    """Mean and covariance of true vectors, in float64."""

    mean: Float[Tensor, " w"]
    covariance: Float[Tensor, "w w"]

    @classmethod
    def of(cls, w: Latent) -> "LatentSpace":
        """Measure a space on true vectors. Raises `ParameterError` with no more than w has."""
        if len(w) <= w.shape[1]:
            raise ParameterError(
                f"{len(w)} vectors of {w.shape[1]} numbers don't say how they vary; give more than "
                f"{w.shape[1]}"
            )
        return cls(w.double().mean(0), torch.cov(w.double().T))

    def draw(self, count: int, random: torch.Generator) -> Latent:
        """Draw vectors from N(mean, covariance), (count, w), on the CPU."""
        noise = torch.randn(count, len(self.mean), generator=random, dtype=torch.float64)
        return (self.mean + noise @ self._root().T).float()

    def _root(self) -> Tensor:
        """The lower triangular root of the covariance."""
        eye = torch.eye(len(self.mean), dtype=torch.float64)
        jitter = JITTER * self.covariance.diagonal().mean()
        return torch.linalg.cholesky(self.covariance + jitter * eye)

    def mahalanobis(self, w: Latent) -> Distances:
        """Return how far vectors lie from the mean, in deviations along their direction.

        For true vectors the mean square is their length, `w`.
        """
        off = (w.double() - self.mean).T
        return torch.linalg.solve_triangular(self._root(), off, upper=False).norm(dim=0).float()

    def principal(self, w: Latent, axes: int = 2) -> Float[Tensor, "batch axes"]:
        """Return vectors along the space's first principal axes, in its units: figure 9."""
        values, vectors = torch.linalg.eigh(self.covariance)
        first = vectors[:, values.argsort(descending=True)[:axes]]
        return ((w.double() - self.mean) @ first).float()
