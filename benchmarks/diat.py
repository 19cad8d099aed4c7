"""DIAT's variants at an equal budget: what is reached, who is kept, what is spoiled.

Prints a record and writes it to runs/bench/diat.json. Every variant of
`facelab.methods.diat.variants` is trained for the same steps on the same data, with every seed; the
second stage follows where a variant has one, on the T of the same seed. Then `metrics.transfer`
measures the faces of people that no training has (AnnyFaces' test split), by networks that no loss
saw. Beside them: the inputs as they are, other people's faces that have the attribute, and the
shipped checkpoints, each before and after its enhancement; those also on faces of the pre-trained
generator, which have no labels: there a second reader says who lacks the attribute.

While a T is trained, the judge's accepted share of validation faces and their identity distance are
measured every so many steps: from these curves come the steps that two variants need for the same
share, and who is kept better there. f of equation 6
is trained once, for all seeds.

Runs and measurements are kept in runs/bench/diat/: a call that was ended goes on when it is called
again.
"""

import argparse
import dataclasses
import functools
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import recording
import torch
from recording import code, digest
from torch import nn

from facelab.assets import cache
from facelab.data.anny_faces import AnnyFaces
from facelab.data.base import FaceDataset
from facelab.data.by_attribute import ByAttribute
from facelab.data.packed import Packed, pack
from facelab.data.samples import Samples
from facelab.data.sources import open_dataset
from facelab.engine import loop
from facelab.engine.export import export_weights
from facelab.engine.settings import Evaluation, Settings
from facelab.engine.trainer import values_of
from facelab.methods.diat import checkpoint, enhancement, evaluation, regularisation, training
from facelab.methods.diat.evaluation import Faces
from facelab.methods.diat.features import FRAMING
from facelab.methods.diat.masks import face_masks
from facelab.methods.diat.networks import Denoiser
from facelab.methods.diat.tasks import TASKS, Task, find_task
from facelab.methods.diat.transfer import Transfer
from facelab.methods.diat.variants import VARIANTS, derive
from facelab.metrics.extractors import extractor
from facelab.metrics.paired import mean_interval
from facelab.metrics.transfer import enhancement_report, per_face, report
from facelab.phases import Method
from facelab.recognition.align import reframe
from facelab.recognition.embedder import embedder
from facelab.recognition.face_readers import attribute_classifier, attribute_judge

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "runs/bench/diat"
ROOM = "methods/diat"
TRAINED_BY = tuple(
    f"{ROOM}/{name}"
    for name in ("losses", "networks", "features", "training", "regularisation", "masks")
)
ENHANCED_BY = (f"{ROOM}/enhancement", f"{ROOM}/transfer")
MEASURED_BY = (f"{ROOM}/evaluation", f"{ROOM}/masks", "metrics/transfer", "metrics/kernel")
TRAIN_SEED, TEST_SEED, VALIDATION_SEED, PHOTO_SEED = 5, 11, 12, 90
AT_ONCE = 64
POINTS = 60  # of a loss's curve in the record
LEVELS = (0.5, 0.8, 0.9)  # accepted shares whose steps are compared
GROUND = {"diat": "diat-3", "diat-a": "diat-a0"}  # whose T is enhanced
# What the paper says of one against another.
PAIRS = (
    ("diat-a", "diat-1"), ("diat-2", "diat-1"), ("diat-3", "diat-2"), ("diat-a0", "diat-3"),
    ("diat-a", "diat-a0"), ("diat-a", "diat"),
)  # fmt: skip
# Whose people are compared at an equal share of accepted faces.
SAME_SHARE = (("diat-a0", "diat-1"), ("diat-2", "diat-1"), ("diat-a0", "diat-3"))
SUMMED = (
    "accepted", "accepted before", "identity distance", "share of a stranger's distance",
    "change outside", "PSNR outside", "SSIM outside", "artefact energy", "colour error",
    "kernel distance",
)  # fmt: skip
# Options that a trained row depends on.
TRAINED_WITH = (
    "preset", "steps", "enhancement_steps", "denoiser_steps", "every", "validation",
    "validation_faces", "people", "views", "precision", "channels_last", "device",
)  # fmt: skip


