"""What there is to see of a transfer: faces before and after it, read by networks no loss saw.

    task = find_task("mouth_open")
    chosen = choose_inputs(dataset, task, 500, seed=0)
    faces = transfer_faces(checkpoint.load(path), dataset, chosen)
    seen = read(faces, task, seen=embedders_of(path))

Anything that takes faces to faces can stand for the transfer; `unchanged` gives the row of doing
nothing. `metrics.transfer` makes numbers with intervals of it.

Whether the attribute is there says `face_readers.attribute_judge`, which no loss looks through;
who it is, a recogniser that no loss looked through (`recognition.judges`). What shall not change is
measured where the task's mask is 0, or on all of the picture where a task has no mask.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from facelab.data.base import FaceDataset, Indices
from facelab.data.by_attribute import ByAttribute
from facelab.errors import DatasetError, ImageError, ParameterError
from facelab.images import linear_light
from facelab.methods.diat import enhancement, training
from facelab.methods.diat.checkpoint import read_header
from facelab.methods.diat.features import FRAMING
from facelab.methods.diat.masks import masked, require_mask
from facelab.methods.diat.tasks import Task
from facelab.methods.diat.transfer import blur
from facelab.recognition.align import reframe
from facelab.recognition.embedder import Embedder
from facelab.recognition.embedder import embedder as recogniser
from facelab.recognition.face_readers import AttributeClassifier, attribute_judge
from facelab.recognition.judges import require_unseen
from facelab.types import Embedding, Image

AT_ONCE = 64
EMBEDDER = "faceres"  # neither its network nor its pictures are those of a loss here
FINE_PX = 1.0  # what this Gaussian takes away is fine: edges, grain, and the pattern of an artefact
# Linear light of sRGB to XYZ, IEC 61966-2-1, and what white (D65) is there.
TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))

Change = Callable[[Image], Image]
PerFace = Float[Tensor, " faces"]
Mask = Float[Tensor, "batch 1 height width"]
Lab = Float[Tensor, "batch 3"]


def unchanged(images: Image) -> Image:
    """Return the faces as they are: what a transfer that does nothing gives."""
    return images


# --- what a loss saw -----------------------------------------------------------------------------


def embedders_seen(config: training.Config | enhancement.Config) -> tuple[str, ...]:
    """Return the ids of the embedders that training with this config looks through.

    Those of the second stage's config are its own and its T's.
    """
    if isinstance(config, training.Config):
        return enhancement.SEEN.get(config.identity, ()) if config.weights.identity else ()
    own = enhancement.SEEN[config.layers] if config.task.local and any(config.betas[1:]) else ()
    return tuple(sorted({*own, *embedders_seen(config.game)}))


def embedders_of(path: str | os.PathLike) -> tuple[str, ...]:
    """Return the ids of the embedders that a file's training looked through, by its header.

    The file is one that `checkpoint.load` reads. Raises `CheckpointError` when it is missing,
    damaged or of another method.
    """
    header = read_header(path)
    kind = enhancement if header["method"] == enhancement.METHOD else training
    return embedders_seen(kind.Config.from_json(header["config"]))


# --- faces ---------------------------------------------------------------------------------------


def choose_inputs(
    dataset: FaceDataset, task: Task, count: int, seed: int = 0
) -> Int[Tensor, " chosen"]:
    """Return the numbers of `count` faces that lack a task's reference attribute, ascending.

    They are spread over the people: nobody gives a second face before everybody gave a first. Who
    and which is drawn by `seed`. Raises `DatasetError` when there are no labels of the attribute,
    when all faces have it or none has, and when fewer than `count` lack it.
    """
    if task.attribute not in dataset.attribute_names:
        raise DatasetError(
            f"{dataset.id} has no labels of {task.attribute}, so nothing says which faces can be "
            "transferred; give labelled faces, such as anny-faces"
        )
    rows = ByAttribute(dataset, task.attribute, task.to).rows
    if not 1 <= count <= len(rows):
        raise DatasetError(
            f"{count} faces were asked for, {len(rows)} of {dataset.id} can be transferred "
            f"({task.name}); ask for 1 to {len(rows)}"
        )
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]
    turn = _turns(dataset.identity[rows])
    return rows[turn.argsort(stable=True)[:count]].sort().values


def _turns(people: Int[Tensor, " faces"]) -> Int[Tensor, " faces"]:
    """Return how many faces of the same person stand before each."""
    order = people.argsort(stable=True)
    first = torch.searchsorted(people[order], people[order])
    turns = torch.empty_like(order)
    turns[order] = torch.arange(len(order)) - first
    return turns


@dataclass(frozen=True)
class Faces:
    """Faces and what a transfer made of them, row by row.

    `people` numbers who is shown. `masks` are 1 where the attribute may change a face; None where a
    task has no mask.
    """

    images: Image
    made: Image
    people: Int[Tensor, " faces"]
    masks: Float[Tensor, "faces 1 _ _"] | None = None

    def __len__(self) -> int:
        return len(self.people)


@torch.no_grad()
def transfer_faces(
    transfer: Change,
    dataset: FaceDataset,
    indices: Indices,
    *,
    task: Task | None = None,
    device: str = "cpu",
) -> Faces:
    """Return these faces of a dataset and what a transfer makes of them, on the CPU, in [-1, 1].

    `task` says which masks go with them; where it is left out, a `Transfer` knows its own. They are
    the batch's, else those of the landmarks that are found in the faces before the transfer. A
    network should be in evaluation mode and on `device`. Raises `DatasetError` for an empty choice
    and `ImageError` for masks of another size.
    """
    found = torch.tensor(dataset.resolve(indices), dtype=torch.long)
    if not len(found):
        raise DatasetError(f"no face of {dataset.id} was chosen; give at least one number")
    task = task or getattr(transfer, "task", None)
    images, made, masks = [], [], []
    for part in found.split(AT_ONCE):
        batch = dataset.batch(part)
        images.append(batch.images)
        made.append(transfer(batch.images.to(device)).float().cpu().clamp(-1, 1))
        if task is not None and task.mask is not None:
            masks.append(masked(batch, task.mask))
    people = dataset.identity[found]
    return Faces(torch.cat(images), torch.cat(made), people, torch.cat(masks) if masks else None)


# --- readings ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What is read off faces and what was made of them, a row each.

    `before` and `after` are the judge's logits, turned so that above 0 the reference attribute is
    there; `embeddings_before` and `embeddings_after` unit ones by the recogniser `embedder`.
    Where nothing shall change, `change` is the mean absolute difference and `squared_change` the
    mean square of it, both of values in [-1, 1], and `colour` the distance of the mean colours in
    CIE Lab (Delta E of 1976). `artefacts` is the mean square of what a
    Gaussian of a pixel takes off the picture, the made face's less the input's: above 0 where
    there is a pattern or noise that was not there.
    """

    before: PerFace
    after: PerFace
    embeddings_before: Embedding
    embeddings_after: Embedding
    change: PerFace
    squared_change: PerFace
    colour: PerFace
    artefacts: PerFace
    embedder: str

    @property
    def identity(self) -> PerFace:
        """The squared distance of the unit embeddings, from 0 to 4."""
        return (self.embeddings_before - self.embeddings_after).square().sum(1)


