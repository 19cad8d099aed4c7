"""Both stages at work: T changes a face, E enhances what T made (section 3.2).

    transfer = checkpoint.book("mouth_open")
    faces = transfer(images)                            # both stages
    made = transfer.transformed(images)                 # T(x) alone: DIAT-A0
    faces = transfer.enhance(images, made)

E of a local task sees the face and T(x); of a global one B(T(x)), T(x) after a blur.
"""

import torch
import torch.nn.functional as F
from torch import nn

from facelab.errors import ImageError, ParameterError
from facelab.methods.diat.networks import LocalEnhancer, TransformNetwork
from facelab.methods.diat.tasks import Task
from facelab.types import Image

SIGMA_PX = 1.8  # of B, section 5.1, in pixels of a face of BLURRED_SIZE
BLURRED_SIZE = 128
REACH = 4.0  # how far the blur's kernel goes, in standard deviations

Enhancer = LocalEnhancer | TransformNetwork


def blur(images: Image, sigma: float) -> Image:
    """Return pictures after a Gaussian of standard deviation `sigma`, in pixels; differentiable.

    The kernel is sampled at whole pixels, out to four deviations; beyond its edges a picture is
    mirrored at the centres of its outermost pixels. Below an eighth of a pixel nothing is blurred.
    Raises `ParameterError` when sigma is negative, or the kernel reaches over the whole picture.
    """
    reach = int(REACH * sigma + 0.5) if sigma >= 0 else -1
    if not 0 <= reach < min(images.shape[2:]):
        raise ParameterError(
            f"sigma = {sigma} can't blur pictures of {images.shape[3]} x {images.shape[2]} pixels; "
            "give a number from 0 to a fifth of a side"
        )
    if not reach:
        return images
    places = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (places / sigma).square())
    kernel = kernel / kernel.sum()
    # Channels are blurred alike, each by itself: they stand in the batch's place.
    x = F.pad(images.flatten(0, 1)[:, None], (reach,) * 4, mode="reflect")
    x = F.conv2d(F.conv2d(x, kernel[None, None, :, None]), kernel[None, None, None])
    return x.unflatten(0, images.shape[:2])[:, :, 0]


def relative_sigma(sigma_px: float, size: int) -> float:
    """Return a blur's deviation at faces of `size` pixels that is `sigma_px` at 128."""
    return sigma_px * size / BLURRED_SIZE


class Transfer(nn.Module):
    """What `facelab transfer` calls: faces (batch, 3, size, size) framed like `book64`.

    `enhancer` is a `LocalEnhancer` for a local task and a `TransformNetwork` for a global one; None
    leaves the second stage out. `sigma_px` is that of B at 128 pixels. Raises `ParameterError` when
    the enhancer is of the other kind. Differentiable.
    """

    def __init__(
        self,
        task: Task,
        size: int,
        transform: TransformNetwork,
        enhancer: Enhancer | None = None,
        sigma_px: float = SIGMA_PX,
    ):
        super().__init__()
        if enhancer is not None and isinstance(enhancer, LocalEnhancer) != task.local:
            kind = "LocalEnhancer" if task.local else "TransformNetwork"
            raise ParameterError(
                f"{task.name} can't be enhanced by a {type(enhancer).__name__}; give a {kind}"
            )
        self.task, self.size, self.sigma_px = task, size, sigma_px
        self.transform, self.enhancer = transform, enhancer

    def forward(self, images: Image) -> Image:
        """Return the faces with the attribute, enhanced where there is an enhancer, in [-1, 1].

        Raises `ImageError` when the faces have another size.
        """
        made = self.transformed(images)
        return made if self.enhancer is None else self.enhance(images, made)

    def transformed(self, images: Image) -> Image:
        """Return T(x), clamped to [-1, 1]. Raises `ImageError` when x has another size."""
        self._require_size(images)
        return self.transform(images).clamp(-1, 1)

    def enhance(self, images: Image, transformed: Image) -> Image:
        """Return E(x, T(x)) of a local task, E(B(T(x))) of a global one, clamped to [-1, 1].

        Raises `ImageError` when the faces have another size, and `ParameterError` without an
        enhancer.
        """
        self._require_size(images)
        if self.enhancer is None:
            raise ParameterError(
                f"this transfer of {self.task.name} has no enhancement network; give the file of a "
                "diat-enhancement run, or use `transformed` alone"
            )
        return enhanced(self.enhancer, images, transformed, self.sigma_px).clamp(-1, 1)

    def _require_size(self, images: Image) -> None:
        if tuple(images.shape[2:]) != (self.size, self.size):
            raise ImageError(
                f"faces of {self.size} x {self.size} pixels are needed for {self.task.name}, got "
                f"{images.shape[3]} x {images.shape[2]}; align them to the template 'book64' with "
                "facelab.recognition.align.crop_faces"
            )


def enhanced(enhancer: Enhancer, images: Image, transformed: Image, sigma_px: float) -> Image:
    """Return what E makes of a face and its T(x), not clamped; `sigma_px` is that of B at 128."""
    if isinstance(enhancer, LocalEnhancer):
        return enhancer(images, transformed)
    return enhancer(blur(transformed, relative_sigma(sigma_px, images.shape[3])))