def kept(make: Callable[[], dict], *words: object) -> dict:
    """Return what `make` returns, made once for these words and this code."""
    place = KEPT / f"measured/{digest(*words, code(*MEASURED_BY))}.json"
    return recording.kept(place, make)


# --- data ----------------------------------------------------------------------------------------


def drawn(size: int, people: int, views: int, seed: int, split: str) -> Path:
    """Return the file of faces that don't exist, drawn once."""
    faces = AnnyFaces(size, people, views, seed=seed, split=split)
    path = KEPT / f"{split}-{faces.config_hash[:16]}.facepack"
    path.parent.mkdir(parents=True, exist_ok=True)
    pack(faces, path)
    return path


def training_data(options: argparse.Namespace) -> FaceDataset:
    """Return what is trained on, the task's inputs and guided set."""
    word = options.data or str(drawn(64, 400, 8, TRAIN_SEED, "train"))
    task = find_task(options.task)
    return open_dataset(f"{word}:to:{'' if task.to else 'no-'}{task.attribute}")


def images_of(dataset: FaceDataset, rows: torch.Tensor) -> torch.Tensor:
    return torch.cat([dataset.batch(part).images for part in rows.split(AT_ONCE)])


class Strangers:
    """Who measures, and on whom: people that no training has, one set of faces for all rows.

    Of the faces that have the attribute half are what made faces are compared with, and half stand
    in for made faces.
    """

    def __init__(self, options: argparse.Namespace, task: Task, size: int):
        self.task, self.replicates = task, options.replicates
        self.embedder, self.extractor = embedder(options.embedder), extractor(options.extractor)
        counts = size, options.people, options.views
        path = options.test or drawn(*counts, TEST_SEED, "test")
        self.test = Packed(path, masks=(task.mask,) if task.local else ())
        piles = ByAttribute(self.test, task.attribute, task.to)
        count = min(len(piles.rows), options.faces)
        self.inputs = evaluation.choose_inputs(self.test, task, count)
        away = dataclasses.replace(task, to=not task.to)
        count = min(len(piles.guided_rows), 2 * options.guided)
        guided = evaluation.choose_inputs(self.test, away, count)
        guided = guided[torch.randperm(len(guided), generator=torch.Generator().manual_seed(0))]
        self.guided, self.stand_ins = guided.tensor_split(2)
        self.words = (task.name, self.test.config_hash, self.inputs.tolist(), len(guided),
                      self.embedder.id, self.extractor.id, self.replicates)  # fmt: skip

    @functools.cached_property
    def features(self) -> torch.Tensor:
        """The guided set as features."""
        return self.extractor.extract(images_of(self.test, self.guided))

    def measured(self, faces: Faces, seen: Sequence[str]) -> tuple[dict, dict]:
        """Return a row of the table, and what it was made of."""
        readings = evaluation.read(faces, self.task, embedder=self.embedder, seen=seen)
        told = report(
            faces,
            readings,
            self.features,
            self.extractor,
            seen=seen,
            random=torch.Generator().manual_seed(0),
            replicates=self.replicates,
        )
        return told, per_face(faces, readings)

    def changed(self, change: evaluation.Change) -> Faces:
        """Return the inputs and what becomes of them."""
        where = str(next(change.parameters()).device) if isinstance(change, nn.Module) else "cpu"
        return evaluation.transfer_faces(
            change, self.test, self.inputs, task=self.task, device=where
        )

    def enhanced(self, transfer: Transfer, seen: Sequence[str]) -> dict:
        """Return a transfer's row with the second stage, without it, and their differences.

        Of a global task also that of the inputs after the second stage alone: drawn anew.
        """
        first, before = self.measured(self.changed(transfer.transformed), seen)
        told, after = self.measured(self.changed(transfer), seen)
        random = torch.Generator().manual_seed(0)
        people = self.test.identity[self.inputs]
        compared = enhancement_report(before, after, people, random=random)
        if not self.task.local:
            again, _ = self.measured(self.changed(lambda x: transfer.enhance(x, x)), seen)
            told["re-rendering"] = again
        return told | {"before the enhancement": first, "enhancement": compared}


