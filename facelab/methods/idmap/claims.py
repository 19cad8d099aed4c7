"""The claims of Nitzan et al. against the long runs: each verdict is computed from the record.

The record is that of `benchmarks/idmap.py`. Of rows of a table the intervals count: two rows differ
where they are apart. Of two variants their differences count, seed by seed: a claim holds wholly
when every seed says so, and two at the least. What the record lacks was never measured: its figure
is None, and nothing holds by it.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from facelab.verdicts import Verdict, at, said

Record = Mapping[str, Any]
Figures = dict[str, float | None]

GENERATED, PHOTOS = "generated", "photo-like"
KINDS = (GENERATED, PHOTOS)
MAP, THEIRS, STRANGERS, LORD, SEARCH = (
    "map", "copy I_id", "copy I_attr", "LORD", "optimisation",
)  # fmt: skip
ANOTHER = "map, of another's I_id"
IDENTITY, EXPRESSION, POSE = "identity", "expression", "pose"
RMSE, PSNR = "RMSE", "PSNR"
FAR = "mahalanobis"
REALISM = ("kernel distance", "frechet distance")  # the latter of many pictures
FULL, NO_CRITIC, NO_LANDMARKS = "full", "no-critic", "no-landmarks"
WAYS = tuple((space, factor) for space in ("z", "w") for factor in ("identity", "attributes"))
READ = {"identity": ("identity",), "attributes": ("pose", "landmarks")}
# Pose is no measure of where a way of attributes goes: its two ends may look the same way.
GOES = {"identity": "identity", "attributes": "landmarks"}

AGREE = 2  # seeds, before a claim about variants holds wholly
# Of the way from a stranger's cosine to one's own: half of the paper's 0.60, where a stranger has
# about 0. By another judge strangers' cosines are not 0, so the way is what can be compared.
WIDE = 0.3
HELD = 0.5  # of two random faces' distance: below it a factor counts as held
ORDER = 0.8  # rank correlation of steps: from here on a way goes where it should
# Correlation with the driver's yaw: without motion of its own any picture is steady.
FOLLOWS = 0.5
KNOWN = 0.5  # of a driver's own frames: below it there was nobody to hide
HIDDEN = 0.1  # of the frames: at most one in ten may still be verified as the driver
RULE = "mean"  # of the verification: a person's pictures together


def verdicts(record: Record | None) -> list[Verdict]:
    """Return the verdicts on all claims of this paper, in the order of the ledger.

    The record, and parts of it, may be missing. No claim of the paper is about speed.
    """
    differences, rows = at(record, "differences"), at(record, "variants")
    return [
        of_table1(record),
        of_table2(record),
        of_landmark_loss(differences),
        of_latent_discriminator(differences, rows),
        of_interpolation(at(record, "paths")),
        of_sequences(at(record, "sequences"), at(record, "de-identification")),
    ]


# --- tables --------------------------------------------------------------------------------------


def of_table1(record: Record | None) -> Verdict:
    """Identity against a stranger's, pose and expression against those of another picture, LORD.

    Wholly: on generated and on photo-like faces the map's identity is `WIDE` of the way or more
    from I_attr's to I_id's own, its pose and expression are better than I_id's, all intervals being
    apart; and on generated faces LORD, as in the paper, is worse in identity, expression, pose and
    distance. Partly: on generated faces the first intervals of identity, and of pose or expression,
    are apart.
    """
    figures: Figures = {}
    for kind in KINDS:
        rows = at(record, kind, "rows")
        figures |= _of_rows(kind, rows)
        figures[f"{kind}, share of the way to I_id's identity"] = way(rows)
        figures[f"{kind}, identity, {ANOTHER}"] = at(rows, ANOTHER, IDENTITY, "mean")
    tables = [at(record, kind, "rows") for kind in KINDS]
    keeps = all(wide(rows) and kept(rows, EXPRESSION) and kept(rows, POSE) for rows in tables)
    first = tables[0]
    some = recognised(first) and (kept(first, EXPRESSION) or kept(first, POSE))
    return Verdict("idmap.table1", figures, said(keeps and beats_lord(first), some))


def _of_rows(kind: str, rows: Record | None) -> Figures:
    figures: Figures = {}
    for name in (MAP, THEIRS, STRANGERS, LORD):
        if name == LORD and at(rows, LORD) is None and kind != GENERATED:
            continue
        for title in (IDENTITY, EXPRESSION, POSE):
            figures[f"{kind}, {title}, {name}"] = at(rows, name, title, "mean")
        figures[f"{kind}, distance, {name}"] = at(rows, name, "distance", "value")
    return figures


def way(rows: Record | None) -> float | None:
    """Return how far the map's identity is on the way from I_attr's person to I_id's."""
    names = (MAP, STRANGERS, THEIRS)
    found, stranger, own = (at(rows, name, IDENTITY, "mean") for name in names)
    if None in (found, stranger, own) or own <= stranger:
        return None
    return (found - stranger) / (own - stranger)


