"""Grades of a tiny course's submissions, with a plain process in place of the sandbox."""

import hashlib
import json
import os
import subprocess
import types

import nbformat
import psutil
import pytest

from facelab.course import grading, hearing, sandbox
from facelab.course.hearing import Bench
from facelab.errors import BookError

ADD = 'def add(numbers):\n    """The sum."""\n    return sum(numbers)\n\n\nadding.check(add)'
ROOT = "def root(numbers):\n    return math.sqrt(add(numbers))\n\n\nrooting.check(root)"
SECRETS = ("SECRET", "3133731337", "3133731342", "40900", "40000")


def start(command, workspace):
    """Start a process as a sandbox would, without one."""
    return subprocess.Popen(
        command,
        cwd=workspace,
        env=dict(os.environ) | {"HOME": str(workspace), "TMPDIR": str(workspace)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def read(path):
    return nbformat.read(path, as_version=4)


@pytest.fixture(scope="module")
def bench():
    with Bench() as bench:
        yield bench


class Course:
    """The tiny course with what a student does: answer, add cells, delete, hand in."""

    def __init__(self, assignment, chapter, bench):
        self.assignment = assignment
        self.chapter = chapter
        self.bench = bench
        self.starts = 0

    def notebook(self, student="ada"):
        return read(self.assignment.release(student))

    def answered(self, add=ADD, root=ROOT, student="ada"):
        notebook = self.notebook(student)
        for number, source in (("1.1", add), ("1.2", root)):
            if source is not None:
                answer_cell(notebook, number).source = source
        return notebook

    def hand_in(self, notebook, student="ada", **result):
        path = self.assignment.submitted(student)
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
        self.ran(student, **result)

    def ran(self, student="ada", **result):
        path = self.assignment.submitted(student)
        sha = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None
        found = {"outcome": "ok", "message": "", "sha256": sha, "key": "k", "reported": {}}
        folder = self.assignment.run_folder(student)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").write_text(json.dumps(found | result))

    def _start(self, command, workspace):
        self.starts += 1
        return start(command, workspace)

    def grade(self, student="ada", **options):
        return grading.grade_one(
            self.assignment,
            student,
            self.chapter,
            **{"start": self._start, "read": read, "bench": self.bench, **options},
        )

    def of(self, add=ADD, root=ROOT, **result):
        self.hand_in(self.answered(add, root), **result)
        return self.grade()


def answer_cell(notebook, number):
    wanted = {"exercise": number, "part": "answer"}
    return next(cell for cell in notebook.cells if cell.metadata.get("facelab") == wanted)


@pytest.fixture
def course(make_assignment, tiny_book, bench):
    assignment, _ = make_assignment()
    return Course(assignment, tiny_book.chapter("01_sums"), bench)


def test_a_perfect_submission_gets_all_points(course):
    grade = course.of(reported={"total": 7.5})
    assert [(each["visible"], each["earned"]) for each in grade["exercises"]] == [
        ("right", 10),
        ("right", 5),
    ]
    assert grade["exercises"][0]["hidden"] == [
        {"about": "no numbers at all", "passed": True},
        {"about": "other numbers", "passed": True},
    ]
    assert [each["mode"] for each in grade["exercises"]] == ["apart", "apart"]
    assert grade["questions"][0]["state"] == "open"
    assert (grade["total"], grade["possible"], grade["notes"]) == (15, 19, [])
    assert grade["student"] == "ada"
    assert json.loads(course.assignment.grade_file("ada").read_text()) == grade


def test_a_wrong_answer_gets_nothing_and_is_told_why(course):
    grade = course.of(add="def add(numbers):\n    return len(numbers)")
    first, second = grade["exercises"]
    assert (first["visible"], first["earned"], first["hidden"]) == ("wrong", 0, [])
    assert first["message"] == "1.1 The sum: 3 is how many they are; add them"
    assert second["visible"] == "wrong"


def test_an_answer_made_for_the_visible_test_gets_its_share_alone(course):
    first = course.of(add="def add(numbers):\n    return 6", root=None)["exercises"][0]
    assert (first["visible"], first["earned"]) == ("right", 6)
    assert [each["passed"] for each in first["hidden"]] == [False, False]
    partly = "def add(numbers):\n    return 6 if len(numbers) else 0"
    assert course.of(add=partly, root=None)["exercises"][0]["earned"] == 8


def test_stubs_are_not_answered_yet(course):
    course.hand_in(course.notebook())
    grade = course.grade()
    assert [each["visible"] for each in grade["exercises"]] == ["unanswered"] * 2
    assert grade["exercises"][0]["message"] == "1.1 The sum: not answered yet."
    assert course.starts == 1  # for the solution; there is nothing of the student's to run
    assert grade["total"] == 0


def test_an_edited_stub_is_not_answered_yet(course):
    stub = 'def add(numbers):\n    """Later."""\n    return ...'
    assert course.of(add=stub)["exercises"][0]["visible"] == "unanswered"


def test_a_deleted_answer_is_told_to_be_gone(course):
    notebook = course.answered()
    notebook.cells.remove(answer_cell(notebook, "1.1"))
    course.hand_in(notebook)
    first, second = course.grade()["exercises"]
    assert (first["visible"], first["earned"]) == ("gone", 0)
    assert first["message"] == (
        "the cell of exercise 1.1 is gone; take it from your original notebook"
    )
    assert "name 'add' is not defined; answers run with the chapter's" in second["message"]


def test_cells_in_another_order_and_without_metadata_are_found(course):
    notebook = course.answered()
    notebook.cells.reverse()
    for cell in notebook.cells:
        cell.metadata.clear()
    course.hand_in(notebook)
    assert course.grade()["total"] == 15


def test_helpers_and_imports_in_cells_of_ones_own_work(course):
    notebook = course.answered(
        add="def add(numbers):\n    return functools.reduce(_plus, numbers, 0)"
    )
    cell = nbformat.v4.new_code_cell("import functools\n\n\ndef _plus(a, b):\n    return a + b")
    notebook.cells.append(cell)
    course.hand_in(notebook)
    assert course.grade()["total"] == 15


def test_edited_parameters_and_tests_have_no_say_and_a_note_tells(course):
    notebook = course.answered(add="def add(numbers):\n    return 6 if start < 0 else 5", root=None)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = "count = 10\nstart = -5"
        if "def _adds(" in cell.source:
            cell.source = "adding = Exercise('1.1 The sum', print, 3, 100)"
    course.hand_in(notebook)
    grade = course.grade()
    assert grade["exercises"][0]["message"] == "1.1 The sum: expected 1 + 2 + 3 = 6, got 5"
    assert grade["exercises"][0]["points"] == 10
    assert grade["notes"] == [grading.PARAMETERS_NOTE]


def test_a_cell_that_does_not_define_its_answer_is_named(course):
    first = course.of(add="def add(numbers):\n    return sum(numbers")["exercises"][0]
    assert first["visible"] == "wrong"
    assert "stops with SyntaxError: '(' was never closed (line 2)" in first["message"]
    first = course.of(add="def adds(numbers):\n    return 6")["exercises"][0]
    assert first["message"].endswith("does not define add")


@pytest.mark.parametrize(
    ("body", "state", "told"),
    [
        ("return 1 / 0", "wrong", "your code raised ZeroDivisionError: division by zero"),
        ("raise SystemExit('x')", "wrong", "your code raised SystemExit: x"),
        ("import os; os._exit(3)", "silent", "it ended the process that ran it"),
        ("return lambda: 6", "wrong", "a function is no data"),
        ("return object()", "wrong", "an object of the class object is no data"),
        ("raise ValueError('\\udcff' + 'x' * 999)", "wrong", "ValueError: \ufffdxxx"),
    ],
)
def test_a_crash_costs_that_exercise_alone(course, body, state, told):
    root = "def root(numbers):\n    return sum(numbers) ** 0.5"
    first, second = course.of(f"def add(numbers):\n    {body}", root)["exercises"]
    assert (first["visible"], first["earned"]) == (state, 0)
    assert told in first["message"]
    assert len(first["message"]) < 500
    assert second["earned"] == 5


def test_an_endless_answer_costs_that_exercise_alone(course):
    root = "def root(numbers):\n    return sum(numbers) ** 0.5"
    grade = course.of("def add(numbers):\n    while True: pass", root)
    first, second = grade["exercises"]
    assert first["message"] == (
        "1.1 The sum: it took longer than 10 s and was stopped; look for a loop that doesn't end"
    )
    assert (first["visible"], second["earned"]) == ("silent", 5)


def test_a_run_that_failed_still_earns_what_works(course):
    grade = course.of(outcome="time", message="cell 9 took longer than 120 s")
    assert (grade["total"], grade["outcome"]) == (15, "time")
    assert grade["notes"] == ["cell 9 took longer than 120 s"]


MONKEY = """\
import facelab.book.exercises as exercises
math.isclose = lambda *values, **named: True
exercises.Exercise.examine = lambda self, answer: exercises.Verdict("right", "mine")
exercises.Exercise.examine_hidden = lambda self, answer: [exercises.Verdict("right", "")] * 2
exercises.Exercise.earned = lambda *values: 100
def root(numbers):
    return 1.5
"""


def test_changing_the_tests_tools_helps_nothing(course):
    second = course.of(root=MONKEY)["exercises"][1]
    assert (second["visible"], second["earned"]) == ("wrong", 0)
    assert second["message"] == "1.2 The root: expected 3, got 1.5"


SPY = """\
import os, pathlib
def add(numbers):
    seen = pathlib.Path(os.environ["HOME"]) / "seen.txt"
    with seen.open("a") as file:
        file.write(repr(numbers))
    print(numbers)
    os.write(2, repr(numbers).encode())
    if sum(numbers) != 6:
        raise ValueError(f"{numbers} {seen.read_text()}")
    return 6
"""


def test_hidden_inputs_get_into_no_file_of_the_folder(course):
    root = (
        "import gc\ndef root(numbers):\n"
        "    return sum(numbers) ** 0.5 if sum(numbers) < 10 else f'{numbers}'"
    )
    grade = course.of(SPY, root)
    assert [each["earned"] for each in grade["exercises"]] == [6, 3]
    for path in course.assignment.folder.rglob("*"):
        if path.is_file() and not {"submitted", "release"} & set(path.parts):
            text = path.read_text(errors="replace")
            assert not [secret for secret in SECRETS if secret in text], path


@pytest.mark.parametrize("outcome", grading.NOTHING_THERE)
def test_nothing_to_grade_is_no_points_with_the_runs_message(course, outcome):
    course.ran(outcome=outcome, message="there is no file; hand in ada/01_sums.ipynb")
    grade = course.grade()
    assert (grade["total"], grade["possible"], grade["outcome"]) == (0, 19, outcome)
    assert grade["notes"] == ["there is no file; hand in ada/01_sums.ipynb"]
    assert course.starts == 0


def test_a_file_that_cannot_be_read_any_more_is_no_points(course):
    course.hand_in(course.answered())
    refusal = types.SimpleNamespace(outcome="unreadable", message="no notebook")
    grade = course.grade(read=lambda path: refusal)
    assert (grade["total"], grade["outcome"], grade["notes"]) == (0, "unreadable", ["no notebook"])


def test_what_was_not_run_is_not_graded(course):
    with pytest.raises(BookError, match="run `facelab assign run"):
        course.grade()
    course.hand_in(course.answered(), sha256="another")
    with pytest.raises(BookError, match="isn't the file that was run"):
        course.grade()
    course.ran(outcome="unreadable", sha256="another")
    with pytest.raises(BookError, match="isn't the file that was run"):
        course.grade()
    with pytest.raises(BookError, match="no student 'zoe'"):
        course.grade("zoe")


def test_a_grade_that_holds_is_not_made_again(course):
    course.of()
    starts = course.starts
    again = course.grade()
    assert (course.starts, again["total"]) == (starts, 15)
    course.ran(key="another run")
    course.grade()
    assert course.starts == starts + 1  # the solution isn't tried again
    course.assignment.grade_file("ada").write_text("{broken")
    course.grade()
    assert course.starts == starts + 2


@pytest.mark.parametrize(
    ("reported", "earned", "state", "message"),
    [
        (100, 4, "right", "within the tolerance of 0.5"),
        (100.5, 4, "right", "within the tolerance of 0.5"),
        (101, 2, "half", "further off than the tolerance of 0.5, and within twice of it"),
        (98.9, 0, "wrong", "further off than the tolerance of 0.5"),
        (float("nan"), 0, "wrong", "further off than the tolerance of 0.5"),
        (10**400, 0, "wrong", "further off than the tolerance of 0.5"),
        ("100", 0, "wrong", "not a number"),
        (None, 0, "missing", "assign reported_total"),
    ],
)
def test_a_question_is_graded_by_its_tolerance(course, reported, earned, state, message):
    course.ran(reported={"total": reported}, outcome="missing")
    grade = course.grade(key_value=lambda student, name: {"ada total": 100.0}[f"{student} {name}"])
    question = grade["questions"][0]
    assert (question["earned"], question["state"]) == (earned, state)
    assert message in question["message"]


def test_a_class_is_graded_by_one_judge(course):
    course.hand_in(course.answered())
    course.hand_in(course.answered(root=None, student="bob"), "bob")
    with Bench() as bench:
        totals = [
            grading.grade_one(
                course.assignment, student, course.chapter, start=start, read=read, bench=bench
            )["total"]
            for student in ("ada", "bob")
        ]
    assert totals == [15, 10]


def test_an_exercise_that_needs_the_chapters_state_cannot_be_graded(course):
    script = course.chapter.source
    script.write_text(script.read_text().replace("answer([1, 2, 3])", "answer([1, 2, other])"))
    course.hand_in(course.answered())
    with pytest.raises(BookError, match=r"exercise 1.1: the published solution fails.*'other'"):
        course.grade()


SEARCHER = """\
import pathlib
def add(numbers):
    found = []
    for place in {places!r}:
        try:
            pathlib.Path(place, "mine.txt").write_text("x")
            found.append("wrote")
        except OSError:
            pass
        for path in [place, *pathlib.Path(place).rglob("*")]:
            try:
                found.append(pathlib.Path(path).read_text()[:20])
            except OSError:
                pass
    raise ValueError(f"found {{found}}")
"""


@pytest.mark.parametrize("isolation", [*sandbox.Isolation])
def test_in_the_sandbox_neither_chapter_nor_folder_can_be_read(course, isolation):
    if why := sandbox.trouble(isolation):
        pytest.skip(why)
    places = [str(course.chapter.source.parent), str(course.assignment.folder)]
    course.hand_in(course.answered(add=SEARCHER.format(places=places), root=None))
    course.hand_in(course.answered(student="bob"), "bob")
    begin = hearing.sandboxed(course.assignment.folder, isolation)
    first = course.grade(start=begin)["exercises"][0]
    assert first["message"] == "1.1 The sum: your code raised ValueError: found []"
    assert not list(course.assignment.folder.rglob("mine.txt"))
    assert course.grade("bob", start=begin)["total"] == 15


def test_nothing_a_student_started_lives_on(course):
    daemon = (
        "import os, subprocess, sys\nold = subprocess.Popen([sys.executable, '-c', "
        "'import time; time.sleep(612.25)'], start_new_session=True)\n"
        "def add(numbers):\n    return old.pid"
    )
    begin = hearing.sandboxed(course.assignment.folder, isolation="auto")
    course.hand_in(course.answered(add=daemon, root=None))
    message = course.grade(start=begin)["exercises"][0]["message"]
    assert message.startswith("1.1 The sum: expected 1 + 2 + 3 = 6, got ")
    programs = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not [words for words in programs if "import time; time.sleep(612.25)" in words]
