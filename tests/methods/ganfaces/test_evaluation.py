"""What is read off made faces: rows stay together, light is light, and a loss says what it saw."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from facelab.assets import networks
from facelab.data.base import FaceDataset
from facelab.errors import CheckpointError, DatasetError
from facelab.images import to_uint8
from facelab.methods.ganfaces import evaluation, training
from facelab.methods.ganfaces.checkpoint import load
from facelab.methods.ganfaces.networks import Translator, initialise
from facelab.recognition.embedder import Embedder
from facelab.types import Batch


class Judge(Embedder):
    """Twelve numbers: the means of a picture's quarters and colours."""

    id, size, template, threshold, threshold_squared = "judge", 150, "dlib150", 1.0, 1.0

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, images):
        return self.scale * nn.functional.adaptive_avg_pool2d(images, 2).flatten(1) + 0.1


class Plain(FaceDataset):
    """Pictures without labels."""

    id, split = "plain", "all"

    def __init__(self, images):
        self.images, self.size, self.people = images, images.shape[2], len(images)
        self.identity = torch.arange(len(images))

    def config(self):
        return {}

    def batch(self, indices):
        rows = self.resolve(indices)
        return Batch(self.images[rows], self.identity[rows])


def linear(images):
    """sRGB in [-1, 1] to linear light."""
    level = (images + 1) / 2
    return torch.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)


def coded(light):
    """Linear light to sRGB in [-1, 1]."""
    return (
        2 * torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) - 1
    )


# --- faces ---------------------------------------------------------------------------------------


def test_renders_are_their_own_row(renders):
    data = renders(16, 5, 3, seed=1)
    faces = evaluation.translate(evaluation.unchanged, data, [4, 0, 14])
    assert torch.equal(faces.made, faces.renders)
    assert torch.equal(faces.renders, data.batch([4, 0, 14]).images)
    assert faces.people.tolist() == [1, 0, 4]
    assert faces.angles_rad[:, 0].tolist() == [4, 0, 14]
    assert faces.landmarks[0, 0].tolist() == [(4 + 0.5) * 4 - 0.5] * 2, "pixels of a picture of 64"


def test_a_picture_of_64_keeps_its_pixels(random):
    points = torch.rand(2, 68, 2, generator=random) * 64
    torch.testing.assert_close(evaluation.scaled(points, 64), points)
    corner = torch.tensor([[[-0.5, 31.5]]])
    assert evaluation.scaled(corner, 32).tolist() == [[[-0.5, 63.5]]]


def test_made_faces_are_those_of_g(renders, weights):
    data, g = renders(16, 70, 1, seed=1), load(weights)
    made = evaluation.translate(g, data, range(70)).made
    one = evaluation.translate(g, data, [66]).made
    torch.testing.assert_close(made[66], one[0], atol=1e-5, rtol=1e-4)
    assert not torch.equal(made[66], made[65])
    assert evaluation.translate(lambda x: 3 * x, data, [0]).made.abs().max() <= 1
    with pytest.raises(DatasetError, match="no face of renders was chosen"):
        evaluation.translate(g, data, [])


def test_true_pairs_are_a_row(renders):
    data = renders(16, 5, 1, seed=2)
    faces = evaluation.pair_faces(data, [3, 1])
    assert torch.equal(faces.made, data.batch([3, 1]).images)
    assert (faces.renders - faces.made).abs().max() <= 1 / 255 + 1e-6, "the label is in levels"
    assert torch.equal(to_uint8(faces.renders), data.batch([3, 1]).labels["render"])
    plain = Plain(torch.zeros(3, 3, 16, 16))
    with pytest.raises(DatasetError, match="plain gives no pairs"):
        evaluation.pair_faces(plain, [0])
    with pytest.raises(DatasetError, match="renders gives no pairs; give at least one"):
        evaluation.pair_faces(data, [])
    bare = evaluation.translate(evaluation.unchanged, plain, [0, 1])
    assert (bare.angles_rad, bare.landmarks) == (None, None)


# --- what a loss saw -----------------------------------------------------------------------------


def test_a_config_says_who_was_seen():
    assert evaluation.embedders_seen(training.BOOK) == ("dlib",)
    none = dataclasses.replace(training.BOOK.weights, identity_set=0.0)
    blind = dataclasses.replace(training.BOOK, weights=none)
    assert evaluation.embedders_seen(blind) == ()
    assert evaluation.embedders_seen(training.TINY) == ()


