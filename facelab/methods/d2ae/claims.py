"""The claims of Liu et al. against the long runs: each verdict is computed from the record.

The record is that of `benchmarks/d2ae.py`. Of one training the intervals over people count, of
variants their differences seed by seed: a claim about variants holds wholly when every seed says
so, and two at the least. What the record lacks was never measured: its figure is None, and nothing
holds by it.

The record has many more pairs of two people than of one, so that who refuses all pairs has a high
accuracy. The paper's pairs are as many of each kind: what is compared with its accuracy is one less
the equal error rate, and the area under the curve, both of which are a half by chance.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from facelab.verdicts import Verdict, at, said

Record = Mapping[str, Any]
Figures = dict[str, float | None]

T, P, BOTH = "T", "P", "both"
FULL, NO_DISPELLING, NO_CLASSIFIER = "full", "no-dispelling", "no-classifier"
NO_AUGMENTATION, BASELINE = "no-augmentation", "baseline"
GAN, GAN_ALONE = "gan", "gan-alone"
RATE = "0.001"
EQUAL = "1 - EER"
BALANCED = ("attributes", "balanced_accuracy", "value")
WAYS = {"identity": "f_T", "attributes": "f_P"}  # what the record calls them, and what moves
# Marked before looking: what is the person's, and what a person has on one picture and not another.
OF_THE_PERSON = ("Male", "Young", "Big_Nose", "Big_Lips", "Pale_Skin", "Chubby", "Oval_Face")
OF_THE_PICTURE = ("Smiling", "Mouth_Slightly_Open", "Eyes_Closed", "Eyeglasses")

AGREE = 2  # seeds, before a claim about variants holds wholly
NEAR = 0.55  # of the area under the ROC curve: P's is near chance, 0.5, up to here
LEAKS = 5  # times chance, by the better of both probes: up to here nobody is named
SUPERVISED = 0.02  # of balanced accuracy: within it, SVMs reach a supervised network
NORMAL = 0.9  # of the share that normal samples of this size reach
PURE = 0.8  # of a face's neighbours: the same person's
CHANGED = 0.5  # of faces that did not have an attribute: they have it at full strength
SAME = 0.5  # of faces: still taken for the same person at full strength


def verdicts(record: Record | None) -> list[Verdict]:
    """Return the verdicts on all claims of this paper, in the order of the ledger."""
    variants = at(record, "ablations")
    return [
        of_branches(at(record, "table 1")),
        of_variant(variants, NO_DISPELLING, "d2ae.without_LH"),
        of_variant(variants, NO_CLASSIFIER, "d2ae.without_Ladv"),
        of_baseline(at(record, "table 2")),
        of_attributes(at(record, "table 1"), at(record, "supervised")),
        of_which_branch(at(record, "table 1", "P less T")),
        of_gaussian(at(record, "shape"), variants),
        of_clusters(at(record, "shape"), at(record, "picture")),
        of_editing(at(record, "swaps"), at(record, "edits"), at(record, "ways")),
        of_gan(at(record, "gan")),
    ]


# --- table 1 -------------------------------------------------------------------------------------


def of_branches(table: Record | None) -> Verdict:
    """T verifies, P does not, and P is better on attributes; both together are the best.

    Wholly: T's area under the curve is above P's, the intervals being apart; P's is `NEAR` chance
    and neither probe names more than `LEAKS` times chance; P's mean balanced accuracy on attributes
    is above T's, and that of both together no lower than P's. Partly: T's area is above P's, the
    intervals being apart.
    """
    rows = {name: at(table, "rows", name) for name in (T, P, BOTH)}
    figures: Figures = {}
    for name, row in rows.items():
        figures |= {
            f"{name}: {EQUAL}": at(row, "verification", "one_minus_eer"),
            f"{name}: TPR at {RATE} FPR": at(row, "verification", "tpr_at_fpr", RATE),
            f"{name}: AUC": at(row, "verification", "auc"),
            f"{name}: attributes, balanced": at(row, *BALANCED),
            f"{name}: named by a probe, times chance": leak(row),
        }
    apart = _apart(*(at(rows[name], "verification", "intervals", "auc") for name in (P, T)))
    area, named = at(rows[P], "verification", "auc"), leak(rows[P])
    hidden = None not in (area, named) and area <= NEAR and named <= LEAKS
    less, more, both = (figures[f"{name}: attributes, balanced"] for name in (T, P, BOTH))
    better = None not in (less, more, both) and less < more <= both
    return Verdict("d2ae.branches", figures, said(apart and hidden and better, apart))


def leak(row: Record | None) -> float | None:
    """Return how often the better probe names the person, in times of chance."""
    probes = [at(row, "leakage", kind, "accuracy", "value") for kind in ("linear", "perceptron")]
    chance = at(row, "leakage", "chance")
    return None if chance is None or None in probes else max(probes) / chance


def of_variant(variants: Record | None, name: str, claim: str) -> Verdict:
    """Without a loss, P verifies better and is worse on attributes, and on most of them.

    Wholly: with every seed 1 - EER and TPR are higher, the mean over attributes is lower, and more
    than half of the attributes are worse. Partly: 1 - EER is higher in the mean, or attributes are
    worse in the mean.
    """
    own, full = at(variants, name), at(variants, FULL)
    reads = {
        EQUAL: ("verification", "one_minus_eer"),
        f"TPR at {RATE} FPR": ("verification", "tpr_at_fpr", RATE),
        "attributes, balanced": BALANCED,
    }
    equal, rate, looks = (_differences(own, full, "rows", P, *way) for way in reads.values())
    worse = worse_attributes(own, full)
    wholly = all(_always(values) for values in (equal, rate, [-value for value in looks]))
    most = len(worse) >= AGREE and min(worse) > 1 / 2
    partly = (_mean(equal) or 0) > 0 or (_mean(looks) or 0) < 0
    figures = {
        f"P's {title}, {name} less {FULL}": _mean(values)
        for title, values in zip(reads, (equal, rate, looks), strict=True)
    }
    figures[f"share of attributes that are worse, {name}"] = _mean(worse)
    return Verdict(claim, figures, said(wholly and most, partly))


def worse_attributes(own: Record | None, full: Record | None) -> list[float]:
    """Return the share of attributes that P reads worse than the full method, seed by seed."""
    shares = []
    for seed in (seed for seed in own or {} if seed in (full or {})):
        mine, theirs = (
            at(rows, seed, "rows", P, "attributes", "attributes") or {} for rows in (own, full)
        )
        gaps = [
            _less(*(at(side, name, "balanced_accuracy", "value") for side in (mine, theirs)))
            for name in theirs
        ]
        if not gaps or None in gaps:
            return []
        shares.append(sum(gap < 0 for gap in gaps) / len(gaps))
    return shares


# --- tables 2 and 3 ------------------------------------------------------------------------------


def of_baseline(table: Record | None) -> Verdict:
    """The autoencoder's T against the encoder with L_I alone, on few people and on more.

    Wholly: on few people 1 - EER and TPR are higher with every seed, and on more people the gain in
    1 - EER is smaller. Partly: on few people 1 - EER is higher in the mean.
    """
    reads = {EQUAL: ("one_minus_eer",), f"TPR at {RATE} FPR": ("tpr_at_fpr", RATE)}
    sizes = sorted(table, key=int) if table else ["few", "more"]
    figures: Figures = {}
    gains: dict[tuple[str, str], list[float]] = {}
    for size in sizes:
        rows = [at(table, size, name) for name in (FULL, BASELINE)]
        for title, way in reads.items():
            for name, seeds in zip((FULL, BASELINE), rows, strict=True):
                found = [at(seeds, seed, *way) for seed in seeds or {}]
                figures[f"{size} people, {title}, {name}"] = _mean_of(found)
            gains[size, title] = _differences(*rows, *way)
    few, more = sizes[0], sizes[-1]
    always = all(_always(gains[few, title]) for title in reads)
    first, last = (_mean(gains[size, EQUAL]) for size in (few, more))
    smaller = None not in (first, last) and last < first
    return Verdict("d2ae.versus_baseline", figures, said(always and smaller, (first or 0) > 0))


def of_attributes(table: Record | None, supervised: Record | None) -> Verdict:
    """Linear SVMs on both codes against a network that was trained on attributes.

    Wholly: their mean balanced accuracy on the same attributes is no more than `SUPERVISED` below.
    Partly: no more than three times that.
    """
    own, other = (at(supervised, name) for name in ("SVM", "network"))
    figures = {
        "SVMs on both codes": own,
        "supervised network": other,
        "accuracy of both codes": at(table, "rows", BOTH, "attributes", "accuracy", "value"),
        "majority": at(table, "rows", BOTH, "attributes", "majority"),
    }
    gap = None if None in (own, other) else other - own
    within = [gap is not None and gap <= times * SUPERVISED for times in (1, 3)]
    return Verdict("d2ae.attributes", figures, said(*within))


# --- figures -------------------------------------------------------------------------------------


def of_which_branch(compared: Record | None) -> Verdict:
    """P is better on more attributes than T is, and the person's go to T.

    Wholly: P is better on more than half, on each of `OF_THE_PICTURE`, and T on each of
    `OF_THE_PERSON`; one that could not be measured is left out. Partly: P is better on more than
    half, or the mean over `OF_THE_PICTURE` is above that over `OF_THE_PERSON`.
    """
    counts = [at(compared, name) for name in ("better", "worse", "equal")]
    sides = {
        name: [at(compared, "attributes", one, "value") for one in names]
        for name, names in (("picture", OF_THE_PICTURE), ("person", OF_THE_PERSON))
    }
    known = {name: [v for v in values if v is not None] for name, values in sides.items()}
    means = {name: _mean(values) for name, values in known.items()}
    figures = {"P better on": counts[0], "T better on": counts[1]} | {
        f"P less T, attributes of the {name}": value for name, value in means.items()
    }
    most = None not in counts and counts[0] > sum(counts) / 2
    parted = all(known.values()) and min(known["picture"]) > 0 > max(known["person"])
    gap = None not in means.values() and means["picture"] > means["person"]
    return Verdict("d2ae.which_branch", figures, said(most and parted, most or gap))


def of_gaussian(shape: Record | None, variants: Record | None) -> Verdict:
    """The share of channels with an adjusted R^2 above 0.99, with and without augmentation.

    Wholly: it is at least `NORMAL` of what normal samples of this size reach, in both branches, and
    lower without augmentation with every seed. Partly: the first, or in both branches it is lower
    without augmentation in the mean.
    """
    figures: Figures = {}
    near, gains = [], []
    for branch in (T, P):
        own = at(shape, branch, "gaussianity")
        above, most = (at(own, name) for name in ("above", "reference_above"))
        near.append(None not in (above, most) and above >= NORMAL * most)
        rows = (at(variants, name) for name in (FULL, NO_AUGMENTATION))
        gains.append(_differences(*rows, "shape", branch, "gaussianity", "above"))
        figures |= {
            f"{branch}: above 0.99": above,
            f"{branch}: normal samples": most,
            f"{branch}: more with augmentation": _mean(gains[-1]),
        }
    lower = all(_always(values) for values in gains)
    partly = all(near) or all((_mean(values) or 0) > 0 for values in gains)
    return Verdict("d2ae.gaussian", figures, said(all(near) and lower, partly))


def of_clusters(shape: Record | None, picture: Record | None) -> Verdict:
    """Neighbours of a face by T are the same person, by P they are not.

    Wholly: T's purity is `PURE` or more and P's no more than twice chance. Partly: T's is above
    P's, the intervals being apart. Codes are judged; what is measured in their picture is told.
    """
    own = {name: at(shape, name, "neighbours") for name in (T, P)}
    figures: Figures = {f"{name}: purity": at(row, "purity") for name, row in own.items()}
    figures["purity by chance"] = chance = at(own[P], "chance")
    figures |= {f"{name}: silhouette": at(row, "silhouette") for name, row in own.items()}
    for name in own:
        figures[f"{name}: purity in the picture"] = at(picture, name, "neighbours", "purity")
    t, p = figures["T: purity"], figures["P: purity"]
    wholly = None not in (t, p, chance) and t >= PURE and p <= 2 * chance
    apart = _apart(*(at(own[name], "purity_interval") for name in (P, T)))
    return Verdict("d2ae.clusters", figures, said(wholly, apart))


def of_editing(swaps: Record | None, edits: Record | None, ways: Record | None) -> Verdict:
    """Edits of P change the attribute and keep the person; another f_T changes it alone.

    Edits are those along the SVM's normal; what its pattern does is said and decides nothing.

    Wholly: `edited`, a swap is nearer to I_id than the rebuilt I_attr is and its pose nearer to
    I_attr's than I_id's, both with intervals apart, and `in_order`. Partly: `edited`, or the swap
    is nearer to I_id.
    """
    rows = at(swaps, "rows")
    figures: Figures = {}
    for name in judged(edits):
        full = at(edits, f"{name} by P", "strengths", "1.0")
        figures[f"{name}: change rate"] = change_rate(edits, name)
        for title in ("same person", "identity distance", "landmarks"):
            figures[f"{name}: {title}"] = at(full, title)
        for code in (P, T):
            way = f"{code}, pattern"
            figures[f"{name}: change rate by {way}"] = change_rate(edits, name, way)
    for title, others in {"identity": "rebuilt I_attr", "pose": "copy I_id"}.items():
        for name in ("swap", others):
            figures[f"{title}, {name}"] = at(rows, name, title, "mean")
    for branch, code in WAYS.items():
        for title in ("identity", "landmarks"):
            figures[f"{title} moved by {code}"] = _end(ways, branch, title)
    nearer = _apart(*(at(rows, n, "identity", "interval") for n in ("rebuilt I_attr", "swap")))
    posed = _apart(*(at(rows, n, "pose", "interval") for n in ("swap", "copy I_id")))
    wholly = edited(edits) and nearer and posed and in_order(ways)
    return Verdict("d2ae.editing", figures, said(wholly, edited(edits) or nearer))


def judged(edits: Record | None) -> list[str]:
    """Return those of `OF_THE_PICTURE` that were edited by P and judged."""
    return [name for name in OF_THE_PICTURE if at(edits, f"{name} by P") is not None]


def change_rate(edits: Record | None, name: str, way: str = P) -> float | None:
    """Return how many of the faces without an attribute have it at full strength.

    Faces that lose it are taken off. None where all faces have it unchanged, or none was edited.
    """
    own = at(edits, f"{name} by {way}")
    before, after = at(own, "has it, unchanged"), at(own, "strengths", "1.0", "has it")
    return None if None in (before, after) or before == 1 else (after - before) / (1 - before)


def edited(edits: Record | None) -> bool:
    """Whether at full strength P changes each attribute that is judged and keeps the person.

    Each: `CHANGED` or more of the faces that did not have it have it, and `SAME` or more of all
    faces are taken for the same person.
    """
    names = judged(edits)
    same = [at(edits, f"{name} by P", "strengths", "1.0", "same person") for name in names]
    return (
        bool(names)
        and all((change_rate(edits, name) or 0) >= CHANGED for name in names)
        and all((share or 0) >= SAME for share in same)
    )


def in_order(ways: Record | None) -> bool:
    """Whether the way of T ends farther off in identity than that of P, and nearer in landmarks."""
    titles = ("identity", "landmarks")
    identity, landmarks = (_less(*(_end(ways, code, title) for code in WAYS)) for title in titles)
    return None not in (identity, landmarks) and identity > 0 > landmarks


def _end(ways: Record | None, branch: str, title: str) -> float | None:
    steps = at(ways, branch, title)
    return steps[-1] if steps else None


def of_gan(rows: Record | None) -> Verdict:
    """The kernel distance of rebuilt faces with a critic in place of L_X, and without one.

    Wholly: in place of L_X it is lower, the intervals being apart. Partly: in place of L_X, or
    beside it, it is lower.
    """
    names = (FULL, GAN, GAN_ALONE)
    plain, beside, alone = values = [at(rows, name, "distance", "value") for name in names]
    figures = {f"kernel distance, {n}": v for n, v in zip(names, values, strict=True)}
    apart = _apart(*(at(rows, name, "distance", "interval") for name in (GAN_ALONE, FULL)))
    lower = any((_less(plain, other) or 0) > 0 for other in (beside, alone))
    return Verdict("d2ae.gan", figures, said(apart, lower))


# --- what may be missing -------------------------------------------------------------------------


def _differences(own: Record | None, other: Record | None, *way: str) -> list[float]:
    """One figure less the other, seed by seed; empty where a seed that both have lacks it."""
    seeds = [seed for seed in own or {} if seed in (other or {})]
    found = [_less(*(at(side, seed, *way) for side in (own, other))) for seed in seeds]
    return [] if None in found else found


def _less(one: float | None, other: float | None) -> float | None:
    return None if None in (one, other) else one - other


def _apart(lower: Record | None, higher: Record | None) -> bool:
    """Whether the first interval ends before the second begins."""
    high, low = at(lower, "high"), at(higher, "low")
    return None not in (high, low) and high < low


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _always(values: Sequence[float]) -> bool:
    return len(values) >= AGREE and min(values) > 0


def _mean_of(values: Sequence[float | None]) -> float | None:
    return None if None in values else _mean(values)
