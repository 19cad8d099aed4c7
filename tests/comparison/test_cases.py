"""Which faces are given: four kinds of people, nobody of two, and a gallery that nobody sees."""

import dataclasses

import pytest
import torch

from facelab.comparison import cases
from facelab.comparison.cases import COMMON, Heads, Pool, Task, brought, held_out, make_case
from facelab.data.anny_faces import AnnyFaces
from facelab.data.views import draw_views
from facelab.errors import DatasetError, ParameterError
from facelab.geometry.morphable import anny_head
from facelab.methods.diat.tasks import find_task
from facelab.recognition.pictures import template_of_size

OPEN = Task(find_task("mouth_open"))
PERSON = Task()


def people_of(pool, images):
    """Whose the pictures are, by their pixels."""
    same = (pool.images[None] == images[:, None]).flatten(2).all(2)
    assert (same.sum(1) == 1).all()
    return pool.people[same.int().argmax(1)]


# --- cases ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [OPEN, PERSON])
def test_nobody_is_of_two_kinds(pool, task):
    case = make_case(pool, task, 6)
    kinds = [set(people_of(pool, images).tolist())
             for images in (case.faces, case.others, case.strangers, case.references)]  # fmt: skip
    assert len(case) == 6
    assert [len(kinds[0]), len(kinds[1])] == [6, 6]
    assert sum(map(len, kinds)) == len(set.union(*kinds))


def test_an_attribute_is_lacking_and_lent(pool):
    case = make_case(pool, OPEN, 6)
    has = pool.has("Mouth_Slightly_Open")
    for images, expected in ((case.faces, False), (case.others, True)):
        same = (pool.images[None] == images[:, None]).flatten(2).all(2)
        assert (has[same.int().argmax(1)] == expected).all()
    assert torch.equal(case.people, people_of(pool, case.faces))


def test_a_task_that_takes_away_turns_the_kinds_round(pool):
    case = make_case(pool, Task(find_task("mouth_close")), 6)
    same = (pool.images[None] == case.faces[:, None]).flatten(2).all(2)
    assert pool.has("Mouth_Slightly_Open")[same.int().argmax(1)].all()


@pytest.mark.parametrize("task", [OPEN, PERSON])
def test_the_gallery_shows_whom_it_should_be_and_no_picture_that_was_given(pool, task):
    case = make_case(pool, task, 6)
    wanted = case.faces if task.change else case.others
    assert torch.equal(case.people, people_of(pool, wanted))
    assert torch.equal(people_of(pool, case.gallery), case.people[case.owners])
    assert case.owners.bincount().tolist() == [2] * 6
    given = (case.gallery[:, None] == wanted[None]).flatten(2).all(2)
    assert case.unseen
    assert not given.any()


def test_where_everybody_has_one_picture_it_is_what_was_given(patterns):
    case = make_case(Pool.of(patterns(views=1), 6), PERSON, 6)
    assert not case.unseen
    assert torch.equal(case.gallery, case.others)


def test_others_are_lent_again_where_few_have_the_attribute(pool):
    few = dataclasses.replace(pool, attributes=pool.attributes.clone())
    few.attributes[3 * 20 :] = False
    few.attributes[: 3 * 18] = False
    case = make_case(few, OPEN, 6)
    assert len(people_of(pool, case.others).unique()) == 2
    assert len(case) == 6


def test_too_few_people_are_told(pool, patterns):
    with pytest.raises(DatasetError, match="takes pictures of 28, patterns has 24; give 1 to 6"):
        Pool.of(patterns(), 7)
    none = dataclasses.replace(pool, attributes=torch.zeros_like(pool.attributes))
    with pytest.raises(DatasetError, match="0 of other people"):
        make_case(none, OPEN, 6)


def test_without_labels_the_first_classifier_chooses(pool, monkeypatch):
    class Reader:
        names = ("Mouth_Slightly_Open",)

        def decide(self, images):
            return images[:, :1].mean((2, 3)) > 0

    monkeypatch.setattr(cases, "attribute_classifier", Reader)
    blind = dataclasses.replace(pool, attributes=None)
    assert torch.equal(blind.has("Mouth_Slightly_Open"), pool.images[:, 0].mean((1, 2)) > 0)
    with pytest.raises(ParameterError, match="nobody knows which faces have 'Bald'"):
        blind.has("Bald")


