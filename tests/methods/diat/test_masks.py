"""Masks from pixels: near those of true landmarks, and where they belong at any size."""

import pytest
import torch

from facelab.data.anny_faces import AnnyFaces
from facelab.data.masks import attribute_mask
from facelab.errors import ImageError, ParameterError
from facelab.methods.diat.masks import face_masks, landmarks, masked, require_mask
from facelab.recognition.face_points import landmark_regressor
from facelab.types import Batch


@pytest.fixture(scope="module")
def faces():
    return AnnyFaces(64, 4, 1, seed=1, split="test", masks=("mouth", "eyeglasses")).batch(range(4))


@pytest.mark.parametrize("name", ["mouth", "eyeglasses"])
def test_they_are_near_the_masks_of_the_true_landmarks(faces, name):
    found, true = face_masks(faces.images, name), faces.masks[name]
    assert found.shape == true.shape
    assert set(found.unique().tolist()) == {0.0, 1.0}
    both, either = ((found + true >= n).sum((1, 2, 3)) for n in (2, 1))
    assert (both / either).min() > 0.75
    others = (found * true.roll(1, 0)).sum((1, 2, 3))
    assert (both >= others).all(), "each face has its own"


def test_at_64_pixels_the_landmarks_are_the_regressors(faces):
    assert torch.equal(landmarks(faces.images), landmark_regressor()(faces.images))


def test_a_larger_picture_has_the_same_landmarks_from_corner_to_corner(faces, tolerance):
    """Each pixel four times: the centre of pixel p then lies at 2 (p + 1/2) - 1/2."""
    large = faces.images.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    wanted = 2 * (landmarks(faces.images) + 0.5) - 0.5
    torch.testing.assert_close(landmarks(large), wanted, **tolerance[torch.float32])
    mask = face_masks(large, "mouth")
    assert torch.equal(mask, attribute_mask(landmarks(large), 128, "mouth"))
    assert mask.sum() == pytest.approx(4 * float(face_masks(faces.images, "mouth").sum()), rel=0.1)


def test_nothing_flows_back_through_them(faces):
    assert not face_masks(faces.images.clone().requires_grad_(), "mouth").requires_grad


def test_a_batch_keeps_its_own_masks(faces):
    assert masked(faces, "mouth") is faces.masks["mouth"]
    plain = Batch(faces.images, faces.identity)
    assert torch.equal(masked(plain, "mouth"), face_masks(faces.images, "mouth"))
    assert torch.equal(masked(faces, "nose"), face_masks(faces.images, "nose"))


def test_what_can_not_be_masked(faces):
    wrong = Batch(faces.images, faces.identity)
    object.__setattr__(wrong, "masks", {"mouth": torch.ones(4, 1, 32, 64)})
    with pytest.raises(ImageError, match=r"shape \(4, 1, 32, 64\) don't lie on 4 pictures of 64 x"):
        masked(wrong, "mouth")
    for shape in ((3, 1, 64, 64), (4, 3, 64, 64), (4, 64, 64)):
        with pytest.raises(ImageError, match=r"give masks of shape \(4, 1, 64, 64\)"):
            require_mask(torch.ones(shape), faces.images)
    with pytest.raises(ImageError, match="are square, these are 32 x 64 pixels"):
        face_masks(faces.images[..., :32], "mouth")
    with pytest.raises(ParameterError, match="there is no mask 'ear'"):
        face_masks(faces.images, "ear")
