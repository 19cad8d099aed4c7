"""From picture files to pictures with the attribute, a sheet and a record in a folder.

Pictures stream: they are read and searched by threads, one after the other is transferred and
written, and no more than a few are in memory. One that can't be used is listed and left out.
"""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.assets import cache
from facelab.errors import ParameterError
from facelab.images import load_image
from facelab.methods.diat import checkpoint
from facelab.methods.diat.evaluation import EMBEDDER, Faces, embedders_of, read
from facelab.methods.diat.masks import face_masks
from facelab.methods.diat.tasks import find_task
from facelab.methods.diat.transfer import Transfer
from facelab.recognition import pictures
from facelab.recognition.align import BOOK, Aligned, Template, paste_back
from facelab.recognition.embedder import Embedder
from facelab.recognition.embedder import embedder as find_embedder
from facelab.recognition.face_readers import AttributeClassifier, attribute_judge
from facelab.recognition.gallery import faces_of_files
from facelab.recognition.judges import require_unseen
from facelab.recognition.pictures import SHOWN, Folder, Report, Result
from facelab.types import Picture

RECORD = "transfer.json"

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


def run(order: Order) -> Report:
    """Transfer the attribute in pictures and write NAME.png of each, sheet.png and `RECORD`.

    A picture that can't be read, without a face or, under the policy "error", with several is left
    out and listed; where all are, `RECORD` alone is written. Raises `ParameterError` for a task or
    policy that there isn't, a checkpoint of another task, or results that would lie on a picture
    that was given or on a file that is there; `AssetError` when the task has no checkpoint or a
    result can't be written; `CheckpointError` when the checkpoint can't be used.
    """
    find_task(order.task)
    pictures.require_policy(order.policy)
    given = pictures.pictures_of(order.images)
    folder = Folder(order.output, RECORD, "transferred", overwrite=order.overwrite)
    targets = folder.targets(given)
    judged = Judged(load_model(order.task, order.checkpoint))
    template = judged.model.template
    found = faces_of_files(given, template, order.policy, aligned=order.aligned)
    change = partial(_change, judged, order.aligned)
    report = folder.write(targets, pictures.outcomes(found, change), SHOWN)
    folder.finish(report)
    return report


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
        return pictures.template_of_size(BOOK, self.transfer.size)


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


def _change(judged: Judged, aligned: bool, path: str, faces: Aligned) -> Result:
    """Return a picture with its face changed; of an aligned one the face itself.

    What is put back into a photograph is the change: the face that was transferred is smaller than
    the photograph's, and where nothing changed the photograph keeps all that it shows.
    """
    stages = judged.stages(faces.images)
    picture = stages[-1:]
    if not aligned:  # read again: pictures may be large, and several are being searched
        whole, change = load_image(path), stages[-1:] - stages[:1]
        picture = whole + paste_back(change, torch.zeros_like(whole), faces.transforms)
    return Result(picture, stages, {"box": faces.boxes[0].tolist(), **judged.facts(stages)})
