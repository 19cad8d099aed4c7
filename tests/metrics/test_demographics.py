"""Error rates by groups: against a slow count, with thresholds that leave nothing to rounding."""

import itertools

import pytest
import torch

from facelab.errors import ParameterError
from facelab.metrics import demographics
from facelab.metrics.verification import Pairs, all_pairs

GROUPS = ["a"] * 6 + ["b"] * 7


@pytest.fixture
def pairs(random):
    """Three pictures of each of thirteen people; those of group b lie nearer to each other."""
    people = torch.arange(13).repeat_interleave(3)
    centres = torch.randn(13, 8, generator=random)
    centres[6:] = 0.25 * centres[6:] + torch.tensor([2.0] + [0.0] * 7)
    noise = 0.25 * torch.randn(39, 8, generator=random)
    return all_pairs(embeddings=centres[people] + noise, people=people)


def counted(pairs, groups, name, threshold):
    """False matches and non-matches of a group, pair by pair."""
    matches, refusals = [], []
    for (i, j), distance in zip(pairs.pictures.tolist(), pairs.distances.tolist(), strict=True):
        a, b = int(pairs.people[i]), int(pairs.people[j])
        if groups[a] == groups[b] == name:
            (refusals if a == b else matches).append(
                distance >= threshold if a == b else distance < threshold
            )
    return matches, refusals


def test_rates_are_those_of_a_slow_count(pairs, random):
    found = demographics.rates_by_group(pairs, GROUPS, 0.3, random=random, replicates=50)
    assert list(found) == ["a", "b"]
    for name, rates in found.items():
        matches, refusals = counted(pairs, GROUPS, name, 0.3)
        assert rates.false_match_rate.value == pytest.approx(sum(matches) / len(matches))
        assert rates.false_non_match_rate.value == pytest.approx(sum(refusals) / len(refusals))
        assert rates.false_match_rate.pairs == len(matches)
        assert rates.false_non_match_rate.pairs == len(refusals)
    assert found["a"].people == 6
    assert found["b"].false_match_rate.value > found["a"].false_match_rate.value


def test_intervals_hold_the_rates(pairs, random):
    found = demographics.rates_by_group(pairs, GROUPS, 0.3, random=random, replicates=300)
    for rates in found.values():
        for rate in (rates.false_match_rate, rates.false_non_match_rate):
            assert rate.interval.low <= rate.value <= rate.interval.high
            assert rate.interval.low < rate.interval.high


def test_pairs_across_groups_belong_to_neither(pairs, random):
    found = demographics.rates_by_group(pairs, GROUPS, 0.3, random=random, replicates=10)
    within = sum(9 * n * (n - 1) // 2 for n in (6, 7))
    assert sum(rates.false_match_rate.pairs for rates in found.values()) == within


def test_failed_pairs_are_left_out_and_a_group_of_one_has_no_false_matches(random):
    pictures = torch.tensor(list(itertools.combinations(range(4), 2)))
    people = torch.tensor([0, 0, 0, 1])
    same = people[pictures[:, 0]] == people[pictures[:, 1]]
    failed = torch.tensor([True] + [False] * 5)
    apart = torch.tensor([9.0, 0.1, 0.5, 0.9, 0.5, 0.5]).double()
    pairs = Pairs(apart, same, pictures, people, failed)
    found = demographics.rates_by_group(pairs, ["x", "y"], 0.5, random=random)
    assert found["x"].false_non_match_rate.value == 0.5
    assert found["x"].false_non_match_rate.pairs == 2
    assert found["x"].false_match_rate == demographics.Rate(None, None, 0)


def test_a_threshold_accepts_the_share_and_one_pair_more_would_be_too_many(pairs):
    threshold = demographics.threshold_at(pairs, 0.05)
    apart = pairs.distances[~pairs.same]
    assert int((apart < threshold).sum()) == int(0.05 * len(apart))
    assert float((apart <= threshold).double().mean()) > 0.05


@pytest.mark.parametrize("rate", [0.0, 1.0, 1e-6])
def test_a_rate_that_can_t_be_set_is_refused(pairs, rate):
    with pytest.raises(ParameterError, match="can't be set with"):
        demographics.threshold_at(pairs, rate)
