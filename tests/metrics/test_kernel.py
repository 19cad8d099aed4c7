"""Kernel distance: a slow twin, a closed form, no bias, an honest interval."""

import itertools
import math

import numpy as np
import pytest
import torch

from facelab.errors import ParameterError
from facelab.metrics import kernel
from facelab.metrics.kernel import kernel_distance, squared_discrepancy


def randn(random, *shape):
    return torch.randn(*shape, generator=random, dtype=torch.float64)


def measure(x, y, seed=0, **settings):
    settings = {"extractor": "dlib", "subsets": 10, **settings}
    return kernel_distance(x, y, random=torch.Generator().manual_seed(seed), **settings)


def slow_twin(x, y):
    """Gretton et al. 2012, equation 3, pair by pair."""

    def mean(pairs):
        values = [(float(a @ b) / len(a) + 1) ** 3 for a, b in pairs]
        return sum(values) / len(values)

    within = [mean(itertools.permutations(s, 2)) for s in (x, y)]
    return sum(within) - 2 * mean(itertools.product(x, y))


def test_it_is_the_mean_over_pairs(random):
    x, y = randn(random, 13, 4), randn(random, 9, 4) + 0.3
    expected = slow_twin(x, y)
    assert squared_discrepancy(x, y) == pytest.approx(expected, rel=1e-12)
    assert measure(x, y).value == pytest.approx(expected, rel=1e-12)


def test_groups_and_chunks_change_nothing(random, monkeypatch):
    x, y = randn(random, 83, 4), randn(random, 61, 4) + 0.3
    expected = squared_discrepancy(x, y)
    monkeypatch.setattr(kernel, "CHUNK", 7)
    found = measure(x, y, groups=10)
    assert found.interval
    assert found.value == pytest.approx(expected, rel=1e-12)


def test_the_interval_is_that_of_sets_without_each_group(random):
    x, y = randn(random, 44, 3), randn(random, 40, 3) + 1
    variance = 0.0
    for side in range(2):
        without = []
        for group in range(10):
            sets = [x, y]
            kept = torch.arange(len(sets[side])) % 10 != group
            sets[side] = sets[side][kept]
            without.append(squared_discrepancy(*sets))
        variance += 0.9 * np.square(np.array(without) - np.mean(without)).sum()
    found = measure(x, y)
    assert found.interval.high - found.value == pytest.approx(2.262157 * math.sqrt(variance), 1e-6)


def test_it_has_no_bias_and_the_truth_is_known():
    """Of N(0, 1) and N(m, 1), with one feature.

    The kernel is 1 + 3 x y + 3 x^2 y^2 + x^3 y^3, so the discrepancy is the sum of the squared
    differences of the first three moments, weighted by 3, 3 and 1: m, m^2 and m^3 + 3 m.
    """
    random = torch.Generator().manual_seed(5)
    m = 0.5
    truth = 3 * m**2 + 3 * m**4 + (m**3 + 3 * m) ** 2
    found = [
        squared_discrepancy(randn(random, 40, 1), randn(random, 40, 1) + m) for _ in range(500)
    ]
    error = np.std(found) / math.sqrt(len(found))
    assert np.mean(found) == pytest.approx(truth, abs=3 * error)
    assert error < 0.1 * truth
    alike = [squared_discrepancy(randn(random, 20, 3), randn(random, 20, 3)) for _ in range(400)]
    assert abs(np.mean(alike)) < 3 * np.std(alike) / 20
    assert min(alike) < 0


def test_a_set_and_itself_lie_below_zero_by_the_pairs_that_are_left_out(random):
    """Each picture meets itself between the sets, and not within them: no unbiased zero here."""
    x = randn(random, 30, 4)
    own = float((x.square().sum(1) / 4 + 1).pow(3).mean())
    others = (float(kernel.polynomial_kernel(x, x).sum()) - 30 * own) / (30 * 29)
    assert squared_discrepancy(x, x) == pytest.approx(2 * (others - own) / 30, rel=1e-9)


def test_turning_does_not_matter_and_shifting_does(random):
    x, y = randn(random, 50, 6), 1.3 * randn(random, 50, 6)
    turn, _ = torch.linalg.qr(randn(random, 6, 6))
    assert squared_discrepancy(x @ turn, y @ turn) == pytest.approx(squared_discrepancy(x, y))
    assert squared_discrepancy(x + 2, y + 2) != pytest.approx(squared_discrepancy(x, y), rel=0.1)


def test_subsets_spread_more_the_smaller_they_are_and_a_seed_fixes_them(random):
    x, y = randn(random, 200, 4), randn(random, 200, 4) + 0.5
    small = measure(x, y, subsets=60, subset_size=20)
    large = measure(x, y, subsets=60, subset_size=100)
    assert small.subset_std > 1.5 * large.subset_std > 0
    assert (small.subset_size, large.subset_size, small.subsets) == (20, 100, 60)
    assert large.subset_mean == pytest.approx(large.value, abs=4 * large.subset_std / math.sqrt(60))
    assert small == measure(x, y, subsets=60, subset_size=20)
    assert small.subset_mean != measure(x, y, seed=1, subsets=60, subset_size=20).subset_mean
    assert measure(x, y[:101]).subset_size == 50  # half of the smaller set, or they were all alike
    assert measure(x, y).subset_size == 100
    assert measure(x, y[:3]).subset_size == 2


def test_names_travel(random):
    x = randn(random, 50, 3)
    assert measure(x, x, extractor="inception").name == "kid"
    assert measure(x, x, extractor="dlib-stage4").name == "dlib-stage4-kd"
    assert measure(x[:39], x).interval is None
    assert measure(x[:40], x).interval is not None


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (lambda x: x[:1], {}, "the generated set has 1 pictures, at least 2"),
        (lambda x: x[:, :2], {}, "reference set has 3 features and the generated one 2"),
        (lambda x: x * math.nan, {}, "not finite in 20 of 20"),
        (lambda x: x, {"subsets": 1}, "1 subsets of 1000 pictures have no spread"),
        (lambda x: x, {"subset_size": 1}, "10 subsets of 1 pictures have no spread"),
    ],
)
def test_what_cannot_be_measured_is_named(random, change, settings, message):
    x = randn(random, 20, 3)
    with pytest.raises(ParameterError, match=message):
        measure(x, change(x), **settings)
