"""Intervals: people are drawn, not pairs, and the interval covers what it should."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from facelab.metrics.bootstrap import bootstrap_interval, weighted_auc, weighted_mean
from facelab.metrics.verification import all_pairs


def test_weighted_auc_is_scikit_learns(random):
    distances = torch.randint(20, (200,), generator=random).double()
    same = torch.rand(200, generator=random) < 0.3
    statistic = weighted_auc(distances=distances, same=same)
    for _ in range(5):
        weights = torch.randint(4, (200,), generator=random).double().numpy()
        expected = roc_auc_score(same.numpy(), -distances.numpy(), sample_weight=weights)
        assert statistic(weights) == pytest.approx(expected, abs=1e-12)


def test_weighted_auc_takes_infinite_distances_and_knows_when_it_is_undefined():
    distances = torch.tensor([math.inf, 1.0, 2.0, -math.inf], dtype=torch.float64)
    same = torch.tensor([True, True, False, False])
    statistic = weighted_auc(distances=distances, same=same)
    assert statistic(np.ones(4)) == 0.25
    assert statistic(np.array([0.0, 1, 1, 0])) == 1
    assert math.isnan(statistic(np.array([1.0, 1, 0, 0])))


def test_weights_are_products_of_how_often_people_were_drawn():
    people = torch.tensor([[0, 0], [0, 1], [1, 2], [2, 2], [3, 4]])
    seen = []

    def statistic(weights):
        seen.append(weights.copy())
        return 0.0

    generator = torch.Generator().manual_seed(1)
    bootstrap_interval(statistic, people, generator=generator, replicates=20)
    again = torch.Generator().manual_seed(1)
    for weights in seen:
        times = torch.randint(5, (5,), generator=again).bincount(minlength=5).tolist()
        expected = [times[0], times[0] * times[1], times[1] * times[2], times[2]]
        assert weights.tolist() == [*expected, times[3] * times[4]]


def test_people_vary_more_than_pairs(random):
    """One of six people is always wrong; drawing pairs would hide how much hangs on that person."""
    people = torch.arange(6).repeat_interleave(10)
    pairs = all_pairs(embeddings=torch.randn(60, 4, generator=random), people=people)
    who = pairs.people_of_pairs
    right = (who != 0).all(dim=1).double()
    interval = bootstrap_interval(weighted_mean(right), who, generator=random, replicates=400)
    naive = 1.96 * float(right.std()) / math.sqrt(len(right))
    assert interval.low < float(right.mean()) < interval.high
    assert interval.high - interval.low > 5 * 2 * naive


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """A person effect on the share of right pairs: 95 % intervals, 60 samples of 25 people."""
    random = torch.Generator().manual_seed(11)
    truth, covered = 0.8, 0
    for _ in range(60):
        ease = 0.4 + 0.8 * torch.rand(25, generator=random)  # mean 0.8
        who = torch.arange(25).repeat_interleave(8)
        right = (torch.rand(200, generator=random) < ease[who].clamp(max=1)).double()
        truth = float((0.4 + 0.8 * torch.linspace(0, 1, 1001)).clamp(max=1).mean())
        pairs = torch.stack([who, who], dim=1)
        interval = bootstrap_interval(weighted_mean(right), pairs, generator=random, replicates=200)
        covered += interval.low <= truth <= interval.high
    assert 0.85 <= covered / 60 <= 1.0


def test_a_fixed_seed_gives_a_fixed_interval(random):
    people = torch.randint(8, (100, 2), generator=random)
    statistic = weighted_mean(torch.rand(100, generator=random).double())
    intervals = [
        bootstrap_interval(
            statistic, people, generator=torch.Generator().manual_seed(4), replicates=50
        )
        for _ in range(2)
    ]
    assert intervals[0] == intervals[1]
    assert intervals[0].replicates == 50
    assert intervals[0].low < intervals[0].high


def test_too_few_people_have_no_interval(random):
    statistic = weighted_mean(torch.ones(4).double())
    people = torch.tensor([[0, 1], [2, 3], [0, 2], [1, 3]])
    assert bootstrap_interval(statistic, people, generator=random) is None


def test_a_statistic_that_is_mostly_undefined_has_no_interval(random):
    """Same pairs of one person out of five: a third of the draws miss that person."""
    people = torch.tensor([[0, 0], [1, 2], [2, 3], [3, 4], [1, 4]])
    statistic = weighted_auc(
        distances=torch.arange(5).double(), same=torch.tensor([True, False, False, False, False])
    )
    assert bootstrap_interval(statistic, people, generator=random, replicates=100) is None