@torch.no_grad()
def read(
    faces: Faces,
    task: Task,
    judge: AttributeClassifier | None = None,
    embedder: Embedder | None = None,
    *,
    seen: Iterable[str] = (),
) -> Seen:
    """Return what networks see on faces framed like `book64`, before and after, on the CPU.

    `judge` is `attribute_judge` by default and `embedder` faceres; `seen` are the ids of the
    embedders that a loss looked through. Raises `ParameterError` when the embedder is one of them,
    or the judge does not know the attribute, and `ImageError` when faces of a local task have no
    masks, or a mask leaves nothing outside.
    """
    judge, embedder = judge or attribute_judge(), embedder or recogniser(EMBEDDER)
    require_unseen(seen, embedder.id)
    if task.attribute not in judge.names:
        known = ", ".join(judge.names)
        raise ParameterError(f"the judge does not know {task.attribute}; it knows: {known}")
    keep = _to_keep(faces, task)
    colours = [mean_lab(images, keep) for images in (faces.images, faces.made)]
    difference = faces.made - faces.images
    return Seen(
        _logits(faces.images, task, judge),
        _logits(faces.made, task, judge),
        _embeddings(faces.images, embedder),
        _embeddings(faces.made, embedder),
        _means(difference.abs(), keep).mean(1),
        _means(difference.square(), keep).mean(1),
        (colours[0] - colours[1]).norm(dim=1),
        fine_energy(faces.made) - fine_energy(faces.images),
        embedder.id,
    )


def _to_keep(faces: Faces, task: Task) -> Mask:
    """Return 1 where nothing shall change."""
    if not task.local:
        return torch.ones_like(faces.images[:, :1])
    if faces.masks is None:
        raise ImageError(
            f"faces of {task.name} came without masks; give transfer_faces the task, or masks of "
            f"{task.mask!r}"
        )
    require_mask(faces.masks, faces.images)
    keep = 1 - faces.masks
    if not keep.flatten(1).any(1).all():
        raise ImageError("a mask covers all of its picture, so there is no outside; give another")
    return keep


def _logits(images: Image, task: Task, judge: AttributeClassifier) -> PerFace:
    where, column = next(judge.parameters()).device, judge.names.index(task.attribute)
    parts = [judge(reframe(part.to(where), FRAMING, FRAMING))[:, column].cpu()
             for part in images.split(AT_ONCE)]  # fmt: skip
    return torch.cat(parts) * (1 if task.to else -1)


def _embeddings(images: Image, embedder: Embedder) -> Embedding:
    where, template = next(embedder.parameters()).device, embedder.template
    parts = [embedder.embed(reframe(part.to(where), FRAMING, template)).cpu()
             for part in images.split(AT_ONCE)]  # fmt: skip
    return torch.cat(parts)


def _means(values: Image, keep: Mask) -> Float[Tensor, "batch 3"]:
    """Return each channel's mean over the pixels that are kept."""
    return (values * keep).sum(dim=(2, 3)) / keep.sum(dim=(2, 3))


def fine_energy(images: Image) -> PerFace:
    """Return the mean square of what a Gaussian of one pixel takes off pictures in [-1, 1]."""
    return (images - blur(images, FINE_PX)).square().mean(dim=(1, 2, 3))


def mean_lab(images: Image, keep: Mask) -> Lab:
    """Return the mean colour of the kept pixels in CIE Lab, (batch, 3), white being sRGB's.

    The mean is one of linear light, as if the picture were seen from afar. Source: IEC 61966-2-1
    (sRGB), CIE 1976.
    """
    level = ((images.float() + 1) / 2).clamp(0, 1)
    linear = linear_light(level)
    to_xyz = linear.new_tensor(TO_XYZ)
    part = _means(linear, keep) @ to_xyz.T / to_xyz.sum(1)
    # Dark colours go along a line, which meets the root at (6 / 29)^3.
    f = torch.where(part > (6 / 29) ** 3, part ** (1 / 3), part * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = f.T
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)