def references(judges: Strangers) -> dict:
    """What is no transfer: nothing done, and another person's face that has the attribute."""

    def copies() -> dict:
        return judges.measured(judges.changed(evaluation.unchanged), ())[0]

    def others() -> dict:
        faces = judges.changed(evaluation.unchanged)
        who, random = judges.test.identity[judges.stand_ins], torch.Generator().manual_seed(0)
        able = (who[None] != faces.people[:, None]).double()
        chosen = judges.stand_ins[torch.multinomial(able, 1, generator=random)[:, 0]]
        made = images_of(judges.test, chosen)
        return judges.measured(dataclasses.replace(faces, made=made), ())[0]

    return {
        "inputs": kept(copies, "inputs", *judges.words),
        "others with the attribute": kept(others, "others", *judges.words),
    }


# --- training ------------------------------------------------------------------------------------


def base_config(options: argparse.Namespace, data: FaceDataset) -> training.Config:
    """The preset at the data's size, with what the options change."""
    config = training.Game.for_task(options.preset, options.task).config
    width = options.width or config.transform.width
    return dataclasses.replace(
        config,
        size=data.size,
        transform=dataclasses.replace(config.transform, width=width),
        discriminator_width=options.width or config.discriminator_width,
    )


def variant_config(name: str, options: argparse.Namespace, data: FaceDataset) -> training.Config:
    """A variant; an identity loss may be given another weight, as its unit is its network's."""
    config = derive(base_config(options, data), name)
    given = options.adaptive_weight if config.adaptive else options.face_weight
    if given is None or not config.weights.identity:
        return config
    weights = dataclasses.replace(config.weights, identity=given)
    return dataclasses.replace(config, weights=weights)


