"""Is each channel of a feature normally distributed? The adjusted R^2 of figure 8 of d2ae.

Liu et al. 2018 (section 5.3) give scores "higher than 0.99" and no definition. Here, for a channel
with values x_1 ... x_n, mean m and standard deviation s:

- z = (x - m) / s is counted in B bins of equal width from -4 to 4 (B = 20 unless told otherwise);
  the two outermost are open, so that the shares y_1 ... y_B of the bins add up to 1;
- the fit is the normal density with that mean and deviation: p_i is its mass in bin i;
- R^2 = 1 - sum (y_i - p_i)^2 / sum (y_i - 1 / B)^2, and with two fitted numbers, m and s,
  adjusted R^2 = 1 - (1 - R^2) (B - 1) / (B - 2).

Mean and deviation are those of the channel and not the ones of least squares: these would draw a
needle around a channel that is 0 for nearly every face, and call it normal.

Counts are noisy: 1 - R^2 of a truly normal channel falls as 1 / n and rises with B. So a share of
channels above 0.99 says little without `reference_above`, that of normal samples of the same size.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.metrics.features import Features, require_features

BINS, REACH = 20, 4.0
FITTED = 2  # the mean and the deviation
BOUND = 0.99
LEAST = 50  # faces
REFERENCES = 200


@dataclass(frozen=True)
class Gaussianity:
    """How normal the channels of a feature are.

    `adjusted_r_squared` has one number a channel, None where it is constant; `above` is the share
    of all channels whose number is above `bound`, and a constant one is not. `reference_above` and
    `reference_median` are those of independent normal samples with as many values: what could be
    reached. Faces of one person are alike, so what can be reached is rather less than that.
    """

    faces: int
    channels: int
    constant: int
    bins: int
    bound: float
    adjusted_r_squared: tuple[float | None, ...]
    above: float
    median: float | None
    reference_above: float
    reference_median: float


def gaussianity(
    features: Features,
    *,
    random: torch.Generator,
    bins: int = BINS,
    bound: float = BOUND,
) -> Gaussianity:
    """Measure the adjusted R^2 of each channel of (faces, channels) against the normal density.

    `random` draws the reference's samples. Raises `ParameterError` for fewer than 50 faces, for
    values that are not finite, and for fewer than 4 bins. Source: Liu et al. 2018, figures 7 and 8.
    """
    values = require_features(features, "given", LEAST).cpu()
    found = adjusted_r_squared(values, bins)
    defined = found[~found.isnan()]
    shape = (len(values), REFERENCES)
    normal = torch.randn(shape, dtype=torch.float64, generator=random)
    reference = adjusted_r_squared(normal, bins)
    return Gaussianity(
        faces=len(values),
        channels=len(found),
        constant=len(found) - len(defined),
        bins=bins,
        bound=bound,
        adjusted_r_squared=tuple(None if r != r else r for r in found.tolist()),
        above=float((found > bound).double().mean()),
        median=float(defined.quantile(0.5)) if len(defined) else None,
        reference_above=float((reference > bound).double().mean()),
        reference_median=float(reference.quantile(0.5)),
    )


def adjusted_r_squared(features: Features, bins: int = BINS) -> Float[Tensor, " channels"]:
    """Return the adjusted R^2 of each channel, float64 on the CPU; NaN where it is constant.

    Raises `ParameterError` for fewer than 4 bins, or for values that are not finite.
    """
    if bins < 2 + FITTED:
        raise ParameterError(f"{bins} bins are too few to judge a shape by; give 4 or more")
    values = require_features(features, "given").cpu()
    mean, deviation = values.mean(0), values.std(0, correction=0)
    varies = deviation > 1e-9 * mean.abs()
    edges = torch.linspace(-REACH, REACH, bins + 1, dtype=torch.float64)[1:-1]
    shares = _shares((values - mean) / deviation.where(varies, torch.ones(())), edges)
    mass = torch.special.ndtr(edges)
    fit = torch.diff(mass, prepend=mass.new_zeros(1), append=mass.new_ones(1))  # (bins,)
    unexplained = (shares - fit[:, None]).square().sum(0)
    total = (shares - 1 / bins).square().sum(0)
    adjusted = 1 - unexplained / total * (bins - 1) / (bins - FITTED)
    return adjusted.where(varies, torch.nan)


def _shares(
    values: Float[Tensor, "faces channels"], edges: Float[Tensor, " inner"]
) -> Float[Tensor, "bins channels"]:
    """Return the share of each channel's values between two edges; below the first, above the last.

    A value on an edge is in the upper bin.
    """
    place = torch.bucketize(values.contiguous(), edges, right=True)
    counts = values.new_zeros(len(edges) + 1, values.shape[1])
    return counts.scatter_add_(0, place, torch.ones_like(values)) / len(values)
