"""Fréchet distance: closed forms, SciPy's matrix root, streaming, bias and its estimate."""

import math

import numpy as np
import pytest
import torch
from scipy import linalg

from facelab.errors import ParameterError
from facelab.metrics import frechet
from facelab.metrics.frechet import Accumulator, Statistics, frechet_distance, statistics_of


def gaussian(mean, covariance, count=1000):
    """The statistics of a Gaussian, without drawing from it."""
    covariance = torch.tensor(covariance, dtype=torch.float64)
    return Statistics(count, torch.tensor(mean, dtype=torch.float64), covariance * (count - 1))


def randn(random, *shape):
    return torch.randn(*shape, generator=random, dtype=torch.float64)


# --- the number ----------------------------------------------------------------------------------


def test_of_one_dimension_it_is_known():
    """(m1 - m2)^2 + (s1 - s2)^2."""
    a, b = gaussian([1.0], [[4.0]]), gaussian([-2.0], [[25.0]])
    assert frechet.distance_of(a, b) == pytest.approx(9 + 9, rel=1e-12)


def test_of_diagonal_covariances_it_is_the_sum_over_dimensions():
    a = gaussian([0.0, 1.0, 2.0], np.diag([1.0, 4.0, 9.0]).tolist())
    b = gaussian([1.0, 1.0, 0.0], np.diag([16.0, 4.0, 0.0]).tolist())
    assert frechet.distance_of(a, b) == pytest.approx((1 + 0 + 4) + (9 + 0 + 9), rel=1e-12)


def test_of_covariances_that_do_not_commute():
    """In two dimensions the trace of a root is sqrt(tr + 2 sqrt(det))."""
    one, two = [[2.0, 1.0], [1.0, 3.0]], [[4.0, -1.0], [-1.0, 1.0]]
    product = np.array(one) @ np.array(two)
    root = math.sqrt(np.trace(product) + 2 * math.sqrt(np.linalg.det(product)))
    expected = 5 + 5 - 2 * root
    found = frechet.distance_of(gaussian([0.0, 0.0], one), gaussian([0.0, 0.0], two))
    assert found == pytest.approx(expected, rel=1e-12)


def test_it_equals_scipys_matrix_root(random):
    mix = [randn(random, 12, 12) for _ in range(2)]
    x, y = randn(random, 300, 12) @ mix[0], randn(random, 200, 12) @ mix[1] + 0.5
    a, b = np.cov(x.numpy().T), np.cov(y.numpy().T)
    root = linalg.sqrtm(a @ b).real
    step = x.numpy().mean(0) - y.numpy().mean(0)
    expected = step @ step + np.trace(a + b - 2 * root)
    found = frechet_distance(x, y, extractor="dlib")
    assert found.value == pytest.approx(expected, rel=1e-9)
    assert (found.counts, found.features, found.full_rank) == ((300, 200), 12, True)
    few = frechet_distance(x, y[:13], extractor="dlib")
    assert few.full_rank
    assert not frechet_distance(x, y[:12], extractor="dlib").full_rank


def test_equal_sets_have_no_distance(random):
    x = randn(random, 300, 20) @ randn(random, 20, 20)
    assert frechet_distance(x, x.clone(), extractor="dlib").value < 1e-10


@pytest.mark.parametrize("count", [5, 40])
def test_it_stays_exact_where_covariances_are_singular(random, count):
    """Fewer pictures than features, or features that are copies: no root of rounding errors."""
    x = randn(random, count, 10)
    x = torch.cat([x, x, torch.zeros(count, 4)], dim=1)
    assert frechet_distance(x, x, extractor="dlib").value < 1e-9
    assert frechet_distance(x, x, extractor="dlib").full_rank == (count > 24)
    shifted = frechet_distance(x, x + 2, extractor="dlib").value
    assert shifted == pytest.approx(24 * 4, rel=1e-9)


def test_turning_shifting_and_order_do_not_matter_and_scale_does(random):
    x, y = randn(random, 200, 8), 1.5 * randn(random, 150, 8) + 1
    turn, _ = torch.linalg.qr(randn(random, 8, 8))
    value = frechet_distance(x, y, extractor="dlib").value
    for a, b in ((x @ turn + 3, y @ turn + 3), (y, x), (x.flip(0), y)):
        assert frechet_distance(a, b, extractor="dlib").value == pytest.approx(value, rel=1e-9)
    scaled = frechet_distance(3 * x, 3 * y, extractor="dlib").value
    assert scaled == pytest.approx(9 * value, rel=1e-9)


@pytest.mark.parametrize(
    ("extractor", "name"),
    [
        ("dlib", "dlib-fd"),
        ("dlib-stage5", "dlib-stage5-fd"),
        ("inception", "fid"),
        ("inception-torchvision", "inception-torchvision-fd"),
    ],
)
def test_only_the_fids_own_network_gives_a_fid(random, extractor, name):
    found = frechet_distance(randn(random, 20, 3), randn(random, 20, 3), extractor=extractor)
    assert (found.name, found.extractor) == (name, extractor)


# --- streaming -----------------------------------------------------------------------------------