def test_a_checkpoint_says_who_was_seen(tmp_path, weights):
    assert evaluation.embedders_of(weights) == ()
    config = dataclasses.replace(training.TINY, embedder="dlib")
    network = Translator(config.translator)
    initialise(network)
    path = tmp_path / "seen.safetensors"
    networks.save(path, training.METHOD, network, config=dataclasses.asdict(config))
    assert evaluation.embedders_of(path) == ("dlib",)
    with pytest.raises(CheckpointError, match=r"none can't be read .*; give a file that"):
        evaluation.embedders_of(tmp_path / "none")
    networks.save(path, "other", network, config={})
    with pytest.raises(CheckpointError, match="is of other, ganfaces expected"):
        evaluation.embedders_of(path)


# --- readings ------------------------------------------------------------------------------------


def test_readings_keep_to_their_rows(random):
    images = torch.rand(66, 3, 64, 64, generator=random) * 2 - 1
    seen, last = evaluation.read(images, Judge()), evaluation.read(images[65:], Judge())
    assert seen.judge == "judge"
    for name in ("embeddings", "angles_rad", "landmarks", "light"):
        whole, one = getattr(seen, name), getattr(last, name)
        assert len(whole) == 66
        torch.testing.assert_close(whole[65:], one, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(whole[64], one[0])
    assert (seen.embeddings.norm(dim=1) - 1).abs().max() < 1e-5


def test_faces_of_another_size_are_read_as_if_of_64(random):
    coarse = torch.rand(2, 3, 16, 16, generator=random)
    large = nn.functional.interpolate(coarse, size=(64, 64), mode="bilinear")
    wide = nn.functional.interpolate(coarse, size=(128, 128), mode="bilinear")
    a, b = evaluation.read(large, Judge()), evaluation.read(wide, Judge())
    assert (a.landmarks - b.landmarks).abs().max() < 0.5
    assert evaluation.pose_error_deg(a.angles_rad, b.angles_rad).max() < 2


def test_light_from_one_side_is_one_stop_of_difference():
    """Twice the linear light on the right half: one stop between the halves, whatever the level."""
    light = torch.full((2, 3, 64, 64), 0.1)
    light[1] *= 2
    light[:, :, :, 32:] *= 2
    cells = evaluation.light(coded(light)).unflatten(1, (4, 4))
    torch.testing.assert_close(cells[0], cells[1], atol=1e-4, rtol=0)
    torch.testing.assert_close(cells[0, :, :2], torch.full((4, 2), -0.5), atol=1e-4, rtol=0)
    torch.testing.assert_close(cells[0, :, 2:], torch.full((4, 2), 0.5), atol=1e-4, rtol=0)


def test_colours_count_by_their_luminance():
    """Green light alone is 0.7152 of white light; the cells above and below tell it."""
    light = torch.full((1, 3, 64, 64), 0.5)
    light[:, ::2, 36:] = 0  # the middle of the face's part: rows 20 to 52
    cells = evaluation.light(coded(light)).unflatten(1, (4, 4))[0]
    assert float(cells[0, 0] - cells[3, 0]) == pytest.approx(-math.log2(0.7152), abs=1e-3)


def test_what_is_outside_the_face_is_no_light(random):
    images = torch.rand(1, 3, 64, 64, generator=random) * 2 - 1
    other = images.clone()
    other[:, :, :20], other[:, :, 52:], other[:, :, :, :16], other[:, :, :, 48:] = 1, 1, 1, 1
    assert torch.equal(evaluation.light(images), evaluation.light(other))
    other[:, :, 20] = 1
    assert not torch.equal(evaluation.light(images), evaluation.light(other))
    assert evaluation.light(torch.full((1, 3, 16, 16), -1.0)).abs().max() < 1e-5, "black"


def test_the_code_of_light_is_that_of_srgb():
    levels = torch.tensor([-1.0, -0.99, 0.0, 0.5, 1.0])
    torch.testing.assert_close(coded(linear(levels)), levels, atol=1e-4, rtol=0)


def test_errors_by_hand():
    a, b = torch.zeros(1, 3), torch.tensor([[math.pi / 60, 0.0, math.pi / 45]])
    assert evaluation.pose_error_deg(a, b).tolist() == pytest.approx([5.0])
    target = torch.tensor([[[0.0, 0.0], [40.0, 10.0], [20.0, 5.0]]])
    assert evaluation.landmark_error(target + 3.0, target).tolist() == pytest.approx([18**0.5 / 20])
    dark, bright = torch.zeros(1, 16), torch.zeros(1, 16)
    bright[0, :4] = 1.0
    assert evaluation.light_error(dark, bright).tolist() == [0.5]
