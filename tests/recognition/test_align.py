"""Alignment: closed forms and twins, equivariance, the way back, and the policies."""

import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from facelab import assets
from facelab.errors import FaceCountError, ImageError, ParameterError
from facelab.images import load_image
from facelab.recognition import align
from facelab.recognition.sampling import inverse, move_points, resize_transform, warp


def turned(angle_rad: float, scale: float, shift: tuple[float, float]) -> torch.Tensor:
    a, b = scale * math.cos(angle_rad), scale * math.sin(angle_rad)
    return torch.tensor([[[a, -b, shift[0]], [b, a, shift[1]]]], dtype=torch.float64)


@pytest.fixture
def points(random):
    """Four sets of five points, about 100 pixels across."""
    return torch.rand(4, 5, 2, generator=random, dtype=torch.float64) * 100


# --- the transform -------------------------------------------------------------------------------


def test_a_known_transform_is_found(points):
    true = torch.cat([turned(a, s, (9, -4)) for a, s in ((0, 1), (0.7, 0.2), (3.0, 5), (-2, 1))])
    found = align.similarity_transform(points, move_points(points, true))
    assert torch.allclose(found, true)


@pytest.mark.parametrize("weights", [None, (1.0, 1.0, 0.3, 0.0, 0.0), (1.0, 2.0, 3.0, 4.0, 5.0)])
def test_it_equals_numpys_least_squares(points, weights):
    """The twin writes x' = ax - by + c, y' = bx + ay + d as ten equations and solves them."""
    source, target = points[:2], points[2:]
    w = np.ones(5) if weights is None else np.array(weights)
    ours = align.similarity_transform(
        source, target, None if weights is None else torch.tensor(weights)
    )
    for index in range(2):
        rows, values = [], []
        for (x, y), (u, v), weight in zip(source[index], target[index], w, strict=True):
            rows += [np.sqrt(weight) * np.array(r) for r in ([x, -y, 1, 0], [y, x, 0, 1])]
            values += [np.sqrt(weight) * float(u), np.sqrt(weight) * float(v)]
        a, b, c, d = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
        twin = torch.tensor([[a, -b, c], [b, a, d]])
        assert torch.allclose(ours[index], twin)


def test_a_mirrored_face_is_not_reflected(points):
    """The determinant stays positive even where a reflection would fit perfectly."""
    mirrored = points * torch.tensor([-1.0, 1.0])
    found = align.similarity_transform(points, mirrored)
    assert (torch.linalg.det(found[:, :, :2]) > 0).all()


def test_a_template_serves_many_faces(points):
    template = points[:1]
    many = align.similarity_transform(points, template)
    each = [align.similarity_transform(face[None], template) for face in points]
    assert torch.allclose(many, torch.cat(each))


def test_gradcheck_of_the_transform(points):
    source, target = points[:2].requires_grad_(), points[2:].clone().requires_grad_()
    assert torch.autograd.gradcheck(align.similarity_transform, (source, target))


def test_points_that_have_no_direction_are_refused(points):
    """All in one place, in one target, a hair apart, or a square on its mirror image."""
    one = torch.full((1, 5, 2), 7.0, dtype=torch.float64)
    square = torch.tensor([[[1.0, 1], [1, -1], [-1, -1], [-1, 1], [0, 0]]], dtype=torch.float64)
    mirror = square * torch.tensor([-1.0, 1.0])
    near = points[:1] * 1e-5
    for source, target in ((one, points[:1]), (points[:1], one), (near, points[:1])):
        with pytest.raises(ImageError, match="coincide or have no direction"):
            align.similarity_transform(source, target)
    with pytest.raises(ImageError, match="coincide or have no direction"):
        align.similarity_transform(square, mirror)


# --- templates -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", align.TEMPLATES)
def test_templates_are_upright_centred_faces(name):
    template = align.TEMPLATES[name]
    left, right, nose, mouth_left, mouth_right = template.points_xy
    assert template.name == name
    assert (template.points_xy > 0).all()
    assert (template.points_xy < template.size - 1).all()
    assert left[0] < nose[0] < right[0]
    assert left[1] < nose[1] < mouth_left[1]
    assert abs(left[1] - right[1]) < 0.3
    assert abs(mouth_left[1] - mouth_right[1]) < 0.3
    assert abs((left[0] + right[0]) / 2 - (template.size - 1) / 2) < 0.01 * template.size


def test_an_unknown_template_lists_those_that_exist():
    with pytest.raises(ParameterError, match="choose one of: dlib150, arcface112"):
        align.find_template("ffhq")


