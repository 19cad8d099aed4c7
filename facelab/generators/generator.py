"""What every generator of the book can do: draw latent vectors, and turn them into faces.

Ways between two latent vectors are here too, and truncation, for they suit any latent space.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from facelab.errors import ParameterError
from facelab.types import Image, Latent

Fractions = Float[Tensor, " batch"]


class Generator(nn.Module, ABC):
    """Maps a latent vector to a face image, in two parts: `synthesis(mapping(latent))`.

    `latents` is the length of a latent vector, `size` the side of an image in pixels, and `prior`
    names the distribution that `sample_latent` draws from. Where a generator has no mapping
    network, `mapping` returns the latent vector itself.
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
    def mapping(self, latent: Latent) -> Float[Tensor, "batch *styles"]:
        """Turn latent vectors (batch, latents) into what `synthesis` draws."""

    @abstractmethod
    def synthesis(self, w: Float[Tensor, "batch *styles"]) -> Image:
        """Draw images (batch, 3, size, size) in [-1, 1] from what `mapping` gave.

        A generator without a tanh may overshoot the range a little; what writes a picture clips it.
        """

    def forward(self, latent: Latent) -> Image:
        """Turn latent vectors (batch, latents) into images (batch, 3, size, size) in [-1, 1]."""
        return self.synthesis(self.mapping(latent))

    @torch.no_grad()
    def sample(self, count: int, random: torch.Generator, batch: int = 64) -> Image:
        """Draw `count` faces, `batch` at a time; shape (count, 3, size, size) on the CPU."""
        where: Tensor = next(self.parameters())
        faces = [
            self(latent.to(where.device)).cpu()
            for latent in self.sample_latent(count, random).split(batch)
        ]
        return torch.cat(faces)


def sample_prior(prior: str, count: int, latents: int, random: torch.Generator) -> Latent:
    """Draw from "normal", N(0, 1), or from "uniform" on [-1, 1]; shape (count, latents)."""
    if prior == "normal":
        return torch.randn(count, latents, generator=random)
    return torch.rand(count, latents, generator=random) * 2 - 1


def interpolate_linear(
    start: Float[Tensor, "batch *shape"], end: Float[Tensor, "batch *shape"], fraction: Fractions
) -> Float[Tensor, "batch *shape"]:
    """Return (1 - t) start + t end, row by row, t being the row's fraction."""
    t = fraction.view(-1, *[1] * (start.ndim - 1))
    return start + t * (end - start)


def interpolate_scaled(start: Latent, end: Latent, fraction: Fractions) -> Latent:
    """Return the straight way from start to end, with lengths in proportion between theirs.

    The direction is that of (1 - t) start + t end, the length (1 - t) |start| + t |end|. Rows that
    point in opposite directions have a point without a direction between them, which is all zeros.
    """
    straight = interpolate_linear(start, end, fraction)
    length = interpolate_linear(
        start.norm(dim=1, keepdim=True), end.norm(dim=1, keepdim=True), fraction
    )
    return torch.nn.functional.normalize(straight, dim=1) * length


def interpolate_spherical(start: Latent, end: Latent, fraction: Fractions) -> Latent:
    """Return the point at `fraction` of the way on the arc from start to end, row by row.

    sin((1 - t) a) / sin(a) start + sin(t a) / sin(a) end, with a the angle between the two. The
    straight way between two normal vectors runs through points that are shorter than any that the
    prior draws; this one does not. Parallel rows are joined by a straight line. Raises
    `ParameterError` when two rows point in opposite directions: no arc is the shortest then.
    """
    unit = torch.nn.functional.normalize
    cosine = (unit(start, dim=1) * unit(end, dim=1)).sum(1, keepdim=True).clamp(-1, 1)
    if (cosine <= -1 + 1e-6).any():
        raise ParameterError(
            "two latent vectors point in opposite directions, so no arc between them is the "
            "shortest; choose another start or end"
        )
    angle, t = cosine.acos(), fraction[:, None]
    near = angle < 1e-3
    sine = torch.where(near, 1.0, angle.sin())
    first = torch.where(near, 1 - t, ((1 - t) * angle).sin() / sine)
    second = torch.where(near, t, (t * angle).sin() / sine)
    return first * start + second * end


def path(
    start: Float[Tensor, " latents"],
    end: Float[Tensor, " latents"],
    steps: int,
    between: Callable[[Latent, Latent, Fractions], Latent] = interpolate_spherical,
) -> Float[Tensor, "steps latents"]:
    """Return `steps` latent vectors from `start` to `end`, both included."""
    fraction = torch.linspace(0, 1, steps, device=start.device)
    return between(start.expand(steps, -1), end.expand(steps, -1), fraction)


def truncate(
    w: Float[Tensor, "batch *styles"], mean: Float[Tensor, " features"], psi: float
) -> Float[Tensor, "batch *styles"]:
    """Return mean + psi (w - mean): closer to the mean face for psi below 1.

    0 gives the mean for every row, 1 leaves w as it is. Source: Karras et al. 2019, appendix B.
    """
    return mean + psi * (w - mean)
