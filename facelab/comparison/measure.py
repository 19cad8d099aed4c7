"""The table of a task: every contestant on the same faces, before the same judges.

Beside the means over results (`judging`), each row has what is measured of all results together:
their kernel distance to pictures like the inputs and to photo-like faces, and how far their
identities lie apart. The photo-like faces are those of the pre-trained generator, with which
`ganid` and `idmap` draw: to them they are near.

An embedder that a training or a search looked through is marked, `seen`, where it judges that
method: there the other one counts. Intervals draw people anew, but for the kernel distance's, which
leaves groups of pictures out.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.comparison.cases import Case, in_common
from facelab.comparison.contestants import Change, Contestant
from facelab.comparison.judging import Judges, PerRow, per_row, see
from facelab.data.seeding import stream
from facelab.errors import ImageError, ParameterError
from facelab.metrics.bootstrap import bootstrap_interval, weighted_mean
from facelab.metrics.diversity import identity_diversity
from facelab.metrics.kernel import kernel_distance
from facelab.metrics.transfer import Estimate
from facelab.recognition.face_reading import read_faces
from facelab.recognition.judges import require_unseen
from facelab.types import Image

REPLICATES = 1000
QUICK_S, TURNS = 2.0, 3  # what takes less is done again, and the best time counts


# --- one task ------------------------------------------------------------------------------------


class Measuring:
    """A task under way: what was seen on its faces, and what all rows are held against."""

    def __init__(self, case: Case, judges: Judges, *, seed: int = 0, replicates: int = REPLICATES):
        self.case, self.judges, self.seed, self.replicates = case, judges, seed, replicates
        with torch.no_grad():
            self.before, self.gallery = see(case.faces, judges), see(case.gallery, judges)
            self.kinds = {
                "distance to the inputs' kind": judges.extractor.extract(case.references),
                "distance to photo-like faces": judges.extractor.extract(judges.photos),
            }

    @torch.no_grad()
    def row(self, contestant: Contestant) -> tuple[dict, dict | None]:
        """Return a contestant's row and its curve, JSON values; of who can't, a reason and None.

        Raises `ImageError` when a result is not finite or not one a face.
        """
        refusal = contestant.refusal(self.case)
        if refusal is not None:
            return {"cannot": refusal}, None
        task, template = self.case.task, contestant.template
        framed, knob = self.case.framed(template), contestant.knob(task)
        change, seconds = timed(lambda: _begun(contestant, framed))
        made = {s: self._common(change(s), contestant) for s in knob.strengths}
        points = {s: self.columns(images, contestant.seen(task)) for s, images in made.items()}
        paid = contestant.cost(task) is not None
        row = {
            "framing": f"{template.name}, {template.size} pixels",
            "milliseconds": 1000 * seconds / len(self.case) if paid else None,
            **points[1.0],
            **self.sets(made[1.0], contestant.seen(task)),
        }
        return row, self.curve(knob.meaning, points)

    def _common(self, made: Image, contestant: Contestant) -> Float[Tensor, "batch 3 _ _"]:
        made = in_common(made, contestant.template)
        if len(made) != len(self.case) or not made.isfinite().all():
            raise ImageError(
                f"{contestant.name} made {len(made)} pictures of {len(self.case)} faces, or values "
                "that are not finite; look at what computed them"
            )
        return made

    def columns(self, made: Image, seen: Iterable[str]) -> dict[str, dict]:
        """Return the columns that are means over rows, as JSON values, each with its interval."""
        values = per_row(self.case, self.before, see(made, self.judges), self.gallery, self.judges)
        told = {name: self._estimate(*one) for name, one in values.items()}
        for one in self.judges.embedders:
            for column in ("identity", "same person"):
                told[f"{column} {one.id}"]["seen"] = was_seen(one.id, seen)
        return told

    def _estimate(self, unit: str, values: PerRow) -> dict:
        people = torch.stack([self.case.people, self.case.people], dim=1)
        interval = bootstrap_interval(
            weighted_mean(values), people, generator=self._stream(), replicates=self.replicates
        )
        return asdict(Estimate(unit, float(values.mean()), interval))

    def _stream(self) -> torch.Generator:
        # The same people are drawn for all columns and rows, so that rows can be compared.
        return stream("comparison", "intervals", self.seed)

    def sets(self, made: Image, seen: Iterable[str]) -> dict[str, dict]:
        """Return the columns of all results together: realism and diversity."""
        told, features = {}, self.judges.extractor.extract(made)
        for name, kind in self.kinds.items():
            found = kernel_distance(
                kind, features, extractor=self.judges.extractor.id, random=self._stream(), subsets=2
            )  # the mean over subsets is not told
            told[name] = {
                **asdict(Estimate("squared kernel distance", found.value, found.interval)),
                "seen": was_seen(self.judges.extractor.id, seen),
            }
        judge = self.judges.embedders[-1]
        codes = read_faces(made, judge, self.judges.points).embeddings
        found = identity_diversity(
            codes, embedder=judge.id, threshold=judge.threshold_squared, random=self._stream(),
            replicates=self.replicates,
        )  # fmt: skip
        unit = f"squared distance of unit embeddings, {judge.id}"
        told["diversity"] = {
            **asdict(Estimate(unit, found.mean_distance, found.interval)),
            "seen": was_seen(judge.id, seen),
        }
        return told

    def curve(self, meaning: str, points: Mapping[float, dict]) -> dict | None:
        """Return attribute and identity by strength, None where there is one answer alone."""
        if len(points) < 2:
            return None
        names = ["attribute", *(f"identity {one.id}" for one in self.judges.embedders)]
        return {
            "knob": meaning,
            "strengths": list(points),
            **{name: [columns[name] for columns in points.values()] for name in names},
        }


def was_seen(judge: str, seen: Iterable[str]) -> bool:
    """Return whether a network, or a stage of it, is one that a training or a search saw."""
    try:
        require_unseen(seen, judge)
    except ParameterError:
        return True
    return False


def _begun(contestant: Contestant, case: Case) -> Change:
    change = contestant.begin(case)
    change(1.0)
    return change


def timed(run: Callable[[], Change]) -> tuple[Change, float]:
    """Run once, or several times what is quick; return what came out, and the best seconds."""
    best, turn = float("inf"), 0
    while turn == 0 or (turn < TURNS and best < QUICK_S):
        start = time.perf_counter()
        found = run()
        best, turn = min(best, time.perf_counter() - start), turn + 1
    return found, best


# --- all of it -----------------------------------------------------------------------------------


def table(
    case: Case,
    contestants: Sequence[Contestant],
    judges: Judges,
    *,
    seed: int = 0,
    replicates: int = REPLICATES,
    progress: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Measure contestants on one case; return JSON values.

    "rows" has a row a contestant by name, its columns or why it "cannot"; "curves" what has a knob.
    `progress` is called with the name of who is measured next. Raises as `Measuring.row` does.
    """
    measuring, rows, curves = Measuring(case, judges, seed=seed, replicates=replicates), {}, {}
    for contestant in contestants:
        progress(contestant.name)
        rows[contestant.name], curve = measuring.row(contestant)
        if curve is not None:
            curves[contestant.name] = curve
    change = case.task.change
    return {
        "task": case.task.name,
        "change": change and change.name,
        "faces": len(case),
        "people": len(case.people.unique()),
        "gallery": {"pictures": len(case.gallery), "given to nobody": case.unseen},
        "references": {"inputs' kind": len(case.references), "photo-like": len(judges.photos)},
        "rows": rows,
        "curves": curves,
    }


def method_facts(contestant: Contestant, case: Case) -> dict[str, Any]:
    """Return what a method costs and whom it saw for a task, as JSON values."""
    cost = contestant.cost(case.task)
    return {"embedders seen": list(contestant.seen(case.task)), **(asdict(cost) if cost else {})}


def compare(
    cases: Sequence[Case],
    methods: Sequence[Contestant],
    others: Sequence[Contestant],
    judges: Judges,
    **how: Any,
) -> dict[str, Any]:
    """Measure methods and other rows on some cases; `how` are the options of `table`.

    Returns JSON values: who judged, each method's costs by task, and a table a case in "tasks".
    """
    return {
        "judges": judges.facts(),
        "methods": {
            one.name: {case.task.name: method_facts(one, case) for case in cases}
            for one in methods
        },
        "tasks": {case.task.name: table(case, [*methods, *others], judges, **how)
                  for case in cases},
    }  # fmt: skip
