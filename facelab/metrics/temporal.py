"""What a sequence of frames keeps from one to the next: identity, steadiness, the driver's motion.

| here | question |
|---|---|
| `identity_over_time` | does a recogniser see one person in all frames? |
| `identity_against` | and how does that compare with the driver's own frames? |
| `jitter`, `jitter_against` | do the landmarks tremble? |
| `motion_followed` | does the made face move when the driver moves? |

Frames are not independent, so that intervals come from whole sequences drawn anew where there are
`MINIMUM_PEOPLE` or more, and else from blocks of successive frames (the circular block bootstrap:
Politis & Romano 1992, A circular block-resampling procedure for stationary data). Where frames
resemble each other for longer than a block, that interval is too narrow: a second of video has seen
little. In a ratio of two sequences of the same frames most of that cancels.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from facelab.errors import ParameterError
from facelab.metrics.bootstrap import MINIMUM_PEOPLE, Interval

BLOCK = 10  # frames that are drawn together
# Fewer blocks than people would do no better.
MINIMUM_BLOCKS = MINIMUM_PEOPLE
CONFIDENCE = 0.95
DISTANCE = "squared distance of unit embeddings"
SHARE = "1 where it is as the driver's"
ANGLES = ("yaw", "pitch", "roll")
# Of the 300-W landmarks: the inner lips from left to right, and the nose's ridge and base.
UPPER_LIP, LOWER_LIP, NOSE = (61, 62, 63), (67, 66, 65), (27, 33)

# Any sizes: the functions check them, with a message that says more than a type checker's.
Rows = Float[Tensor, "_ *_"]
Sequences = Rows | Sequence[Rows]
Numbers = tuple[float, ...]
Statistic = Callable[[Tensor], Numbers]


@dataclass(frozen=True)
class Estimate:
    """A number, its interval, and what was drawn anew for that, such as "sequences".

    `value` is None where it is undefined, as the correlation with something that does not move;
    `interval` then too, and where there is too little to draw from.
    """

    unit: str
    value: float | None
    interval: Interval | None
    drawn: str


@dataclass(frozen=True)
class Draws:
    """How intervals are drawn: from which stream, how often, in blocks of how many frames."""

    random: torch.Generator
    replicates: int = 1000
    block: int = BLOCK

    def __post_init__(self):
        if self.replicates < 1 or self.block < 1:
            raise ParameterError(
                f"{self.replicates} draws of blocks of {self.block} frames give no interval; give "
                "1 or more of both"
            )


def identity_over_time(embeddings: Sequences, draws: Draws) -> dict[str, Estimate]:
    """Return how much the identity changes in a sequence (frames, features), or in several.

    "variance" is the mean squared distance to the mean embedding; "step" that of successive
    frames; "cosine" the mean over all pairs of frames. Rows are brought to length one. With n
    frames 1 - cosine is n / (n - 1) times the variance, so the two are one measure on two scales.
    Raises `ParameterError` for fewer than 2 frames and for values that are not finite.
    """
    unit = [F.normalize(rows, dim=1) for rows in _sequences(embeddings, "embeddings", 2)]
    steps = [rows.diff(dim=0).square().sum(1) for rows in unit]
    return {
        "variance": _estimate(DISTANCE, unit, _variance, draws, spread=True),
        "step": _estimate(DISTANCE, steps, _mean, draws),
        "cosine": _one_less(_estimate("cosine", unit, _apart, draws, spread=True)),
    }


def identity_against(made: Sequences, driver: Sequences, draws: Draws) -> dict[str, Estimate]:
    """Return "variance" and "step" of made frames as shares of those of the driver's own frames.

    Below 1 the made identity is steadier than what a recogniser sees of a real one that moves so.
    Sequences are compared row by row. Raises `ParameterError` as `identity_over_time`, and unless
    both have the same frames.
    """
    both = _paired(made, driver, "embeddings", 2)
    unit = [F.normalize(rows, dim=2) for rows in both]
    steps = [rows.diff(dim=0).square().sum(2) for rows in unit]
    return {
        "variance": _estimate(SHARE, unit, _each(_variance), draws),
        "step": _estimate(SHARE, steps, _each(_mean), draws),
    }


def jitter(landmarks: Sequences, side: float, draws: Draws) -> Estimate:
    """Return the mean length of landmarks' second differences (frames, points, 2) over the side.

    `side` is the picture's, in the unit of the landmarks. Points that move evenly have none. Raises
    `ParameterError` for fewer than 3 frames, a side that isn't above 0, values not finite.
    """
    if not (math.isfinite(side) and side > 0):
        raise ParameterError(f"a picture's side can't be {side}; give its number of pixels")
    bends = [_bends(rows) / side for rows in _sequences(landmarks, "landmarks", 3)]
    return _estimate("sides of the picture", bends, _mean, draws)


def jitter_against(made: Sequences, driver: Sequences, draws: Draws) -> Estimate:
    """Return the jitter of made frames as a share of the driver's, in pictures of one size.

    Raises `ParameterError` as `jitter`, and unless both have the same frames.
    """
    both = _paired(made, driver, "landmarks", 3)
    bends = [torch.stack([_bends(rows[:, n]) for n in (0, 1)], dim=1) for rows in both]
    return _estimate(SHARE, bends, _each(_mean), draws)


def _bends(points: Float[Tensor, "frames points 2"]) -> Float[Tensor, " bends"]:
    return points.diff(n=2, dim=0).norm(dim=2).mean(1)


def lip_gap(landmarks: Float[Tensor, "frames 68 2"]) -> Float[Tensor, " frames"]:
    """Return how open mouths are: the inner lips' mean gap over the nose's length, both in pixels.

    A nose, unlike a chin, stays where it is when one talks.
    """
    lips = landmarks[:, list(UPPER_LIP)] - landmarks[:, list(LOWER_LIP)]
    nose = landmarks[:, NOSE[1]] - landmarks[:, NOSE[0]]
    return lips.norm(dim=2).mean(1) / nose.norm(dim=1)


def motion(
    euler_rad: Float[Tensor, "frames 3"], landmarks: Float[Tensor, "frames 68 2"]
) -> dict[str, Float[Tensor, " frames"]]:
    """Return what moves in a sequence by name: "yaw", "pitch", "roll" and "mouth"."""
    return dict(zip(ANGLES, euler_rad.unbind(1), strict=True)) | {"mouth": lip_gap(landmarks)}


def motion_followed(
    made: Mapping[str, Sequences], driver: Mapping[str, Sequences], draws: Draws
) -> dict[str, Estimate]:
    """Return the Pearson correlation of what moves with the driver's, over frames, by name.

    Both give series of one number a frame by the same names, such as `motion` returns; of several
    sequences the mean correlation. Raises `ParameterError` for fewer than 3 frames, values not
    finite, and names or frames that differ.
    """
    if set(made) != set(driver):
        names = (", ".join(sorted(side)) or "nothing" for side in (made, driver))
        raise ParameterError(
            "the made faces have {} and the driver {}; give both the same".format(*names)
        )
    found = {}
    for name, series in made.items():
        both = _paired(series, driver[name], name, 3)
        found[name] = _estimate("correlation", both, _pearson, draws)
    return found


# --- statistics of one sequence ------------------------------------------------------------------


def _variance(rows: Float[Tensor, "frames features"]) -> Numbers:
    return (float((rows - rows.mean(0)).square().sum(1).mean()),)


def _apart(rows: Float[Tensor, "frames features"]) -> Numbers:
    """Return one less the mean cosine of two frames, for rows of length one."""
    return (_variance(rows)[0] * len(rows) / (len(rows) - 1),)


def _mean(values: Float[Tensor, " frames"]) -> Numbers:
    return (float(values.mean()),)


def _pearson(rows: Float[Tensor, "frames 2"]) -> Numbers:
    a, b = (rows - rows.mean(0)).unbind(1)
    # What stays, to rounding, has nothing to correlate with.
    still = (rows - rows.mean(0)).abs().amax(0) <= 1e-12 * rows.abs().amax(0)
    return (math.nan if still.any() else float(a @ b / (a.norm() * b.norm())),)


def _each(statistic: Statistic) -> Statistic:
    """Return the statistic of the made and of the driver's rows, (frames, 2, ...)."""

    def both(rows: Float[Tensor, "frames 2 *_"]) -> Numbers:
        return statistic(rows[:, 0]) + statistic(rows[:, 1])

    return both


