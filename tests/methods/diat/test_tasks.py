"""The five tasks: what each changes, where, and that data and masks know their words."""

import dataclasses

import pytest

from facelab.data.attributes import ATTRIBUTE_NAMES
from facelab.data.masks import MASKS
from facelab.errors import ParameterError
from facelab.methods.diat.tasks import TASKS, find_task

# name: attribute, gained, mask (Li et al. 2016, Figs. 4 and 5)
PAPER = {
    "mouth_open": ("Mouth_Slightly_Open", True, "mouth"),
    "mouth_close": ("Mouth_Slightly_Open", False, "mouth"),
    "glasses_removal": ("Eyeglasses", False, "eyeglasses"),
    "older_to_younger": ("Young", True, None),
    "male_to_female": ("Male", False, None),
}


def test_the_tasks_are_the_papers():
    assert {t.name: (t.attribute, t.to, t.mask) for t in TASKS.values()} == PAPER
    assert list(TASKS) == list(PAPER)
    assert all(t.paper.startswith("Fig. 4") == t.local for t in TASKS.values())
    assert all(t.paper.startswith("Fig. 5") != t.local for t in TASKS.values())
    assert len({t.title for t in TASKS.values()} | {t.paper for t in TASKS.values()}) == 10


@pytest.mark.parametrize("name", TASKS)
def test_data_and_masks_know_a_tasks_words(name):
    task = find_task(name)
    assert task is TASKS[name]
    assert task.attribute in ATTRIBUTE_NAMES
    assert task.mask in {None, *MASKS}


def test_local_tasks_have_masks():
    assert [name for name, task in TASKS.items() if task.local] == [
        "mouth_open", "mouth_close", "glasses_removal",
    ]  # fmt: skip


def test_a_task_can_not_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TASKS["mouth_open"].to = False


@pytest.mark.parametrize("name", ["smile", "", "Mouth_Open"])
def test_an_unknown_task_is_refused(name):
    with pytest.raises(ParameterError, match=f"no task '{name}'; choose one of: mouth_open, mouth"):
        find_task(name)
