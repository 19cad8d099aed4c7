"""Fréchet distance: two sets of pictures as two Gaussians in the space of some features.

    d^2 = |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))

(Dowson & Landau 1982; for pictures Heusel et al., "GANs Trained by a Two Time-Scale Update Rule
Converge to a Local Nash Equilibrium", NeurIPS 2017, equation 6.) With the features of the Inception
network it is the FID, with others it is not, and numbers of different features can't be compared.
So the extractor's name is part of the number's name.

**It is too large, and the more so the fewer the pictures.** Means and covariances of n pictures are
estimates, whose errors add about c / n to the distance, also between two sets of one distribution;
c differs from one generator to another (Chong & Forsyth 2020, "Effectively Unbiased FID"). Compare
only numbers of equally many pictures, or `debiased`. Below some ten pictures a feature, neither
says much.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.metrics.bootstrap import Interval
from facelab.metrics.features import Features, require_features, require_same_width
from facelab.metrics.jackknife import GROUPS, combine, jackknife

Matrix = Float[Tensor, "features features"]


@dataclass(frozen=True)
class Statistics:
    """Number of pictures, mean of their features, and scatter: the sum of outer products about it.

    Statistics of two sets add up to those of both together, without looking at them again.
    """

    count: int
    mean: Float[Tensor, " features"]
    scatter: Matrix

    @property
    def covariance(self) -> Matrix:
        """The covariance, divided by count - 1."""
        return self.scatter / (self.count - 1)

    def __add__(self, other: "Statistics") -> "Statistics":
        """Return the statistics of both sets (Chan, Golub & LeVeque 1983, equation 2.1)."""
        require_same_width(len(self.mean), len(other.mean))
        count = self.count + other.count
        step = other.mean - self.mean
        between = torch.outer(step, step) * (self.count * other.count / count)
        mean = self.mean + step * (other.count / count)
        return Statistics(count, mean, self.scatter + other.scatter + between)


def statistics_of(features: Features, name: str = "given") -> Statistics:
    """Return the statistics of features (pictures, features), float64.

    Raises `ParameterError` for an empty set, or values that are not finite.
    """
    rows = require_features(features, name, least=1)
    mean = rows.mean(0)
    centred = rows - mean
    return Statistics(len(rows), mean, centred.T @ centred)


@dataclass
class Accumulator:
    """Statistics of a stream of batches, in `groups` that take the pictures in turn.

    The groups are what an interval is made from; memory does not grow with the pictures.
    """

    groups: int = GROUPS
    seen: int = 0
    parts: list[Statistics | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.groups < 1:
            raise ParameterError(
                f"pictures can't be dealt into {self.groups} groups; give 1 or more"
            )

    def add(self, features: Features) -> None:
        """Take a batch's features (pictures, features). Raises as `statistics_of` does."""
        self.parts = self.parts or [None] * self.groups
        for group in range(self.groups):
            rows = features[(group - self.seen) % self.groups :: self.groups]
            if len(rows):
                new = statistics_of(rows)
                old = self.parts[group]
                self.parts[group] = new if old is None else old + new
        self.seen += len(features)

    def statistics(self) -> list[Statistics]:
        """Return the statistics of each group that has pictures."""
        return [part for part in self.parts if part is not None]


@dataclass(frozen=True)
class FrechetDistance:
    """A squared Fréchet distance and all that it depends on.

    `name` is "fid" for Inception's features, else the extractor's with "-fd". `value` is the usual
    number, biased upwards; `debiased` is less the jackknife's estimate of that bias, and may be
    below zero. `interval` is that of `value` at these `counts` (reference, generated), with both
    sets drawn anew. `full_rank` is False where a set has no more pictures than features: then its
    covariance misses directions and the number is mostly bias.
    """

    name: str
    value: float
    debiased: float | None
    interval: Interval | None
    extractor: str
    features: int
    counts: tuple[int, int]
    full_rank: bool


