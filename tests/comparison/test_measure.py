"""Rows in numbers: known contestants get known values, and who saw a judge is marked."""

import dataclasses
import itertools
import json

import pytest
import torch

from facelab.comparison import judging, measure
from facelab.comparison.baselines import baselines
from facelab.comparison.cases import Pool, Task, make_case
from facelab.comparison.measure import Measuring, compare, table, timed, was_seen
from facelab.errors import ImageError, ParameterError
from facelab.methods.diat.tasks import find_task
from facelab.recognition.face_reading import read_faces
from facelab.recognition.pictures import template_of_size

OPEN, PERSON = Task(find_task("mouth_open")), Task()
COPY, OTHER, RANDOM, DRAWN = "copy", "copy of the other person", "random", "drawn"


@pytest.fixture(params=[OPEN, PERSON], ids=["attribute", "person"])
def case(pool, request):
    return make_case(pool, request.param, 6)


def told(case, judges, *contestants):
    return table(case, contestants, judges, replicates=20)


# --- baselines -----------------------------------------------------------------------------------


def test_a_copy_keeps_pose_landmarks_and_what_a_picture_tells(pool, judges):
    rows = told(make_case(pool, PERSON, 6), judges, *baselines([]))["rows"]
    for name in ("landmarks", "pose"):
        assert rows[COPY][name]["value"] == 0
        assert rows[OTHER][name]["value"] > 0
    assert rows[COPY]["attribute"]["value"] == 1
    assert rows[COPY]["milliseconds"] is None


def test_who_is_the_other_person_says_identity(pool, judges):
    rows = told(make_case(pool, PERSON, 6), judges, *baselines([]))["rows"]
    for one in ("first", "second"):
        assert rows[OTHER][f"same person {one}"]["value"] == 1
        others = [rows[name][f"identity {one}"]["value"] for name in (COPY, RANDOM)]
        assert rows[OTHER][f"identity {one}"]["value"] > max(others) + 0.3


def test_to_change_an_attribute_a_copy_keeps_the_person(pool, judges):
    rows = told(make_case(pool, OPEN, 6), judges, *baselines([]))["rows"]
    assert rows[COPY]["same person first"]["value"] == 1
    assert rows[OTHER] == {"cannot": "the person shall stay"}
    assert rows[DRAWN] == {"cannot": "nothing says which picture is right"}


def test_identity_is_the_mean_cosine_with_pictures_of_the_person(pool, judges):
    case = make_case(pool, OPEN, 6)
    before, after, gallery = (
        judging.see(x, judges) for x in (case.faces, case.others, case.gallery)
    )
    found = judging.per_row(case, before, after, gallery, judges)["identity first"][1]
    codes, known = after.embeddings["first"], gallery.embeddings["first"]
    for row, value in enumerate(found.tolist()):
        cosines = [float(codes[row] @ known[g]) for g in torch.nonzero(case.owners == row)[:, 0]]
        assert len(cosines) == 2
        assert value == pytest.approx(sum(cosines) / 2, abs=1e-6)


def test_random_is_the_strangers(pool, judges):
    case = make_case(pool, OPEN, 6)
    found = Measuring(case, judges, replicates=20)
    row, _ = found.row(baselines([])[2])
    codes = read_faces(case.strangers, judges.embedders[0], judges.points).embeddings
    own = read_faces(case.gallery, judges.embedders[0], judges.points).embeddings
    cosines = torch.stack([(codes[i] * own[case.owners == i]).sum(1).mean() for i in range(6)])
    assert row["identity first"]["value"] == pytest.approx(float(cosines.mean()), abs=1e-6)


def test_a_copy_goes_through_each_framing_that_methods_have(pool, judges, known):
    smaller = known(template=template_of_size("book64", 32))
    rows = baselines([known(), smaller])
    assert [row.name for row in rows[:2]] == [COPY, "copy, book64 of 32 pixels"]
    found = told(make_case(pool, OPEN, 6), judges, *rows)["rows"]
    assert found[COPY]["landmarks"]["value"] == 0
    assert found["copy, book64 of 32 pixels"]["landmarks"]["value"] > 0
    assert found["copy, book64 of 32 pixels"]["framing"] == "book64, 32 pixels"


# --- methods -------------------------------------------------------------------------------------


def test_a_table_row_is_the_answer_at_strength_one(case, judges, known):
    found = told(case, judges, known())
    row, curve = found["rows"]["known"], found["curves"]["known"]
    assert curve["strengths"] == [0.0, 0.5, 1.0]
    assert curve["knob"] == "how much of the other"
    for name in ("attribute", "identity first", "identity second"):
        assert [point["unit"] for point in curve[name]] == [row[name]["unit"]] * 3
        assert curve[name][2] == row[name]
    apart = [point["value"] for point in curve["identity first"]]
    pairs = list(itertools.pairwise(apart))
    assert all(a < b if case.task.change is None else a > b for a, b in pairs)


