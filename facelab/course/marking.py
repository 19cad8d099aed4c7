"""Grades a whole course: the right values of its questions first, then each submission.

What a question's value is for a student, the solution tells when it is run at the student's values.
Those runs are kept like the submissions' own, and so are grades: a second call repeats nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import threading
from collections.abc import Sequence
from io import TextIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelab.book import manifest, products
from facelab.course import grading, hearing, likeness, making, record, spreading
from facelab.course.hearing import Bench
from facelab.course.limits import Limits
from facelab.course.record import Assignment
from facelab.course.spreading import Task
from facelab.errors import BookError

if TYPE_CHECKING:
    from facelab.book.manifest import Chapter, Manifest

Json = dict[str, Any]

# The judges' processes that nobody uses now: starting one takes seconds.
_idle: queue.SimpleQueue[Bench] = queue.SimpleQueue()


def grade_all(
    book: Manifest,
    assignment: Assignment,
    ids: Sequence[str],
    limits: Limits,
    isolation: str,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    stream: TextIOBase | None = None,
) -> list[Json]:
    """Grade the submissions of some students, which were run; return the grades, as `ids` go.

    `jobs`, `scheduler` and `stream` are those of `spreading.run_all`. Raises `BookError` for a
    chapter that changed since the assignment was made.
    """
    chapter = of_assignment(book, assignment)
    how = {"jobs": jobs, "scheduler": scheduler, "stream": stream}
    values = key_values(chapter, assignment, ids, limits, isolation, **how)
    fixed = (str(book.path), str(assignment.folder), dataclasses.asdict(limits), str(isolation))
    tasks = [Task(each, grade_submission, (*fixed, each, values.get(each))) for each in ids]
    try:
        told = spreading.spread(tasks, **how)
    finally:
        close_benches()
    return [each["grade"] for each in told]


def close_benches() -> None:
    """End the judges' processes that this one keeps for the next submission."""
    with contextlib.suppress(queue.Empty):
        while True:
            _idle.get_nowait().close()


def of_assignment(book: Manifest, assignment: Assignment) -> Chapter:
    """Return an assignment's chapter; raises `BookError` when it is another one by now."""
    chapter = book.chapter(assignment.chapter)
    if making.digest(chapter) != assignment.sha256:
        raise BookError(
            f"{assignment.chapter} changed since {assignment.folder / record.FILE} was made; grade "
            "with the chapter as it was, or hand it out anew with `facelab assign make --renew`"
        )
    return chapter


def key_values(
    chapter: Chapter,
    assignment: Assignment,
    ids: Sequence[str],
    limits: Limits,
    isolation: str,
    **how: Any,
) -> dict[str, Json]:
    """Return the questions' values for each student: name and number. Empty without questions."""
    if not assignment.questions:
        return {}
    solution = products.product(chapter, "solution")

    def notebook(student_id: str) -> Any:
        return making.notebook_for(assignment, solution, chapter, assignment.student(student_id))

    results = spreading.run_keys(assignment, ids, limits, isolation, notebook=notebook, **how)
    return {each: dict(result["reported"]) for each, result in zip(ids, results, strict=True)}


def grade_submission(
    book: str,
    folder: str,
    limits: Json,
    isolation: str,
    student_id: str,
    values: Json | None,
    *,
    threads: int | None = None,
    stopped: threading.Event | None = None,
) -> Json:
    """Grade one submission, given plain data alone, so that any machine of a cluster can do it.

    The judge's process is kept for the next one.
    """
    if stopped is not None and stopped.is_set():
        raise KeyboardInterrupt
    try:
        bench = _idle.get_nowait()
    except queue.Empty:
        bench = Bench()
    assignment = record.read(Path(folder))
    start = hearing.sandboxed(assignment.folder, isolation, Limits(**limits))
    chapter = manifest.load(Path(book)).chapter(assignment.chapter)
    value = (lambda _, name: values[name]) if values is not None else None
    try:
        grade = grading.grade_one(
            assignment, student_id, chapter, start=start, key_value=value, bench=bench
        )
    finally:
        _idle.put(bench)
    told = f"{grade['total']:g} of {grade['possible']:g} points"
    return {"outcome": "graded", "message": told, "seconds": 0.0, "grade": grade}


def hints(book: Manifest, assignment: Assignment, limits: Limits, isolation: str) -> list[Json]:
    """Return what hints at copying among the submissions that were run."""
    chapter = of_assignment(book, assignment)
    ids = [each.id for each in assignment.students]
    values = key_values(chapter, assignment, ids, limits, isolation)
    value = (lambda student_id, name: values[student_id][name]) if values else None
    return likeness.hints(assignment, chapter, key_value=value)
