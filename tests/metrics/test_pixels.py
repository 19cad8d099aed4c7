"""RMSE, PSNR, SSIM and MS-SSIM: known values, slow twins, scales for small pictures."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from facelab.errors import ParameterError
from facelab.metrics.pixels import ms_ssim, psnr, rmse, scales_for, ssim

MEASURES = (rmse, psnr, ssim, ms_ssim)
LEVELS, INSIDE = (0, 255), (-1, 1)


@pytest.fixture
def pictures(random):
    """Three smooth pictures of 64 pixels, and the same with noise, in [-1, 1]."""
    coarse = torch.rand(3, 3, 9, 9, generator=random, dtype=torch.float64) * 1.6 - 0.8
    images = F.interpolate(coarse, (64, 64), mode="bicubic").clamp(-0.9, 0.9)
    noise = torch.randn(images.shape, generator=random, dtype=torch.float64)
    return images, (images + 0.05 * noise).clamp(-1, 1)


# --- errors of pixels ----------------------------------------------------------------------------


def test_a_known_error():
    """One level off everywhere is 48.13 dB; a tenth of the range is 20 dB."""
    grey = torch.full((2, 3, 8, 8), 100.0)
    assert rmse(grey, grey + 1, data_range=LEVELS).tolist() == pytest.approx([1, 1])
    assert psnr(grey, grey + 1, data_range=LEVELS).tolist() == pytest.approx(
        [48.1308] * 2, rel=1e-5
    )
    zero = torch.zeros(1, 3, 8, 8)
    assert float(psnr(zero, zero + 0.2, data_range=INSIDE)) == pytest.approx(20, rel=1e-6)
    assert float(rmse(zero, zero + 0.2, data_range=INSIDE) * 127.5) == pytest.approx(25.5)


def test_each_picture_has_its_own(random):
    x, y = torch.rand(2, 5, 3, 6, 7, generator=random, dtype=torch.float64)
    expected = np.sqrt(((x - y).numpy() ** 2).reshape(5, -1).mean(1))
    np.testing.assert_allclose(rmse(x, y, data_range=(0, 1)), expected, rtol=1e-12)
    np.testing.assert_allclose(psnr(x, y, data_range=(0, 1)), -20 * np.log10(expected), rtol=1e-12)


def test_equal_pictures(pictures):
    x, _ = pictures
    assert psnr(x, x, data_range=INSIDE).tolist() == [math.inf] * 3
    assert rmse(x, x, data_range=INSIDE).tolist() == [0] * 3
    for measure in (ssim, ms_ssim):
        assert measure(x, x, data_range=INSIDE).tolist() == pytest.approx([1] * 3, abs=1e-12)


# --- structure -----------------------------------------------------------------------------------


def test_ssim_of_flat_pictures_is_the_luminance_alone():
    """(2 a b + C1) / (a^2 + b^2 + C1), with C1 = (0.01 x 255)^2."""
    a, b = 50.0, 200.0
    x, y = torch.full((1, 3, 16, 16), a).double(), torch.full((1, 3, 16, 16), b).double()
    expected = (2 * a * b + 6.5025) / (a**2 + b**2 + 6.5025)
    assert float(ssim(x, y, data_range=LEVELS)) == pytest.approx(expected, rel=1e-9)
    assert float(ms_ssim(x, y, data_range=LEVELS)) == pytest.approx(expected, rel=1e-9)


def test_ssim_equals_the_sum_over_windows(pictures):
    """Wang et al. 2004, equations 13 to 16, window by window, in levels of 0 to 255."""
    x, y = (127.5 * (p[:1, :, :14, :13] + 1) for p in pictures)
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    found = []
    for channel, top, left in itertools.product(range(3), range(4), range(3)):
        a, b = (p[0, channel, top : top + 11, left : left + 11].numpy() for p in (x, y))
        mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
        variances = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
        covariance = (weights * (a - mean_a) * (b - mean_b)).sum()
        found.append(
            (2 * mean_a * mean_b + c1)
            * (2 * covariance + c2)
            / ((mean_a**2 + mean_b**2 + c1) * (sum(variances) + c2))
        )
    assert float(ssim(x, y, data_range=LEVELS)) == pytest.approx(np.mean(found), rel=1e-9)


def test_the_range_of_the_values_does_not_matter_once_it_is_told(pictures):
    """[-1, 1], [0, 1] and levels: black is black."""
    x, y = pictures
    for measure in (psnr, ssim, ms_ssim):
        expected = measure(x, y, data_range=INSIDE).tolist()
        unit = measure((x + 1) / 2, (y + 1) / 2, data_range=(0, 1))
        levels = measure((x + 1) * 127.5, (y + 1) * 127.5, data_range=LEVELS)
        assert unit.tolist() == pytest.approx(expected, rel=1e-9)
        assert levels.tolist() == pytest.approx(expected, rel=1e-9)


def test_more_noise_is_less_alike_and_an_opposite_is_negative(pictures):
    x, y = pictures
    far = (x + 4 * (y - x)).clamp(-1, 1)
    for measure in (psnr, ssim, ms_ssim):
        near_value = measure(x, y, data_range=INSIDE)
        assert (measure(x, far, data_range=INSIDE) < 0.95 * near_value).all()
        torch.testing.assert_close(near_value, measure(y, x, data_range=INSIDE))
        turned = measure(x.mT.flip(3), y.mT.flip(3), data_range=INSIDE)
        torch.testing.assert_close(near_value, turned)
    assert (ssim(x, -x, data_range=INSIDE) < -0.2).all()
    assert (ms_ssim(x, -x, data_range=INSIDE) == 0).all()


# --- scales --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "scales"),
    [(11, 1), (21, 1), (22, 2), (44, 3), (64, 3), (87, 3), (88, 4), (128, 4), (176, 5), (1024, 5)],
)
def test_scales_have_room_for_a_window(size, scales):
    assert scales_for(size, size + 50) == scales_for(size + 50, size) == scales
    assert size // 2 ** (scales - 1) >= 11


def test_ms_ssim_at_64_pixels_is_the_product_over_three_scales(pictures):
    """Picture by picture, channel by channel."""
    x, y = pictures
    weights = np.array([0.0448, 0.2856, 0.3001])
    weights /= weights.sum()
    expected = np.ones((3, 3))
    for scale in range(3):
        for picture, channel in itertools.product(range(3), range(3)):
            a, b = (F.avg_pool2d(p, 2**scale)[picture, channel][None, None] for p in (x, y))
            value = _parts(a[0, 0].numpy() + 1, b[0, 0].numpy() + 1, last=scale == 2)
            expected[picture, channel] *= value ** weights[scale]
    found = ms_ssim(x, y, data_range=INSIDE)
    np.testing.assert_allclose(found, expected.mean(1), rtol=1e-9)
    assert (found > ms_ssim(x, y, data_range=INSIDE, scales=1)).all()  # noise is fine-grained


def _parts(a, b, last):
    """The mean over windows of contrast and structure, with the luminance at the last scale."""
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    a, b = (np.lib.stride_tricks.sliding_window_view(p, (11, 11)) for p in (a, b))

    def mean(values):
        return (values * weights).sum((2, 3))

    mean_a, mean_b = mean(a), mean(b)
    varied = mean(a**2) - mean_a**2 + mean(b**2) - mean_b**2
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    value = (2 * (mean(a * b) - mean_a * mean_b) + c2) / (varied + c2)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return (value * luminance if last else value).mean()


def test_five_scales_have_the_papers_weights(random):
    """Where every scale has the same value, it is the value to the power of the weights' sum: 1."""
    x = torch.full((1, 1, 176, 176), 100.0).double()
    y = torch.full((1, 1, 176, 176), 150.0).double()
    luminance = (2 * 100 * 150 + 6.5025) / (100**2 + 150**2 + 6.5025)
    weight = 0.1333 / 1.0001  # the luminance is taken at the coarsest scale alone
    assert float(ms_ssim(x, y, data_range=LEVELS)) == pytest.approx(luminance**weight, rel=1e-9)


