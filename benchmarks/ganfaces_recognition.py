"""Does a recogniser learn more with generated faces added, and the more the less real data it has?

Prints a record and writes it to runs/bench/ganfaces_recognition.json. One small recogniser is
trained on a share of the base set, alone, with renders added, and with the same renders as G made
them photo-like; it is judged by pairs of held-out people. Each training is kept in
runs/bench/ganfaces_recognition/, with the sets, so that a second call goes on where the first was
ended. Without photographs the base set is the pre-trained generator's people
(`facelab.data.variations`); --base PEOPLE takes a dataset of one's own, a folder a person.

Whatever is added, faces of the base set are met as often as without: with as many added ones beside
them a training is twice as long. --same-steps trains all rows equally long, so that what is added
takes the place of base faces.
"""

import argparse
import dataclasses
import hashlib
import json
import time
from pathlib import Path

import recording
import torch

from facelab.assets import cache
from facelab.data.sources import open_dataset
from facelab.data.variations import embed_faces
from facelab.engine.settings import Settings
from facelab.methods.ganfaces import checkpoint, recognition_gain
from facelab.methods.ganfaces.recogniser import Config, TwoSets
from facelab.methods.ganfaces.recognition_gain import ADDED, FRACTIONS, Sets, Sizes
from facelab.metrics import training_gain
from facelab.metrics.training_gain import FIGURES, PairList
from facelab.recognition.embedder import embedder

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "runs/bench/ganfaces_recognition"
PACKAGE = ROOT / "facelab"
# What a training follows from beside its words: change one of these, and it is done again.
CODE = (
    "methods/ganfaces/recogniser.py", "methods/ganfaces/recognition_gain.py",
    "metrics/training_gain.py", "metrics/verification.py", "metrics/folds.py",
    "data/mixture.py", "recognition/book_training.py", "recognition/book_embedder.py",
    "recognition/augmentation.py",
)  # fmt: skip


def kept(folder: Path, make, **words) -> dict:
    """Return what `make` returns, made once for these words and this code."""
    code = "".join((PACKAGE / name).read_text() for name in CODE)
    text = json.dumps([words, hashlib.sha256(code.encode()).hexdigest()], sort_keys=True)
    place = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
    return recording.kept(place, make)


def row(sets: Sets, pairs: PairList, options, fraction: float, added: str, seed: int) -> dict:
    """Train one recogniser, or read what it gave."""
    training = sets.training(fraction, added, seed, balanced=not options.unbalanced)
    base = training.parts[0].people
    config = Config(base, training.people - base, options.weight, batch_size=options.batch)
    longer = 1 if options.same_steps else len(training) / len(training.parts[0])
    settings = Settings(
        steps=round(options.steps * longer),
        batch=options.batch,
        seed=seed,
        device=options.device,
        channels_last=True,
        workers=0,
        log_every=50,
    )

    def make() -> dict:
        method = training_gain.seeded(lambda: TwoSets(config), seed)
        return training_gain.train_and_judge(method, training, sets.held_out, pairs, settings)

    words = {"training": training.config_hash, "held out": sets.held_out.config_hash}
    words |= {"config": dataclasses.asdict(config), "settings": dataclasses.asdict(settings)}
    found = kept(options.folder / "rows", make, **words)
    told = {"fraction": fraction, "added": added, "seed": seed, **found}
    print(f"{fraction:.0%} + {added}, seed {seed}: AUC {found['auc']:.4f}, accuracy "
          f"{found['accuracy']:.4f}, {60 * found['minutes']:.0f} s", flush=True)  # fmt: skip
    return told


def references(sets: Sets, pairs: PairList) -> dict:
    """How others judge these pairs: recognisers of photographs, and the network before it learnt.

    And the pixels alone, of which 4 x 4 are averaged. The labels are by "faceres", for which the
    pairs are therefore too easy.
    """
    faces = torch.cat(
        [sets.held_out.batch(rows).images for rows in torch.arange(len(sets.held_out)).split(256)]
    )
    pixels = torch.nn.functional.avg_pool2d(faces, 4).flatten(1)
    found = {name: embed_faces(embedder(name), faces) for name in ("faceres", "dlib")}
    found["pixels"] = torch.nn.functional.normalize(pixels - pixels.mean(0), dim=1)
    before = training_gain.seeded(lambda: TwoSets(Config(2)), 0).networks["embedder"].eval()
    found["untrained"] = training_gain.embeddings_of(before, sets.held_out)
    return {name: training_gain.judged(pairs.measured(codes)) for name, codes in found.items()}


