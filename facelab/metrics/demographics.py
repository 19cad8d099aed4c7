"""Error rates of a recogniser by groups of people, at one threshold for everybody.

A system has one threshold. What differs between groups is then how often it takes two people of a
group for one (false matches, which let strangers in) and how often it refuses a person (false
non-matches, which shut people out): Grother, Ngan & Hanaoka 2019, NISTIR 8280, sections 4 and 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from facelab.errors import ParameterError
from facelab.metrics.bootstrap import Interval, bootstrap_interval, weighted_mean
from facelab.metrics.verification import Pairs


@dataclass(frozen=True)
class Rate:
    """A share of `pairs`, with its interval over people; None where there are too few of them."""

    value: float | None
    interval: Interval | None
    pairs: int


@dataclass(frozen=True)
class GroupRates:
    """The rates of a group: of pairs of two of its people, and of pairs of one of them."""

    people: int
    false_match_rate: Rate
    false_non_match_rate: Rate


def threshold_at(pairs: Pairs, false_match_rate: float) -> float:
    """Return the largest squared distance below which at most this share of different pairs lie.

    Raises `ParameterError` when there are too few different pairs for one of them to be accepted.
    """
    apart = pairs.distances[~pairs.same & ~pairs.failed].double().sort().values
    accepted = int(false_match_rate * len(apart))
    if not 0 < false_match_rate < 1 or not accepted:
        raise ParameterError(
            f"a false match rate of {false_match_rate} can't be set with {len(apart)} pairs of two "
            "people; give a rate between 0 and 1, and pairs enough for one false match"
        )
    return float(apart[accepted])


def rates_by_group(
    pairs: Pairs,
    groups: Sequence[str],
    threshold: float,
    *,
    random: torch.Generator,
    replicates: int = 1000,
) -> dict[str, GroupRates]:
    """Return the rates of each group, by its name, in the order in which groups first come.

    `groups` has the group of each person, by the number that `pairs.people` has for them. A pair is
    accepted below `threshold`. Pairs of people of two groups belong to neither. Failed pairs are
    left out.
    """
    numbers = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    own = torch.tensor([numbers[name] for name in groups])[pairs.people_of_pairs]
    accepted = pairs.distances.double() < threshold

    def rate(wrong: Bool[Tensor, " pairs"], chosen: Bool[Tensor, " pairs"]) -> Rate:
        values, people = wrong[chosen].double(), pairs.people_of_pairs[chosen]
        interval = bootstrap_interval(
            weighted_mean(values), people, generator=random, replicates=replicates
        )
        return Rate(float(values.mean()) if len(values) else None, interval, len(values))

    found = {}
    for name, number in numbers.items():
        within = (own == number).all(dim=1) & ~pairs.failed
        found[name] = GroupRates(
            groups.count(name),
            rate(accepted, within & ~pairs.same),
            rate(~accepted, within & pairs.same),
        )
    return found
