"""What a transfer of an attribute reaches, keeps and spoils; with intervals over people.

| here | question | claim of DIAT (Li et al. 2016) |
|---|---|---|
| accepted | does an independent classifier see the attribute? | figures 4, 5 |
| identity distance | is it still the same person, to a recogniser that no loss saw? | figure 12 |
| change, PSNR, SSIM outside | does the rest of the face stay as it is? | figure 10 |
| artefact energy | is there a pattern or noise that was not there? | figures 10, 13 |
| colour error | does the face keep its colours? | figure 11 |
| kernel distance | do made faces look like faces that have the attribute? | figures 10, 13 |

`methods.diat.evaluation` reads the values off the faces, one a face. People are drawn anew for
every interval (`bootstrap`), but for the kernel distance's, which leaves groups of faces out. A
share of accepted faces says little without that of the inputs, which a judge may accept as they
are; and an identity distance little without that of a stranger.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from facelab.errors import ParameterError
from facelab.methods.diat.evaluation import Faces, Seen
from facelab.metrics import pixels
from facelab.metrics.bootstrap import (
    Interval,
    Statistic,
    Weights,
    bootstrap_interval,
    weighted_mean,
)
from facelab.metrics.extractors import Extractor
from facelab.metrics.features import Features
from facelab.metrics.kernel import kernel_distance
from facelab.metrics.paired import compare_people
from facelab.metrics.separation import ratio_of
from facelab.recognition.judges import require_unseen

STRANGERS = 4  # other people's faces that each made face is compared with
WIDTH = 2.0  # of the range of values, [-1, 1]
UNITS: Mapping[str, str] = {
    "accepted": "share of faces",
    "accepted before": "share of faces",
    "identity distance": "squared distance of unit embeddings",
    "change outside": "mean absolute difference of values in [-1, 1]",
    "PSNR outside": "dB",
    "SSIM outside": "1 where nothing changed",
    "artefact energy": "mean square of values in [-1, 1]",
    "colour error": "Delta E 1976",
}

People = Int[Tensor, " faces"]
PerFace = Float[Tensor, " faces"]


@dataclass(frozen=True)
class Estimate:
    """A mean over faces, or a ratio of such means, and its interval over people.

    `value` is None where it is not finite: the PSNR of faces that did not change. `interval` is
    None there too, and with fewer than five people.
    """

    unit: str
    value: float | None
    interval: Interval | None


def per_face(faces: Faces, readings: Seen) -> dict[str, PerFace]:
    """Return the values of each face by the names of `UNITS`, float64.

    PSNR is that of the pixels where nothing shall change, infinite where nothing did. SSIM is that
    of the made face whose masked part was put back: so what may change counts as kept, and a window
    at the mask's edge sees the rest alone. Raises `ParameterError` for pictures below 11 pixels.
    """
    kept = faces.made if faces.masks is None else _put_back(faces)
    return {
        "accepted": (readings.after > 0).double(),
        "accepted before": (readings.before > 0).double(),
        "identity distance": readings.identity.double(),
        "change outside": readings.change.double(),
        "PSNR outside": 10 * torch.log10(WIDTH**2 / readings.squared_change.double()),
        "SSIM outside": pixels.ssim(kept, faces.images, data_range=(-1, 1)),
        "artefact energy": readings.artefacts.double(),
        "colour error": readings.colour.double(),
    }


def _put_back(faces: Faces) -> Float[Tensor, "faces 3 _ _"]:
    return torch.where(faces.masks > 0, faces.images, faces.made)


def estimates(
    values: Mapping[str, PerFace], people: People, *, random: torch.Generator, replicates: int
) -> dict[str, Estimate]:
    """Return the mean of each value with its interval; `people` numbers who each face shows."""
    pairs, found = torch.stack([people, people], dim=1), {}
    for name, one in values.items():
        if not one.isfinite().all():
            found[name] = Estimate(UNITS[name], None, None)
            continue
        statistic = weighted_mean(one)
        interval = bootstrap_interval(statistic, pairs, generator=random, replicates=replicates)
        found[name] = Estimate(UNITS[name], float(one.mean()), interval)
    return found


def against_strangers(
    readings: Seen, people: People, *, random: torch.Generator, replicates: int
) -> dict[str, Estimate]:
    """Return a stranger's distance, and the identity distance as a share of it.

    A stranger's is that of a made face and another person's input. A share of 0 is the same face
    to the recogniser, about 1 is nobody in particular. Raises `ParameterError` when all faces are
    one person's.
    """
    first = torch.arange(len(people)).repeat(STRANGERS)
    second = torch.randint(len(people), (len(first),), generator=random)
    others = people[first] != people[second]
    first, second = first[others], second[others]
    if not len(first):
        raise ParameterError(
            f"all {len(people)} faces are one person's, so none is a stranger's; give more people"
        )
    between = readings.embeddings_after[first] - readings.embeddings_before[second]
    count = len(people)
    own = _part(readings.identity, slice(count))
    other = _part(between.square().sum(1), slice(count, None))
    themselves, two = torch.stack([people, people], 1), people[torch.stack([first, second], 1)]
    pairs = torch.cat([themselves, two])
    told = {}
    for name, unit, statistic in (
        ("stranger's distance", UNITS["identity distance"], other),
        ("share of a stranger's distance", "1 for a stranger", ratio_of(own, other)),
    ):
        interval = bootstrap_interval(statistic, pairs, generator=random, replicates=replicates)
        told[name] = Estimate(unit, statistic(np.ones(len(pairs))), interval)
    return told


def _part(values: Float[Tensor, " pairs"], rows: slice) -> Statistic:
    """Return the statistic: the weighted mean of some rows' values."""
    mean = weighted_mean(values.double())

    def statistic(weights: Weights) -> float:
        return mean(weights[rows])

    return statistic


