"""Two methods tried on the same things: how large is the difference, and could it be chance?"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.metrics.bootstrap import Interval, bootstrap_interval, weighted_mean

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
