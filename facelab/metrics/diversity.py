"""How many people does a generator draw? The mean distance of two of its faces, by a recogniser.

The distance is the squared one of unit embeddings, between 0 (one person) and 4; that of unrelated
people is near 2 for most recognisers, and well below it for dlib's, whose embeddings share a
direction: compare it with that of real faces under the same recogniser, not with 2.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.metrics.bootstrap import MINIMUM_PEOPLE, Interval
from facelab.metrics.features import Features, require_features

# Rows of distances, and draws of the bootstrap, that are computed at once.
CHUNK, DRAWS = 1000, 100

Rows = Float[Tensor, "faces features"]


@dataclass(frozen=True)
class Diversity:
    """The mean squared distance of two faces, and the share of pairs that pass for one person.

    `same_person` is the share of pairs whose distance is below `threshold`, the recogniser's own.
    `interval` is that of `mean_distance`, with the faces drawn anew. `embedder` must not be the one
    that the generator's loss saw.
    """

    mean_distance: float
    interval: Interval | None
    same_person: float
    threshold: float
    embedder: str
    count: int


def identity_diversity(
    embeddings: Features,
    *,
    embedder: str,
    threshold: float,
    random: torch.Generator,
    replicates: int = 1000,
    confidence: float = 0.95,
) -> Diversity:
    """Measure how far faces' embeddings (faces, features) lie apart, over all pairs.

    Rows are brought to length one. `threshold` is the recogniser's `threshold_squared`; `random`
    draws the interval's faces. No interval with fewer than `MINIMUM_PEOPLE` faces. Raises
    `ParameterError` for fewer than two faces, or for values that are not finite or all zero.
    """
    rows = require_features(embeddings, "given")
    if not (rows.norm(dim=1) > 0).all():
        raise ParameterError("an embedding is zero and has no direction; look at what made it")
    unit = F.normalize(rows, dim=1).cpu()
    times = torch.ones(1, len(unit), dtype=torch.float64)
    return Diversity(
        mean_distance=float(mean_distances(unit, times)[0]),
        interval=_interval(unit, random, replicates, confidence),
        same_person=_share_below(unit, threshold),
        threshold=threshold,
        embedder=embedder,
        count=len(unit),
    )


def mean_distances(unit: Rows, times: Float[Tensor, "draws faces"]) -> Float[Tensor, " draws"]:
    """Return the mean squared distance over pairs of two faces, drawn `times` often, for each draw.

    With u_i of length one, drawn m_i times, the sum over pairs i < j of m_i m_j |u_i - u_j|^2 is
    (sum m_i)^2 - |sum m_i u_i|^2: no pair has to be looked at. A face and its own copy are no pair.
    """
    total = times.sum(1).square()
    apart = total - (times @ unit).square().sum(1)
    return 2 * apart / (total - times.square().sum(1))


def _interval(
    unit: Rows, random: torch.Generator, replicates: int, confidence: float
) -> Interval | None:
    """Draw faces with replacement: pairs that share a face are not independent (`bootstrap`)."""
    count = len(unit)
    if count < MINIMUM_PEOPLE:
        return None
    values = []
    for start in range(0, replicates, DRAWS):
        shape = (min(DRAWS, replicates - start), count)
        drawn = torch.randint(count, shape, generator=random)
        times = torch.zeros(shape, dtype=torch.float64)
        times.scatter_add_(1, drawn, torch.ones_like(times))
        values.append(mean_distances(unit, times))
    ends = np.nanquantile(torch.cat(values), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(ends[0]), float(ends[1]), confidence, replicates)


def _share_below(unit: Rows, threshold: float) -> float:
    count, below = len(unit), 0
    for start in range(0, count, CHUNK):
        rows = unit[start : start + CHUNK]
        near = 2 - 2 * rows @ unit.T < threshold
        own = torch.arange(len(rows))
        near[own, start + own] = False
        below += int(near.sum())
    return below / (count * (count - 1))
