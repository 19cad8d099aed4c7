"""Heads from landmarks: derivatives, exact recovery, noise, and what can't be fitted."""

import dataclasses
import math

import pytest
import torch

from facelab.errors import GeometryError, ParameterError
from facelab.geometry import fit
from facelab.geometry.camera import Camera, rotation_from_euler
from facelab.geometry.fit import FitSettings, fit_landmarks
from facelab.geometry.fit_result import FitResult
from facelab.geometry.morphable import MorphableModel, anny_head

SIZE = 128


@pytest.fixture(scope="module")
def head() -> MorphableModel:
    return anny_head()


def shortened(model: MorphableModel, components: int, expressions: int = 0) -> MorphableModel:
    """A model of fewer coefficients, so that 68 landmarks tell them all."""
    return dataclasses.replace(
        model,
        identity_mm=model.identity_mm[:components],
        deviations_mm=model.deviations_mm[:components],
        expression_mm=model.expression_mm[:expressions],
        expression_names=model.expression_names[:expressions],
        phenotype_weights=torch.zeros(0, components + 1),
        phenotype_names=(),
    )


@dataclasses.dataclass(frozen=True)
class Truth:
    angles: torch.Tensor  # yaw, pitch, roll; (batch, 3) radians
    identity: torch.Tensor
    expression: torch.Tensor
    camera: Camera
    landmarks: torch.Tensor

    @property
    def eyes_px(self) -> torch.Tensor:
        """The distance between the outer corners of the eyes, (batch)."""
        return (self.landmarks[:, 36] - self.landmarks[:, 45]).norm(dim=1)


def drawn(model: MorphableModel, batch: int, random: torch.Generator) -> Truth:
    """Heads with known parameters, as `Camera.portrait` sees them from about its place."""
    angles = torch.deg2rad(
        (2 * torch.rand(batch, 3, generator=random) - 1) * torch.tensor([35.0, 15.0, 20.0])
    )
    identity = model.sample_identity(batch, random)
    expression = torch.rand(batch, len(model.expression_mm), generator=random)
    expression = expression * (expression > 0.9)
    camera = Camera.portrait(SIZE, batch=batch)
    about = torch.randn(batch, 3, generator=random) * torch.tensor([10.0, 10.0, 40.0])
    camera = dataclasses.replace(camera, translation_mm=camera.translation_mm + about)
    turned = model.shape(identity, expression) @ rotation_from_euler(*angles.unbind(1)).mT
    return Truth(
        angles, identity, expression, camera, camera.project(model.landmark_points(turned))[0]
    )


def turn_deg(result: FitResult, truth: Truth) -> torch.Tensor:
    """The angle between the rotation that was found and the true one, (batch) degrees."""
    found = rotation_from_euler(result.yaw_rad, result.pitch_rad, result.roll_rad)
    between = found.mT @ rotation_from_euler(*truth.angles.unbind(1))
    trace = between.diagonal(dim1=1, dim2=2).sum(1)
    return torch.rad2deg(torch.arccos(((trace - 1) / 2).clamp(-1, 1)))


def error(result: FitResult, model: MorphableModel, truth: Truth) -> torch.Tensor:
    """The mean distance of landmarks from their true places, in distances of the eyes."""
    return (result.landmarks(model) - truth.landmarks).norm(dim=2).mean(1) / truth.eyes_px


class TestPieces:
    @pytest.fixture
    def problem(self, head, random):
        model = shortened(head, 3, 2)
        truth = drawn(model, 2, random)
        lens = truth.camera.focal_px.double(), truth.camera.centre_px[0].double()
        weights = torch.rand(2, 68, generator=random).double()
        target = truth.landmarks.double()
        return fit._Problem.of(model, target, weights, lens, FitSettings())

    def test_derivatives_are_those_of_the_residuals(self, problem, random):
        turn = torch.rand(2, 3, generator=random).double()
        shift = torch.tensor([[3.0, -8.0, 700.0], [9.0, 4.0, 900.0]]).double()
        coefficients = torch.rand(2, 5, generator=random).double()

        def residuals(step: torch.Tensor) -> torch.Tensor:
            rotation = fit.rotation_from_vector(step[:, :3]) @ fit.rotation_from_vector(turn)
            state = rotation, shift + step[:, 3:6], coefficients + step[:, 6:]
            return fit._residuals(problem, state)[0]

        state = fit.rotation_from_vector(turn), shift, coefficients
        _, turned, seen = fit._residuals(problem, state)
        found = fit._jacobian(problem, state, turned, seen)
        zero = torch.zeros(2, 11).double()
        expected = torch.autograd.functional.jacobian(residuals, zero)
        for i in range(2):
            torch.testing.assert_close(found[i], expected[i, :, :, i], rtol=1e-6, atol=1e-6)

    def test_gradients_pass_through_turning_and_projecting(self, problem):
        turn = torch.tensor([[0.3, -0.2, 0.1], [0.0, 0.4, 0.2]]).double().requires_grad_()
        shift = torch.tensor([[3.0, -8.0, 700.0]] * 2).double().requires_grad_()
        coefficients = torch.full((2, 5), 0.3).double().requires_grad_()

        def residuals(turn, shift, coefficients):
            return fit._residuals(problem, (fit.rotation_from_vector(turn), shift, coefficients))[0]

        torch.autograd.gradcheck(residuals, (turn, shift, coefficients))

    def test_a_rotation_vector_is_axis_times_angle(self):
        quarter = fit.rotation_from_vector(torch.tensor([[0.0, math.pi / 2, 0.0]]))
        expected = rotation_from_euler(*torch.tensor([[math.pi / 2], [0.0], [0.0]]))
        torch.testing.assert_close(quarter, expected, rtol=0, atol=1e-6)

    def test_the_start_is_exact_for_a_mean_head_that_is_far(self, head):
        angles = torch.tensor([[0.5], [-0.2], [0.3]])
        camera = Camera.portrait(SIZE, distance_mm=1e6)
        rotation = rotation_from_euler(*angles)
        points = head.landmark_points(head.mean_mm[None] @ rotation.mT)
        target = camera.project(points)[0].double()
        lens = camera.focal_px.double(), camera.centre_px[0].double()
        weights = torch.ones(1, 68).double()
        problem = fit._Problem.of(head, target, weights, lens, FitSettings())
        found, shift, sound = fit._orthographic_start(problem)
        assert sound.all()
        torch.testing.assert_close(found.float(), rotation, rtol=0, atol=1e-3)
        assert float(shift[0, 2]) == pytest.approx(1e6, rel=1e-3)