# --- estimates -----------------------------------------------------------------------------------


def _estimate(
    unit: str,
    sequences: list[Tensor],
    statistic: Statistic,
    draws: Draws,
    *,
    spread: bool = False,
) -> Estimate:
    """Return the mean of a statistic over sequences, or the ratio of the means of its two parts.

    `spread` is for a variance: drawn frames repeat, so theirs is too small by a factor.
    """
    numbers = np.array([statistic(rows) for rows in sequences])
    value, several = _total(numbers), len(sequences) >= MINIMUM_PEOPLE
    drawn = "sequences" if several else "blocks of frames"
    if not math.isfinite(value):
        return Estimate(unit, None, None, drawn)
    if several:
        interval = _interval(_over_sequences(numbers, draws))
    else:
        interval = _interval(_over_frames(sequences, statistic, draws))
        if interval and spread:
            interval = _turned(interval, value)
    return Estimate(unit, value, interval, drawn)


def _total(numbers: Float[np.ndarray, "sequences parts"]) -> float:
    means = numbers.mean(0)
    if len(means) == 1:
        return float(means[0])
    return float(means[0] / means[1]) if means[1] > 0 else math.nan


def _over_sequences(numbers: Float[np.ndarray, "sequences parts"], draws: Draws) -> list[float]:
    count = len(numbers)
    rows = (torch.randint(count, (count,), generator=draws.random) for _ in range(draws.replicates))
    return [_total(numbers[drawn.numpy()]) for drawn in rows]


