"""GANFaces and its baselines at an equal budget: who is told apart, what is real, what is kept.

Prints a record and writes it to runs/bench/ganfaces.json. Every variant of
`facelab.methods.ganfaces.variants` is trained for the same steps on the same data, with every seed;
then G translates renders of people that no training has (AnnyFaces' test split), and
`facelab.metrics.translation` measures the faces by networks that no loss saw. Beside them: the
renders themselves, photo-like faces of the domain to reach, true pairs of photograph and render,
given checkpoints, and the paper's unclear formulas both ways (`readings`). With --moments and --log
comes how the shipped training went: its G after more and more steps, and its losses. The chapter
and `methods.ganfaces.claims` want both.

Runs and measurements are kept in runs/bench/ganfaces/: a call that was ended goes on when it is
called again. With --sheets it only draws: eight people in eight views each, renders above and what
the checkpoint makes of them below.
"""

import argparse
import dataclasses
import functools
import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from operator import getitem
from pathlib import Path

import recording
import torch
from recording import code, digest

from facelab.assets import cache, networks
from facelab.data.anny_faces import AnnyFaces
from facelab.data.base import FaceDataset
from facelab.data.domains import Domains
from facelab.data.packed import pack
from facelab.data.samples import Samples
from facelab.data.seeding import stream
from facelab.data.sources import open_dataset
from facelab.engine import loop
from facelab.engine.settings import Settings
from facelab.engine.trainer import values_of
from facelab.errors import AssetError
from facelab.images import grid, save_image
from facelab.methods.ganfaces import checkpoint, evaluation, readings, training
from facelab.methods.ganfaces.claims import COUNTS
from facelab.methods.ganfaces.evaluation import Faces, Seen
from facelab.methods.ganfaces.variants import FULL, VARIANTS, derive
from facelab.methods.ganid.targets import VIEW_NOISE
from facelab.metrics.extractors import extractor
from facelab.metrics.paired import mean_interval
from facelab.metrics.translation import realism, translation_report
from facelab.recognition.embedder import embedder
from facelab.types import Picture

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "runs/bench/ganfaces"
DATA = "+".join(str(ROOT / f"runs/{name}.facepack") for name in ("renders", "samples", "pairs"))
TRAINED_BY = tuple(f"methods/ganfaces/{name}" for name in ("losses", "networks", "training"))
MEASURED_BY = ("methods/ganfaces/evaluation", "metrics/translation", "metrics/separation")
TEST_SEED, PHOTO_SEED, OTHER_PHOTOS = 77, 90, 91
SHEET = 8  # people, and views of each
POINTS = 60  # of a curve in the record


def kept(make: Callable[[], dict], *words: object) -> dict:
    """Return what `make` returns, made once for these words and this code."""
    place = KEPT / f"measured/{digest(*words, code(*MEASURED_BY))}.json"
    return recording.kept(place, make)


# --- data ----------------------------------------------------------------------------------------


class Strangers:
    """Who measures, and on what: renders of unseen people, and photographs by their features."""

    def __init__(self, options: argparse.Namespace, size: int):
        self.judge, self.extractor = embedder(options.judge), extractor(options.extractor)
        self.people, self.views, self.size = options.people, options.views, size
        self.replicates, self.photos = options.replicates, options.photos
        renders = AnnyFaces(size, self.people, self.views, seed=TEST_SEED, split="test")
        path = KEPT / f"renders-{renders.config_hash[:16]}.facepack"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.renders = pack(renders, path)
        counts = self.photos, self.replicates
        self.words = (self.judge.id, self.extractor.id, self.renders.config_hash, *counts)
        self._before: Seen | None = None
        self._features: torch.Tensor | None = None

    @property
    def features(self) -> torch.Tensor:
        """Photographs that no training had, as features."""
        if self._features is None:
            pictures = images_of(Samples(self.photos, seed=PHOTO_SEED, split="test"))
            self._features = self.extractor.extract(pictures)
        return self._features

    def translated(self, g: evaluation.Translate, seen: tuple[str, ...]) -> dict:
        """Measure what G makes of the renders."""
        faces = evaluation.translate(g, self.renders, range(len(self.renders)))
        if self._before is None:
            self._before = evaluation.read(faces.renders, self.judge)
        return self.measured(faces, seen, self._before)

    def measured(self, faces: Faces, seen: tuple[str, ...], before: Seen | None = None) -> dict:
        start = time.perf_counter()
        told = translation_report(
            faces,
            self.features,
            self.judge,
            self.extractor,
            seen=seen,
            random=torch.Generator().manual_seed(0),
            replicates=self.replicates,
            before=before,
        )
        return told | {"seconds": round(time.perf_counter() - start, 1)}


