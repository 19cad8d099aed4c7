"""Vector arithmetic by attribute: who sees the edit, and what becomes of the identity.

Prints a record and writes it to runs/bench/ganid_attributes.json. For each attribute, and for those
of the paper both ways, with the raw vector (the paper's), the balanced one (`facelab edit`) and
that orthogonalised: the change rate by a judge that had no part in making the vector, the identity
distance by dlib and by a recogniser that nothing was tuned on, the strength at which 80 % are
accepted, what winning the identity back gives, and what averaging does.

With --sheets it only draws: faces that are labelled with and without each attribute, the surest and
a spread, and edits of six faces. With --calibrate it looks for the zeros of the geometric judges.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from recording import record

from facelab.data.anny_faces import AnnyFaces
from facelab.data.attributes import ATTRIBUTE_NAMES
from facelab.data.seeding import stream
from facelab.generators.catalogue import generator
from facelab.images import grid, save_image
from facelab.methods.ganid import arithmetic
from facelab.methods.ganid.arithmetic import edit, sample_labels
from facelab.methods.ganid.attributes import (
    ATTRIBUTES,
    NAMES,
    Attribute,
    Reading,
    lip_gap,
    nose_offset,
    smile,
)
from facelab.methods.ganid.claims import SHOWN as SHOWN_BY_PAPER
from facelab.methods.ganid.edit_sweep import Before, Sweep, averaging, sweep
from facelab.methods.ganid.scoring import Scorer
from facelab.methods.ganid.winning_back import holding, win_back
from facelab.metrics.bootstrap import bootstrap_interval, weighted_mean
from facelab.recognition.embedder import Embedder, embedder
from facelab.recognition.face_readers import balanced_accuracy

ROOT = Path(__file__).parents[1]
SHARE = 0.8
STRENGTHS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0)
SHOWN = (-2.0, -1.0, 0.0, 0.5, 1.0, 1.5, 2.0)
# Which attribute of AnnyFaces says the truth about which one of ours.
TRUTH = {
    "glasses": "Eyeglasses",
    "mouth": "Mouth_Slightly_Open",
    "smile": "Smiling",
    "gender": "Male",
    "age": "Young",
    "hair": "Blond_Hair",
    "grey": "Gray_Hair",
    "beard": "No_Beard",
    "bangs": "Bangs",
}


def with_interval(values: torch.Tensor) -> dict:
    """The mean over faces with its 95 % interval over faces."""
    faces = torch.arange(len(values))[:, None].expand(-1, 2)
    random = torch.Generator().manual_seed(0)
    values = values.double()
    found = bootstrap_interval(weighted_mean(values), faces, generator=random)
    ends = [round(found.low, 4), round(found.high, 4)] if found else None
    return {"mean": round(float(values.mean()), 4), "interval": ends}


class Bench:
    """The generator, its samples, its vectors, and faces to edit that none of it saw."""

    def __init__(self, samples: int, pool: int):
        network = generator()
        self.labelled = sample_labels(network, samples)
        self.raw = {
            name: arithmetic.attribute_vector(self.labelled.latents, scores)
            for name, scores in self.labelled.scores.items()
        }
        self.balanced = {
            name: arithmetic.balanced_vector(self.labelled, name) for name in self.labelled.scores
        }
        self.orthogonal = arithmetic.orthogonalised(self.balanced)
        self.scorer = Scorer(network, embedder("dlib"))
        self.unseen = Scorer(network, embedder("faceres"))
        self.latents = network.sample_latent(pool, stream("ganid", "edits", 0))
        with torch.no_grad():
            self.faces = torch.cat([network(part) for part in self.latents.split(100)])

    def without(self, attribute: Attribute, most: int) -> torch.Tensor:
        """The first faces in which the judge does not see the attribute."""
        return self.latents[attribute.judged(self.faces) <= 0][:most]

    def vectors(self, name: str, sign: int) -> dict[str, torch.Tensor]:
        return {kind: sign * vectors[name] for kind, vectors in self.kinds.items()}

    @property
    def kinds(self) -> dict[str, dict[str, torch.Tensor]]:
        return {"raw": self.raw, "balanced": self.balanced, "orthogonal": self.orthogonal}

    def strangers(self) -> dict:
        """Distances of two faces of the generator that have nothing to do with each other."""
        found = {}
        for scorer in (self.scorer, self.unseen):
            with torch.no_grad():
                first, second = scorer.embed_faces(self.faces[:400]).chunk(2)
            found[scorer.embedder.id] = {
                "two faces at random": with_interval(Embedder.distance(first, second)),
                "same person below": scorer.embedder.threshold_squared,
            }
        return found


def ways(attribute: Attribute) -> list[tuple[Attribute, int]]:
    """The attribute, and for those of the paper its opposite too."""
    found = [(attribute, 1)]
    return [*found, (attribute.reversed(), -1)] if attribute.name in SHOWN_BY_PAPER else found


def one_sweep(bench: Bench, attribute: Attribute, vector: torch.Tensor, faces: int) -> dict:
    """Change rates with intervals, and where 80 % are accepted with the distances there."""
    latents = bench.without(attribute, faces)
    if len(latents) < 10:
        return {"faces": len(latents)}
    found = sweep(bench.scorer, latents, vector, attribute, STRENGTHS, unseen=bench.unseen)
    rates = [with_interval(row) for row in found.has.float()]
    strength = found.strength_at(SHARE)
    told = found.record()
    del told["accepted"]  # nobody had it before, so that it is the change rate
    return {
        **told,
        "length of the vector": round(float(vector.norm()), 3),
        "changed": rates,
        "strength at 80 %": None if strength is None else round(strength, 3),
        "there": None if strength is None else there(found, strength),
    }


def there(found: Sweep, strength: float) -> dict:
    return {
        found.embedder: with_interval(found.distance_at(strength)),
        found.unseen: with_interval(found.distance_at(strength, unseen=True)),
    }


def correction(
    bench: Bench, attribute: Attribute, vector: torch.Tensor, strength: float, faces: int
) -> dict:
    """What winning the identity back gives: shares and distances before and after."""
    latents = bench.without(attribute, faces)
    with torch.no_grad():
        start = Before.of(bench.scorer, latents, bench.unseen)
        edited = bench.scorer.faces(edit(latents, vector, strength))
        holds = holding([attribute], edited)
    identity = start.embeddings[bench.scorer.embedder.id]
    won = win_back(
        bench.scorer, edit(latents, vector, strength), identity, vector[None], holds=holds
    )
    with torch.no_grad():
        after = bench.scorer.faces(won.latents)
    result: dict = {"strength": round(strength, 3), "faces": len(latents)}
    for when, shown in (("before", edited), ("after", after)):
        result[when] = {"accepted": with_interval((attribute.judged(shown) > 0).float())}
        for scorer in (bench.scorer, bench.unseen):
            with torch.no_grad():
                apart = start.distance(scorer, shown)
            result[when][scorer.embedder.id] = with_interval(apart)
    return {**result, "evaluations a face": won.evaluations / len(latents)}


def side_effects(bench: Bench, faces: int) -> dict:
    """How far strength 1 moves every judge, in its standard deviations over unedited faces."""
    latents, found = bench.latents[:faces], {}
    names = [attribute.name for attribute in ATTRIBUTES]
    before = [attribute.judged(bench.faces) for attribute in ATTRIBUTES]
    for kind, vectors in bench.kinds.items():
        rows = {}
        for name in names:
            with torch.no_grad():
                edited = bench.scorer.generator(edit(latents, vectors[name]))
            moved = [
                float((a.judged(edited) - b[:faces]).mean() / b.std())
                for a, b in zip(ATTRIBUTES, before, strict=True)
            ]
            rows[name] = dict(zip(names, [round(m, 2) for m in moved], strict=True))
        found[kind] = rows
    return found


def judges_on_renders(people: int) -> dict:
    """Balanced accuracy of labels and judges on rendered strangers, where the truth is known."""
    batch = AnnyFaces(64, people, 1, seed=80, split="test").batch(range(people))
    found = {}
    for attribute in ATTRIBUTES:
        if attribute.name not in TRUTH:
            continue
        truth = batch.attributes[:, [ATTRIBUTE_NAMES.index(TRUTH[attribute.name])]]
        if attribute.name == "beard":
            truth = ~truth
        said = {"label": attribute.labels(batch.images), "judge": attribute.judged(batch.images)}
        found[attribute.name] = {
            who: round(float(balanced_accuracy(values[:, None] > 0, truth)), 4)
            for who, values in said.items()
        }
    return found


def agreement(bench: Bench) -> dict:
    """The rank correlation of label and judge on generated faces, and how many each calls yes."""
    found = {}
    for attribute in ATTRIBUTES:
        label, judge = attribute.labels(bench.faces), attribute.judged(bench.faces)
        ranks = torch.stack([label.argsort().argsort(), judge.argsort().argsort()]).double()
        found[attribute.name] = {
            "rank correlation": round(float(torch.corrcoef(ranks)[0, 1]), 3),
            "label says yes": round(float((label > 0).float().mean()), 3),
            "judge says yes": round(float((judge > 0).float().mean()), 3),
        }
    return found


def attribute_row(bench: Bench, attribute: Attribute, chosen: argparse.Namespace) -> dict:
    """All about one attribute; "won back" is at the balanced vector's strength at 80 %."""
    with_it, without = bench.labelled.counts(attribute.name)
    row: dict = {"labelled with": with_it, "labelled without": without}
    for wanted, sign in ways(attribute):
        found = {
            kind: one_sweep(bench, wanted, vector, chosen.faces)
            for kind, vector in bench.vectors(attribute.name, sign).items()
        }
        strength = found["balanced"].get("strength at 80 %")
        if strength is not None:
            vector = sign * bench.balanced[attribute.name]
            found["won back"] = correction(bench, wanted, vector, strength, chosen.corrected)
        row[wanted.meaning] = found
    row["averaging"] = averages(bench, attribute, chosen)
    return row


