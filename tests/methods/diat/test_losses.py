"""The terms of DIAT: closed forms, slow twins, and the slopes of both readings of equation 3."""

import math

import pytest
import torch

from facelab.errors import ParameterError
from facelab.methods.diat import losses

LOGITS = torch.tensor([-30.0, -2.0, 0.0, 1.5, 30.0])


def maps(random, *shape):
    return torch.randn(*shape, generator=random)


def slope(loss, logits):
    logits = logits.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(logits).sum(), logits)
    return found


# --- equations 1, 2, 12 and 13 -------------------------------------------------------------------


def test_the_content_loss_is_half_the_mean_square(random):
    a, b = maps(random, 2, 3, 4, 5), maps(random, 2, 3, 4, 5)
    expected = []
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        total = 0.0
        for channel_x, channel_y in zip(x, y, strict=True):
            for row_x, row_y in zip(channel_x, channel_y, strict=True):
                total += sum((u - v) ** 2 for u, v in zip(row_x, row_y, strict=True))
        expected.append(total / (2 * 3 * 4 * 5))
    assert losses.content_loss(a, b).tolist() == pytest.approx(expected)
    assert losses.content_loss(a, a).tolist() == [0.0, 0.0]
    assert losses.content_loss(a, a + 3).tolist() == pytest.approx([4.5, 4.5])


def test_the_identity_loss_weighs_layers(random):
    first, second = maps(random, 2, 3, 4, 4), maps(random, 2, 5, 2, 2)
    found = losses.identity_loss([first, second], [first + 2, second - 1], (0.25, 3.0))
    assert found.tolist() == pytest.approx([0.25 * 2 + 3 * 0.5] * 2)
    none = losses.identity_loss([first, second], [first + 2, second - 1], (0.0, 0.0))
    assert none.tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="argument"):
        losses.identity_loss([first], [first], (1.0, 1.0))


def test_the_identity_losss_gradient_is_the_difference(random):
    a, b = maps(random, 1, 2, 3, 3), maps(random, 1, 2, 3, 3)
    found = slope(lambda x: losses.identity_loss([x], [b], (0.5,)), a)
    torch.testing.assert_close(found, 0.5 * (a - b) / (2 * 3 * 3))


# --- equation 3 ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reading", ["corrected", "non-saturating"])
def test_d_minimises_the_games_log_loss(reading):
    guided, made = LOGITS, LOGITS.flip(0)
    found = losses.attribute_discriminator(guided, made, reading)
    expected = [
        math.log1p(math.exp(-a)) + math.log1p(math.exp(t))
        for a, t in zip(guided.tolist(), made.tolist(), strict=True)
    ]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    zero = losses.attribute_discriminator(torch.zeros(1), torch.zeros(1), reading)
    assert float(zero) == pytest.approx(2 * math.log(2))
    sure = losses.attribute_discriminator(torch.tensor([1e3]), torch.tensor([-1e3]), reading)
    assert float(sure) == 0.0


def test_printed_d_minimises_something_without_a_lower_bound():
    zero = losses.attribute_discriminator(torch.zeros(1), torch.zeros(1), "printed")
    assert float(zero) == pytest.approx(-1.0), "log 2 - 1 - log 2"
    far = torch.tensor([-10.0, -1e3, -1e6])
    found = losses.attribute_discriminator(torch.full((3,), 1e3), far, "printed")
    assert found.tolist() == pytest.approx([-11.0, -1001.0, -1e6 - 1], rel=1e-4)


def test_the_slopes_of_d_differ_where_it_is_sure():
    """The game leaves a face alone that D knows to be made; printed, D never has enough."""
    d = LOGITS.sigmoid()
    guided = torch.zeros_like(LOGITS)
    correct = slope(lambda t: losses.attribute_discriminator(guided, t, "corrected"), LOGITS)
    printed = slope(lambda t: losses.attribute_discriminator(guided, t, "printed"), LOGITS)
    torch.testing.assert_close(correct, d)
    torch.testing.assert_close(printed, 1 - d)
    for reading in ("corrected", "printed"):
        real = slope(lambda a, r=reading: losses.attribute_discriminator(a, guided, r), LOGITS)
        torch.testing.assert_close(real, d - 1)


