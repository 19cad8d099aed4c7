"""Faces through all methods, to be looked at."""

import pytest
import torch

from facelab.comparison import live
from facelab.comparison.cases import Task, make_case
from facelab.comparison.contestants import SHARES
from facelab.errors import ParameterError


@pytest.fixture(scope="module")
def case(pool):
    return make_case(pool, Task(), 3)


@pytest.fixture(scope="module")
def found(case, known):
    """Of one with a strength, of one with a single answer, and of one who can't."""
    methods = (known("moves"), known("single", strengths=(1.0,)), known("none", refuses="no hands"))
    return live.answers(case, methods, SHARES)


def test_each_answers_at_the_strengths_that_it_has(case, found):
    assert list(found) == ["moves", "single"]
    assert list(found["moves"]) == list(SHARES)
    assert list(found["single"]) == [1.0]
    assert torch.allclose(found["moves"][0.25], torch.lerp(case.faces, case.others, 0.25))


def test_a_sheet_has_a_row_a_face(case, found):
    sheet = live.rows(case, found, 0.5).unflatten(0, (len(case), 4))
    assert torch.equal(sheet[:, 0], case.faces)
    assert torch.equal(sheet[:, 1], case.others)
    assert torch.equal(sheet[:, 2], found["moves"][0.5])
    assert torch.equal(sheet[:, 3], found["single"][1.0])


def test_a_strength_that_was_not_asked_for_is_told(found):
    with pytest.raises(ParameterError, match=r"moves was not asked for strength 0\.3; .* 0\.25"):
        live.at(found, 0.3)


def test_the_slider_draws_another_sheet(case, found):
    box = live.slider(case, found)
    control, view = box.children
    before = view.value
    control.value = 0.0
    assert view.value != before
    control.value = 1.0
    assert view.value == before
