"""The losses of the games against closed forms, and their gradients against arithmetic by hand."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from facelab.errors import ParameterError
from facelab.generators import adversarial

LOGITS = torch.tensor([-30.0, -2.0, 0.0, 0.5, 30.0])


def test_minimax_is_the_papers_equation():
    real, fake = torch.tensor([0.3, -1.2]), torch.tensor([-0.7, 2.0])
    d_real, d_fake = torch.sigmoid(real), torch.sigmoid(fake)
    value = torch.log(d_real) + torch.log(1 - d_fake)
    torch.testing.assert_close(adversarial.minimax_discriminator(real, fake), -value)
    torch.testing.assert_close(adversarial.minimax_generator(fake), torch.log(1 - d_fake))
    torch.testing.assert_close(
        adversarial.non_saturating_discriminator(real, fake),
        adversarial.minimax_discriminator(real, fake),
    )


def test_a_discriminator_that_cannot_tell_loses_twice_log_two():
    zero = torch.zeros(3)
    loss = adversarial.minimax_discriminator(zero, zero)
    torch.testing.assert_close(loss, torch.full((3,), 2 * math.log(2)))
    torch.testing.assert_close(
        adversarial.non_saturating_generator(zero), torch.full((3,), math.log(2))
    )


def test_the_two_generators_losses_differ_where_the_discriminator_is_sure():
    """Slopes in the logit: -D for minimax, which vanishes, D - 1 for the other, which doesn't."""
    logits = LOGITS.clone().requires_grad_()
    (slope,) = torch.autograd.grad(adversarial.minimax_generator(logits).sum(), logits)
    torch.testing.assert_close(slope, -torch.sigmoid(LOGITS))
    assert slope[0].abs() < 1e-12
    (slope,) = torch.autograd.grad(adversarial.non_saturating_generator(logits).sum(), logits)
    torch.testing.assert_close(slope, torch.sigmoid(LOGITS) - 1)
    assert slope[0] == -1


def test_least_squares_have_targets_one_and_zero():
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, -2.0])
    loss = adversarial.least_squares_discriminator(real, fake)
    assert loss.tolist() == [0.0, 4.0]
    assert adversarial.least_squares_generator(torch.tensor([1.0, -1.0])).tolist() == [0.0, 2.0]


def test_half_precision_logits_are_widened_first():
    half = torch.tensor([-20.0], dtype=torch.bfloat16)
    for loss in (adversarial.non_saturating_generator, adversarial.least_squares_generator):
        assert loss(half).dtype == torch.float32
    assert adversarial.minimax_discriminator(half, half).dtype == torch.float32


# --- regularisers --------------------------------------------------------------------------------


def quadratic(images, matrix):
    """D(x) = x^T A x / 2 for each image: its gradient is A x, with A symmetric."""
    flat = images.flatten(1)
    return 0.5 * ((flat @ matrix) * flat).sum(1)


@pytest.fixture
def toy(random):
    images = torch.randn(4, 3, 2, 2, generator=random, dtype=torch.float64)
    half = torch.randn(12, 12, generator=random, dtype=torch.float64)
    return images, half + half.T


def test_r1_is_the_squared_gradient_and_can_be_differentiated(toy, monkeypatch):
    """|A x|^2 for the toy, and 2 A x x^T (symmetrised) in A, by double backward."""
    images, matrix = toy
    monkeypatch.setattr(torch.Tensor, "float", lambda tensor: tensor)  # keep float64
    images, matrix = images.requires_grad_(), matrix.requires_grad_()
    penalty = adversarial.r1_penalty(quadratic(images, matrix), images)
    flat = images.flatten(1)
    symmetric = (matrix + matrix.T) / 2
    torch.testing.assert_close(penalty, (flat @ symmetric).square().sum(1))
    (slope,) = torch.autograd.grad(penalty.sum(), matrix)
    gradient = flat @ symmetric
    expected = flat.T @ gradient
    torch.testing.assert_close(slope, expected + expected.T)


def test_r1_passes_gradcheck_as_double_backward_requires(toy, monkeypatch):
    images, matrix = toy
    monkeypatch.setattr(torch.Tensor, "float", lambda tensor: tensor)

    def penalty(a):
        x = images[:2].detach().requires_grad_()
        return adversarial.r1_penalty(torch.tanh(quadratic(x, a) / 20), x)

    assert gradcheck(penalty, (matrix.requires_grad_(),))


