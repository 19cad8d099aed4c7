"""Tables 1 and 2 of idmap (Nitzan et al. 2020), with intervals: what two faces' combination keeps.

| here | of | table |
|---|---|---|
| identity: cosine of a judge's embeddings | I_id and I_out | 1, 2 |
| expression: distance of landmarks in sides of the picture | I_attr and I_out | 1, 2 |
| expression shape: the same without place, size and roll | I_attr and I_out | |
| pose: distance of Euler angles in degrees | I_attr and I_out | 1, 2 |
| verified as identity, as attributes: the judge takes it for that person | both | |
| kernel or Fréchet distance to pictures that are no inputs | I_out | 1 |
| RMSE, PSNR | I_out and the one input | 2 |

`methods.idmap.evaluation` reads the values off the faces. Everything is with the mean over pairs,
the deviation from pair to pair, as in the paper, and a bootstrap interval of the mean over the
people who give an identity. A mean says little without the rows of `copy_identity` and
`copy_attributes`. The paper's FID is of cropped faces, by a network that does not come with
facelab; `extractor` names what stands for it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from facelab.errors import ParameterError
from facelab.methods.idmap import evaluation
from facelab.methods.idmap.evaluation import Faces, Seen
from facelab.metrics import pixels
from facelab.metrics.bootstrap import Interval, bootstrap_interval, weighted_mean
from facelab.metrics.extractors import Extractor
from facelab.metrics.features import Features
from facelab.metrics.frechet import frechet_distance
from facelab.metrics.kernel import kernel_distance
from facelab.metrics.paired import compare_people
from facelab.recognition.embedder import Embedder
from facelab.recognition.face_readers import LANDMARKS, POSE
from facelab.recognition.face_reading import Points
from facelab.recognition.judges import require_unseen
from facelab.types import Image

# With fewer pictures a Fréchet distance is mostly its bias; the kernel's has none.
ENOUGH = 2000
UNITS: Mapping[str, str] = {
    "identity": "cosine",
    "expression": "sides of the picture",
    "expression norm": "sides of the picture",
    "expression shape": "root mean square distances from the landmarks' centre",
    "pose": "degrees",
    "five points": "sides of the picture",
    "verified as identity": "share of pairs",
    "verified as attributes": "share of pairs",
    "RMSE": "where black and white are 1 apart",
    "PSNR": "dB",
}

PerPair = Float[Tensor, " pairs"]
People = Int[Tensor, " pairs"]
Values = Mapping[str, PerPair]
Others = Mapping[str, Float[Tensor, " others"]]


@dataclass(frozen=True)
class Column:
    """A mean over pairs, the deviation of one pair, and the mean's interval over people.

    `pairs` counts those that have a value: five points are NaN where a face was not found. All
    three are None where a value is infinite, as the PSNR of equal pictures is, or none is left;
    `deviation` for a single pair, and `interval` with fewer than five people.
    """

    unit: str
    mean: float | None
    deviation: float | None
    interval: Interval | None
    pairs: int


# --- pair by pair --------------------------------------------------------------------------------


class Reader:
    """Reads faces with one judge, each tensor of pictures once: rows share their inputs.

    `points` and `five` are those of `evaluation.read`.
    """

    def __init__(self, judge: Embedder, points: Points | None = None, five: bool = False):
        self.judge, self.how = judge, {"points": points, "five": five}
        self._known: list[tuple[Image, Seen]] = []

    def __call__(self, images: Image) -> Seen:
        """Return what is seen on faces framed like `book64`."""
        for known, seen in self._known:
            if known is images:
                return seen
        seen = evaluation.read(images, self.judge, **self.how)
        self._known.append((images, seen))
        return seen


def per_pair(faces: Faces, read: Reader) -> dict[str, PerPair]:
    """Return the values of each pair by names of `UNITS`, float64: the columns of table 1."""
    who, how, made = (read(images) for images in (faces.identity, faces.attributes, faces.made))
    points = (made.landmarks, how.landmarks)
    found = {
        "identity": evaluation.identity_cosine(who.embeddings, made.embeddings),
        "expression": evaluation.expression_error(*points),
        "expression norm": evaluation.expression_norm(*points),
        "expression shape": evaluation.expression_shape_error(*points),
        "pose": evaluation.pose_error_deg(how.angles_rad, made.angles_rad),
        "verified as identity": evaluation.verified(who, made),
        "verified as attributes": evaluation.verified(how, made),
    }
    if made.five is not None and how.five is not None:
        found["five points"] = evaluation.five_point_error(made.five, how.five)
    return {name: values.double() for name, values in found.items()}


def per_reconstruction(faces: Faces, read: Reader) -> dict[str, PerPair]:
    """Return the values of each pair by names of `UNITS`, float64: the columns of table 2.

    RMSE is on a scale where black and white are 1 apart. Raises `ParameterError` unless both inputs
    are one picture and the result has its size.
    """
    alike = faces.identity.shape == faces.attributes.shape
    if not alike or not torch.equal(faces.identity, faces.attributes):
        raise ParameterError("a reconstruction is of one face; give it as identity and attributes")
    found = per_pair(faces, read)
    kept = ("identity", "expression", "expression norm", "expression shape", "pose")
    pair = (faces.made, faces.identity)
    return {
        "RMSE": pixels.rmse(*pair, data_range=(-1, 1)) / 2,
        "PSNR": pixels.psnr(*pair, data_range=(-1, 1)),
        **{name: found[name] for name in kept},
    }


def columns(
    values: Values, people: People, *, random: torch.Generator, replicates: int = 1000
) -> dict[str, Column]:
    """Return mean, deviation and interval of each value; `people` are drawn, not pairs."""
    told = {}
    for name, one in values.items():
        known = ~one.isnan()
        some, who = one[known], people[known]
        if not len(some) or not some.isfinite().all():
            told[name] = Column(UNITS[name], None, None, None, len(some))
            continue
        told[name] = Column(
            UNITS[name],
            float(some.mean()),
            float(some.std()) if len(some) > 1 else None,
            bootstrap_interval(
                weighted_mean(some),
                torch.stack([who, who], dim=1),
                generator=random,
                replicates=replicates,
            ),
            len(some),
        )
    return told


def paired(
    first: Values, second: Others, people: Int[Tensor, " rows"], *, random: torch.Generator
) -> dict[str, dict | None]:
    """Compare two rows of the same pairs: first less second, by the names that both have.

    Each person's pairs are averaged first, so the things of `paired.compare` are people. Returns
    JSON values; None where a value is not finite. Raises `ParameterError` for other numbers of
    pairs, or fewer than two people.
    """
    for name in (name for name in first if name in second):
        if len(first[name]) != len(people) or len(second[name]) != len(people):
            raise ParameterError(
                f"rows of {len(first[name])} and {len(second[name])} pairs, of {len(people)} "
                "people, can't be compared; make both of the same pairs"
            )
    return compare_people(first, second, people, random, UNITS)


# --- tables --------------------------------------------------------------------------------------


def set_distance(
    references: Features, made: Features, *, extractor: str, random: torch.Generator
) -> dict:
    """Return the distance of two sets of features, as JSON values with `kind`.

    "kernel" while either set has fewer than `ENOUGH` pictures, else "frechet".
    """
    if min(len(references), len(made)) < ENOUGH:
        found = kernel_distance(references, made, extractor=extractor, random=random)
        return {"kind": "kernel", **asdict(found)}
    return {"kind": "frechet", **asdict(frechet_distance(references, made, extractor=extractor))}


def table1(
    rows: Mapping[str, Faces],
    judge: Embedder,
    extractor: Extractor,
    random: torch.Generator,
    *,
    references: Image,
    seen: Iterable[str],
    against: str | None = None,
    replicates: int = 1000,
    points: Points | None = None,
    five: bool = False,
) -> dict:
    """Measure rows of combined pairs, by name: the columns of table 1, each with its interval.

    `references` are pictures of the inputs' kind that are no input of a row; `seen` the embedders
    that losses looked through; `against` names a row that all others are compared with, pair by
    pair. `points` and `five` are those of `evaluation.read`.

    Returns JSON values: who judged, and for each row of "rows" its `columns` and "distance"; in
    "differences" each other row less that of `against`. Raises `ParameterError` when a network that
    judges is one of `seen` or a part of it, or there is no such row, and `AssetError` while no
    `landmark_judge` is shipped.
    """
    told = _heading(rows, judge, seen, extractor=extractor.id)
    if against is not None and against not in rows:
        known = ", ".join(rows)
        raise ParameterError(f"there is no row {against!r} to compare with; rows are: {known}")
    read, target = Reader(judge, points, five), extractor.extract(references)
    values = {name: per_pair(faces, read) for name, faces in rows.items()}
    told |= {"references": len(references), "rows": {}, "differences": {}}
    for name, faces in rows.items():
        row = _row(faces, values[name], random, replicates)
        features = extractor.extract(faces.made)
        how = {"extractor": extractor.id, "random": random}
        told["rows"][name] = row | {"distance": set_distance(target, features, **how)}
        if against is not None and name != against:
            told["differences"][name] = paired(
                values[name], values[against], faces.who, random=random
            )
    return told


def table2(
    rows: Mapping[str, Faces],
    judge: Embedder,
    random: torch.Generator,
    *,
    seen: Iterable[str],
    replicates: int = 1000,
    points: Points | None = None,
) -> dict:
    """Measure rows of rebuilt faces, whose both inputs are one: the columns of table 2.

    Returns JSON values as `table1`, without distances. Raises as `table1` and `per_reconstruction`.
    """
    told, read = _heading(rows, judge, seen), Reader(judge, points)
    told["rows"] = {
        name: _row(faces, per_reconstruction(faces, read), random, replicates)
        for name, faces in rows.items()
    }
    return told


def _heading(
    rows: Mapping[str, Faces], judge: Embedder, seen: Iterable[str], **others: str
) -> dict:
    """Return who judges, once it is sure that no loss looked through them."""
    if not rows:
        raise ParameterError("there is no row to measure; give at least one")
    seen = tuple(seen)
    for scoring in (judge.id, LANDMARKS, POSE, *others.values()):
        require_unseen(seen, scoring)
    return {"embedders seen in training": list(seen), "judge": judge.id, **others}


def _row(faces: Faces, values: Values, random: torch.Generator, replicates: int) -> dict:
    found = columns(values, faces.who, random=random, replicates=replicates)
    return {
        "pairs": len(faces),
        "people": len(faces.who.unique()),
        **{name: asdict(column) for name, column in found.items()},
    }
