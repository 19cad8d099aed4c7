"""Intervals over people: what would another sample of people have given?

Pairs are not independent: one person whose pictures are hard spoils all pairs that he or she is
on. Drawing pairs anew would ignore that and give intervals that are far too narrow, so people are
drawn (the vertex bootstrap of Snijders & Borgatti 1999; Bolle et al. 2004 draw subsets alike).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Weights = Float[np.ndarray, " pairs"]
Statistic = Callable[[Weights], float]

# Below this number of people the draws are too alike for an interval to mean anything.
MINIMUM_PEOPLE = 5


@dataclass(frozen=True)
class Interval:
    """A percentile interval: `confidence` of the `replicates` lie between `low` and `high`.

    Where no error was seen it has no width. That is not certainty: the sample has nothing to vary.
    """

    low: float
    high: float
    confidence: float
    replicates: int


def bootstrap_interval(
    statistic: Statistic,
    people: Int[Tensor, "pairs 2"],
    *,
    generator: torch.Generator,
    replicates: int = 1000,
    confidence: float = 0.95,
) -> Interval | None:
    """Draw people with replacement and return the interval of a statistic of weighted pairs.

    `people` numbers who is on both sides of each pair. When a and b are drawn m and n times, their
    pairs weigh m n, and pairs of a with a weigh m. `statistic` takes these weights and returns NaN
    where it is undefined; such draws are left out. None with fewer than `MINIMUM_PEOPLE` people, or
    when the statistic is undefined for over a tenth of the draws.
    """
    numbers, index = people.unique(return_inverse=True)
    count = len(numbers)
    if count < MINIMUM_PEOPLE:
        return None
    first, second = index.numpy().T
    values = []
    for _ in range(replicates):
        drawn = torch.randint(count, (count,), generator=generator).bincount(minlength=count)
        times = drawn.numpy().astype(float)
        weights = np.where(first == second, times[first], times[first] * times[second])
        values.append(statistic(weights))
    defined = np.asarray(values)[~np.isnan(values)]
    if len(defined) < 0.9 * replicates:
        return None
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high), confidence, len(defined))


def weighted_mean(values: Float[Tensor, " pairs"]) -> Statistic:
    """Return the statistic: the weighted mean of one value per pair."""
    numbers = values.numpy()

    def statistic(weights: Weights) -> float:
        total = weights.sum()
        return float(weights @ numbers / total) if total else float("nan")

    return statistic


def weighted_auc(*, distances: Float[Tensor, " pairs"], same: Bool[Tensor, " pairs"]) -> Statistic:
    """Return the statistic: the area under the ROC of weighted pairs; smaller means more similar.

    It sorts once, so that a thousand draws cost no thousand sorts.
    """
    values, index = np.unique(distances.double().numpy(), return_inverse=True)
    kind = same.numpy()

    def statistic(weights: Weights) -> float:
        near = np.bincount(index, weights * kind, len(values))
        far = np.bincount(index, weights * ~kind, len(values))
        total = near.sum() * far.sum()
        farther = far.sum() - np.cumsum(far) + far / 2  # ties count half
        return float(near @ farther / total) if total else float("nan")

    return statistic