def measure(chosen: argparse.Namespace) -> dict:
    bench = Bench(chosen.samples, 1000)
    rows = {}
    for attribute in ATTRIBUTES:
        rows[attribute.name] = attribute_row(bench, attribute, chosen)
        print(attribute.name, "done", flush=True)
    return {
        "generator": bench.scorer.generator.id,
        "samples": chosen.samples,
        "judged on": "the first faces of a pool of 1,000 in which the judge sees no such attribute",
        "identity": bench.strangers(),
        "attributes": rows,
        "side effects of strength 1": side_effects(bench, chosen.faces),
        "balanced accuracy on rendered strangers": judges_on_renders(chosen.people),
        "label and judge on generated faces": agreement(bench),
    }


def averages(bench: Bench, attribute: Attribute, chosen: argparse.Namespace) -> list[dict]:
    random = stream("ganid", "averaging", attribute.name)
    latents = bench.without(attribute, chosen.corrected)
    found = averaging(
        bench.scorer, latents, bench.labelled, attribute, repeats=chosen.repeats, random=random
    )
    return found.record()


# --- other outputs -------------------------------------------------------------------------------


def draw_sheets(folder: Path, samples: int) -> None:
    """Write sheets of labelled faces, and of edits: a row of strengths for each of six faces."""
    network = generator()
    labelled = sample_labels(network, samples)
    latents = network.sample_latent(6, stream("ganid", "edits", 1))
    for spread, name in ((False, "labels"), (True, "labels_spread")):
        sheet = arithmetic.label_sheet(network, labelled, NAMES, spread=spread)
        save_image(sheet, folder / f"ganid_{name}.jpg")
    for name in NAMES:
        vector = arithmetic.balanced_vector(labelled, name)
        steps = torch.cat([edit(latents, vector, s) for s in SHOWN])
        with torch.no_grad():
            faces = network(steps)
        rows = faces.unflatten(0, (len(SHOWN), 6)).transpose(0, 1).flatten(0, 1)
        save_image(grid(rows, len(SHOWN)), folder / f"ganid_edits_{name}.png")


