"""Grades a submission that was run: each exercise by its tests, each question by its tolerance.

`grade_one` writes DIR/grades/ID.json and skips a submission whose grade still holds. The student's
cells that differ from what was handed out run in the sandbox (answers.py), the tests in a trusted
process (judge.py). Visible tests of all exercises come first and hidden ones after, in processes
that share nothing, so that nothing of a hidden test can get into a message.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import math
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import facelab
from facelab.book import pairing
from facelab.book.exercises import Exercise
from facelab.book.manifest import Chapter
from facelab.book.ranges import Question
from facelab.course import judge
from facelab.course.hearing import Bench, Hearing, Start
from facelab.course.judge import Source, Task
from facelab.course.record import Assignment
from facelab.errors import BookError

NOTHING_THERE = ("missing", "unreadable", "empty")
# The files whose change makes a grade out of date.
CODE = (
    *(f"course/{name}.py" for name in ("answers", "grading", "hearing", "judge", "wire")),
    *("course/wire_code.py", "book/exercises.py", "book/exercise_cells.py"),
)
MODES = ".modes.json"
_told_once = threading.Lock()  # submissions are graded by threads; the solution tells once
PARAMETERS_NOTE = (
    "the cell of parameters was changed or is gone; your answers were graded with your own "
    "parameters, those of your original notebook"
)
WHY = {
    "time": "it took longer than {seconds:g} s and was stopped; look for a loop that doesn't end",
    "ended": "it ended the process that ran it; leave out what exits, or takes too much memory",
}
ALONE = "; answers run with the chapter's imports and parameters and your own cells, nothing else"
UNUSABLE = "what it returned can't be compared; return plain tensors, numbers, text or lists"

Json = dict[str, Any]
KeyValue = Callable[[str, str], Any]
Read = Callable[[Path], Any]


class Submission:
    """A student's notebook beside the one that was handed out: what the student made of it."""

    def __init__(
        self, released: list[Any], cells: list[Any], values: Mapping[str, Any] | None = None
    ) -> None:
        self.values = dict(values or {})
        self.cells = [(n, cell) for n, cell in enumerate(cells, 1) if cell["cell_type"] == "code"]
        given = {_source(cell) for cell in released}
        parameters = {_source(cell) for cell in released if "parameters" in _tags(cell)}
        self.notes = []
        if parameters and not parameters & {_source(cell) for _, cell in self.cells}:
            self.notes.append(PARAMETERS_NOTE)
        self.changed = [
            (number, _source(cell))
            for number, cell in self.cells
            if _source(cell) not in given and "parameters" not in _tags(cell)
        ]

    def state(self, task: Task) -> str:
        """Tell whether an exercise is "answered", as handed out ("unanswered"), or "gone"."""
        if self.number_of(task):
            return "answered"
        defined = any(_defines(task.answer, _source(cell)) for _, cell in self.cells)
        return "unanswered" if defined or self._marked(task) else "gone"

    def number_of(self, task: Task) -> int:
        """Return the number of the cell with the student's answer, 0 for none."""
        marked = {number for number, cell in self.cells if _is_answer(cell, task.number)}
        defining = [n for n, source in self.changed if _defines(task.answer, source)]
        return (defining or [n for n, _ in self.changed if n in marked] or [0])[-1]

    def source_of(self, task: Task) -> str:
        """Return the source of the cell with the student's answer, an empty text for none."""
        return dict(self.changed).get(self.number_of(task), "")

    def _marked(self, task: Task) -> bool:
        return any(_is_answer(cell, task.number) for _, cell in self.cells)


def _source(cell: Any) -> str:
    source = cell.get("source", "")
    return ("".join(source) if isinstance(source, list) else str(source)).rstrip()


def _tags(cell: Any) -> list[Any]:
    tags = _metadata(cell).get("tags")
    return tags if isinstance(tags, list) else []


def _metadata(cell: Any) -> Any:
    found = cell.get("metadata")
    return found if isinstance(found, dict) else {}


