"""What there is to see of two faces combined: read by networks that no loss looked through.

    made = combine(model, identity, attributes)
    seen = [read(images) for images in (identity, attributes, made)]

Anything that takes (identity, attributes) to pictures can stand for the model; `copy_identity` and
`copy_attributes` are the two trivial answers. `metrics.combination` makes tables 1 and 2 of it.

FaceRes says who it is, `face_readers.landmark_judge` where the landmarks are, and
`face_readers.pose_regressor` how the head is turned. The paper has ArcFace, dlib's landmarks, and
Euler angles of an estimator that it does not name. Their own error is in every number.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from facelab.errors import ImageError, ParameterError
from facelab.methods.idmap.losses import JAW
from facelab.recognition.embedder import Embedder
from facelab.recognition.embedder import embedder as recogniser
from facelab.recognition.face_points import SIZE
from facelab.recognition.face_readers import landmark_judge
from facelab.recognition.face_reading import Angles, PerFace, Points, read_faces
from facelab.recognition.face_reading import pose_error_deg as pose_error_deg
from facelab.recognition.mtcnn import detect
from facelab.types import Embedding, Image, Landmarks

EMBEDDER = "faceres"  # the loss of BOOK looks through dlib's
# Landmarks of one place have no size to divide by; pixels of a picture of 64.
LEAST_SIZE = 1e-3

Combine = Callable[[Image, Image], Image]
PerPair = Float[Tensor, " pairs"]


def copy_identity(identity: Image, attributes: Image) -> Image:
    """Return I_id as it is: the best identity that there is, and everything else as by chance."""
    return identity


def copy_attributes(identity: Image, attributes: Image) -> Image:
    """Return I_attr as it is: the best pose and expression, and a stranger's identity."""
    return attributes


# --- pairs ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Faces:
    """Pairs of faces and what was made of each, row by row, framed like `book64`.

    `people` numbers who the identity faces show; without it each is another person. Raises
    `ParameterError` when there is no pair, or not as many of each.
    """

    identity: Image
    attributes: Float[Tensor, "others 3 _ _"]
    made: Float[Tensor, "made 3 _ _"]
    people: Int[Tensor, " faces"] | None = None

    def __post_init__(self):
        parts = (self.attributes, self.made, *(() if self.people is None else (self.people,)))
        counts = [len(self.identity), *map(len, parts)]
        if len(set(counts)) > 1 or not counts[0]:
            raise ParameterError(
                "pairs need one of each face, at least one pair; these are "
                f"{', '.join(map(str, counts))} of identity, attributes, made (and people)"
            )

    def __len__(self) -> int:
        return len(self.identity)

    @property
    def who(self) -> Int[Tensor, " faces"]:
        """Who each identity face shows."""
        return torch.arange(len(self)) if self.people is None else self.people


@torch.no_grad()
def combine(
    model: Combine,
    identity: Image,
    attributes: Float[Tensor, "others 3 _ _"],
    batch: int = 64,
    *,
    device: str = "cpu",
) -> Image:
    """Return what a model makes of pairs, `batch` at a time, float32, on the CPU, in [-1, 1].

    A network should be in evaluation mode and on `device`. Raises `ParameterError` when there are
    not as many faces of both, or none, or another number comes back, and `ImageError` when a
    picture has values that are not finite.
    """
    if len(identity) != len(attributes) or not len(identity):
        raise ParameterError(
            f"{len(identity)} faces give an identity and {len(attributes)} attributes; give one or "
            "more pairs"
        )
    parts = []
    for first, second in zip(identity.split(batch), attributes.split(batch), strict=True):
        part = model(first.to(device), second.to(device)).float().cpu().clamp(-1, 1)
        if len(part) != len(first):
            raise ParameterError(f"the model made {len(part)} pictures of {len(first)} pairs")
        parts.append(part)
    made = torch.cat(parts)
    if not made.isfinite().all():
        raise ImageError("a picture has values that are not finite; look at what computed it")
    return made


