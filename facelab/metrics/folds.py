"""Which pairs choose a threshold, and which pairs are judged by it: never the same ones.

LFW's protocol has ten folds; the threshold for each comes from the other nine (Huang et al. 2007,
"Labeled Faces in the Wild", section 4). Its folds share no person. A list of pairs that was made
from few people can't be cut like that, because most pairs join two people; so, in this order:

given   The list has its own folds (LFW's pairs.txt).
people  People are dealt into folds. A pair of folds i and j (often i is not j) is judged by a
        threshold from the pairs that have nobody of i or j: no person is on both sides.
pairs   Too few people for that. Pairs are dealt into folds; a pair and its repeats stay together,
        but people are on both sides.
none    Too few pairs even for that: the recogniser's own threshold judges.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

# A threshold from fewer pairs of a kind than this is chance.
MINIMUM_PEOPLE_TRAINING = 5

Members = Bool[Tensor, " pairs"]


@dataclass(frozen=True)
class Split:
    """Pairs that choose a threshold (`training`) and pairs that it judges (`test`)."""

    training: Members
    test: Members


@dataclass(frozen=True)
class Plan:
    """How the pairs are cut: the rule ("given", "people", "pairs", "none") and its folds.

    Each pair is in the test part of exactly one split, unless the rule is "none", which has none.
    """

    rule: str
    folds: int
    splits: tuple[Split, ...]


def plan(
    *,
    same: Members,
    failed: Members,
    pictures: Int[Tensor, "pairs 2"],
    people: Int[Tensor, "pairs 2"],
    given: Int[Tensor, " pairs"] | None = None,
    folds: int = 10,
) -> Plan:
    """Choose the first rule that leaves every threshold enough pairs of both kinds.

    `pictures` and `people` number the picture, and the person on it, on both sides of each pair;
    `given` is each pair's fold in the list. Failed pairs choose no threshold but are judged. There
    are at most `folds` folds; fewer when there are fewer people, or fewer pairs of a kind.
    """
    usable = ~failed
    candidates = (
        lambda: given_plan(given),
        lambda: people_plan(people, same, folds),
        lambda: pairs_plan(pictures, same, folds),
    )
    floors = {"given": 1, "people": MINIMUM_PEOPLE_TRAINING, "pairs": 1}
    for candidate in candidates:
        found = candidate()
        if found and all(_enough(s, same, usable, floors[found.rule]) for s in found.splits):
            return found
    return Plan("none", 0, ())


def _enough(split: Split, same: Members, usable: Members, least: int) -> bool:
    training = split.training & usable
    return min(int((training & same).sum()), int((training & ~same).sum())) >= least


def given_plan(given: Int[Tensor, " pairs"] | None) -> Plan | None:
    """Take the folds of the list; None when it has fewer than two."""
    if given is None or len(given.unique()) < 2:
        return None
    splits = tuple(Split(given != fold, given == fold) for fold in given.unique())
    return Plan("given", len(splits), splits)


def people_plan(people: Int[Tensor, "pairs 2"], same: Members, folds: int) -> Plan | None:
    """Deal people into folds and judge each pair without anybody from its two folds.

    Those on most pairs of the same person are dealt first, each to the fold that has least so far,
    so folds are alike and the same list always gives the same folds. None below three people.
    """
    numbers, index = people.unique(return_inverse=True)
    folds = min(folds, len(numbers))
    if folds < 3:
        return None
    fold_of_person = _deal(_loads(index, same, len(numbers)), folds)
    first, second = fold_of_person[index].sort(dim=1).values.T  # (pairs,) each
    splits = []
    for i in range(folds):
        for j in range(i, folds):
            test = (first == i) & (second == j)
            if test.any():
                away = (first != i) & (first != j) & (second != i) & (second != j)
                splits.append(Split(away, test))
    return Plan("people", folds, tuple(splits))


def _loads(index: Int[Tensor, "pairs 2"], same: Members, people: int) -> list[tuple[int, int]]:
    """Count, for each person, the pairs of the same person, and all pairs."""
    of_same = index[same].flatten().bincount(minlength=people)
    of_all = index.flatten().bincount(minlength=people)
    return list(zip(of_same.tolist(), of_all.tolist(), strict=True))


def _deal(loads: list[tuple[int, int]], folds: int) -> Int[Tensor, " people"]:
    """Give each load, the largest first, to the fold with the least; return each one's fold."""
    totals = [(0, 0)] * folds
    dealt = torch.zeros(len(loads), dtype=torch.long)
    for person in sorted(range(len(loads)), key=lambda p: loads[p], reverse=True):
        fold = min(range(folds), key=lambda f: totals[f])
        totals[fold] = (totals[fold][0] + loads[person][0], totals[fold][1] + loads[person][1])
        dealt[person] = fold
    return dealt


def pairs_plan(pictures: Int[Tensor, "pairs 2"], same: Members, folds: int) -> Plan | None:
    """Deal pairs into folds, both kinds evenly; None when a kind has fewer than two pairs.

    Repeats of a pair, in either order, count as one and stay in one fold.
    """
    _, key = pictures.sort(dim=1).values.unique(dim=0, return_inverse=True)
    fold_of_key: dict[int, int] = {}
    dealt = {True: 0, False: 0}
    kinds = [len(key[same].unique()), len(key[~same].unique())]
    folds = min(folds, *kinds)
    if folds < 2:
        return None
    for number, kind in zip(key.tolist(), same.tolist(), strict=True):
        if number not in fold_of_key:
            fold_of_key[number] = dealt[kind] % folds
            dealt[kind] += 1
    fold = torch.tensor([fold_of_key[number] for number in key.tolist()])
    return Plan("pairs", folds, tuple(Split(fold != k, fold == k) for k in range(folds)))
