"""Heads from pixels: what is drawn is found again, batches, and what can't be fitted."""

import dataclasses

import pytest
import torch

from facelab.errors import ImageError, ParameterError
from facelab.geometry import pixel_fit
from facelab.geometry.appearance import plain
from facelab.geometry.camera import Camera
from facelab.geometry.fit import FitSettings, fit_landmarks
from facelab.geometry.lighting import Light
from facelab.geometry.morphable import anny_head
from facelab.geometry.pixel_fit import PixelSettings, face_renderer, fit_pixels

SIZE = 48
QUICK = PixelSettings(size=SIZE, steps=25, tolerance=0.4)


@pytest.fixture(scope="module")
def head():
    return anny_head()


@pytest.fixture(scope="module")
def faces(head):
    """Two faces, one pale in white light and one dark in reddish light: pictures and landmarks."""
    return drawn(head, SIZE)


def drawn(head, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(3)
    camera = Camera.portrait(size, field_mm=240.0, batch=2)
    light = Light.ambient(0.9, batch=2)
    red = torch.tensor([[[1.0, 1.0, 1.0]], [[1.3, 1.0, 0.8]]])
    light = dataclasses.replace(light, harmonics=light.harmonics * red)
    looks = dataclasses.replace(plain(2), melanin=torch.tensor([0.1, 0.6]))
    vertices = head.shape(head.sample_identity(2, random))
    with torch.no_grad():
        images, shown = face_renderer(head, size)(vertices, camera, light, looks)
    return images, camera.project(head.landmark_points(vertices))[0], shown


@pytest.fixture(scope="module")
def started(head, faces):
    return fit_landmarks(head, faces[1], size=SIZE)


@pytest.fixture(scope="module")
def refined(head, faces, started):
    return fit_pixels(head, *faces[:2], started, settings=QUICK)


def test_the_renderer_shows_faces_and_nothing_else(faces):
    images, _, shown = faces
    assert images.shape == (2, 3, SIZE, SIZE)
    assert set(shown.unique().tolist()) == {0.0, 1.0}
    assert 0.15 < shown.mean() < 0.6
    assert shown[:, 0, 0].sum() == 0
    assert (images[0] * shown[0]).sum() > (images[1] * shown[1]).sum()


def test_pictures_are_matched(head, faces, refined):
    images, landmarks, _ = faces
    with torch.no_grad():
        again, shown = face_renderer(head, SIZE)(
            refined.vertices(head), refined.camera, refined.light, refined.appearance
        )
    off = ((again - images).abs() * shown).sum((1, 2, 3)) / (3 * shown.sum((1, 2, 3)))
    assert (off < 0.06).all()
    eyes = (landmarks[:, 36] - landmarks[:, 45]).norm(dim=1)
    assert (refined.residual_px.mean(1) < 0.015 * eyes).all()
    melanin = refined.appearance.melanin
    assert melanin[1] > melanin[0] + 0.1
    harmonics = refined.light.harmonics[:, 0]
    assert harmonics[1, 0] / harmonics[1, 2] > 1.15 * harmonics[0, 0] / harmonics[0, 2]


def test_the_report_has_both_stages(refined):
    assert [stage.name for stage in refined.stages] == ["landmarks", "pixels"]
    pixels = refined.stages[1]
    assert (pixels.loss_after < 0.4 * pixels.loss_before).all()
    assert refined.converged.all()
    assert "pixels: 2 of 2 converged, 25 iterations" in refined.report()


def test_a_batch_equals_one_at_a_time(head, faces, started):
    images, landmarks, _ = faces
    settings = dataclasses.replace(QUICK, steps=4)
    together = fit_pixels(head, images, landmarks, started, settings=settings)
    one_by_one = dataclasses.replace(settings, at_once=1)
    apart = fit_pixels(head, images, landmarks, started, settings=one_by_one)
    torch.testing.assert_close(together.identity, apart.identity, rtol=0, atol=1e-3)
    torch.testing.assert_close(together.light.harmonics, apart.light.harmonics, rtol=0, atol=1e-3)


def test_larger_pictures_are_compared_small(head, started, faces):
    images, landmarks, _ = drawn(head, 2 * SIZE)
    settings = dataclasses.replace(QUICK, steps=1)
    first = fit_landmarks(head, landmarks, size=2 * SIZE)
    large = fit_pixels(head, images, landmarks, first, settings=settings)
    small = fit_pixels(head, *faces[:2], started, settings=settings)
    torch.testing.assert_close(
        large.stages[1].loss_before, small.stages[1].loss_before, rtol=0.1, atol=0
    )
    torch.testing.assert_close(large.camera.centre_px, first.camera.centre_px)


def test_gradients_reach_everything_that_is_fitted(head, faces, started):
    images, landmarks, _ = faces
    known = pixel_fit._Known.of(images, landmarks, torch.ones(2, 68), SIZE, QUICK)
    start = pixel_fit._Unknown.of(started, torch.arange(2))
    leaves = [value.clone().requires_grad_() for value in start.tensors()]
    unknown = pixel_fit._Unknown(*leaves, camera=start.camera)
    pixel_fit._losses(head, known, unknown, face_renderer(head, SIZE), QUICK).sum().backward()
    for name, leaf in zip(pixel_fit.RATES, leaves, strict=True):
        assert (leaf.grad.flatten(1).abs().sum(1) > 0).all(), name


def test_another_renderer_can_be_given(head, faces, started):
    images, landmarks, _ = faces
    calls = []

    def grey(vertices, camera, light, appearance):
        calls.append(len(vertices))
        level = light.harmonics.mean((1, 2)) + 0 * vertices.sum((1, 2)) * appearance.melanin
        return level[:, None, None, None].expand(-1, 3, SIZE, SIZE), torch.ones(
            len(vertices), 1, SIZE, SIZE
        )

    settings = dataclasses.replace(QUICK, steps=3)
    result = fit_pixels(head, images, landmarks, started, render=grey, settings=settings)
    assert calls == [2, 2, 2, 2]
    assert (result.stages[1].loss_after < result.stages[1].loss_before).all()


def test_faces_that_do_not_settle_are_told(head, faces, started):
    settings = dataclasses.replace(QUICK, steps=3, tolerance=1e-4)
    result = fit_pixels(head, *faces[:2], started, settings=settings)
    assert not result.converged.any()
    assert "face 0: its loss was still falling after 3 steps" in result.report()


def test_a_renderer_without_gradient_fits_no_better(head, faces, started):
    def nothing(vertices, camera, light, appearance):
        still = 0 * (vertices.sum() + light.harmonics.sum() + appearance.melanin.sum())
        count = len(vertices)
        return torch.zeros(count, 3, SIZE, SIZE) + still, torch.zeros(count, 1, SIZE, SIZE)

    exact = dataclasses.replace(QUICK, steps=2, landmarks=FitSettings(noise=0.02))
    result = fit_pixels(head, *faces[:2], started, render=nothing, settings=exact)
    assert "fit no better than at the start" in result.report()
    torch.testing.assert_close(result.identity, started.identity)


def test_pictures_that_do_not_fit(head, faces, started):
    images, landmarks, _ = faces
    with pytest.raises(ImageError, match="1 pictures and the landmarks of 2 faces, but 2 faces"):
        fit_pixels(head, images[:1], landmarks, started)
    with pytest.raises(ImageError, match="48 x 40 pixels are not square"):
        fit_pixels(head, images[:, :, :40], landmarks, started)
    with pytest.raises(ImageError, match="not finite"):
        fit_pixels(head, images * torch.nan, landmarks, started)


@pytest.mark.parametrize("name", ["size", "steps", "pixel_noise", "pixel_count", "at_once"])
def test_impossible_settings(name):
    with pytest.raises(ParameterError, match=f"{name} is 0; give a number above 0"):
        PixelSettings(**{name: 0})
