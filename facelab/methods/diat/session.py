"""From picture files to pictures with the attribute, a sheet and a record in a folder.

Pictures stream: they are read and searched by threads, one after the other is transferred and
written, and no more than a few are in memory. One that can't be used is listed and left out.
"""

import dataclasses
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.assets import cache
from facelab.errors import ImageError, ParameterError
from facelab.images import grid, load_image, save_image
from facelab.methods.diat import checkpoint
from facelab.methods.diat.evaluation import EMBEDDER, Faces, embedders_of, read
from facelab.methods.diat.masks import face_masks
from facelab.methods.diat.tasks import find_task
from facelab.methods.diat.transfer import Transfer
from facelab.progress import progress_bar
from facelab.recognition.align import BOOK, Aligned, Template, find_template, paste_back
from facelab.recognition.embedder import Embedder
from facelab.recognition.embedder import embedder as find_embedder
from facelab.recognition.face_readers import AttributeClassifier, attribute_judge
from facelab.recognition.gallery import Failure, faces_of_files, pictures_in
from facelab.recognition.judges import require_unseen
from facelab.recognition.sampling import move_points, resize_transform
from facelab.types import Picture

SHEET, RECORD = "sheet.png", "transfer.json"
SHOWN = 48  # rows of the sheet: the first faces
SHEET_SIDE_PX = 192  # a face on the sheet is at least about as large
POLICIES = ("error", "largest", "central")

Stages = Float[Tensor, "stages 3 side side"]  # of one face: x, T(x), and what E makes of both


@dataclass(frozen=True)
class Order:
    """What is asked for: a task, picture files or folders of them, and where the results go.

    `aligned` says that the pictures are faces, framed like `book64`. `checkpoint` is a file that
    `export_weights` wrote, by default the shipped one. `policy` says which face of a picture with
    several is meant. `overwrite` allows to replace results of an earlier call.
    """

    task: str
    images: tuple[Path, ...]
    output: Path
    aligned: bool = False
    checkpoint: Path | None = None
    policy: str = "error"
    overwrite: bool = False


@dataclass
class Report:
    """What became of the pictures: a row of facts for each that was written, and the failures."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """Return the report as transfer.json has it."""
        return {"pictures": self.rows, "skipped": [vars(failure) for failure in self.failures]}


def run(order: Order) -> Report:
    """Transfer the attribute in pictures and write NAME.png of each, `SHEET` and `RECORD`.

    A picture that can't be read, without a face or, under the policy "error", with several is left
    out and listed; where all are, `RECORD` alone is written. Raises `ParameterError` for a task or
    policy that there isn't, a checkpoint of another task, or results that would lie on a picture
    that was given or on a file that is there; `AssetError` when the task has no checkpoint or a
    result can't be written; `CheckpointError` when the checkpoint can't be used.
    """
    find_task(order.task)
    if order.policy not in POLICIES:
        raise ParameterError(
            f"there is no policy {order.policy!r} here; choose one of: {', '.join(POLICIES)}"
        )
    pictures = _pictures(order.images)
    targets = _targets(order, pictures)
    judged = Judged(load_model(order.task, order.checkpoint))
    with cache.writing(order.output.name, order.output):
        order.output.mkdir(parents=True, exist_ok=True)
    report, shown = Report(), []
    with progress_bar("faces", len(pictures), "picture") as bar:
        outcomes = _outcomes(order, judged, pictures)
        for target, (path, outcome) in zip(targets, outcomes, strict=True):
            if isinstance(outcome, Failure):
                report.failures.append(outcome)
                bar.set_postfix(skipped=len(report.failures), refresh=False)
            else:
                save_image(outcome.picture, target)
                report.rows.append({"source": path, "file": str(target), **outcome.facts})
                shown += [outcome.stages] if len(shown) < SHOWN else []
            bar.update(1)
    _finish(order.output, report, shown)
    return report


# --- files ---------------------------------------------------------------------------------------


def _pictures(images: tuple[Path, ...]) -> list[Path]:
    """Return all picture files, folders searched. Raises `UserError` for one without pictures."""
    given = (path.expanduser() for path in images)
    nested = (pictures_in(path) if path.is_dir() else [path] for path in given)
    return [picture for found in nested for picture in found]


def _targets(order: Order, pictures: list[Path]) -> list[Path]:
    """Return where each result goes: NAME.png, and NAME-2.png where that is taken by another.

    Raises `ParameterError` when one of them is a picture that was given, or is there already.
    """
    if order.output.exists() and not order.output.is_dir():
        raise ParameterError(f"{order.output} is a file; give a folder for the results")
    taken = {Path(SHEET).stem}  # a picture may have the sheet's name
    given = {identity for path in pictures if (identity := _identity(path))}
    targets = []
    for picture in pictures:
        stem, number = picture.stem, 1
        while stem.casefold() in taken:  # some file systems don't tell upper from lower case
            number += 1
            stem = f"{picture.stem}-{number}"
        taken.add(stem.casefold())
        targets.append(order.output / f"{stem}.png")
    for target in (*targets, order.output / SHEET, order.output / RECORD):
        if _identity(target) in given:
            raise ParameterError(
                f"{target} is one of the pictures to be transferred; give another folder"
            )
        if os.path.lexists(target) and not order.overwrite:
            raise ParameterError(
                f"{target} exists; give another folder, or --overwrite to replace it"
            )
    return targets


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what a file is, whatever it is called; None where there is none."""
    with suppress(OSError, ValueError):
        found = path.stat()
        return found.st_dev, found.st_ino
    return None


