"""One person's pictures or frames with the identity of somebody else, the same on all of them.

The donor is a face that the generator draws from a seed, away from the person, or one that is
given. No pixel of an original comes into the folder, unless the sheet is asked to show them: a
result is the generator's picture, and is not pasted back. What hides the person from the map's own
recogniser may not hide them from another, so one that no loss saw says before and after whether it
still is that person.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from facelab.data.driving import frames_of
from facelab.errors import DatasetError, ParameterError
from facelab.methods.idmap import evaluation
from facelab.methods.idmap.applications import new_identity
from facelab.methods.idmap.session import (
    Judged,
    Person,
    as_person,
    dressed,
    expanded,
    kept,
    load_judged,
    read_person,
    rounded,
)
from facelab.recognition import pictures
from facelab.recognition.align import Aligned
from facelab.recognition.gallery import Failure, faces_of_files
from facelab.recognition.pictures import Folder, Report, Result
from facelab.types import Embedding, Image

RECORD = "deidentify.json"
LOOKED_AT = 16  # faces of the person that the donor is chosen away from


@dataclass(frozen=True)
class Order:
    """What is asked for: a folder of frames, or pictures, of one person, and where results go.

    The donor is the person on the pictures `identity`, or else drawn from `seed`, 0 by default.
    `aligned` says that all pictures are faces, framed like the map's. `show_originals` writes the
    sheet, which shows them. `checkpoint`, `generator`, `policy` and `overwrite` are as for
    `session.Order`.
    """

    frames: tuple[Path, ...]
    output: Path
    identity: tuple[Path, ...] = ()
    seed: int | None = None
    aligned: bool = False
    show_originals: bool = False
    checkpoint: Path | None = None
    generator: Path | None = None
    policy: str = "error"
    overwrite: bool = False


@dataclass
class Frames:
    """What the judge saw of the frames that were written: unit embeddings, a row each."""

    before: list[Embedding] = field(default_factory=list)
    after: list[Embedding] = field(default_factory=list)


def run(order: Order) -> Report:
    """Give all frames one donor's identity and write NAME.png of each and `RECORD`.

    Frames are taken in the order of their numbers. One that can't be read, without a face or, under
    the policy "error", with several is left out and listed; where all are, `RECORD` alone is
    written. Raises `DatasetError` when there is no frame or one is missing, `ParameterError` when
    results would lie beside the originals or a sheet of them, and as `session.run` does.
    """
    pictures.require_policy(order.policy)
    if order.identity and order.seed is not None:
        raise ParameterError(
            "the donor is on a picture or is drawn from a seed; give --identity or --seed, not both"
        )
    if order.seed is not None and not 0 <= order.seed < 2**63:
        raise ParameterError(f"a seed of {order.seed} can't be used; give one from 0 to 2^63 - 1")
    frames = _frames(order.frames)
    folder = Folder(order.output, RECORD, "de-identified", order.show_originals, order.overwrite)
    _require_apart(order.output, frames)
    if not order.show_originals:
        _require_no_sheet(order.output)
    targets = folder.targets(frames, expanded(order.identity))
    judged = load_judged(order.checkpoint, order.generator)
    donor = _donor(judged, order, frames)
    seen = Frames()
    found = _found(judged, order, frames)
    report = folder.write(targets, pictures.outcomes(found, partial(_replace, judged, donor, seen)))
    report.about = _about(judged, donor, seen, report)
    folder.finish(report)
    return report


# --- files ---------------------------------------------------------------------------------------


def _frames(given: tuple[Path, ...]) -> list[Path]:
    try:
        return frames_of(expanded(given))
    except OSError as error:
        raise DatasetError(
            f"{error.filename} can't be read ({error.strerror}); make it readable, or give another "
            "folder"
        ) from error


def _require_apart(output: Path, frames: list[Path]) -> None:
    """Refuse a folder with originals in it: whoever gets the results would get them too."""
    if output.resolve() in {path.parent.resolve() for path in frames}:
        raise ParameterError(
            f"{output} holds pictures to be de-identified; give another folder, so that no "
            "original lies among the results"
        )


def _require_no_sheet(output: Path) -> None:
    """Refuse a folder with the sheet of an earlier call, which may show originals."""
    if (output / pictures.SHEET).exists():
        raise ParameterError(
            f"{output / pictures.SHEET} may show the person as he or she is; delete it, or give "
            "another folder"
        )


def _found(judged: Judged, order: Order, frames: Sequence[Path]) -> Iterator[tuple[str, Any]]:
    """Yield each frame with its face, or why it has none, as `faces_of_files` does."""
    template = judged.model.template
    return faces_of_files(frames, template, order.policy, aligned=order.aligned)


# --- the donor -----------------------------------------------------------------------------------


def _donor(judged: Judged, order: Order, frames: list[Path]) -> Person:
    """Return who is shown in the person's place: the same one on all frames."""
    if order.identity:
        return read_person(judged, order.identity, order.policy, aligned=order.aligned)
    seed = order.seed or 0
    face = new_identity(judged.model.map, seed, away_from=_some_faces(judged, order, frames))
    return as_person(judged, face, {"seed": seed})


