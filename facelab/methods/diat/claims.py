"""The claims of Li et al. against the long runs: each verdict is computed from the records.

Records are those of `benchmarks/diat.py` and `diat_speed.py`. Of two variants their differences
count, seed by seed: a claim holds wholly when every seed says so, and two at the least. Shipped
transfers are judged on faces of people that no training has, by intervals over people. What a
record lacks was never reached: its figure is None, and nothing holds by it.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from facelab.methods.diat.tasks import TASKS
from facelab.verdicts import Verdict, at, said

Record = Mapping[str, Any]
Rows = Mapping[str, Record]
Figures = dict[str, float | None]

ACCEPTED, BEFORE = "accepted", "accepted before"
IDENTITY, STRANGERS = "identity distance", "share of a stranger's distance"
OUTSIDE, ARTEFACTS, COLOUR = "change outside", "artefact energy", "colour error"
REALISM, STEPS = "kernel distance", "steps to the same share"
SAME_SHARE = "identity at the same share"
ENHANCED = (OUTSIDE, "PSNR outside", "SSIM outside", ACCEPTED, REALISM)

AGREE = 2  # seeds, before a claim about variants holds wholly
FAR = 0.5  # of a stranger's distance: below it somebody counts as kept
SEEN = 0.2  # of the faces accepted: from here on a comparison is one of transfers
LOST = 0.02  # of the faces may lose the attribute to the enhancement
ROUNDING = 1e-9  # 0.48 less 0.5 is a bit less than -0.02
SOONER = 0.5  # of the steps; the paper's is a third
WITHIN, FASTER = 3.0, 100.0  # the paper's ratio of times, but for a factor; and "much faster"


def verdicts(ablation: Record | None, speed: Record | None) -> list[Verdict]:
    """Return the verdicts on all claims of this paper, in the order of the ledger.

    Records, and rows of them, may be missing.
    """
    shipped, variants = (at(ablation, part) or {} for part in ("shipped", "variants"))
    return [
        of_tasks("diat.local", shipped, local=True),
        of_tasks("diat.global", shipped, local=False),
        of_speed(speed),
        of_identity_loss(variants, at(ablation, SAME_SHARE)),
        of_smoothness(variants),
        of_adaptive(variants, at(ablation, STEPS)),
        of_enhancement(variants),
        of_generalises(shipped),
    ]


# --- shipped transfers ---------------------------------------------------------------------------


def of_tasks(claim: str, shipped: Rows, *, local: bool) -> Verdict:
    """The local tasks, or the global ones.

    Beside a global one's identity distance stands that of a re-rendering: E without T.
    Wholly: all of the paper's are shipped, and each one is transferred. Partly: some are.
    """
    rows = {task.title: shipped.get(task.name) for task in TASKS.values() if task.local == local}
    figures: Figures = {}
    for title, row in rows.items():
        figures |= _of_transfer(title, row, (OUTSIDE,) if local else (IDENTITY,))
        if row is not None and not local:
            again = at(row, "re-rendering", IDENTITY, "value")
            figures[f"{title}, {IDENTITY} of a re-rendering"] = again
    done = [transferred(row) for row in rows.values()]
    return Verdict(claim, figures, said(all(done), any(done)))


def of_generalises(shipped: Rows) -> Verdict:
    """The shipped transfers on faces of the pre-trained generator, which no training has.

    Wholly: all of them are transferred there, a local and a global task at least, which is what the
    paper shows. Partly: some are. A shipped task of which no such faces were found is not.
    """
    tasks = [task for task in TASKS.values() if task.name in shipped]
    rows = {task.title: at(shipped[task.name], "generated faces") for task in tasks}
    figures: Figures = {} if rows else {ACCEPTED: None}
    for title, row in rows.items():
        figures |= _of_transfer(title, row)
    done = [transferred(row) for row in rows.values()]
    both = len({task.local for task in tasks}) == 2
    return Verdict("diat.generalises", figures, said(both and all(done), any(done)))


def transferred(row: Record | None) -> bool:
    """Whether the attribute came and the person stayed.

    The interval of the share accepted lies above that of the inputs as they are, and the identity
    distance is less than half of a stranger's.
    """
    low, high = at(row, ACCEPTED, "interval", "low"), at(row, BEFORE, "interval", "high")
    share = at(row, STRANGERS, "value")
    return None not in (low, high, share) and low > high and share < FAR


def _of_transfer(title: str, row: Record | None, more: Sequence[str] = ()) -> Figures:
    if row is None:
        return {f"{title}, {ACCEPTED}": None}
    names = {ACCEPTED: ACCEPTED, "of the inputs": BEFORE, STRANGERS: STRANGERS}
    names |= {name: name for name in more}
    return {f"{title}, {told}": at(row, name, "value") for told, name in names.items()}


# --- variants ------------------------------------------------------------------------------------


def of_identity_loss(variants: Rows, same: Record | None) -> Verdict:
    """DIAT1 against the same with an identity loss: DIAT2, and DIAT-A0.

    One that changes nothing keeps everybody, so people are compared where two curves have the same
    accepted share, the highest that both reach, and only if that is a fifth or more. Wholly: with
    every seed DIAT1's faces are farther from the inputs than those of both. Partly: than those of
    one, in the mean.
    """
    always, sometimes, closer = [], [], {}
    for keeper in ("diat-2", "diat-a0"):
        runs = list((at(same, f"{keeper} less diat-1") or {}).values())
        less = [at(run, "less") for run in runs if (at(run, ACCEPTED) or 0.0) >= SEEN]
        whole = bool(less) and len(less) == len(runs) and None not in less
        always.append(whole and max(less) < 0 and len(less) >= AGREE)
        sometimes.append(whole and statistics.fmean(less) < 0)
        closer[f"{IDENTITY} at the same share, {keeper} less diat-1"] = (
            statistics.fmean(less) if whole else None
        )
    names = ("diat-1", "diat-2", "diat-a0")
    figures = closer | _means(variants, names, (IDENTITY, STRANGERS, ACCEPTED))
    return Verdict("diat.identity_loss", figures, said(all(always), any(sometimes)))


def of_smoothness(variants: Rows) -> Verdict:
    """DIAT2 against DIAT3, by artefacts and by the kernel distance to faces with the attribute.

    Energy below zero is blur and counts as no artefact. Wholly: both numbers are lower in DIAT3
    with every seed. Partly: one of them with every seed, or both in the mean.
    """
    found = [
        differences(variants, "diat-2", "diat-3", ARTEFACTS, least=0.0),
        differences(variants, "diat-2", "diat-3", REALISM),
    ]
    always = [min(less, default=0) > 0 for less in found]
    mean = [bool(less) and statistics.fmean(less) > 0 for less in found]
    wholly = all(always) and min(map(len, found)) >= AGREE
    figures = _means(variants, ("diat-2", "diat-3"), (ARTEFACTS, REALISM))
    return Verdict("diat.smoothness", figures, said(wholly, any(always) or all(mean)))


def of_adaptive(variants: Rows, steps: Record | None) -> Verdict:
    """DIAT-A0 against DIAT3: colours, and steps to the highest share that both reach.

    Both are T alone: the two games differ there, and E of a local task gives the input's colours
    back whatever T did. Wholly: with every seed the colours are nearer to the input's, and half the
    steps are enough. Partly: one of the two is so with every seed, fewer steps being enough.
    """
    nearer = min(differences(variants, "diat-3", "diat-a0", COLOUR), default=0) > 0
    runs = (at(steps, "seeds") or {}).values()
    found = [at(run, "both", "ratio of steps") for run in runs]
    most = math.inf if None in found else max(found, default=math.inf)
    figures = _means(variants, ("diat-3", "diat-a0", "diat", "diat-a"), (COLOUR,))
    figures["steps of diat-a0 / of diat-3"] = None if None in found else _mean(found)
    wholly = nearer and most <= SOONER and len(found) >= AGREE
    return Verdict("diat.adaptive", figures, said(wholly, nearer or most < 1))


def of_enhancement(variants: Rows) -> Verdict:
    """DIAT-A against DIAT-A0: the same T, with E and without.

    Wholly: with every seed less changes outside, at most two faces in a hundred lose the attribute,
    and the kernel distance is not higher. Partly: the first two hold in the mean.
    """
    calmer = differences(variants, "diat-a0", "diat-a", OUTSIDE)
    kept = differences(variants, "diat-a", "diat-a0", ACCEPTED)
    nearer = differences(variants, "diat-a0", "diat-a", REALISM)
    figures = _means(variants, ("diat-a0", "diat-a"), ENHANCED)
    if not (calmer and kept):
        return Verdict("diat.enhancement", figures, said(False))
    least = -LOST - ROUNDING
    always = (
        len(calmer) >= AGREE
        and min(calmer) > 0
        and min(kept) >= least
        and min(nearer, default=-1) >= 0
    )
    mean = statistics.fmean(calmer) > 0 and statistics.fmean(kept) >= least
    return Verdict("diat.enhancement", figures, said(always, mean))


def differences(
    variants: Rows, one: str, other: str, title: str, *, least: float = -math.inf
) -> list[float]:
    """Return one variant's number less another's of the same seed, for each seed.

    Numbers below `least` count as that. Empty where a variant or a number is missing.
    """
    rows = [at(variants, name, "seeds") or {} for name in (one, other)]
    found = [[at(row, seed, title, "value") for row in rows] for seed in rows[0] if seed in rows[1]]
    if any(None in pair for pair in found):
        return []
    return [max(least, a) - max(least, b) for a, b in found]


def _means(variants: Rows, names: Sequence[str], titles: Sequence[str]) -> Figures:
    """Return the means over seeds by what they mean."""
    return {
        f"{title}, {name}": at(variants, name, "over seeds", title, "mean")
        for title in titles
        for name in names
    }


# --- speed ---------------------------------------------------------------------------------------


def of_speed(record: Record | None) -> Verdict:
    """The time of a picture that is optimised over that of one pass, at the paper's size.

    The pass is the slowest, T and a kind of E, in float32; the baseline looks through a face
    network, as CNIA does. Wholly: on each device the ratio is the paper's within a factor of three,
    and the steps that a picture takes were counted. Partly: one pass is at least a hundred times as
    fast on each. With steps that are assumed the ratio is as large as one assumes.
    """
    ratios = _ratios(record or {})
    paper, steps = at(record, "paper", "ratio"), at(record, "steps of a picture", "steps")
    counted = at(record, "steps of a picture", "whence") == "counted"
    figures: Figures = {f"steps of a picture, {'counted' if counted else 'assumed'}": steps}
    figures |= {f"optimisation / one pass, {device}": ratio for device, ratio in ratios.items()}
    if not ratios or paper is None:
        return Verdict("diat.speed", figures | {"optimisation / one pass": None}, said(False))
    low, high = min(ratios.values()), max(ratios.values())
    near = paper / WITHIN <= low and high <= paper * WITHIN
    return Verdict("diat.speed", figures, said(near and counted, low >= FASTER))


def _ratios(record: Record) -> dict[str, float]:
    """Return the ratio of the slowest pass by device, or number of threads, that was measured."""
    found = {}
    for device, sizes in record.items():
        baselines = at(sizes, "PAPER", "optimisation") or {}
        times = [
            ratio
            for name, row in baselines.items()
            if name != "adaptive"
            for ratio in (at(row, "times one pass in float32") or {}).values()
        ]
        if times:
            found[device] = min(times)
    return found


# --- what may be missing -------------------------------------------------------------------------


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None
