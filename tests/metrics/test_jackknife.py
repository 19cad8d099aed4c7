"""The jackknife against closed forms."""

import math

import pytest
import torch

from facelab.errors import ParameterError
from facelab.metrics.jackknife import Jackknife, combine, jackknife


def test_of_a_mean_it_is_the_standard_error(random):
    """One value a group: the jackknife of the mean is s / sqrt(n), without bias."""
    values = torch.randn(12, generator=random, dtype=torch.float64)
    without = [float((values.sum() - v) / 11) for v in values]
    found = jackknife(float(values.mean()), without)
    assert found.bias == pytest.approx(0, abs=1e-12)
    assert found.standard_error == pytest.approx(float(values.std()) / math.sqrt(12), rel=1e-9)
    assert found.groups == 12


def test_it_finds_the_bias_of_the_plain_variance(random):
    """The mean square about the mean is too small by s^2 / n, and the jackknife says so exactly."""
    values = torch.randn(15, generator=random, dtype=torch.float64)

    def plain(v):
        return float(v.var(correction=0))

    without = [plain(torch.cat([values[:i], values[i + 1 :]])) for i in range(15)]
    found = jackknife(plain(values), without)
    assert plain(values) - found.bias == pytest.approx(float(values.var()), rel=1e-9)


def test_variances_add_up_and_few_groups_widen():
    """Student's t with 4 degrees of freedom is 2.776 at 97.5 %."""
    parts = [Jackknife(0.0, 3.0, 5), Jackknife(0.0, 4.0, 8)]
    interval = combine(10.0, parts)
    assert interval.high - 10 == pytest.approx(2.7764 * 5, rel=1e-4)
    assert 10 - interval.low == pytest.approx(2.7764 * 5, rel=1e-4)
    assert (interval.confidence, interval.replicates) == (0.95, 13)


def test_one_group_says_nothing():
    with pytest.raises(ParameterError, match="two groups or more, got 1"):
        jackknife(1.0, [1.0])
