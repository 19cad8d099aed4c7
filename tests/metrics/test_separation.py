"""Are people told apart: against the measures of whole pairs, brute force, and known answers."""

import itertools

import numpy as np
import pytest
import torch

from facelab.errors import ParameterError
from facelab.metrics import separation as measured
from facelab.metrics.bootstrap import bootstrap_interval
from facelab.metrics.separation import coherence, separation
from facelab.metrics.verification import d_prime, equal_error_rate, roc


def crowd(people, views, spread, seed=0):
    """Unit vectors about a direction a person; the larger the spread, the more they mix."""
    random = torch.Generator().manual_seed(seed)
    who = torch.nn.functional.normalize(torch.randn(people, 1, 32, generator=random), dim=2)
    noise = torch.nn.functional.normalize(torch.randn(people, views, 32, generator=random), dim=2)
    rows = torch.nn.functional.normalize((who + spread * noise).flatten(0, 1), dim=1)
    return rows, torch.arange(people).repeat_interleave(views)


def measure(rows, people, **how):
    random = torch.Generator().manual_seed(1)
    return separation(rows, people, embedder="judge", random=random, **how)


def distances(random, count=60):
    same = torch.arange(count) % 2 == 0
    values = torch.rand(count, generator=random).double() + (~same) * 0.3
    return {"distances": (values * 20).round() / 20, "same": same}  # with ties


@pytest.mark.parametrize(
    ("weighted", "plain"),
    [
        (measured.weighted_d_prime, lambda **pairs: d_prime(**pairs)),
        (measured.weighted_one_minus_eer, lambda **pairs: 1 - equal_error_rate(roc(**pairs))),
    ],
)
def test_weights_are_how_often_a_pair_is_drawn(weighted, plain, random):
    pairs = distances(random)
    times = torch.randint(0, 4, (60,), generator=random)
    repeated = {name: values.repeat_interleave(times) for name, values in pairs.items()}
    statistic = weighted(**pairs)
    assert statistic(np.ones(60)) == pytest.approx(plain(**pairs), abs=1e-12)
    assert statistic(times.double().numpy()) == pytest.approx(plain(**repeated), abs=1e-12)
    assert np.isnan(statistic((~pairs["same"]).double().numpy())), "no pair of one person"


def test_clusters_are_told_apart_and_noise_is_not():
    clear = measure(*crowd(20, 5, 0.3), pairs=150)
    assert clear.one_minus_eer == 1.0
    assert clear.d_prime > 5
    mixed = measure(*crowd(20, 5, 1000.0), pairs=150)
    assert mixed.one_minus_eer == pytest.approx(0.5, abs=0.1)
    assert mixed.one_minus_eer_interval.low < 0.5 < mixed.one_minus_eer_interval.high
    assert mixed.d_prime_interval.low < 0 < mixed.d_prime_interval.high


def test_pairs_are_as_many_of_one_kind_as_of_the_other():
    found = measure(*crowd(6, 3, 1.0), pairs=1000)
    assert found.pairs == 18, "all pairs of one person: six times three"
    assert sum(found.histogram.same) == sum(found.histogram.different) == 18
    assert measure(*crowd(6, 3, 1.0), pairs=10).pairs == 10
    assert (found.embedder, found.people) == ("judge", 6)


def test_distances_are_euclidean():
    """Two people at a right angle, each twice in the same place."""
    rows = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    found = measure(rows, torch.tensor([0, 0, 1, 1]))
    assert (found.mean_same, found.mean_different) == (0.0, pytest.approx(2**0.5))
    assert found.histogram.different[28] == 2, "1.4142 lies between 1.40 and 1.45"
    assert found.d_prime is None, "neither kind varies"
    assert found.d_prime_interval is None, "two people are too few"


def test_the_interval_is_over_people():
    """Some people vary little and some a lot: drawing pairs would not see that they hang together.

    With pairs as people of their own, the interval is that of drawing pairs.
    """
    parts = [crowd(6, 12, spread, seed) for seed, spread in enumerate((0.3, 3.0))]
    rows = torch.cat([part[0] for part in parts])
    people = torch.arange(12).repeat_interleave(12)
    found = measure(rows, people, pairs=700)
    chosen = measured._balanced_pairs(people, 700, torch.Generator().manual_seed(1))
    pairs = {
        "distances": (rows[chosen[:, 0]] - rows[chosen[:, 1]]).norm(dim=1).double(),
        "same": people[chosen[:, 0]] == people[chosen[:, 1]],
    }
    alone = torch.arange(len(chosen))[:, None].expand(-1, 2)
    statistic = measured.weighted_d_prime(**pairs)
    naive = bootstrap_interval(statistic, alone, generator=torch.Generator().manual_seed(2))
    interval = found.d_prime_interval
    assert interval.low < naive.low < found.d_prime < naive.high < interval.high
    width = interval.high - interval.low
    assert width > 2 * (naive.high - naive.low)
    random = torch.Generator().manual_seed(2)
    faces = bootstrap_interval(statistic, chosen, generator=random)
    assert width > 1.3 * (faces.high - faces.low), "faces of one person hang together too"


def test_the_same_random_gives_the_same_numbers():
    rows, people = crowd(8, 4, 1.0)
    assert measure(rows, people, pairs=20) == measure(rows, people, pairs=20)


def brute(rows, people):
    unit = torch.nn.functional.normalize(rows.double(), dim=1)
    kinds = {True: [], False: []}
    for i, j in itertools.combinations(range(len(people)), 2):
        same = bool(people[i] == people[j])
        kinds[same].append(float((unit[i] - unit[j]).square().sum()))
    return [sum(kind) / len(kind) for kind in kinds.values()]


def test_coherence_is_the_mean_over_all_pairs(random):
    rows, people = (
        torch.randn(11, 5, generator=random),
        torch.tensor([7, 7, 7, 1, 1, 2, 2, 2, 2, 3, 3]),
    )
    found = coherence(rows, people, embedder="judge", random=random)
    within, between = brute(rows, people)
    assert found.within == pytest.approx(within, rel=1e-9)
    assert found.between == pytest.approx(between, rel=1e-9)
    assert found.ratio == pytest.approx(within / between, rel=1e-9)
    assert found.ratio_interval is None, "four people are too few"


def test_coherence_knows_a_crowd_from_people(random):
    how = {"embedder": "judge", "random": random}
    apart, mixed = (coherence(*crowd(20, 4, spread), **how) for spread in (0.3, 1000.0))
    assert apart.ratio_interval.high < 0.2
    assert mixed.ratio_interval.low < 1 < mixed.ratio_interval.high
    assert mixed.between_interval.low < mixed.between < mixed.between_interval.high


def test_bad_input(random):
    rows, people = crowd(6, 1, 1.0)
    with pytest.raises(ParameterError, match="6 faces of 6 people have no pairs of both kinds"):
        measure(rows, people)
    for who in (people, torch.zeros(6, dtype=torch.long)):
        with pytest.raises(ParameterError, match="no two faces of one person, or no two people"):
            coherence(rows, who, embedder="judge", random=random)
    with pytest.raises(ParameterError, match="6 faces of 1 people"):
        measure(rows, torch.zeros(6, dtype=torch.long))
