"""How far are two pictures apart, pixel by pixel and window by window; one value per picture.

Every measure takes `data_range`, the smallest and the largest value that a pixel can have: (-1, 1)
inside facelab, (0, 255) for levels. It has no default, and values outside are refused: a wrong
range gives wrong numbers that look right. SSIM also needs to know where black is, which a width
alone does not say: it is defined for values from 0 up, so black is moved there first.

| here | source |
|---|---|
| `ssim` | Wang, Bovik, Sheikh & Simoncelli, "Image Quality Assessment: From Error Visibility to |
| | Structural Similarity", IEEE TIP 2004, equation 13; Gaussian window of section III-C |
| `ms_ssim` | Wang, Simoncelli & Bovik, "Multiscale Structural Similarity for Image Quality |
| | Assessment", Asilomar 2003, equation 7 and the weights of section 3.2 |
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError

WINDOW = 11
SIGMA = 1.5
K1, K2 = 0.01, 0.03
# From the finest to the coarsest scale, as found with human observers.
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

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
    luminance, contrast = _similarities(x, y, width)
    return (luminance * contrast).mean(dim=(1, 2, 3))


def scales_for(height: int, width: int) -> int:
    """Return how many scales, at most five, have room for a window: 3 at 64 pixels, 5 from 176.

    A picture has half the side at the next scale. Raises `ParameterError` below 11 pixels.
    """
    side = min(height, width)
    if side < WINDOW:
        raise ParameterError(
            f"a window of {WINDOW} x {WINDOW} pixels does not fit into {width} x {height}; give "
            "larger pictures"
        )
    return min(len(SCALE_WEIGHTS), 1 + int(math.log2(side / WINDOW)))


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
    room = scales_for(x.shape[2], x.shape[3])
    scales = room if scales is None else scales
    if not 1 <= scales <= room:
        raise ParameterError(
            f"{scales} scales don't fit {x.shape[3]} x {x.shape[2]} pixels, where a window of "
            f"{WINDOW} has room at {room}; give 1 to {room}"
        )
    weights = torch.tensor(SCALE_WEIGHTS[:scales], dtype=torch.float64)
    weights = (weights / weights.sum()).tolist()
    result = x.new_ones(x.shape[:2])
    for scale, weight in enumerate(weights):
        luminance, contrast = _similarities(x, y, width)
        last = scale == scales - 1
        means = (luminance * contrast if last else contrast).mean(dim=(2, 3))
        result = result * means.clamp(min=0) ** weight
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return result.mean(dim=1)


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


def _similarities(x: Pixels, y: Pixels, width: float) -> tuple[Pixels, Pixels]:
    """Return luminance, and contrast times structure, of every window inside the pictures.

    Wang et al. 2004, equations 6, 9 and 10 with C3 = C2 / 2, where the two last become one.
    """
    c1, c2 = (K1 * width) ** 2, (K2 * width) ** 2
    mean_x, mean_y = _window(x), _window(y)
    # Variances as means of squares less squared means: exact enough in float64 alone.
    variance_x = _window(x.square()) - mean_x.square()
    variance_y = _window(y.square()) - mean_y.square()
    covariance = _window(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    return luminance, (2 * covariance + c2) / (variance_x + variance_y + c2)


def _window(x: Pixels) -> Pixels:
    """Return the Gaussian mean about each pixel whose window lies inside, column by row."""
    steps = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    weights = torch.exp(-steps.square() / (2 * SIGMA**2))
    weights = weights / weights.sum()
    flat = x.flatten(0, 1)[:, None]
    flat = F.conv2d(F.conv2d(flat, weights[None, None, :, None]), weights[None, None, None, :])
    return flat.unflatten(0, x.shape[:2])[:, :, 0]
