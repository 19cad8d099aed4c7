"""From picture files to pictures of changed codes, a sheet and a record in a folder.

Pictures stream, as in `recognition.pictures`. No loss of the method looked through a recogniser, so
any may say whose face it is; FaceRes does, on the faces that were given as on those that were made.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facelab.assets import cache
from facelab.errors import CheckpointError, ParameterError
from facelab.methods.d2ae import checkpoint, directions, editing
from facelab.methods.d2ae.editing import Directions
from facelab.methods.d2ae.model import Disentangler
from facelab.methods.d2ae.training import METHOD
from facelab.methods.idmap.evaluation import EMBEDDER, Seen, identity_cosine, read
from facelab.methods.idmap.session import kept
from facelab.recognition import pictures
from facelab.recognition.align import BOOK, Aligned, Template, reframe
from facelab.recognition.embedder import Embedder
from facelab.recognition.embedder import embedder as find_embedder
from facelab.recognition.face_readers import AttributeClassifier, attribute_judge, landmark_judge
from facelab.recognition.face_reading import Points
from facelab.recognition.gallery import Failure, faces_of, faces_of_files
from facelab.recognition.judges import doubt_of_one_person, judges_of, same_person
from facelab.recognition.pictures import Folder, Report, Result, expanded, rounded
from facelab.types import Image, Picture

RECORD = "disentangle.json"
ATTRIBUTE_JUDGE = "attribute_judge"
WIDTH = 2.0  # of the range of values, [-1, 1]


@dataclass(frozen=True)
class Order:
    """What every change is told: where results go, and how pictures are read.

    `aligned` says that all pictures are faces, framed like `book64`. `checkpoint` is a file that
    `export_weights` wrote, by default the shipped one. `policy` says which face of a picture with
    several is meant. `overwrite` allows to replace results of an earlier call.
    """

    output: Path
    aligned: bool = False
    checkpoint: Path | None = None
    policy: str = "error"
    overwrite: bool = False


# --- the networks --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """An autoencoder, its file, and who judges: whose face it is, and where its landmarks are."""

    model: Disentangler
    file: Path
    embedder: Embedder
    points: Points

    @property
    def template(self) -> Template:
        """Where the points of a face lie in the pictures that the autoencoder takes."""
        return pictures.template_of_size(self.model.framing, self.model.size)

    def read(self, faces: Image) -> Seen:
        """Return what is seen on faces."""
        return read(faces, self.embedder, points=self.points)

    def likeness(self, name: str, a: Tensor, b: Tensor) -> dict[str, Any]:
        """Return how close embeddings of one face each are, and whether they are one person's."""
        return {
            f"identity_cosine_to_{name}": rounded(identity_cosine(a, b)),
            f"verified_as_{name}": same_person(self.embedder, a, b)[0],
        }

    def facts(self) -> dict[str, Any]:
        """Return what made the faces and who judges them, as JSON values."""
        step = checkpoint.read_header(self.file).get("step")
        return {
            "checkpoint": f"{METHOD}, step {step:,}" if isinstance(step, int) else METHOD,
            "checkpoint_sha256": cache.sha256(self.file),
            **judges_of(self.embedder),
            "warnings": [],
        }


def load_judged(path: Path | None = None) -> Judged:
    """Return the autoencoder of a file, by default the shipped one, with its judges.

    Raises `AssetError` when none is shipped, and `CheckpointError` for a file of another method or
    of a training without a decoder.
    """
    file = checkpoint.book_path() if path is None else path.expanduser()
    model = checkpoint.load(file)
    if not model.config.decode:
        raise CheckpointError(
            f"{file} is of a training without a decoder, so it makes no pictures; give a "
            "checkpoint that was trained with decode=True"
        )
    return Judged(model, file, find_embedder(EMBEDDER), landmark_judge())


# --- all verbs -----------------------------------------------------------------------------------


def _folder(order: Order, use: str) -> Folder:
    pictures.require_policy(order.policy)
    return Folder(order.output, RECORD, use, overwrite=order.overwrite)


def _outcomes(
    judged: Judged, order: Order, given: Sequence[Path], change: Callable[[str, Aligned], Result]
) -> Iterator[tuple[str, Result | Failure]]:
    found = faces_of_files(given, judged.template, order.policy, aligned=order.aligned)
    return pictures.outcomes(found, change)