def test_landmarks_land_on_the_template(faces):
    """The weighted mean is exact; the rest are the differences between faces."""
    for template in align.TEMPLATES.values():
        weights = torch.tensor(template.weights)
        for found in faces.values():
            transform = align.template_transform(found.landmarks, template)
            landed = move_points(found.landmarks, transform)[0]
            difference = (landed - template.points_xy) * weights[:, None]
            assert difference.sum(0).abs().max() < 1e-2
            assert difference.norm(dim=1).max() < 0.1 * template.size


def test_the_chip_lies_where_dlib_cuts_it():
    """dlib's own cut of this photograph, by its 5-point predictor: corners within 4 of 150 pixels.

    The numbers are what `benchmarks/alignment_templates.py` says.
    """
    dlibs = torch.tensor([[[1.24089, 0.05954, -211.97154], [-0.05954, 1.24089, -67.88795]]])
    cut = align.crop_faces(load_image(assets.path("astronaut")), "dlib150")
    corners = torch.tensor([[[0.0, 0], [149, 0], [0, 149], [149, 149]]])
    ours = move_points(move_points(corners, inverse(dlibs)), cut.transforms)
    assert (ours - corners).norm(dim=2).max() < 4


# --- cutting out ---------------------------------------------------------------------------------


def test_gradcheck_of_the_picture(random):
    picture = torch.rand(1, 3, 12, 12, generator=random, dtype=torch.float64, requires_grad=True)
    template = dataclasses.replace(
        align.TEMPLATES["book64"],
        size=5,
        points=((1.0, 1.0), (3.0, 1.0), (2.0, 2.0), (1.2, 3.5), (2.8, 3.5)),
    )
    face = torch.tensor([[[4.0, 4], [8, 4.5], [6, 6], [4, 8.5], [7, 9]]], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda p: align.align(p, face, template), picture, fast_mode=True
    )


@pytest.mark.parametrize(("angle", "scale"), [(0.0, 1.0), (0.3, 1.0), (-0.9, 1.4), (0.2, 0.7)])
def test_a_face_is_cut_alike_wherever_it_lies(angle, scale):
    """Move a smooth picture and its landmarks: the crop stays. The picture is a formula."""
    face = torch.tensor([[[80.0, 80], [120, 82], [100, 105], [84, 125], [117, 126]]])
    moved = turned(angle, scale, (0.0, 0.0)).float()
    moved[0, :, 2] = 180.0 - moved[0, :, :2] @ torch.tensor([100.0, 104.0])
    x, y = torch.meshgrid(*[torch.arange(360, dtype=torch.float32)] * 2, indexing="xy")
    places = torch.stack([x, y], -1).flatten(0, 1)[None]
    there = move_points(places, inverse(moved)).reshape(360, 360, 2)
    first, second = _pattern(x, y), _pattern(there[..., 0], there[..., 1])
    a = align.align(first, face, "book64")
    b = align.align(second, move_points(face, moved), "book64")
    assert (a - b).abs().max() < 0.01
    assert a.std() > 0.3


def test_detection_and_alignment_do_not_mind_a_shift_and_a_turn(photographs, recogniser):
    """A photograph that is turned by 9 degrees and moved: nearly the same embedding."""
    picture = photographs["astronaut"]
    moved = warp(picture, turned(0.16, 0.9, (60.0, 8.0)).float(), tuple(picture.shape[2:]))
    a, b = (recogniser.embed(align.crop_faces(p).images) for p in (picture, moved))
    assert recogniser.distance(a, b) < 0.02


# --- putting back --------------------------------------------------------------------------------


@pytest.mark.parametrize("template", ["book64", "dlib150"])
def test_a_crop_that_is_put_back_unchanged_leaves_the_picture(template):
    """Within 0.03 of [-1, 1] for a picture with waves of 15 pixels of the crop; outside exactly."""
    x, y = torch.meshgrid(*[torch.arange(260, dtype=torch.float32)] * 2, indexing="xy")
    picture = _pattern(x, y)
    face = torch.tensor([[[80.0, 80], [160, 86], [117, 130], [84, 165], [147, 170]]])
    transform = align.template_transform(face, template)
    crop = align.align(picture, face, template)
    back = align.paste_back(crop, picture, transform)
    assert (back - picture).abs().max() < 0.03
    changed = (back != picture).any(1)[0]
    assert 0.1 < changed.float().mean() < 0.9
    # What changed lies inside the crop.
    size = align.TEMPLATES[template].size
    rows, columns = changed.nonzero().T
    inside = move_points(torch.stack([columns, rows], 1).float()[None], transform)[0]
    assert (inside > -0.51).all()
    assert (inside < size - 0.49).all()