def report(
    faces: Faces,
    readings: Seen,
    guided: Features,
    extractor: Extractor,
    *,
    seen: Iterable[str],
    random: torch.Generator,
    replicates: int = 1000,
) -> dict:
    """Measure a transfer by its faces, and against faces with the attribute.

    `readings` are those of `methods.diat.evaluation.read`; `guided` are the faces with the
    attribute as features of `extractor`; `seen` are the embedders that the transfer's loss looked
    through. Returns JSON values: an `Estimate` by each name of `UNITS` and of `against_strangers`,
    the result of `kernel_distance`, and who judged. Raises `ParameterError` when a judge is one of
    `seen`, or a part of it.
    """
    seen = tuple(seen)
    for scoring in (readings.embedder, extractor.id):
        require_unseen(seen, scoring)
    how = {"random": random, "replicates": replicates}
    told = estimates(per_face(faces, readings), faces.people, **how)
    told |= against_strangers(readings, faces.people, **how)
    features = extractor.extract(faces.made)
    distance = kernel_distance(guided, features, extractor=extractor.id, random=random)
    return {
        "embedders seen in training": list(seen),
        "embedder": readings.embedder,
        "extractor": extractor.id,
        "faces": len(faces),
        "people": len(faces.people.unique()),
        **{name: asdict(found) for name, found in told.items()},
        "kernel distance": asdict(distance),
    }


def enhancement_report(
    before: Mapping[str, PerFace],
    after: Mapping[str, PerFace],
    people: People,
    *,
    random: torch.Generator,
) -> dict:
    """Compare the values of the same faces before and after the enhancement, by name.

    Both are `per_face`'s, row by row; `people` numbers who they show. Each person's faces are
    averaged first, since they are not independent: the things of `paired.compare` are people, and
    its difference is after less before. Returns JSON values; None where a value is not finite.
    Raises `ParameterError` for fewer than two people.
    """
    return compare_people(after, before, people, random, UNITS)
