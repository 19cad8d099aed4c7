"""Verification: do two pictures show one person? Distances in, error rates out.

Everywhere in this module **the smaller a distance, the more similar the two faces**, and a pair is
taken for the same person when its distance lies *below* the threshold. Arguments have to be given
by name, so that similarities or thresholds are not passed for distances by mistake.

The words of the field: a pair of the same person that is refused is a false non-match, a pair of
two people that is accepted is a false match. TPR is the share of same pairs that are accepted, FPR
that of different pairs. A pair one of whose pictures gave no face has *failed*: it counts as wrong
everywhere (refused if same, accepted if different) instead of being left out, because a
recogniser that gives up on hard pictures must not look better for it.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor

from facelab.metrics.bootstrap import Interval, bootstrap_interval, weighted_auc, weighted_mean
from facelab.metrics.folds import plan

Distances = Float[Tensor, " pairs"]
Same = Bool[Tensor, " pairs"]

FALSE_POSITIVE_RATES = (0.1, 0.01, 0.001)


@dataclass(frozen=True)
class Pairs:
    """Pairs of pictures, how far apart their faces are, and whether they show one person.

    `pictures` numbers both pictures of each pair and `people` who is on each picture. The distance
    of a `failed` pair is not looked at; all others have to be finite. `folds` numbers each pair's
    fold where the list of pairs has folds of its own.
    """

    distances: Distances
    same: Same
    pictures: Int[Tensor, "pairs 2"]
    people: Int[Tensor, " pictures"]
    failed: Same
    folds: Int[Tensor, " pairs"] | None = None

    def __post_init__(self) -> None:
        if not len(self.same):
            raise ValueError("there is no pair to measure; give at least one")
        if not torch.isfinite(self.distances[~self.failed]).all():
            raise ValueError(
                "a pair that has not failed has a distance that is not finite; mark it as failed"
            )

    @property
    def people_of_pairs(self) -> Int[Tensor, "pairs 2"]:
        """Who is on the two pictures of each pair."""
        return self.people[self.pictures]

    @property
    def penalised_distances(self) -> Distances:
        """Float64 distances in which failed pairs are wrong at every threshold.

        Infinity where the two are the same person, minus infinity where they are not.
        """
        worst = torch.where(self.same, math.inf, -math.inf).double()
        return torch.where(self.failed, worst, self.distances.double())


@dataclass(frozen=True)
class Roc:
    """The trade-off: at threshold i, the share of different and of same pairs that is accepted.

    Both rates rise from 0 to 1. `thresholds[i]` accepts pairs *up to and including* that distance;
    the first is minus infinity and accepts none.
    """

    false_positive_rates: Float[Tensor, " points"]
    true_positive_rates: Float[Tensor, " points"]
    thresholds: Float[Tensor, " points"]


@dataclass(frozen=True)
class Histogram:
    """Counts of pairs by distance: bin i spans from `edges[i]` to `edges[i + 1]`."""

    edges: tuple[float, ...]
    same: tuple[int, ...]
    different: tuple[int, ...]


@dataclass(frozen=True)
class Verification:
    """What `measure` found; every figure counts failed pairs as wrong, unless it says otherwise.

    `accuracy` is the share of pairs that are judged right, each by a threshold from pairs of other
    folds; `threshold` is the mean of those thresholds over the pairs and `threshold_range` their
    extremes. `balanced_accuracy` is the mean over both kinds of pairs, and
    `accuracy_standard_error` that of the mean over folds, where they are LFW's.
    `accuracy_default_threshold` needs no folds: the recogniser's own threshold. `d_prime` and
    `histogram` leave failed pairs out: they have no distance. A figure is None where there are too
    few pairs for it.
    """

    pairs: int
    same_pairs: int
    different_pairs: int
    failed_pairs: int
    people: int
    accuracy: float
    balanced_accuracy: float | None
    accuracy_standard_error: float | None
    accuracy_default_threshold: float
    threshold: float
    threshold_range: tuple[float, float]
    default_threshold: float
    folds: int
    fold_rule: str
    auc: float | None
    eer: float | None
    one_minus_eer: float | None
    tpr_at_fpr: dict[str, float | None]
    d_prime: float | None
    intervals: dict[str, Interval | None]
    histogram: Histogram

    def as_dict(self) -> dict:
        """Return it as lists, numbers and text, for JSON."""
        return asdict(self)


def all_pairs(
    *,
    embeddings: Float[Tensor, "pictures features"],
    people: Int[Tensor, " pictures"],
    failed: Bool[Tensor, " pictures"] | None = None,
) -> Pairs:
    """Pair every picture with every other, by the squared distance of unit embeddings.

    Rows are brought to length one. The row of a `failed` picture is not looked at.
    """
    count = len(people)
    failed = torch.zeros(count, dtype=torch.bool) if failed is None else failed
    pictures = torch.combinations(torch.arange(count))
    unit = torch.nn.functional.normalize(embeddings.double(), dim=1)
    first, second = pictures.T
    return Pairs(
        distances=(unit[first] - unit[second]).square().sum(dim=1),
        same=people[first] == people[second],
        pictures=pictures,
        people=people,
        failed=failed[first] | failed[second],
    )


def measure(
    pairs: Pairs,
    *,
    default_threshold: float,
    folds: int = 10,
    replicates: int = 1000,
    generator: torch.Generator | None = None,
) -> Verification:
    """Measure a verification run by LFW's protocol (see `folds`), with intervals over people.

    `default_threshold` is the recogniser's own; it judges where there are too few pairs to choose
    one. `generator` draws the bootstrap's people (seed 0 when it is not given).
    """
    used, rule, count, standard_error = _judge(pairs, default_threshold, folds)
    right = _right(pairs, used)
    penalised, same = pairs.penalised_distances, pairs.same
    both = bool(same.any()) and not bool(same.all())
    curve = roc(distances=penalised, same=same) if both else None
    eer = equal_error_rate(curve) if curve else None
    measured = ~pairs.failed
    return Verification(
        pairs=len(same),
        same_pairs=int(same.sum()),
        different_pairs=int((~same).sum()),
        failed_pairs=int(pairs.failed.sum()),
        people=len(pairs.people_of_pairs.unique()),
        accuracy=float(right.double().mean()),
        balanced_accuracy=_balanced(right, same) if both else None,
        accuracy_standard_error=standard_error,
        accuracy_default_threshold=float(
            _right(pairs, torch.full_like(used, default_threshold)).double().mean()
        ),
        threshold=float(used.mean()),
        threshold_range=(float(used.min()), float(used.max())),
        default_threshold=default_threshold,
        folds=count,
        fold_rule=rule,
        auc=auc(distances=penalised, same=same) if both else None,
        eer=eer,
        one_minus_eer=None if eer is None else 1 - eer,
        tpr_at_fpr={
            str(rate): curve and tpr_at_fpr(curve, rate, int((~same).sum()))
            for rate in FALSE_POSITIVE_RATES
        },
        d_prime=d_prime(distances=pairs.distances[measured], same=same[measured]),
        intervals=_intervals(pairs, right, both, replicates, generator),
        histogram=histogram(distances=pairs.distances[measured], same=same[measured]),
    )


def _judge(
    pairs: Pairs, default_threshold: float, folds: int
) -> tuple[Float[Tensor, " pairs"], str, int, float | None]:
    """Return the threshold that judges each pair, the rule, the folds and the standard error."""
    cut = plan(
        same=pairs.same,
        failed=pairs.failed,
        pictures=pairs.pictures,
        people=pairs.people_of_pairs,
        given=pairs.folds,
        folds=folds,
    )
    used = torch.full((len(pairs.same),), default_threshold, dtype=torch.float64)
    for split in cut.splits:
        chosen = split.training & ~pairs.failed
        used[split.test] = best_threshold(
            distances=pairs.distances[chosen], same=pairs.same[chosen]
        )
    if len(cut.splits) != cut.folds or cut.folds < 2:
        return used, cut.rule, cut.folds, None
    right = _right(pairs, used).double()
    means = torch.stack([right[split.test].mean() for split in cut.splits])
    return used, cut.rule, cut.folds, float(means.std() / math.sqrt(cut.folds))


def _right(pairs: Pairs, thresholds: Float[Tensor, " pairs"]) -> Same:
    return ~pairs.failed & ((pairs.distances.double() < thresholds) == pairs.same)


def _balanced(right: Same, same: Same) -> float:
    return float((right[same].double().mean() + right[~same].double().mean()) / 2)


def _intervals(
    pairs: Pairs, right: Same, both: bool, replicates: int, generator: torch.Generator | None
) -> dict[str, Interval | None]:
    generator = generator or torch.Generator().manual_seed(0)
    statistics = {"accuracy": weighted_mean(right.double())}
    if both:
        statistics["auc"] = weighted_auc(distances=pairs.penalised_distances, same=pairs.same)
    found = {
        name: bootstrap_interval(
            statistic, pairs.people_of_pairs, replicates=replicates, generator=generator
        )
        for name, statistic in statistics.items()
    }
    return {name: found.get(name) for name in ("auc", "accuracy")}


# --- single measures -----------------------------------------------------------------------------


def accuracy(*, distances: Distances, same: Same, threshold: float) -> float:
    """Return the share of pairs that a threshold judges right: same if the distance is below it."""
    return float(((distances.double() < threshold) == same).double().mean())


def best_threshold(*, distances: Distances, same: Same) -> float:
    """Return the threshold that judges most of these pairs right.

    It lies in the middle between two neighbouring distances; of several such gaps that are equally
    good the widest is taken, of equally wide ones the first. It may also lie on the smallest
    distance (nobody is accepted) or just above the largest (everybody is).
    """
    values, index = np.unique(distances.double().numpy(), return_inverse=True)
    kind = same.numpy()
    same_at = np.bincount(index[kind], minlength=len(values))
    different_at = np.bincount(index[~kind], minlength=len(values))
    # Cut i accepts the i smallest values: right are the same pairs below it, the others above.
    right = np.concatenate([[0], np.cumsum(same_at - different_at)]) + different_at.sum()
    gaps = np.concatenate([[0.0], np.diff(values), [0.0]])
    thresholds = np.concatenate(
        [values[:1], (values[:-1] + values[1:]) / 2, [np.nextafter(values[-1], np.inf)]]
    )
    best = np.flatnonzero(right == right.max())
    return float(thresholds[best[np.argmax(gaps[best])]])


def roc(*, distances: Distances, same: Same) -> Roc:
    """Return the receiver operating characteristic; infinite distances are allowed.

    Raises `ValueError` when all pairs are of one kind.
    """
    _require_both(same)
    values, similarity = _similarity(distances)
    false_positive, true_positive, cut = roc_curve(same.numpy(), similarity)
    # roc_curve's first cut is infinite and accepts nothing; the others are minus the value's rank.
    thresholds = np.concatenate([[-np.inf], values[-cut[1:].astype(int)]])
    return Roc(*(torch.from_numpy(x).double() for x in (false_positive, true_positive, thresholds)))


def auc(*, distances: Distances, same: Same) -> float:
    """Return the area under the ROC: how often a same pair is closer than a different one.

    Ties count half; infinite distances are allowed. Raises `ValueError` for pairs of one kind.
    """
    _require_both(same)
    return float(roc_auc_score(same.numpy(), _similarity(distances)[1]))


def equal_error_rate(curve: Roc) -> float:
    """Return the rate at which false matches and false non-matches are equally frequent.

    Between two points of the ROC the straight line is taken.
    """
    rates = (curve.false_positive_rates, curve.true_positive_rates)
    false_positive, true_positive = (rate.numpy() for rate in rates)
    # On the ROC, FPR + TPR rises strictly, and it is 1 where FPR = 1 - TPR.
    return float(np.interp(1.0, false_positive + true_positive, false_positive))


def tpr_at_fpr(curve: Roc, rate: float, different_pairs: int) -> float | None:
    """Return the share of same pairs that is accepted when at most `rate` of the others are.

    It is read at a point that a threshold reaches, without interpolation. None when there are fewer
    than 1 / `rate` different pairs: then not one of them might be accepted, and the figure would
    be that of another rate.
    """
    if different_pairs * rate < 1 - 1e-9:
        return None
    reached = curve.false_positive_rates <= rate + 1e-12
    return float(curve.true_positive_rates[reached].max())


def threshold_for(different: Float[Tensor, " pairs"], fpr: float) -> float:
    """Return the largest threshold under which at most a share `fpr` of these distances lies.

    `different` has the distances of pairs of two people; a pair passes for one person when its
    distance is below the threshold. It is infinite when all may pass.
    """
    allowed = int(fpr * len(different) + 1e-9)
    return float(different.sort().values[allowed]) if allowed < len(different) else math.inf


def right_alarms(*, tpr: float, fpr: float, share: float) -> float | None:
    """Return how likely it is that an alarm is for somebody on the list, by Bayes' rule.

    `share` is that of listed people among all who pass, from 0 to 1. A list with nobody on it has
    no right alarms. None when there is no alarm at all.
    """
    right, false = tpr * share, fpr * (1 - share)
    return right / (right + false) if right + false else None


def d_prime(*, distances: Distances, same: Same) -> float | None:
    """Return how many (pooled) standard deviations the two kinds of pairs lie apart.

    (mean of different - mean of same) / sqrt((variance of different + variance of same) / 2); None
    with fewer than two pairs of a kind, or when neither kind varies.
    """
    kinds = distances[same].double(), distances[~same].double()
    if min(len(kind) for kind in kinds) < 2:
        return None
    spread = math.sqrt(sum(float(kind.var()) for kind in kinds) / 2)
    return float(kinds[1].mean() - kinds[0].mean()) / spread if spread else None


def histogram(
    *, distances: Distances, same: Same, edges: Sequence[float] | None = None
) -> Histogram:
    """Count pairs by distance, 40 bins from 0 to 2 unless told otherwise.

    Squared distances of unit embeddings are seldom above 2 (at a right angle); what lies outside
    the edges is counted in the outermost bins, so that the counts add up.
    """
    edges = np.linspace(0, 2, 41) if edges is None else np.asarray(edges, dtype=float)
    inside = distances.double().numpy().clip(edges[0], edges[-1])
    kind = same.numpy()
    counts = [np.histogram(inside[chosen], edges)[0].tolist() for chosen in (kind, ~kind)]
    return Histogram(tuple(edges.tolist()), tuple(counts[0]), tuple(counts[1]))


def _similarity(distances: Distances) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted values and, for each pair, minus its rank: finite, and larger is closer."""
    values, index = np.unique(distances.double().numpy(), return_inverse=True)
    return values, -index


def _require_both(same: Same) -> None:
    if bool(same.all()) or not bool(same.any()):
        raise ValueError("all pairs are of one kind; give pairs of the same and of two people")
