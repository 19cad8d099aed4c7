"""From picture files to faces with another's identity, a sheet and a record in a folder.

Pictures stream, as in `recognition.pictures`. Everything is read off faces at the map's own size
and framing, those that were given as well as those that were made, so that both are seen alike.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facelab.assets import cache
from facelab.errors import ParameterError
from facelab.images import load_image
from facelab.methods.idmap import checkpoint, evaluation
from facelab.methods.idmap.evaluation import EMBEDDER, Seen
from facelab.methods.idmap.model import IdentityMap
from facelab.methods.idmap.training import METHOD
from facelab.recognition import pictures
from facelab.recognition.align import (
    BOOK,
    Aligned,
    Template,
    find_template,
    paste_back,
    reframe_transform,
)
from facelab.recognition.embedder import Embedder
from facelab.recognition.embedder import embedder as find_embedder
from facelab.recognition.face_readers import landmark_judge
from facelab.recognition.face_reading import Points
from facelab.recognition.gallery import faces_of, faces_of_files
from facelab.recognition.judges import (
    doubt_of_one_person,
    judges_of,
    require_unseen,
    same_person,
)
from facelab.recognition.pictures import Folder, Report, Result, expanded, rounded
from facelab.recognition.sampling import warp
from facelab.types import Image, Picture

RECORD = "swap.json"
OTHER = "dlib"  # judges a map whose loss saw FaceRes


@dataclass(frozen=True)
class Order:
    """What is asked for: pictures of one person, pictures of others, and where results go.

    `identity` are pictures of one person, `attributes` picture files or folders of them. `aligned`
    says that all of them are faces, framed like the map's. `paste` puts the faces back into the
    photographs of `attributes`. `checkpoint` is a file that `export_weights` wrote, by default the
    shipped one; `generator` stands for the one of its header. `policy` says which face of a picture
    with several is meant. `overwrite` allows to replace results of an earlier call.
    """

    identity: tuple[Path, ...]
    attributes: tuple[Path, ...]
    output: Path
    aligned: bool = False
    paste: bool = False
    checkpoint: Path | None = None
    generator: Path | None = None
    policy: str = "error"
    overwrite: bool = False


def run(order: Order) -> Report:
    """Give faces another identity and write NAME.png of each, sheet.png and `RECORD`.

    A picture of `attributes` that can't be read, without a face or, under the policy "error", with
    several is left out and listed; where all are, `RECORD` alone is written. Raises
    `ParameterError` for options that can't be, or results that would lie on a picture that was
    given or on a file that is there; `ImageError` and `FaceCountError` when a picture of `identity`
    can't be used; `AssetError` when no checkpoint is shipped or a result can't be written;
    `CheckpointError` when the checkpoint, or the generator with it, can't be used.
    """
    pictures.require_policy(order.policy)
    if order.paste and order.aligned:
        raise ParameterError(
            "an aligned face has no photograph around it to be pasted into; leave out --paste, or "
            "give photographs without --aligned"
        )
    given = pictures.pictures_of(order.attributes)
    folder = Folder(order.output, RECORD, "swapped", overwrite=order.overwrite)
    targets = folder.targets(given, expanded(order.identity))
    judged = load_judged(order.checkpoint, order.generator)
    donor = read_person(judged, order.identity, order.policy, aligned=order.aligned)
    template = judged.model.template
    found = faces_of_files(given, template, order.policy, aligned=order.aligned)
    change = partial(_swap, judged, donor, order.paste)
    report = folder.write(targets, pictures.outcomes(found, change))
    report.about = _about(order, judged, donor)
    folder.finish(report)
    return report


# --- the networks --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """A map and its file: an id for tables, and the SHA-256."""

    map: IdentityMap
    id: str
    sha256: str

    @property
    def template(self) -> Template:
        """Where the points of a face lie in the pictures that the map takes."""
        return pictures.template_of_size(self.map.framing, self.map.size)

    def facts(self) -> dict[str, Any]:
        """Return what made the faces, as JSON values."""
        return {
            "checkpoint": self.id,
            "checkpoint_sha256": self.sha256,
            "generator": self.map.generator.id,
        }


def load_model(path: Path | None = None, generator: Path | None = None) -> Model:
    """Return the map of a file, by default the shipped one; `generator` stands for its own.

    Raises `AssetError` when none is shipped, and `CheckpointError` for a file of another method or
    a generator that the map was not made for.
    """
    file = checkpoint.book_path() if path is None else path.expanduser()
    found = checkpoint.load(file, generator=generator and generator.expanduser())
    step = checkpoint.read_header(file).get("step")
    known = f"{METHOD}, step {step:,}" if isinstance(step, int) else METHOD
    return Model(found, known, cache.sha256(file))


@dataclass(frozen=True)
class Judged:
    """A model with those who judge it: whose face it is, and where its landmarks are.

    Raises `ParameterError` when a loss of the model looked through the embedder.
    """

    model: Model
    embedder: Embedder
    points: Points

    def __post_init__(self):
        require_unseen(self.model.map.embedders, self.embedder.id)

    def read(self, faces: Image) -> Seen:
        """Return what is seen on faces that are framed like the map's."""
        framed = like_book(faces, self.model.map.framing)
        return evaluation.read(framed, self.embedder, points=self.points)

    def same(self, a: Tensor, b: Tensor) -> list[bool]:
        """Return, row by row, whether embeddings are of one person by the embedder's threshold."""
        return same_person(self.embedder, a, b)

    def facts(self) -> dict[str, Any]:
        """Return who judges, as JSON values."""
        return judges_of(self.embedder)


