"""All measures of a generator at once, for a run's record: what a row of a table is made from.

    reference = describe(real_faces, extractor("dlib"))
    row = generator_report(generator, reference, extractor("dlib"), random=random)

Pictures pass by in batches; their features alone are kept. The reference set is described once and
serves every row: random weights, trained, pre-trained. A row compares with another only where
extractor, framing and both numbers of pictures are the same, so all of these are in it.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.generators.generator import Generator
from facelab.metrics import extractors
from facelab.metrics.coverage import coverage
from facelab.metrics.diversity import identity_diversity
from facelab.metrics.extractors import Extractor, FaceFeatures
from facelab.metrics.frechet import frechet_distance
from facelab.metrics.kernel import kernel_distance
from facelab.metrics.path_length import Space, path_length
from facelab.types import Image

Progress = Callable[[int, int], None]
Pictures = Float[Tensor, "_ 3 _ _"]  # batches may differ in number


@dataclass(frozen=True)
class Described:
    """A set of pictures as features (pictures, features) and embeddings (pictures, numbers).

    `extractor` and `embedder` name the networks; `threshold` is the recogniser's squared distance
    below which two faces are one person's.
    """

    features: Float[Tensor, "pictures features"]
    embeddings: Float[Tensor, "pictures numbers"]
    extractor: str
    embedder: str
    threshold: float

    def __len__(self) -> int:
        return len(self.features)


def describe(
    pictures: Pictures | Iterable[Pictures],
    extractor: Extractor,
    identity: FaceFeatures | None = None,
    progress: Callable[[int], None] | None = None,
) -> Described:
    """Describe a set of pictures in [-1, 1], given whole or in batches.

    `identity` tells faces apart; when it is not given, `extractor` does if it is a recogniser, else
    dlib's. `progress` is told how many pictures are done. Raises `ParameterError` when there is no
    picture, and `ImageError` for pictures that can't be described.
    """
    identity = identity or _recogniser(extractor)
    features: list[Tensor] = []
    embeddings: list[Tensor] = []
    done = 0
    for batch in [pictures] if isinstance(pictures, Tensor) else pictures:
        # What a file would hold: a generator without a tanh overshoots the range.
        batch = batch.clamp(-1, 1)
        features.append(extractor.extract(batch))
        same = identity is extractor
        embeddings.append(features[-1] if same else identity.extract(batch))
        done += len(batch)
        if progress:
            progress(done)
    if not done:
        raise ParameterError("there is no picture to describe; give at least one")
    return Described(
        features=torch.cat(features),
        embeddings=torch.cat(embeddings),
        extractor=extractor.id,
        embedder=identity.id,
        threshold=identity.recogniser.threshold_squared,
    )


def _recogniser(extractor: Extractor) -> FaceFeatures:
    if isinstance(extractor, FaceFeatures):
        return extractor
    device = next(extractor.parameters()).device
    return extractors.extractor("dlib", str(device))


def generator_report(
    source: Generator | Pictures | Iterable[Pictures],
    reference: Described,
    extractor: Extractor,
    *,
    random: torch.Generator,
    identity: FaceFeatures | None = None,
    count: int = 1000,
    batch: int = 64,
    paths: int = 256,
    spaces: Sequence[Space] = ("z",),
    progress: Progress | None = None,
) -> dict:
    """Measure a generator, or pictures in batches, against a described reference set.

    Of a generator `count` pictures are drawn by `random`, the same whatever the `batch`, and
    `paths` in each of `spaces` (none for pictures alone, or with 0). `progress` is told how much of
    how much is done, pictures and paths together; of pictures in batches it is told the number
    twice. Extractor and `identity` have to be those of the reference, or `ParameterError` is
    raised; so it is for fewer than six pictures (`coverage`).

    Returns what JSON can hold: the results of `frechet_distance`, `kernel_distance`, `coverage`,
    `identity_diversity` (of both sets) and `path_length`, with all they depend on, and the seconds
    that it took.
    """
    start = time.monotonic()
    identity = identity or _recogniser(extractor)
    _require_same(reference, extractor, identity)
    is_generator = isinstance(source, Generator)
    spaces = spaces if is_generator and paths else ()
    total = count + paths * len(spaces) if is_generator else 0
    tell = _teller(progress, total)
    pictures = draw(source, count, random, batch) if is_generator else source
    generated = describe(pictures, extractor, identity, tell)
    sets = {"extractor": extractor.id, "random": random}
    report = {
        "generator": source.id if is_generator else None,
        "extractor": extractor.id,
        "embedder": identity.id,
        "pictures": {"reference": len(reference), "generated": len(generated)},
        "frechet": asdict(
            frechet_distance(reference.features, generated.features, extractor=extractor.id)
        ),
        "kernel": asdict(kernel_distance(reference.features, generated.features, **sets)),
        "coverage": asdict(coverage(reference.features, generated.features, **sets)),
        "diversity": _diversity(generated, random),
        "reference_diversity": _diversity(reference, random),
        "path_length": {},
    }
    for index, space in enumerate(spaces):
        before = count + index * paths
        length = path_length(
            source,
            extractor,
            random=random,
            space=space,
            paths=paths,
            batch=batch,
            progress=lambda done, before=before: tell(before + done),
        )
        report["path_length"][space] = asdict(length)
    report["seconds"] = time.monotonic() - start
    return report


def _require_same(reference: Described, extractor: Extractor, identity: FaceFeatures) -> None:
    here, there = (extractor.id, identity.id), (reference.extractor, reference.embedder)
    if here != there:
        raise ParameterError(
            f"the reference set was described by {there[0]!r} and, for identity, {there[1]!r}; "
            f"these are {here[0]!r} and {here[1]!r}: describe it with the same networks"
        )


def _teller(progress: Progress | None, total: int) -> Callable[[int], None]:
    """Return what passes (done, total) on; without a total, what is done stands for it."""

    def tell(done: int) -> None:
        if progress:
            progress(done, total or done)

    return tell


def draw(
    generator: Generator, count: int, random: torch.Generator, batch: int = 64
) -> Iterator[Image]:
    """Draw `count` faces of a generator, `batch` at a time, on the device that it is on."""
    where = next(generator.parameters()).device
    for latent in generator.sample_latent(count, random).split(batch):
        with torch.no_grad():
            images = generator(latent.to(where))
        yield images


def _diversity(faces: Described, random: torch.Generator) -> dict:
    found = identity_diversity(
        faces.embeddings, embedder=faces.embedder, threshold=faces.threshold, random=random
    )
    return asdict(found)
