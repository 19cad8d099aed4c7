"""The detector: places, conventions, and pictures in which there is nothing to find."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from facelab.errors import ImageError
from facelab.images import to_uint8
from facelab.recognition import mtcnn
from facelab.recognition.mtcnn import detect


def test_one_face_in_each_photograph(faces):
    for name, found in faces.items():
        assert len(found) == 1, name
        assert found.probabilities[0] > 0.99
        left, top, right, bottom = found.boxes[0]
        points = found.landmarks[0]
        assert ((points > found.boxes[0, :2]) & (points < found.boxes[0, 2:])).all()
        assert 1.0 < (bottom - top) / (right - left) < 1.7
        eye_left, eye_right, nose, mouth_left, mouth_right = points
        assert eye_left[0] < nose[0] < eye_right[0]
        assert mouth_left[0] < mouth_right[0]
        assert eye_left[1] < nose[1] < mouth_left[1]


def test_it_finds_what_facenet_pytorch_finds(photographs, faces):
    """Boxes overlap by 0.85, points differ by 3 % of the box: its cuts are up to a pixel off."""
    from facenet_pytorch import MTCNN
    from torchvision.ops import box_iou

    oracle = MTCNN(keep_all=True, min_face_size=40, thresholds=[0.6, 0.7, 0.9])
    for name in ("obama3", "biden", "astronaut"):
        levels = to_uint8(photographs[name])[0].numpy()
        boxes, _, points = oracle.detect(levels, landmarks=True)
        boxes, points = (torch.tensor(np.array(x, dtype=np.float32)) for x in (boxes, points))
        assert len(boxes) == 1
        assert box_iou(boxes, faces[name].boxes) > 0.85
        height = faces[name].boxes[0, 3] - faces[name].boxes[0, 1]
        assert ((points - faces[name].landmarks)[0].norm(dim=1) / height).mean() < 0.03


def test_the_largest_face_comes_first(two_faces):
    faces = detect(two_faces)
    assert len(faces) == 2
    areas = (faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(dim=1)
    assert areas[0] > areas[1]
    assert faces.boxes[0, 2] < 512 < faces.boxes[1, 0] + 30


def test_the_mirror_image_has_mirrored_points(photographs, faces):
    """Points at x come at width - 1 - x, left and right exchanged: 3 % each, 1 % in the mean."""
    for name in ("astronaut", "biden"):
        photograph, here = photographs[name], faces[name]
        there = detect(photograph.flip(3))
        back = there.landmarks[0, [1, 0, 2, 4, 3]]
        back[:, 0] = photograph.shape[3] - 1 - back[:, 0]
        side = here.boxes[0, 2] - here.boxes[0, 0]
        assert ((back - here.landmarks[0]).norm(dim=1) / side).max() < 0.03
        assert ((back - here.landmarks[0]).mean(0) / side).abs().max() < 0.01


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_scaling_the_picture_scales_the_points(photographs, faces, factor):
    """(x + 0.5) scales, not x: the corner of the picture is the fixed point."""
    photograph = photographs["astronaut"]
    scaled = F.interpolate(photograph, scale_factor=factor, mode="bilinear", antialias=True)
    here, there = faces["astronaut"], detect(scaled)
    expected = (here.landmarks[0] + 0.5) * factor - 0.5
    side = factor * (here.boxes[0, 2] - here.boxes[0, 0])
    assert ((there.landmarks[0] - expected).norm(dim=1) / side).max() < 0.03


def test_a_very_wide_picture(photographs):
    """12,000 pixels wide: searched at 1,600, answered in its own pixels."""
    face = photographs["astronaut"][:, :, :400]
    face = F.interpolate(face, (1000, 1280), mode="bilinear")
    strip = torch.full((1, 3, 1000, 12_000), 0.2)
    strip[:, :, :, 5000:6280] = face
    faces = detect(strip)
    assert len(faces) == 1
    near = detect(face)
    side = near.boxes[0, 2] - near.boxes[0, 0]
    shift = torch.tensor([5000.0, 0.0])
    assert (faces.landmarks - near.landmarks - shift).norm(dim=2).max() < 0.05 * side


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (5, 7), (11, 11), (12, 13), (40, 40)])
def test_nothing_to_find(random, size):
    noise = torch.rand(1, 3, *size, generator=random) * 2 - 1
    for picture in (noise, torch.zeros_like(noise)):
        faces = detect(picture)
        assert len(faces) == 0
        assert faces.boxes.shape == (0, 4)
        assert faces.landmarks.shape == (0, 5, 2)
        assert faces.probabilities.shape == (0,)


@pytest.mark.parametrize("side", ["left", "bottom"])
def test_a_face_at_the_edge_keeps_its_points(photographs, faces, side):
    """A fifth of the face is cut off: the points that are left stay within 4 % of the box."""
    photograph = photographs["astronaut"]
    whole = faces["astronaut"]
    left, top, right, bottom = whole.boxes[0].tolist()
    if side == "left":
        start = int(left + 0.2 * (right - left))
        cut, shift = photograph[:, :, :, start:], torch.tensor([float(start), 0.0])
    else:
        cut, shift = photograph[:, :, : int(bottom - 0.2 * (bottom - top))], torch.zeros(2)
    found = detect(cut)
    assert len(found) == 1
    error = (found.landmarks[0] + shift - whole.landmarks[0]).norm(dim=1) / (bottom - top)
    assert error.max() < 0.04


def test_generated_faces(generated):
    """At least 30 of 32; of 512, 95.5 % were measured. The others are broken, dark or profiles."""
    found = [detect(face[None]) for face in generated]
    assert sum(len(faces) == 1 for faces in found) >= 30
    assert max(map(len, found)) == 1


def test_a_small_picture_without_a_face_is_searched_again_larger(monkeypatch):
    sizes = []

    def search(image, scale, minimum_size_px):
        sizes.append(tuple(image.shape[2:]))
        return mtcnn.Faces(torch.zeros(0, 4), torch.zeros(0, 5, 2), torch.zeros(0))

    monkeypatch.setattr(mtcnn, "_search", search)
    detect(torch.zeros(1, 3, 64, 80))
    detect(torch.zeros(1, 3, 170, 200))
    detect(torch.zeros(1, 3, 400, 3200))
    assert sizes == [(160, 200), (256, 320), (170, 200), (200, 1600)]


@pytest.mark.slow
def test_a_higher_bar_finds_less(generated):
    counts = [
        sum(len(detect(face[None], minimum_probability=bar)) for face in generated[:12])
        for bar in (0.9, 0.9999, 1.1)
    ]
    assert counts[0] > counts[1] >= counts[2] == 0


def test_a_larger_minimum_finds_only_large_faces(two_faces):
    assert len(detect(two_faces, minimum_size_px=80)) == 1


def test_it_is_deterministic_and_has_no_gradients(photographs):
    picture = photographs["obama"].clone().requires_grad_()
    first, second = detect(picture), detect(picture)
    for name in ("boxes", "landmarks", "probabilities"):
        assert torch.equal(getattr(first, name), getattr(second, name))
        assert not getattr(first, name).requires_grad
    assert torch.is_grad_enabled()


def test_the_networks_are_loaded_once():
    assert mtcnn._networks("cpu") is mtcnn._networks("cpu")


def test_a_batch_is_refused():
    with pytest.raises(ImageError, match="one picture at a time, got a batch of 2"):
        detect(torch.zeros(2, 3, 30, 30))


def test_values_that_are_not_finite_are_refused():
    picture = torch.zeros(1, 3, 30, 30)
    picture[0, 0, 3, 4] = torch.nan
    with pytest.raises(ImageError, match="not finite"):
        detect(picture)