def test_t_in_every_reading():
    correct = losses.attribute_transform(LOGITS)
    assert correct.tolist() == pytest.approx([-math.log1p(math.exp(t)) for t in LOGITS.tolist()])
    other = losses.attribute_transform(LOGITS, "non-saturating")
    assert other.tolist() == pytest.approx([math.log1p(math.exp(-t)) for t in LOGITS.tolist()])
    printed = losses.attribute_transform(LOGITS, "printed")
    torch.testing.assert_close(printed, 1 + other)


def test_the_slopes_of_t_differ_where_d_is_sure():
    """Where D tells (logit -30) the game's slope has vanished, the other's is steepest."""
    d = LOGITS.sigmoid()
    found = {
        reading: slope(lambda t, r=reading: losses.attribute_transform(t, r), LOGITS)
        for reading in ("corrected", "non-saturating", "printed")
    }
    torch.testing.assert_close(found["corrected"], -d)
    torch.testing.assert_close(found["non-saturating"], d - 1)
    assert torch.equal(found["printed"], found["non-saturating"])
    assert float(found["corrected"][0]) > -1e-12
    assert float(found["printed"][0]) == pytest.approx(-1)


def test_an_unknown_reading_is_refused():
    message = "reading 'paper' is unknown; choose one of: corrected, non-saturating, printed"
    for call in (  # unwrapped: the tests' check of annotations would speak first
        lambda: losses.require_reading("paper"),
        lambda: losses.attribute_transform.__wrapped__(LOGITS, "paper"),
        lambda: losses.attribute_discriminator.__wrapped__(LOGITS, LOGITS, "paper"),
    ):
        with pytest.raises(ParameterError, match=message):
            call()


# --- pictures ------------------------------------------------------------------------------------


def test_the_squared_error_is_the_mean_over_a_picture(random):
    a = torch.rand(2, 3, 4, 4, generator=random)
    b = a.clone()
    b[0, 1, 2, 3] += 0.5
    b[1] -= 0.5
    assert losses.squared_error(a, b).tolist() == pytest.approx([0.25 / 48, 0.25])
    assert losses.squared_error(a, a).tolist() == [0.0, 0.0]


def test_the_classifier_loss_is_least_squares_of_a_probability():
    logits, labels = torch.tensor([0.0, 0.0, 2.0, 100.0]), torch.tensor([1.0, 0.0, 1.0, 1.0])
    d = 1 / (1 + math.exp(-2))
    found = losses.classifier_loss(logits, labels)
    assert found.tolist() == pytest.approx([0.25, 0.25, (1 - d) ** 2, 0.0])
    p = logits.sigmoid()
    torch.testing.assert_close(
        slope(lambda x: losses.classifier_loss(x, labels), logits), 2 * (p - labels) * p * (1 - p)
    )


def test_outside_counts_what_the_mask_leaves(random):
    a, b = (torch.rand(3, 3, 4, 4, generator=random) for _ in range(2))
    mask = torch.zeros(3, 1, 4, 4)
    mask[1, :, :, :2] = 1
    mask[2] = 1
    found = losses.outside_loss(mask, a, b)
    half = (a[1, :, :, 2:] - b[1, :, :, 2:]).square().sum() / 48
    expected = [float(losses.squared_error(a, b)[0]), float(half), 0.0]
    assert found.tolist() == pytest.approx(expected)
    moved = slope(lambda x: losses.outside_loss(mask, x, b), a)
    torch.testing.assert_close(moved, (1 - mask) * 2 * (a - b) / 48)
    assert not moved[2].any()


def test_terms_are_float32_and_one_value_a_sample(random):
    a, b = (maps(random, 5, 3, 4, 4).bfloat16() for _ in range(2))
    logits = maps(random, 5).bfloat16()
    found = [
        losses.content_loss(a, b),
        losses.squared_error(a, b),
        losses.classifier_loss(logits, torch.ones(5)),
        *(losses.attribute_discriminator(logits, logits, r) for r in ("corrected", "printed")),
        *(losses.attribute_transform(logits, r) for r in ("corrected", "printed")),
    ]
    assert {(tuple(t.shape), t.dtype) for t in found} == {((5,), torch.float32)}