def _face(judged: Judged, order: Order, path: Path) -> Picture:
    """Return the one face of a picture. Raises as `gallery.faces_of` does."""
    return faces_of(path, judged.template, order.policy, aligned=order.aligned)[0].images


def _finish(folder: Folder, report: Report, judged: Judged, verb: str, **facts: Any) -> Report:
    report.about = {"verb": verb, **facts, **judged.facts(), **report.about}
    folder.finish(report)
    return report


# --- swap ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Person:
    """Whose identity it shall be: a face to show, the mean f_T, and the mean to the judge."""

    face: Picture
    t: Float[Tensor, "1 _"]
    embedding: Float[Tensor, "1 _"]


def swap(order: Order, identity: Sequence[Path], attributes: Sequence[Path]) -> Report:
    """Write NAME.png of each picture of `attributes`: its f_P with the f_T of `identity`.

    Several pictures of `identity` are of one person, and give their mean f_T. A picture of
    `attributes` that can't be read, without a face or, under the policy "error", with several is
    left out and listed; where all are, `RECORD` alone is written. Raises `ParameterError` for
    options that can't be, or results that would lie on a picture that was given or on a file that
    is there; `ImageError` and `FaceCountError` when a picture of `identity` can't be used;
    `AssetError` when no checkpoint is shipped, or a result can't be written; `CheckpointError` when
    the checkpoint can't be used. Source: section 4.3.
    """
    folder, given = _folder(order, "swapped"), pictures.pictures_of(attributes)
    paths = expanded(identity)
    if not paths:
        raise ParameterError("no picture says whose identity it shall be; give at least one")
    targets = folder.targets(given, paths)
    judged = load_judged(order.checkpoint)
    faces = torch.cat([_face(judged, order, path) for path in paths])
    seen = judged.read(faces).embeddings
    facts, doubts = doubt_of_one_person(paths, seen, judged.embedder)
    mean = F.normalize(seen.mean(0, keepdim=True), dim=1)
    donor = Person(faces[:1], judged.model.features(faces).t.mean(0, keepdim=True), mean)
    outcomes = _outcomes(judged, order, given, partial(_swapped, judged, donor))
    report = folder.write(targets, outcomes)
    report.about = {"warnings": list(doubts)}
    identity_facts = {"pictures": [str(path) for path in paths], **facts}
    return _finish(folder, report, judged, "swap", identity=identity_facts)


@torch.no_grad()
def _swapped(judged: Judged, donor: Person, path: str, faces: Aligned) -> Result:
    face = faces.images
    made = judged.model.decode(donor.t, judged.model.features(face).p)
    before, after = judged.read(face), judged.read(made)
    facts = {
        "box": faces.boxes[0].tolist(),
        **judged.likeness("identity", donor.embedding, after.embeddings),
        **judged.likeness("attributes", before.embeddings, after.embeddings),
        **kept(before, after),
    }
    return Result(made, torch.cat([donor.face, face, made]), facts)


# --- reconstruct ---------------------------------------------------------------------------------


def reconstruct(order: Order, images: Sequence[Path]) -> Report:
    """Write NAME.png of each picture: its face rebuilt from both codes. Raises as `swap` does."""
    folder, given = _folder(order, "rebuilt"), pictures.pictures_of(images)
    targets = folder.targets(given)
    judged = load_judged(order.checkpoint)
    outcomes = _outcomes(judged, order, given, partial(_rebuilt, judged))
    return _finish(folder, folder.write(targets, outcomes), judged, "reconstruct")


def _rebuilt(judged: Judged, path: str, faces: Aligned) -> Result:
    face = faces.images
    made = judged.model(face)
    before, after = judged.read(face), judged.read(made)
    facts = {
        "box": faces.boxes[0].tolist(),
        "psnr_db": psnr_db(made, face),
        **judged.likeness("input", before.embeddings, after.embeddings),
        **kept(before, after),
    }
    return Result(made, torch.cat([face, made]), facts)


def psnr_db(made: Picture, face: Picture) -> float | None:
    """Return the peak signal-to-noise ratio of one picture, or None where nothing differs."""
    error = (made.double() - face.double()).square().mean()
    return rounded(10 * torch.log10(WIDTH**2 / error)) if error else None


