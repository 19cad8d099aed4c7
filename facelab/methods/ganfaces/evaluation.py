"""What there is to see of a trained G: its faces beside their renders, read by networks.

    faces = translate(generator, dataset, indices)
    judges.require_unseen(game.embedders, judge.id)
    before, after = read(faces.renders, judge), read(faces.made, judge)

Anything that takes renders to pictures can stand for G; `unchanged` gives the renders' own row.
`metrics.translation` makes numbers with intervals of it.

Whose face it is, a recogniser says that no loss saw (`recognition.judges`). How the head is turned
and where its landmarks are say the networks of `recognition.face_readers` and `face_points`; no
loss of GANFaces sees those either. Their own error on photo-like faces is in every number: the
same reading of true pairs of photograph and render (`pair_faces`) says what a perfect G would have.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from facelab.assets import networks
from facelab.data.base import FaceDataset, Indices
from facelab.data.domains import RENDER
from facelab.errors import DatasetError
from facelab.images import from_uint8, linear_light
from facelab.methods.ganfaces.checkpoint import WRITER
from facelab.methods.ganfaces.training import METHOD, Config
from facelab.recognition.embedder import Embedder
from facelab.recognition.face_points import SIZE, landmark_regressor
from facelab.recognition.face_reading import Angles, PerFace, read_faces
from facelab.recognition.face_reading import pose_error_deg as pose_error_deg
from facelab.types import Embedding, Image, Landmarks

AT_ONCE = 64
# Rec. 709: what red, green and blue add to the luminance of linear light.
LUMINANCE = (0.2126, 0.7152, 0.0722)
# The part of a book64 picture that shows a face, whoever it is (shares of the side), and its cells.
MIDDLE = {"top": 0.3125, "bottom": 0.8125, "left": 0.25, "right": 0.75}
CELLS = 4
DARKEST = 1e-3  # of the brightest: below it a cell's light is unknown

Translate = Callable[[Image], Image]
Light = Float[Tensor, "faces cells"]


def unchanged(renders: Image) -> Image:
    """Return the renders: what a G that does nothing gives."""
    return renders


# --- what a loss saw -----------------------------------------------------------------------------


def embedders_of(path: str | os.PathLike) -> tuple[str, ...]:
    """Return the ids of the embedders that the loss of a checkpoint's G saw, by its header.

    Raises `CheckpointError` when the file is missing, damaged or of another method.
    """
    header = networks.read_header(path, METHOD, WRITER)
    return embedders_seen(Config.from_json(header["config"]))


def embedders_seen(config: Config) -> tuple[str, ...]:
    """Return the ids of the embedders that training with this config looks through."""
    return (config.embedder,) if config.embedder and config.weights.identity_set else ()


# --- faces ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Faces:
    """Renders and what was made of them, row by row.

    `people` numbers who is shown. `angles_rad` (yaw, pitch, roll) and `landmarks` (in pixels of a
    picture of 64) are the truth about the renders, where their labels say it.
    """

    renders: Image
    made: Image
    people: Int[Tensor, " faces"]
    angles_rad: Angles | None = None
    landmarks: Landmarks | None = None

    def __len__(self) -> int:
        return len(self.people)


@torch.no_grad()
def translate(g: Translate, dataset: FaceDataset, indices: Indices, device: str = "cpu") -> Faces:
    """Return these renders of a dataset and what G makes of them, on the CPU.

    A network should be in evaluation mode and on `device`. Raises `DatasetError` for an empty
    choice.
    """
    found = torch.tensor(dataset.resolve(indices), dtype=torch.long)
    if not len(found):
        raise DatasetError(f"no face of {dataset.id} was chosen; give at least one number")
    batches = [dataset.batch(part) for part in found.split(AT_ONCE)]
    made = [g(batch.images.to(device)).cpu().clamp(-1, 1) for batch in batches]
    angles = [b.euler_rad for b in batches if b.euler_rad is not None]
    points = [b.landmarks for b in batches if b.landmarks is not None]
    return Faces(
        torch.cat([batch.images for batch in batches]),
        torch.cat(made),
        dataset.identity[found],
        torch.cat(angles) if angles else None,
        scaled(torch.cat(points), dataset.size) if points else None,
    )


def pair_faces(pairs: FaceDataset, indices: Indices) -> Faces:
    """Return true pairs as if G had made the photographs of their renders: the row to reach.

    The pairs' labels say where the render's landmarks are, and how it is turned. Raises
    `DatasetError` when the dataset has no pairs, or the choice is empty.
    """
    found = torch.tensor(pairs.resolve(indices), dtype=torch.long)
    if not len(found) or RENDER not in pairs.batch(found[:1]).labels:
        raise DatasetError(
            f"{pairs.id} gives no pairs; give at least one number, of a file that "
            "data_scripts/ganfaces_pairs.py made"
        )
    batch = pairs.batch(found)
    points = None if batch.landmarks is None else scaled(batch.landmarks, pairs.size)
    renders = from_uint8(batch.labels[RENDER])
    return Faces(renders, batch.images, batch.identity, batch.euler_rad, points)


def scaled(landmarks: Landmarks, size: int) -> Landmarks:
    """Return landmarks in pixels of a picture of `size` as pixels of a picture of 64."""
    return (landmarks + 0.5) * (SIZE / size) - 0.5


# --- readings ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What networks see on pictures, a row each.

    `embeddings` are unit ones by the embedder `judge`; `angles_rad` yaw, pitch and roll;
    `landmarks` in pixels of a picture of 64; `light` what `light` gives.
    """

    embeddings: Embedding
    angles_rad: Angles
    landmarks: Landmarks
    light: Light
    judge: str


@torch.no_grad()
def read(images: Image, judge: Embedder) -> Seen:
    """Return what `judge` and the readers see on pictures framed like `book64`, on the CPU."""
    points = landmark_regressor(str(next(judge.parameters()).device))
    found = read_faces(images, judge, points)
    return Seen(found.embeddings, found.angles_rad, found.landmarks, light(images), found.judge)


def light(images: Image) -> Light:
    """Return how much brighter each part of a face is than the face, in stops: (faces, 16).

    The luminance of linear light is averaged over 4 x 4 cells of the picture's middle, where the
    face is, and its logarithm to base 2 taken, less the face's mean. A factor on the whole face
    (the skin's colour, the exposure) drops out; what is left is where the light comes from, with
    what all faces have in common (dark eyes), which a comparison should take off.
    """
    side = images.shape[2]
    top, bottom, left, right = (round(share * side) for share in MIDDLE.values())
    level = ((images[:, :, top:bottom, left:right].float() + 1) / 2).clamp(0, 1)
    linear = linear_light(level)
    luminance = torch.einsum("bchw,c->bhw", linear, linear.new_tensor(LUMINANCE))
    cells = torch.nn.functional.adaptive_avg_pool2d(luminance[:, None], CELLS).flatten(1)
    stops = cells.clamp_min(DARKEST).log2()
    return stops - stops.mean(1, keepdim=True)


def landmark_error(points: Landmarks, target: Landmarks) -> PerFace:
    """Return the mean distance of landmarks in sides of the box about the target's.

    The side is the root of the box's area, as in Zhu et al. 2016 (300W-LP): the eyes, by which
    `face_points.normalised_error` measures, are at one place where a head is seen from the side.
    """
    side = (target.amax(1) - target.amin(1)).prod(dim=1).sqrt()
    return (points - target).norm(dim=2).mean(dim=1) / side


def light_error(a: Light, b: Light) -> PerFace:
    """Return the root of the mean squared difference over cells, in stops."""
    return (a - b).square().mean(1).sqrt()
