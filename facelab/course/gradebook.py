"""The gradebook of an assignment as CSV: our own with everything, and what Canvas and Moodle take.

Every student of the roster has a row, in the roster's order, graded or not. A text that a
spreadsheet would take for a formula gets an apostrophe before it.
"""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from facelab.book.pairing import replace_text
from facelab.course.grading import read_json
from facelab.course.record import Assignment
from facelab.course.roster import Student

FORMULA = ("=", "+", "-", "@", "\t", "\r")
FILE, CANVAS, MOODLE = "gradebook.csv", "gradebook_canvas.csv", "gradebook_moodle.csv"

Grade = dict[str, Any]
Row = list[Any]


def write(assignment: Assignment) -> list[Path]:
    """Write the three gradebooks from the grades that there are, and return them."""
    grades = {each.id: read_json(assignment.grade_file(each.id)) for each in assignment.students}
    known = [grade for grade in grades.values() if grade is not None]
    rows = [(student, grades[student.id]) for student in assignment.students]
    tables = {
        FILE: _own(rows, known),
        CANVAS: _canvas(assignment.title, rows, known),
        MOODLE: _moodle(rows),
    }
    for name, table in tables.items():
        replace_text(assignment.folder / name, _text(table))
    return [assignment.folder / name for name in tables]


def _text(table: Iterable[Row]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([_cell(value) for value in row] for row in table)
    return out.getvalue()


def _cell(value: Any) -> str:
    """Return a cell's text; numbers as short as they are."""
    if isinstance(value, int | float):
        return f"{value:.10g}"
    text = "" if value is None else str(value).replace("\n", " ")
    return f"'{text}" if text.startswith(FORMULA) else text


def _possible(known: list[Grade]) -> float | None:
    return max((grade["possible"] for grade in known), default=None)


def _own(rows: list[tuple[Student, Grade | None]], known: list[Grade]) -> list[Row]:
    exercises = list(dict.fromkeys(each["number"] for one in known for each in one["exercises"]))
    questions = list(dict.fromkeys(each["name"] for one in known for each in one["questions"]))
    asked_for = [f"reported {name}" for name in questions]  # a question may be called "total"
    head = ["id", "name", "email", "section", *exercises, *asked_for]
    table = [[*head, "total", "possible", "percent", "outcome", "notes"]]
    for student, grade in rows:
        row = [student.id, student.name, student.email, student.section]
        if grade is None:
            row += [None] * (len(exercises) + len(questions) + 3) + ["not graded", ""]
            table.append(row)
            continue
        earned = {each["number"]: each["earned"] for each in grade["exercises"]}
        asked = {each["name"]: each["earned"] for each in grade["questions"]}
        total, possible = grade["total"], grade["possible"]
        percent = round(100 * total / possible, 1) if possible else None
        row += [earned.get(number) for number in exercises] + [asked.get(n) for n in questions]
        row += [total, possible, percent, grade["outcome"], "; ".join(grade["notes"])]
        table.append(row)
    return table


def _canvas(title: str, rows: list[tuple[Student, Grade | None]], known: list[Grade]) -> list[Row]:
    """Canvas finds students by the SIS ids; an assignment it doesn't know is made anew."""
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", title]
    table = [head, ["    Points Possible", "", "", "", "", _possible(known)]]
    for student, grade in rows:
        login = student.email or student.id
        total = grade["total"] if grade is not None else None
        table.append([student.name, "", student.id, login, student.section, total])
    return table


def _moodle(rows: list[tuple[Student, Grade | None]]) -> list[Row]:
    """Moodle finds students by any of the first columns, whichever is chosen at the import."""
    table: list[Row] = [
        ["Identifier", "Full name", "Email address", "ID number", "Grade", "Feedback comments"]
    ]
    for student, grade in rows:
        row = [student.id, student.name, student.email, student.id]
        told = ["", ""] if grade is None else [grade["total"], _comment(grade)]
        table.append(row + told)
    return table


def _comment(grade: Grade) -> str:
    parts = [
        f"{each.get('number') or each['name']}: {each['earned']:g} of {each['points']:g}"
        for each in [*grade["exercises"], *grade["questions"]]
    ]
    return "; ".join([*parts, *grade["notes"]])
