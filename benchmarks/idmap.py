"""The map of idmap: tables 1 to 3, figure 9, ways, sequences, and who is still known.

Prints a record and writes it to runs/bench/idmap.json. Faces that are measured on are in no
training: the generator's of the test split, and faces from outside of it, by default renders of
people of AnnyFaces' test split. Beside the map stand its two inputs as they are, the search of
single vectors (for fewer pairs, its rows say how many) and, where --lord names a file, LORD.

Variants of `facelab.methods.idmap.variants` are trained for the same steps on the same faces; those
of one seed begin with one pre-training. They are measured on fewer pairs, and their vectors are
drawn as M gives them, where the map's own are stretched (`facelab.methods.idmap.model`).

Trainings, vectors that were searched, and the parts of the record are kept in runs/bench/idmap/: a
call that was ended goes on when it is called again, and a part is measured again when its code, its
options or the file has changed.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import recording
from idmap_parts.applications import Applications
from idmap_parts.material import POINTS, ROOT, Judges, Subject
from idmap_parts.tables import KINDS, Tables, lord_facts
from idmap_parts.variants import Ablation, latent_spaces

from facelab.methods.idmap import training
from facelab.methods.idmap.variants import VARIANTS

PARTS = ("generated", "photo-like", "reconstruction", "variants", "paths", "sequences",
         "deidentification")  # fmt: skip
OF_MAP = tuple(part for part in PARTS if part != "variants")


def measure(options: argparse.Namespace) -> dict:
    """All parts that were asked for."""
    judges, wanted = Judges.of(options), set(options.parts)
    told: dict = {"judges": judges.facts(), "latent space": {}}
    if wanted & set(OF_MAP):
        subject = Subject(options.checkpoint)
        told["checkpoint"] = subject.facts()
        told["LORD"] = lord_facts(options.lord)
        for name, make in of_map(options, subject, judges).items():
            told[name] = make()
            print(f"{name}: done", flush=True)
    if "variants" in wanted:
        told |= Ablation(options, judges).report()
        told["latent space"] |= latent_spaces(told["variants"])
    return told


def of_map(
    options: argparse.Namespace, subject: Subject, judges: Judges
) -> dict[str, Callable[[], dict]]:
    """What makes each wanted part that is about the trained map, by the record's names."""
    tables, applications = (make(options, subject, judges) for make in (Tables, Applications))
    made: dict[str, Callable[[], dict]] = {
        "generated": lambda: tables.table1("generated"),
        "photo-like": lambda: tables.table1("photo-like"),
        "reconstruction": lambda: {kind: tables.table2(kind) for kind in KINDS},
        "paths": applications.paths,
        "sequences": applications.sequences,
        "deidentification": applications.deidentification,
    }
    names = {"deidentification": "de-identification"}
    found = {names.get(name, name): made[name] for name in OF_MAP if name in options.parts}
    return {"latent space": tables.latent_space, **found}


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="of the map  [the shipped one]")
    parser.add_argument("--lord", type=Path, help="of lord-encoders, for a row of table 1")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--pairs", type=int, default=500, help="of tables 1 and 2, at most")
    parser.add_argument("--references", type=int, default=1000, help="of the distance, at most")
    parser.add_argument("--photo-like", help="word that names faces from outside  [drawn renders]")
    parser.add_argument("--people", type=int, default=200, help="of the renders")
    parser.add_argument("--views", type=int, default=6, help="of each of them")
    parser.add_argument("--optimised", type=int, default=60, help="pairs with a search, at most")
    parser.add_argument("--optimised-steps", type=int, default=200)
    parser.add_argument("--learning-rate", type=float, default=0.05, help="of the search")
    parser.add_argument("--prior", type=float, default=0.0, help="weight that keeps its w near")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS),
                        default=["full", "no-critic", "no-landmarks"])  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--data", help="word that names the variants' faces  [12,000 drawn]")
    parser.add_argument("--pretrain-steps", type=int, default=training.BOOK.pretrain_steps)
    parser.add_argument("--steps", type=int, default=2000, help="of a variant, after that")
    parser.add_argument("--variant-pairs", type=int, default=300)
    parser.add_argument("--triples", type=int, default=40, help="two ends and who is held")
    parser.add_argument("--path-steps", type=int, default=9)
    parser.add_argument("--drivers", type=int, default=10)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--donors", type=int, default=5)
    parser.add_argument("--embedder", default="faceres", help="that says who it is")
    parser.add_argument("--extractor", default="faceres", help="of the distance")
    parser.add_argument("--points", choices=POINTS, default="judge",
                        help="whose landmarks; the regressor's are those of the loss")  # fmt: skip
    parser.add_argument("--five", action="store_true", help="look with MTCNN too, which takes long")
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--channels-last", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="cpu",
                        help="of the trainings")  # fmt: skip
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/idmap.json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(recording.main("idmap: tables, ways and sequences", parsed(), measure))