def _finish(output: Path, report: Report, shown: list[Stages]) -> None:
    """Write the sheet, where there is a face, and the record."""
    if shown:
        faces = torch.cat(shown)
        times = max(1, round(SHEET_SIDE_PX / faces.shape[-1]))
        large = faces.repeat_interleave(times, 2).repeat_interleave(times, 3)
        save_image(grid(large, len(shown[0]), gap=2 * times), output / SHEET)
    record = output / RECORD
    with cache.writing(record.name, record):
        text = json.dumps(report.facts(), indent=1, allow_nan=False)
        cache.write_beside(record, (text + "\n").encode())


# --- the networks --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """A transfer and its file: an id for tables, the SHA-256, the embedders that a loss saw."""

    transfer: Transfer
    id: str
    sha256: str
    seen: tuple[str, ...]

    @property
    def template(self) -> Template:
        """Where the points of a face lie in the pictures that the transfer takes."""
        template, side = find_template(BOOK), self.transfer.size
        if side == template.size:
            return template
        scale = resize_transform((template.size, template.size), (side, side))
        points = move_points(template.points_xy[None], scale)[0].tolist()
        return dataclasses.replace(template, size=side, points=tuple(map(tuple, points)))


def load_model(task: str, path: Path | None = None) -> Model:
    """Return the transfer of a task, from a file or by default the shipped one.

    Raises `AssetError` when none is shipped, `CheckpointError` for a file of another method, and
    `ParameterError` for one of another task.
    """
    file = checkpoint.book_path(task) if path is None else path
    transfer = checkpoint.load(file)
    if transfer.task.name != task:
        raise ParameterError(
            f"{file} does {transfer.task.name}, not {task}; give --task {transfer.task.name}, or "
            f"a file of {task}"
        )
    header = checkpoint.read_header(file)
    step = f", step {header['step']:,}" if isinstance(header.get("step"), int) else ""
    return Model(transfer, f"{header['method']} {task}{step}", cache.sha256(file),
                 embedders_of(file))  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """A model with those who judge it: whether the attribute is there, and whose face it is.

    Raises `ParameterError` when a loss of the model looked through the embedder.
    """

    model: Model
    judge: AttributeClassifier = field(default_factory=attribute_judge)
    embedder: Embedder = field(default_factory=lambda: find_embedder(EMBEDDER))

    def __post_init__(self):
        require_unseen(self.model.seen, self.embedder.id)

    @torch.no_grad()
    def stages(self, face: Picture) -> Stages:
        """Return a face, T(x) and, where there is a second stage, what it makes of both."""
        transfer = self.model.transfer
        made = transfer.transformed(face)
        last = [] if transfer.enhancer is None else [transfer.enhance(face, made)]
        return torch.cat([face, made, *last])

    def facts(self, stages: Stages) -> dict[str, Any]:
        """Return what is to be said of a face before and after, as JSON values."""
        task = self.model.transfer.task
        masks = face_masks(stages[:1], task.mask) if task.mask else None
        faces = Faces(stages[:1], stages[-1:], torch.zeros(1, dtype=torch.long), masks)
        seen = read(faces, task, self.judge, self.embedder, seen=self.model.seen)
        return {
            "task": task.name,
            "checkpoint": self.model.id,
            "checkpoint_sha256": self.model.sha256,
            "enhanced": self.model.transfer.enhancer is not None,
            "judge": f"attribute_judge: {'' if task.to else 'not '}{task.attribute}",
            "judge_before": round(float(seen.before), 4),
            "judge_after": round(float(seen.after), 4),
            "identity_distance": round(float(seen.identity), 6),
            "embedder": seen.embedder,
            "threshold_same_person": self.embedder.threshold_squared,
        }


# --- one picture ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Changed:
    """A finished picture, the stages of its face, and what is to be said of it."""

    picture: Picture
    stages: Stages
    facts: dict[str, Any]


def _outcomes(
    order: Order, judged: Judged, pictures: list[Path]
) -> Iterator[tuple[str, Changed | Failure]]:
    """Yield each picture with what became of it, in order."""
    template = judged.model.template
    for path, found in faces_of_files(pictures, template, order.policy, aligned=order.aligned):
        if isinstance(found, Failure):
            yield path, found
            continue
        try:
            yield path, _change(judged, path, found[0], order.aligned)
        except ImageError as error:
            yield path, Failure(path, type(error).__name__, str(error))


def _change(judged: Judged, path: str, faces: Aligned, aligned: bool) -> Changed:
    """Return a picture with its face changed; of an aligned one the face itself.

    What is put back into a photograph is the change: the face that was transferred is smaller than
    the photograph's, and where nothing changed the photograph keeps all that it shows.
    """
    stages = judged.stages(faces.images)
    picture = stages[-1:]
    if not aligned:  # read again: pictures may be large, and several are being searched
        whole, change = load_image(path), stages[-1:] - stages[:1]
        picture = whole + paste_back(change, torch.zeros_like(whole), faces.transforms)
    return Changed(picture, stages, {"box": faces.boxes[0].tolist(), **judged.facts(stages)})
