"""Adjusted R^2 of channels: against closed forms, a slow twin, and known shapes."""

import dataclasses
import itertools
import json
import math

import pytest
import torch

from facelab.errors import ParameterError
from facelab.metrics.gaussianity import adjusted_r_squared, gaussianity


def grid(count: int) -> torch.Tensor:
    """The middles of equal parts of [0, 1]: what a channel's values are at its quantiles."""
    return (torch.arange(count).double() + 0.5) / count


def normal(count: int) -> torch.Tensor:
    return torch.special.ndtri(grid(count))


def by_hand(shares: list[float], bins: int) -> float:
    """The formula of the module, bin by bin."""
    edges = [-math.inf, *(8 * (k + 1) / bins - 4 for k in range(bins - 1)), math.inf]
    below = [(1 + math.erf(edge / math.sqrt(2))) / 2 for edge in edges]
    fit = [b - a for a, b in itertools.pairwise(below)]
    unexplained = sum((y - p) ** 2 for y, p in zip(shares, fit, strict=True))
    total = sum((y - 1 / bins) ** 2 for y in shares)
    return 1 - unexplained / total * (bins - 1) / (bins - 2)


def test_a_normal_channel_is_at_one_wherever_it_lies():
    channels = torch.stack([normal(40_000), 7 - 300 * normal(40_000)], dim=1)
    assert adjusted_r_squared(channels).tolist() == pytest.approx([1, 1], abs=1e-4)


@pytest.mark.parametrize("bins", [10, 20])
def test_a_uniform_channel_has_the_number_of_the_formula(bins):
    """Of deviation 1 it lies between -sqrt(3) and sqrt(3), and its shares are overlaps."""
    reach, width = math.sqrt(3), 8 / bins
    lows = [-4 + width * k for k in range(bins)]
    shares = [max(0, min(low + width, reach) - max(low, -reach)) / (2 * reach) for low in lows]
    found = adjusted_r_squared(grid(100_000)[:, None] * 5, bins)
    assert float(found) == pytest.approx(by_hand(shares, bins), abs=1e-3)
    assert float(found) < 0.9


def test_a_two_peaked_channel_is_far_below(random):
    peaks = normal(10_000) * 0.3 + torch.where(torch.arange(10_000) % 2 == 0, -1, 1)
    assert float(adjusted_r_squared(peaks[:, None])) < 0.5


def test_a_needle_is_not_normal():
    """A rectified channel that is 0 for nineteen faces in twenty."""
    channel = torch.where(torch.arange(1000) % 20 == 0, 5.0, 0.0)[:, None]
    assert float(adjusted_r_squared(channel)) < 0.5


def test_shares_are_counted_as_by_hand(random):
    """Values on both sides of the outermost edges, which are open."""
    values = torch.tensor([-30.0, -1.1, -0.9, -0.1, 0.1, 0.3, 0.3, 0.9, 1.4, 30.0]).double()
    z = (values - values.mean()) / values.std(correction=0)
    counts = [0] * 8
    for value in z.tolist():
        counts[min(max(int(value + 4), 0), 7)] += 1
    found = adjusted_r_squared(values[:, None], bins=8)
    assert float(found) == pytest.approx(by_hand([c / 10 for c in counts], 8), abs=1e-9)
    far = torch.cat([values, torch.full((90,), 0.2).double()])
    assert abs(float(((far - far.mean()) / far.std(correction=0)).max())) > 4, "beyond the edges"
    assert adjusted_r_squared(far[:, None]).isfinite().all()


def test_the_report_counts_channels_against_what_could_be_reached(random):
    good = torch.randn(6000, 6, generator=random)
    bad = torch.rand(6000, 3, generator=random)
    features = torch.cat([good, bad, torch.full((6000, 1), 0.1)], dim=1)
    found = gaussianity(features, random=random)
    assert (found.channels, found.constant, found.faces) == (10, 1, 6000)
    assert found.above == 0.6
    assert found.adjusted_r_squared[9] is None
    assert found.reference_above > 0.99
    few = gaussianity(features[:300], random=random)
    assert few.reference_above < 0.1, "300 faces can't reach 0.99 in 20 bins"
    assert few.reference_median < found.reference_median
    assert json.loads(json.dumps(dataclasses.asdict(found)))["above"] == 0.6
    loose = gaussianity(features, random=random, bound=0.5)
    assert loose.above == 0.9


def test_only_constant_channels_have_no_median(random):
    found = gaussianity(torch.zeros(60, 2), random=random)
    assert (found.median, found.above, found.constant) == (None, 0.0, 2)


def test_bad_input(random):
    with pytest.raises(ParameterError, match="at least 50 are needed"):
        gaussianity(torch.randn(49, 2, generator=random), random=random)
    with pytest.raises(ParameterError, match="not finite in 1 of 60"):
        gaussianity(torch.cat([torch.zeros(59, 1), torch.tensor([[torch.nan]])]), random=random)
    with pytest.raises(ParameterError, match="3 bins are too few"):
        gaussianity(torch.randn(60, 2, generator=random), random=random, bins=3)
