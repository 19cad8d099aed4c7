"""A whole course: made, run, graded and reported, with everything that students hand in."""

import csv
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from facelab.book import manifest
from facelab.course import feedback, gradebook, likeness, making, marking, sandbox, spreading
from facelab.course.limits import Limits
from facelab.course.roster import Student

sys.path[:0] = [str(Path(__file__).parent)]

from cohort import CASES, Case, Place  # noqa: E402

KEY = "a key for tests"
LIMITS = Limits(
    cell_seconds=8, notebook_seconds=60, memory_mb=1500, disk_mb=100, output_mb=5, processes=64
)
QUICK = (
    *("perfect", "fitted", "half", "crashing", "endless", "outside", "reader", "searcher"),
    *("network", "patches", "deleted", "tuned", "copied", "missing", "nonotebook", "markup"),
)


class Listener(http.server.BaseHTTPRequestHandler):
    """A server on this machine; a submission that reaches it has a network."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Course:
    """What came of a course, and what the server saw."""

    assignment: object
    results: dict
    grades: dict
    asked: list[str]
    chapter: Path


def hand_in(assignment, cases: tuple[Case, ...], chapter: Path, port: int) -> None:
    """Write every submission to its place."""
    starts = {name: values["start"] for name, values in assignment.parameters.items()}
    for case in cases:
        if case.write is not None:
            other = starts["perfect"]
            path = assignment.submitted(case.id)
            address = f"127.0.0.1:{port}"
            case.write(Place(path, assignment.folder, chapter, address, starts[case.id], other))


def _course(book, folder: Path, cases: tuple[Case, ...], isolation: str) -> Course:
    students = [Student(case.id, case.id.title(), f"{case.id}@example.org") for case in cases]
    assignment, _ = making.make(
        book, "01_sums", students, folder / "course", course_key=KEY, profile="smoke"
    )
    listener = type("Seen", (Listener,), {"asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        chapter = book.chapter("01_sums").source
        hand_in(assignment, cases, chapter, server.server_port)
        ids = [case.id for case in cases]
        results = spreading.run_all(assignment, ids, LIMITS, isolation, jobs=2)
        grades = marking.grade_all(book, assignment, ids, LIMITS, isolation, jobs=2)
        server.shutdown()
    gradebook.write(assignment)
    feedback.write_all(assignment)
    likeness.write(assignment, marking.hints(book, assignment, LIMITS, isolation))
    by_id = dict(zip(ids, results, strict=True)), dict(zip(ids, grades, strict=True))
    return Course(assignment, *by_id, listener.asked, chapter)


@pytest.fixture(scope="module")
def isolation() -> str:
    return sandbox.choose("auto")


@pytest.fixture(scope="module")
def course(write_tiny_book, tmp_path_factory, isolation) -> Course:
    cases = tuple(case for case in CASES if case.id in QUICK)
    folder = tmp_path_factory.mktemp("course")
    return _course(write_tiny_book(folder / "book"), folder, cases, isolation)


@pytest.fixture(scope="module")
def large_course(write_tiny_book, tmp_path_factory, isolation) -> Course:
    folder = tmp_path_factory.mktemp("large")
    return _course(write_tiny_book(folder / "book"), folder, CASES, isolation)


def _check(course: Course, case: Case) -> None:
    page = course.assignment.feedback_file(case.id).read_text()
    told = {
        "outcome": course.results[case.id]["outcome"],
        "points": course.grades[case.id]["total"],
        "tells": case.tell if case.tell in page else page,
    }
    assert told == {"outcome": case.outcome, "points": case.points, "tells": case.tell}
    assert course.results[case.id]["message"]
    assert course.grades[case.id]["possible"] == 19


def _check_harmless(course: Course) -> None:
    """Nobody reached a server, wrote to the folder, left a process, or learned a hidden test."""
    folder = course.assignment.folder
    assert course.asked == []
    assert not (folder / "evil.txt").exists()
    assert "mine" not in (folder / "gradebook.csv").read_text()
    assert "SECRET" in course.chapter.read_text()
    for path in folder.rglob("*"):
        if path.is_file() and "submitted" not in path.parts:
            assert b"SECRET" not in path.read_bytes(), path
            assert b"31337313" not in path.read_bytes(), path
    left = [each for each in psutil.process_iter(["cmdline"]) if _is_leftover(each)]
    assert left == []


def _is_leftover(process: psutil.Process) -> bool:
    return any("leftover-of-a-test" in part for part in process.info["cmdline"] or [])


@pytest.mark.parametrize("case", [case for case in CASES if case.id in QUICK], ids=lambda c: c.id)
def test_each_gets_the_right_grade_and_a_helpful_message(course, case):
    _check(course, case)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_each_of_the_large_course_gets_the_right_grade(large_course, case):
    _check(large_course, case)


def test_nobody_harms_anything_or_learns_a_hidden_test(course):
    _check_harmless(course)


@pytest.mark.slow
def test_nobody_of_the_large_course_harms_anything(large_course):
    _check_harmless(large_course)


def test_the_gradebook_has_everybody_and_the_feedback_nobody_else(course):
    with open(course.assignment.folder / "gradebook.csv", newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert set(rows) == set(QUICK)
    assert {name: float(row["total"]) for name, row in rows.items()} == {
        case.id: case.points for case in CASES if case.id in QUICK
    }
    for case in QUICK:
        page = course.assignment.feedback_file(case).read_text()
        assert f"{case}@example.org" in page or case.title() in page
        assert not any(f"{other}@example.org" in page for other in QUICK if other != case)


def test_a_number_that_is_right_for_somebody_else_is_a_hint(course):
    found = json.loads((course.assignment.folder / "likeness.json").read_text())["hints"]
    assert [each["students"] for each in found] == [["copied", "perfect"]]
    assert "likeness" not in course.assignment.feedback_file("copied").read_text()


@pytest.mark.slow
def test_the_same_unusual_code_twice_is_a_hint(large_course):
    found = json.loads((large_course.assignment.folder / "likeness.json").read_text())["hints"]
    pairs = {tuple(sorted(each["students"])) for each in found}
    assert pairs == {("copied", "perfect"), ("twin1", "twin2")}


def _facelab(book: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "facelab", "assign", *words]


def _results(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in folder.glob("runs/*/result.json")}


def test_a_run_that_was_killed_goes_on_and_repeats_nothing(tmp_path, make_assignment, tiny_book):
    """By the commands themselves: make, run, kill -9, run, grade, report."""
    students = tuple(Student(f"s{number}", f"Student {number}") for number in range(6))
    assignment, _ = make_assignment(students)
    perfect = next(case for case in CASES if case.id == "perfect")
    for each in students:
        path = assignment.submitted(each.id)
        perfect.write(Place(path, assignment.folder, tmp_path, "", 0, 0))
    folder, where = assignment.folder, tiny_book.root
    variables = dict(os.environ) | {"OMP_NUM_THREADS": "1"}
    command = _facelab(where, "run", str(folder), "--memory-mb", "1500")
    quiet = {"cwd": where, "env": variables, "stdout": subprocess.DEVNULL}
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True, **quiet)
    deadline = time.monotonic() + 60
    while len(_results(folder)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    finished = _results(folder)
    assert 2 <= len(finished) < 6
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, **quiet)
    after = _results(folder)
    assert len(after) == 6
    assert {name: after[name] for name in finished} == finished
    for words in (("grade", str(folder)), ("report", str(folder))):
        done = subprocess.run(
            _facelab(where, *words), cwd=where, env=variables, capture_output=True
        )
        assert done.returncode == 0, done.stderr.decode()
    with open(folder / "gradebook.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], float(row["total"])) for row in rows] == [(f"s{n}", 19) for n in range(6)]


def test_the_cohort_has_what_the_guide_says():
    assert len(CASES) >= 30
    assert len({case.id for case in CASES}) == len(CASES)
    assert set(QUICK) <= {case.id for case in CASES}
    assert manifest.load().chapter("02_identity").graded
