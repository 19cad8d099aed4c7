"""Who judges, and what they say of each result.

| column | what |
|---|---|
| identity | cosine of the result and other pictures of whom it should show, by each embedder |
| same person | share of those pictures that the embedder takes for the same person's |
| attribute | whether the judge sees the attribute as it was asked for |
| attribute, where the person changes | share of `OF_THE_PICTURE` that is as on the input |
| landmarks | distance of those that shall stay from the input's |
| pose | distance of the head's angles from the input's |
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from facelab.comparison.cases import AT_ONCE, Case
from facelab.errors import ParameterError
from facelab.methods.d2ae.claims import OF_THE_PICTURE
from facelab.metrics.extractors import Extractor, extractor
from facelab.recognition.embedder import Embedder
from facelab.recognition.embedder import embedder as find_embedder
from facelab.recognition.face_points import SIZE
from facelab.recognition.face_readers import (
    ATTRIBUTES,
    LANDMARKS,
    POSE,
    AttributeClassifier,
    attribute_judge,
    landmark_judge,
)
from facelab.recognition.face_reading import Angles, pose_error_deg, read_faces
from facelab.types import Embedding, Image, Landmarks

EMBEDDERS = ("dlib", "faceres")
EXTRACTOR = "faceres"
PerRow = Float[Tensor, " rows"]


# --- judges --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judges:
    """Who judges: whose face it is, what it shows, where its landmarks are, how real it looks.

    `photos` are the photo-like faces that realism is also measured by.
    """

    embedders: tuple[Embedder, ...]
    attributes: AttributeClassifier
    points: nn.Module
    extractor: Extractor
    photos: Image

    @classmethod
    def book(cls, photos: Image) -> "Judges":
        """Return the book's judges, which nothing was trained against but one of the embedders."""
        found = tuple(find_embedder(name) for name in EMBEDDERS)
        return cls(found, attribute_judge(), landmark_judge(), extractor(EXTRACTOR), photos)

    def facts(self) -> dict[str, Any]:
        """Return who judges, as JSON values."""
        return {
            "identity": {one.id: {"same person below": one.threshold_squared}
                         for one in self.embedders},
            "attributes": f"{ATTRIBUTES}, the second one",
            "landmarks": LANDMARKS,
            "pose": POSE,
            "realism": self.extractor.id,
        }  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What the judges see on faces, a row each; `has` in the order of the judge's names."""

    embeddings: dict[str, Embedding]
    angles_rad: Angles
    landmarks: Landmarks
    has: Bool[Tensor, "faces _"]


def see(images: Image, judges: Judges) -> Seen:
    """Return what the judges see on faces in the common framing."""
    read = {one.id: read_faces(images, one, judges.points) for one in judges.embedders}
    first = next(iter(read.values()))
    has = torch.cat([judges.attributes.decide(part) for part in images.split(AT_ONCE)])
    codes = {name: found.embeddings for name, found in read.items()}
    return Seen(codes, first.angles_rad, first.landmarks, has)


# --- the values of a row -------------------------------------------------------------------------


def per_row(case: Case, before: Seen, after: Seen, gallery: Seen, judges: Judges) -> dict:
    """Return the values of each result by column, with the column's unit: (unit, values).

    `before` is what was seen on the faces, `after` on the results, `gallery` on the pictures of
    whom they should show.
    """
    found: dict[str, tuple[str, PerRow]] = {}
    for one in judges.embedders:
        own, others = after.embeddings[one.id][case.owners], gallery.embeddings[one.id]
        near = (own - others).square().sum(1) < one.threshold_squared
        found[f"identity {one.id}"] = ("cosine", _mean_of_rows((own * others).sum(1), case))
        found[f"same person {one.id}"] = ("share of pictures", _mean_of_rows(near, case))
    moved = (after.landmarks - before.landmarks)[:, case.task.kept]
    found["attribute"] = ("share", attribute_kept(case, before, after, judges.attributes.names))
    found["landmarks"] = ("sides of the picture", moved.norm(dim=2).mean(1).double() / SIZE)
    found["pose"] = ("degrees", pose_error_deg(after.angles_rad, before.angles_rad).double())
    return found


def _mean_of_rows(values: Tensor, case: Case) -> PerRow:
    """Return the mean over each row's pictures."""
    total = torch.zeros(len(case), dtype=torch.float64)
    total.index_add_(0, case.owners, values.double())
    return total / case.owners.bincount(minlength=len(case))


def attribute_kept(case: Case, before: Seen, after: Seen, names: Sequence[str]) -> PerRow:
    """Return for each result how right its attributes are, from 0 to 1.

    Of a task that changes one, whether the judge sees it as asked for. Else which share of
    `d2ae.claims.OF_THE_PICTURE` the judge sees as on the input. Raises `ParameterError` for an
    attribute that the judge does not know.
    """
    change = case.task.change
    wanted = OF_THE_PICTURE if change is None else (change.attribute,)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ParameterError(
            f"the judge does not know {missing[0]}; choose one of: {', '.join(names)}"
        )
    columns = [names.index(name) for name in wanted]
    right = before.has[:, columns] if change is None else torch.tensor(change.to)
    return (after.has[:, columns] == right).double().mean(1)