def load_judged(path: Path | None = None, generator: Path | None = None) -> Judged:
    """Return a map as `load_model` does, with a judge of identity that its loss did not see."""
    model = load_model(path, generator)
    name = OTHER if EMBEDDER in model.map.embedders else EMBEDDER
    return Judged(model, find_embedder(name), landmark_judge())


def like_book(faces: Image, framing: str) -> Image:
    """Return faces of one framing in that of `book64`, at the size they have."""
    if framing == BOOK:
        return faces
    side = faces.shape[3]
    target = pictures.template_of_size(BOOK, side)
    transform = reframe_transform(side, find_template(framing), target).to(faces)
    return warp(faces, transform.expand(len(faces), -1, -1), (side, side))


def kept(before: Seen, after: Seen) -> dict[str, Any]:
    """Return what is to be said of a face's pose and landmarks: degrees, and sides of a picture."""
    pose = evaluation.pose_error_deg(before.angles_rad, after.angles_rad)
    points = evaluation.expression_error(after.landmarks, before.landmarks)
    return {"pose_error_deg": rounded(pose), "landmark_error": rounded(points)}


# --- one person ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Person:
    """Whose identity it shall be: faces, their mean code, and their mean to the judge, one row.

    `doubts` are warnings; `facts` are for the record.
    """

    faces: Image
    code: Float[Tensor, "1 _"]
    embedding: Float[Tensor, "1 _"]
    facts: dict[str, Any]
    doubts: tuple[str, ...] = ()


@torch.no_grad()
def as_person(judged: Judged, faces: Image, facts: dict[str, Any]) -> Person:
    """Return the person on faces that are framed like the map's."""
    code = judged.model.map.identity_code(faces).mean(0, keepdim=True)
    seen = judged.read(faces).embeddings.mean(0, keepdim=True)
    return Person(faces, code, F.normalize(seen, dim=1), facts)


def read_person(
    judged: Judged, given: Sequence[Path], policy: str, *, aligned: bool = False
) -> Person:
    """Return the person on picture files, with a doubt when the judge sees two people there.

    Raises `ParameterError` without a picture, and as `gallery.faces_of` does.
    """
    paths = expanded(given)
    if not paths:
        raise ParameterError("no picture says whose identity it shall be; give at least one")
    template = judged.model.template
    found = [faces_of(path, template, policy, aligned=aligned)[0].images for path in paths]
    faces = torch.cat(found)
    person = as_person(judged, faces, {"pictures": [str(path) for path in paths]})
    if len(paths) == 1:
        return person
    seen = judged.read(faces).embeddings
    more, doubts = doubt_of_one_person(paths, seen, judged.embedder)
    return dataclasses.replace(person, facts=person.facts | more, doubts=doubts)


@torch.no_grad()
def dressed(model: IdentityMap, person: Person, face: Picture) -> Picture:
    """Return a face with a person's identity and all else its own: equation 1 with a mean code."""
    return model.picture(model.w(person.code, model.attribute_code(face)))


# --- one picture ---------------------------------------------------------------------------------


def _swap(judged: Judged, donor: Person, paste: bool, path: str, faces: Aligned) -> Result:
    """Return a face with the donor's identity, in its photograph where that is wanted."""
    face = faces.images
    made = dressed(judged.model.map, donor, face)
    picture = made
    if paste:  # read again: pictures may be large, and several are being searched
        picture = paste_back(made, load_image(path), faces.transforms)
    before, after = judged.read(face), judged.read(made)
    who = (donor.embedding, before.embeddings)
    cosines = [rounded(evaluation.identity_cosine(one, after.embeddings)) for one in who]
    same = [judged.same(one, after.embeddings)[0] for one in who]
    facts = {
        "box": faces.boxes[0].tolist(),
        "identity_cosine_to_identity": cosines[0],
        "identity_cosine_to_attributes": cosines[1],
        "verified_as_identity": same[0],
        "verified_as_attributes": same[1],
        **kept(before, after),
    }
    return Result(picture, torch.cat([donor.faces[:1], face, made]), facts)


def _about(order: Order, judged: Judged, donor: Person) -> dict[str, Any]:
    return {
        "identity": donor.facts,
        **judged.model.facts(),
        **judged.facts(),
        "pasted": order.paste,
        "warnings": list(donor.doubts),
    }