def _is_answer(cell: Any, number: str) -> bool:
    mark = _metadata(cell).get("facelab")
    return isinstance(mark, dict) and (mark.get("exercise"), mark.get("part")) == (number, "answer")


def _defines(name: str, source: str) -> bool:
    name = re.escape(name)
    return bool(re.search(rf"^\s*(?:async\s+)?def\s+{name}\s*\(|^{name}\s*=", source, re.MULTILINE))


def grade_one(
    assignment: Assignment,
    student_id: str,
    chapter: Chapter,
    *,
    start: Start,
    key_value: KeyValue | None = None,
    read: Read | None = None,
    bench: Bench | None = None,
) -> Json:
    """Return a student's grade and write it to DIR/grades/ID.json, unless it is there already.

    `start(command, workspace)` starts a process in the sandbox, with pipes for its input and
    output: `hearing.sandboxed` gives one. `key_value(student_id, name)` is a question's value at
    the student's parameters; without it, questions stay open. Raises `BookError` for a submission
    that wasn't run, and for a chapter that can't be judged.
    """
    assignment.student(student_id)
    result = _result(assignment, student_id)
    path = assignment.grade_file(student_id)
    key = _key(assignment, student_id, chapter, [result.get("key"), key_value is None])
    known = read_json(path)
    if known is not None and known.get("key") == key:
        return known
    source = judge.read(pairing.read_script(chapter).cells)
    cells, result, notes = _submitted(assignment, student_id, result, read or read_submission)
    judged = [_entry(task, "unanswered", "there is nothing to grade") for task in source.tasks]
    if cells is not None:
        submission = Submission(
            released(assignment, student_id), cells, assignment.parameters[student_id]
        )
        with contextlib.nullcontext(bench) if bench else Bench() as judging:
            judged, told = _heard(assignment, source, submission, judging, start)
        notes += told
    value = functools.partial(key_value, student_id) if key_value else None
    questions = [_question(each, result, value) for each in assignment.questions]
    grade = {"student": student_id, "key": key, "outcome": result["outcome"]}
    grade |= {"exercises": judged, "questions": questions, **_sums(judged + questions)}
    grade["notes"] = [clean(note) for note in notes]
    _write(path, grade)
    return grade


def _result(assignment: Assignment, student_id: str) -> Json:
    """Return what came of the run; raises `BookError` for none, or one of another file."""
    path = assignment.run_folder(student_id) / "result.json"
    result, submitted = read_json(path), assignment.submitted(student_id)
    remedy = f"run `facelab assign run {assignment.folder}`"
    if result is None or not isinstance(result.get("outcome"), str):
        raise BookError(f"{path} is missing or damaged; {remedy}")
    known = result.get("sha256")
    if submitted.is_file() and known != _sha_of(submitted):
        raise BookError(f"{submitted} isn't the file that was run; {remedy}")
    return result


def read_json(path: Path) -> Json | None:
    """Return what a JSON file of ours holds, None when it is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _write(path: Path, content: Json) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pairing.replace_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _sha_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _sha(parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


@functools.cache
def _code() -> str:
    root = Path(facelab.__file__).parent
    return _sha([facelab.__version__, *(_sha_of(root / name) for name in CODE)])


def _key(assignment: Assignment, student_id: str, chapter: Chapter, more: list[Any]) -> str:
    """Return what a grade depends on; another key makes it out of date."""
    submitted, source = assignment.submitted(student_id), chapter.source
    parts = [_sha_of(submitted), _sha_of(source), _code(), *more]
    asked = [dataclasses.asdict(question) for question in assignment.questions]
    return _sha([parts, dict(assignment.parameters[student_id]), asked])


def read_submission(path: Path) -> Any:
    """Return a submission as a notebook, or a refusal with `outcome` and `message`."""
    from facelab.course import submissions

    return submissions.read(path)


def _submitted(
    assignment: Assignment, student_id: str, result: Json, read: Read
) -> tuple[list[Any] | None, Json, list[str]]:
    """Return a submission's cells, or None where nothing can be graded; its result; notes."""
    cells, message = None, result.get("message")
    if result["outcome"] not in NOTHING_THERE:
        found = read(assignment.submitted(student_id))
        if hasattr(found, "outcome"):
            message = found.message
            result = {**result, "outcome": found.outcome, "reported": {}}
        else:
            cells = found["cells"]
    return cells, result, [message] if message and result["outcome"] != "ok" else []


