"""What is read off faces: rows stay together, whoever judges, and angles are degrees."""

import math

import pytest
import torch
from torch import nn

from facelab.recognition.embedder import Embedder
from facelab.recognition.face_readers import TINY, LandmarkJudge, pose_regressor
from facelab.recognition.face_reading import pose_error_deg, read_faces


class Judge(Embedder):
    """Twelve numbers: the means of a picture's quarters and colours."""

    id, size, template, threshold, threshold_squared = "judge", 64, "book64", 1.0, 1.0

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, images):
        return self.scale * nn.functional.adaptive_avg_pool2d(images, 2).flatten(1) + 0.1


@pytest.fixture
def points(random) -> LandmarkJudge:
    """A network of landmarks whose answers depend on the picture."""
    torch.manual_seed(0)
    network = LandmarkJudge(TINY)
    with torch.no_grad():
        network.head.weight.copy_(torch.randn(network.head.weight.shape, generator=random))
    return network.eval()


def test_a_reading_is_what_each_network_says_of_each_face(points, random):
    images = torch.rand(66, 3, 64, 64, generator=random) * 2 - 1
    found = read_faces(images, Judge(), points)
    assert found.judge == "judge"
    close = {"atol": 1e-4, "rtol": 1e-4}
    for row in (0, 65):  # the second one is of another batch
        one = images[[row]]
        torch.testing.assert_close(found.embeddings[[row]], Judge().embed(one), **close)
        torch.testing.assert_close(found.angles_rad[[row]], pose_regressor()(one), **close)
        torch.testing.assert_close(found.landmarks[[row]], points(one), **close)
    assert (found.embeddings[64] - found.embeddings[65]).abs().max() > 1e-3


def test_a_larger_picture_is_read_as_one_of_64(points, random):
    coarse = torch.rand(2, 3, 8, 8, generator=random)
    pictures = [nn.functional.interpolate(coarse, (n, n), mode="bilinear") for n in (64, 128)]
    small, large = (read_faces(p, Judge(), points) for p in pictures)
    assert (small.landmarks - large.landmarks).abs().max() < 0.5
    assert pose_error_deg(small.angles_rad, large.angles_rad).max() < 2


def test_angles_are_one_vector_in_degrees():
    a, b = torch.zeros(1, 3), torch.tensor([[math.pi / 60, 0.0, math.pi / 45]])
    assert pose_error_deg(a, b).tolist() == pytest.approx([5.0])
