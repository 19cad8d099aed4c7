"""From latent vectors to distances: loops over pictures, finite differences, counts."""

import pytest
import torch
from torch import nn

from facelab.errors import ParameterError
from facelab.generators.dcgan import DCGAN
from facelab.generators.generator import Generator
from facelab.methods.ganid import scoring
from facelab.methods.ganid.scoring import Scorer, Target, identity_distance
from facelab.recognition.align import align, find_template
from facelab.recognition.face_points import TINY, LandmarkRegressor, five_points
from facelab.recognition.sampling import move_points


class Waves(Generator):
    """Four smooth patterns of colour, as strong as the latent vector's numbers; of any size."""

    id, latents, prior = "waves", 4, "normal"

    def __init__(self, size=64):
        super().__init__()
        self.size = size
        x = (torch.arange(size) + 0.5) / size
        waves = torch.stack([torch.cos(k * x + k)[:, None] * torch.cos(k * x) for k in range(2, 6)])
        colours = torch.linspace(-0.2, 0.2, 12).view(4, 3, 1, 1)
        self.patterns = nn.Parameter(colours * waves[:, None], requires_grad=False)

    def sample_latent(self, count, random):
        return torch.randn(count, 4, generator=random)

    def mapping(self, latent):
        return latent

    def synthesis(self, w):
        return torch.einsum("bl,lchw->bchw", w, self.patterns.to(w))


@pytest.fixture
def points(random, monkeypatch) -> LandmarkRegressor:
    """A random regressor in place of the shipped one: near the template, and moved by pixels."""
    network = LandmarkRegressor(TINY).eval().requires_grad_(False)
    nn.init.normal_(network.head.weight, std=0.02, generator=random)
    five = find_template("book64").points_xy - 31.5
    eyes, rest = [five[0]] * 6 + [five[1]] * 6, [five[2], five[3], five[4]]
    where = torch.zeros(68, 2)
    where[36:48], where[[30, 48, 54]] = torch.stack(eyes), torch.stack(rest)
    network.mean_xy.copy_(where)
    monkeypatch.setattr(scoring, "landmark_regressor", lambda device: network)
    return network


# --- distances -----------------------------------------------------------------------------------


def test_the_distance_is_the_mean_over_pictures(random):
    unit = nn.functional.normalize(torch.randn(9, 16, generator=random), dim=1)
    faces, pictures = unit[:4], unit[4:]
    found = identity_distance(faces, pictures)
    for face, distance in zip(faces, found, strict=True):
        each = [float((face - picture).square().sum()) for picture in pictures]
        assert float(distance) == pytest.approx(sum(each) / 5, abs=1e-6)


def test_known_distances():
    axes = torch.eye(3)
    four = torch.cat([axes[:1], -axes[:1], axes[1:2]])
    assert identity_distance(four, axes[:1]).tolist() == [0, 4, 2]
    assert identity_distance(four, torch.cat([axes[:1], -axes[:1]])).tolist() == [2, 2, 2]


def test_the_spread_is_the_mean_over_pairs():
    target = Target("x", torch.eye(3)[[0, 0, 1]], "any")
    assert target.spread == pytest.approx((0 + 2 + 2) / 3)
    assert torch.tensor(Target("x", torch.eye(3)[:1], "any").spread).isnan()


def test_a_target_needs_a_picture():
    with pytest.raises(ParameterError, match="the target nobody has no picture; give at least one"):
        Target("nobody", torch.zeros(0, 4), "any")


def test_a_target_of_another_embedder_is_refused(scorer, random):
    target = Target("x", torch.eye(64)[:1], "dlib")
    with pytest.raises(ParameterError, match="x was embedded by dlib, the search uses patches"):
        scorer.distances(torch.randn(2, 6, generator=random), target)


# --- the scorer ----------------------------------------------------------------------------------


def test_a_distance_is_generator_alignment_embedder(stripes, patches, points, random):
    """The same by hand, one face at a time."""
    scorer = Scorer(stripes, patches, "landmarks", batch=2)
    latents = torch.randn(5, 6, generator=random)
    target = Target("x", patches.embed(torch.rand(3, 3, 64, 64, generator=random)), "patches")
    found = scorer.distances(latents, target)
    for latent, distance in zip(latents.split(1), found, strict=True):
        face = stripes(latent)
        crop = align(face, five_points(points(face)), "book64")
        one = patches.embed(crop)
        by_hand = sum(float((one - t).square().sum()) for t in target.embeddings.split(1)) / 3
        assert float(distance) == pytest.approx(by_hand, abs=1e-5)


def test_a_real_network_in_any_batch(patches, random):
    """The shipped regressor on a random DCGAN: batches change nothing but rounding."""
    torch.manual_seed(0)
    generator = DCGAN(latents=8, width=4).eval().requires_grad_(False)
    latents = generator.sample_latent(5, random)
    found = [Scorer(generator, patches, batch=size).embed(latents) for size in (1, 2, 5)]
    torch.testing.assert_close(found[0], found[2], rtol=0, atol=1e-6)
    torch.testing.assert_close(found[1], found[2], rtol=0, atol=1e-6)
    torch.testing.assert_close(found[0].norm(dim=1), torch.ones(5))
    assert (found[0][0] - found[0][1]).abs().max() > 1e-4


