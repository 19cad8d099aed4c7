"""Is a person still recognised after de-identification, and who is recognised instead?

Somebody has pictures of the person (enrolment), a recogniser and its threshold, and asks of every
frame: is this the person (verification), and who of a gallery is it (identification)? Both are
asked of the original frames and of the de-identified ones. What a rate after it means is in the
others: strangers' own frames are verified at a rate of their own, and a gallery of N people is
right by chance once in N.

De-identification by a recogniser that the method was trained with says little: the judge must not
have been seen by a loss (`recognition.judges.require_unseen`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.metrics.bootstrap import bootstrap_interval, weighted_mean
from facelab.metrics.features import squared_distances
from facelab.metrics.identification import rank_k
from facelab.metrics.temporal import Estimate

Rule = Literal["closest", "mean", "pairs"]
VERIFIED, NAMED = "share of frames verified", "share of frames named"

# Any numbers of rows: the functions check them, with a message that says more.
Embeddings = Float[Tensor, "_ _"]
Shares = Float[Tensor, " _"]


@dataclass(frozen=True)
class Case:
    """A person with pictures, and with frames before and after de-identification, as embeddings.

    All are (pictures, features). `donor` are pictures of the identity that the frames were given,
    None for one that nobody has pictures of. `lost_before` and `lost_after` count frames in which
    no face was found: nobody is recognised there.
    """

    enrolled: Embeddings
    before: Embeddings
    after: Embeddings
    donor: Embeddings | None = None
    lost_before: int = 0
    lost_after: int = 0


@dataclass(frozen=True)
class Deidentification:
    """How often people are recognised, by the names of `deidentification`; and how it was asked."""

    people: int
    gallery_people: int
    threshold_squared: float
    rule: str
    rates: dict[str, Estimate]


def verified(
    frames: Embeddings, enrolled: Embeddings, threshold_squared: float, rule: str = "closest"
) -> Shares:
    """Return for each frame whether it is verified as the enrolled person, (frames).

    A frame is when its squared distance is below the threshold: of the "closest" enrolled picture,
    as for somebody who tries all of them; or of the "mean" enrolled embedding, brought to length
    one. By "pairs" it is the share of the enrolled pictures, what a threshold was made for. All
    rows are brought to length one. Raises `ParameterError` for no enrolled pictures, a threshold
    not between 0 and 4, unknown rules, and values that are not finite.
    """
    if not 0 < threshold_squared < 4:
        raise ParameterError(
            f"the threshold {threshold_squared} parts no squared distances of unit vectors; give "
            "the recogniser's threshold_squared, between 0 and 4"
        )
    if rule not in RULES:
        raise ParameterError(f"there is no rule {rule!r}; choose one of: {', '.join(RULES)}")
    points, known = _unit(frames, "frames", 0), _unit(enrolled, "enrolled pictures", 1)
    if points.shape[1] != known.shape[1]:
        raise ParameterError(
            f"the frames have {points.shape[1]} features and the enrolled pictures "
            f"{known.shape[1]}; embed both with one recogniser"
        )
    return RULES[rule](points, known, threshold_squared)


def _closest(frames: Embeddings, enrolled: Embeddings, threshold: float) -> Shares:
    return (squared_distances(frames, enrolled).amin(1) < threshold).double()


def _to_mean(frames: Embeddings, enrolled: Embeddings, threshold: float) -> Shares:
    return _closest(frames, F.normalize(enrolled.mean(0, keepdim=True), dim=1), threshold)


def _of_pairs(frames: Embeddings, enrolled: Embeddings, threshold: float) -> Shares:
    return (squared_distances(frames, enrolled) < threshold).double().mean(1)


RULES: dict[str, Callable[[Embeddings, Embeddings, float], Shares]] = dict(
    zip(get_args(Rule), (_closest, _to_mean, _of_pairs), strict=True)
)


def deidentification(
    cases: Sequence[Case],
    threshold_squared: float,
    *,
    random: torch.Generator,
    replicates: int = 1000,
    rule: str = "closest",
    distractors: Embeddings | None = None,
) -> Deidentification:
    """Return how often people are recognised before and after, with intervals over people.

    Everybody counts the same, whatever the number of frames. The rates by name:

    - "verified before", "verified after", and "verified drop", the first less the second.
    - "stranger verified": other people's original frames, verified as the person.
    - "donor verified before", "donor verified after": as the donor, of the people that have one.
    - "rank-1 before", "rank-1 after": the closest picture of a gallery is the person's. In it are
      all enrolled pictures and `distractors`, a picture of somebody else in each row.

    A rate is None where there is nobody to ask: strangers of one person, donors of none. Raises
    `ParameterError` for no cases, a case without frames, and as `verified`.
    """
    if not cases:
        raise ParameterError("there is nobody to recognise; give one case or more")
    for case in cases:
        _require(case)

    def share(frames: Embeddings, pictures: Embeddings, lost: int) -> float:
        found = verified(frames, pictures, threshold_squared, rule)
        return float(found.sum()) / (len(found) + lost)

    before = [share(case.before, case.enrolled, case.lost_before) for case in cases]
    after = [share(case.after, case.enrolled, case.lost_after) for case in cases]
    given = [case for case in cases if case.donor is not None]
    gallery = _Gallery(cases, distractors)
    values = {
        "verified before": before,
        "verified after": after,
        "verified drop": [first - second for first, second in zip(before, after, strict=True)],
        "stranger verified": _strangers(cases, share),
        "donor verified before": [share(c.before, c.donor, c.lost_before) for c in given],
        "donor verified after": [share(c.after, c.donor, c.lost_after) for c in given],
        "rank-1 before": gallery.named([(c.before, c.lost_before) for c in cases]),
        "rank-1 after": gallery.named([(c.after, c.lost_after) for c in cases]),
    }
    rates = {name: _estimate(name, rows, random, replicates) for name, rows in values.items()}
    return Deidentification(len(cases), gallery.people, threshold_squared, rule, rates)


def _strangers(
    cases: Sequence[Case], share: Callable[[Embeddings, Embeddings, int], float]
) -> list[float]:
    """Return, for each person, the share of the others' frames; every other counts the same."""
    if len(cases) < 2:
        return []
    return [
        sum(
            share(other.before, case.enrolled, other.lost_before)
            for other in cases
            if other is not case
        )
        / (len(cases) - 1)
        for case in cases
    ]


