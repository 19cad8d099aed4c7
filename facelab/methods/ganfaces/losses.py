"""The terms of GANFaces, one function an equation: pure, one value per sample.

Images are (batch, 3, height, width) in [-1, 1]. What an equation writes as an L1 norm is the mean
over pixels and channels here, so that a weight means the same at any size; BEGAN's own errors are
`adversarial.reconstruction_error`, and its balance is `adversarial.next_k`.
"""

from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from facelab.errors import ParameterError
from facelab.types import Embedding, Image

PerSample = Float[Tensor, " batch"]
Identities = Int[Tensor, " batch"]
Mask = Float[Tensor, "batch 1 height width"]
Centroids = Float[Tensor, "people features"]

Sign = Literal["magnet", "printed"]
Momentum = Literal["momentum", "printed"]


def l1(a: Image, b: Image, mask: Mask | None = None) -> PerSample:
    """Return the mean absolute difference of pictures; with a mask, over the pixels that it keeps.

    A mask that keeps nothing gives 0.
    """
    difference = (a.float() - b.float()).abs()
    if mask is None:
        return difference.mean(dim=(1, 2, 3))
    kept = mask.expand_as(difference)
    return (difference * kept).sum((1, 2, 3)) / kept.sum((1, 2, 3)).clamp_min(1)


def cycle_loss(render: Image, back: Image, mask: Mask | None = None) -> PerSample:
    """Return |G'(G(x)) - x|, `back` being G'(G(x)). Source: equation 1."""
    return l1(back, render, mask)


def pair_loss(render: Image, fitted: Image, cycle: PerSample, k: Tensor) -> PerSample:
    """Return |s - G'(r)| - k L_cyc: G' tells true pairs from those that G makes.

    `render` is s, `fitted` is G'(r); `cycle` is L_cyc of the batch. Source: equation 6.
    """
    return l1(fitted, render) - k * cycle


def identity_l1(render: Image, photo: Image, mask: Mask | None = None) -> PerSample:
    """Return |x - G(x)|, which keeps G near its input. Source: section 4, L_id."""
    return l1(photo, render, mask)


def set_loss(
    embeddings: Embedding,
    identities: Identities,
    centroids: Centroids,
    seen: Bool[Tensor, " people"],
    *,
    margin: float = 1.0,
    sign: Sign = "magnet",
) -> PerSample:
    """Return how much closer each face is to its own identity's centroid than to the others'.

    -log [ exp(-|e - c_own|^2 / 2 s^2 - margin) / sum over others exp(-|e - c_j|^2 / 2 s^2) ], with
    s^2 the mean squared distance of the batch to its own centroids, which no gradient goes through.
    Source: equation 7, with the signs of the magnet loss (Rippel et al. 2016, equation 2) that it
    simplifies. "printed" has exp(+...): minimising that pushes a face away from its own people.

    Identities whose centroid has not been `seen` are left out of the sum; a face whose own has not,
    or that has no others, counts 0. Raises `ParameterError` for an unknown sign.
    """
    if sign not in get_args(Sign):
        raise ParameterError(
            f"sign {sign!r} is unknown; choose one of: {', '.join(get_args(Sign))}"
        )
    squared = torch.cdist(
        embeddings.float(), centroids, compute_mode="donot_use_mm_for_euclid_dist"
    )
    squared = squared.square()
    own = squared.gather(1, identities[:, None])[:, 0]
    counted = seen[identities]
    variance = (own.detach() * counted).sum() / counted.sum().clamp_min(1)
    scaled = squared / (2 * variance).clamp_min(1e-6)
    if sign == "magnet":
        scaled = -scaled
    usable = counted & (seen.sum() > 1)
    # A face that does not count has all rivals, so that no infinity meets the gradient.
    others = (seen | ~usable[:, None]).scatter(1, identities[:, None], False)
    others = others | ~others.any(1, keepdim=True)
    rivals = scaled.masked_fill(~others, -torch.inf).logsumexp(1)
    loss = rivals - (scaled.gather(1, identities[:, None])[:, 0] - margin)
    return torch.where(usable, loss, torch.zeros_like(loss))


@torch.no_grad()
def move_centroids(
    centroids: Centroids,
    embeddings: Embedding,
    identities: Identities,
    *,
    beta: float = 0.95,
    reading: Momentum = "momentum",
) -> Centroids:
    """Return the centroids after the faces of a batch came in: section 3.3.

    c_j <- c_j - rate (c_j - e). "printed" takes beta for the rate: a centroid jumps 95 % of the way
    to the last face. "momentum" takes what the word says: 1 - beta, 5 % of the way. Of an identity
    with several faces in the batch the mean counts. Raises `ParameterError` for an unknown reading.
    """
    if reading not in get_args(Momentum):
        known = ", ".join(get_args(Momentum))
        raise ParameterError(f"reading {reading!r} is unknown; choose one of: {known}")
    rate = beta if reading == "printed" else 1 - beta
    moved = centroids.clone()
    people, row = identities.unique(return_inverse=True)
    sums = moved.new_zeros(len(people), moved.shape[1]).index_add(0, row, embeddings.float())
    means = sums / row.bincount(minlength=len(people))[:, None]
    moved[people] = centroids[people] + rate * (means - centroids[people])
    return moved
