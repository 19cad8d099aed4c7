"""The landmark regressor: shapes, gradients, files, and how far off the shipped one is."""

import json

import pytest
import torch

from facelab import assets
from facelab.data.anny_faces import AnnyFaces
from facelab.errors import CheckpointError, ImageError, ParameterError
from facelab.recognition import book_embedder, face_points
from facelab.recognition.align import find_template
from facelab.recognition.face_points import TINY, Config, LandmarkRegressor

SHIPPED = face_points.MODELS / "landmarks.safetensors"
SHIPPED_BOUND = 0.04  # of the inter-ocular distance; records/reader_landmarks.json has 0.035 on 600


@pytest.fixture
def network(random) -> LandmarkRegressor:
    network = LandmarkRegressor(TINY)
    with torch.no_grad():
        network.head.weight.copy_(0.02 * torch.randn(network.head.weight.shape, generator=random))
        network.mean_xy.copy_(10 * torch.randn(68, 2, generator=random))
    return network.eval()


@pytest.fixture
def images(random) -> torch.Tensor:
    return torch.rand(3, 3, 64, 64, generator=random) * 2 - 1


def test_a_new_network_says_the_mean_landmarks(images):
    network = LandmarkRegressor(TINY).eval()
    network.mean_xy.fill_(4.0)
    assert torch.equal(network(images), torch.full((3, 68, 2), 31.5 + 4.0))


def test_gradients_reach_the_pixels(network, images):
    images.requires_grad_()
    points = network(images)
    (gradient,) = torch.autograd.grad(points[1].square().sum(), images)
    assert points.shape == (3, 68, 2)
    assert gradient[1].abs().sum() > 0
    assert gradient[[0, 2]].abs().sum() == 0


def test_the_error_is_divided_by_the_outer_corners_of_the_eyes(random):
    target = 64 * torch.rand(2, 68, 2, generator=random)
    target[:, 36], target[:, 45] = torch.tensor([10.0, 20.0]), torch.tensor([40.0, 60.0])
    off = target + torch.tensor([3.0, 4.0])
    error = face_points.normalised_error(off, target)
    torch.testing.assert_close(error, torch.full((2,), 5 / 50))


def test_what_does_not_fit_is_named(network):
    with pytest.raises(ImageError, match="64 x 64 pixels are needed, got 80 x 72"):
        network(torch.zeros(1, 3, 72, 80))
    for wrong in ((8,), (8, 0), (8,) * 6, (8, 10**9)):
        with pytest.raises(ParameterError, match="can't be built; give two to five"):
            Config(channels=wrong)


def test_a_saved_network_comes_back(network, images, tmp_path):
    path = tmp_path / "points.safetensors"
    face_points.save(path, network, trained_on="nothing")
    loaded = face_points.load(path)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert (loaded(images) - network(images)).abs().amax() < 0.1  # float16, in pixels
    assert json.loads(assets.read_source(path))["trained_on"] == "nothing"


def test_a_checkpoint_of_another_method_is_refused(tmp_path):
    path = tmp_path / "book.safetensors"
    embedder = book_embedder.BookEmbedder(book_embedder.Network(book_embedder.TINY), 1.0)
    book_embedder.save(path, embedder, trained_on="nothing")
    with pytest.raises(CheckpointError, match="is of book_embedder, landmark_regressor expected"):
        face_points.load(path)


def test_a_checkpoint_without_its_tensors_is_refused(network, tmp_path):
    path = tmp_path / "points.safetensors"
    face_points.save(path, network)
    tensors, source = assets.load_weights(path), assets.read_source(path)
    assets.save_weights(path, {k: t for k, t in tensors.items() if k != "mean_xy"}, source)
    with pytest.raises(CheckpointError, match="does not hold the network of its header"):
        face_points.load(path)
    assets.save_weights(path, tensors, source.replace("[8, 12, 16]", "[8]"))
    with pytest.raises(CheckpointError, match="header that can't be used"):
        face_points.load(path)


@pytest.mark.skipif(
    not SHIPPED.exists(), reason="no checkpoint is shipped yet: run data_scripts/train_readers.py"
)
def test_the_shipped_network_on_people_it_never_saw():
    network = face_points.landmark_regressor()
    batch = AnnyFaces(64, 64, 1, seed=77, split="test").batch(range(64))
    error = face_points.normalised_error(network(batch.images), batch.landmarks)
    mean = (face_points.CENTRE_PX + network.mean_xy).expand_as(batch.landmarks)
    assert sum(parameter.numel() for parameter in network.parameters()) < 1_500_000
    assert SHIPPED.stat().st_size < 2_000_000
    assert error.mean() < SHIPPED_BOUND
    assert face_points.normalised_error(mean, batch.landmarks).mean() > 3 * error.mean()


def test_five_points_stand_for_68(random):
    """An eye is the centre of its six points; a linear map, so its gradient is known."""
    points = 64 * torch.rand(2, 68, 2, generator=random)
    points.requires_grad_()
    five = face_points.five_points(points)
    assert five.shape == (2, 5, 2)
    for face, found in zip(points.detach(), five.detach(), strict=True):
        eyes = [sum(face[start + i] for i in range(6)) / 6 for start in (36, 42)]
        expected = torch.stack([*eyes, face[30], face[48], face[54]])
        torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(five.sum(), points)
    weights = torch.zeros(68)
    weights[36:48], weights[[30, 48, 54]] = 1 / 6, 1.0
    torch.testing.assert_close(gradient, weights[None, :, None].expand(2, -1, 2))


def test_five_points_of_a_rendered_face_lie_on_the_template():
    """True landmarks of faces from the front, framed like the book's: within a few pixels."""
    labels = AnnyFaces(64, 6, 1, seed=1).labels(range(6))
    straight = labels.euler_rad.abs().amax(1) < 0.2
    five = face_points.five_points(labels.landmarks[straight])
    assert len(five) >= 1
    assert (five - find_template("book64").points_xy).norm(dim=2).mean() < 4