def test_who_was_seen_is_marked(case, judges, known):
    row = told(case, judges, known())["rows"]["known"]
    for column in ("identity", "same person"):
        assert not row[f"{column} first"]["seen"]
        assert row[f"{column} second"]["seen"]
    assert row["diversity"]["seen"]
    assert not row["distance to photo-like faces"]["seen"]


def test_a_stage_of_a_network_was_seen_with_it():
    assert was_seen("dlib-stage4", ["dlib"])
    assert was_seen("dlib", ["faceres", "dlib"])
    assert not was_seen("faceres", ["dlib"])


def test_who_has_one_answer_has_no_curve(case, judges, known):
    assert told(case, judges, known(strengths=(1.0,)))["curves"] == {}


def test_who_refuses_has_a_reason_and_no_number(case, judges, known):
    found = told(case, judges, known(refuses="no hands"))
    assert found["rows"]["known"] == {"cannot": "no hands"}
    assert found["curves"] == {}


def test_another_number_of_pictures_is_an_error(case, judges, known):
    with pytest.raises(ImageError, match="known made 5 pictures of 6 faces"):
        told(case, judges, known(lost=1))


def test_intervals_hold_their_value_and_need_five_people(pool, judges, known, patterns):
    case = make_case(pool, OPEN, 6)
    one = table(case, [known()], judges, replicates=200)["rows"]["known"]["identity first"]
    assert one["interval"]["low"] < one["value"] < one["interval"]["high"]
    few = make_case(Pool.of(patterns(), 4), OPEN, 4)
    assert told(few, judges, known())["rows"]["known"]["identity first"]["interval"] is None


def test_a_record_is_json_with_costs_by_task(pool, judges, known):
    cases = [make_case(pool, task, 6) for task in (OPEN, PERSON)]
    asked = []
    found = compare(cases, [known()], baselines([]), judges, replicates=20, progress=asked.append)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert list(found["tasks"]) == list(found["methods"]["known"]) == ["attribute", "person"]
    cost = found["methods"]["known"]["person"]
    assert (cost["trained"], cost["needed"], cost["training_minutes"]) == (2, 3, 1.5)
    assert cost["embedders seen"] == ["second"]
    assert found["judges"]["identity"]["first"] == {"same person below": 0.5}
    assert asked == ["known", COPY, OTHER, RANDOM, DRAWN] * 2
    assert found["tasks"]["attribute"]["change"] == "mouth_open"
    assert found["tasks"]["person"]["gallery"] == {"pictures": 12, "given to nobody": True}


# --- judging -------------------------------------------------------------------------------------


def sees(*has):
    """What judges saw, of which the attributes count."""
    none = torch.zeros(len(has), 68, 2)
    return judging.Seen({}, none[:, :3, 0], none, torch.tensor(has))


def test_an_attribute_is_as_it_was_asked_for(pool):
    names, case = ("Male", "Mouth_Slightly_Open"), make_case(pool, OPEN, 2)
    before, after = sees([True, False], [True, False]), sees([False, True], [True, False])
    assert judging.attribute_kept(case, before, after, names).tolist() == [1, 0]
    closed = dataclasses.replace(case, task=Task(find_task("mouth_close")))
    assert judging.attribute_kept(closed, before, after, names).tolist() == [0, 1]


def test_of_another_person_what_a_picture_tells_is_compared(pool):
    names, case = (*judging.OF_THE_PICTURE, "Male"), make_case(pool, PERSON, 2)
    before = sees([True, True, False, False, True], [False] * 5)
    after = sees([True, False, False, True, False], [False] * 4 + [True])
    assert judging.attribute_kept(case, before, after, names).tolist() == [0.5, 1]


def test_an_attribute_that_the_judge_does_not_know_is_told(pool):
    case = make_case(pool, OPEN, 2)
    with pytest.raises(ParameterError, match="does not know Mouth_Slightly_Open"):
        judging.attribute_kept(case, sees([True]), sees([True]), ("Male",))


def test_what_is_quick_is_timed_again(monkeypatch):
    clock = iter([0.0, 1.0, 5.0, 5.5, 7.0, 7.8])
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))
    assert timed(lambda: float) == (float, 0.5)
    slow = iter([0.0, 9.0])
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(slow))
    assert timed(lambda: float) == (float, 9.0)
