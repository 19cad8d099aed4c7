"""Kernel distance: do two sets of pictures differ at all, in the space of some features?

The squared maximum mean discrepancy (Gretton et al. 2012) with the polynomial kernel

    k(x, y) = (x y / d + 1)^3,    d features,

compares means, covariances and skewness. Its estimate is unbiased: it needs no thousands of
pictures, and may fall below zero when the sets are alike. With Inception's features it is the KID
(Bińkowski et al., "Demystifying MMD GANs", ICLR 2018). The kernel takes it that features have a
mean square of about one, or its higher powers fade; `extractors` scales them so.
"""

import statistics
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.metrics.bootstrap import Interval
from facelab.metrics.features import Features, require_sets
from facelab.metrics.frechet import metric_name
from facelab.metrics.jackknife import GROUPS, combine, jackknife

# Rows of the kernel that are computed at once: 2,000 x 50,000 float64 are 800 MB.
CHUNK = 2000

Blocks = Float[Tensor, "groups groups"]


@dataclass(frozen=True)
class KernelDistance:
    """A squared kernel distance and all that it depends on.

    `name` is "kid" for Inception's features, else the extractor's with "-kd". `value` is from all
    pictures, with its `interval`. `subset_mean` and `subset_std` are over `subsets` random parts of
    `subset_size` pictures of each set, as KID is usually given; the deviation is that of one
    subset, not the error of the mean.
    """

    name: str
    value: float
    interval: Interval | None
    subset_mean: float
    subset_std: float
    subsets: int
    subset_size: int
    extractor: str
    features: int
    counts: tuple[int, int]


def kernel_distance(
    reference: Features,
    generated: Features,
    *,
    extractor: str,
    random: torch.Generator,
    subsets: int = 100,
    subset_size: int = 1000,
    groups: int = GROUPS,
) -> KernelDistance:
    """Measure how far apart two sets of features (pictures, features) are.

    `random` draws the subsets, without repeats within one; they are no larger than half of the
    smaller set, since subsets that are alike would hide the spread.
    There is no interval unless each set has four pictures a group or more. Raises `ParameterError`
    when a set has fewer than two pictures, values that are not finite, or another number of
    features, or when the subsets can't be drawn.

    Source: Bińkowski et al. 2018, section 4; Gretton et al. 2012, equation 3.
    """
    x, y = require_sets(reference, generated)
    if subsets < 2 or subset_size < 2:
        raise ParameterError(
            f"{subsets} subsets of {subset_size} pictures have no spread; give two or more of each"
        )
    size = min(subset_size, max(2, min(len(x), len(y)) // 2))
    drawn = [_of_subset(x, y, size, random) for _ in range(subsets)]
    value, interval = _whole(x, y, groups)
    return KernelDistance(
        name=metric_name(extractor, "kd", "kid"),
        value=value,
        interval=interval,
        subset_mean=statistics.fmean(drawn),
        subset_std=statistics.stdev(drawn),
        subsets=subsets,
        subset_size=size,
        extractor=extractor,
        features=x.shape[1],
        counts=(len(x), len(y)),
    )


def polynomial_kernel(x: Features, y: Features) -> Features:
    """Return (x y / d + 1)^3 of each row of one with each row of the other."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def squared_discrepancy(reference: Features, generated: Features) -> float:
    """Return the unbiased estimate of the squared maximum mean discrepancy.

    The means of k within each set, without the pictures' products with themselves, less twice the
    mean between the sets. Raises as `kernel_distance` does.

    Source: Gretton et al. 2012, equation 3.
    """
    return _whole(*require_sets(reference, generated), groups=1)[0]


def _of_subset(x: Features, y: Features, size: int, random: torch.Generator) -> float:
    chosen = [torch.randperm(len(s), generator=random)[:size].to(s.device) for s in (x, y)]
    return _whole(x[chosen[0]], y[chosen[1]], groups=1)[0]


def _whole(x: Features, y: Features, groups: int) -> tuple[float, Interval | None]:
    """Return the estimate, and its interval from leaving out every `groups`-th row in turn."""
    enough = groups > 1 and min(len(x), len(y)) >= 4 * groups
    groups = groups if enough else 1
    blocks = _Blocks(x, y, groups)
    everything = torch.ones(groups, dtype=torch.float64)
    value = blocks.estimate(everything, everything)
    if not enough:
        return value, None
    rest = everything - torch.eye(groups, dtype=torch.float64)
    without = (
        [blocks.estimate(kept, everything) for kept in rest],
        [blocks.estimate(everything, kept) for kept in rest],
    )
    return value, combine(value, [jackknife(value, values) for values in without])


class _Blocks:
    """Sums of the kernel over all pairs of groups: enough for the estimate of any groups."""

    def __init__(self, x: Features, y: Features, groups: int):
        self.xx, self.yy = (_block_sums(s, s, groups) for s in (x, y))
        self.xy = _block_sums(x, y, groups)
        for sums, s in ((self.xx, x), (self.yy, y)):
            own = (s.square().sum(1) / s.shape[1] + 1) ** 3  # pictures with themselves
            sums -= torch.diag(_sum_groups(own[:, None], groups)[:, 0]).to(sums)
        self.sizes = [
            torch.tensor([len(s[g::groups]) for g in range(groups)], dtype=torch.float64)
            for s in (x, y)
        ]

    def estimate(self, kept_x: Tensor, kept_y: Tensor) -> float:
        """Return the estimate from the groups that are kept (1) and not left out (0)."""
        n, m = (float(kept @ s) for kept, s in zip((kept_x, kept_y), self.sizes, strict=True))
        within = (
            kept_x @ self.xx @ kept_x / (n * (n - 1)),
            kept_y @ self.yy @ kept_y / (m * (m - 1)),
        )
        return float(within[0] + within[1] - 2 * (kept_x @ self.xy @ kept_y) / (n * m))


def _block_sums(x: Features, y: Features, groups: int) -> Blocks:
    """Return the kernel's sum over each pair of groups; row i is in group i modulo `groups`."""
    columns = []
    for rows in x.split(CHUNK):
        kernel = polynomial_kernel(rows, y)
        columns.append(_sum_groups(kernel.T, groups).T)  # (rows, groups)
    return _sum_groups(torch.cat(columns), groups).cpu()


def _sum_groups(values: Features, groups: int) -> Features:
    """Return the sum of every `groups`-th row, (groups, columns)."""
    return torch.stack([values[group::groups].sum(0) for group in range(groups)])