def test_one_scale_is_ssim_of_each_channel(pictures):
    x, y = pictures
    torch.testing.assert_close(
        ms_ssim(x, y, data_range=INSIDE, scales=1), ssim(x, y, data_range=INSIDE)
    )


# --- what can't be measured ----------------------------------------------------------------------


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("change", "data_range", "message"),
    [
        (lambda x: x[:2], INSIDE, r"\(3, 3, 64, 64\) are compared with \(2, 3, 64, 64\)"),
        (lambda x: x[:, :1], INSIDE, r"compared with \(3, 1, 64, 64\)"),
        (
            lambda x: x.index_fill(0, torch.tensor([1]), math.nan),
            INSIDE,
            "targets have values from nan",
        ),
        (
            lambda x: x,
            (0, 1),
            r"images have values from -0\.\d+ to 0\.\d+, outside data_range \(0, 1\)",
        ),
        (lambda x: 127.5 * (x + 1), INSIDE, "the targets have values from"),
        (lambda x: x, (1, -1), r"data_range is \(1, -1\); give the smallest"),
        (lambda x: x, (0, math.inf), "data_range is"),
    ],
)
def test_what_cannot_be_measured_is_named(pictures, measure, change, data_range, message):
    x, _ = pictures
    with pytest.raises(ParameterError, match=message):
        measure(x, change(x), data_range=data_range)


@pytest.mark.parametrize("measure", MEASURES)
def test_the_range_has_no_default_and_an_empty_batch_no_value(pictures, measure):
    x, _ = pictures
    with pytest.raises(TypeError, match="data_range"):
        measure(x, x)
    with pytest.raises(ParameterError, match="at least one picture"):
        measure(x[:0], x[:0], data_range=INSIDE)


def test_pictures_without_room_for_a_window_are_named(pictures):
    x = pictures[0][:, :, :10]
    for measure in (ssim, ms_ssim):
        with pytest.raises(ParameterError, match="64 x 10 pixels, at least 11 a side"):
            measure(x, x, data_range=INSIDE)
    with pytest.raises(ParameterError, match="4 scales don't fit 64 x 64 pixels"):
        ms_ssim(pictures[0], pictures[0], data_range=INSIDE, scales=4)
    with pytest.raises(ParameterError, match="0 scales don't fit"):
        ms_ssim(pictures[0], pictures[0], data_range=INSIDE, scales=0)
    with pytest.raises(ParameterError, match="does not fit into 5 x 9"):
        scales_for(9, 5)


def test_rounding_at_the_ends_of_the_range_is_forgiven():
    x = torch.full((1, 3, 16, 16), 1 + 1e-6)
    assert float(ssim(x, -x, data_range=INSIDE)) == pytest.approx(1e-4 / 1.0001, rel=0.05)