def metric_name(extractor: str, fallback: str, inception: str) -> str:
    """Return a metric's name: `inception` for Inception's features, else extractor-fallback.

    Inception means the network of the FID's authors; torchvision's own weights give other numbers.
    """
    return inception if extractor == "inception" else f"{extractor}-{fallback}"


def frechet_distance(
    reference: Features | Sequence[Statistics],
    generated: Features | Sequence[Statistics],
    *,
    extractor: str,
    groups: int = GROUPS,
) -> FrechetDistance:
    """Measure how far apart two sets of pictures are, by their means and covariances.

    Each is features (pictures, features), or an `Accumulator`'s statistics; features are dealt into
    `groups`. With one group in a set, or two pictures in all, there is no interval. `extractor`
    names what made the features. Raises `ParameterError` when a set has fewer than two pictures,
    values that are not finite, or another number of features.

    Source: Heusel et al. 2017, equation 6.
    """
    parts = (
        _groups(reference, groups, "reference"),
        _groups(generated, groups, "generated"),
    )
    whole = [reduce(Statistics.__add__, part) for part in parts]
    for statistics, name in zip(whole, ("reference", "generated"), strict=True):
        if statistics.count < 2:
            raise ParameterError(f"the {name} set has one picture, at least 2 are needed")
    require_same_width(len(whole[0].mean), len(whole[1].mean))
    value = distance_of(*whole)
    found = _left_out(value, parts, whole)
    return FrechetDistance(
        name=metric_name(extractor, "fd", "fid"),
        value=value,
        debiased=value - sum(part.bias for part in found) if found else None,
        interval=combine(value, found) if found else None,
        extractor=extractor,
        features=len(whole[0].mean),
        counts=(whole[0].count, whole[1].count),
        full_rank=min(s.count for s in whole) > len(whole[0].mean),
    )


def _groups(given: Features | Sequence[Statistics], groups: int, name: str) -> Sequence[Statistics]:
    if not isinstance(given, Tensor):
        if not given:
            raise ParameterError(f"the {name} set has no pictures, at least 2 are needed")
        return given
    require_features(given, name)
    accumulator = Accumulator(groups)
    accumulator.add(given)
    return accumulator.statistics()


def _left_out(value: float, parts: tuple, whole: list[Statistics]) -> list:
    """Return the jackknife of each set; none when a set can't be left out in parts."""
    if any(
        len(part) < 2 or s.count - max(p.count for p in part) < 2
        for part, s in zip(parts, whole, strict=True)
    ):
        return []
    found = []
    for side, part in enumerate(parts):
        root = square_root(whole[1 - side].covariance)  # of the set that stays whole
        without = []
        for index in range(len(part)):
            rest = reduce(Statistics.__add__, [*part[:index], *part[index + 1 :]])
            without.append(_distance(whole[1 - side], root, rest))
        found.append(jackknife(value, without))
    return found


def distance_of(a: Statistics, b: Statistics) -> float:
    """Return the squared Fréchet distance of two Gaussians; it is the same in either order."""
    return _distance(a, square_root(a.covariance), b)


def _distance(a: Statistics, root: Matrix, b: Statistics) -> float:
    """Return the distance, given the square root of a's covariance.

    S1 S2 is not symmetric, but R S2 R with R = S1^(1/2) is, and has the same eigenvalues: those are
    real, and the trace of the square root is the sum of their roots.
    """
    spread = a.covariance.trace() + b.covariance.trace()
    middle = root @ b.covariance @ root
    common = _rooted(torch.linalg.eigvalsh((middle + middle.T) / 2)).sum()
    # Rounding may end just below zero, which no distance does.
    return max(float((a.mean - b.mean).square().sum() + spread - 2 * common), 0.0)


def square_root(covariance: Matrix) -> Matrix:
    """Return the symmetric square root of a covariance, by its eigenvalues."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * _rooted(values)) @ vectors.T


def _rooted(values: Float[Tensor, " features"]) -> Float[Tensor, " features"]:
    """Return the roots; what rounding alone can have made of a zero counts as zero."""
    rounding = values.abs().max() * len(values) * torch.finfo(values.dtype).eps
    return torch.where(values > rounding, values, 0.0).sqrt()