def test_statistics_are_numpys_and_add_up(random):
    x = randn(random, 57, 6) + 1e3  # a mean far from zero loses no digits
    whole = statistics_of(x)
    np.testing.assert_allclose(whole.mean, x.numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(whole.covariance, np.cov(x.numpy().T), rtol=1e-9)
    parts = [statistics_of(part) for part in x.split([1, 20, 30, 6])]
    added = parts[0] + parts[1] + (parts[2] + parts[3])
    assert added.count == 57
    torch.testing.assert_close(added.mean, whole.mean, rtol=1e-12, atol=0)
    torch.testing.assert_close(added.scatter, whole.scatter, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sizes", [[64], [1] * 64, [7, 20, 0, 37]])
def test_a_stream_gives_what_the_whole_set_gives(random, sizes):
    """In any batches, also for the interval: picture i is always in group i modulo ten."""
    x, y = randn(random, 64, 5), randn(random, 90, 5)
    stream = Accumulator()
    for batch in x.split(sizes):
        stream.add(batch)
    assert stream.seen == 64
    one = frechet_distance(x, y, extractor="dlib")
    other = frechet_distance(stream.statistics(), y, extractor="dlib")
    assert other.value == pytest.approx(one.value, rel=1e-9)
    assert other.debiased == pytest.approx(one.debiased, rel=1e-7)
    assert other.interval.low == pytest.approx(one.interval.low, rel=1e-7)


def test_float32_features_are_computed_in_float64(random):
    x = randn(random, 100, 6) + 100
    near = frechet_distance(x.float(), (x + 1e-3).float(), extractor="dlib").value
    assert near == pytest.approx(6e-6, rel=0.02)


# --- bias and interval ---------------------------------------------------------------------------


def test_it_falls_with_the_number_of_pictures_and_debiased_hardly():
    """Two sets of one distribution: the truth is 0, and the value falls like 1 / n."""
    random = torch.Generator().manual_seed(2)
    means = {}
    for count in (100, 200, 400):
        found = [
            frechet_distance(randn(random, count, 8), randn(random, count, 8), extractor="dlib")
            for _ in range(12)
        ]
        means[count] = (
            np.mean([f.value for f in found]),
            abs(np.mean([f.debiased for f in found])),
        )
    assert means[100][0] > 1.6 * means[200][0] > 1.6**2 * means[400][0]
    for value, debiased in means.values():
        assert debiased < 0.15 * value


def test_the_interval_covers_the_distance_that_other_samples_have():
    """100 pictures from two Gaussians, 60 times: 95 % intervals about the mean value."""
    random = torch.Generator().manual_seed(3)
    found = [
        frechet_distance(randn(random, 100, 4), 1.5 * randn(random, 100, 4) + 0.5, extractor="x")
        for _ in range(60)
    ]
    mean = np.mean([f.value for f in found])
    covered = np.mean([f.interval.low <= mean <= f.interval.high for f in found])
    assert 0.85 <= covered <= 1
    width = np.mean([f.interval.high - f.interval.low for f in found])
    assert width < 6 * np.std([f.value for f in found])


def test_the_bias_of_a_known_distance_is_found():
    random = torch.Generator().manual_seed(4)
    truth = 6 * 0.25 + 6 * 0.25  # shift and scale by a half in each of six features
    found = [
        frechet_distance(randn(random, 90, 6), 1.5 * randn(random, 90, 6) + 0.5, extractor="x")
        for _ in range(40)
    ]
    bias = np.mean([f.value for f in found]) - truth
    left = np.mean([f.debiased for f in found]) - truth
    assert bias > 0.1
    assert abs(left) < 0.4 * bias


@pytest.mark.parametrize("count", [2, 3])
def test_very_few_pictures_have_a_value_and_no_interval_where_none_can_be(random, count):
    x, y = randn(random, count, 3), randn(random, 50, 3)
    found = frechet_distance(x, y, extractor="dlib")
    assert math.isfinite(found.value)
    assert (found.interval is None) == (found.debiased is None) == (count == 2)
    assert not found.full_rank


# --- what can't be measured ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:1], "the generated set has 1 pictures, at least 2 are needed"),
        (lambda x: x[:0], "the generated set has 0 pictures"),
        (lambda x: x[:, :0], "the generated set has no features"),
        (lambda x: x[:, :4], "reference set has 5 features and the generated one 4; make both"),
        (lambda x: x.index_fill(0, torch.tensor([3]), math.nan), "not finite in 1 of 30"),
        (lambda x: x.index_fill(1, torch.tensor([0]), math.inf), "not finite in 30 of 30"),
    ],
)
def test_unusable_sets_are_named(random, change, message):
    x = randn(random, 30, 5)
    with pytest.raises(ParameterError, match=message):
        frechet_distance(x, change(x), extractor="dlib")


def test_one_group_has_no_interval_and_none_is_refused(random):
    x, y = randn(random, 40, 3), randn(random, 40, 3)
    found = frechet_distance(x, y, extractor="dlib", groups=1)
    assert (found.interval, found.debiased) == (None, None)
    assert found.value == pytest.approx(frechet_distance(x, y, extractor="dlib").value)
    with pytest.raises(ParameterError, match="dealt into 0 groups"):
        frechet_distance(x, y, extractor="dlib", groups=0)


def test_an_empty_stream_is_named(random):
    with pytest.raises(ParameterError, match="the generated set has no pictures"):
        frechet_distance(randn(random, 9, 2), Accumulator().statistics(), extractor="dlib")
    stream = Accumulator()
    stream.add(randn(random, 1, 2))
    with pytest.raises(ParameterError, match="the reference set has one picture"):
        frechet_distance(stream.statistics(), randn(random, 9, 2), extractor="dlib")
    with pytest.raises(ParameterError, match="2 features and the generated one 3"):
        stream.add(randn(random, 10, 3))