def recognised(rows: Record | None) -> bool:
    """Whether the map's identity is above a stranger's, the intervals being apart."""
    return _below(at(rows, STRANGERS, IDENTITY), at(rows, MAP, IDENTITY))


def wide(rows: Record | None) -> bool:
    """Whether it is, by `WIDE` of the way or more."""
    return recognised(rows) and (way(rows) or 0.0) >= WIDE


def kept(rows: Record | None, title: str) -> bool:
    """Whether the map's error is below that of I_id as it is, the intervals being apart."""
    return _below(at(rows, MAP, title), at(rows, THEIRS, title))


def beats_lord(rows: Record | None) -> bool:
    """Whether LORD is worse than the map in every column of table 1, by the means."""
    lower = [at(rows, LORD, IDENTITY, "mean"), at(rows, MAP, IDENTITY, "mean")]
    pairs = [lower] + [
        [at(rows, name, *title) for name in (MAP, LORD)]
        for title in ((EXPRESSION, "mean"), (POSE, "mean"), ("distance", "value"))
    ]
    return all(None not in pair and pair[0] < pair[1] for pair in pairs)


def of_table2(record: Record | None) -> Verdict:
    """The map against the search of single vectors, on one face that is rebuilt.

    The paper's map is worse than an inversion, in pixels and in identity. Wholly: on both kinds of
    faces RMSE and PSNR are worse than the search's and the identity too, the intervals being apart.
    Partly: RMSE or PSNR is, on one kind.
    """
    figures: Figures = {}
    checks, pixels = [], []
    for kind in KINDS:
        rows = at(record, "reconstruction", kind, "rows")
        for title in (RMSE, PSNR, IDENTITY, EXPRESSION, POSE):
            for name in (MAP, SEARCH):
                figures[f"{kind}, {title}, {name}"] = at(rows, name, title, "mean")
        one, other = (lambda title, n=n, r=rows: at(r, n, title) for n in (MAP, SEARCH))
        found = [_below(other(RMSE), one(RMSE)), _below(one(PSNR), other(PSNR))]
        pixels += found
        checks += [*found, _below(one(IDENTITY), other(IDENTITY))]
    return Verdict("idmap.table2", figures, said(all(checks), any(pixels)))


# --- variants ------------------------------------------------------------------------------------


def of_landmark_loss(differences: Record | None) -> Verdict:
    """Without L_lnd, less the full method: identity, expression and pose of table 3.

    Wholly: with every seed identity is higher, and expression and pose are worse. Partly:
    expression and pose are worse in the mean.
    """
    found = {
        title: by_seed(differences, NO_LANDMARKS, title) for title in (IDENTITY, EXPRESSION, POSE)
    }
    wholly = all(_always(values) for values in found.values())
    partly = all((_mean(found[title]) or 0.0) > 0 for title in (EXPRESSION, POSE))
    figures = {f"{title}, {NO_LANDMARKS} less {FULL}": _mean(v) for title, v in found.items()}
    return Verdict("idmap.landmark_loss", figures, said(wholly, partly))


def of_latent_discriminator(differences: Record | None, rows: Record | None) -> Verdict:
    """Without D_W, less the full method: where its vectors lie, and the distance of its pictures.

    True vectors have a mean squared Mahalanobis distance of 1 over their length, and vectors may be
    too far out or too near to the mean, so logarithms' absolute values are compared. Wholly: both
    numbers are worse with every seed. Partly: one of them is with every seed, or both are in the
    mean.
    """
    off = [
        _off(_distance_out(rows, NO_CRITIC, seed)) - _off(_distance_out(rows, FULL, seed))
        for seed in _seeds(rows)
    ]
    off = [] if any(math.isnan(value) for value in off) else off
    name = _realism(differences)
    worse = by_seed(differences, NO_CRITIC, name)
    figures: Figures = {
        f"{FAR}, {variant}": _mean_of([_distance_out(rows, variant, s) for s in _seeds(rows)])
        for variant in (FULL, NO_CRITIC)
    }
    figures |= {
        f"|log {FAR}|, {NO_CRITIC} less {FULL}": _mean(off),
        f"{name}, {NO_CRITIC} less {FULL}": _mean(worse),
    }
    found = (off, worse)
    one = any(_always(values) for values in found)
    both = all((_mean(values) or 0.0) > 0 for values in found)
    wholly = all(_always(values) for values in found)
    return Verdict("idmap.latent_discriminator", figures, said(wholly, one or both))


