"""Equations 4 to 6, by closed forms."""

import math

import pytest
import torch

from facelab.errors import ParameterError
from facelab.methods.idmap import losses


def test_identity_is_a_mean_of_differences():
    code, target = torch.tensor([[1.0, -2.0, 0.0]]), torch.tensor([[0.0, 2.0, 0.0]])
    assert losses.identity_loss(code, target).tolist() == pytest.approx([5 / 3])
    assert losses.identity_loss(code, code).item() == 0


def test_landmarks_leave_the_jaw_out(random):
    points = torch.rand(2, 68, 2, generator=random) * 64
    moved = points.clone()
    moved[:, :17] += 5
    assert losses.landmark_loss(moved, points, side_px=64).tolist() == [0, 0]
    moved[0, 17:] += torch.tensor([3.0, 4.0])
    # In a picture of 256 the same shift is four times as long.
    mean = losses.landmark_loss(moved, points, side_px=64)
    assert mean.tolist() == pytest.approx([16 * (9 + 16) / 2, 0], rel=1e-5)
    norm = losses.landmark_loss(moved, points, side_px=64, reading="norm")
    assert norm.tolist() == pytest.approx([4 * 5 * math.sqrt(51), 0], rel=1e-5)
    with pytest.raises(ParameterError, match="reading 'l1' is unknown"):
        losses.landmark_loss(moved, points, side_px=64, reading="l1")


def test_the_norm_is_the_root_of_the_sum(random):
    """The two readings are one number on two scales: norm^2 = 102 mean."""
    a, b = (torch.rand(3, 68, 2, generator=random) * 64 for _ in range(2))
    norm = losses.landmark_loss(a, b, side_px=64, reading="norm")
    mean = losses.landmark_loss(a, b, side_px=64)
    torch.testing.assert_close(norm.square(), 102 * mean)


def test_mix_weighs_structure_and_pixels(random):
    images = torch.rand(2, 3, 64, 64, generator=random) - 0.5
    assert losses.mix_loss(images, images).abs().max() < 1e-6
    lighter = images + 0.25
    pixels = losses.mix_loss(lighter, images, alpha=0.0)
    torch.testing.assert_close(pixels, torch.full((2,), 0.125))  # of a range of 1
    structure = losses.mix_loss(lighter, images, alpha=1.0)
    mixed = losses.mix_loss(lighter, images, alpha=0.84)
    torch.testing.assert_close(mixed, 0.84 * structure + 0.16 * pixels)
    # A shift of all pixels hardly changes the structure.
    assert structure.max() < 0.05


def test_the_mask_spares_the_face():
    mask = losses.inverse_gaussian_mask(256)
    assert mask[127:129, 127:129].max() < 1e-4
    # At sigma from the centre: 1 - exp(-1/2).
    assert mask[127, 127 + 80].item() == pytest.approx(1 - math.exp(-0.5), abs=5e-3)
    assert mask[0, 0] > 0.9
    images, target = torch.zeros(1, 3, 256, 256), torch.zeros(1, 3, 256, 256)
    target[:, :, 120:136, 120:136] = 1
    masked = losses.mix_loss(images, target, alpha=0.0, mask=mask)
    assert 0 < masked.item() < 0.02 * losses.mix_loss(images, target, alpha=0.0).item()


def test_mix_has_a_slope_to_the_pictures(random):
    images = (torch.rand(1, 3, 64, 64, generator=random) * 2 - 1).requires_grad_()
    target = torch.rand(1, 3, 64, 64, generator=random) * 2 - 1
    losses.mix_loss(images, target).sum().backward()
    assert torch.isfinite(images.grad).all()
    assert images.grad.abs().max() > 0


def test_latent_vectors_are_compared_by_direction_and_length():
    target = torch.tensor([[3.0, 4.0]] * 3)
    w = torch.tensor([[3.0, 4.0], [6.0, 8.0], [-4.0, 3.0]])
    # The same; twice as long, 5 too much; at a right angle.
    wanted = [0, 25 / 2, 2]
    assert losses.latent_loss(w, target).tolist() == pytest.approx(wanted, abs=1e-6)
    plus = torch.stack([w[1], w[2]])[None]  # W+ of two layers
    assert losses.latent_loss(plus, target[:1]).tolist() == pytest.approx([(12.5 + 2) / 2])
