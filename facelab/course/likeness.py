"""Hints that work was copied, for the instructor alone: DIR/likeness.json, never in feedback.

Two signs. Every student has parameters of their own, so that a reported number which is off at
one's own parameters and right at another's may have come from there. And two may have the same
program, names and all, that isn't the published solution. Either can have an innocent reason: a
hint is where to ask, and no proof.
"""

import ast
import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from facelab.book import pairing
from facelab.book.manifest import Chapter
from facelab.book.ranges import Question
from facelab.course import grading, judge
from facelab.course.grading import Read, Submission
from facelab.course.judge import Task
from facelab.course.record import Assignment

FILE = "likeness.json"
NOTE = "Hints where to ask, no proof: each can have an innocent reason."
LEAST_NODES = 60  # of a syntax tree; what is shorter, two people write alike
FEW = 4  # what more students than these share is common knowledge
LONGEST_SOURCE = 20_000

Hint = dict[str, Any]


def hints(
    assignment: Assignment,
    chapter: Chapter,
    *,
    key_value: Callable[[str, str], Any] | None = None,
    read: Read | None = None,
) -> list[Hint]:
    """Return the hints on the submissions that were run: kind, what it is about, students, reason.

    `key_value` and `read` are those of `grading.grade_one`.
    """
    found: list[Hint] = []
    results = {}
    for student in assignment.students:
        result = grading.read_json(assignment.run_folder(student.id) / "result.json")
        if result is not None and result.get("outcome") not in grading.NOTHING_THERE:
            results[student.id] = result
    if key_value is not None:
        for question in assignment.questions:
            found += _values(question, results, key_value)
    submissions = {}
    for student_id in results:
        notebook = (read or grading.read_submission)(assignment.submitted(student_id))
        if not hasattr(notebook, "outcome"):
            given = grading.released(assignment, student_id)
            submissions[student_id] = Submission(given, notebook["cells"])
    for task in judge.read(pairing.read_script(chapter).cells).tasks:
        found += _programs(task, submissions)
    return _named(assignment, found)


def write(assignment: Assignment, found: Iterable[Hint]) -> Path:
    """Write hints to DIR/likeness.json and return that."""
    path = assignment.folder / FILE
    content = {"note": NOTE, "hints": list(found)}
    pairing.replace_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return path


def _named(assignment: Assignment, found: list[Hint]) -> list[Hint]:
    names = {student.id: student.name for student in assignment.students}
    return [{**hint, "names": [names[each] for each in hint["students"]]} for hint in found]


def _values(
    question: Question, results: dict[str, Any], key_value: Callable[[str, str], Any]
) -> Iterator[Hint]:
    """Yield whose number is off at their own parameters, and right at those of a few others."""
    keys = {student: key_value(student, question.name) for student in results}
    band = question.tolerance
    for student, result in results.items():
        reported = (result.get("reported") or {}).get(question.name)
        if not _is_number(reported) or abs(reported - keys[student]) <= band:
            continue
        others = [
            other
            for other, key in keys.items()
            if abs(reported - key) <= band and abs(keys[student] - key) > 2 * band
        ]
        if len(others) >= FEW:
            continue
        for other in others:
            reason = (
                f"reported {reported:.6g} for {question.name}: off at their own parameters, "
                f"within the tolerance of {band:g} at those of {other}"
            )
            yield {
                "kind": "value",
                "about": question.name,
                "students": [student, other],
                "reason": reason,
            }


def _is_number(value: Any) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:
        return False


def _programs(task: Task, submissions: dict[str, Submission]) -> Iterator[Hint]:
    """Yield which students share a program that isn't the published one."""
    published = shape("\n".join(task.solutions), f"{task.answer}_solution", task.answer)
    groups: dict[str, list[str]] = {}
    for student, submission in submissions.items():
        source = submission.source_of(task)
        program = normalised(source)
        if program and shape(source) != published:
            groups.setdefault(program, []).append(student)
    for students in groups.values():
        if 2 <= len(students) <= FEW:
            reason = f"the same program for exercise {task.number}, with the same names"
            about = {"kind": "program", "about": task.number}
            yield {**about, "students": students, "reason": reason}


def normalised(source: str) -> str:
    """Return a program without comments, layout, docstrings and calls of `check`.

    An empty text for one that is too short to tell anything, or isn't Python.
    """
    tree = _tree(source)
    if tree is None or sum(1 for _ in ast.walk(tree)) < LEAST_NODES:
        return ""
    try:
        return ast.dump(tree)
    except RecursionError:
        return ""


def shape(source: str, name: str = "", new_name: str = "") -> str:
    """Return a program with its own names replaced by numbers, in the order they come up.

    `name` counts as `new_name`, as the solution's own name does.
    """
    tree = _tree(source)
    if tree is None:
        return ""
    numbers: dict[str, str] = {}
    for node in ast.walk(tree):
        for field in ("id", "arg", "name"):
            old = getattr(node, field, None)
            if isinstance(old, str):
                old = new_name if old == name else old
                setattr(node, field, numbers.setdefault(old, str(len(numbers))))
    try:
        return ast.dump(tree)
    except RecursionError:
        return ""


def _tree(source: str) -> ast.Module | None:
    """Return a program's syntax tree without docstrings and calls of a method `check`."""
    try:
        tree = ast.parse(source[:LONGEST_SOURCE])
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [each for each in body if not _says_nothing(each)]
    return tree


def _says_nothing(statement: ast.AST) -> bool:
    match statement:
        case ast.Expr(ast.Constant(str())):
            return True
        case ast.Expr(ast.Call(ast.Attribute(ast.Name(), "check" | "credit"))):
            return True
    return False
