"""Whom to look for: photographs, crops, rendered people and generated ones."""

import numpy as np
import PIL.Image
import pytest
import torch
import torch.nn.functional as F

from facelab import assets
from facelab.data.seeding import stream
from facelab.errors import FaceCountError, ImageError, ParameterError
from facelab.generators import dcgan
from facelab.images import load_image, save_image
from facelab.methods.ganid import targets
from facelab.methods.ganid.scoring import Target
from facelab.methods.ganid.targets import Person, farthest, find_person, read_person
from facelab.recognition import align, mtcnn
from facelab.recognition.search import find_faces

ONE = mtcnn.Faces(
    torch.tensor([[10.0, 10, 50, 50]]),
    align.find_template("book64").points_xy[None],
    torch.tensor([0.999]),
)
NOBODY, TWO = ONE[[]], ONE[[0, 0]]


@pytest.fixture(scope="module")
def astronaut() -> torch.Tensor:
    return load_image(assets.path("astronaut"))


@pytest.fixture(scope="module")
def person(astronaut) -> Person:
    return find_person("astronaut", [astronaut, astronaut.flip(3)])


@pytest.fixture
def no_face(tmp_path):
    path = tmp_path / "wall.png"
    PIL.Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(path)
    return path


@pytest.fixture
def two_faces(tmp_path, astronaut):
    path = tmp_path / "pair.png"
    half = astronaut[..., :320, 100:400]
    save_image(torch.cat([half, half], dim=3), path)
    return path


# --- photographs ---------------------------------------------------------------------------------


def test_the_face_lies_on_the_template(person, astronaut):
    assert person.name == "astronaut"
    found = mtcnn.detect(astronaut).landmarks
    assert (person.landmarks[:1] - found).abs().max() < 3
    crops = person.crops("book64")
    assert crops.shape == (2, 3, 64, 64)
    torch.testing.assert_close(crops[:1], align.align(astronaut, person.landmarks[:1], "book64"))
    assert (crops[0] - crops[1].flip(2)).abs().mean() < 0.15  # the mirror image of the same face


def test_a_target_is_what_the_embedder_sees(person, patches):
    target = person.target(patches)
    assert (target.name, target.embedder) == ("astronaut", "patches")
    torch.testing.assert_close(target.embeddings, patches.embed(person.crops("book64")))
    assert not target.embeddings.requires_grad


def test_files_are_read(tmp_path, person, astronaut):
    path = tmp_path / "someone.png"
    save_image(astronaut, path)
    found = read_person([path, path])
    assert found.name == "someone"
    assert len(found.pictures) == 2
    torch.testing.assert_close(found.landmarks[:1], person.landmarks[:1], rtol=0, atol=0.5)


def test_a_file_without_a_face_is_named(no_face):
    with pytest.raises(FaceCountError, match=r"wall\.png: no face was found") as caught:
        read_person([assets.path("astronaut"), no_face])
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_with_two_faces_is_named_or_chosen_from(two_faces):
    with pytest.raises(FaceCountError, match=r"pair\.png: 2 faces were found where one is expect"):
        read_person([two_faces])
    one = read_person([two_faces], "largest")
    assert one.landmarks.shape == (1, 5, 2)


@pytest.mark.parametrize(("policy", "thorough"), [("error", True), ("largest", False)])
def test_small_faces_are_looked_for_only_where_they_matter(policy, thorough, monkeypatch):
    asked = []

    def find(picture, every_face):
        asked.append(every_face)
        return ONE

    monkeypatch.setattr(targets, "find_faces", find)
    found = find_person("x", [torch.zeros(1, 3, 64, 64)], policy)
    assert asked == [thorough]
    assert torch.equal(found.landmarks, ONE.landmarks)


def test_pictures_without_files_are_counted(astronaut):
    black = torch.full((1, 3, 64, 64), -1.0)
    with pytest.raises(FaceCountError, match="picture 2 of her: no face was found"):
        find_person("her", [astronaut, black])


def test_without_a_picture_there_is_nobody():
    for make in (lambda: read_person([]), lambda: find_person("x", [])):
        with pytest.raises(ParameterError, match="needs pictures of one person; give at least one"):
            make()