def _some_faces(judged: Judged, order: Order, frames: list[Path]) -> Image | None:
    """Return up to `LOOKED_AT` faces from all over the sequence; None where there is no face."""
    step = -(-len(frames) // LOOKED_AT)
    # Further frames are for those that have no face.
    spread = [frame for first in range(step) for frame in frames[first::step]]
    with closing(_found(judged, order, spread)) as found:
        usable = (faces[0].images for _, faces in found if not isinstance(faces, Failure))
        chosen = list(itertools.islice(usable, min(LOOKED_AT, len(frames[::step]))))
    return torch.cat(chosen) if chosen else None


# --- one frame, and all of them ------------------------------------------------------------------


def _replace(judged: Judged, donor: Person, seen: Frames, path: str, faces: Aligned) -> Result:
    """Return a frame's face with the donor's identity, and keep what the judge sees."""
    face = faces.images
    made = dressed(judged.model.map, donor, face)
    before, after = judged.read(face), judged.read(made)
    seen.before.append(before.embeddings)
    seen.after.append(after.embeddings)
    facts = {
        "box": faces.boxes[0].tolist(),
        "identity_cosine_to_donor": rounded(
            evaluation.identity_cosine(donor.embedding, after.embeddings)
        ),
        **kept(before, after),
    }
    return Result(made, torch.cat([face, donor.faces[:1], made]), facts)


def _about(judged: Judged, donor: Person, seen: Frames, report: Report) -> dict[str, Any]:
    """Return what holds for all frames; the rows are told who is still known."""
    about = {"donor": dict(donor.facts), **judged.model.facts(), **judged.facts()}
    about["warnings"] = list(donor.doubts)
    if not report.rows:
        return about
    before, after = torch.cat(seen.before), torch.cat(seen.after)
    person = F.normalize(before.mean(0, keepdim=True), dim=1)
    known = _known(judged, before, after)
    for row, was, now, cosine in zip(report.rows, *known, after @ person[0], strict=True):
        row["identity_cosine_to_person"] = rounded(cosine)
        row |= {"verified_before": was, "verified_after": now}
    about["verified_before"], about["verified_after"] = map(_rate, known)
    about["identity_variance_before"] = _variance(before)
    about["identity_variance_after"] = _variance(after)
    about["donor"]["identity_cosine_to_person"] = rounded(donor.embedding[0] @ person[0])
    if judged.same(donor.embedding, person)[0]:
        about["warnings"].append(
            f"{judged.embedder.id} takes the donor and the person for one; give another --seed, or "
            "another --identity"
        )
    return about


def _known(judged: Judged, before: Embedding, after: Embedding) -> tuple[list, list]:
    """Return for each frame whether it is verified as the person, before and after.

    A result is compared with the mean of all originals, an original with that of the others: with
    itself it always agrees. None for an original that has no other.
    """
    total = before.sum(0, keepdim=True)
    others = total - before
    was = judged.same(others, before) if len(before) > 1 else [None]
    return was, judged.same(total, after)


def _rate(known: list[bool | None]) -> float | None:
    return None if None in known else rounded(sum(known) / len(known))


def _variance(rows: Embedding) -> float | None:
    """Return the mean squared distance of a sequence's embeddings from their mean."""
    if len(rows) < 2:
        return None
    return rounded((rows - rows.mean(0)).square().sum(1).mean())
