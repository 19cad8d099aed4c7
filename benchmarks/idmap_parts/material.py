"""What the parts share: the map, who judges it, on which faces, and what is measured only once."""

import argparse
import functools
import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import recording
import torch
from recording import code, digest
from torch import Tensor, nn

from facelab.assets import cache
from facelab.data.anny_faces import AnnyFaces
from facelab.data.base import FaceDataset
from facelab.data.latents import W_LABEL, DrawnFaces
from facelab.data.packed import Packed, pack
from facelab.data.sources import open_dataset
from facelab.generators.generator import Generator
from facelab.methods.idmap import checkpoint, evaluation
from facelab.methods.idmap.evaluation import Combine, Faces
from facelab.methods.idmap.model import IdentityMap
from facelab.metrics.bootstrap import Interval
from facelab.metrics.extractors import Extractor, extractor
from facelab.recognition.embedder import Embedder, embedder
from facelab.recognition.face_points import landmark_regressor
from facelab.recognition.face_readers import LANDMARKS, POSE, landmark_judge
from facelab.types import Image

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "runs/bench/idmap"
ROOM = "methods/idmap"
MEASURED_BY = (
    *(f"{ROOM}/{name}" for name in ("evaluation", "model", "networks", "latent_space")),
    "data/latents", "metrics/combination", "metrics/kernel", "recognition/face_reading",
)  # fmt: skip
TOLD = ("config", "images", "seed", "data")
POINTS = ("judge", "regressor")
TEST_SEED = 11  # of the people and faces that are measured on
AT_ONCE = 64


def kept(make: Callable[[], dict], *words: object, by: str, code_of: tuple[str, ...] = ()) -> dict:
    """Return what `make` returns and its seconds, made once for these words and this code.

    `by` is the file of the caller, `code_of` further modules of facelab.
    """

    def timed() -> dict:
        start = time.perf_counter()
        return make() | {"seconds": round(time.perf_counter() - start, 1)}

    own = Path(by).read_text(), Path(__file__).read_text()
    name = digest(*words, own, code(*MEASURED_BY, *code_of))
    return recording.kept(KEPT / f"measured/{name}.json", timed)


def stream(seed: int = 0) -> torch.Generator:
    """A stream of random numbers of its own, so that no part depends on another."""
    return torch.Generator().manual_seed(seed)


def as_json(interval: Interval | None) -> dict | None:
    return interval and asdict(interval)


# --- the map -------------------------------------------------------------------------------------


class Subject:
    """The map of a file, by default of the shipped one."""

    def __init__(self, path: Path | None):
        self.path = path or checkpoint.book_path()
        self.model: IdentityMap = checkpoint.load(self.path)
        self.sha256 = cache.sha256(self.path)

    def facts(self) -> dict:
        """What the file says of its training."""
        header = checkpoint.read_header(self.path)
        steps = {"steps": header["step"]} if "step" in header else {}
        return {"sha256": self.sha256, **steps, **{k: header[k] for k in TOLD if k in header}}


def unstretched(model: IdentityMap) -> Combine:
    """What draws a map's vectors as M gives them."""
    return lambda identity, attributes: model.draw(model.predict(identity, attributes))


# --- who judges ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judges:
    """Who it is, where the landmarks are, and what pictures are compared by."""

    embedder: Embedder
    extractor: Extractor
    points: nn.Module
    landmarks: str
    replicates: int
    five: bool

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Judges":
        """Those that the options name."""
        judged = options.points == "judge"
        points = landmark_judge() if judged else landmark_regressor()
        name = LANDMARKS if judged else "landmark_regressor: the loss looks through it"
        found = embedder(options.embedder), extractor(options.extractor)
        return cls(*found, points, name, options.replicates, options.five)

    @functools.cached_property
    def words(self) -> tuple:
        """What measurements depend on."""
        said = self.embedder.id, self.extractor.id, self.landmarks, weights_of(self.points)
        return (*said, self.replicates, self.five)

    def facts(self) -> dict:
        """Who judged, for the record."""
        return {
            "identity": self.embedder.id,
            "threshold squared": self.embedder.threshold_squared,
            "landmarks": self.landmarks,
            "pose": POSE,
            "distance": self.extractor.id,
        }

    def read(self, images: Image) -> evaluation.Seen:
        return evaluation.read(images, self.embedder, points=self.points)