def settings_of(options: argparse.Namespace, batch: int, seed: int, steps: int) -> Settings:
    return Settings(
        steps=steps,
        batch=batch,
        seed=seed,
        precision=options.precision,
        channels_last=options.channels_last,
        log_every=max(1, steps // POINTS),
        device=options.device,
    )


def trained(
    method: Method,
    data: FaceDataset,
    settings: Settings,
    words: Sequence[object],
    measuring: Evaluation | None = None,
) -> loop.Result:
    """Train a method, or go on with it; `words` are what else its folder is named after."""
    own = method.id, values_of(method.config), dataclasses.asdict(settings), data.config_hash
    folder = KEPT / f"runs/{digest(*own, *words)}"
    result = loop.train(method, data, settings, folder, resume=True, evaluation=measuring)
    if result.outcome == "interrupted":
        sys.exit(130)
    return result


def seeded(make: Callable[[], Method], seed: int) -> Method:
    """Return a method whose first weights follow from the seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


class Ablation:
    """The variants' trainings, on one dataset."""

    def __init__(self, options: argparse.Namespace, judges: Strangers, data: FaceDataset):
        self.options, self.judges, self.data = options, judges, data

    @functools.cached_property
    def faces(self) -> Packed:
        """People that neither training nor test has, for the curves."""
        options = self.options
        counts = self.data.size, max(1, options.people // 4), options.views
        return Packed(options.validation or drawn(*counts, VALIDATION_SEED, "validation"))

    @functools.cached_property
    def validation(self) -> torch.Tensor:
        """The faces that a point of a curve is measured on."""
        count = self.options.validation_faces
        return images_of(self.faces, evaluation.choose_inputs(self.faces, self.judges.task, count))

    @functools.cached_property
    def themselves(self) -> torch.Tensor:
        """Who is on the validation faces, to the embedder."""
        return self.embedded(self.validation)

    def embedded(self, images: torch.Tensor) -> torch.Tensor:
        judge = self.judges.embedder
        parts = images.split(AT_ONCE)
        return torch.cat([judge.embed(reframe(x, FRAMING, judge.template)) for x in parts])

    def point(self, found: Mapping[str, nn.Module]) -> dict[str, float]:
        """Return the share of validation faces that the judge accepts after T, and who they are."""
        network, task, judge = found["transform"], self.judges.task, attribute_judge()
        where, column = next(network.parameters()).device, judge.names.index(task.attribute)
        parts = [network(x.to(where)).cpu().clamp(-1, 1) for x in self.validation.split(AT_ONCE)]
        made = torch.cat(parts)
        decided = judge.decide(reframe(made, FRAMING, FRAMING))[:, column]
        moved = (self.embedded(made) - self.themselves).square().sum(1)
        return {
            "accepted": float((decided == task.to).double().mean()),
            "identity distance": float(moved.double().mean()),
        }

    @functools.cached_property
    def denoiser_config(self) -> regularisation.Config:
        """The sizes of g and f: those of the variants' T."""
        base = base_config(self.options, self.data)
        shape = dataclasses.replace(base.transform, skip=False)
        preset = regularisation.PRESETS[self.options.preset]
        return dataclasses.replace(preset, size=base.size, shape=shape)

    @functools.cached_property
    def denoiser(self) -> Denoiser:
        """f of equation 6, one for all seeds."""
        config, words = self.denoiser_config, [code(*TRAINED_BY)]
        settings = settings_of(self.options, config.batch_size, 0, self.options.denoiser_steps)
        g = seeded(lambda: regularisation.Reconstruction(config), 0)
        copied = trained(g, self.data, settings, words).networks["reconstruction"].cpu()
        f = seeded(lambda: regularisation.Denoising(config, copied), 0)
        return trained(f, self.data, settings, words).networks["denoiser"].cpu()

    def game(self, name: str, seed: int) -> tuple[training.Game, loop.Result]:
        """Train the T of a variant with a seed, or find it trained."""
        config = variant_config(name, self.options, self.data)
        denoiser = self.denoiser if config.weights.smooth else None
        game = seeded(lambda: training.Game(config, denoiser), seed)
        settings = settings_of(self.options, config.batch_size, seed, self.options.steps)
        measuring = Evaluation(self.point, self.options.every, embedders=(self.judges.embedder.id,))
        words = [measuring.every, self.faces.config_hash, len(self.validation), code(*TRAINED_BY)]
        return game, trained(game, self.data, settings, words, measuring)

    def second_stage(self, name: str, seed: int) -> tuple[Transfer, tuple[str, ...], loop.Result]:
        """Train the E behind a variant's T of the same seed."""
        _, first = self.game(GROUND[name], seed)
        path = KEPT / f"files/{first.folder.name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        export_weights(first.folder, path, ("transform",))
        after = functools.partial(enhancement.Enhancement.after, self.options.preset, path)
        stage, steps = seeded(after, seed), self.options.enhancement_steps
        settings = settings_of(self.options, stage.config.batch_size, seed, steps)
        result = trained(stage, self.data, settings, [code(*TRAINED_BY, *ENHANCED_BY)])
        config = stage.config
        found = result.networks["transform"].cpu(), result.networks["enhancer"].cpu()
        transfer = Transfer(stage.task, config.size, *found, config.sigma_px).eval()
        return transfer, tuple(stage.embedders), result

    def row(self, name: str, seed: int) -> dict:
        """Train a variant with a seed and measure it."""
        options = self.options
        config = variant_config(name, options, self.data)
        words = [name, values_of(config), seed, self.data.config_hash, *self.judges.words]
        words += [getattr(options, word) for word in TRAINED_WITH]
        if config.weights.smooth:
            words.append(values_of(self.denoiser_config))

        def make() -> dict:
            if VARIANTS[name].enhanced:
                transfer, seen, result = self.second_stage(name, seed)
                told = self.judges.enhanced(transfer, seen)
                return told | spent(result, enhancement.PRESETS[options.preset].batch_size)
            game, result = self.game(name, seed)
            change = result.networks["transform"].cpu()
            told, _ = self.judges.measured(self.judges.changed(change), tuple(game.embedders))
            told |= spent(result, config.batch_size, config.pretrain_steps)
            return told | {"while training": curve(result)}

        return kept(make, *words, code(*TRAINED_BY, *ENHANCED_BY))


def spent(result: loop.Result, batch: int, first: int = 0) -> dict:
    """What a training took, and its last losses; a step's seconds are those after the `first`.

    The median over the log leaves out the stretches in which a curve was measured.
    """
    rates = [entry.faces_per_second for entry in result.history if entry.step > first]
    return {
        "steps": result.step,
        "minutes": round(result.minutes, 2),
        "seconds per step": batch / statistics.median(rates) if rates else None,
        "losses": dict(result.history[-1].losses) if result.history else {},
    }


def curve(result: loop.Result) -> list[list[float]]:
    """Steps, accepted shares, and identity distances."""
    names = "accepted", "identity distance"
    return [
        [entry.step, *(entry.metrics[name] for name in names)]
        for entry in result.history
        if names[0] in entry.metrics
    ]


def variants(options: argparse.Namespace, judges: Strangers, data: FaceDataset) -> dict:
    """Every variant with every seed, their spread, and what the paper says of it."""
    ablation, rows = Ablation(options, judges, data), {}
    for name in options.variants:
        wanted = options.seeds[:1] if name in options.once else options.seeds
        seeds = {seed: ablation.row(name, seed) for seed in wanted}
        config = variant_config(name, options, data)
        rows[name] = {
            "name": VARIANTS[name].name,
            "paper": VARIANTS[name].paper,
            "identity": config.identity,
            "weights": values_of(config.weights),
            "over seeds": over_seeds([main_numbers(row) for row in seeds.values()]),
            "seeds": seeds,
        }
        means = {title: v and round(v["mean"], 4) for title, v in rows[name]["over seeds"].items()}
        print(name, means, flush=True)
    return rows


# --- comparisons ---------------------------------------------------------------------------------


def main_numbers(row: dict) -> dict[str, float | None]:
    """The numbers of a row that the table has."""
    return {title: row[title]["value"] for title in SUMMED}


def over_seeds(rows: Sequence[Mapping[str, float | None]]) -> dict:
    """Mean, least and most of each number; the interval over seeds where they are five or more."""
    told: dict[str, dict | None] = {}
    for title in rows[0]:
        found = [row[title] for row in rows]
        if any(value is None for value in found):  # the PSNR of a T that changes nothing
            told[title] = None
            continue
        values = torch.tensor(found, dtype=torch.float64)
        interval = mean_interval(values, torch.Generator().manual_seed(0))
        told[title] = {
            "mean": float(values.mean()),
            "interval": interval and [interval.low, interval.high],
            "least": float(values.min()),
            "most": float(values.max()),
        }
    return told


def differences(rows: Mapping[str, dict]) -> dict:
    """One variant's numbers less another's of the same seed, over seeds."""
    told = {}
    for one, other in PAIRS:
        if one in rows and other in rows:
            found = []
            for seed in common_seeds(rows, one, other):
                a, b = (main_numbers(rows[which]["seeds"][seed]) for which in (one, other))
                whole = {t: None not in (a[t], b[t]) for t in a}
                found.append({t: a[t] - b[t] if whole[t] else None for t in a})
            told[f"{one} less {other}"] = over_seeds(found)
    return told


def common_seeds(rows: Mapping[str, dict], one: str, other: str) -> list[int]:
    """The seeds that both variants were trained with."""
    return [seed for seed in rows[one]["seeds"] if seed in rows[other]["seeds"]]


def reached(points: Sequence[Sequence[float]], level: float, first: int) -> int | None:
    """Return after how many steps of the game a curve is at a level for the first time."""
    return next((int(step) - first for step, share, _ in points if share >= level), None)


def steps_to_the_same(rows: Mapping[str, dict], pretraining: int, every: int) -> dict | None:
    """Return the steps of DIAT-A0 and of DIAT3 to the same accepted shares, by seed.

    `both` is the highest share that both reach. A share is seen every so many steps, which is how
    exact all of this is.
    """
    names = ("diat-a0", "diat-3")
    if not all(name in rows for name in names):
        return None
    told: dict = {
        "paper": "Section 5.5: DIAT-A takes about a third of the training time of DIAT",
        "measured every": every,
        "pre-training, not counted": pretraining,
        "seeds": {},
    }
    for seed in common_seeds(rows, *names):
        runs = [rows[name]["seeds"][seed] for name in names]
        curves = [run["while training"] for run in runs]
        levels = {str(level): level for level in LEVELS}
        levels["both"] = shared_level(curves)
        told["seeds"][seed] = {
            name: compared(curves, runs, level, pretraining) for name, level in levels.items()
        }
    return told


def shared_level(curves: Sequence[Sequence[Sequence[float]]]) -> float:
    """The highest accepted share that all curves reach."""
    return min(max(share for _, share, _ in points) for points in curves)


def identity_at_the_same_share(rows: Mapping[str, dict]) -> dict:
    """Identity distance of two variants where each first has the highest share that both reach.

    A variant that changes less keeps people better and transfers less: at one share it counts.
    """
    told: dict = {}
    for one, other in SAME_SHARE:
        if one not in rows or other not in rows:
            continue
        told[f"{one} less {other}"] = {}
        for seed in common_seeds(rows, one, other):
            curves = [rows[name]["seeds"][seed]["while training"] for name in (one, other)]
            level = shared_level(curves)
            a, b = (next(kept for _, s, kept in points if s >= level) for points in curves)
            told[f"{one} less {other}"][seed] = {"accepted": level, one: a, other: b, "less": a - b}
    return told


def compared(curves: Sequence, runs: Sequence[dict], level: float, pretraining: int) -> dict:
    """Steps and seconds of both to one level, and the first over the second."""
    steps = [reached(points, level, pretraining) for points in curves]
    told = {"level": level, "diat-a0, steps": steps[0], "diat-3, steps": steps[1]}
    each = [run["seconds per step"] for run in runs]
    if None in (*steps, *each) or min(steps) <= 0:
        return told
    seconds = [n * one for n, one in zip(steps, each, strict=True)]
    return told | {"ratio of steps": steps[0] / steps[1], "ratio of time": seconds[0] / seconds[1]}


# --- checkpoints ---------------------------------------------------------------------------------


def shipped(options: argparse.Namespace) -> dict:
    """The shipped transfers on people that no training has, and on generated faces."""
    rows = {}
    for name in checkpoint.shipped():
        path = checkpoint.book_path(name)
        transfer, seen = checkpoint.load(path), evaluation.embedders_of(path)
        sha256 = cache.sha256(path)
        judges = Strangers(options, find_task(name), transfer.size)
        make = functools.partial(of_file, transfer, judges, seen, options.photos)
        words = "shipped", sha256, options.photos, *judges.words, code(*ENHANCED_BY)
        rows[name] = kept(make, *words) | {"sha256": sha256, "header": header_of(path)}
        rows[name]["references"] = references(judges)
        print(name, main_numbers(rows[name]), flush=True)
    return rows


def of_file(transfer: Transfer, judges: Strangers, seen: Sequence[str], photos: int) -> dict:
    """The rows of a file: without its second stage if it has none."""
    if transfer.enhancer is None:
        told, _ = judges.measured(judges.changed(transfer), seen)
    else:
        told = judges.enhanced(transfer, seen)
    return told | {"generated faces": elsewhere(transfer, judges, seen, photos)}


def elsewhere(
    transfer: Transfer, judges: Strangers, seen: Sequence[str], photos: int
) -> dict | None:
    """What becomes of faces of the pre-trained generator, judged by another reader than chose them.

    Each is a person. None where hardly any can be transferred, or hardly any has the attribute.
    """
    task, reader = transfer.task, attribute_classifier()
    pool = Samples(4 * photos, seed=PHOTO_SEED, split="test")
    if transfer.size != pool.size:
        return None
    images = images_of(pool, torch.arange(len(pool)))
    has = torch.cat([reader.decide(part) for part in images.split(AT_ONCE)])
    has = has[:, reader.names.index(task.attribute)] == task.to
    inputs, guided = images[~has][:photos], images[has][:photos]
    if min(len(inputs), len(guided)) < 50:
        return None
    with torch.no_grad():
        made = torch.cat([transfer(part) for part in inputs.split(AT_ONCE)])
    masks = face_masks(inputs, task.mask) if task.local else None
    faces = Faces(inputs, made, torch.arange(len(inputs)), masks)
    readings = evaluation.read(faces, task, embedder=judges.embedder, seen=seen)
    return report(
        faces,
        readings,
        judges.extractor.extract(guided),
        judges.extractor,
        seen=seen,
        random=torch.Generator().manual_seed(0),
        replicates=judges.replicates,
    )


def header_of(path: Path) -> dict:
    """What a file says of its training."""
    header = checkpoint.read_header(path)
    told = {k: header[k] for k in ("method", "step", "images", "seed", "data") if k in header}
    return told | {"T": header["config"].get("trained")}


# --- everything ----------------------------------------------------------------------------------


def measure(options: argparse.Namespace) -> dict:
    """All rows of the table."""
    data = training_data(options)
    base, task = base_config(options, data), find_task(options.task)
    judges = Strangers(options, task, data.size)
    rows = variants(options, judges, data)
    return {
        "data": {"id": data.id, "sha256": data.config_hash, "inputs": len(data.rows),
                 "guided set": len(data.guided_rows)},
        "task": {"name": task.name, "local": task.local, "paper": task.paper},
        "config": values_of(base),
        "measured on": {
            "data": judges.test.config(),
            "faces": len(judges.inputs),
            "guided": len(judges.guided),
        },
        "f of equation 6": {
            "steps of g, and of f": options.denoiser_steps,
            "trained": "once, for all seeds",
        },
        "references": references(judges),
        "variants": rows,
        "differences": differences(rows),
        "steps to the same share": steps_to_the_same(rows, base.pretrain_steps, options.every),
        "identity at the same share": identity_at_the_same_share(rows),
        "shipped": shipped(options) if options.shipped else {},
    }  # fmt: skip


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="word without the attribute  [drawn: 400 people]")
    parser.add_argument("--task", choices=list(TASKS), default="mouth_open")
    parser.add_argument("--preset", choices=sorted(training.PRESETS), default="book")
    parser.add_argument("--width", type=int, help="of T and D; the preset's")
    parser.add_argument("--steps", type=int, default=2000, help="of T and D, pre-training included")
    parser.add_argument("--enhancement-steps", type=int, default=1000)
    parser.add_argument("--denoiser-steps", type=int, default=500, help="of g, and again of f")
    parser.add_argument("--face-weight", type=float,
                        help="lambda of DIAT2 and DIAT3 alone  [the preset's]")  # fmt: skip
    parser.add_argument("--adaptive-weight", type=float, help="lambda of DIAT-A  [the preset's]")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--once", nargs="*", choices=list(VARIANTS), default=[],
                        help="variants that get the first seed alone")  # fmt: skip
    parser.add_argument("--variants", nargs="*", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--every", type=int, default=100, help="steps between points of a curve")
    parser.add_argument("--validation-faces", type=int, default=200, help="of each point")
    parser.add_argument("--embedder", default="faceres", help="that says who it is")
    parser.add_argument("--extractor", default="faceres", help="of the kernel distance")
    parser.add_argument("--faces", type=int, default=500, help="measured on, at most")
    parser.add_argument("--guided", type=int, default=500, help="faces to compare with, at most")
    parser.add_argument("--people", type=int, default=300, help="that these faces are chosen from")
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--test", type=Path, help=".facepack of those people  [drawn]")
    parser.add_argument("--validation", type=Path, help=".facepack for the curves  [drawn]")
    parser.add_argument("--photos", type=int, default=300, help="generated faces, at most")
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--shipped", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--channels-last", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/diat.json")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    recording.record(
        "DIAT's variants, an equal budget",
        options.output,
        options.threads,
        lambda: measure(options),
        preset=options.preset,
        steps=options.steps,
        seeds=options.seeds,
        embedder=options.embedder,
        extractor=options.extractor,
    )


if __name__ == "__main__":
    main()