def test_a_painted_crop_fades_in(photographs):
    """A white crop: white in the middle, the old picture outside, and in between towards edges."""
    picture = photographs["astronaut"]
    cut = align.crop_faces(picture, "book64")
    white = torch.ones_like(cut.images)
    back = align.paste_back(white, picture, cut.transforms, feather=0.2)
    middle = ((cut.landmarks[0, 0] + cut.landmarks[0, 1]) / 2).round().long()
    assert torch.allclose(back[0, :, middle[1], middle[0]], torch.ones(3))
    assert torch.equal(back[:, :, 400:], picture[:, :, 400:])
    assert (back >= picture - 1e-5).all()
    hard = align.paste_back(white, picture, cut.transforms, feather=0.0)
    assert hard.mean() > back.mean()


def test_the_way_back_is_differentiable(photographs):
    picture = photographs["astronaut"]
    cut = align.crop_faces(picture, "book64")
    crop = cut.images.clone().requires_grad_()
    pasted = align.paste_back(crop, picture, cut.transforms)
    (gradient,) = torch.autograd.grad(pasted.sum(), crop)
    assert gradient[..., 32, 32].min() > 0.5


def test_a_crop_outside_the_picture_changes_nothing():
    picture = torch.zeros(1, 3, 20, 20)
    far = turned(0.0, 1.0, (-500.0, 0.0)).float()
    assert torch.equal(align.paste_back(torch.ones(1, 3, 64, 64), picture, far), picture)


# --- policies ------------------------------------------------------------------------------------


def test_no_face_is_an_error_under_every_policy():
    blank = torch.zeros(1, 3, 80, 90)
    for policy in ("error", "largest", "central", "all"):
        with pytest.raises(FaceCountError, match=r"wall\.jpg: no face was found; give a picture"):
            align.crop_faces(blank, policy=policy, source="wall.jpg")


def test_two_faces(two_faces):
    with pytest.raises(FaceCountError, match=r'pair\.jpg: 2 faces.*"largest", "central" or "all"'):
        align.crop_faces(two_faces, source="pair.jpg")
    all_of_them = align.crop_faces(two_faces, "book64", "all")
    largest = align.crop_faces(two_faces, "book64", "largest")
    assert len(all_of_them) == 2
    assert len(largest) == 1
    assert torch.equal(largest.images, all_of_them.images[:1])
    sides = all_of_them.boxes[:, 2] - all_of_them.boxes[:, 0]
    assert sides[0] > sides[1]


def test_the_central_face(two_faces):
    """With grey added on the left, the small face on the right is the central one, or not."""
    right = F.pad(two_faces, (0, 600, 0, 0), value=0.0)
    left = F.pad(two_faces, (600, 0, 0, 0), value=0.0)
    small = align.crop_faces(right, "book64", "central")
    large = align.crop_faces(left, "book64", "central")
    assert large.boxes[0, 0] > 600
    assert small.boxes[0, 0] > 500
    assert (large.boxes[0, 2] - large.boxes[0, 0]) > 1.2 * (small.boxes[0, 2] - small.boxes[0, 0])


def test_an_unknown_policy_lists_those_that_exist():
    with pytest.raises(ParameterError, match="choose one of: error, largest, central, all"):
        align.crop_faces.__wrapped__(torch.zeros(1, 3, 9, 9), policy="first")


def test_gradients_reach_the_photograph(photographs):
    picture = photographs["astronaut"].clone().requires_grad_()
    align.crop_faces(picture, "book64").images.sum().backward()
    touched = (picture.grad[0].abs().sum(0) > 0).sum()
    assert 80 < touched**0.5 < 300
    assert picture.grad[:, :, 100:150, 200:240].min() > 0


# --- other framings -------------------------------------------------------------------------------


def dots(points, size):
    """A dark picture with a bright dot of a pixel or two at each point."""
    grid = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="xy"), -1)
    away = (grid[None].float() - points[:, None, None]).square().sum(-1)
    return (2 * torch.exp(-away / 8).amax(0) - 1).expand(1, 3, -1, -1)


