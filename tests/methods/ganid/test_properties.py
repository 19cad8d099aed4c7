"""The three properties on networks whose answer is known."""

import math

import pytest
import torch
from torch import nn

from facelab.methods.ganid import properties
from facelab.methods.ganid.properties import Response, crossing, random_pairs
from facelab.methods.ganid.scoring import Scorer
from facelab.recognition.embedder import Embedder


class Level(Embedder):
    """Turns by the mean grey of a face, so that a distance is that of two points on a circle."""

    id, size, template, threshold, threshold_squared = "level", 64, "book64", 0.2, 0.04

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(2.0), requires_grad=False)

    def forward(self, images):
        angle = self.gain * images.mean((1, 2, 3))
        return torch.stack([angle.cos(), angle.sin()], dim=1)


@pytest.fixture
def turning(stripes) -> Scorer:
    return Scorer(stripes, Level(), "fixed")


@pytest.fixture
def latents(random) -> torch.Tensor:
    return torch.randn(40, 6, generator=random)


def chord(angle: torch.Tensor) -> torch.Tensor:
    """The squared distance of two points on the unit circle."""
    return 2 - 2 * angle.cos()


def angle_of(latents: torch.Tensor) -> torch.Tensor:
    """2 times the mean grey: stripes of 64 rows in six parts, 0.1 times the number each."""
    rows = (torch.arange(64) * 6 // 64).bincount() / 64
    return 2 * 0.1 * latents @ rows


def test_noise_moves_as_far_as_it_is_large(turning, latents):
    amounts = (0.0, 0.25, 1.0)
    found = properties.noise_response(turning, latents, torch.Generator().manual_seed(3), amounts)
    noise = torch.randn(40, 6, generator=torch.Generator().manual_seed(3))
    expected = torch.stack([chord(a * angle_of(noise)) for a in amounts])
    assert found.amounts == amounts
    torch.testing.assert_close(found.distances, expected, rtol=1e-3, atol=1e-6)
    assert found.distances[0].max() == 0


def test_scaling_moves_by_the_change_of_length(turning, latents):
    scales = (0.5, 1.0, 3.0)
    found = properties.amplitude_response(turning, latents, scales)
    expected = torch.stack([chord((s - 1) * angle_of(latents)) for s in scales])
    torch.testing.assert_close(found.distances, expected, rtol=1e-3, atol=1e-6)
    assert found.distances[1].max() == 0
    torch.testing.assert_close(found.mean, expected.mean(1), rtol=1e-3, atol=1e-6)


def test_the_sign_keeps_what_is_one(turning, latents):
    found = properties.sign_response(turning, latents)
    expected = chord(angle_of(latents.sign() - latents))
    torch.testing.assert_close(found.distances, expected[None], rtol=1e-3, atol=1e-6)
    assert properties.sign_response(turning, latents.sign()).distances.max() == 0


def test_shares_below_a_threshold():
    response = Response((0.0, 1.0), torch.tensor([[0.0, 0.1, 0.2, 0.3], [0.2, 0.2, 0.4, 0.5]]))
    assert response.share_below(0.2).tolist() == [0.5, 0]
    assert response.share_below(9.0).tolist() == [1, 1]
    torch.testing.assert_close(response.mean, torch.tensor([0.15, 0.325]))


def test_random_pairs_have_no_face_twice(random):
    codes = nn.functional.normalize(torch.randn(7, 5, generator=random), dim=1)
    found = random_pairs(codes)
    by_hand = [float((codes[i] - codes[i + 3]).square().sum()) for i in range(3)]
    assert found.tolist() == pytest.approx(by_hand)


def parabola(amounts) -> Response:
    return Response(tuple(amounts), torch.tensor(amounts)[:, None].square().expand(-1, 3))


def test_the_crossing_of_a_parabola():
    """Between 1 and 2 the polygon of x^2 is 1 + 3 (x - 1)."""
    response = parabola([0.0, 1.0, 2.0, 3.0])
    assert crossing(response, 2.5) == pytest.approx(1.5)
    assert crossing(response, 4.0) == pytest.approx(2.0)
    assert crossing(response, 0.0) == 0
    assert crossing(response, 9.1) is None
    fine = parabola([i / 100 for i in range(301)])
    assert crossing(fine, 2.0) == pytest.approx(math.sqrt(2), abs=1e-4)


def test_the_first_crossing_counts():
    up_and_down = Response((0.0, 1.0, 2.0, 3.0), torch.tensor([[0.0], [1.0], [0.0], [2.0]]))
    assert crossing(up_and_down, 0.5) == pytest.approx(0.5)