def test_path_length_of_a_linear_generator(random):
    """G(w) = A w: |J^T y| = |A^T y| / side, whatever w is."""
    matrix = torch.randn(12, 5, generator=random)
    noise = torch.randn(3, 3, 2, 2, generator=random)
    w = torch.randn(3, 1, 5, generator=random, requires_grad=True)
    images = (w[:, 0] @ matrix.T).view(3, 3, 2, 2)
    lengths = adversarial.path_lengths(images, w, noise)
    torch.testing.assert_close(lengths, (noise.flatten(1) @ matrix).norm(dim=1) / 2)


def test_path_length_is_the_mean_square_over_layers(random):
    """Two layers that move the image alike count as one, not as two."""
    one = torch.randn(2, 1, 3, generator=random, requires_grad=True)
    two = one.detach().repeat(1, 2, 1).requires_grad_()
    noise = torch.randn(2, 3, 2, 2, generator=random)

    def draw(w):
        return w.sum(1)[:, :, None, None].expand(-1, -1, 2, 2)

    lengths = adversarial.path_lengths(draw(one), one, noise)
    torch.testing.assert_close(adversarial.path_lengths(draw(two), two, noise), lengths)


def test_path_length_penalty_and_its_running_mean():
    lengths = torch.tensor([1.0, 3.0])
    assert adversarial.path_length_penalty(lengths, torch.tensor(2.0)).tolist() == [1.0, 1.0]
    mean = adversarial.RunningMean(rate=0.25)
    assert [mean.update(4.0), mean.update(4.0)] == [1.0, 1.75]
    assert mean.state_dict()["mean"] == 1.75


# --- BEGAN ---------------------------------------------------------------------------------------


def test_reconstruction_error_is_a_mean_per_image():
    images = torch.zeros(2, 3, 4, 4)
    other = torch.stack([torch.full((3, 4, 4), 0.5), torch.full((3, 4, 4), -0.25)])
    assert adversarial.reconstruction_error(images, other).tolist() == [0.5, 0.25]


def test_k_moves_as_the_paper_says_by_hand():
    """k + rate (gamma L(x) - L(G(z))) = 0.2 + 0.1 (0.5 * 0.4 - 0.1) = 0.21."""
    k = adversarial.next_k(0.2, 0.4, 0.1, gamma=0.5, rate=0.1)
    assert k == pytest.approx(0.21)


def test_k_moves_as_ganfaces_prints_by_hand():
    """L_D = 0.4 - 0.2 * 0.1 = 0.38, so k = 0.2 + 0.1 (0.5 * 0.38 - 0.1) = 0.209."""
    printed = adversarial.next_k(0.2, 0.4, 0.1, gamma=0.5, rate=0.1, reading="printed")
    assert printed == pytest.approx(0.209)
    given = adversarial.next_k(0.2, 9.9, 0.1, discriminator=0.38, rate=0.1, reading="printed")
    assert given == pytest.approx(0.209)


def test_the_readings_agree_at_k_zero_and_rest_at_different_balances():
    assert adversarial.next_k(0.0, 0.4, 0.1) == adversarial.next_k(0.0, 0.4, 0.1, reading="printed")
    real, gamma, k = 0.4, 0.5, 0.3
    rest = {"began": gamma * real, "printed": gamma * real / (1 + gamma * k)}
    for reading, fake in rest.items():
        moved = adversarial.next_k(k, real, fake, gamma=gamma, rate=0.1, reading=reading)
        assert moved == pytest.approx(k)


@pytest.mark.parametrize(("k", "fake", "end"), [(0.99, -9.0, 1.0), (0.01, 9.0, 0.0)])
def test_k_stays_between_zero_and_one(k, fake, end):
    assert adversarial.next_k(k, 0.4, fake, rate=0.1) == end


def test_an_unknown_reading_is_refused():
    with pytest.raises(ParameterError, match='"began" or "printed"'):
        adversarial.next_k.__wrapped__(0.0, 0.0, 0.0, reading="mine")


def test_convergence_is_low_when_both_are_good():
    assert adversarial.convergence(0.4, 0.2, gamma=0.5) == pytest.approx(0.4)
    assert adversarial.convergence(0.4, 0.5, gamma=0.5) == pytest.approx(0.7)
    assert adversarial.convergence(0.4, 0.1, gamma=0.5) == pytest.approx(0.5)
