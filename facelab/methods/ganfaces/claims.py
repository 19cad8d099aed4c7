"""The claims of Gecer et al. against the long runs: each verdict is computed from the records.

Records are those of `benchmarks/ganfaces.py`, `ganfaces_recognition.py` and `ganfaces_writer.py`.
A claim holds wholly when the interval, or every seed, says so, and partly when only the mean does.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from facelab.verdicts import Said, Verdict, said

Record = Mapping[str, Any]

RIVALS = ("simgan", "cyclegan", "reconstruction")
REALISM, COHERENCE = "kernel distance", "within / between"
KEPT = ("pose", "landmarks", "light")
COUNTS = "set loss counts from step"
MOSTLY = 0.5  # of strangers' error: below it a quantity counts as kept


def verdicts(faces: Record, recognition: Record, writer: Record) -> list[Verdict]:
    """Return the verdicts on all claims of this paper.

    `faces` must have exactly one checkpoint, the shipped one, and the curves of its training.
    """
    return [
        *of_shipped(faces),
        *of_variants(faces["variants"]),
        of_set_loss(faces),
        *of_recognition(recognition),
        of_writer(writer),
    ]


def of_shipped(record: Record) -> list[Verdict]:
    """Who is told apart, on renders and on what G makes of them; and what G keeps of a render."""
    (made,) = record["checkpoints"].values()
    before, after = record["references"]["renders"]["separation"], made["separation"]
    spans = [row["d_prime_interval"] for row in (before, after)]
    surely = all(spans) and spans[1]["low"] > spans[0]["high"]
    separation = Verdict(
        "ganfaces.separation",
        {
            "d-prime of renders": before["d_prime"],
            "of generated": after["d_prime"],
            "1 - EER of renders": before["one_minus_eer"],
            "1 - EER of generated": after["one_minus_eer"],
        },
        said(surely, after["d_prime"] > before["d_prime"]),
    )
    ratios = {name: made["control"][name] for name in KEPT}
    highest = [row["ratio_interval"]["high"] for row in ratios.values()]
    control = Verdict(
        "ganfaces.control",
        {f"{name}, share of strangers' error": row["ratio"] for name, row in ratios.items()},
        said(max(highest) < MOSTLY, max(highest) < 1),
    )
    return [separation, control]


def of_variants(rows: Record) -> list[Verdict]:
    """The full method against its rivals, and with the backward cycle."""
    return [
        _lower("ganfaces.baselines", rows, RIVALS, REALISM),
        _lower("ganfaces.forward_cycle", rows, ["backward-cycle"], REALISM),
    ]


def of_set_loss(record: Record) -> Verdict:
    """Does the loss fall, once everybody was seen, and are people nearer to themselves with it?

    Falling compares the first and the last quarter of the shipped training's curve. It holds wholly
    when it falls and the variants say so with every seed.
    """
    told = record["shipped training"]
    counted = [v for step, v in told["curves"]["set loss"] if step >= told[COUNTS]]
    part = max(1, len(counted) // 4)
    first, last = sum(counted[:part]) / part, sum(counted[-part:]) / part
    nearer = _lower("ganfaces.set_loss", record["variants"], ["no-set-loss"], COHERENCE)
    figures = {"set loss, first quarter": first, "last quarter": last, **nearer.figures}
    falls, how = last < first, nearer.said
    return Verdict(
        nearer.claim, figures, said(falls and how == said(True), falls or how != said(False))
    )


def _lower(claim: str, rows: Record, rivals: Sequence[str], number: str) -> Verdict:
    """The full method's number is the lowest: with every seed, or in the mean of some rival."""
    less = {name: rows[name]["less the full method"][number] for name in rivals}
    figures = {f"{number}, full method": rows["full"]["over seeds"][number]["mean"]}
    figures |= {f"{rows[name]['name']} less that": found["mean"] for name, found in less.items()}
    always = all(found["least"] > 0 for found in less.values())
    return Verdict(claim, figures, said(always, any(found["mean"] > 0 for found in less.values())))


def of_recognition(record: Record) -> list[Verdict]:
    """What adding generated faces gives a recogniser, and whether it gives more to less data.

    A loss that is smaller where real data are few is no gain.
    """
    gains = record["gains"]["accuracy"]
    at = {fraction: row["generated"] for fraction, row in gains["fractions"].items()}
    whole, least = (at[choose(at, key=float)] for choose in (max, min))
    falls = gains["less real data"]["generated"]
    return [
        Verdict(
            "ganfaces.recognition",
            {"gain in accuracy, generated added to all": whole["mean"]},
            _surely_above(whole),
        ),
        Verdict(
            "ganfaces.less_real_data",
            {f"gain at {float(fraction):.0%}": found["mean"] for fraction, found in at.items()},
            _surely_above(falls) if least["mean"] > 0 else said(False),
        ),
    ]


def _surely_above(gain: Record) -> Said:
    interval = gain["interval"]
    return said(bool(interval) and interval[0] > 0, gain["mean"] > 0)


def of_writer(record: Record) -> Verdict:
    """500,000 faces are extrapolated, not written: that is a part of the claim at best."""
    rates = [row["faces a second"] for name, row in record.items() if name.startswith("written")]
    kill = record["SIGKILL"]["the same bytes as without a kill"]
    hours = 500_000 / max(rates) / 3600
    figures = {"faces a second": max(rates), "hours for 500,000": hours}
    return Verdict("ganfaces.dataset", figures, said(False, kill))
