"""The claims of Li & Luo against the long runs: each verdict is computed from the records.

"Same person" is the threshold of the recogniser that led no search and made no vector, unless the
claim is about the one that did. Records are those of `benchmarks/ganid_properties.py`,
`ganid_search.py` and `ganid_attributes.py`; of table 1, that of `faceres.py`.
"""

from collections.abc import Mapping
from typing import Any

from facelab.methods.ganid.attributes import find
from facelab.verdicts import Verdict, said

Record = Mapping[str, Any]

NOISE = 0.5  # of the input's amplitude: figure 6A
MOST, HALF = 0.9, 0.5  # shares of faces, or of people, that count as "keeps" and as "partly"
SHOWN = ("glasses", "mouth", "direction", "brightness")  # figure 7
CHANGED = 0.8


def verdicts(properties: Record, searches: Record, edits: Record) -> list[Verdict]:
    """Return the verdicts on all claims of this chapter."""
    return [
        *of_properties(properties, searches["generator"]),
        *of_searches(searches),
        *of_edits(edits),
    ]


def of_table1(record: Record, embedder: str = "dlib") -> Verdict:
    """Pairs of one person and of two: rendered people by their means, photographs one by one.

    Wholly: on photographs every pair of one person is closer than every pair of two. Partly:
    rendered pairs are, by the means.
    """
    rendered, pairs = record["test"][embedder], record["photographs"][embedder]
    apart: dict[bool, list[float]] = {True: [], False: []}
    for names, distance in pairs.items():
        # obama2 is a second picture of obama.
        one, other = (name.rstrip("0123456789") for name in names.split(", "))
        apart[one == other].append(distance)
    near, far = max(apart[True]), min(apart[False])
    same, different = rendered["mean of the same"], rendered["mean of different"]
    figures = {
        "photographs, farthest of one person": near,
        "photographs, closest of two": far,
        "rendered people, mean of the same": same,
        "rendered people, mean of different": different,
        "rendered people, AUC": rendered["AUC"],
    }
    return Verdict("ganid.table1", figures, said(near < far, same < different))


def of_properties(record: Record, generator: str) -> list[Verdict]:
    """Noise, sign and amplitude of a generator, under every recogniser that was asked."""
    rows = {r["embedder"]: r for r in record["rows"] if r["generator"] == generator}
    crossed = {who: row["noise reaches the threshold at"] for who, row in rows.items()}
    held = [at is None or at > NOISE for at in crossed.values()]
    signs = {who: row["sign"]["share same person"][0] for who, row in rows.items()}
    least = {who: min(row["amplitude"]["share same person"]) for who, row in rows.items()}
    return [
        Verdict(
            "ganid.property_noise",
            {f"amplitude at the threshold of {who}": at for who, at in crossed.items()},
            said(all(held), any(held)),
        ),
        _kept("ganid.property_sign", "same person to {}", signs),
        _kept("ganid.property_amplitude", "same person to {} at the worst scale", least),
    ]


def _kept(claim: str, meaning: str, shares: Mapping[str, float]) -> Verdict:
    """All recognisers must take most faces for the same person; partly, if half are by each."""
    least = min(shares.values())
    told = {meaning.format(who): share for who, share in shares.items()}
    return Verdict(claim, told, said(least >= MOST, least >= HALF))


def of_searches(record: Record) -> list[Verdict]:
    """The corrected search against the paper's yardstick and the witness; and its transfer."""
    row = record["searches"]["rows"]["greedy, corrected"]["all"]
    led, witness = record["embedder"], record["unseen"]
    largest = max(
        record["references"][kind][led]["same"]["largest"] for kind in ("rendered", "photograph")
    )
    share = row["same person by the unseen embedder"] / len(record["people"])
    below = row["searched"]["mean"] < largest
    search = Verdict(
        "ganid.search",
        {
            f"mean distance, {led}": row["searched"]["mean"],
            "largest of real pairs": largest,
            f"people whom {witness} accepts": share,
        },
        said(below and share >= MOST, below),
    )
    return [search, of_transfer(record)]


def of_transfer(record: Record) -> Verdict:
    """What the greedy search takes off the best random distance, by generator and embedder."""
    gains = {
        f"{row['generator']} and {row['embedder']}": 1
        - row["greedy"]["distance"]["mean"] / row["random"]["distance"]["mean"]
        for row in record["universal"]
    }
    return Verdict("ganid.universal", gains, said(min(gains.values()) > 0, max(gains.values()) > 0))


def of_edits(record: Record) -> list[Verdict]:
    """The paper's four attributes at its strength 1, and what averaging does to the spread."""
    rates, kept, spreads = {}, [], {}
    limit = record["identity"]["faceres"]["same person below"]
    for name in SHOWN:
        row = record["attributes"][name]
        sweep = row[find(name).meaning]["raw"]
        at_one = sweep["strengths"].index(1.0)
        rates[f"changed, {name}"] = sweep["changed"][at_one]["mean"]
        kept.append(sweep["distance, faceres"][at_one] < limit)
        few, *_, many = (r["changed, standard deviation"] for r in row["averaging"])
        if few > 0:
            spreads[f"spread of many in that of one, {name}"] = many / few
    done = [rate >= CHANGED for rate in rates.values()]
    steadier = [ratio < 1 for ratio in spreads.values()]
    return [
        Verdict("ganid.arithmetic", rates, said(all(done) and all(kept), any(done))),
        Verdict("ganid.averaging", spreads, said(all(steadier), any(steadier))),
    ]
