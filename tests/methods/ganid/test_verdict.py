"""What a search found, judged by what it never saw: on a photograph that a generator "draws"."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from facelab import assets
from facelab.errors import ParameterError
from facelab.generators.generator import Generator
from facelab.images import load_image
from facelab.methods.ganid import verdict
from facelab.methods.ganid.scoring import Scorer
from facelab.methods.ganid.targets import Person
from facelab.recognition.align import align, crop_faces
from facelab.recognition.embedder import Embedder
from facelab.recognition.search import find_faces


class Photograph(Generator):
    """Draws one picture; the latent vector's number is its contrast."""

    id, latents, prior, size = "photograph", 1, "normal", 128

    def __init__(self, picture):
        super().__init__()
        self.picture = nn.Parameter(picture, requires_grad=False)

    def sample_latent(self, count, random):
        return torch.randn(count, 1, generator=random)

    def mapping(self, latent):
        return latent

    def synthesis(self, w):
        return w[:, :, None, None] * self.picture


class Corners(Embedder):
    """Sees the mean colour of the quarters."""

    size, template, threshold = 150, "dlib150", 1.0

    def __init__(self, id: str, threshold_squared: float):
        super().__init__()
        self.id, self.threshold_squared = id, threshold_squared
        self.gain = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, images):
        return F.adaptive_avg_pool2d(images, 2).flatten(1) * self.gain + 0.5


@pytest.fixture(scope="module")
def face() -> torch.Tensor:
    """The astronaut's head, 128 pixels a side."""
    found = crop_faces(load_image(assets.path("astronaut")), "book64")
    left, top, right, bottom = found.boxes[0].tolist()
    middle, half = ((left + right) / 2, (top + bottom) / 2), bottom - top
    picture = load_image(assets.path("astronaut"))
    x, y = (max(0, round(m - half)) for m in middle)
    head = picture[:, :, y : round(middle[1] + half), x : round(middle[0] + half)]
    return F.interpolate(head, (128, 128), mode="area")


@pytest.fixture
def person(face) -> Person:
    pictures = (face, 0.8 * face)
    points = torch.cat([find_faces(picture).landmarks[:1] for picture in pictures])
    return Person("astronaut", pictures, points)


@pytest.fixture
def scorer(face) -> Scorer:
    return Scorer(Photograph(face), Corners("led", 0.5), "fixed")


def test_both_embedders_see_the_face_as_mtcnn_aligns_it(face, person, scorer):
    strict = Corners("strict", 1e-9)
    found = verdict.judge(scorer, torch.ones(1, 1), person, strict)
    crop = align(face, find_faces(face).landmarks[:1], "dlib150")
    one, pictures = strict.embed(crop), strict.embed(person.crops("dlib150"))
    by_hand = sum(float((one - t).square().sum()) for t in pictures.split(1)) / 2
    assert found.searched == pytest.approx(by_hand, abs=1e-6)
    assert found.unseen == pytest.approx(by_hand, abs=1e-6)
    assert by_hand > 1e-6
    assert (found.searched_embedder, found.unseen_embedder) == ("led", "strict")
    assert (found.searched_same, found.unseen_same) == (True, False)


def test_where_there_is_no_face_there_is_no_distance(person, scorer):
    found = verdict.judge(scorer, torch.zeros(1, 1), person, Corners("other", 0.5))
    assert found.searched is found.unseen is None
    assert not found.searched_same
    assert not found.unseen_same


def test_real_pairs_are_at_one_and_random_faces_at_none():
    places = {0.2: 1.0, 0.6: 0.0, 0.4: 0.5, 0.1: 1.25, 0.8: -0.5}
    for distance, share in places.items():
        found = verdict.real_share(distance, random=0.6, same=0.2)
        assert found == pytest.approx(share)
        # The unit of an embedder's distances does not matter.
        scaled = verdict.real_share(3 * distance, random=1.8, same=0.6)
        assert scaled == pytest.approx(share)


@pytest.mark.parametrize("same", [0.6, 0.7])
def test_an_embedder_that_tells_nobody_apart_has_no_scale(same):
    with pytest.raises(
        ParameterError, match=r"random faces are 0\.600 away and real pairs 0\.[67]"
    ):
        verdict.real_share(0.5, random=0.6, same=same)


def test_nobody_judges_a_search_that_he_led(person, scorer):
    with pytest.raises(ParameterError, match="led can't judge a search that it led; choose anoth"):
        verdict.judge(scorer, torch.ones(1, 1), person, Corners("led", 0.1))