def images_of(dataset: FaceDataset, at_once: int = 256) -> torch.Tensor:
    numbers = torch.arange(len(dataset)).split(at_once)
    return torch.cat([dataset.batch(part).images for part in numbers])


@torch.no_grad()
def photo_people(people: int, views: int) -> Faces:
    """People of the photo-like domain: a latent vector each, and noise of 0.3 of the prior about.

    The domain has one face a person; this is the nearest that it has to several.
    """
    network = Samples(1, split="test").generator
    random = stream("ganfaces-photo-people", 0)
    middle = network.sample_latent(people, random).repeat_interleave(views, dim=0)
    noise = network.sample_latent(people * views, random)
    latents = middle + VIEW_NOISE * noise
    images = torch.cat([network(part) for part in latents.split(64)]).clamp(-1, 1)
    return Faces(images, images, torch.arange(people).repeat_interleave(views))


def references(judges: Strangers, pairs: FaceDataset) -> dict:
    """What is no G: nothing done, photographs, and true pairs."""

    def renders() -> dict:
        return judges.translated(evaluation.unchanged, ())

    def photos() -> dict:
        told = judges.measured(photo_people(judges.people, judges.views), ())
        fresh = images_of(Samples(judges.photos, seed=OTHER_PHOTOS, split="test"))
        features = judges.extractor.extract(fresh)
        how = {"extractor": judges.extractor.id, "random": torch.Generator().manual_seed(0)}
        told["realism"] = dataclasses.asdict(realism(judges.features, features, **how))
        return {k: v for k, v in told.items() if k not in ("control", "light correlation")}

    def true_pairs() -> dict:
        return judges.measured(evaluation.pair_faces(pairs, range(count)), ())

    count = min(len(pairs), judges.people * judges.views)
    return {
        "renders": kept(renders, "renders", *judges.words),
        "photos (R)": kept(photos, "photos", *judges.words),
        "true pairs": kept(true_pairs, "true pairs", count, pairs.config_hash, *judges.words),
    }


# --- training ------------------------------------------------------------------------------------


def base_config(options: argparse.Namespace, data: FaceDataset) -> training.Config:
    """The preset at the data's size and people, with what the options change."""
    config = training.PRESETS[options.preset]
    width = options.width or config.translator.width
    return dataclasses.replace(
        config,
        size=data.size,
        people=data.people,
        embedder=options.embedder,
        translator=dataclasses.replace(config.translator, width=width),
        critic_width=options.width or config.critic_width,
    )


def trained(
    config: training.Config, data: Domains, settings: Settings
) -> tuple[torch.nn.Module, training.Game, loop.Result]:
    """Train a game, or go on with it, and return G's average."""
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        game = training.Game(config)
    words = values_of(config), dataclasses.asdict(settings), data.config_hash, code(*TRAINED_BY)
    result = loop.train(game, data, settings, KEPT / f"runs/{digest(*words)}", resume=True)
    if result.outcome == "interrupted":
        sys.exit(130)
    return result.networks["generator"], game, result


def curve(result: loop.Result, name: str) -> list[list[float]] | None:
    """Steps and values of a logged number, thinned; None for one that isn't logged."""
    return thinned([(e.step, e.losses) for e in result.history], name)


