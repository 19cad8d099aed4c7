import tomllib

import pytest

from facelab.book import ranges
from facelab.book.toml_tables import Table, located
from facelab.errors import ManifestError

GOOD = """\
[assignment.seed]
from = 1
to = 9999
[assignment.weight]
from = 0.5
to = 1.5
step = 0.25
[assignment.task]
choices = ["smile", "glasses"]

[[question]]
name = "gap"
text = "How far apart are they?"
value = "float(gap.mean())"
tolerance = 0.01
points = 2
claim = "ganid.table1"
"""
KEY = b"a course"


def _read(text):
    table = Table(tomllib.loads(text), "chapter", "book.toml", located(text))
    return ranges.read(table, {"ganid.table1": {}})


def test_ranges_and_questions_are_read():
    plan = _read(GOOD)
    seed, weight, task = plan.ranges
    assert (len(seed.values), seed.values[0], seed.values[-1]) == (9999, 1, 9999)
    assert weight.values == (0.5, 0.75, 1.0, 1.25, 1.5)
    assert task.values == ("smile", "glasses")
    assert plan.questions == (
        ranges.Question(
            "gap", "How far apart are they?", "float(gap.mean())", 0.01, 2, "ganid.table1"
        ),
    )


def test_a_draw_depends_on_key_student_and_parameter_alone():
    plan = _read(GOOD)
    first = plan.draw(KEY, "ada")
    assert first == _read(GOOD).draw(KEY, "ada")
    assert first != plan.draw(KEY, "bob")
    assert first != plan.draw(b"another course", "ada")
    fewer = _read(GOOD[GOOD.index("[assignment.weight]") :])
    assert {name: first[name] for name in ("weight", "task")} == fewer.draw(KEY, "ada")


def test_draws_are_spread_over_the_range():
    plan = _read(GOOD)
    drawn = [plan.draw(KEY, f"student {number}") for number in range(2000)]
    counts = {
        value: sum(one["weight"] == value for one in drawn) for value in (0.5, 0.75, 1, 1.25, 1.5)
    }
    assert sum(counts.values()) == 2000
    # Five equal shares of 2,000: the standard deviation of a count is 17.9.
    assert all(abs(count - 400) < 90 for count in counts.values())
    assert len({one["seed"] for one in drawn}) > 1700  # of 9,999; 1,812 are expected


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("to = 9999", "to = 0", "book.toml:3: .*seed: to: expected a number above `from`, got 0"),
        ("step = 0.25", "step = 0", "weight: step: expected a number above 0"),
        ('["smile", "glasses"]', '["smile"]', "task: choices: expected two values or more"),
        ('["smile", "glasses"]', '["smile", 1]', "task: choices: expected two values or more"),
        ("from = 1", "form = 1", "seed: form: unknown key; did you mean from"),
        ("float(gap.mean())", "float(", 'question "gap": value: expected an expression'),
        ("tolerance = 0.01", "tolerance = -1", "tolerance: expected 0 or a number above"),
        ("points = 2", "points = 1.5", "points: expected a whole number above 0"),
        ("ganid.table1", "ganid.table9", "claim: expected the id of a claim"),
        ('"gap"', '"the gap"', "name: expected a Python name"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(old, new, message):
    with pytest.raises(ManifestError, match=message):
        _read(GOOD.replace(old, new, 1))


def test_a_question_may_not_be_there_twice():
    with pytest.raises(ManifestError, match='"gap" is taken'):
        _read(GOOD + GOOD[GOOD.index("[[question]]") :])