def look_alikes(sets: Sets) -> dict:
    """How many people look like somebody else to the recogniser that did not make the labels.

    And to the one that did: between the base set and those held out nothing was left out.
    """
    told = {}
    for name in (recognition_gain.JUDGE, "dlib"):
        network = embedder(name)
        codes = {}
        for part in ("base", "held_out"):
            dataset = getattr(sets, part)
            first = [int(dataset.of_person(person)[0]) for person in range(dataset.people)]
            codes[part] = embed_faces(network, dataset.batch(first).images)
        within = torch.pdist(codes["held_out"]).square()
        across = torch.cdist(codes["held_out"], codes["base"]).square()
        told[name] = {
            "pairs of held-out people below its threshold": share(within, network),
            "pairs of a held-out and a base person": share(across, network),
        }
    return told


def share(squared: torch.Tensor, network) -> float:
    return float((squared < network.threshold_squared).double().mean())


def timed(told: dict, name: str, make):
    """Return what `make` does and tell how many minutes it took."""
    start = time.perf_counter()
    found = make()
    told[name] = round((time.perf_counter() - start) / 60, 2)
    return found


def shown_progress(name: str, done: int) -> None:
    if done and done % 512 == 0:
        print(f"{name}: {done:,} faces", flush=True)


def sets_of(options: argparse.Namespace, sizes: Sizes) -> Sets:
    own = open_dataset(options.base) if options.base else None
    return recognition_gain.build(
        sizes, options.folder, options.checkpoint, own, progress=shown_progress
    )


def measure(options: argparse.Namespace) -> dict:
    """Make the sets, train every row, and say what adding gains."""
    sizes = Sizes(
        options.people, options.views, options.held_out, options.held_out_views,
        options.added_people, options.added_views, options.set_seed,
    )  # fmt: skip
    minutes: dict[str, float] = {}
    sets = timed(minutes, "sets", lambda: sets_of(options, sizes))
    pairs, place = training_gain.pair_list(sets.held_out), options.folder / "rows"
    words = {"base": sets.base.config_hash, "held out": sets.held_out.config_hash}
    told = {
        "sets": dataclasses.asdict(sizes),
        "base": {"id": sets.base.id, "people": sets.base.people, "faces": len(sets.base)},
        "generator": cache.sha256(options.checkpoint or checkpoint.book_path()),
        "pairs": len(pairs),
        "references": kept(place, lambda: references(sets, pairs), what="references", **words),
        "look-alikes": kept(place, lambda: look_alikes(sets), what="look-alikes", **words),
    }

    def train() -> list[dict]:
        return [
            row(sets, pairs, options, fraction, added, seed)
            for seed in range(options.seeds)
            for fraction in options.fractions
            for added in options.added
        ]

    told["rows"] = timed(minutes, "rows", train)
    if options.seeds > 1 and "none" in options.added and len(options.added) > 1:
        told["gains"] = {name: training_gain.gains(told["rows"], name) for name in FIGURES}
    # Of rows and sets that were kept from an earlier call the minutes are those of reading.
    return told | {"minutes": minutes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    sizes = Sizes()
    parser.add_argument("--base", help="a dataset of one's own, such as a folder of people")
    parser.add_argument("--checkpoint", type=Path, help="G's weights; default: the shipped ones")
    parser.add_argument("--people", type=int, default=sizes.base_people)
    parser.add_argument("--views", type=int, default=sizes.base_views)
    parser.add_argument("--held-out", type=int, default=sizes.held_out_people)
    parser.add_argument("--held-out-views", type=int, default=sizes.held_out_views)
    parser.add_argument("--added-people", type=int, default=sizes.added_people)
    parser.add_argument("--added-views", type=int, default=sizes.added_views)
    parser.add_argument("--set-seed", type=int, default=sizes.seed)
    parser.add_argument("--fractions", type=float, nargs="+", default=list(FRACTIONS))
    parser.add_argument("--added", nargs="+", choices=ADDED, default=list(ADDED))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--weight", type=float, default=0.5, help="of an added face's loss")
    parser.add_argument("--unbalanced", action="store_true", help="base faces as rare as they are")
    parser.add_argument("--same-steps", action="store_true", help="whatever is added")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=KEPT, help="of the sets and kept rows")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "runs/bench/ganfaces_recognition.json"
    )
    options = parser.parse_args()
    recording.record(
        "a recogniser with and without added faces",
        options.output,
        options.threads,
        lambda: measure(options),
        steps=options.steps,
        batch=options.batch,
        weight=options.weight,
        balanced=not options.unbalanced,
        same_steps=options.same_steps,
        seeds=options.seeds,
    )


if __name__ == "__main__":
    main()