def released(assignment: Assignment, student_id: str) -> list[Any]:
    """Return the cells that a student was handed out; raises `BookError` for a damaged file."""
    path = assignment.release(student_id)
    notebook = read_json(path)
    if notebook is None:
        raise BookError(f"{path} is missing or damaged; make the assignment again")
    return notebook["cells"]


def _modes(
    assignment: Assignment, source: Source, bench: Bench, start: Start
) -> dict[str, dict[str, Any]]:
    """Return for each exercise how it is judged, and what its hidden tests are about.

    The published solution tells, once for a chapter: DIR/grades/.modes.json keeps it. Raises
    `BookError` for an exercise whose solution fails.
    """
    path = assignment.folder / "grades" / MODES
    key = _sha([dataclasses.asdict(source), _code()])
    with _told_once:
        known = read_json(path)
        if known is None or known.get("key") != key:
            known = {"key": key, "modes": _told_modes(assignment, source, bench, start)}
            _write(path, known)
    return known["modes"]


def _told_modes(
    assignment: Assignment, source: Source, bench: Bench, start: Start
) -> dict[str, dict[str, Any]]:
    modes: dict[str, dict[str, Any]] = {}
    left, report = [task.number for task in source.tasks], {}
    values = dict(next(iter(assignment.parameters.values())))
    cells = list(enumerate((task.solved for task in source.tasks), 1))
    for mode in ("apart", "together"):
        with Hearing(bench, start, source, values, cells) as hearing:
            kinds = dict.fromkeys(left, mode)
            report = hearing.phase("visible", left, kinds)
            right = [number for number in left if report[number].get("state") == "right"]
            for number, found in hearing.phase("hidden", right, kinds).items():
                passed = found.get("hidden", [False])
                if all(passed) and len(passed) == len(found["about"]):
                    modes[number] = {"mode": mode, "about": found["about"]}
        left = [number for number in left if number not in modes]
    if left:
        told = report[left[0]].get("message", "")
        raise BookError(
            f"exercise {left[0]}: the published solution fails where nothing of the chapter is but "
            f"its imports and parameters; make the tests use these alone: {told}"
        )
    return modes


def _heard(
    assignment: Assignment, source: Source, submission: Submission, bench: Bench, start: Start
) -> tuple[list[Json], list[str]]:
    """Return a submission's exercises, judged, and what else its student should know."""
    modes = _modes(assignment, source, bench, start)
    with Hearing(bench, start, source, submission.values, submission.changed) as hearing:
        judged = _exercises(source, submission, hearing, modes)
    return judged, submission.notes + _skipped(hearing)


def _exercises(
    source: Source, submission: Submission, hearing: Hearing, modes: dict[str, Json]
) -> list[Json]:
    """Judge a submission's exercises: the visible tests of all, then the hidden ones."""
    kinds = {number: each["mode"] for number, each in modes.items()}
    answered = [t.number for t in source.tasks if submission.state(t) == "answered"]
    visible = hearing.phase("visible", answered, kinds)
    right = [n for n in answered if visible[n].get("state") == "right" and modes[n]["about"]]
    hidden = hearing.phase("hidden", right, kinds)
    entries = []
    for task in source.tasks:
        state, message = _told(task, submission, hearing, visible.get(task.number))
        entry = _entry(task, state, message, mode=kinds[task.number])
        if state == "right":
            about = modes[task.number]["about"]
            passed = hidden.get(task.number, {}).get("hidden", [])
            passed = passed if len(passed) == len(about) else [False] * len(about)
            pairs = zip(about, passed, strict=True)
            entry["hidden"] = [{"about": one, "passed": ok} for one, ok in pairs]
            exercise = Exercise(task.title, print, points=task.points)
            entry["earned"] = exercise.earned(True, passed)
        entries.append(entry)
    return entries


