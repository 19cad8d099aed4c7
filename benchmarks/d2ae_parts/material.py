"""What the parts share: faces that are measured on, trainings, codes, and what is kept."""

import argparse
import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import recording
import torch
from recording import code, digest
from torch import Tensor

from facelab.assets import cache
from facelab.data.anny_faces import AnnyFaces
from facelab.data.base import FaceDataset
from facelab.data.packed import Packed, pack
from facelab.data.sources import open_dataset
from facelab.engine import loop
from facelab.engine.settings import Settings
from facelab.methods.d2ae import checkpoint, training
from facelab.methods.d2ae.model import Disentangler, Features, disentangler_of
from facelab.methods.d2ae.variants import derive

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "runs/bench/d2ae"
ROOM = "methods/d2ae"
TRAINED_BY = tuple(f"{ROOM}/{n}" for n in ("training", "losses", "networks", "spread"))
MEASURED_BY = (f"{ROOM}/model", f"{ROOM}/networks", f"{ROOM}/spread")
SIZE, VIEWS = 64, 8
TEST_SEED, PROBE_SEED, TRAIN_SEED = 21, 22, 5
LOGGED = 60  # points of a training's log
AT_ONCE = 64


def stream(seed: int = 0) -> torch.Generator:
    """A stream of random numbers of its own, so that no part depends on another."""
    return torch.Generator().manual_seed(seed)


def kept(make: Callable[[], dict], *words: object, by: str, code_of: tuple[str, ...] = ()) -> dict:
    """Return what `make` returns and its seconds, made once for these words and this code."""

    def timed() -> dict:
        start = time.perf_counter()
        return make() | {"seconds": round(time.perf_counter() - start, 1)}

    own = Path(by).read_text(), Path(__file__).read_text()
    name = digest(*words, own, code(*MEASURED_BY, *code_of))
    return recording.kept(KEPT / f"measured/{name}.json", timed)


# --- faces ---------------------------------------------------------------------------------------


def renders(people: int, seed: int, split: str) -> Packed:
    """Renders of people, drawn once."""
    faces = AnnyFaces(SIZE, people, VIEWS, seed=seed, split=split)
    path = KEPT / f"{split}-{faces.config_hash[:16]}.facepack"
    path.parent.mkdir(parents=True, exist_ok=True)
    return pack(faces, path)


@dataclass(frozen=True)
class Material:
    """Faces of people that no training has: the SVMs' and, of other people, those of all tables."""

    probe: FaceDataset
    test: FaceDataset

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Material":
        """So many people as the options say."""
        probe = renders(options.probe_people, PROBE_SEED, "validation")
        return cls(probe, renders(options.people, TEST_SEED, "test"))

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes, in the order of their labels."""
        return self.test.attribute_names

    @functools.cached_property
    def words(self) -> tuple[str, str]:
        """Which faces these are."""
        return self.probe.config_hash, self.test.config_hash


def whole(faces: FaceDataset) -> tuple[Tensor, Tensor]:
    """All pictures and attributes of a dataset."""
    parts = [faces.batch(rows) for rows in torch.arange(len(faces)).split(AT_ONCE)]
    return torch.cat([p.images for p in parts]), torch.cat([p.attributes for p in parts])


# --- who is measured -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """A trained autoencoder, what it is known by, and what its training took."""

    model: Disentangler
    words: tuple
    facts: Mapping

    def codes(self, images: Tensor) -> Features:
        return self.model.features(images)


def shipped(path: Path | None) -> Subject:
    """The autoencoder of a file, by default the book's."""
    path = path or checkpoint.book_path()
    header = checkpoint.read_header(path)
    facts = {name: header[name] for name in ("step", "images", "seed", "data") if name in header}
    sha256 = cache.sha256(path)
    return Subject(checkpoint.load(path), (sha256,), {"sha256": sha256, **facts})


class Trainings:
    """Variants of BOOK on the same faces, from first weights that follow from the seed."""

    def __init__(self, options: argparse.Namespace):
        self.options = options

    @functools.cache  # noqa: B019 - one of these lives as long as the benchmark
    def data(self, people: int) -> FaceDataset:
        """Faces of so many people, or the first of those that were named."""
        if self.options.data is not None and people == self.options.train_people:
            return open_dataset(self.options.data)
        return renders(people, TRAIN_SEED, "train")

    def trained(self, name: str, seed: int, people: int) -> Subject:
        """Train a variant, or find it trained."""
        data, settings = self.data(people), self.settings(seed)
        # An average over a hundred steps: BOOK's is as long as half of a variant's training.
        short = {"milestones": self.milestones(), "ema_decay": 0.99}
        base = dataclasses.replace(training.BOOK, **short)
        config = training.people_of(data, derive(base, name))
        own = dataclasses.asdict(config), dataclasses.asdict(settings), data.config_hash
        folder = KEPT / f"runs/{digest(*own, code(*TRAINED_BY))}"
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = training.Disentangling(config)
        result = loop.train(method, data, settings, folder, resume=True)
        if result.outcome == "interrupted":
            sys.exit(130)
        networks = {name: network.cpu() for name, network in result.networks.items()}
        last = dict(result.history[-1].losses) if result.history else {}
        spent = {"steps": result.step, "minutes": round(result.minutes, 2), "losses": last}
        return Subject(disentangler_of(networks, config), (folder.name,), spent)

    def milestones(self) -> tuple[int, ...]:
        """Where the rate falls: at the same shares of the run as in BOOK's own."""
        steps = self.options.steps
        return int(steps * 0.6), int(steps * 0.85)

    def settings(self, seed: int) -> Settings:
        """How all are trained."""
        options = self.options
        return Settings(
            steps=options.steps,
            batch=training.BOOK.batch_size,
            seed=seed,
            precision=options.precision,
            channels_last=options.channels_last,
            device=options.device,
            log_every=max(1, options.steps // LOGGED),
            checkpoint_minutes=4.0,
        )
