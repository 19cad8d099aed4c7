"""How far are two pictures apart, pixel by pixel and window by window; one value per picture.

Every measure takes `data_range`, the smallest and the largest value that a pixel can have: (-1, 1)
inside facelab, (0, 255) for levels. It has no default, and values outside are refused: a wrong
range gives wrong numbers that look right. SSIM also needs to know where black is, which a width
alone does not say: it is defined for values from 0 up, so black is moved there first. What computes
it, and where it is from, is `facelab.structural_similarity`; here it is done in float64.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.structural_similarity import WINDOW, ms_ssim_of, scales_for, ssim_of

__all__ = ["ms_ssim", "psnr", "rmse", "scales_for", "ssim"]

Pixels = Float[Tensor, "_ _ _ _"]  # sizes are checked here, with a message of our own
PerPicture = Float[Tensor, " batch"]
Range = tuple[float, float]


def rmse(images: Pixels, targets: Pixels, *, data_range: Range) -> PerPicture:
    """Return the root of the mean squared difference over channels and pixels, in the images' unit.

    Images are (batch, channels, height, width). Times 127.5 it is in levels of 0 to 255, where the
    images are in [-1, 1]. Raises `ParameterError` for other shapes, values that are not finite or
    outside `data_range`.
    """
    x, y, _ = _prepare(images, targets, data_range)
    return (x - y).square().mean(dim=(1, 2, 3)).sqrt()


def psnr(images: Pixels, targets: Pixels, *, data_range: Range) -> PerPicture:
    """Return the peak signal-to-noise ratio in decibels: 20 log10(width of the range / RMSE).

    Infinite where the two are equal. Takes and raises what `rmse` does.
    """
    _, _, width = _prepare(images, targets, data_range)
    return 20 * torch.log10(width / rmse(images, targets, data_range=data_range))


def ssim(images: Pixels, targets: Pixels, *, data_range: Range) -> PerPicture:
    """Return the structural similarity, -1 to 1: 1 for equal pictures, about 0 for unrelated ones.

    The mean over channels and all windows of 11 x 11 pixels (Gaussian, sigma 1.5) that lie inside
    the picture. Takes and raises what `rmse` does; also when a side is below 11.

    Source: Wang et al. 2004, equation 13.
    """
    x, y, width = _prepare(images, targets, data_range, least=WINDOW)
    return ssim_of(x, y, width=width)


def ms_ssim(
    images: Pixels, targets: Pixels, *, data_range: Range, scales: int | None = None
) -> PerPicture:
    """Return the structural similarity over several scales, between 0 and 1.

    The product over the scales of the mean contrast and structure, with the luminance at the
    coarsest one, each raised to the scale's weight; each channel alone, then their mean. From one
    scale to the next 2 x 2 pixels are averaged.
    `scales` is `scales_for` the size when not given: **3 at 64 pixels, not the paper's 5**. Their
    weights are divided by their sum, so that they sum up to one; numbers of different scales can't
    be compared, so name them. Where structure is opposite at some scale, a power of a negative
    number would be needed: it counts as 0.

    Takes and raises what `ssim` does; also when there is no room for that many scales.
    Source: Wang et al. 2003, equation 7.
    """
    x, y, width = _prepare(images, targets, data_range, least=WINDOW)
    return ms_ssim_of(x, y, width=width, scales=scales, least=0.0)


def _prepare(
    images: Pixels, targets: Pixels, data_range: Range, least: int = 1
) -> tuple[Pixels, Pixels, float]:
    """Return both in float64 with black at 0, and the width of the range, once all is checked."""
    low, high = data_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ParameterError(
            f"data_range is {data_range}; give the smallest and the largest value, as in (-1, 1)"
        )
    if images.shape != targets.shape or not images.numel():
        raise ParameterError(
            f"pictures of shape {tuple(images.shape)} are compared with {tuple(targets.shape)}; "
            "give two batches of one shape, with at least one picture"
        )
    if min(images.shape[2:]) < least:
        raise ParameterError(
            f"pictures are {images.shape[3]} x {images.shape[2]} pixels, at least {least} a side "
            "are needed"
        )
    for name, values in (("images", images), ("targets", targets)):
        ends = values.detach().aminmax()
        slack = 1e-4 * (high - low)  # rounding, as of a resized picture
        if not (ends.min >= low - slack and ends.max <= high + slack):  # NaN fails as well
            raise ParameterError(
                f"the {name} have values from {float(ends.min):g} to {float(ends.max):g}, outside "
                f"data_range {data_range}; clip them, or give the range that they have"
            )
    return images.double() - low, targets.double() - low, float(high - low)
