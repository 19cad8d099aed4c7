"""A course's roster: a CSV file with a row for each student.

Needed are `id` and `name`; `email` and `section` are taken when they are there. The headings of
Moodle's and Canvas' exports are understood too. An id becomes the name of files and folders.
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from facelab.errors import BookError

SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
# What common systems call the columns, in small letters.
HEADINGS = {
    "id": ("id", "id number", "sis user id", "student id", "username"),
    "name": ("name", "student", "full name"),
    "email": ("email", "email address", "e-mail", "sis login id"),
    "section": ("section", "group"),
}
FIRST, LAST = ("first name", "given name"), ("surname", "last name", "family name")
RESERVED = {"con", "prn", "aux", "nul", "keys"}


@dataclass(frozen=True)
class Student:
    """One row: `id` is safe as a file's name."""

    id: str
    name: str
    email: str = ""
    section: str = ""


def read(path: Path) -> tuple[Student, ...]:
    """Return the students of a roster, in its order.

    Raises `BookError`, with the line, for a missing file or column, an unsafe id, and an id that
    is there twice (letters' case set aside, as some file systems do).
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True, strict=True))
    except FileNotFoundError:
        raise BookError(f"{path} is missing; give a CSV file with the columns id,name") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise BookError(f"{path}: expected CSV in UTF-8 ({error}); save the table so") from None
    if not rows:
        raise BookError(f"{path} has no student; write a line id,name and a line for each student")
    columns = {heading.strip().lower(): heading for heading in rows[0] if heading}
    students: dict[str, Student] = {}
    for line, row in enumerate(rows, start=2):
        student = _student(f"{path}:{line}", row, columns)
        if student.id.lower() in students:
            raise BookError(f"{path}:{line}: the id {student.id!r} is there twice; keep one line")
        students[student.id.lower()] = student
    return tuple(students.values())


def _student(where: str, row: dict, columns: dict[str, str]) -> Student:
    values = {field: _value(row, columns, headings) for field, headings in HEADINGS.items()}
    if values["id"] is None:
        known = ", ".join(columns) or "none"
        raise BookError(f"{where}: no column id; the first line has: {known}; write id,name there")
    if values["name"] is None:
        parts = (_value(row, columns, FIRST), _value(row, columns, LAST))
        values["name"] = " ".join(filter(None, parts))
    if not SAFE.fullmatch(values["id"]) or values["id"].lower() in RESERVED:
        raise BookError(
            f"{where}: the id {values['id']!r} can't name a file; use up to 64 of letters, digits, "
            "and . _ @ - after the first"
        )
    return Student(
        values["id"], values["name"] or values["id"], values["email"] or "", values["section"] or ""
    )


def _value(row: dict, columns: dict[str, str], headings: Iterable[str]) -> str | None:
    """Return a row's value in the first of the columns that there is, None without one."""
    for heading in headings:
        if heading in columns:
            return (row[columns[heading]] or "").strip()
    return None
