"""StyleGAN2's layers against slow twins: loops over images, and scipy's two-dimensional filters."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d, correlate2d

from facelab.generators.stylegan2 import layers
from facelab.generators.stylegan2.layers import modulated_convolution

KERNEL = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


@pytest.fixture
def drawn(random):
    """Features of three images, weights from four channels to five, and a style for each image."""
    x = torch.randn(3, 4, 6, 6, generator=random)
    weight = torch.randn(5, 4, 3, 3, generator=random) / 6
    return x, weight, torch.randn(3, 4, generator=random) + 1


def spread_out(image: np.ndarray) -> np.ndarray:
    """Put a zero between any two pixels, and none behind the last."""
    height, width = image.shape
    wide = np.zeros((2 * height - 1, 2 * width - 1))
    wide[::2, ::2] = image
    return wide


def slowly_modulated(x, weight, style, demodulate, up):
    """One image, one output channel, one input channel at a time."""
    x, weight, style = (t.double().numpy() for t in (x, weight, style))
    images = []
    for features, scales in zip(x, style, strict=True):
        own = weight * scales[None, :, None, None]
        if demodulate:
            own = own / np.sqrt((own**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-8)
        rows = []
        for kernels in own:
            if up:
                parts = [
                    convolve2d(spread_out(f), k) for f, k in zip(features, kernels, strict=True)
                ]
            else:
                parts = [
                    correlate2d(f, k, mode="same") for f, k in zip(features, kernels, strict=True)
                ]
            rows.append(sum(parts))
        images.append(np.stack(rows))
    return torch.from_numpy(np.stack(images)).float()


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_modulated_convolution_against_a_slow_twin(drawn, demodulate, up, fused, tolerance):
    x, weight, style = drawn
    y = modulated_convolution(x, weight, style, demodulate=demodulate, up=up, fused=fused)
    expected = slowly_modulated(x, weight, style, demodulate, up)
    assert y.shape == (3, 5, 13, 13) if up else (3, 5, 6, 6)
    torch.testing.assert_close(y, expected, **tolerance[torch.float32])


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_both_forms_have_the_same_gradients(drawn, demodulate, up, tolerance):
    gradients = {}
    for fused in (False, True):
        inputs = [t.clone().requires_grad_() for t in drawn]
        y = modulated_convolution(*inputs, demodulate=demodulate, up=up, fused=fused)
        gradients[fused] = torch.autograd.grad(y.square().sum(), inputs)
    for unfused, fused in zip(gradients[False], gradients[True], strict=True):
        torch.testing.assert_close(unfused, fused, **tolerance[torch.float32])


def test_demodulation_gives_each_output_unit_variance(random):
    """The point of equation 3: for white inputs the style's size has no effect."""
    x = torch.randn(4, 32, 40, 40, generator=random)
    weight = torch.randn(6, 32, 3, 3, generator=random)
    for size in (0.01, 100.0):
        style = size * (torch.rand(4, 32, generator=random) + 0.1)
        y = modulated_convolution(x, weight, style)[..., 2:-2, 2:-2]
        assert y.std().item() == pytest.approx(1, rel=0.03)


def test_blur_against_scipy_and_keeps_flat_pictures(random, tolerance):
    x = torch.randn(2, 3, 7, 7, generator=random)
    y = layers.blur(x, layers.make_filter(), padding=2)
    for features, blurred in zip(x.flatten(0, 1), y.flatten(0, 1), strict=True):
        wide = np.pad(features.double().numpy(), 2)
        expected = torch.from_numpy(correlate2d(wide, KERNEL, mode="valid")).float()
        torch.testing.assert_close(blurred, expected, **tolerance[torch.float32])
    flat = layers.blur(torch.ones(1, 1, 9, 9), layers.make_filter(), padding=0, stride=2)
    torch.testing.assert_close(flat, torch.ones(1, 1, 3, 3))


def test_enlarging_against_scipy_and_its_meaning(random, tolerance):
    """Zeros between the pixels, filtered: a flat picture stays flat inside."""
    x = torch.randn(2, 3, 5, 5, generator=random)
    y = layers.enlarge(x, layers.make_filter())
    for image, large in zip(x.flatten(0, 1), y.flatten(0, 1), strict=True):
        wide = np.pad(spread_out(image.double().numpy()), ((0, 1), (0, 1)))
        expected = convolve2d(wide, 4 * KERNEL)[1:11, 1:11]
        torch.testing.assert_close(
            large, torch.from_numpy(expected).float(), **tolerance[torch.float32]
        )
    inside = layers.enlarge(torch.ones(1, 3, 5, 5), layers.make_filter())[..., 1:-1, 1:-1]
    torch.testing.assert_close(inside, torch.ones(1, 3, 8, 8))


def test_scaled_layers_keep_the_second_moment(random):
    x = torch.randn(4000, 256, generator=random)
    for rate in (1.0, 0.01):
        y = layers.ScaledLinear(256, 64, rate=rate)(x)
        assert y.std().item() == pytest.approx(1, rel=0.03)
    # A rectifier of slope 0.2 halves the second moment, but for the 4 % that the slope lets by.
    kept = layers.activate(x).square().mean().item()
    assert kept == pytest.approx(1 + 0.2**2, rel=0.01)


def test_a_slow_layer_moves_a_hundred_times_less():
    """Adam moves every weight by its rate; the output then moves by `rate` times as much."""
    moves = []
    for rate in (1.0, 0.01):
        layer, x = layers.ScaledLinear(16, 16, rate=rate), torch.ones(1, 16)
        before = layer(x).detach()
        adam = torch.optim.Adam(layer.parameters(), 1e-3)
        layer(x).sum().backward()
        adam.step()
        moves.append((layer(x) - before).abs().mean().item())
    assert moves[1] / moves[0] == pytest.approx(0.01, rel=0.01)


def test_a_bias_is_multiplied_by_the_rate_too():
    layer = layers.ScaledLinear(2, 3, rate=0.5, bias=4.0)
    with torch.no_grad():
        layer.weight.zero_()
    torch.testing.assert_close(layer(torch.ones(1, 2)), torch.full((1, 3), 2.0))


def test_a_scaled_convolution_is_torchs(random, tolerance):
    layer = layers.ScaledConvolution(3, 4, 3)
    x = torch.randn(2, 3, 5, 5, generator=random)
    plain = torch.nn.functional.conv2d(x, layer.weight / math.sqrt(27), padding=1)
    expected = math.sqrt(2) * torch.nn.functional.leaky_relu(plain, 0.2)
    torch.testing.assert_close(layer(x, padding=1), expected, **tolerance[torch.float32])