# --- crops ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [64, 150, 256])
def test_aligned_crops_are_taken_as_they_are(size, tmp_path, person):
    """Framed like the book's faces, in proportion; nothing is looked for."""
    path = tmp_path / "crop.png"
    crop = F.interpolate(person.crops("book64")[:1], (size, size), mode="bilinear")
    save_image(crop, path)
    found = read_person([path], aligned=True)
    template = align.find_template("book64").points_xy
    expected = (template + 0.5) * size / 64 - 0.5
    torch.testing.assert_close(found.landmarks[0], expected, rtol=0, atol=1e-3)
    moved = (found.crops("book64") - person.crops("book64")[:1]).abs()
    assert moved.mean() < 0.03  # two interpolations blur a little


def test_a_crop_that_is_no_square_is_named(tmp_path, astronaut):
    path = tmp_path / "wide.png"
    save_image(astronaut[..., :100, :200], path)
    with pytest.raises(ImageError, match=r"wide\.png: an aligned face is square, this is 20"):
        read_person([path], aligned=True)


# --- how alike they are --------------------------------------------------------------------------


def test_the_farthest_pair():
    rows = F.normalize(torch.tensor([[1.0, 0], [1, 0.1], [0, 1], [1, 1]]), dim=1)
    first, second, distance = farthest(Target("x", rows, "any"))
    assert (first, second) == (0, 2)
    assert distance == pytest.approx(2)
    assert farthest(Target("x", rows[:1], "any")) == (0, 0, 0.0)


# --- people who do not exist ---------------------------------------------------------------------


def test_rendered_people_show_their_faces():
    found = targets.rendered_people(1, 2, seed=3)
    assert [len(person.pictures) for person in found] == [2]
    assert found[0].pictures[0].shape == (1, 3, 160, 160)
    assert not torch.equal(*found[0].pictures)
    for picture, points in zip(found[0].pictures, found[0].landmarks, strict=True):
        faces = find_faces(picture, every_face=True)
        assert torch.equal(faces.landmarks[0], points)


def test_people_without_faces_are_left_out(monkeypatch):
    monkeypatch.setattr(targets, "find_faces", lambda picture, every_face: NOBODY)
    with pytest.raises(FaceCountError, match="only 0 of 2 rendered people show their face in 1 vi"):
        targets.rendered_people(1, 1)


def test_pictures_of_one_face_alone_are_taken(monkeypatch, random):
    """The first that are: none, two, one, one."""
    seen = iter([NOBODY, TWO, ONE, ONE])
    monkeypatch.setattr(targets, "find_faces", lambda picture, every_face: next(seen))
    images = torch.rand(5, 3, 8, 8, generator=random)
    found = targets._seen("x", images, 2)
    assert torch.equal(torch.cat(found.pictures), images[2:4])


def test_the_first_view_is_the_latent_vector_itself(stripes, monkeypatch):
    monkeypatch.setattr(targets, "find_faces", lambda picture, every_face: ONE)
    (found,) = targets.generated_people(stripes, 1, 3, seed=4)
    random = stream("ganid-target", 4, 0)
    middle, noise = stripes.sample_latent(1, random), stripes.sample_latent(9, random)
    assert torch.equal(found.pictures[0], stripes(middle))
    torch.testing.assert_close(found.pictures[2], stripes(middle + 0.3 * noise[2:3]))


def test_generated_people_are_the_generators():
    generator = dcgan.pretrained()
    (found,) = targets.generated_people(generator, 1, 2, seed=1)
    (again,) = targets.generated_people(generator, 1, 2, seed=1)
    (other,) = targets.generated_people(generator, 1, 2, seed=2)
    assert found.pictures[0].shape == (1, 3, 64, 64)
    assert torch.equal(found.pictures[1], again.pictures[1])
    # Two views of one person are more alike than two people, pixel by pixel.
    views = (found.pictures[0] - found.pictures[1]).square().mean()
    strangers = (found.pictures[0] - other.pictures[0]).square().mean()
    assert 0 < views < 0.5 * strangers


def test_a_generator_of_no_faces_is_named(stripes, monkeypatch):
    monkeypatch.setattr(targets, "find_faces", lambda picture, every_face: NOBODY)
    with pytest.raises(FaceCountError, match="in 2 views of only 0 of 20 people that stripes"):
        targets.generated_people(stripes, 1, 2)
