"""Precision, recall, density, coverage: a slow twin and sets whose answers are known."""

import math

import pytest
import torch

from facelab.errors import ParameterError
from facelab.metrics import coverage as module
from facelab.metrics.coverage import coverage

NAMES = ("precision", "recall", "density", "coverage")


def randn(random, *shape):
    return torch.randn(*shape, generator=random, dtype=torch.float64)


def measure(x, y, **settings):
    settings = {"replicates": 50, "random": torch.Generator().manual_seed(0), **settings}
    return coverage(x, y, extractor="dlib", **settings)


def values(found):
    return [getattr(found, name) for name in NAMES]


def slow_twin(real, fake, k, wide):
    """The papers' sums, picture by picture."""

    def radius(set, i, k):
        others = sorted(float((set[i] - p).norm()) for j, p in enumerate(set) if j != i)
        return others[k - 1]

    def inside(point, set, radii):
        return [float((point - c).norm()) <= r for c, r in zip(set, radii, strict=True)]

    real_k, real_wide = ([radius(real, i, n) for i in range(len(real))] for n in (k, wide))
    fake_k = [radius(fake, i, k) for i in range(len(fake))]
    precision = sum(any(inside(p, real, real_k)) for p in fake) / len(fake)
    recall = sum(any(inside(p, fake, fake_k)) for p in real) / len(real)
    density = sum(sum(inside(p, real, real_wide)) for p in fake) / (wide * len(fake))
    hit = [
        any(float((p - c).norm()) <= r for p in fake) for c, r in zip(real, real_wide, strict=True)
    ]
    return precision, recall, density, sum(hit) / len(real)


@pytest.mark.parametrize("chunk", [1000, 7])
def test_it_equals_the_sums_of_the_papers(random, monkeypatch, chunk):
    monkeypatch.setattr(module, "CHUNK", chunk)
    real, fake = randn(random, 40, 2), 0.9 * randn(random, 31, 2) + torch.tensor([1.5, 0.0])
    found = measure(real, fake)
    expected = slow_twin(real, fake, 3, 5)
    assert values(found) == pytest.approx(expected, abs=1e-12)
    assert len(set(expected)) == 4  # four questions, four answers
    assert all(0.1 < value < 0.99 for value in expected)


def test_equal_sets_cover_each_other_and_distant_ones_do_not(random):
    x = randn(random, 60, 5)
    same, apart = measure(x, x.clone()), measure(x, x + 100)
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
    # Each picture is in its own ball, and in those of the pictures that it is among the five of.
    assert same.density == pytest.approx((60 + 60 * 5) / (5 * 60))
    assert values(apart) == [0, 0, 0, 0]


def test_a_set_that_collapsed_is_precise_and_recalls_little(random):
    x = randn(random, 200, 3)
    few = measure(x, x[:20].repeat_interleave(4, dim=0) + 1e-3 * randn(random, 80, 3))
    assert few.precision > 0.9
    assert few.recall < 0.3
    assert few.coverage < 0.6
    # The other way round: all that is drawn, and as much that is not.
    wide = measure(x, torch.cat([x, x + 100]))
    assert wide.precision == pytest.approx(0.5)
    assert (wide.recall, wide.coverage) == (1, 1)


def test_an_outlier_gives_precision_away_and_density_hardly(random):
    """Naeem et al. 2020, section 3: the outlier's ball holds all that lies between."""
    x = randn(random, 100, 2)
    between = randn(random, 50, 2) + 10
    with_outlier = torch.cat([x, torch.tensor([[20.0, 20.0]], dtype=torch.float64)])
    assert measure(x, between).precision == 0
    found = measure(with_outlier, between)
    assert found.precision > 0.9
    assert found.density < 0.25


def test_turning_shifting_and_scale_do_not_matter(random):
    x, y = randn(random, 50, 6), 1.2 * randn(random, 40, 6)
    turn, _ = torch.linalg.qr(randn(random, 6, 6))
    expected = values(measure(x, y))
    assert values(measure(5 * x @ turn + 2, 5 * y @ turn + 2)) == pytest.approx(expected)


def test_the_balls_reach_to_the_named_neighbour():
    """Points at 0, 1, 3, 6, 10, 15 on a line."""
    x = torch.tensor([[0.0], [1.0], [3.0], [6.0], [10.0], [15.0]], dtype=torch.float64)
    first, third = module.radii_squared(x, (1, 3))
    assert first.tolist() == [1, 1, 4, 9, 16, 25]
    assert third.tolist() == [36, 25, 9, 25, 49, 144]
    at_edge = module.balls_around(torch.tensor([[2.0], [40.0]], dtype=torch.float64), x, first)
    assert at_edge.tolist() == [2, 0]  # of 1, whose edge it is, and of 3


def test_intervals_hold_the_value_and_narrow_with_the_pictures(random):
    widths = []
    for count in (30, 480):
        x, y = randn(random, count, 2), randn(random, count, 2) + 1.5
        found = measure(x, y, replicates=200)
        for name in NAMES:
            interval = found.intervals[name]
            assert interval.low <= getattr(found, name) <= interval.high
            assert interval.low < interval.high
        widths.append(found.intervals["precision"].high - found.intervals["precision"].low)
    assert widths[1] < 0.5 * widths[0]
    assert found.counts == (480, 480)
    assert (found.neighbours, found.density_neighbours, found.extractor) == (3, 5, "dlib")


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (lambda x: x[:5], {}, "the generated set has 5 pictures, at least 6"),
        (lambda x: x[:8], {"neighbours": 8}, "the generated set has 8 pictures, at least 9"),
        (lambda x: x[:, :1], {}, "reference set has 3 features and the generated one 1"),
        (lambda x: x.index_fill(0, torch.tensor([0, 4]), math.nan), {}, "not finite in 2 of 20"),
        (lambda x: x, {"neighbours": 0}, "first neighbour at least"),
    ],
)
def test_what_cannot_be_measured_is_named(random, change, settings, message):
    x = randn(random, 20, 3)
    with pytest.raises(ParameterError, match=message):
        measure(x, change(x), **settings)
