"""Verification by closed forms, by hand and against slow twins. Smaller distance: more similar."""

import json
import math

import pytest
import torch

from facelab.metrics import verification
from facelab.metrics.verification import (
    Pairs,
    accuracy,
    all_pairs,
    auc,
    best_threshold,
    d_prime,
    equal_error_rate,
    histogram,
    measure,
    roc,
    tpr_at_fpr,
)


def sample(same: list[float], different: list[float]) -> dict[str, torch.Tensor]:
    """Distances of same pairs, then of different ones, as the measures take them."""
    kinds = torch.tensor([True] * len(same) + [False] * len(different))
    return {"distances": torch.tensor(same + different).double(), "same": kinds}


def gaussians(random, separation: float, count: int = 20_000) -> dict[str, torch.Tensor]:
    """Two kinds of unit spread whose means are `separation` apart."""
    noise = torch.randn(2 * count, generator=random, dtype=torch.float64)
    same = torch.arange(2 * count) < count
    return {"distances": noise + 5 + torch.where(same, 0.0, separation), "same": same}


def clusters(
    random, people: int, pictures: int, spread: float = 0.5
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings around one centre a person, and who is who."""
    who = torch.arange(people).repeat_interleave(pictures)
    centres = torch.randn(people, 16, generator=random)
    return centres[who] + spread * torch.randn(len(who), 16, generator=random), who


# --- curves --------------------------------------------------------------------------------------


def test_auc_by_hand():
    """Same 1 and 3, different 2 and 4: three of the four comparisons are right."""
    assert auc(**sample([1, 3], [2, 4])) == 0.75
    assert auc(**sample([1, 2], [3, 4])) == 1
    assert auc(**sample([3, 4], [1, 2])) == 0
    assert auc(**sample([1, 2], [2, 3])) == pytest.approx(3.5 / 4)  # a tie counts half
    assert auc(**sample([1, 1], [1, 1])) == 0.5


def test_auc_is_how_often_a_same_pair_is_closer(random):
    distances = torch.randint(12, (80,), generator=random).float()
    same = torch.rand(80, generator=random) < 0.4
    near, far = distances[same][:, None], distances[~same][None]
    wins = (near < far).double() + (near == far).double() / 2
    assert auc(distances=distances, same=same) == pytest.approx(float(wins.mean()), abs=1e-12)


def test_gaussians_have_the_auc_the_error_rate_and_the_distance_of_theory(random):
    normal = torch.distributions.Normal(0.0, 1.0)
    for separation in (0.5, 2.0):
        pairs = gaussians(random, separation)
        expected = float(normal.cdf(torch.tensor(separation / math.sqrt(2))))
        assert auc(**pairs) == pytest.approx(expected, abs=0.006)
        expected = float(normal.cdf(torch.tensor(-separation / 2)))
        assert equal_error_rate(roc(**pairs)) == pytest.approx(expected, abs=0.006)
        assert d_prime(**pairs) == pytest.approx(separation, abs=0.03)


def test_roc_by_hand():
    curve = roc(**sample([1, 3], [2, 4]))
    assert curve.false_positive_rates.tolist() == [0, 0, 0.5, 0.5, 1]
    assert curve.true_positive_rates.tolist() == [0, 0.5, 0.5, 1, 1]
    assert curve.thresholds.tolist() == [-math.inf, 1, 2, 3, 4]


def test_the_rates_at_a_threshold_are_those_of_the_pairs_up_to_it(random):
    pairs = gaussians(random, 1.0, count=60)
    curve = roc(**pairs)
    for index in range(len(curve.thresholds)):
        accepted = pairs["distances"] <= curve.thresholds[index]
        same = pairs["same"]
        assert curve.true_positive_rates[index] == accepted[same].double().mean()
        assert curve.false_positive_rates[index] == accepted[~same].double().mean()


def test_equal_error_rate_by_hand():
    assert equal_error_rate(roc(**sample([1, 3], [2, 4]))) == 0.5
    assert equal_error_rate(roc(**sample([1, 2], [3, 4]))) == 0
    assert equal_error_rate(roc(**sample([3, 4], [1, 2]))) == 1
    # One of three same pairs is farther than one of three different ones: a third each.
    assert equal_error_rate(roc(**sample([1, 2, 5], [4, 6, 7]))) == pytest.approx(1 / 3)
    # FPR 0 at TPR 1/2, FPR 1/3 at TPR 1/2 and 1: the rates meet at FPR 1/3, on a vertical part.
    assert equal_error_rate(roc(**sample([1, 5], [4, 6, 7]))) == pytest.approx(1 / 3)
    # All tied: the curve is the diagonal.
    assert equal_error_rate(roc(**sample([1, 1], [1, 1, 1]))) == 0.5


def test_swapping_the_kinds_mirrors_the_curve(random):
    pairs = gaussians(random, 1.0, count=200)
    swapped = {"distances": -pairs["distances"], "same": ~pairs["same"]}
    assert auc(**swapped) == pytest.approx(auc(**pairs), abs=1e-12)
    assert equal_error_rate(roc(**swapped)) == pytest.approx(equal_error_rate(roc(**pairs)))


def test_tpr_at_fpr_is_read_at_a_point_that_is_reached():
    curve = roc(**sample([1, 3, 5, 7], [2, 4, 6, 8]))
    assert tpr_at_fpr(curve, 0.25, 4) == 0.5  # accepts 1, 2, 3
    assert tpr_at_fpr(curve, 0.49, 4) == 0.5  # the next point would be FPR 0.5
    assert tpr_at_fpr(curve, 0.5, 4) == 0.75
    assert tpr_at_fpr(curve, 1.0, 4) == 1


def test_tpr_at_a_rate_that_too_few_pairs_can_show_is_none():
    curve = roc(**sample([1.0], [2.0] * 999))
    assert tpr_at_fpr(curve, 0.001, 999) is None
    curve = roc(**sample([1.0], [2.0] * 1000))
    assert tpr_at_fpr(curve, 0.001, 1000) == 1


@pytest.mark.parametrize("measured", [auc, roc])
@pytest.mark.parametrize("same", [True, False])
def test_pairs_of_one_kind_have_no_curve(measured, same):
    with pytest.raises(ValueError, match="of one kind"):
        measured(distances=torch.ones(3), same=torch.full((3,), same))


# --- thresholds ----------------------------------------------------------------------------------


def test_accuracy_takes_what_is_below_the_threshold_for_the_same():
    pairs = sample([1, 2, 6], [4, 5, 2])
    assert accuracy(**pairs, threshold=3) == pytest.approx(4 / 6)
    assert accuracy(**pairs, threshold=2) == pytest.approx(4 / 6)  # 2 is not below 2
    assert accuracy(**pairs, threshold=0) == 0.5


def test_best_threshold_lies_in_the_widest_gap():
    assert best_threshold(**sample([1, 2], [6, 7])) == 4
    # Between 1 and 2, and between 3 and 9, three of four are right; the second gap is wider.
    assert best_threshold(**sample([1, 3], [2, 9])) == 6
    assert best_threshold(**sample([5], [1, 2, 3])) == 1  # nobody is accepted
    assert best_threshold(**sample([1, 2, 3], [0.5])) > 3  # everybody is


def test_no_threshold_beats_the_best_one(random):
    for _ in range(20):
        distances = torch.randint(15, (40,), generator=random).float()
        same = torch.rand(40, generator=random) < 0.5
        best = accuracy(
            distances=distances,
            same=same,
            threshold=best_threshold(distances=distances, same=same),
        )
        tried = [accuracy(distances=distances, same=same, threshold=t / 2) for t in range(-1, 32)]
        assert best == max(tried)


def test_d_prime_by_hand_and_where_there_is_none():
    assert d_prime(**sample([0, 2], [5, 7])) == pytest.approx(5 / math.sqrt(2))
    assert d_prime(**sample([5, 7], [0, 2])) == pytest.approx(-5 / math.sqrt(2))
    assert d_prime(**sample([1], [2, 3])) is None
    assert d_prime(**sample([1, 1], [2, 2])) is None


@pytest.mark.parametrize(("tpr", "fpr", "share"), [(0.99, 1e-4, 1e-6), (0.8, 0.3, 0.25)])
def test_right_alarms_against_a_count_of_all_who_pass(tpr, fpr, share):
    people = 10_000_000
    listed = round(people * share)
    right, false = tpr * listed, fpr * (people - listed)
    found = verification.right_alarms(tpr=tpr, fpr=fpr, share=share)
    assert found == pytest.approx(right / (right + false))


def test_alarms_that_are_all_right_never_right_or_none():
    assert verification.right_alarms(tpr=0.9, fpr=0.0, share=0.1) == 1
    assert verification.right_alarms(tpr=0.9, fpr=0.2, share=0.0) == 0
    # Who can't tell them apart is right as often as people are listed.
    blind = verification.right_alarms(tpr=0.4, fpr=0.4, share=0.25)
    assert blind == pytest.approx(0.25)
    assert verification.right_alarms(tpr=0.9, fpr=0.0, share=0.0) is None


def test_the_histogram_counts_every_pair():
    counted = histogram(**sample([0.01, 0.06, 0.06], [1.99, 2.0, 3.5]))
    assert len(counted.edges) == 41
    assert counted.same[:3] == (1, 2, 0)
    assert counted.different[-1] == 3
    assert sum(counted.same) == sum(counted.different) == 3
    assert histogram(**sample([1], [3]), edges=[0, 2, 4]).different == (0, 1)


# --- the protocol --------------------------------------------------------------------------------


def test_all_pairs_are_squared_distances_of_unit_embeddings():
    embeddings = torch.tensor([[3.0, 0.0], [0.0, 0.5], [-2.0, 0.0]])
    pairs = all_pairs(embeddings=embeddings, people=torch.tensor([7, 7, 9]))
    assert pairs.pictures.tolist() == [[0, 1], [0, 2], [1, 2]]
    torch.testing.assert_close(pairs.distances, torch.tensor([2.0, 4.0, 2.0]).double())
    assert pairs.same.tolist() == [True, False, False]
    assert not pairs.failed.any()


def test_measure_agrees_with_its_parts(random):
    embeddings, people = clusters(random, people=10, pictures=10, spread=1.1)
    pairs = all_pairs(embeddings=embeddings, people=people)
    result = measure(pairs, default_threshold=1.0, replicates=50)
    arguments = {"distances": pairs.distances, "same": pairs.same}
    assert (result.pairs, result.same_pairs, result.different_pairs) == (4950, 450, 4500)
    assert result.people == 10
    assert (result.folds, result.fold_rule) == (10, "people")
    assert result.auc == auc(**arguments)
    assert result.eer == equal_error_rate(roc(**arguments))
    assert result.one_minus_eer == 1 - result.eer
    assert result.tpr_at_fpr["0.01"] == tpr_at_fpr(roc(**arguments), 0.01, 4500)
    assert result.d_prime == d_prime(**arguments)
    assert result.accuracy_default_threshold == accuracy(**arguments, threshold=1.0)
    best = accuracy(**arguments, threshold=best_threshold(**arguments))
    assert best - 0.02 < result.accuracy <= best
    low, high = result.threshold_range
    assert low <= result.threshold <= high
    for name, value in (("auc", result.auc), ("accuracy", result.accuracy)):
        assert result.intervals[name].low < value < result.intervals[name].high


def test_the_result_is_json_and_the_same_every_time(random):
    embeddings, people = clusters(random, people=6, pictures=4)
    pairs = all_pairs(embeddings=embeddings, people=people)
    first, second = (measure(pairs, default_threshold=1.0, replicates=30) for _ in range(2))
    assert first == second
    decoded = json.loads(json.dumps(first.as_dict(), allow_nan=False))
    assert decoded["auc"] == first.auc
    assert decoded["intervals"]["auc"]["replicates"] == 30
    assert sum(decoded["histogram"]["same"]) == first.same_pairs


def test_a_threshold_never_sees_the_pairs_that_it_judges():
    """Two folds on different scales: each is judged by the other's threshold, to its harm."""
    kinds = [(1, True, 0), (3, False, 0), *[(5, True, 1)] * 3, *[(7, False, 1)] * 3]
    distances, same, folds = (torch.tensor(column) for column in zip(*kinds, strict=True))
    pairs = Pairs(
        distances=distances.double(),
        same=same,
        pictures=torch.arange(16).reshape(8, 2),
        people=torch.arange(16),
        failed=torch.zeros(8, dtype=torch.bool),
        folds=folds,
    )
    result = measure(pairs, default_threshold=0.0)
    assert (result.folds, result.fold_rule) == (2, "given")
    assert result.threshold_range == (2, 6)
    # Fold 0 at threshold 6 accepts its different pair, fold 1 at 2 refuses its three same pairs.
    assert result.accuracy == 4 / 8
    leaked = best_threshold(distances=distances.double(), same=same)
    assert accuracy(distances=distances.double(), same=same, threshold=leaked) == 7 / 8


def test_a_leaked_threshold_would_have_been_noticed():
    """Random distances: the honest accuracy is chance, that of a threshold which leaks is not."""
    random = torch.Generator().manual_seed(5)
    honest, leaked = [], []
    for _ in range(30):
        distances = torch.rand(40, generator=random, dtype=torch.float64)
        same = torch.arange(40) % 2 == 0
        pairs = Pairs(
            distances=distances,
            same=same,
            pictures=torch.arange(80).reshape(40, 2),
            people=torch.arange(80),
            failed=torch.zeros(40, dtype=torch.bool),
            folds=torch.arange(40) // 4,
        )
        honest.append(measure(pairs, default_threshold=0.5, replicates=1).accuracy)
        best = best_threshold(distances=distances, same=same)
        leaked.append(accuracy(distances=distances, same=same, threshold=best))
    assert sum(honest) / 30 < 0.52
    assert sum(leaked) / 30 > 0.56


def test_the_standard_error_is_that_of_the_mean_over_folds():
    same = torch.tensor([True, False] * 4)
    pairs = Pairs(
        distances=torch.tensor([1, 3, 1, 3, 1, 3, 5, 7]).double(),
        same=same,
        pictures=torch.arange(16).reshape(8, 2),
        people=torch.arange(16),
        failed=torch.zeros(8, dtype=torch.bool),
        folds=torch.tensor([0, 0, 1, 1, 2, 2, 3, 3]),
    )
    result = measure(pairs, default_threshold=0.0)
    assert result.accuracy_standard_error == pytest.approx(0.25 / 2)  # of 1, 1, 1, 1/2: 1/4 / √4


# --- failures ------------------------------------------------------------------------------------


def test_a_picture_without_a_face_makes_all_its_pairs_wrong(random):
    embeddings, people = clusters(random, people=8, pictures=5, spread=0.05)
    embeddings[3] = math.nan
    failed = torch.arange(40) == 3
    pairs = all_pairs(embeddings=embeddings, people=people, failed=failed)
    result = measure(pairs, default_threshold=0.5, replicates=20)
    assert result.failed_pairs == 39
    assert result.pairs == 780
    assert result.accuracy == pytest.approx(1 - 39 / 780)
    assert result.accuracy_default_threshold == pytest.approx(1 - 39 / 780)
    # 4 of 80 same pairs are never accepted, 35 of 700 different ones always.
    assert result.auc == pytest.approx(0.95 * 0.95)
    assert result.eer == pytest.approx(0.05)
    assert result.tpr_at_fpr["0.1"] == pytest.approx(0.95)
    assert result.tpr_at_fpr["0.01"] == 0
    assert result.balanced_accuracy == pytest.approx(0.95)


def test_failures_do_not_move_the_threshold(random):
    """Whatever stands in a failed picture's row: NaN, or the face of somebody else."""
    embeddings, people = clusters(random, people=8, pictures=5)
    whole = measure(
        all_pairs(embeddings=embeddings[5:], people=people[5:]),
        default_threshold=0.5,
        replicates=1,
    )
    for instead in (math.nan, embeddings[5]):
        embeddings[:5] = instead
        partly = measure(
            all_pairs(embeddings=embeddings, people=people, failed=people == 0),
            default_threshold=0.5,
            replicates=1,
        )
        assert partly.threshold_range == whole.threshold_range
        assert partly.d_prime == whole.d_prime
        assert partly.failed_pairs == 10 + 5 * 35
        assert partly.accuracy == pytest.approx(whole.accuracy * 595 / 780)


def test_a_distance_that_is_not_finite_has_to_be_marked(random):
    embeddings, people = clusters(random, people=4, pictures=2)
    embeddings[0] = math.nan
    with pytest.raises(ValueError, match="mark it as failed"):
        all_pairs(embeddings=embeddings, people=people)


# --- small samples -------------------------------------------------------------------------------


def test_one_pair_is_judged_by_the_recognisers_threshold():
    pairs = Pairs(
        distances=torch.tensor([0.3]),
        same=torch.tensor([True]),
        pictures=torch.tensor([[0, 1]]),
        people=torch.tensor([0, 0]),
        failed=torch.tensor([False]),
    )
    result = measure(pairs, default_threshold=0.4)
    assert (result.accuracy, result.threshold) == (1, 0.4)
    assert (result.folds, result.fold_rule) == (0, "none")
    assert result.auc is None
    assert result.eer is None
    assert result.one_minus_eer is None
    assert result.balanced_accuracy is None
    assert result.tpr_at_fpr == {"0.1": None, "0.01": None, "0.001": None}
    assert result.intervals == {"auc": None, "accuracy": None}
    json.dumps(result.as_dict(), allow_nan=False)


def test_there_has_to_be_a_pair():
    empty = torch.zeros(0)
    with pytest.raises(ValueError, match="no pair"):
        Pairs(
            distances=empty,
            same=empty.bool(),
            pictures=empty.long().reshape(0, 2),
            people=empty.long(),
            failed=empty.bool(),
        )


def test_arguments_go_by_name():
    """A similarity or a threshold must not slip in where a distance is meant."""
    with pytest.raises(TypeError):
        verification.auc(torch.rand(4), torch.tensor([True, False, True, False]))


def test_the_threshold_for_a_rate_is_the_largest_that_keeps_it():
    far = torch.tensor([0.9, 0.3, 0.5, 0.7, 0.6, 0.8, 1.0, 1.1, 0.4, 1.2])
    for rate, wanted in ((0.0, 0.3), (0.05, 0.3), (0.1, 0.4), (0.2, 0.5)):
        got = verification.threshold_for(far, rate)
        assert got == pytest.approx(wanted)
        assert int((far < got).sum()) <= rate * len(far)
    assert verification.threshold_for(far, 1.0) == float("inf")
