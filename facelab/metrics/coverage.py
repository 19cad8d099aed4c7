"""Two kinds of failure, apart: pictures that look wrong, and pictures that are never drawn.

A set is taken for the union of balls about its pictures' features; each ball reaches to the k-th
nearest other picture of the set. Whether a picture of one set lies in a ball of the other is what
is counted.

| here | meaning | source |
|---|---|---|
| precision | share of generated pictures in some ball of the reference set | Kynkäänniemi et al. |
| recall | share of reference pictures in some ball of the generated set | Kynkäänniemi et al. |
| density | mean number of the reference's balls about a generated picture, over k | Naeem et al. |
| coverage | share of the reference's balls with a generated picture | Naeem et al. |

T. Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models",
NeurIPS 2019, equations 1 and 2. M. F. Naeem et al., "Reliable Fidelity and Diversity Metrics for
Generative Models", ICML 2020, equations 7 and 8: one outlier among the references has a huge ball
and gives precision away, while density hardly moves; recall trusts the generated set's balls, which
outliers make large, and coverage does not. Density may exceed one.

All four grow with nothing but the numbers of pictures: compare them for equal numbers.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.metrics.bootstrap import Interval, bootstrap_interval, weighted_mean
from facelab.metrics.features import Features, require_sets, squared_distances

# Rows of distances that are computed at once: 1,000 x 50,000 float64 are 400 MB.
CHUNK = 1000

PerPicture = Float[Tensor, " pictures"]


@dataclass(frozen=True)
class Coverage:
    """Precision, recall, density and coverage, with intervals by these names.

    The intervals draw the pictures that are counted anew, and take the balls as they are: those of
    precision and density are over generated pictures, the others over the references.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    intervals: dict[str, Interval | None]
    neighbours: int
    density_neighbours: int
    extractor: str
    counts: tuple[int, int]


def coverage(
    reference: Features,
    generated: Features,
    *,
    extractor: str,
    random: torch.Generator,
    neighbours: int = 3,
    density_neighbours: int = 5,
    replicates: int = 1000,
) -> Coverage:
    """Measure what share of each set of features (pictures, features) lies within the other.

    `neighbours` is k for precision and recall, `density_neighbours` for density and coverage; both
    defaults are the papers'. `random` draws the intervals' pictures. Distances are computed in
    chunks of rows. Raises `ParameterError` when a set has no more pictures than k, values that are
    not finite, or another number of features.
    """
    if min(neighbours, density_neighbours) < 1:
        raise ParameterError("a ball reaches to the first neighbour at least; give 1 or more")
    least = max(neighbours, density_neighbours) + 1
    x, y = require_sets(reference, generated, least)
    radii, wide = radii_squared(x, (neighbours, density_neighbours))
    values = {
        "precision": (balls_around(y, x, radii) > 0).double(),
        "recall": (balls_around(x, y, radii_squared(y, (neighbours,))[0]) > 0).double(),
        "density": balls_around(y, x, wide) / density_neighbours,
        "coverage": _hit(x, wide, y),
    }
    return Coverage(
        **{name: float(value.mean()) for name, value in values.items()},
        intervals={name: _interval(v, random, replicates) for name, v in values.items()},
        neighbours=neighbours,
        density_neighbours=density_neighbours,
        extractor=extractor,
        counts=(len(x), len(y)),
    )


def radii_squared(features: Features, neighbours: tuple[int, ...]) -> list[PerPicture]:
    """Return each picture's squared distance to its k-th nearest other one, for each k."""
    found: list[list[Tensor]] = [[] for _ in neighbours]
    for start in range(0, len(features), CHUNK):
        rows = features[start : start + CHUNK]
        distances = squared_distances(rows, features)
        own = torch.arange(len(rows), device=rows.device)
        distances[own, start + own] = torch.inf
        nearest = distances.topk(max(neighbours), largest=False).values
        for values, k in zip(found, neighbours, strict=True):
            values.append(nearest[:, k - 1])
    return [torch.cat(values) for values in found]


def balls_around(
    points: Float[Tensor, "points features"],
    centres: Float[Tensor, "centres features"],
    radii: Float[Tensor, " centres"],
) -> Float[Tensor, " points"]:
    """Return, for each point, how many balls (centre, squared radius) it lies in; edges count."""
    counts = [
        (squared_distances(rows, centres) <= radii).sum(1).double() for rows in points.split(CHUNK)
    ]
    return torch.cat(counts)


def _hit(
    centres: Float[Tensor, "centres features"],
    radii: Float[Tensor, " centres"],
    points: Float[Tensor, "points features"],
) -> Float[Tensor, " centres"]:
    """Return, for each ball, 1 if some point lies in it, else 0."""
    hits = [
        (squared_distances(rows, points).amin(1) <= reach).double()
        for rows, reach in zip(centres.split(CHUNK), radii.split(CHUNK), strict=True)
    ]
    return torch.cat(hits)


def _interval(values: PerPicture, random: torch.Generator, replicates: int) -> Interval | None:
    pictures = torch.arange(len(values))
    return bootstrap_interval(
        weighted_mean(values.cpu()),
        torch.stack([pictures, pictures], dim=1),
        generator=random,
        replicates=replicates,
    )
