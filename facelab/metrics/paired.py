"""Two methods tried on the same things: how large is the difference, and could it be chance?"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from facelab.errors import ParameterError
from facelab.metrics.bootstrap import Interval, bootstrap_interval, weighted_mean

Rows = Float[Tensor, " rows"]
Values = Float[Tensor, " things"]


@dataclass(frozen=True)
class Comparison:
    """The mean of `first - second` over things, its interval, and the p-value of its sign.

    `p_less` is the probability that differences as low as these come about when neither is lower:
    the one-sided signed-rank test of Wilcoxon (1945), exact for few things.
    """

    difference: float
    interval: Interval | None
    p_less: float
    things: int


def mean_interval(values: Values, random: torch.Generator) -> Interval | None:
    """Return the bootstrap interval of the mean of independent things; None with fewer than 5."""
    rows = torch.arange(len(values))
    return bootstrap_interval(
        weighted_mean(values), torch.stack([rows, rows], dim=1), generator=random
    )


def compare(first: Values, second: Float[Tensor, " others"], random: torch.Generator) -> Comparison:
    """Compare two methods on the same things, row by row.

    Raises `ParameterError` when there are not two or more rows in both.
    """
    if len(first) != len(second) or len(first) < 2:
        raise ParameterError(
            f"{len(first)} and {len(second)} values can't be paired; give the same two or more of "
            "both"
        )
    from scipy.stats import wilcoxon

    differences = first - second
    p_less = 1.0
    if differences.any():
        p_less = float(wilcoxon(differences.double().numpy(), alternative="less").pvalue)
    interval = mean_interval(differences, random)
    return Comparison(float(differences.mean()), interval, p_less, len(first))


def compare_people(
    first: Mapping[str, Rows],
    second: Mapping[str, Rows],
    people: Int[Tensor, " rows"],
    random: torch.Generator,
    units: Mapping[str, str],
) -> dict[str, dict | None]:
    """Compare two methods on the same rows, by the names of values that both have.

    `people` numbers who a row shows. Rows of one person are not independent, so they are averaged
    first: the things of `compare` are people. Returns JSON values with their units; None where a
    value is not finite. Raises `ParameterError` for fewer than two people.
    """
    told: dict[str, dict | None] = {}
    for name in (name for name in first if name in second):
        own, other = (per_person(values[name], people) for values in (first, second))
        finite = own.isfinite().all() and other.isfinite().all()
        told[name] = (
            {"unit": units[name], **asdict(compare(own, other, random))} if finite else None
        )
    return told


def per_person(values: Rows, people: Int[Tensor, " rows"]) -> Float[Tensor, " people"]:
    """Return the mean over each person's rows, float64, in the order of the people's numbers."""
    numbers, index = people.unique(return_inverse=True)
    total = torch.zeros(len(numbers), dtype=torch.float64).index_add(0, index, values.double())
    return total / index.bincount(minlength=len(numbers))
