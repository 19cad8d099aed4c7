"""Structural similarity as a loss: its gradients, its data types, and that metrics are the same."""

import pytest
import torch
import torch.nn.functional as F

from facelab.errors import ParameterError
from facelab.metrics import pixels
from facelab.structural_similarity import LEAST, SCALE_WEIGHTS, ms_ssim_of, scales_for, ssim_of


@pytest.fixture
def pictures(random):
    """Three smooth pictures of 64 pixels, and the same with noise, in [0, 2]."""
    coarse = torch.rand(3, 3, 9, 9, generator=random, dtype=torch.float64) * 1.6 - 0.8
    images = F.interpolate(coarse, (64, 64), mode="bicubic").clamp(-0.9, 0.9)
    noise = torch.randn(images.shape, generator=random, dtype=torch.float64)
    return images + 1, (images + 0.05 * noise).clamp(-1, 1) + 1


def gradient(function, x, y):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(function(x, y, width=2.0).sum(), x)[0]


def test_gradients_are_those_of_differences(random):
    """32 pixels and two scales, in float64, by both pictures."""
    x, y = torch.rand(2, 1, 1, 32, 32, generator=random, dtype=torch.float64)
    y = 0.7 * x + 0.3 * y
    for function in (lambda a, b: ms_ssim_of(a, b, width=1.0, scales=2),
                     lambda a, b: ssim_of(a, b, width=1.0)):  # fmt: skip
        inputs = (x.clone().requires_grad_(), y.clone().requires_grad_())
        assert torch.autograd.gradcheck(function, inputs, fast_mode=True)


def test_a_metric_is_the_same_number(pictures):
    """In float64 to the last digits, in float32 and under autocast to those that it has."""
    x, y = pictures
    for function, metric in ((ssim_of, pixels.ssim), (ms_ssim_of, pixels.ms_ssim)):
        expected = metric(x - 1, y - 1, data_range=(-1, 1))
        torch.testing.assert_close(function(x, y, width=2.0), expected, rtol=1e-12, atol=1e-12)
        coarse = function(x.float(), y.float(), width=2.0)
        assert coarse.dtype == torch.float32
        torch.testing.assert_close(coarse.double(), expected, rtol=0, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(function(x.float(), y.float(), width=2.0), coarse)
        halves = [p.to(torch.bfloat16) for p in (x, y)]
        assert torch.equal(
            function(*halves, width=2.0), function(*(p.float() for p in halves), width=2.0)
        )


def test_the_range_is_a_unit(pictures):
    x, y = pictures
    for function in (ssim_of, ms_ssim_of):
        torch.testing.assert_close(
            function(127.5 * x, 127.5 * y, width=255.0), function(x, y, width=2.0)
        )


def test_equal_pictures_are_at_the_top(pictures):
    """Flat ones as well: 1, and nowhere to go from there."""
    for x in (pictures[0].float(), torch.ones(2, 3, 64, 64), torch.zeros(2, 3, 64, 64)):
        for function in (ssim_of, ms_ssim_of):
            assert function(x, x, width=2.0).tolist() == pytest.approx([1] * len(x), abs=1e-5)
            slope = gradient(function, x, x)
            assert slope.isfinite().all()
            assert slope.abs().max() < 1e-4


def test_an_opposite_has_a_least_value_and_finite_gradients(pictures):
    """Every scale counts as `least` there, so their product has its weights' sum: one."""
    x = pictures[0].float()
    opposite = 2 - x
    assert ms_ssim_of(x, opposite, width=2.0).tolist() == pytest.approx([LEAST] * 3, rel=1e-4)
    assert ms_ssim_of(x, opposite, width=2.0, least=0.0).tolist() == [0] * 3
    assert (gradient(ms_ssim_of, x, opposite) == 0).all()
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) * 2
    slope = gradient(ms_ssim_of, x, noise)  # nothing in common: some means are about 0
    assert slope.isfinite().all()
    assert 0 < slope.abs().max() < 1


def test_the_least_slope_is_what_it_is_said_to_be():
    """weight m^(weight - 1), for every weight of one to five scales."""
    weights = [w / sum(SCALE_WEIGHTS[:n]) for n in range(1, 6) for w in SCALE_WEIGHTS[:n]]
    assert max(w * LEAST ** (w - 1) for w in weights) < 54


def test_a_step_along_the_gradient_makes_them_more_alike(pictures):
    """Each picture is pulled toward its own target alone."""
    x, y = (p.float() for p in pictures)
    slope = gradient(ms_ssim_of, y, x)
    better = y + 0.01 * slope / slope.abs().amax(dim=(1, 2, 3), keepdim=True)
    assert (ms_ssim_of(better, x, width=2.0) > ms_ssim_of(y, x, width=2.0) + 1e-4).all()
    y = y.clone().requires_grad_()
    (of_one,) = torch.autograd.grad(ms_ssim_of(y, x, width=2.0)[1], y)
    assert of_one[1].abs().sum() > 0
    assert of_one[[0, 2]].abs().sum() == 0


def test_what_does_not_fit_is_named():
    x = torch.zeros(2, 3, 16, 16)
    for function in (ssim_of, ms_ssim_of):
        with pytest.raises(ParameterError, match=r"\(2, 3, 16, 16\) are compared with \(1, 3, 16"):
            function(x, x[:1], width=1.0)
        with pytest.raises(ParameterError, match="does not fit into 16 x 10"):
            function(x[:, :, :10], x[:, :, :10], width=1.0)
    with pytest.raises(ParameterError, match="2 scales don't fit 16 x 16 pixels"):
        ms_ssim_of(x, x, width=1.0, scales=2)
    assert scales_for(16, 16) == 1
