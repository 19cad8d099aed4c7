"""Intervals of a number that a whole set of pictures has, such as a distance between two sets.

A bootstrap would draw pictures several times over, and a distance between sets grows when a set has
repeats. The jackknife leaves pictures out instead: the set is dealt into groups, and the number is
computed once without each of them (Efron & Stein 1981, "The jackknife estimate of variance").
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from facelab.errors import ParameterError
from facelab.metrics.bootstrap import Interval

GROUPS = 10


@dataclass(frozen=True)
class Jackknife:
    """What the values without each group say: the value's bias and its standard error."""

    bias: float
    standard_error: float
    groups: int


def jackknife(value: float, without: Sequence[float]) -> Jackknife:
    """Return bias and standard error of `value` from the values `without` each of g groups.

    With m the mean of those, the bias is (g - 1) (m - value) and the variance (g - 1) / g times the
    sum of their squared differences from m. The groups have to be of about equal size. Raises
    `ParameterError` with fewer than two groups. Source: Efron & Stein 1981, equations 1.2 and 1.3.
    """
    groups = len(without)
    if groups < 2:
        raise ParameterError(f"a jackknife needs two groups or more, got {groups}")
    values = np.asarray(without, dtype=float)
    spread = np.square(values - values.mean()).sum() * (groups - 1) / groups
    return Jackknife(float((groups - 1) * (values.mean() - value)), math.sqrt(spread), groups)


def combine(value: float, parts: Sequence[Jackknife], confidence: float = 0.95) -> Interval:
    """Return the interval of a value of several independent sets, each left out in turn.

    The variances add up. The interval is symmetric, value +/- t s, with Student's t for one degree
    of freedom less than the smallest number of groups; its ends may lie where the number itself
    can't (below zero).
    """
    groups = min(part.groups for part in parts)
    error = math.sqrt(sum(part.standard_error**2 for part in parts))
    half = float(stdtrit(groups - 1, (1 + confidence) / 2)) * error
    return Interval(value - half, value + half, confidence, sum(part.groups for part in parts))
