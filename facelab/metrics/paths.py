"""What an interpolation holds and what it moves: readings along a path in, numbers out.

On a path one factor goes from one face's to another's and the other is held, such as the attributes
move and the identity stays (Nitzan et al. 2020, section 4.4). Whoever reads a factor off the faces
(a recogniser, a regressor of pose or landmarks) gives one reading a step:

- `drift`: how far the held factor's readings stray from the start's, also as a share of the
  distance between two random faces: 0 holds, about 1 has lost it.
- `progress`: does the moved factor go to the end's reading, step by step?

Paths are drawn anew for every interval.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.metrics.paired import mean_interval
from facelab.metrics.temporal import Estimate

SHARE = "1 where it is as between two random faces"

# One reading may be a number, a vector, or landmarks. Any sizes: the functions check them.
Paths = Float[Tensor, "_ _ *_"]
Readings = Float[Tensor, "_ *_"]
Distance = Callable[[Tensor, Tensor], Tensor]


def euclidean(a: Readings, b: Readings) -> Float[Tensor, " _"]:
    """Return the distance of readings, row by row."""
    return (a - b).flatten(1).norm(dim=1)


def squared(a: Readings, b: Readings) -> Float[Tensor, " _"]:
    """Return the squared distance: that of a recogniser's unit embeddings and its threshold."""
    return (a - b).flatten(1).square().sum(1)


def drift(
    held: Paths,
    strangers: Readings,
    *,
    random: torch.Generator,
    distance: Distance = euclidean,
    unit: str = "distance",
) -> dict[str, Estimate]:
    """Return how far the held factor strays from the start, by the readings (paths, steps, ...).

    "largest" and "mean" are over the steps after the start, and averaged over paths. "strangers" is
    the mean distance of all pairs of `strangers`, the readings of random faces (faces, ...), and
    "largest share" and "mean share" are relative to it, for whose intervals it counts as known.
    `distance` compares rows, and `unit` is its. Raises `ParameterError` for paths of fewer than 2
    steps, fewer than 2 strangers, strangers that are all alike, and values that are not finite.
    """
    held = _finite(_with_steps(held, 2), "held factor")
    strangers = _finite(strangers, "strangers")
    if strangers.shape[1:] != held.shape[2:]:
        raise ParameterError(
            f"a stranger's reading is {tuple(strangers.shape[1:])} and a step's "
            f"{tuple(held.shape[2:])}; read both alike"
        )
    apart = _mean_apart(strangers, distance)
    strayed = _to(held, held[:, :1], distance)[:, 1:]
    values = {"largest": strayed.amax(1), "mean": strayed.mean(1)}
    told = {name: _estimate(unit, rows, random) for name, rows in values.items()}
    told["strangers"] = Estimate(unit, apart, None, "nothing")
    for name, rows in values.items():
        told[f"{name} share"] = _estimate(SHARE, rows / apart, random)
    return told


def progress(
    moved: Paths, *, random: torch.Generator, distance: Distance = euclidean
) -> dict[str, Estimate]:
    """Return whether the moved factor goes from the start to the end, by (paths, steps, ...).

    "towards the end" is the share of steps after which the last reading is nearer than before: 1
    for a straight way, about 1/2 for noise, but for the last step, which always arrives. "order" is
    the Spearman correlation of the step's number with the distance to the first reading less that
    to the last; None where that is the same all along a path. Both are averaged over paths. Raises
    `ParameterError` for paths of fewer than 3 steps and values that are not finite.
    """
    moved = _finite(_with_steps(moved, 3), "moved factor")
    to_end = _to(moved, moved[:, -1:], distance)
    along = _to(moved, moved[:, :1], distance) - to_end
    nearer = (to_end.diff(dim=1) < 0).double().mean(1)
    orders = torch.tensor([_spearman(row.numpy()) for row in along], dtype=torch.float64)
    return {
        "towards the end": _estimate("share of steps", nearer, random),
        "order": _estimate("rank correlation", orders, random),
    }


def _to(rows: Paths, goal: Paths, distance: Distance) -> Float[Tensor, "paths steps"]:
    """Return the distance of every step to one reading of its path."""
    goal = goal.expand_as(rows)
    return distance(rows.flatten(0, 1), goal.flatten(0, 1)).unflatten(0, rows.shape[:2])


def _mean_apart(readings: Readings, distance: Distance) -> float:
    """Return the mean distance of all pairs, one row of them at a time."""
    count = len(readings)
    if count < 2:
        raise ParameterError(f"{count} strangers make no pair; give the readings of 2 or more")
    sums = (
        distance(readings[n : n + 1].expand_as(readings[n + 1 :]), readings[n + 1 :]).sum()
        for n in range(count - 1)
    )
    mean = float(sum(sums)) / (count * (count - 1) / 2)
    if not mean > 0:
        raise ParameterError("all strangers' readings are the same; give those of random faces")
    return mean


def _spearman(values: Float[np.ndarray, " steps"]) -> float:
    """Return the rank correlation of values with their places; NaN when they are all the same."""
    from scipy.stats import rankdata

    ranks, places = rankdata(values), np.arange(1.0, len(values) + 1)
    ranks, places = ranks - ranks.mean(), places - places.mean()
    lengths = np.sqrt(np.square(ranks).sum() * np.square(places).sum())
    return float(ranks @ places / lengths) if lengths else float("nan")


def _estimate(unit: str, values: Float[Tensor, " paths"], random: torch.Generator) -> Estimate:
    if not values.isfinite().all():
        return Estimate(unit, None, None, "paths")
    return Estimate(unit, float(values.mean()), mean_interval(values, random), "paths")


def _finite(readings: Readings, name: str) -> Tensor:
    """Return readings in float64, without gradients, on the CPU."""
    finite = readings.isfinite().unsqueeze(-1).flatten(1).all(1)
    if not finite.all():
        raise ParameterError(
            f"the readings of the {name} are not finite in {int((~finite).sum())} of "
            f"{len(readings)} rows; leave these out"
        )
    return readings.detach().double().cpu()


def _with_steps(paths: Paths, least: int) -> Paths:
    """Return the paths, which have to be long enough."""
    count, steps = paths.shape[:2]
    if not count or steps < least:
        raise ParameterError(
            f"{count} paths of {steps} steps can't be measured; give one path or more, of "
            f"{least} steps or more"
        )
    return paths