@pytest.mark.parametrize("size", [64, 128, 200])
def test_the_eyes_come_to_lie_where_the_recogniser_has_them(size):
    """Whatever the picture's size: dots at the framing's eyes land on those of the template."""
    points = align.find_template("book64").points_xy[:2]
    points = (points + 0.5) * (size / 64) - 0.5
    image = align.reframe(dots(points, size), "book64", "dlib150")
    assert image.shape == (1, 3, 150, 150)
    for eye in align.find_template("dlib150").points_xy[:2]:
        x, y = eye.round().long().tolist()
        near = image[0, 0, y - 8 : y + 9, x - 8 : x + 9] + 1
        at = torch.stack(torch.meshgrid(torch.arange(17), torch.arange(17), indexing="xy"), -1)
        centre = (near[..., None] * at).sum((0, 1)) / near.sum() + torch.tensor([x - 8, y - 8])
        assert (centre - eye).norm() < 0.7
        assert near.max() > 1.5


def test_the_same_framing_is_not_touched(random):
    faces = torch.rand(2, 3, 150, 150, generator=random)
    assert align.reframe(faces, "dlib150", "dlib150") is faces
    small = F.avg_pool2d(faces, 2)
    assert align.reframe(small, "dlib150", "dlib150").shape == faces.shape


def test_the_way_from_one_framing_to_another_and_back_is_none():
    """A template whose points are another's, moved: both ways are known, for any side."""
    book = align.TEMPLATES["book64"]
    way = turned(0.2, 1.7, (30.0, 12.0)).float()
    moved = move_points(book.points_xy[None], way)[0].tolist()
    other = align.Template("other", 200, tuple(map(tuple, moved)))
    there, back = (align.reframe_transform(s.size, s, t) for s, t in ((book, other), (other, book)))
    assert torch.allclose(there, way, atol=1e-4)
    assert torch.allclose(back, inverse(way), atol=1e-4)
    half = align.reframe_transform(32, book, other)
    halved = resize_transform((64, 64), (32, 32))
    corners = torch.tensor([[[0.0, 0.0], [63.0, 63.0]]])
    landed = move_points(move_points(corners, halved), half)
    assert torch.allclose(landed, move_points(corners, way), atol=1e-3)
    same = align.reframe_transform(32, book, book)
    assert torch.allclose(same, resize_transform((32, 32), (64, 64)))


@pytest.mark.parametrize("shape", [(1, 3, 64, 60), (1, 3, 0, 0)])
def test_only_squares_are_reframed(shape):
    message = f"faces framed like 'book64' are square, these are {shape[3]} x {shape[2]} pixels"
    with pytest.raises(ImageError, match=message):
        align.reframe(torch.zeros(shape), "book64", "dlib150")


# --- crops that are aligned already --------------------------------------------------------------


def test_aligned_crops_of_another_size_are_framed_like_the_book_s(generated):
    cut = align.crop_faces(generated[:3], "dlib150", aligned=True)
    assert torch.equal(cut.images, align.reframe(generated[:3], "book64", "dlib150"))
    assert torch.equal(cut.boxes, torch.tensor([[-0.5, -0.5, 63.5, 63.5]]).expand(3, -1))
    book = align.TEMPLATES["book64"].points_xy
    assert torch.allclose(cut.landmarks, book.expand(3, -1, -1))
    eyes = move_points(cut.landmarks, cut.transforms)[:, :2]
    assert torch.allclose(eyes, align.TEMPLATES["dlib150"].points_xy[:2].expand(3, -1, -1), atol=1)
    assert cut.probabilities.isnan().all()


def test_aligned_crops_for_the_book_s_template_are_only_scaled(generated):
    cut = align.crop_faces(F.interpolate(generated[:3], scale_factor=2), "book64", aligned=True)
    assert torch.allclose(cut.images, generated[:3], atol=1e-5)
    landed = move_points(cut.landmarks, cut.transforms)
    assert torch.allclose(landed, align.TEMPLATES["book64"].points_xy.expand(3, -1, -1), atol=1e-4)


def test_aligned_crops_of_the_right_size_are_taken_as_they_are(generated):
    cut = align.crop_faces(generated, "book64", aligned=True)
    assert torch.equal(cut.images, generated)
    book = align.TEMPLATES["book64"].points_xy
    assert torch.allclose(cut.landmarks, book.expand(len(generated), -1, -1))


def test_an_aligned_crop_has_to_be_square():
    with pytest.raises(ImageError, match=r"wide\.png: an aligned face is square, this is 80 x 64"):
        align.crop_faces(torch.zeros(1, 3, 64, 80), aligned=True, source="wide.png")


def _pattern(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A smooth picture as a formula of the place: waves of 60 to 100 pixels."""
    waves = [torch.sin(x / 10 + y / 23), torch.cos(y / 12 - x / 31), torch.sin((x + y) / 17)]
    return 0.8 * torch.stack(waves)[None]
