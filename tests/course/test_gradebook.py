"""The gradebook's three files."""

import csv
import json

import pytest

from facelab.course import gradebook
from facelab.course.roster import Student

ROSTER = (
    Student("ada", "Ada Lovelace", "ada@example.org", "A"),
    Student("bob", "=HYPERLINK(1)", "+b@example.org", "@b"),
    Student("zoe", "Zoë, née “Li”", "", "-1"),
)


def _grade(earned=(10, 2.5), outcome="ok", notes=()):
    exercises = [
        {"number": "1.1", "title": "1.1 The sum", "points": 10, "earned": earned[0]},
        {"number": "1.2", "title": "1.2 The root", "points": 5, "earned": earned[1]},
    ]
    questions = [{"name": "total", "points": 4, "earned": 4.0}]
    total = sum(earned) + 4
    grade = {"exercises": exercises, "questions": questions, "total": total, "possible": 19}
    return {"student": "x", "outcome": outcome, "notes": list(notes), **grade}


@pytest.fixture
def course(make_assignment):
    assignment, _ = make_assignment(ROSTER, title="=Sums")
    grades = {
        "ada": _grade(),
        "bob": _grade((0, 1.25), "time", ["=cmd()", "cell 3 was\nleft out"]),
    }
    for student, grade in grades.items():
        path = assignment.grade_file(student)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(grade))
    return assignment


def _rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_everybody_has_a_row_with_every_part(course):
    paths = gradebook.write(course)
    assert [path.name for path in paths] == [
        "gradebook.csv",
        "gradebook_canvas.csv",
        "gradebook_moodle.csv",
    ]
    head, ada, bob, zoe = _rows(paths[0])
    assert head == [
        *("id", "name", "email", "section", "1.1", "1.2", "reported total"),
        *("total", "possible", "percent", "outcome", "notes"),
    ]
    assert ada[4:] == ["10", "2.5", "4", "16.5", "19", "86.8", "ok", ""]
    assert bob[4:10] == ["0", "1.25", "4", "5.25", "19", "27.6"]
    assert bob[10:] == ["time", "'=cmd(); cell 3 was left out"]
    assert zoe[1] == "Zoë, née “Li”"
    assert zoe[4:] == ["", "", "", "", "", "", "not graded", ""]


def test_no_cell_is_a_formula(course):
    for path in gradebook.write(course):
        for row in _rows(path):
            assert not [cell for cell in row if cell.startswith(gradebook.FORMULA)], path
    assert _rows(course.folder / "gradebook.csv")[2][1:4] == [
        "'=HYPERLINK(1)",
        "'+b@example.org",
        "'@b",
    ]


def test_canvas_gets_its_columns_and_the_points_possible(course):
    gradebook.write(course)
    head, possible, ada, _, zoe = _rows(course.folder / "gradebook_canvas.csv")
    assert head == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "'=Sums"]
    assert possible == ["    Points Possible", "", "", "", "", "19"]
    assert ada == ["Ada Lovelace", "", "ada", "ada@example.org", "A", "16.5"]
    assert zoe[2:] == ["zoe", "zoe", "'-1", ""]


def test_moodle_gets_its_columns_and_a_comment(course):
    gradebook.write(course)
    head, ada, bob, zoe = _rows(course.folder / "gradebook_moodle.csv")
    assert head == [
        *("Identifier", "Full name", "Email address", "ID number", "Grade", "Feedback comments"),
    ]
    told = "1.1: 10 of 10; 1.2: 2.5 of 5; total: 4 of 4"
    assert ada == ["ada", "Ada Lovelace", "ada@example.org", "ada", "16.5", told]
    assert bob[5].endswith("=cmd(); cell 3 was left out")
    assert zoe[4:] == ["", ""]


def test_the_same_grades_give_the_same_bytes_and_no_grade_is_no_error(course, make_assignment):
    first = [path.read_bytes() for path in gradebook.write(course)]
    assert [path.read_bytes() for path in gradebook.write(course)] == first
    for student in ("ada", "bob"):
        course.grade_file(student).unlink()
    gradebook.write(course)
    rows = _rows(course.folder / "gradebook.csv")
    assert [row[-2] for row in rows[1:]] == ["not graded"] * 3
    assert _rows(course.folder / "gradebook_canvas.csv")[1][-1] == ""
