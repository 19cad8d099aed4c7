"""Interpolations: straight ways, circles and standing still have known numbers."""

import math

import pytest
import torch
from scipy.stats import spearmanr

from facelab.errors import ParameterError
from facelab.metrics.paths import drift, euclidean, progress, squared


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def straight(paths=6, steps=5, features=3):
    """Ways of length 4 along the first axis, each from another place, a step of one each."""
    starts = torch.randn(paths, 1, features, generator=seeded())
    share = torch.arange(float(steps))[None, :, None]
    return starts + share * torch.eye(features)[0]


def pair(distance):
    """Two readings of three numbers that are so far apart."""
    return torch.tensor([[0.0, 0, 0], [0, 0, distance]])


def test_what_is_held_has_no_drift():
    told = drift(straight()[:, :1].expand(-1, 5, -1), pair(2.0), random=seeded())
    assert [told[name].value for name in told] == [0, 0, 2, 0, 0]
    assert told["largest"].interval.high == 0
    assert list(told) == ["largest", "mean", "strangers", "largest share", "mean share"]


def test_a_straight_way_strays_by_its_length():
    told = drift(straight(), pair(8.0), random=seeded(), unit="metres")
    expected = [4, (1 + 2 + 3 + 4) / 4, 8, 0.5, 2.5 / 8]
    assert [told[name].value for name in told] == pytest.approx(expected, rel=1e-5)
    assert [told[name].unit for name in ("mean", "strangers")] == ["metres", "metres"]
    assert told["largest share"].interval.low == pytest.approx(0.5, rel=1e-5)
    assert told["strangers"].interval is None


def test_the_largest_is_on_the_way_and_not_at_its_end():
    path = torch.tensor([0.0, 3.0, -5.0, 1.0])[None, :, None]
    told = drift(path, torch.tensor([[0.0], [1.0]]), random=seeded())
    assert [told["largest"].value, told["mean"].value] == [5, 3]
    assert told["largest"].interval is None, "there is one path"


def test_squares_and_landmarks():
    told = drift(straight(), pair(4.0), random=seeded(), distance=squared)
    assert told["largest"].value == pytest.approx(16, rel=1e-5)
    assert told["mean share"].value == pytest.approx((1 + 4 + 9 + 16) / 4 / 16, rel=1e-5)
    points = straight(features=6).unflatten(2, (3, 2))
    told = drift(points, torch.stack([points[0, 0], points[0, 0] + 1]), random=seeded())
    assert told["strangers"].value == pytest.approx(math.sqrt(6), rel=1e-5)
    assert told["largest"].value == pytest.approx(4, rel=1e-5)


def test_strangers_are_all_pairs():
    faces = torch.randn(9, 4, generator=seeded(3))
    first, second = torch.triu_indices(9, 9, 1)
    expected = float(euclidean(faces[first], faces[second]).mean())
    told = drift(torch.zeros(1, 2, 4), faces, random=seeded())
    assert told["strangers"].value == pytest.approx(expected, rel=1e-5)


def test_intervals_are_over_paths():
    """Half of the paths hold, half stray by 1: the mean is known and its interval has width."""
    paths = torch.zeros(20, 2, 1)
    paths[::2, 1] = 1
    found = drift(paths, torch.tensor([[0.0], [2.0]]), random=seeded())
    assert found["mean"].value == 0.5
    assert 0.2 < found["mean"].interval.low < 0.4
    assert 0.6 < found["mean"].interval.high < 0.8
    assert found["mean share"].value == 0.25
    assert 0.1 < found["mean share"].interval.low < 0.2
    assert found["mean"].drawn == "paths"


def test_a_straight_way_arrives_step_by_step():
    told = progress(straight(), random=seeded())
    assert [told["towards the end"].value, told["order"].value] == pytest.approx([1, 1])
    assert told["order"].interval.low == pytest.approx(1)


def test_a_way_back_is_no_progress():
    """Away three times, and home at once."""
    path = torch.tensor([0.0, -1.0, -2.0, -3.0, 5.0])[None, :, None]
    told = progress(path, random=seeded())
    assert told["towards the end"].value == 0.25
    # Distances to the start less those to the end: -5, -5, -5, -5, 5.
    expected = spearmanr([1, 2, 3, 4, 5], [-5, -5, -5, -5, 5]).statistic
    assert told["order"].value == pytest.approx(expected)


def test_the_order_is_scipys():
    paths = torch.randn(7, 9, 3, generator=seeded(1)).double()
    expected = []
    for path in paths:
        ends = [(path - goal).norm(dim=1) for goal in (path[0], path[-1])]
        expected.append(spearmanr(range(9), (ends[0] - ends[1]).numpy()).statistic)
    found = progress(paths, random=seeded())["order"]
    assert found.value == pytest.approx(sum(expected) / 7)
    assert found.interval.low < found.value < found.interval.high
    other = progress(paths, random=seeded(), distance=squared)["order"]
    assert other.value != found.value


def test_the_distance_is_the_given_one_to_both_ends():
    """The first number goes straight; the second, which the distance leaves out, goes astray."""
    path = torch.tensor([[0.0, 0.0], [1.0, 90.0], [2.0, -20.0], [3.0, 70.0], [4.0, 50.0]])[None]
    told = progress(path, random=seeded(), distance=lambda a, b: (a - b)[:, 0].abs())
    assert [told["towards the end"].value, told["order"].value] == pytest.approx([1, 1])
    told = progress(path, random=seeded())
    assert told["towards the end"].value == 0.75
    assert told["order"].value == pytest.approx(0.9)


def test_who_stands_still_has_no_order():
    still = torch.cat([straight()[:1, :1].expand(1, 5, 3), straight()])
    told = progress(still, random=seeded())
    assert (told["order"].value, told["order"].interval) == (None, None)
    assert told["towards the end"].value == pytest.approx(6 / 7)


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (lambda: drift(torch.zeros(2, 1, 3), pair(1.0), random=seeded()), "2 paths of 1 steps"),
        (lambda: drift(torch.zeros(0, 5, 3), pair(1.0), random=seeded()), "0 paths of 5 steps"),
        (lambda: progress(torch.zeros(2, 2, 3), random=seeded()), "of 3 steps or more"),
        (lambda: drift(straight(), pair(1.0)[:1], random=seeded()), "1 strangers make no pair"),
        (lambda: drift(straight(), pair(0.0), random=seeded()), "readings are the same"),
        (lambda: drift(straight(), torch.eye(2), random=seeded()), r"\(2,\) and a step's \(3,\)"),
        (lambda: drift(straight() / 0, pair(1.0), random=seeded()), "held factor are not finite"),
        (lambda: drift(straight(), pair(math.inf), random=seeded()), "not finite in 1 of 2 rows"),
        (lambda: progress(straight() / 0, random=seeded()), "moved factor are not finite"),
    ],
)
def test_what_can_not_be_is_named(measure, message):
    with pytest.raises(ParameterError, match=message):
        measure()
