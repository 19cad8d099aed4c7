"""Equations 2 to 4: closed forms, slow twins, slopes."""

import math

import pytest
import torch

from facelab.errors import ParameterError
from facelab.methods.d2ae import losses


def test_identification_is_minus_log_of_the_true_ones_share(random):
    logits = torch.randn(3, 4, generator=random)
    identities = torch.tensor([2, 0, 3])
    found = losses.identification_loss(logits, identities)
    for row, t in enumerate(identities.tolist()):
        y = [math.exp(float(value)) for value in logits[row]]
        assert float(found[row]) == pytest.approx(-math.log(y[t] / sum(y)), abs=1e-5)
    none = losses.identification_loss(torch.zeros(3, 4), identities)
    assert none.tolist() == pytest.approx([math.log(4)] * 3)


def test_dispelling_is_the_cross_entropy_to_the_uniform_distribution(random):
    logits = torch.randn(3, 5, generator=random)
    found, printed = (losses.dispelling_loss(logits, name) for name in ("uniform", "as-printed"))
    for row in range(3):
        y = [math.exp(float(value)) for value in logits[row]]
        wanted = sum(math.log(value / sum(y)) for value in y) / 5
        assert float(printed[row]) == pytest.approx(wanted, abs=1e-5)
        assert float(found[row]) == pytest.approx(-wanted, abs=1e-5)


def test_dispelling_is_least_where_nothing_is_told(random):
    """At log N for uniform; the printed sign has its greatest value there, and no least one."""
    even = torch.full((2, 5), 3.0)
    assert losses.dispelling_loss(even).tolist() == pytest.approx([math.log(5)] * 2)
    assert (losses.dispelling_loss(torch.randn(9, 5, generator=random)) > math.log(5)).all()
    sure = torch.tensor([[100.0, 0, 0, 0, 0], [1000.0, 0, 0, 0, 0]])
    assert losses.dispelling_loss(sure, "as-printed").tolist() == pytest.approx([-80, -800])


def test_the_slopes_of_dispelling(random):
    """y - 1/N: down the slope the sure one loses; with the printed sign it gains."""
    logits = torch.randn(1, 4, generator=random).requires_grad_()
    wanted = logits.detach().softmax(1) - 0.25
    for reading, sign in (("uniform", 1), ("as-printed", -1)):
        (slope,) = torch.autograd.grad(losses.dispelling_loss(logits, reading).sum(), logits)
        torch.testing.assert_close(slope, sign * wanted)


def test_reconstruction_is_half_the_sum_of_squares_by_area(random):
    x, made = torch.rand(2, 2, 3, 4, 4, generator=random)
    wanted = [0.5 * sum(float(v) ** 2 for v in d.flatten()) / 16 for d in x - made]
    assert losses.reconstruction_loss(x, made).tolist() == pytest.approx(wanted, rel=1e-5)
    assert losses.reconstruction_loss(x, x).tolist() == [0, 0]


def test_reconstruction_has_the_papers_weight_at_the_papers_size():
    """1.81e-5 times half the sum of squares over 3 x 235 x 235 values."""
    x = torch.full((1, 3, 235, 235), 0.5)
    paper = 1.81e-5 * 0.5 * 3 * 235 * 235 * 0.25
    assert float(losses.reconstruction_loss(x, 0 * x)) == pytest.approx(paper, rel=1e-3)
    small = torch.full((1, 3, 8, 8), 0.5)
    assert float(losses.reconstruction_loss(small, 0 * small)) == pytest.approx(0.375)


def test_unknown_readings():
    with pytest.raises(ParameterError, match="reading 'even' is unknown; choose one of: uniform,"):
        losses.dispelling_loss(torch.zeros(1, 2), "even")