# --- framings ------------------------------------------------------------------------------------


def test_the_common_framing_is_not_sampled(pool):
    assert brought(pool.images, COMMON, COMMON) is pool.images


def test_pictures_of_another_size_come_to_the_common_one(patterns):
    assert Pool.of(patterns(size=96), 2).images.shape[2:] == (64, 64)


def test_a_framing_there_and_back_keeps_a_smooth_picture():
    row = torch.linspace(-1, 1, 64)
    image = (0.5 * row[:, None] + 0.3 * row)[None, None].expand(1, 3, 64, 64)
    larger = template_of_size("book64", 128)
    back = brought(brought(image, COMMON, larger), larger, COMMON)
    assert (back - image)[:, :, 2:-2, 2:-2].abs().max() < 0.01


def test_a_case_is_framed_where_it_is_given(pool):
    case = make_case(pool, OPEN, 6)
    framed = case.framed(template_of_size("book64", 32))
    assert framed.faces.shape[2:] == framed.others.shape[2:] == (32, 32)
    assert framed.gallery is case.gallery


# --- heads ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def heads() -> Heads:
    """Two people in one view each, and two others."""
    faces = AnnyFaces(32, 4, 1, split="test", shadows=False)
    seeds = [faces.seeds(index) for index in range(4)]
    return Heads(faces, tuple(seeds[:2]), tuple(seeds[2:]))


def test_an_answer_without_strength_is_the_face_itself(heads):
    own = torch.cat([heads.dataset.render(*seeds).images for seeds in heads.faces])
    found = heads.answer(OPEN, 0.0, template_of_size("book64", 32))
    assert (found - own).abs().max() < 0.02


def test_another_person_is_shown_in_the_same_view(heads):
    found = heads.answer(PERSON, 1.0, template_of_size("book64", 32))
    pairs = zip(heads.others, heads.faces, strict=True)
    own = [heads.dataset.render(other[0], face[1]).images for other, face in pairs]
    assert (found - torch.cat(own)).abs().max() < 0.02


def test_a_mouth_opens_and_closes():
    names = anny_head().expression_names
    views = draw_views(anny_head(), range(12))
    opened = cases.moved_mouths(views, names, OPEN.change, 1.0)
    jaw = names.index("jawOpen")
    assert (opened.expression[:, jaw] >= cases.OPENED - 1e-6).all()
    assert (opened.expression[:, jaw] >= views.expression[:, jaw]).all()
    others = [row for row in range(len(names)) if row != jaw]
    assert torch.equal(opened.expression[:, others], views.expression[:, others])
    some = cases.moved_mouths(views, names, find_task("mouth_close"), 0.25)
    assert torch.allclose(some.expression[:, jaw], 0.75 * views.expression[:, jaw])
    assert (views.expression[:, jaw] > 0).any()


def test_an_opened_mouth_has_the_attribute(heads):
    faces, jaw = heads.dataset, "Mouth_Slightly_Open"
    people = cases.draw_people(faces.model, [person for person, _ in heads.faces])
    views = draw_views(faces.model, [view for _, view in heads.faces])
    for task, expected in (("mouth_open", True), ("mouth_close", False)):
        moved = cases.moved_mouths(views, faces.model.expression_names, find_task(task), 1.0)
        assert (faces.shown(people, moved).attributes[:, faces.attribute(jaw)] == expected).all()


def test_a_head_has_no_other_attribute_to_be_moved(heads):
    glasses = Task(find_task("glasses_removal"))
    assert not heads.can(glasses)
    with pytest.raises(ParameterError, match="no Eyeglasses to be moved"):
        heads.answer(glasses)


def test_held_out_people_are_of_the_test_split():
    faces = held_out(2, seed=3)
    assert (faces.split, faces.people, faces.size) == ("test", 8, 64)


def test_what_shall_stay_leaves_a_mouth_out_that_shall_move():
    assert OPEN.kept == slice(17, 48)
    assert PERSON.kept == Task(find_task("male_to_female")).kept == slice(17, 68)
