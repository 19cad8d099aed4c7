"""Structural similarity of pictures as a pure computation, for a loss as for a metric.

Nothing is checked that would make a GPU wait, and gradients flow to both pictures.
`metrics.pixels` checks the values' range and computes in float64.

| here | source |
|---|---|
| `ssim_of` | Wang, Bovik, Sheikh & Simoncelli, "Image Quality Assessment: From Error Visibility |
| | to Structural Similarity", IEEE TIP 2004, equation 13; Gaussian window of section III-C |
| `ms_ssim_of` | Wang, Simoncelli & Bovik, "Multiscale Structural Similarity for Image Quality |
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
# The slope of m^weight has no limit as m goes to 0: at this m it is at most 54.
LEAST = 1e-3

Pixels = Float[Tensor, "batch channels height width"]
Others = Float[Tensor, "_ _ _ _"]  # of the same shape: checked here, with a message of our own
Windows = Float[Tensor, "batch channels _ _"]
PerPicture = Float[Tensor, " batch"]


def ssim_of(x: Pixels, y: Others, *, width: float) -> PerPicture:
    """Return the structural similarity, -1 to 1, of pictures whose black is 0 and white is `width`.

    The mean over channels and all windows of 11 x 11 pixels (Gaussian, sigma 1.5) that lie inside
    the picture. Half precision is computed in float32. Raises `ParameterError` for two shapes, or
    when a side is below 11. Source: Wang et al. 2004, equation 13.
    """
    scales_for(*_require_one_shape(x, y))
    with torch.autocast(x.device.type, enabled=False):
        luminance, contrast = _similarities(_exact(x), _exact(y), width)
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


def ms_ssim_of(
    x: Pixels, y: Others, *, width: float, scales: int | None = None, least: float = LEAST
) -> PerPicture:
    """Return the similarity over several scales, of pictures whose black is 0 and white is `width`.

    The product over the scales of the mean contrast and structure, with the luminance at the
    coarsest one, each raised to the scale's weight; each channel alone, then their mean. From one
    scale to the next 2 x 2 pixels are averaged. `scales` is `scales_for` the size when not given;
    their weights are divided by their sum. A mean below `least` counts as `least` and has no
    gradient: the power of a negative number is none, and that of 0 has an infinite slope.

    Half precision is computed in float32. Raises `ParameterError` for two shapes, or when there is
    no room for that many scales. Source: Wang et al. 2003, equation 7.
    """
    room = scales_for(*_require_one_shape(x, y))
    scales = room if scales is None else scales
    if not 1 <= scales <= room:
        raise ParameterError(
            f"{scales} scales don't fit {x.shape[3]} x {x.shape[2]} pixels, where a window of "
            f"{WINDOW} has room at {room}; give 1 to {room}"
        )
    total = sum(SCALE_WEIGHTS[:scales])
    with torch.autocast(x.device.type, enabled=False):
        a, b = _exact(x), _exact(y)
        result = a.new_ones(a.shape[:2])
        for scale, weight in enumerate(SCALE_WEIGHTS[:scales]):
            luminance, contrast = _similarities(a, b, width)
            last = scale == scales - 1
            means = (luminance * contrast if last else contrast).mean(dim=(2, 3))
            result = result * means.clamp(min=least) ** (weight / total)
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        return result.mean(dim=1)


def _require_one_shape(x: Tensor, y: Tensor) -> tuple[int, int]:
    """Return height and width."""
    if x.shape != y.shape:
        raise ParameterError(
            f"pictures of shape {tuple(x.shape)} are compared with {tuple(y.shape)}; give two "
            "batches of one shape"
        )
    return x.shape[2], x.shape[3]


def _exact(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _similarities(x: Pixels, y: Pixels, width: float) -> tuple[Windows, Windows]:
    """Return luminance, and contrast times structure, of every window inside the pictures.

    Wang et al. 2004, equations 6, 9 and 10 with C3 = C2 / 2, where the two last become one.
    """
    c1, c2 = (K1 * width) ** 2, (K2 * width) ** 2
    # Variances are means of squares less squared means, which lose digits the farther from 0 the
    # values are; the middle of the range is taken off first, as they don't depend on it.
    middle = width / 2
    x, y = x - middle, y - middle
    mean_x, mean_y = _window(x), _window(y)
    variance_x = _window(x.square()) - mean_x.square()
    variance_y = _window(y.square()) - mean_y.square()
    covariance = _window(x * y) - mean_x * mean_y
    mean_x, mean_y = mean_x + middle, mean_y + middle
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    return luminance, (2 * covariance + c2) / (variance_x + variance_y + c2)


def _window(x: Pixels) -> Windows:
    """Return the Gaussian mean about each pixel whose window lies inside, column by row."""
    steps = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    weights = torch.exp(-steps.square() / (2 * SIGMA**2))
    weights = weights / weights.sum()
    flat = x.flatten(0, 1)[:, None]
    flat = F.conv2d(F.conv2d(flat, weights[None, None, :, None]), weights[None, None, None, :])
    return flat.unflatten(0, x.shape[:2])[:, :, 0]
