"""The attribute masks of section 3.2 on any pictures: landmarks from the pixels, then their hull.

The paper finds its 68 landmarks with the detector of Zhang et al. 2014; here the book's regressor
(`recognition.face_points`) does. What the hulls are, `data.masks` says.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.data.masks import attribute_mask
from facelab.errors import ImageError
from facelab.recognition.align import BOOK, reframe
from facelab.recognition.face_points import SIZE, landmark_regressor
from facelab.recognition.sampling import move_points, resize_transform
from facelab.types import Batch, Image, Landmarks

Mask = Float[Tensor, "batch 1 height width"]


def face_masks(images: Image, name: str) -> Mask:
    """Return 1 where the attribute `name` may change a face, 0 elsewhere, (batch, 1, h, w).

    Faces are framed like `book64`, in proportion, of any size. No gradient flows back. Raises
    `ImageError` when they are not square and `ParameterError` when there is no mask of this name.
    """
    return attribute_mask(landmarks(images), images.shape[3], name)


@torch.no_grad()
def landmarks(images: Image) -> Landmarks:
    """Return the 68 landmarks of faces framed like `book64`, (batch, 68, 2) in their own pixels.

    The regressor sees 64 pixels a side; what it finds is scaled from corner to corner, so that the
    centre of the top left pixel stays (0, 0). Raises `ImageError` when the faces are not square.
    """
    faces, side = reframe(images, BOOK, BOOK), images.shape[3]
    found = landmark_regressor(str(images.device))(faces)
    scale = resize_transform((SIZE, SIZE), (side, side)).to(found)
    return move_points(found, scale.expand(len(found), -1, -1))


def masked(batch: Batch, name: str) -> Mask:
    """Return the masks `name` of a batch: its own where it has them, else `face_masks`.

    Raises `ImageError` when a mask has another size than the pictures.
    """
    if name not in batch.masks:
        return face_masks(batch.images, name)
    require_mask(batch.masks[name], batch.images)
    return batch.masks[name]


def require_mask(mask: Tensor, images: Image) -> None:
    """Raise `ImageError` unless there is one mask a picture, (batch, 1, h, w), of its size."""
    wanted = (len(images), 1, *images.shape[2:])
    if tuple(mask.shape) != wanted:
        raise ImageError(
            f"masks of shape {tuple(mask.shape)} don't lie on {len(images)} pictures of "
            f"{images.shape[3]} x {images.shape[2]} pixels; give masks of shape {wanted}"
        )