class TestRecovery:
    def test_without_noise_everything_is_found_again(self, head, random):
        model = shortened(head, 8)
        truth = drawn(model, 4, random)
        settings = FitSettings(noise=1e-5, tolerance=1e-9)
        result = fit_landmarks(model, truth.landmarks, size=SIZE, settings=settings)
        assert result.converged.all()
        assert result.residual_px.max() < 2e-3
        assert turn_deg(result, truth).max() < 0.05
        torch.testing.assert_close(result.identity, truth.identity, rtol=0, atol=0.02)
        torch.testing.assert_close(
            result.camera.translation_mm, truth.camera.translation_mm, rtol=2e-3, atol=0.05
        )

    def test_a_mean_head_has_no_coefficients(self, head):
        angles = torch.tensor([[0.4], [0.1], [-0.2]])
        camera = Camera.portrait(SIZE)
        points = head.landmark_points(head.mean_mm[None] @ rotation_from_euler(*angles).mT)
        result = fit_landmarks(head, camera.project(points)[0], size=SIZE)
        assert result.identity.abs().max() < 0.02
        assert result.expression.abs().max() < 0.01
        found = torch.stack([result.yaw_rad, result.pitch_rad, result.roll_rad])
        torch.testing.assert_close(found, angles, rtol=0, atol=2e-3)
        torch.testing.assert_close(result.camera.translation_mm, camera.translation_mm, rtol=2e-3,
                                   atol=0.1)  # fmt: skip

    def test_a_named_expression_is_told(self, head):
        truth = head.expression(jawOpen=0.6, mouthSmileLeft=0.8)
        points = head.landmark_points(head.shape(torch.zeros(1, 1), truth))
        xy = Camera.portrait(SIZE).project(points)[0]
        found = fit_landmarks(head, xy, size=SIZE, settings=FitSettings(noise=0.003)).expression[0]
        assert float(found[head.expression_names.index("jawOpen")]) == pytest.approx(0.6, abs=0.1)
        assert found[head.expression_names.index("mouthSmileLeft")] > 0.5
        assert found[head.expression_names.index("mouthSmileRight")] < 0.1

    def test_within_a_percent_and_two_degrees(self, head, random):
        truth = drawn(head, 12, random)
        result = fit_landmarks(head, truth.landmarks, size=SIZE)
        assert result.converged.all()
        assert error(result, head, truth).median() < 0.01
        assert turn_deg(result, truth).median() < 2
        assert (result.expression >= 0).all()
        assert (result.expression <= 1).all()
        given = (result.landmarks(head) - truth.landmarks).norm(dim=2)
        torch.testing.assert_close(result.residual_px, given)

    def test_noise_is_not_believed(self, head, random):
        truth = drawn(head, 8, random)
        noise = torch.randn(truth.landmarks.shape, generator=random)
        seen = truth.landmarks + 0.03 * truth.eyes_px[:, None, None] * noise
        result = fit_landmarks(head, seen, size=SIZE, settings=FitSettings(noise=0.05))
        given = (seen - truth.landmarks).norm(dim=2).mean(1) / truth.eyes_px
        assert (error(result, head, truth) < 0.75 * given).all()
        assert turn_deg(result, truth).median() < 4
        assert result.identity.abs().max() < 4

    def test_an_outlier_of_weight_0_does_not_count(self, head, random):
        truth = drawn(head, 1, random)
        seen, weights = truth.landmarks.clone(), torch.ones(1, 68)
        seen[0, 30] += 1000
        weights[0, 30] = 0
        with_it = fit_landmarks(head, seen, size=SIZE, weights=weights)
        seen[0, 30] -= 800
        again = fit_landmarks(head, seen, size=SIZE, weights=weights)
        torch.testing.assert_close(with_it.identity, again.identity)
        assert error(with_it, head, truth).max() < 0.02

    def test_a_known_focal_length_gives_the_distance(self, head):
        camera = Camera.portrait(SIZE, distance_mm=400.0)
        xy = camera.project(head.landmark_points(head.mean_mm[None]))[0]
        result = fit_landmarks(head, xy, size=SIZE, focal_px=camera.focal_px)
        assert float(result.camera.translation_mm[0, 2]) == pytest.approx(400, rel=5e-3)

    def test_the_size_may_be_height_and_width(self, head):
        camera = Camera.portrait((120, 160))
        xy = camera.project(head.landmark_points(head.mean_mm[None]))[0]
        result = fit_landmarks(head, xy, size=(120, 160))
        torch.testing.assert_close(result.camera.centre_px, torch.tensor([[79.5, 59.5]]))
        assert result.residual_px.max() < 0.1


