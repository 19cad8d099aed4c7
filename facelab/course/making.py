"""Makes an assignment: a notebook for each student, with values of their own.

What a student gets follows from the course key, the student's id and the chapter alone: the same
key gives the same bytes, and a student added later changes nobody else's notebook.
"""

from __future__ import annotations

import copy
import datetime
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from facelab.book import pages, pairing, parameters, products
from facelab.course import record
from facelab.course.record import Assignment
from facelab.course.roster import Student
from facelab.errors import BookError

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from facelab.book.manifest import Chapter, Manifest, Value

SHORTEST_KEY = 8
RULES = """\
- Answer in the cells that end in `return ...`. You may add cells; leave the others as they are.
- Your values are in the cell of parameters. What comes of these is graded, whatever else you try.
- The cells with `.credit(` show the points that open tests give; hidden ones decide on the rest.
- Hand in this one file, under its name.
"""


def make(
    manifest: Manifest,
    slug: str,
    students: Sequence[Student],
    folder: Path,
    *,
    course_key: str,
    profile: str = "quick",
    title: str | None = None,
    due: str | None = None,
    renew: bool = False,
) -> tuple[Assignment, list[Path]]:
    """Write the folder of an assignment; return it and the notebooks that were written or changed.

    In a folder that has this assignment already, students may be added; with `renew` it takes the
    chapter as it is now. Raises `BookError`, before anything is written, for a chapter that isn't
    graded, a short key, another key or assignment than the folder's, or a malformed date.
    """
    chapter = manifest.chapter(slug)
    if not chapter.graded:
        graded = ", ".join(each.slug for each in manifest.chapters if each.graded) or "none"
        raise BookError(f"{slug} has no graded exercises; choose one of: {graded}")
    if len(course_key) < SHORTEST_KEY:
        raise BookError(f"the course key has {len(course_key)} letters; use {SHORTEST_KEY} or more")
    shared = parameters.resolve(chapter, manifest.profile(profile).name, {})
    assignment = Assignment(
        folder=Path(folder).resolve(),
        chapter=slug,
        title=title or chapter.title,
        profile=profile,
        due=_checked_date(due),
        students=tuple(students),
        parameters={each.id: values_of(chapter, course_key, each.id, shared) for each in students},
        questions=chapter.assignment.questions,
        sha256=digest(chapter),
        key_fingerprint=record.fingerprint(course_key),
    )
    if (assignment.folder / record.FILE).exists():
        assignment = _joined(record.read(assignment.folder), assignment, renew)
    template = products.product(chapter, "student")
    written = [
        path
        for each in assignment.students
        for path in _hand_out(assignment, template, chapter, each)
    ]
    record.write(assignment)
    return assignment, written


def digest(chapter: Chapter) -> str:
    """Return the SHA-256 of a chapter's script."""
    return hashlib.sha256(chapter.source.read_bytes()).hexdigest()


def _checked_date(due: str | None) -> str | None:
    if due is not None:
        try:
            datetime.datetime.fromisoformat(due)
        except ValueError:
            raise BookError(
                f"due: expected a date, got {due!r}; write 2027-01-31 or 2027-01-31T18:00"
            ) from None
    return due


def values_of(
    chapter: Chapter, course_key: str, student_id: str, shared: Mapping[str, Value]
) -> dict[str, Value]:
    """Return all values of a student: the profile's, and those drawn for them."""
    key = f"{course_key}\0{chapter.slug}".encode()
    return {**shared, **chapter.assignment.draw(key, student_id)}


def _joined(before: Assignment, now: Assignment, renew: bool) -> Assignment:
    """Return the folder's assignment with the students of `now` added."""
    where = before.folder / record.FILE
    for field, what in (
        ("key_fingerprint", "another course key"),
        ("chapter", "another chapter"),
        ("profile", "another profile"),
    ):
        if getattr(before, field) != getattr(now, field):
            raise BookError(f"{where} was made with {what}; take that, or another folder")
    for field, what in (("sha256", "the chapter"), ("title", "the title"), ("due", "the due date")):
        if getattr(before, field) != getattr(now, field) and not renew:
            raise BookError(
                f"{what} isn't that with which {where} was made; go back to what it was, or "
                "`--renew` to give every student a new notebook"
            )
    gone = {each.id for each in before.students} - {each.id for each in now.students}
    kept = tuple(each for each in before.students if each.id in gone)
    parameters = {each.id: before.parameters[each.id] for each in kept} | dict(now.parameters)
    return replace(now, students=now.students + kept, parameters=parameters)


def _hand_out(
    assignment: Assignment, template: NotebookNode, chapter: Chapter, student: Student
) -> list[Path]:
    path = assignment.release(student.id)
    text = pairing.serialised(notebook_for(assignment, template, chapter, student))
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BookError(
            f"{path.parent} can't be made ({error.strerror}); choose another folder"
        ) from None
    pairing.replace_text(path, text)
    return [path]


def notebook_for(
    assignment: Assignment, template: NotebookNode, chapter: Chapter, student: Student
) -> NotebookNode:
    """Return a student's notebook: cover, the student's values, the chapter, the questions.

    `template` is the chapter's product for students (or its solution) and isn't changed.
    """
    notebook = copy.deepcopy(template)
    values = assignment.parameters[student.id]
    lines = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    for cell in notebook.cells:
        if "parameters" in pairing.tags(cell):
            cell.source = pages.set_values(cell.source, lines)
    asked = list(_questions(assignment))
    notebook.cells = [_cover(assignment, notebook, student), *notebook.cells, *asked]
    products.name_cells(chapter, notebook.cells)
    return notebook


def _cover(assignment: Assignment, notebook: NotebookNode, student: Student) -> NotebookNode:
    from nbformat.v4 import new_markdown_cell

    points = sum(each.points for each in assignment.questions) + sum(
        cell.metadata.get("nbgrader", {}).get("points", 0) for cell in notebook.cells
    )
    values = assignment.parameters[student.id].items()
    rows = [
        ("Student", f"{student.name} ({student.id})"),
        ("Due", (assignment.due or "as your course says").replace("T", " ")),
        ("Points", f"{points:g}"),
        ("Your values", ", ".join(f"`{name} = {value!r}`" for name, value in values)),
    ]
    table = "\n".join(f"| **{name}** | {_in_a_table(text)} |" for name, text in rows)
    cell = new_markdown_cell(
        f"**Assignment: {assignment.title}**\n\n| | |\n|---|---|\n{table}\n\n{RULES.rstrip()}"
    )
    cell.metadata["facelab"] = {"part": "cover"}
    return cell


def _in_a_table(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _questions(assignment: Assignment):
    from nbformat.v4 import new_code_cell, new_markdown_cell

    if not assignment.questions:
        return
    yield new_markdown_cell(
        "## Your measurements\n\nThese are numbers of your own run, at your own values. Give a "
        "number, or the expression that has it."
    )
    for question in assignment.questions:
        worth = f"{question.points} point" + ("" if question.points == 1 else "s")
        yield new_markdown_cell(f"{question.text} *({worth}; within {question.tolerance:g})*")
        cell = new_code_cell(f"reported_{question.name} = ...")
        cell.metadata["facelab"] = {"question": question.name, "part": "answer"}
        grade = products.nbgrader(f"reported-{question.name}", "answer", question.points)
        cell.metadata["nbgrader"] = {**grade, "grade": True, "points": question.points}
        yield cell