# --- readings ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What networks see on faces, a row each.

    `embeddings` are unit ones by the embedder `judge`, which takes two for one person below
    `threshold_squared`; `angles_rad` yaw, pitch and roll; `landmarks` 68 in pixels of a picture of
    64. `five` are MTCNN's points likewise, NaN where it finds no face; None if it did not look.
    """

    embeddings: Embedding
    angles_rad: Angles
    landmarks: Landmarks
    judge: str
    threshold_squared: float
    five: Float[Tensor, "faces 5 2"] | None = None


def read(
    images: Image,
    judge: Embedder | None = None,
    *,
    points: Points | None = None,
    five: bool = False,
) -> Seen:
    """Return what is seen on faces framed like `book64`, on the CPU.

    `judge` is FaceRes by default and `points`, a network of 68 landmarks on its device,
    `landmark_judge`. `five` also looks with MTCNN, which takes longer than all else. Raises
    `AssetError` while no `landmark_judge` is shipped.
    """
    judge = judge or recogniser(EMBEDDER)
    points = points or landmark_judge(str(next(judge.parameters()).device))
    found = read_faces(images, judge, points)
    return Seen(
        found.embeddings,
        found.angles_rad,
        found.landmarks,
        found.judge,
        judge.threshold_squared,
        five_points(images) if five else None,
    )


def five_points(images: Image) -> Float[Tensor, "faces 5 2"]:
    """Return MTCNN's five points of the largest face, in pixels of a picture of 64; NaN without."""
    points = torch.full((len(images), 5, 2), torch.nan)
    for row in range(len(images)):
        faces = detect(images[[row]])
        if len(faces):
            points[row] = (faces.landmarks[0].cpu() + 0.5) * (SIZE / images.shape[2]) - 0.5
    return points


# --- pair by pair --------------------------------------------------------------------------------


def identity_cosine(a: Embedding, b: Embedding) -> PerFace:
    """Return the cosine of unit embeddings, row by row: 1 for the same face. Source: table 1."""
    return (a * b).sum(dim=1)


def verified(a: Seen, b: Seen) -> Bool[Tensor, " faces"]:
    """Return whether the judge takes the faces for one person's, by its own threshold.

    Raises `ParameterError` when two judges saw them.
    """
    if a.judge != b.judge:
        raise ParameterError(f"{a.judge} and {b.judge} can't be compared; read with one judge")
    return (a.embeddings - b.embeddings).square().sum(dim=1) < a.threshold_squared


def expression_error(points: Landmarks, target: Landmarks) -> PerFace:
    """Return the mean distance of the 51 inner landmarks, in sides of the picture.

    Both are (batch, 68, 2) in pixels of a picture of 64. The paper has "Euclidean distance between
    2D landmarks" divided by the side; this is one reading of it, which does not grow with the
    number of landmarks. `expression_norm` is the other. It also sees pose and the face's shape.
    Source: table 1.
    """
    return (points - target)[:, JAW:].norm(dim=2).mean(dim=1) / SIZE


def expression_norm(points: Landmarks, target: Landmarks) -> PerFace:
    """Return the length of all 68 differences as one vector, in sides of the picture.

    The letter of "Euclidean distance between 2D landmarks". By it the paper's 0.017 would be half a
    pixel of 256 a landmark, so it hardly is what table 1 has; by the mean it is 4.4 pixels.
    """
    return (points - target).flatten(1).norm(dim=1) / SIZE


def expression_shape_error(points: Landmarks, target: Landmarks) -> PerFace:
    """Return the mean distance of the 51 inner landmarks once place, size and roll are taken out.

    Both are moved to the centre, scaled to a root mean square distance of one from it, and the
    first turned onto the second (Procrustes; Gower 1975): 0 where a similarity transform takes one
    to the other. It is in these distances, not in sides. What pose in depth and another person's
    proportions do to landmarks is still in it. Raises `ParameterError` for landmarks that coincide.
    """
    a, b = _normalised(points[:, JAW:]), _normalised(target[:, JAW:])
    along = (a * b).sum(dim=(1, 2))
    across = (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).sum(dim=1)
    angle = torch.atan2(across, along)
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    x, y = a.unbind(dim=2)
    turned = torch.stack([cos * x - sin * y, sin * x + cos * y], dim=2)
    return (turned - b).norm(dim=2).mean(dim=1)


def _normalised(points: Landmarks) -> Landmarks:
    centred = points.double() - points.double().mean(dim=1, keepdim=True)
    size = centred.square().sum(dim=2).mean(dim=1).sqrt()
    if not (size > LEAST_SIZE).all():
        raise ParameterError("the landmarks of a face coincide or are not finite; none has a shape")
    return centred / size[:, None, None]


def five_point_error(
    points: Float[Tensor, "faces 5 2"], target: Float[Tensor, "faces 5 2"]
) -> PerFace:
    """Return the mean distance of MTCNN's points in sides of the picture; NaN without a face."""
    return (points - target).norm(dim=2).mean(dim=1) / SIZE
