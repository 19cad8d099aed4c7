"""StyleGAN2's layers: weights scaled at run time, modulated convolutions, blurs.

Weights are drawn from N(0, 1) and multiplied by 1 / sqrt(fan in) whenever they are used, so that
Adam, whose steps have one size, moves all layers equally fast (equalised learning rate: Karras et
al. 2018, section 4.1).
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Features = Float[Tensor, "batch channels height width"]
Resized = Float[Tensor, "batch channels _ _"]
Filter = Float[Tensor, "4 4"]

GAIN = math.sqrt(2)  # a rectifier halves the second moment; this restores it
SLOPE = 0.2
TAPS = (1.0, 3.0, 3.0, 1.0)


def make_filter() -> Filter:
    """Return the low-pass filter [1, 3, 3, 1] in both directions; it sums to 1."""
    taps = torch.tensor(TAPS) / sum(TAPS)
    return torch.outer(taps, taps)


def blur(x: Features, kernel: Filter, padding: int, stride: int = 1) -> Resized:
    """Filter each channel by itself, zeros beyond the border, and keep each `stride`-th pixel."""
    channels = x.shape[1]
    if stride == 1:
        weight = kernel.to(x.dtype).expand(channels, 1, 4, 4)
        return F.conv2d(x, weight, padding=padding, groups=channels)
    # A CPU has no quick way to the gradients of strided filters in bfloat16.
    with torch.autocast(x.device.type, enabled=False):
        weight = kernel.expand(channels, 1, 4, 4)
        return F.conv2d(x.to(kernel.dtype), weight, stride=stride, padding=padding, groups=channels)


def enlarge(images: Features, kernel: Filter) -> Resized:
    """Double the side: zeros between the pixels, then the filter, four times as strong; float32."""
    channels = images.shape[1]
    with torch.autocast(images.device.type, enabled=False):
        weight = (4 * kernel).expand(channels, 1, 4, 4)
        return F.conv_transpose2d(
            images.to(kernel.dtype), weight, stride=2, padding=1, groups=channels
        )


def activate(x: Tensor) -> Tensor:
    """Return sqrt(2) times the leaky rectifier of slope 0.2: it keeps the second moment."""
    return F.leaky_relu(x, SLOPE) * GAIN


class ScaledLinear(nn.Module):
    """A linear layer with equalised learning rate, times `rate`."""

    def __init__(self, above: int, below: int, *, rate: float = 1.0, bias: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(below, above) / rate)
        self.bias = nn.Parameter(torch.full((below,), bias))
        self.rate, self.scale = rate, rate / math.sqrt(above)

    def forward(self, x: Float[Tensor, "batch above"]) -> Float[Tensor, "batch below"]:
        """Return x W^T + b with the scaled weights."""
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class ScaledConvolution(nn.Module):
    """A convolution with equalised learning rate; `activated` ones have a bias and a rectifier."""

    def __init__(self, above: int, below: int, kernel: int, *, activated: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(below, above, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(below)) if activated else None
        self.scale = 1 / math.sqrt(above * kernel * kernel)

    def forward(
        self, x: Float[Tensor, "batch _ _ _"], *, stride: int = 1, padding: int = 0
    ) -> Float[Tensor, "batch _ _ _"]:
        """Return the convolution of x, through the rectifier when there is one."""
        y = F.conv2d(x, self.weight * self.scale, self.bias, stride=stride, padding=padding)
        return y if self.bias is None else activate(y)


# --- modulation ----------------------------------------------------------------------------------


def demodulation(
    weight: Float[Tensor, "below above k k"], style: Float[Tensor, "batch above"]
) -> Float[Tensor, "batch below"]:
    """Return 1 / sqrt(sum over inputs and places of (s_i w_ijk)^2 + epsilon) for each output j.

    Source: Karras et al. 2020, equation 3. The sum over places needs no style, so it is taken
    first. In float32 also where the convolution is not: it is small, and an error in it scales
    whole channels.
    """
    with torch.autocast(style.device.type, enabled=False):
        energy = weight.float().square().sum(dim=(2, 3))
        return (style.float().square() @ energy.T + 1e-8).rsqrt()


def modulated_convolution(
    x: Features,
    weight: Float[Tensor, "below above k k"],
    style: Float[Tensor, "batch above"],
    *,
    demodulate: bool = True,
    up: bool = False,
    fused: bool = False,
) -> Float[Tensor, "batch below _ _"]:
    """Convolve each image with weights that its own style has scaled, one number an input channel.

    w'_ijk = s_i w_ijk (equation 1), divided by its norm over i and k with `demodulate` (equation
    3). Two forms give the same numbers. Fused: weights for each image, one grouped convolution,
    as in the paper. Unfused: the style scales the input and the norm the output, and one plain
    convolution does all images; a CPU is several times faster with it, and training needs less
    memory. With `up` the side becomes 2 n + 1, to be blurred to 2 n.

    Source: Karras et al. 2020, equations 1 to 3 and appendix B.
    """
    if fused:
        return _grouped(x, weight, style, demodulate, up)
    x = x * style.to(x.dtype)[:, :, None, None]
    if up:
        y = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    else:
        y = F.conv2d(x, weight, padding=weight.shape[2] // 2)
    if demodulate:
        y = y * demodulation(weight, style).to(y.dtype)[:, :, None, None]
    return y


def _grouped(
    x: Features,
    weight: Float[Tensor, "below above k k"],
    style: Float[Tensor, "batch above"],
    demodulate: bool,
    up: bool,
) -> Float[Tensor, "batch below _ _"]:
    batch, above, k = len(x), weight.shape[1], weight.shape[2]
    own = weight[None] * style[:, None, :, None, None]  # (batch, below, above, k, k)
    if demodulate:
        own = own * (own.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    side_by_side = x.reshape(1, batch * above, *x.shape[2:])
    if up:
        turned = own.transpose(1, 2).reshape(batch * above, -1, k, k)
        y = F.conv_transpose2d(side_by_side, turned, stride=2, groups=batch)
    else:
        rows = own.reshape(-1, above, k, k)
        y = F.conv2d(side_by_side, rows, padding=k // 2, groups=batch)
    return y.reshape(batch, -1, *y.shape[2:])