class _Gallery:
    """Pictures of everybody, and who is on each."""

    def __init__(self, cases: Sequence[Case], distractors: Embeddings | None):
        parts = [_unit(case.enrolled, "enrolled pictures", 1) for case in cases]
        if distractors is not None:
            # Each row is a person.
            parts += _unit(distractors, "distractors", 0).split(1)
        parts = [part for part in parts if len(part)]
        widths = sorted({part.shape[1] for part in parts})
        if len(widths) > 1:
            raise ParameterError(
                f"the gallery's pictures have {' and '.join(map(str, widths))} features; embed all "
                "with one recogniser"
            )
        self.people = len(parts)
        self.pictures = torch.cat(parts)
        self.numbers = torch.arange(len(parts)).repeat_interleave(
            torch.tensor([len(part) for part in parts])
        )

    def named(self, frames: Sequence[tuple[Embeddings, int]]) -> list[float]:
        """Return the share of each person's frames whose closest picture is the person's.

        With each person's frames comes the number of those without a face.
        """
        return [
            rank_k(
                probes=probes,
                probe_people=torch.full((len(probes),), number),
                gallery=self.pictures,
                gallery_people=self.numbers,
                ranks=(1,),
                failed_probes=lost,
            )[1]
            if len(probes)
            else 0.0
            for number, (probes, lost) in enumerate(frames)
        ]


def _estimate(name: str, values: list[float], random: torch.Generator, replicates: int) -> Estimate:
    unit = NAMED if name.startswith("rank-1") else VERIFIED
    if not values:
        return Estimate(unit, None, None, "people")
    rows = torch.arange(len(values))
    interval = bootstrap_interval(
        weighted_mean(torch.tensor(values, dtype=torch.float64)),
        torch.stack([rows, rows], dim=1),
        generator=random,
        replicates=replicates,
    )
    return Estimate(unit, math.fsum(values) / len(values), interval, "people")


def _require(case: Case) -> None:
    if case.lost_before < 0 or case.lost_after < 0:
        raise ParameterError("a negative number of frames can't be lost; give 0 or more")
    for name, frames, lost in (
        ("before", case.before, case.lost_before),
        ("after", case.after, case.lost_after),
    ):
        if not len(frames) + lost:
            raise ParameterError(f"a person has no frames {name} it; give one or more")


def _unit(rows: Embeddings, name: str, least: int) -> Embeddings:
    """Return embeddings of length one, in float64, without gradients, on the CPU."""
    if len(rows) < least:
        raise ParameterError(f"a person has {len(rows)} {name}; give {least} or more")
    # A row of zeros has no direction either.
    bad = ~(rows.isfinite().all(1) & rows.any(1))
    if bad.any():
        raise ParameterError(
            f"the {name} have embeddings that are not finite or zero in {int(bad.sum())} of "
            f"{len(rows)} rows; count those as lost frames, or leave them out"
        )
    return F.normalize(rows.detach().double().cpu(), dim=1)
