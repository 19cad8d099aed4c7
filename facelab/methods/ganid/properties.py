"""The three properties that Algorithm 1 stands on, as numbers over many faces and not one picture.

Li & Luo, section 3.3 and figure 6: noise of up to half the input's amplitude, the sign of the
input, and its amplitude are said to leave the identity as it is. Each function returns the squared
distances between the face of a latent vector and that of the changed one; what would be the same
person, and what two random faces are like, is up to the caller to set beside.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.methods.ganid.scoring import Scorer
from facelab.types import Embedding, Latent

NOISE = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
SCALES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)


@dataclass(frozen=True)
class Response:
    """How far faces move in identity: `distances` (amounts, batch) for every amount of a change."""

    amounts: tuple[float, ...]
    distances: Float[Tensor, "amounts batch"]

    @property
    def mean(self) -> Float[Tensor, " amounts"]:
        """The mean over the faces."""
        return self.distances.mean(1)

    def share_below(self, threshold: float) -> Float[Tensor, " amounts"]:
        """Return the share of faces that would still count as the same person."""
        return (self.distances < threshold).float().mean(1)


def noise_response(
    scorer: Scorer, latents: Latent, random: torch.Generator, amplitudes: Sequence[float] = NOISE
) -> Response:
    """Return the distances between G(z) and G(z + a n), n of the prior. Source: property 1.

    Where the prior is uniform on [-1, 1], a is the noise's amplitude as in the paper; where it is
    normal, a is its standard deviation, that of the input being 1. Every amplitude has the same n.
    """
    noise = scorer.generator.sample_latent(len(latents), random)
    return _response(scorer, latents, amplitudes, lambda amount: latents + amount * noise)


def amplitude_response(
    scorer: Scorer, latents: Latent, scales: Sequence[float] = SCALES
) -> Response:
    """Return the distances between G(z) and G(s z) for every scale s. Source: property 3."""
    return _response(scorer, latents, scales, lambda amount: amount * latents)


def sign_response(scorer: Scorer, latents: Latent) -> Response:
    """Return the distances between G(z) and G(sign z), one amount. Source: property 2."""
    return _response(scorer, latents, (1.0,), lambda _: latents.sign())


@torch.no_grad()
def _response(
    scorer: Scorer, latents: Latent, amounts: Sequence[float], change: Callable[[float], Latent]
) -> Response:
    before = scorer.embed(latents)
    moved = [scorer.embed(change(amount)) for amount in amounts]
    distances = torch.stack([(after - before).square().sum(1) for after in moved])
    return Response(tuple(amounts), distances.cpu())


def random_pairs(embeddings: Embedding) -> Float[Tensor, " pairs"]:
    """Return the squared distances of faces that have nothing to do with each other.

    Row i is paired with row i + half, so that no face is in two pairs.
    """
    half = len(embeddings) // 2
    return (embeddings[:half] - embeddings[half : 2 * half]).square().sum(1)


def crossing(response: Response, threshold: float) -> float | None:
    """Return the amount at which the mean distance first reaches `threshold`, by straight lines.

    None when it never does. Amounts must rise.
    """
    means = response.mean.tolist()
    if means[0] >= threshold:
        return response.amounts[0]
    for i in range(1, len(means)):
        if means[i] >= threshold:
            share = (threshold - means[i - 1]) / (means[i] - means[i - 1])
            low, high = response.amounts[i - 1], response.amounts[i]
            return low + share * (high - low)
    return None
