"""Are people told apart? Distances of faces of one person and of two, with intervals over people.

    separation(embeddings, people, embedder="faceres", random=random).one_minus_eer

`separation` draws as many pairs of one person as of two, as figure 7 of GANFaces (Gecer et al.
2018) shows them; `coherence` takes all pairs and says how near one person's faces are.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from facelab.errors import ParameterError
from facelab.metrics.bootstrap import Interval, Statistic, Weights, bootstrap_interval
from facelab.metrics.verification import Histogram, d_prime, equal_error_rate, histogram, roc
from facelab.types import Embedding

PAIRS = 1000  # of each kind, as in figure 7

People = Int[Tensor, " faces"]
PairOfFaces = Int[Tensor, "pairs 2"]
PerPair = Float[Tensor, " pairs"]


@dataclass(frozen=True)
class Separation:
    """How well faces of one person are told from those of two, by `embedder`.

    Distances are Euclidean, of unit embeddings, as in figure 7: from 0 to 2. `pairs` is the number
    of pairs of each kind. A figure or an interval is None where there are too few pairs or people.
    """

    embedder: str
    people: int
    pairs: int
    d_prime: float | None
    d_prime_interval: Interval | None
    one_minus_eer: float
    one_minus_eer_interval: Interval | None
    mean_same: float
    mean_different: float
    histogram: Histogram


def separation(
    embeddings: Embedding,
    people: People,
    *,
    embedder: str,
    random: torch.Generator,
    pairs: int = PAIRS,
    replicates: int = 1000,
) -> Separation:
    """Draw as many pairs of one person as of two, and measure how far apart the kinds lie.

    `random` draws pairs without repeats, `pairs` of each kind or as many as both have, and the
    people of the intervals. Raises `ParameterError` when there is no pair of one of the kinds.
    """
    chosen = _balanced_pairs(people, pairs, random)
    same = people[chosen[:, 0]] == people[chosen[:, 1]]
    unit = torch.nn.functional.normalize(embeddings.double(), dim=1)
    distances = (unit[chosen[:, 0]] - unit[chosen[:, 1]]).norm(dim=1)

    def interval(statistic: Statistic) -> Interval | None:
        return bootstrap_interval(
            statistic, people[chosen], generator=random, replicates=replicates
        )

    both = {"distances": distances, "same": same}
    return Separation(
        embedder=embedder,
        people=len(people.unique()),
        pairs=len(chosen) // 2,
        d_prime=d_prime(**both),
        d_prime_interval=interval(weighted_d_prime(**both)),
        one_minus_eer=1 - equal_error_rate(roc(**both)),
        one_minus_eer_interval=interval(weighted_one_minus_eer(**both)),
        mean_same=float(distances[same].mean()),
        mean_different=float(distances[~same].mean()),
        histogram=histogram(**both),
    )


def _balanced_pairs(people: People, pairs: int, random: torch.Generator) -> PairOfFaces:
    """Return up to `pairs` pairs of one person, then as many of two."""
    first, second = torch.triu_indices(len(people), len(people), offset=1)
    same = people[first] == people[second]
    kinds = [torch.nonzero(kind)[:, 0] for kind in (same, ~same)]
    count = min(pairs, *map(len, kinds))
    if count < 1:
        raise ParameterError(
            f"{len(people)} faces of {len(people.unique())} people have no pairs of both kinds; "
            "give two people or more, with two faces or more each"
        )
    drawn = [kind[torch.randperm(len(kind), generator=random)[:count]] for kind in kinds]
    rows = torch.cat(drawn)
    return torch.stack([first[rows], second[rows]], dim=1)


def weighted_d_prime(*, distances: PerPair, same: Bool[Tensor, " pairs"]) -> Statistic:
    """Return the statistic: `verification.d_prime` of pairs that are drawn `weights` often."""
    values, kind = distances.double().numpy(), same.numpy()

    def moments(chosen: np.ndarray, weights: Weights) -> tuple[float, float]:
        w, x = weights[chosen], values[chosen]
        total = w.sum()
        if total < 2:
            return float("nan"), float("nan")
        mean = w @ x / total
        return mean, w @ np.square(x - mean) / (total - 1)

    def statistic(weights: Weights) -> float:
        (near, near_spread), (far, far_spread) = (moments(k, weights) for k in (kind, ~kind))
        spread = np.sqrt((near_spread + far_spread) / 2)
        return float((far - near) / spread) if spread > 0 else float("nan")

    return statistic


def weighted_one_minus_eer(*, distances: PerPair, same: Bool[Tensor, " pairs"]) -> Statistic:
    """Return the statistic: 1 - `verification.equal_error_rate` of weighted pairs."""
    values, index = np.unique(distances.double().numpy(), return_inverse=True)
    kind = same.numpy()

    def statistic(weights: Weights) -> float:
        rates = []
        for chosen in (~kind, kind):
            counts = np.bincount(index, weights * chosen, len(values))
            total = counts.sum()
            if not total:
                return float("nan")
            rates.append(np.concatenate([[0.0], np.cumsum(counts) / total]))
        return float(1 - np.interp(1.0, rates[0] + rates[1], rates[0]))

    return statistic


@dataclass(frozen=True)
class Coherence:
    """Mean squared distances of two faces of one person, and of two people, and their ratio.

    A ratio of 1 means that a person's faces are no nearer to each other than to anybody's.
    """

    embedder: str
    people: int
    within: float
    within_interval: Interval | None
    between: float
    between_interval: Interval | None
    ratio: float
    ratio_interval: Interval | None


def coherence(
    embeddings: Embedding,
    people: People,
    *,
    embedder: str,
    random: torch.Generator,
    replicates: int = 1000,
) -> Coherence:
    """Measure the distances of all pairs of faces, of unit embeddings, by who is on them.

    Raises `ParameterError` when there is no pair of one person, or none of two.
    """
    unit = torch.nn.functional.normalize(embeddings.double(), dim=1)
    sums, counts, who = _by_people(unit, people)
    own = who[:, 0] == who[:, 1]
    if not counts[own].sum() or bool(own.all()):
        raise ParameterError(
            "there are no two faces of one person, or no two people; give two people or more, "
            "with two faces or more each"
        )

    def mean(kind: Tensor) -> Statistic:
        total, number = (sums * kind).numpy(), (counts * kind).numpy()

        def statistic(weights: Weights) -> float:
            below = weights @ number
            return float(weights @ total / below) if below else float("nan")

        return statistic

    within, between = mean(own), mean(~own)
    found, everybody = {}, np.ones(len(who))
    statistics = {"within": within, "between": between, "ratio": ratio_of(within, between)}
    for name, statistic in statistics.items():
        found[name] = statistic(everybody)
        found[f"{name}_interval"] = bootstrap_interval(
            statistic, who, generator=random, replicates=replicates
        )
    return Coherence(embedder=embedder, people=len(people.unique()), **found)


def _by_people(
    unit: Float[Tensor, "faces features"], people: People
) -> tuple[PerPair, PerPair, PairOfFaces]:
    """Return the sum of squared distances over faces, their number, and who, by two people.

    |u - v|^2 = 2 - 2 u v, so the sums of each person's vectors are enough.
    """
    numbers, row, faces = people.unique(return_inverse=True, return_counts=True)
    totals = unit.new_zeros(len(numbers), unit.shape[1]).index_add(0, row, unit)
    products, size = totals @ totals.T, faces.double()
    first, second = torch.triu_indices(len(numbers), len(numbers))
    count, product = size[first] * size[second], products[first, second]
    own = first == second
    # Of a person with himself: pairs of two faces, each once.
    count = torch.where(own, (count - size[first]) / 2, count)
    product = torch.where(own, (product - size[first]) / 2, product)
    return 2 * (count - product), count, torch.stack([first, second], dim=1)


def ratio_of(above: Statistic, below: Statistic) -> Statistic:
    """Return the statistic: one over another; NaN where that is not above 0."""

    def statistic(weights: Weights) -> float:
        number = below(weights)
        return above(weights) / number if number > 0 else float("nan")

    return statistic