# --- edit ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """Attributes with their strengths, the directions, and who says whether a face has them."""

    strengths: Mapping[str, float]
    directions: Directions
    judge: AttributeClassifier

    def __post_init__(self):
        editing.require_strengths(self.strengths, self.directions)

    @torch.no_grad()
    def judged(self, face: Picture, made: Picture) -> dict[str, dict[str, float] | None]:
        """Return the judge's logits before and after, by attribute; None where it knows no such.

        Above 0 it sees the attribute.
        """
        seen = self.judge(reframe(torch.cat([face, made]), BOOK, BOOK))
        found = dict(zip(self.judge.names, seen.T.tolist(), strict=True))
        when = ("before", "after")
        return {
            name: dict(zip(when, map(rounded, found[name]), strict=True)) if name in found else None
            for name in self.strengths
        }


def edit(
    order: Order,
    images: Sequence[Path],
    strengths: Mapping[str, float],
    file: Path | None = None,
) -> Report:
    """Write NAME.png of each picture: its face with attributes changed, all at once.

    `strengths` are numbers from -1 to 1 by attribute, as `editing.moved` has them; `file` is one of
    directions, by default that beside the checkpoint. Raises `ParameterError` for an unknown
    attribute or a strength that can't be; `CheckpointError` for directions of another checkpoint;
    `AssetError` while there are none; otherwise as `swap` does. Source: section 4.3.
    """
    folder, given = _folder(order, "edited"), pictures.pictures_of(images)
    if not strengths:
        raise ParameterError("no attribute is to be changed; give --attribute with its name")
    targets = folder.targets(given)
    judged = load_judged(order.checkpoint)
    ways = directions.path_for(judged.file) if file is None else file.expanduser()
    known = directions.load(ways, judged.file)
    for direction in known.values():
        editing.along(judged.model, direction)  # one that does not fit is told before any work
    change = Change(strengths, known, attribute_judge())
    report = folder.write(
        targets, _outcomes(judged, order, given, partial(_edited, judged, change))
    )
    facts = {
        "strengths": dict(strengths),
        "branches": {name: known[name].branch for name in strengths},
        "directions_sha256": cache.sha256(ways),
    }
    return _finish(folder, report, judged, "edit", **facts, attributes=ATTRIBUTE_JUDGE)


def _edited(judged: Judged, change: Change, path: str, faces: Aligned) -> Result:
    face = faces.images
    made = editing.edited(judged.model, face, change.strengths, change.directions)
    before, after = judged.read(face), judged.read(made)
    facts = {
        "box": faces.boxes[0].tolist(),
        "judged": change.judged(face, made),
        **judged.likeness("input", before.embeddings, after.embeddings),
        **kept(before, after),
    }
    return Result(made, torch.cat([face, made]), facts)


# --- interpolate ---------------------------------------------------------------------------------


def interpolate(
    order: Order, start: Path, end: Path, branch: str = "identity", steps: int = 7
) -> Report:
    """Write frame-NN.png of `steps` pictures between two faces, as `editing.interpolated` has them.

    Raises `ParameterError` for a branch or steps that can't be, `ImageError` and `FaceCountError`
    when either picture can't be used; otherwise as `swap` does. Source: section 4.3.
    """
    folder, paths = _folder(order, "interpolated"), expanded([start, end])
    editing.require_way(branch)
    names = [f"frame-{number:02}" for number in range(len(editing.shares(steps)))]
    targets = folder.named(names, paths)
    judged = load_judged(order.checkpoint)
    ends = [_face(judged, order, path) for path in paths]
    found = _frames(judged, ends, branch, steps)
    report = folder.write(targets, ((str(start), result) for result in found))
    # One row: the face that was given, the way, and the other face.
    report.sheet = [torch.cat([ends[0], *report.sheet, ends[1]])]
    about = {"start": str(start), "end": str(end), "branch": branch}
    return _finish(folder, report, judged, "interpolate", **about)


def _frames(judged: Judged, ends: Sequence[Picture], branch: str, steps: int) -> Iterator[Result]:
    made = editing.interpolated(judged.model, *ends, steps, branch)
    first, last = (judged.read(face) for face in ends)
    for share, frame in zip(editing.shares(steps), made.split(1), strict=True):
        seen = judged.read(frame)
        facts = {
            "share": rounded(share),
            **judged.likeness("start", first.embeddings, seen.embeddings),
            **judged.likeness("end", last.embeddings, seen.embeddings),
            **kept(first, seen),
        }
        yield Result(frame, frame, facts)