def _entry(task: Task, state: str, message: str, mode: str = "apart") -> Json:
    """Return an exercise's part of a grade, with nothing earned yet."""
    entry = {"number": task.number, "title": task.title, "points": task.points, "earned": 0.0}
    return {**entry, "visible": state, "message": clean(message), "hidden": [], "mode": mode}


def _told(
    task: Task, submission: Submission, hearing: Hearing, report: Json | None
) -> tuple[str, str]:
    """Return the state of an exercise and what its student is told."""
    number, where = task.number, submission.number_of(task)
    state = submission.state(task) if report is None else report.get("state", "silent")
    if state == "gone":
        return state, f"the cell of exercise {number} is gone; take it from your original notebook"
    if state == "silent":
        why = WHY.get(report.get("why", ""), UNUSABLE)
        return state, f"{task.title}: {why.format(seconds=judge.EXERCISE_S)}"
    if state == "absent":
        errors = [each["text"] for each in hearing.errors if each["cell"] == where]
        stopped = f"your cell {where} stops with {errors[0]}" if errors else ""
        if where in hearing.skipped:
            stopped = f"your cell {where} doesn't end by itself"
        return "wrong", f"{task.title}: {stopped or f'cell {where} does not define {task.answer}'}"
    if state == "unanswered":
        return state, f"{task.title}: not answered yet."
    alone = ALONE if "raised NameError" in report.get("message", "") else ""
    return state, report.get("message", "") + alone


def _skipped(hearing: Hearing) -> list[str]:
    return [
        f"cell {number} was left out when your answers were tested: "
        + ("it doesn't end" if why == "time" else "it ended the process that ran it")
        for number, why in sorted(hearing.skipped.items())
    ]


def _question(question: Question, result: Json, value: Callable[[str], Any] | None) -> Json:
    """Return a question's part of a grade: all points within the tolerance, half within twice."""
    reported = (result.get("reported") or {}).get(question.name)
    share, state = 0.0, "wrong"
    message = f"further off than the tolerance of {question.tolerance:g}"
    if reported is None:
        state = "missing"
        message = f"no value was reported; assign reported_{question.name} in its cell"
    elif value is None:
        state, message = "open", "not graded yet"
    elif not isinstance(reported, bool | int | float):
        message = "not a number; report a number"
    else:
        share = _share(reported, value(question.name), question.tolerance)
        if share == 1:
            state, message = "right", f"within the tolerance of {question.tolerance:g}"
        elif share:
            state, message = "half", f"{message}, and within twice of it: half the points"
    if not _is_plain(reported):
        reported = clean(str(reported))[:100]
    return {
        "name": question.name,
        "text": question.text,
        "points": question.points,
        "earned": round(question.points * share, 2),
        "reported": reported,
        "state": state,
        "message": message,
    }


def _is_plain(value: Any) -> bool:
    """Tell whether a reported value is none or a number that JSON can write."""
    return (
        value is None
        or isinstance(value, int)
        or (isinstance(value, float) and math.isfinite(value))
    )


def _share(reported: float, value: float, tolerance: float) -> float:
    slack = 1e-9 * tolerance + 1e-12  # a value on the band's edge is within, however it is rounded
    try:
        off = abs(float(reported) - float(value))
    except OverflowError:
        return 0.0
    if not math.isfinite(off):
        return 0.0
    return 1.0 if off <= tolerance + slack else 0.5 if off <= 2 * tolerance + slack else 0.0


def _sums(graded: list[Json]) -> Json:
    return {
        "total": round(sum(each["earned"] for each in graded), 2),
        "possible": round(sum(each["points"] for each in graded), 2),
    }


def clean(text: str) -> str:
    """Return a student's text with what can't be written or shown replaced."""
    kept = "".join(one if one.isprintable() or one in "\n\t" else "\ufffd" for one in text)
    return kept.encode("utf-8", "replace").decode()