@pytest.mark.parametrize("alignment", ["fixed", "landmarks"])
def test_the_gradient_is_the_slope(alignment, patches, points, random):
    """Against central differences; pictures and embeddings are float32 by contract."""
    scorer = Scorer(Waves(), patches, alignment)
    target = Target("x", scorer.embed(torch.randn(2, 4, generator=random)), "patches")
    z, step = torch.randn(1, 4, generator=random), 1e-2
    z.requires_grad_()
    (gradient,) = torch.autograd.grad(scorer.distances(z, target).sum(), z)
    shifts = step * torch.eye(4)
    with torch.no_grad():
        rise = scorer.distances(z + shifts, target) - scorer.distances(z - shifts, target)
    slope = rise / (2 * step)
    assert slope.norm() > 1e-3
    assert (gradient[0] - slope).norm() < 0.02 * slope.norm()


def test_the_gradient_goes_through_the_landmarks(patches, points, random, monkeypatch):
    points.head.weight.mul_(50)  # else they hardly move
    scorer = Scorer(Waves(), patches, "landmarks")
    target = Target("x", scorer.embed(torch.randn(1, 4, generator=random)), "patches")
    z = torch.randn(1, 4, generator=random).requires_grad_()
    (whole,) = torch.autograd.grad(scorer.distances(z, target).sum(), z)
    monkeypatch.setattr(scoring, "five_points", lambda found: five_points(found).detach())
    (part,) = torch.autograd.grad(scorer.distances(z, target).sum(), z)
    assert (whole - part).norm() > 0.1 * whole.norm()


@pytest.mark.parametrize("alignment", ["fixed", "landmarks"])
def test_larger_generators_give_the_same_crops(alignment, patches, points, random):
    """The patterns are smooth, so twice as many pixels show the same."""
    small, large = (Scorer(Waves(size), patches, alignment) for size in (64, 128))
    latents = torch.randn(3, 4, generator=random)
    crops = [scorer.crops(scorer.faces(latents)) for scorer in (small, large)]
    assert crops[0].shape == crops[1].shape == (3, 3, 64, 64)
    inner = (..., slice(8, 56), slice(8, 56))  # at the edges black is mixed in
    torch.testing.assert_close(crops[0][inner], crops[1][inner], rtol=0, atol=3e-3)


def test_landmarks_lie_on_the_template(patches, points, random):
    """A face whose landmarks are off by a known shift is moved back by it."""
    points.head.weight.zero_()
    points.mean_xy.add_(torch.tensor([3.0, -2.0]))
    scorer, latents = Scorer(Waves(), patches), torch.randn(2, 4, generator=random)
    faces = scorer.faces(latents)
    expected = faces[..., :-2, 3:]
    torch.testing.assert_close(scorer.crops(faces)[..., 2:, :-3], expected, rtol=0, atol=1e-3)
    template = find_template("book64")
    shift = torch.tensor([[[1.0, 0, -3], [0, 1, 2]]])
    moved = move_points(five_points(points(faces[:1])), shift)
    torch.testing.assert_close(moved[0], template.points_xy, rtol=0, atol=1e-3)


def test_evaluations_are_counted_once(scorer, random):
    latents = torch.randn(7, 6, generator=random)
    target = Target("x", torch.eye(64)[:1], "patches")
    scorer.distances(latents, target)
    assert scorer.evaluations == 7
    faces = scorer.faces(latents[:2])
    assert scorer.evaluations == 9
    scorer.embed_faces(faces)  # drawn already
    scorer.crops(faces)
    assert scorer.evaluations == 9
    scorer.embed(latents[:3])
    assert scorer.evaluations == 12


def test_half_is_close_and_places_pixels_exactly(patches, points, random, tolerance):
    half, full = (Scorer(Waves(), patches, half=half) for half in (True, False))
    latents = torch.randn(3, 4, generator=random)
    embeddings = [scorer.embed(latents) for scorer in (half, full)]
    assert embeddings[0].dtype == torch.float32
    torch.testing.assert_close(*embeddings, **tolerance[torch.bfloat16])
    points.head.weight.zero_()
    faces, seen = full.faces(latents), []
    patches.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    half.embed_faces(faces)
    torch.testing.assert_close(seen[0], full.crops(faces), rtol=0, atol=1e-5)


def test_what_it_is_called(stripes, patches, points):
    assert Scorer(stripes, patches, "fixed").id == "stripes > fixed > patches"
    assert Scorer(stripes, patches).id == "stripes > landmarks > patches"


def test_an_unknown_alignment_is_refused(stripes, patches):
    with pytest.raises(ParameterError, match="no alignment 'mtcnn'; choose one of: landmarks, fix"):
        Scorer(stripes, patches, "mtcnn")


def test_networks_on_two_devices_are_refused(stripes, patches):
    with pytest.raises(ParameterError, match="stripes is on meta, the embedder patches on cpu"):
        Scorer(stripes.to("meta"), patches, "fixed")


def test_half_pays_where_the_processor_has_it(monkeypatch):
    abilities = {"avx2": True, "avx512_bf16": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities)
    assert not scoring.half_is_quicker()
    assert scoring.half_is_quicker("cuda")
    abilities["amx_bf16"] = True
    assert scoring.half_is_quicker("cpu")