def weights_of(network: nn.Module) -> str:
    """Letters that stand for a network's weights: a reader may be trained anew."""
    found = hashlib.sha256()
    for tensor in network.state_dict().values():
        found.update(tensor.cpu().float().numpy().tobytes())
    return found.hexdigest()[:16]


# --- faces ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pairs:
    """Pairs of faces, who gives the identity, faces of the same kind that are in none of them.

    `w` are the true vectors of a generator's faces, both of each pair, None for others. `words` say
    which faces these are.
    """

    identity: Image
    attributes: Image
    references: Image
    words: tuple
    people: Tensor | None = None
    w: Tensor | None = None

    def __len__(self) -> int:
        return len(self.identity)

    def first(self, count: int) -> "Pairs":
        """The first pairs."""
        people = None if self.people is None else self.people[:count]
        first = self.identity[:count], self.attributes[:count]
        return Pairs(*first, self.references, (*self.words, count), people)

    def combined(self, make: Combine) -> Faces:
        """What is made of all pairs."""
        return self.with_made(evaluation.combine(make, self.identity, self.attributes, AT_ONCE))

    def with_made(self, made: Image) -> Faces:
        return Faces(self.identity, self.attributes, made, self.people)


def drawn_pairs(generator: Generator, count: int, references: int) -> Pairs:
    """Faces that the generator draws and no training has, each in one pair."""
    faces = DrawnFaces(generator, 2 * count + references, seed=TEST_SEED, split="test")
    batch = faces.batch(range(len(faces)))
    identity, attributes, others = batch.images.split([count, count, references])
    words = ("generated", faces.config_hash, count)
    return Pairs(identity, attributes, others, words, w=batch.labels[W_LABEL][: 2 * count])


def renders(people: int, views: int) -> Packed:
    """Renders of people that no training has, drawn once."""
    faces = AnnyFaces(64, people, views, seed=TEST_SEED, split="test")
    path = KEPT / f"test-{faces.config_hash[:16]}.facepack"
    path.parent.mkdir(parents=True, exist_ok=True)
    return pack(faces, path)


def photo_like(options: argparse.Namespace) -> FaceDataset:
    """Faces from outside the generator: those that were named, or renders."""
    if options.photo_like is None:
        return renders(options.people, options.views)
    return open_dataset(options.photo_like)


def pairs_of(faces: FaceDataset, count: int, references: int) -> Pairs:
    """Pairs of two people each; who is in the references is in no pair."""
    random = stream(TEST_SEED)
    people = faces.identity.unique()
    people = people[torch.randperm(len(people), generator=random)]
    inputs, others = people.tensor_split([len(people) - len(people) // 3])
    rows = [spread(faces.identity, torch.isin(faces.identity, who), random)
            for who in (inputs, others)]  # fmt: skip
    who = faces.identity[rows[0]]
    chosen = rows[0][:count]
    able = (who[None] != faces.identity[chosen][:, None]).double()
    partners = rows[0][torch.multinomial(able, 1, generator=random)[:, 0]]
    found = [images_of(faces, part) for part in (chosen, partners, rows[1][:references])]
    words = ("photo-like", faces.config_hash, len(chosen), len(found[2]))
    return Pairs(*found, words, faces.identity[chosen])


def spread(identity: Tensor, wanted: Tensor, random: torch.Generator) -> Tensor:
    """Rows in an order in which nobody comes again before everybody came."""
    rows = wanted.nonzero()[:, 0]
    rows = rows[torch.randperm(len(rows), generator=random)]
    rows = rows[identity[rows].argsort(stable=True)]
    _, counts = identity[rows].unique_consecutive(return_counts=True)
    turn = torch.cat([torch.arange(n) for n in counts.tolist()])
    return rows[turn.argsort(stable=True)]


def images_of(dataset: FaceDataset, rows: Tensor) -> Image:
    return torch.cat([dataset.batch(part).images for part in rows.split(AT_ONCE)])