class TestBatches:
    def test_a_batch_equals_one_at_a_time(self, head, random, monkeypatch):
        truth = drawn(head, 5, random)
        monkeypatch.setattr(fit, "AT_ONCE", 3)
        together = fit_landmarks(head, truth.landmarks, size=SIZE)
        for i in range(5):
            alone = fit_landmarks(head, truth.landmarks[i : i + 1], size=SIZE)
            torch.testing.assert_close(alone.identity[0], together.identity[i], rtol=0, atol=1e-3)
            torch.testing.assert_close(alone.yaw_rad[0], together.yaw_rad[i], rtol=0, atol=1e-4)

    def test_the_report_tells_which_faces_failed_and_why(self, head, random):
        truth = drawn(head, 3, random)
        seen = truth.landmarks.clone()
        seen[1] = 40.0
        seen[2] = torch.stack([torch.linspace(10, 90, 68), torch.linspace(20, 50, 68)], dim=1)
        result = fit_landmarks(head, seen, size=SIZE)
        assert result.converged.tolist() == [True, False, False]
        lines = result.report().splitlines()
        assert lines[0].startswith("landmarks: 1 of 3 converged")
        assert lines[1:] == [f"  face {i}: its landmarks coincide or lie on a line" for i in (1, 2)]
        assert result.identity[1].abs().max() == 0
        assert torch.isfinite(result.landmarks(head)).all()
        stage = result.stages[0]
        assert stage.loss_after[0] < stage.loss_before[0] / 2
        assert stage.iterations.tolist()[1:] == [0, 0]

    def test_too_few_steps_are_told(self, head, random):
        truth = drawn(head, 2, random)
        result = fit_landmarks(head, truth.landmarks, size=SIZE, settings=FitSettings(steps=2))
        assert not result.converged.any()
        assert "it did not settle in 2 iterations" in result.report()


class TestBadInput:
    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_landmarks_that_are_not_finite(self, head, value):
        landmarks = torch.rand(2, 68, 2)
        landmarks[1, 5, 0] = value
        with pytest.raises(GeometryError, match="landmark 5 of face 1 is not finite"):
            fit_landmarks(head, landmarks, size=SIZE)

    def test_another_number_of_landmarks(self, head):
        with pytest.raises(GeometryError, match="67 landmarks a face, but anny-head has 68"):
            fit_landmarks(head, torch.rand(1, 67, 2), size=SIZE)

    def test_weights_that_leave_too_few(self, head):
        weights = torch.zeros(1, 68)
        weights[0, :5] = 1
        with pytest.raises(GeometryError, match="fewer than 6 landmarks of a face count"):
            fit_landmarks(head, torch.rand(1, 68, 2), size=SIZE, weights=weights)

    @pytest.mark.parametrize("value", [-1.0, math.nan])
    def test_weights_that_are_none(self, head, value):
        with pytest.raises(GeometryError, match="a weight is negative or not finite"):
            fit_landmarks(head, torch.rand(1, 68, 2), size=SIZE, weights=torch.full((1, 68), value))

    @pytest.mark.parametrize("focal", [0.0, -3.0, math.nan])
    def test_an_impossible_focal_length(self, head, focal):
        with pytest.raises(ParameterError, match="focal length must be positive"):
            fit_landmarks(head, torch.rand(1, 68, 2), size=SIZE, focal_px=focal)

    def test_an_impossible_size(self, head):
        with pytest.raises(ParameterError, match="picture of 0 x 0 pixels is impossible"):
            fit_landmarks(head, torch.rand(1, 68, 2), size=0)

    @pytest.mark.parametrize("name", ["noise", "steps", "tolerance", "identity_deviation"])
    def test_impossible_settings(self, name):
        with pytest.raises(ParameterError, match=f"{name} is 0; give a number above 0"):
            FitSettings(**{name: 0})

    def test_a_range_without_rest(self):
        with pytest.raises(ParameterError, match="give one that has 0"):
            FitSettings(expression_range=(0.1, 1.0))
