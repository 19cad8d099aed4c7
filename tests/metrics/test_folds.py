"""Folds: nothing that is judged has chosen its threshold, and every pair is judged once."""

import pytest
import torch

from facelab.metrics.folds import Plan, pairs_plan, people_plan, plan


def every_pair(people: torch.Tensor) -> dict[str, torch.Tensor]:
    pictures = torch.combinations(torch.arange(len(people)))
    who = people[pictures]
    return {
        "same": who[:, 0] == who[:, 1],
        "failed": torch.zeros(len(pictures), dtype=torch.bool),
        "pictures": pictures,
        "people": who,
    }


def require_sound(cut: Plan, pairs: int) -> None:
    judged = sum(split.test.long() for split in cut.splits)
    assert judged.tolist() == [1] * pairs
    for split in cut.splits:
        assert not (split.training & split.test).any()


@pytest.mark.parametrize(("count", "folds"), [(10, 10), (23, 10), (6, 6), (60, 10)])
def test_folds_of_people_share_nobody(count, folds):
    people = torch.arange(count).repeat_interleave(2 if count > 50 else 5)
    pairs = every_pair(people)
    cut = plan(**pairs)
    assert (cut.rule, cut.folds) == ("people", folds)
    require_sound(cut, len(pairs["same"]))
    for split in cut.splits:
        judged = set(pairs["people"][split.test].flatten().tolist())
        chose = set(pairs["people"][split.training].flatten().tolist())
        assert not judged & chose


def test_a_threshold_is_chosen_on_all_pairs_that_share_nobody_with_the_judged_folds():
    """The slow twin: with ten people each is a fold, so only the pair's own people are left out."""
    people = torch.arange(10).repeat_interleave(3)
    pairs = every_pair(people)
    cut = plan(**pairs)
    for split in cut.splits:
        for judged in pairs["people"][split.test]:
            apart = ~torch.isin(pairs["people"], judged).any(dim=1)
            assert torch.equal(split.training, apart)


def test_people_with_many_pairs_are_dealt_evenly():
    people = torch.arange(20).repeat_interleave(torch.tensor([8] * 5 + [2] * 15))
    pairs = every_pair(people)
    cut = people_plan(pairs["people"], pairs["same"], folds=5)
    loads = [
        int((split.test & pairs["same"]).sum())
        for split in cut.splits
        if (split.test & pairs["same"]).any()
    ]
    assert loads == [28 + 3] * 5  # one of eight pictures, three of two, in each


def test_the_same_list_gives_the_same_folds():
    pairs = every_pair(torch.arange(12).repeat_interleave(3))
    for first, second in zip(plan(**pairs).splits, plan(**pairs).splits, strict=True):
        assert torch.equal(first.test, second.test)


def test_the_lists_own_folds_come_first():
    pairs = every_pair(torch.arange(10).repeat_interleave(3))
    given = torch.arange(len(pairs["same"])) % 4
    cut = plan(**pairs, given=given)
    assert (cut.rule, cut.folds) == ("given", 4)
    for number, split in enumerate(cut.splits):
        assert torch.equal(split.test, given == number)
        assert torch.equal(split.training, given != number)


def test_few_people_leave_folds_of_pairs():
    pairs = every_pair(torch.arange(2).repeat_interleave(6))
    cut = plan(**pairs)
    assert (cut.rule, cut.folds) == ("pairs", 10)
    require_sound(cut, len(pairs["same"]))
    for split in cut.splits:  # both kinds evenly: 30 same, 36 different
        assert int((split.test & pairs["same"]).sum()) == 3
        assert int((split.test & ~pairs["same"]).sum()) in (3, 4)


def test_fewer_pairs_than_folds_make_fewer_folds():
    pairs = every_pair(torch.tensor([0, 0, 0, 1]))  # 3 same, 3 different
    cut = plan(**pairs)
    assert (cut.rule, cut.folds) == ("pairs", 3)
    require_sound(cut, 6)


@pytest.mark.parametrize("people", [[0, 0, 1], [0, 0, 0], [0, 1, 2], [0, 1]])
def test_too_few_pairs_leave_no_fold(people):
    cut = plan(**every_pair(torch.tensor(people)))
    assert cut == Plan("none", 0, ())


def test_repeats_of_a_pair_stay_in_one_fold():
    pictures = torch.tensor([[0, 1], [2, 3], [1, 0], [0, 4], [4, 1], [4, 0], [2, 4], [0, 1]])
    same = torch.tensor([True, True, True, False, False, False, False, True])
    cut = pairs_plan(pictures, same, folds=10)
    assert cut.folds == 2
    for repeats in ([0, 2, 7], [3, 5]):
        for split in cut.splits:
            assert len(split.test[repeats].unique()) == 1


def test_failed_pairs_choose_nothing():
    """All pairs of one kind that a fold would learn from have failed: that rule is passed over."""
    pairs = every_pair(torch.arange(10).repeat_interleave(3))
    pairs["failed"] = pairs["same"] & (pairs["people"][:, 0] != 4)
    cut = plan(**pairs)
    assert cut.rule == "pairs"
    pairs["failed"] = pairs["same"]
    assert plan(**pairs).rule == "none"