def best_zero(values: torch.Tensor, truth: torch.Tensor) -> tuple[float, float]:
    """The threshold with the best balanced accuracy, and that accuracy."""
    levels = values.quantile(torch.linspace(0.01, 0.99, 99))
    right = balanced_accuracy(values[:, None] > levels, truth[:, None].expand(-1, 99))
    return round(float(levels[right.argmax()]), 4), round(float(right.max()), 4)


def calibrate(people: int) -> dict:
    """Zeros for the judges that are geometry, on rendered validation people."""
    batch = AnnyFaces(64, people, 1, seed=5, split="validation").batch(range(people))
    points = Reading(batch.images).points
    measures: dict[str, tuple[Callable, str]] = {
        "mouth": (lip_gap, "Mouth_Slightly_Open"),
        "smile": (smile, "Smiling"),
    }
    found = {}
    for name, (of, truth) in measures.items():
        column = batch.attributes[:, ATTRIBUTE_NAMES.index(truth)]
        found[name] = best_zero(of(points), column)
    yaw = batch.euler_rad[:, 0]
    slope = float((yaw * nose_offset(points)).mean() / yaw.square().mean())
    found["direction"] = (round(slope * float(torch.tensor(20.0).deg2rad()), 4), None)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=arithmetic.SAMPLES)
    parser.add_argument("--faces", type=int, default=60, help="edited for each attribute and way")
    parser.add_argument("--corrected", type=int, default=30, help="whose identity is won back")
    parser.add_argument("--repeats", type=int, default=10, help="vectors for each number averaged")
    parser.add_argument("--people", type=int, default=600, help="rendered, to judge the judges")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sheets", type=Path, help="only draw sheets, into this folder")
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/ganid_attributes.json")
    chosen = parser.parse_args()
    if chosen.sheets:
        draw_sheets(chosen.sheets, chosen.samples)
        return
    if chosen.calibrate:
        torch.set_num_threads(chosen.threads)
        print(calibrate(1000))
        return
    record(
        "edits of a generator's faces by attribute vectors, by judges that had no part in them",
        chosen.output,
        chosen.threads,
        lambda: measure(chosen),
        strengths=list(STRENGTHS),
    )


if __name__ == "__main__":
    main()
