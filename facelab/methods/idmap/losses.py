"""Equations 4 to 6 of the paper: pure terms, one value per sample.

Adversarial terms are those of `generators.adversarial` on logits of D_W.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.structural_similarity import ms_ssim_of
from facelab.types import Embedding, Image
from facelab.types import Landmarks as Points

PerSample = Float[Tensor, " batch"]
W = Float[Tensor, "batch *styles"]
JAW = 17  # of the 68 landmarks: the first ones
SIDE_PX = 256  # of the pictures in which the paper counts landmarks
SIGMA = 80 / SIDE_PX  # of the authors' mask, in sides of the picture


def identity_loss(code: Embedding, target: Embedding) -> PerSample:
    """Return the mean |E_id(I_id) - E_id(I_out)| over features. Source: equation 4.

    A mean where the paper has a sum: the weight then means the same for codes of any length.
    """
    return (code.float() - target.float()).abs().mean(dim=1)


def landmark_loss(
    points: Points, target: Points, *, side_px: int, reading: str = "mean-square"
) -> PerSample:
    """Return how far the 51 landmarks inside the face are off, in pixels of a picture of 256.

    Both are (batch, 68, 2) in pixels of a picture of `side_px`. "norm" is equation 5 as printed,
    the length of all differences together; "mean-square", the authors' code's, is the mean of their
    squares, for which the weight 0.001 is right. Raises `ParameterError` for another reading.
    """
    off = (points.float() - target.float())[:, JAW:] * (SIDE_PX / side_px)
    if reading == "norm":
        return off.flatten(1).norm(dim=1)
    if reading == "mean-square":
        return off.square().mean(dim=(1, 2))
    raise ParameterError(f'reading {reading!r} is unknown; choose "mean-square" or "norm"')


def mix_loss(
    images: Image, target: Image, *, alpha: float = 0.84, mask: Tensor | None = None
) -> PerSample:
    """Return alpha (1 - MS-SSIM) + (1 - alpha) L1, of pictures in [-1, 1]. Source: equation 6.

    L1 is the mean |difference| on a scale where black and white are 1 apart, as for the 0.84 of
    Zhao et al. 2017. `mask` (height, width) weighs its pixels. MS-SSIM has as many scales as the
    size has room for.
    """
    x, y = (images.float() + 1) / 2, (target.float() + 1) / 2
    difference = (x - y).abs()
    if mask is not None:
        difference = difference * mask
    similarity = ms_ssim_of(x, y, width=1.0)
    return alpha * (1 - similarity) + (1 - alpha) * difference.mean(dim=(1, 2, 3))


def latent_loss(w: W, target: Float[Tensor, "batch w"]) -> PerSample:
    """Return how far vectors are from the true ones: 2 - 2 cos, and the squared error of length.

    Lengths are divided by the root of how many numbers a vector has, so that N(0, 1) has about 1. A
    mean square would be content with the mean of all vectors that the face may have come from; that
    is too short a vector, where generators draw dull faces. `w` is (batch, w) or, for W+,
    (batch, layers, w), of which the mean over layers is taken. Not in the paper.
    """
    target = target.float() if w.ndim == 2 else target.float()[:, None].expand_as(w)
    cosine = F.cosine_similarity(w.float(), target, dim=-1)
    lengths = (w.float().norm(dim=-1) - target.norm(dim=-1)) / w.shape[-1] ** 0.5
    loss = 2 - 2 * cosine + lengths.square()
    return loss if w.ndim == 2 else loss.mean(dim=1)


def inverse_gaussian_mask(size: int, device: torch.device | str = "cpu") -> Float[Tensor, "s s"]:
    """Return 1 - exp(-r^2 / 2 sigma^2) about the picture's centre: pixels of the face count little.

    sigma is 80 pixels of 256. Source: the authors' code, which so keeps reconstruction off the
    features that make a face somebody's.
    """
    steps = torch.arange(size, device=device) - (size - 1) / 2
    squared = (steps / (SIGMA * size)).square()
    return 1 - torch.exp(-(squared[:, None] + squared[None, :]) / 2)
