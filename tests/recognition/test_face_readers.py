"""Pose and attribute readers: shapes, no gradient to train against, files, the shipped ones."""

import math

import pytest
import torch

from facelab.data.anny_faces import AnnyFaces
from facelab.errors import AssetError, CheckpointError, ImageError, ParameterError
from facelab.recognition import face_points, face_readers
from facelab.recognition.face_readers import (
    TINY,
    AttributeClassifier,
    Config,
    LandmarkJudge,
    PoseRegressor,
    balanced_accuracy,
)

# A little below what records/reader_pose.json and reader_attributes.json have on 600 strangers.
POSE_BOUND_DEG = 3.0
ATTRIBUTE_BOUNDS = {"Male": 0.8, "Eyeglasses": 0.82, "Mouth_Slightly_Open": 0.78, "Bangs": 0.9}


LANDMARK_BOUND = 0.046  # of the inter-ocular distance; reader_landmarks_judge.json has 0.040


def needs(name: str):
    """Skip a test until a reader's checkpoint comes with facelab."""
    return pytest.mark.skipif(
        not (face_readers.MODELS / f"{name}.safetensors").exists(),
        reason=f"no {name} checkpoint is shipped yet: run data_scripts/train_readers.py",
    )


@pytest.fixture
def images(random) -> torch.Tensor:
    return torch.rand(3, 3, 64, 64, generator=random) * 2 - 1


@pytest.fixture
def classifier() -> AttributeClassifier:
    torch.manual_seed(0)
    return AttributeClassifier(("Male", "Smiling", "Young", "Bald"), TINY)


def test_no_loss_can_be_built_on_a_reader(images, classifier):
    """In evaluation mode the answer has no gradient; in training it moves every parameter."""
    images.requires_grad_()
    assert not classifier.eval()(images).requires_grad
    classifier.train()(images).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in classifier.parameters())


def test_answers_have_a_column_each(images, classifier):
    classifier.eval()
    assert classifier(images).shape == (3, 4)
    assert torch.equal(classifier.decide(images), classifier(images) > 0)
    assert PoseRegressor(TINY).eval()(images).shape == (3, 3)


@pytest.fixture
def judge(random) -> LandmarkJudge:
    """A judge of landmarks whose answers depend on the picture."""
    torch.manual_seed(0)
    judge = LandmarkJudge(TINY)
    with torch.no_grad():
        judge.head.weight.copy_(torch.randn(judge.head.weight.shape, generator=random))
        judge.mean_xy.copy_(10 * torch.randn(68, 2, generator=random))
    return judge.eval()


def test_a_new_judge_says_the_mean_landmarks(images):
    judge = LandmarkJudge(TINY).eval()
    judge.mean_xy.fill_(4.0)
    assert torch.equal(judge(images), torch.full((3, 68, 2), 31.5 + 4.0))


def test_landmarks_are_eight_pixels_a_number_and_point_by_point(judge, images):
    """x and y of a point stand beside each other in the head's outputs."""
    before = judge(images)
    with torch.no_grad():
        judge.head.bias[2 * 30 + 1] += 1  # y of the tip of the nose
    moved = judge(images) - before
    assert moved[:, 30, 1].tolist() == pytest.approx([8.0] * 3, abs=1e-4)
    moved[:, 30, 1] = 0
    assert moved.abs().amax() < 1e-4
    assert (before[0] - before[1]).abs().amax() > 0.01


def test_no_loss_can_be_built_on_the_judge_of_landmarks(judge, images):
    images.requires_grad_()
    assert not judge(images).requires_grad
    judge.train()(images).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in judge.parameters())


def test_a_saved_judge_of_landmarks_comes_back(judge, images, tmp_path):
    path, other = tmp_path / "landmarks.safetensors", tmp_path / "pose.safetensors"
    face_readers.save(path, judge)
    face_readers.save(other, PoseRegressor(TINY))
    loaded = face_readers.load_landmarks(path)
    assert not loaded.training
    torch.testing.assert_close(loaded(images), judge(images), rtol=0, atol=0.1)  # float16, pixels
    with pytest.raises(CheckpointError, match="pose_regressor, landmark_judge expected"):
        face_readers.load_landmarks(other)
    with pytest.raises(CheckpointError, match="is of landmark_judge, landmark_regressor expected"):
        face_points.load(path)


def test_without_a_second_reader_of_landmarks_the_command_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(face_readers, "MODELS", tmp_path)
    face_readers.landmark_judge.cache_clear()
    with pytest.raises(AssetError, match="--what landmarks_judge --seed 41 --people-seed 1"):
        face_readers.landmark_judge()


def test_balanced_accuracy_by_hand():
    truth = torch.tensor([[1, 1], [0, 1], [0, 1], [0, 1]], dtype=torch.bool)
    decided = torch.tensor([[1, 1], [0, 1], [0, 0], [1, 1]], dtype=torch.bool)
    found = balanced_accuracy(decided, truth)
    assert float(found[0]) == pytest.approx((1 + 2 / 3) / 2)
    assert math.isnan(float(found[1]))  # all faces have it


def test_what_does_not_fit_is_named(classifier):
    with pytest.raises(ImageError, match="64 x 64 pixels are needed, got 32 x 32"):
        classifier(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ParameterError, match="can't be built; give four"):
        Config(channels=(8, 8, 8, 0))


def test_saved_readers_come_back_and_are_not_taken_for_each_other(images, classifier, tmp_path):
    path, other = tmp_path / "attributes.safetensors", tmp_path / "pose.safetensors"
    face_readers.save(path, classifier.eval())
    face_readers.save(other, PoseRegressor(TINY))
    loaded = face_readers.load_attributes(path)
    assert loaded.names == classifier.names
    torch.testing.assert_close(loaded(images), classifier(images), rtol=0, atol=0.01)
    face_readers.load_pose(other)
    with pytest.raises(CheckpointError, match="attribute_classifier, pose_regressor expected"):
        face_readers.load_pose(path)
    with pytest.raises(CheckpointError, match="pose_regressor, attribute_classifier expected"):
        face_readers.load_attributes(other)


@pytest.fixture(scope="module")
def strangers():
    """People that no training saw."""
    return AnnyFaces(64, 96, 1, seed=78, split="test").batch(range(96))


@needs("pose")
def test_the_shipped_pose_reader(strangers):
    said = face_readers.pose_regressor()(strangers.images)
    error = (said - strangers.euler_rad).abs().rad2deg().mean(0)
    assert (error < torch.tensor([POSE_BOUND_DEG])).all()


@needs("attributes")
def test_the_shipped_attribute_reader(strangers):
    from facelab.data.attributes import ATTRIBUTE_NAMES

    reader = face_readers.attribute_classifier()
    assert reader.names == ATTRIBUTE_NAMES
    found = balanced_accuracy(reader.decide(strangers.images), strangers.attributes)
    named = dict(zip(reader.names, found.tolist(), strict=True))
    for name, bound in ATTRIBUTE_BOUNDS.items():
        assert named[name] > bound, name


@needs("landmarks_judge")
def test_the_shipped_judge_of_landmarks(strangers):
    judge = face_readers.landmark_judge()
    error = face_points.normalised_error(judge(strangers.images), strangers.landmarks)
    mean = (face_points.CENTRE_PX + judge.mean_xy).expand_as(strangers.landmarks)
    assert (face_readers.MODELS / "landmarks_judge.safetensors").stat().st_size < 700_000
    assert error.mean() < LANDMARK_BOUND
    assert face_points.normalised_error(mean, strangers.landmarks).mean() > 2 * error.mean()
