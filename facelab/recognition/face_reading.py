"""What networks read off aligned faces: who it is, how the head is turned, where its landmarks are.

Evaluations of methods share it. Which recogniser and which network of landmarks may judge depends
on what a method's losses looked through (`recognition.judges`), so both are given.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.recognition.align import reframe
from facelab.recognition.embedder import Embedder
from facelab.recognition.face_readers import pose_regressor
from facelab.types import Embedding, Image, Landmarks

FRAMING = "book64"
AT_ONCE = 64

Points = Callable[[Image], Landmarks]
Angles = Float[Tensor, "faces 3"]
PerFace = Float[Tensor, " faces"]


@dataclass(frozen=True)
class Reading:
    """What is read off faces, a row each.

    `embeddings` are unit ones by the embedder `judge`; `angles_rad` yaw, pitch and roll;
    `landmarks` in pixels of a picture of 64.
    """

    embeddings: Embedding
    angles_rad: Angles
    landmarks: Landmarks
    judge: str


@torch.no_grad()
def read_faces(images: Image, judge: Embedder, points: Points) -> Reading:
    """Return what `judge`, the reader of poses and `points` see on faces framed like `book64`.

    Images are square, of any size, in [-1, 1]; `points` is a network on the judge's device, of
    pictures of 64 pixels. The reading is on the CPU.
    """
    where = next(judge.parameters()).device
    pose = pose_regressor(str(where))
    embeddings, angles, landmarks = [], [], []
    for part in images.split(AT_ONCE):
        part = part.to(where)
        faces = reframe(part, FRAMING, FRAMING)
        embeddings.append(judge.embed(reframe(part, FRAMING, judge.template)).cpu())
        angles.append(pose(faces).cpu())
        landmarks.append(points(faces).cpu())
    return Reading(torch.cat(embeddings), torch.cat(angles), torch.cat(landmarks), judge.id)


def pose_error_deg(a: Angles, b: Angles) -> PerFace:
    """Return the Euclidean distance of yaw, pitch and roll, in degrees."""
    return (a - b).rad2deg().norm(dim=1)
