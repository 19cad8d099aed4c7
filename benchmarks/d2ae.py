"""d2ae: both tables, the figures' numbers, swaps, edits and ways.

Prints a record and writes it to runs/bench/d2ae.json. Nobody who is measured is in a training, nor
among the faces that linear SVMs learn from. FaceRes judges identity and the judges of landmarks,
pose and attributes the rest; no loss of the method looks through any of them.

Variants of `facelab.methods.d2ae.variants` are trained for the same steps on the same faces, seed
by seed. Trainings and parts of the record are kept in runs/bench/d2ae/: a call that was ended goes
on when it is called again, and a part is measured again when its code or its options changed.
"""

import argparse
import sys
from pathlib import Path

import recording
from d2ae_parts.editing import Editing
from d2ae_parts.material import ROOT, Material, Trainings, shipped
from d2ae_parts.tables import Tables

from facelab.methods.d2ae import checkpoint

PARTS = ("table1", "ablations", "table2", "shape", "editing", "gan")
ABLATIONS = ("no-dispelling", "no-classifier", "no-augmentation")


def measure(options: argparse.Namespace) -> dict:
    """All parts that were asked for."""
    material, trainings = Material.of(options), Trainings(options)
    tables, wanted = Tables(options, material, trainings), set(options.parts)
    told: dict = {"people": options.people, "views": 8}
    subject = shipped(options.checkpoint) if wanted & {"table1", "shape", "editing"} else None
    if subject:
        told["checkpoint"] = dict(subject.facts)
    if "table1" in wanted:
        told["table 1"] = tables.table1(subject)
        told["supervised"] = tables.supervised(subject)
    if "shape" in wanted:
        told["shape"], told["picture"] = tables.shape(subject), tables.picture(subject)
    if "editing" in wanted:
        editing = Editing(options, material)
        told |= {
            "swaps": editing.swaps(subject),
            "edits": editing.edits(subject),
            "ways": editing.ways(subject),
            "rebuilding": editing.rebuilding(subject),
        }
        if options.directions:
            file = options.checkpoint or checkpoint.book_path()
            told["directions"] = editing.store(subject, file, options.directions)
    if "ablations" in wanted:
        told["ablations"] = ablations(options, tables, trainings)
    if "table2" in wanted:
        told["table 2"] = tables.table2()
    if "gan" in wanted:
        told["gan"] = gan(options, material, trainings)
    return told


def ablations(options: argparse.Namespace, tables: Tables, trainings: Trainings) -> dict:
    """Table 1's rows of P, T's verification and figure 8, with and without parts of the method.

    All for the same steps on the same faces.
    """
    told: dict = {}
    for name in ("full", *ABLATIONS):
        told[name] = {}
        for seed in options.seeds[: options.ablation_seeds]:
            subject = trainings.trained(name, seed, options.train_people)
            told[name][str(seed)] = {
                **tables.table1(subject, ("P",)),
                "verified by T": tables.verified_only(subject),
                "shape": tables.shape(subject),
                "training": dict(subject.facts),
            }
            print(f"{name}, seed {seed}: done", flush=True)
    return told


def gan(options: argparse.Namespace, material: Material, trainings: Trainings) -> dict:
    """Figure 11: rebuilt faces with and without a critic."""
    editing = Editing(options, material)
    return {
        name: editing.rebuilding(trainings.trained(name, options.seeds[0], options.train_people))
        for name in ("full", "gan", "gan-alone")
    }


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="of the autoencoder  [the shipped one]")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--directions", type=Path, help="file to write the edits' ways to")
    parser.add_argument("--people", type=int, default=220, help="who are measured")
    parser.add_argument("--probe-people", type=int, default=200, help="of the SVMs")
    parser.add_argument("--train-people", type=int, default=800, help="of the larger training set")
    parser.add_argument("--few-people", type=int, default=150, help="of the smaller one")
    parser.add_argument("--data", help="word that names the larger set  [drawn]")
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ablation-seeds", type=int, default=2, help="the first of the seeds")
    parser.add_argument("--steps", type=int, default=1200, help="of a variant")
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--pair-replicates", type=int, default=200)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--channels-last", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="cpu",
                        help="of the trainings")  # fmt: skip
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/d2ae.json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(recording.main("d2ae: tables, figures, swaps and edits", parsed(), measure))