def thinned(logged: Sequence[tuple[int, Mapping]], name: str) -> list[list[float]] | None:
    """The mean of a logged number over as many stretches of steps as a figure shows."""
    points = [(step, losses[name]) for step, losses in logged if name in losses]
    stride = max(1, len(points) // POINTS)
    parts = [points[first : first + stride] for first in range(0, len(points), stride)]
    return [[part[-1][0], sum(value for _, value in part) / len(part)] for part in parts] or None


def counts_from(people: int, faces: int) -> int:
    """From which step on 95 % of the people have a centroid: until then many faces count 0."""
    return math.ceil(3 * people / faces)


CURVES = {
    "set loss": "generator/identity_set",
    "cycle": "generator/cycle",
    "adversarial": "generator/adversarial",
    "k photo": "generator/k photo",
    "M": "generator/M",
}


def one(
    name: str, seed: int, options: argparse.Namespace, data: Domains, judges: Strangers
) -> dict:
    """Train a variant with a seed and measure it."""
    config = derive(base_config(options, data), name)
    settings = Settings(
        steps=options.steps,
        batch=config.batch_size,
        seed=seed,
        precision=options.precision,
        channels_last=options.channels_last,
        log_every=max(1, options.steps // POINTS),
        device="cpu",
    )
    words = name, values_of(config), dataclasses.asdict(settings), data.config_hash, judges.words

    def make() -> dict:
        g, game, result = trained(config, data, settings)
        told = judges.translated(g, tuple(game.embedders))
        return told | {
            "minutes": round(result.minutes, 2),
            "losses": dict(result.history[-1].losses) if result.history else {},
            "curves": {title: curve(result, key) for title, key in CURVES.items()},
            COUNTS: counts_from(config.people, config.batch_size),
        }

    return kept(make, *words, code(*TRAINED_BY))


def variants(options: argparse.Namespace, data: Domains, judges: Strangers) -> dict:
    """Every variant with every seed, its seeds' spread, and what the paper says of it."""
    rows = {}
    for name in options.variants:
        seeds = {seed: one(name, seed, options, data, judges) for seed in options.seeds}
        rows[name] = {
            "name": VARIANTS[name].name,
            "paper": VARIANTS[name].paper,
            "weights": values_of(derive(base_config(options, data), name).weights),
            "over seeds": over_seeds([main_numbers(row) for row in seeds.values()]),
            "seeds": seeds,
        }
        means = {title: round(v["mean"], 4) for title, v in rows[name]["over seeds"].items()}
        print(name, means, flush=True)
    for name in rows:
        if FULL in rows and name != FULL:
            rows[name]["less the full method"] = less_full(rows, name)
    return rows


SUMMED: Mapping[str, tuple[str, ...]] = {
    "1 - EER": ("separation", "one_minus_eer"),
    "d-prime": ("separation", "d_prime"),
    "within / between": ("coherence", "ratio"),
    "kernel distance": ("realism", "value"),
    "pose, share of strangers'": ("control", "pose", "ratio"),
    "landmarks, share of strangers'": ("control", "landmarks", "ratio"),
    "light, share of strangers'": ("control", "light", "ratio"),
    "light correlation": ("light correlation",),
}


def main_numbers(row: dict) -> dict[str, float]:
    """The numbers of a row that the table has."""
    return {title: float(functools.reduce(getitem, path, row)) for title, path in SUMMED.items()}


def over_seeds(rows: Sequence[Mapping[str, float]]) -> dict:
    """Mean, least and most of each number; the interval over seeds where they are five or more."""
    told = {}
    for title in SUMMED:
        values = torch.tensor([row[title] for row in rows], dtype=torch.float64)
        ends = {"least": float(values.min()), "most": float(values.max())}
        told[title] = described(values) | ends
    return told


def less_full(rows: dict[str, dict], name: str) -> dict:
    """A variant's numbers less the full method's of the same seed."""
    own, full = (
        [main_numbers(row) for row in rows[which]["seeds"].values()] for which in (name, FULL)
    )
    pairs = zip(own, full, strict=True)
    return over_seeds([{title: a[title] - b[title] for title in a} for a, b in pairs])


def described(values: torch.Tensor) -> dict:
    values = values.double()
    found = mean_interval(values, torch.Generator().manual_seed(0))
    return {"mean": float(values.mean()), "interval": found and [found.low, found.high]}


# --- checkpoints ---------------------------------------------------------------------------------


def given(options: argparse.Namespace) -> list[Path]:
    """The files to look at: those given, else the shipped one if there is one."""
    if options.checkpoint:
        return options.checkpoint
    try:
        return [checkpoint.book_path()]
    except AssetError as error:
        print(f"no row of a checkpoint: {error}")
        return []


def checkpoints(options: argparse.Namespace, judges: Strangers) -> dict:
    """What given files make of the renders."""
    rows = {}
    for path in given(options):
        rows[path.name] = of_file(path, judges)
    return rows


def of_file(path: Path, judges: Strangers) -> dict:
    """What a file's G makes of the renders."""
    sha256, seen = cache.sha256(path), evaluation.embedders_of(path)

    def make() -> dict:
        return judges.translated(checkpoint.load(path), seen)

    return kept(make, "checkpoint", sha256, *judges.words) | {"sha256": sha256}


def shipped_curves(options: argparse.Namespace, people: int) -> dict:
    """What the log of a long run says of its losses."""
    entries = [json.loads(line) for line in options.log.read_text().splitlines()]
    points = [(entry["step"], entry["losses"]) for entry in entries]
    faces = entries[-1]["faces"] // entries[-1]["step"]
    return {
        "curves": {title: thinned(points, key) for title, key in CURVES.items()},
        COUNTS: counts_from(people, faces),
    }


def moments(options: argparse.Namespace, judges: Strangers) -> list[dict]:
    """The table's numbers of one training's G after more and more steps, as its files say."""
    rows = []
    for path in options.moments:
        header = networks.read_header(path, checkpoint.METHOD, checkpoint.WRITER)
        row = of_file(path, judges)
        rows.append({"step": header["step"], "sha256": row["sha256"], **main_numbers(row)})
        print(rows[-1], flush=True)
    return sorted(rows, key=lambda row: row["step"])


def sheet(path: Path, renders: FaceDataset) -> Picture:
    """Eight people, a row of renders each and below it what G makes of them."""
    faces = evaluation.translate(checkpoint.load(path), renders, range(SHEET * SHEET))
    rows = [faces.renders.split(SHEET), faces.made.split(SHEET)]
    return grid(torch.cat([part for pair in zip(*rows, strict=True) for part in pair]), SHEET)


# --- what the paper leaves open ------------------------------------------------------------------


def mean_path(paths: torch.Tensor, every: int) -> list[float]:
    """The mean over seeds, (seeds, points), at every so many points."""
    return [round(float(value), 4) for value in paths.mean(0)[::every]]


def unclear() -> dict:
    """Both readings of three formulas, by experiments of a second each."""
    signs, k = readings.sign_paths(), readings.k_paths(*readings.noisy_errors())
    told = {
        "equation 7, within / between": {
            sign: {
                "before": described(path[:, 0]),
                "after": described(path[:, -1]),
                "path": mean_path(path, 5),
            }
            for sign, path in signs.items()
        },
        "k_t, last": {
            name: described(path[:, -1]) | {"path": mean_path(path, 200)}
            for name, path in k.items()
        },
    }
    for title, measure in (("wander", readings.wander), ("lag, visits", readings.lag)):
        told[f"beta, {title}"] = {name: described(v) for name, v in measure().items()}
    return told


# --- everything ----------------------------------------------------------------------------------


def measure(options: argparse.Namespace) -> dict:
    """All rows of the table."""
    data = open_dataset(options.data)
    judges = Strangers(options, data.size)
    return {
        "data": {"id": data.id, "sha256": data.config_hash},
        "config": values_of(base_config(options, data)),
        "measured on": {"renders": judges.renders.config(), "photos": options.photos},
        "references": references(judges, data.pairs),
        "variants": variants(options, data, judges),
        "checkpoints": checkpoints(options, judges),
        "moments": moments(options, judges),
        "shipped training": options.log and shipped_curves(options, data.people),
        "readings": unclear(),
    }


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=DATA, help="RENDERS+PHOTOS+PAIRS")
    parser.add_argument("--preset", choices=sorted(training.PRESETS), default="book")
    parser.add_argument("--width", type=int, help="of G, G' and the critics; the preset's")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="*", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--embedder", default="dlib", help="that the set-based loss looks through")
    parser.add_argument("--judge", default="faceres", help="embedder that says who is who")
    parser.add_argument("--extractor", default="faceres", help="of the kernel distance")
    parser.add_argument("--people", type=int, default=200, help="that are measured on")
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--channels-last", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--checkpoint", type=Path, nargs="*", help="files of G  [the shipped one]")
    parser.add_argument("--moments", type=Path, nargs="*", default=[], help="files of one training")
    parser.add_argument("--log", type=Path, help="log.jsonl of that training")
    parser.add_argument("--sheets", type=Path, metavar="DIR", help="only draw, into this folder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/ganfaces.json")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    if options.sheets:
        torch.set_num_threads(options.threads)
        renders = AnnyFaces(64, SHEET, SHEET, seed=TEST_SEED, split="test")
        for path in given(options):
            print(save_image(sheet(path, renders), options.sheets / f"{path.stem}.png"))
        return
    recording.record(
        "GANFaces and its baselines, an equal budget",
        options.output,
        options.threads,
        lambda: measure(options),
        preset=options.preset,
        steps=options.steps,
        seeds=options.seeds,
        embedder=options.embedder,
        judge=options.judge,
        extractor=options.extractor,
    )


if __name__ == "__main__":
    main()