def by_seed(differences: Record | None, variant: str, title: str) -> list[float]:
    """Return a variant's differences from the full method; empty where a seed has none."""
    seeds = (at(differences, f"{variant} less {FULL}") or {}).values()
    found = [at(row, title) for row in seeds]
    return [] if None in found else found


def _realism(differences: Record | None) -> str:
    """The name of the distance that the differences have."""
    rows = (at(differences, f"{NO_CRITIC} less {FULL}") or {}).values()
    return next((name for name in REALISM if any(name in row for row in rows)), REALISM[0])


def _seeds(rows: Record | None) -> list[str]:
    """The seeds that both variants were trained with."""
    both = [at(rows, name, "seeds") or {} for name in (FULL, NO_CRITIC)]
    return [seed for seed in both[0] if seed in both[1]]


def _distance_out(rows: Record | None, variant: str, seed: str) -> float | None:
    return at(rows, variant, "seeds", seed, "latent", FAR)


def _off(value: float | None) -> float:
    return abs(math.log(value)) if value else math.nan


def _always(values: Sequence[float]) -> bool:
    return len(values) >= AGREE and min(values) > 0


# --- ways ----------------------------------------------------------------------------------------


def of_interpolation(paths: Record | None) -> Verdict:
    """Ways of identity and of attributes, in Z and in W: what is held, and what is moved.

    A factor is held where its largest drift is less than half of two random faces' distance, and
    moved where the steps' order is `ORDER` or more, by the ends of the intervals. Wholly: on all
    four kinds of ways both. Partly: on one of them both, or on all of them by the mean drift and
    with an order above 0.
    """
    figures: Figures = {}
    whole, mean = [], []
    for space, factor in WAYS:
        way_of = at(paths, space, factor)
        other = "attributes" if factor == "identity" else "identity"
        order = at(way_of, "moved", GOES[factor], "order")
        for read in READ[other]:
            share = at(way_of, "held", read, "largest share", "value")
            figures[f"{read} in {space}, largest drift while {factor} moves"] = share
        figures[f"order of {GOES[factor]} in {space}"] = at(order, "value")
        drifts = [at(way_of, "held", read) for read in READ[other]]
        held = [at(drift, "largest share", "interval", "high") for drift in drifts]
        low = at(order, "interval", "low")
        whole.append(_under(held, HELD) and low is not None and low >= ORDER)
        means = [at(drift, "mean share", "value") for drift in drifts]
        mean.append(_under(means, HELD) and (at(order, "value") or 0.0) > 0)
    return Verdict("idmap.interpolation", figures, said(all(whole), any(whole) or all(mean)))


def _under(values: Sequence[float | None], most: float) -> bool:
    return None not in values and max(values) < most


def of_sequences(sequences: Record | None, hidden: Record | None) -> Verdict:
    """Sequences with another's identity: is it steady, does it follow, and who is still known?

    Wholly: the identity's variance is below that of the driver's own frames, the head turns with
    the driver's, and at most `HIDDEN` of the frames are verified as the driver, where the driver's
    own are; by the ends of the intervals. Partly: the head turns with the driver's in the mean, and
    one of the other two holds.
    """
    variance = at(sequences, "all", "against the driver", "variance")
    turns = {name: at(sequences, "all", "motion", name) for name in ("yaw", "mouth")}
    rates = at(hidden, RULE, "rates")
    high, low = at(variance, "interval", "high"), at(turns["yaw"], "interval", "low")
    steady = high is not None and high < 1
    follows = low is not None and low >= FOLLOWS
    known = at(rates, "verified before", "value")
    after = at(rates, "verified after", "interval", "high")
    gone = None not in (known, after) and known >= KNOWN and after <= HIDDEN
    names = ("verified before", "verified after", "stranger verified", "donor verified after",
             "rank-1 before", "rank-1 after")  # fmt: skip
    figures: Figures = {"identity variance, share of the driver's": at(variance, "value")}
    figures |= {f"correlation of {name}": at(row, "value") for name, row in turns.items()}
    figures |= {name: at(rates, name, "value") for name in names}
    moves = (at(turns["yaw"], "value") or 0.0) >= FOLLOWS
    wholly = steady and follows and gone
    return Verdict("idmap.sequences", figures, said(wholly, moves and (steady or gone)))


# --- what may be missing -------------------------------------------------------------------------


def _below(one: Record | None, other: Record | None) -> bool:
    """Whether one column's interval ends before the other's begins.

    A column whose values are all the same, as those of a copy, has an interval of no width.
    """
    high, low = at(one, "interval", "high"), at(other, "interval", "low")
    return None not in (high, low) and high < low


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _mean_of(values: Sequence[float | None]) -> float | None:
    return None if None in values else _mean(values)