def _over_frames(sequences: list[Tensor], statistic: Statistic, draws: Draws) -> list[float]:
    """Return the numbers of drawn blocks; none where there are fewer than `MINIMUM_BLOCKS`."""
    if sum(math.ceil(len(rows) / draws.block) for rows in sequences) < MINIMUM_BLOCKS:
        return []
    return [
        _total(np.array([statistic(rows[blocks(len(rows), draws)]) for rows in sequences]))
        for _ in range(draws.replicates)
    ]


def blocks(frames: int, draws: Draws) -> Int[Tensor, " frames"]:
    """Draw as many frames as there are, in blocks of successive ones; the first follows the last.

    Every frame is drawn once on average. Source: Politis & Romano 1992.
    """
    starts = torch.randint(frames, (math.ceil(frames / draws.block), 1), generator=draws.random)
    return ((starts + torch.arange(draws.block)) % frames).flatten()[:frames]


def _interval(values: list[float]) -> Interval | None:
    """Return the percentile interval; None when over a tenth of the numbers are undefined."""
    defined = np.asarray(values)[np.isfinite(values)]
    if not len(defined) or len(defined) < 0.9 * len(values):
        return None
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), float(high), CONFIDENCE, len(defined))


def _turned(interval: Interval, value: float) -> Interval:
    """Return the basic interval on a scale of logarithms: from v^2 / high to v^2 / low.

    If what was drawn is half of the value, the value is half of the truth. Source: Davison &
    Hinkley 1997, Bootstrap methods and their application, section 5.2.
    """
    if interval.low <= 0:
        return interval
    low, high = value**2 / interval.high, value**2 / interval.low
    return dataclasses.replace(interval, low=low, high=high)


def _one_less(estimate: Estimate) -> Estimate:
    """Return the estimate of one less the number."""
    interval = estimate.interval
    turned = interval and dataclasses.replace(
        interval, low=1 - interval.high, high=1 - interval.low
    )
    return dataclasses.replace(estimate, value=1 - estimate.value, interval=turned)


# --- what is given -------------------------------------------------------------------------------


def _sequences(given: Sequences, name: str, least: int) -> list[Tensor]:
    """Return sequences in float64, without gradients, on the CPU."""
    found = [given] if isinstance(given, Tensor) else list(given)
    if not found:
        raise ParameterError(f"there is no sequence of {name}; give one or more")
    for rows in found:
        if len(rows) < least:
            raise ParameterError(
                f"a sequence of {name} has {len(rows)} frames, at least {least} are needed; give "
                "more"
            )
        finite = rows.isfinite().reshape(len(rows), -1).all(1)
        if not finite.all():
            raise ParameterError(
                f"a sequence of {name} has values that are not finite in {int((~finite).sum())} "
                f"of {len(rows)} frames; leave out frames in which nothing was found"
            )
    return [rows.detach().double().cpu() for rows in found]


def _paired(made: Sequences, driver: Sequences, name: str, least: int) -> list[Tensor]:
    """Return sequences of the made and the driver's rows, (frames, 2, ...)."""
    sides = [_sequences(given, name, least) for given in (made, driver)]
    shapes = [[tuple(rows.shape) for rows in side] for side in sides]
    if shapes[0] != shapes[1]:
        raise ParameterError(
            f"the made frames' {name} are {shapes[0]} and the driver's {shapes[1]}; give the same "
            "frames of both"
        )
    return [torch.stack(pair, dim=1) for pair in zip(*sides, strict=True)]
