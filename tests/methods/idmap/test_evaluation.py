"""What is read off combined faces: pairs stay together, and errors are what they are by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from facelab.errors import ImageError, ParameterError
from facelab.methods.idmap import evaluation
from facelab.methods.idmap.evaluation import Faces, combine, copy_attributes, copy_identity, read
from facelab.recognition import mtcnn
from facelab.recognition.face_readers import TINY, LandmarkJudge, pose_regressor


def pictures(random, count=3, size=64):
    return torch.rand(count, 3, size, size, generator=random) * 2 - 1


@pytest.fixture
def points(random, seeded) -> LandmarkJudge:
    """A network of landmarks whose answers depend on the picture."""
    network = seeded(lambda: LandmarkJudge(TINY))
    with torch.no_grad():
        network.head.weight.copy_(torch.randn(network.head.weight.shape, generator=random))
    return network.eval()


@pytest.fixture
def landmarks(random) -> torch.Tensor:
    """Four faces of 68 points about the middle of a picture."""
    return 32 + 10 * torch.randn(4, 68, 2, generator=random)


# --- pairs ---------------------------------------------------------------------------------------


def test_the_trivial_answers_are_one_of_the_inputs(random):
    identity, attributes = pictures(random), pictures(random)
    assert torch.equal(combine(copy_identity, identity, attributes), identity)
    assert torch.equal(combine(copy_attributes, identity, attributes), attributes)


def test_pairs_go_through_in_batches_and_stay_in_their_rows(random):
    identity, attributes = pictures(random, 7, 4), pictures(random, 7, 4)
    sizes = []

    def model(first, second):
        sizes.append((len(first), len(second)))
        return (first - 2 * second).double()

    made = combine(model, identity, attributes, 3)
    assert sizes == [(3, 3), (3, 3), (1, 1)]
    assert made.dtype == torch.float32
    torch.testing.assert_close(made, (identity - 2 * attributes).clamp(-1, 1))
    assert made.abs().max() == 1


def test_a_model_of_the_package_is_such_a_function(model, random):
    identity, attributes = pictures(random), pictures(random)
    made = combine(model, identity, attributes, 2)
    one = combine(model, identity[2:], attributes[2:])
    torch.testing.assert_close(made[2:], one, atol=1e-4, rtol=1e-3)
    assert made.shape[0] == 3


def test_what_makes_no_pairs_is_named(random):
    a, b = pictures(random, 3, 4), pictures(random, 2, 4)
    with pytest.raises(ParameterError, match="3 faces give an identity and 2 attributes"):
        combine(copy_identity, a, b)
    with pytest.raises(ParameterError, match="0 faces give an identity and 0"):
        combine(copy_identity, a[:0], b[:0])
    with pytest.raises(ParameterError, match="the model made 1 pictures of 3 pairs"):
        combine(lambda x, y: x[:1], a, a)
    with pytest.raises(ImageError, match="values that are not finite"):
        combine(lambda x, y: x * math.nan, a, a)


def test_faces_are_as_many_of_each(random):
    a = pictures(random, 3, 4)
    assert Faces(a, a, a).who.tolist() == [0, 1, 2]
    assert Faces(a, a, a, torch.tensor([5, 5, 2])).who.tolist() == [5, 5, 2]
    for parts in ((a, a[:2], a), (a, a, a[:2]), (a, a, a, torch.arange(2)), (a[:0],) * 3):
        with pytest.raises(ParameterError, match="pairs need one of each face"):
            Faces(*parts)


# --- readings ------------------------------------------------------------------------------------


def test_a_reading_is_that_of_the_judges(recogniser, points, random):
    images, judge = pictures(random), recogniser(id="judge")
    seen = read(images, judge, points=points)
    assert (seen.judge, seen.threshold_squared, seen.five) == ("judge", 1.0, None)
    torch.testing.assert_close(seen.embeddings, judge.embed(images))
    torch.testing.assert_close(seen.angles_rad, pose_regressor()(images))
    torch.testing.assert_close(seen.landmarks, points(images))


def test_five_points_are_in_pixels_of_64_and_nan_without_a_face(
    recogniser, points, random, monkeypatch
):
    """MTCNN is asked picture by picture; the largest face of it is taken."""
    images = pictures(random, 2, 128)

    def detect(image):
        if torch.equal(image, images[[1]]):
            empty = torch.zeros(0, 5, 2)
            return mtcnn.Faces(torch.zeros(0, 4), empty, torch.zeros(0))
        found = torch.stack([torch.full((5, 2), 63.5), torch.zeros(5, 2)])
        return mtcnn.Faces(torch.zeros(2, 4), found, torch.ones(2))

    monkeypatch.setattr(evaluation, "detect", detect)
    five = read(images, recogniser(), points=points, five=True).five
    assert five[0].tolist() == [[31.5, 31.5]] * 5
    assert five[1].isnan().all()
    errors = evaluation.five_point_error(five, torch.full((2, 5, 2), 31.5) + torch.tensor([3, 4]))
    assert float(errors[0]) == pytest.approx(5 / 64)
    assert math.isnan(errors[1])


def test_mtcnn_finds_nothing_on_a_grey_picture():
    assert evaluation.five_points(torch.zeros(1, 3, 64, 64)).isnan().all()


# --- pair by pair --------------------------------------------------------------------------------


def test_cosines_by_hand():
    a = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    b = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, -1.0]])
    assert evaluation.identity_cosine(a, b).tolist() == pytest.approx([1, 0.96, -1])


def seen(cosines, judge="judge", threshold=0.8):
    """Embeddings at these cosines from the first axis."""
    x = torch.tensor(cosines)
    embeddings = torch.stack([x, (1 - x.square()).sqrt()], dim=1)
    count = len(x)
    return evaluation.Seen(
        embeddings, torch.zeros(count, 3), torch.zeros(count, 68, 2), judge, threshold
    )


def test_one_person_is_one_below_the_judges_threshold():
    """A squared distance of 0.8 is a cosine of 0.6."""
    same = evaluation.verified(seen([1.0] * 4), seen([1.0, 0.61, 0.59, -1.0]))
    assert same.tolist() == [True, True, False, False]
    with pytest.raises(ParameterError, match="judge and other can't be compared"):
        evaluation.verified(seen([1.0]), seen([1.0], judge="other"))


def test_expression_errors_by_hand(landmarks):
    """Inner points 5 pixels off are 5 / 64 of the side; the jaw counts in the norm alone."""
    jaw, inner = landmarks.clone(), landmarks.clone()
    jaw[:, :17] += torch.tensor([30.0, 40.0])
    inner[:, 17:] += torch.tensor([3.0, 4.0])
    assert evaluation.expression_error(jaw, landmarks).tolist() == [0] * 4
    errors = evaluation.expression_error(inner, landmarks)
    assert errors.tolist() == pytest.approx([5 / 64] * 4, rel=1e-5)
    norms = evaluation.expression_norm(inner, landmarks)
    assert norms.tolist() == pytest.approx([51**0.5 * 5 / 64] * 4, rel=1e-5)
    assert evaluation.expression_norm(jaw, landmarks).tolist() == pytest.approx(
        [17**0.5 * 50 / 64] * 4, rel=1e-5
    )


def turned(points, degrees, size=1.0, x=0.0, y=0.0):
    angle = math.radians(degrees)
    matrix = torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]],
        dtype=points.dtype,
    )
    return size * points @ matrix.T + torch.tensor([x, y], dtype=points.dtype)


@pytest.mark.parametrize("degrees", [0, 20, -75, 179])
def test_place_size_and_roll_are_no_expression(landmarks, degrees):
    moved = turned(landmarks, degrees, 1.7, -20, 4)
    assert evaluation.expression_shape_error(moved, landmarks).max() < 1e-5
    assert evaluation.expression_error(moved, landmarks).min() > 0.05


def test_a_mirrored_face_is_another_shape(landmarks):
    mirrored = landmarks * torch.tensor([-1.0, 1.0])
    assert evaluation.expression_shape_error(mirrored, landmarks).min() > 0.1


def test_the_shape_error_equals_that_by_singular_values(landmarks, random):
    """Gower 1975, with a rotation and no reflection, face by face."""
    other = turned(landmarks, 33, 0.8) + 3 * torch.randn(landmarks.shape, generator=random)
    found = evaluation.expression_shape_error(other, landmarks)
    for face, (a, b) in enumerate(zip(other.double(), landmarks.double(), strict=True)):
        a, b = (p.numpy()[17:] - p.numpy()[17:].mean(0) for p in (a, b))
        a, b = (p / np.sqrt((p**2).sum(1).mean()) for p in (a, b))
        u, _, v = np.linalg.svd(a.T @ b)
        signs = np.diag([1.0, np.linalg.det(u @ v)])
        twin = np.linalg.norm(a @ (u @ signs @ v) - b, axis=1).mean()
        assert float(found[face]) == pytest.approx(twin, rel=1e-9)
    assert (found > 0.1).all()


def test_an_open_mouth_is_an_expression(landmarks):
    opened = landmarks.clone()
    opened[:, 55:60, 1] += 6
    assert evaluation.expression_shape_error(opened, landmarks).min() > 0.02


def test_landmarks_without_a_shape_are_named(landmarks):
    for wrong in (torch.zeros_like(landmarks), landmarks * math.nan):
        with pytest.raises(ParameterError, match="coincide or are not finite"):
            evaluation.expression_shape_error(landmarks, wrong)


def test_the_pose_error_is_in_degrees():
    a, b = torch.zeros(1, 3), torch.tensor([[math.pi / 60, 0.0, math.pi / 45]])
    assert evaluation.pose_error_deg(a, b).tolist() == pytest.approx([5.0])


def test_reading_does_not_train(recogniser, points, random):
    images = nn.Parameter(pictures(random))
    assert not read(images, recogniser(), points=points).embeddings.requires_grad
