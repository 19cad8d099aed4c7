"""A course of synthetic submissions to the tiny chapter: what each did, and what it should earn.

Exercise 1.1 has 10 points, 1.2 has 5, the question 4. `tell` is a text that the student's feedback
must have.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell

ADD = "return sum(numbers)"
ROOT = "return math.sqrt(sum(numbers))"
SUM = "reported_total = sum(numbers)"
PASSED = "passed (10 points)"


@dataclass(frozen=True)
class Place:
    """Where a submission is to be written, and what a hostile one may look for."""

    path: Path
    folder: Path
    chapter: Path
    address: str
    start: int
    other_start: int


@dataclass(frozen=True)
class Case:
    """One submission: `write` makes it at its place; None hands nothing in."""

    id: str
    points: float
    outcome: str
    tell: str
    write: Callable[[Place], None] | None


class Notebook:
    """A student's notebook, edited as students do."""

    def __init__(self, place: Place, release: Path) -> None:
        self.place = place
        self.notebook = nbformat.read(release, as_version=4)

    def answer(self, number: str, line: str) -> None:
        """Put a line in the place of a stub's `return ...`."""
        cell = self.cell(number)
        cell.source = cell.source.replace("return ...  # your line", line)

    def cell(self, number: str):
        """The answer's cell of an exercise, or of the question."""
        for cell in self.notebook.cells:
            mark = cell.metadata.get("facelab", {})
            if mark.get("part") == "answer" and number in (
                mark.get("exercise"),
                mark.get("question"),
            ):
                return cell
        raise AssertionError(number)

    def report(self, line: str) -> None:
        self.cell("total").source = line

    def insert(self, source: str, at: int = 3) -> None:
        """Add a cell; at 3 it comes before the exercises."""
        self.notebook.cells.insert(at, new_code_cell(source))

    def append(self, source: str) -> None:
        self.notebook.cells.append(new_code_cell(source))

    def drop(self, cell) -> None:
        self.notebook.cells.remove(cell)

    def save(self) -> None:
        self.place.path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(self.notebook, self.place.path)


def edited(*edits: Callable[[Notebook], None], add=ADD, root=ROOT, report=SUM):
    """Return a writer: the right answers, or those given, and then the edits."""

    def write(place: Place) -> None:
        release = place.folder / "release" / place.path.parent.name / place.path.name
        notebook = Notebook(place, release)
        for number, line in (("1.1", add), ("1.2", root)):
            if line:
                notebook.answer(number, line)
        if report:
            notebook.report(report.format(place=place))
        for edit in edits:
            edit(notebook)
        notebook.save()

    return write


def cell(source: str, at: int = 3):
    """An edit: one more cell, `{place...}` filled in."""
    return lambda notebook: notebook.insert(source.replace("FOLDER", str(notebook.place.folder))
        .replace("CHAPTER", str(notebook.place.chapter))
        .replace("ADDRESS", notebook.place.address), at)  # fmt: skip


def data(content: bytes):
    """A writer: this file instead of a notebook."""

    def write(place: Place) -> None:
        place.path.parent.mkdir(parents=True, exist_ok=True)
        place.path.write_bytes(content)

    return write


def _reversed(notebook: Notebook) -> None:
    first, second = notebook.cell("1.1"), notebook.cell("1.2")
    cells = notebook.notebook.cells
    one, two = cells.index(first), cells.index(second)
    cells[one], cells[two] = second, first


def _without_marks(notebook: Notebook) -> None:
    for each in notebook.notebook.cells:
        each.metadata.pop("facelab", None)
        each.metadata.pop("nbgrader", None)


def _parameters(notebook: Notebook, source: str | None) -> None:
    for each in list(notebook.notebook.cells):
        if "parameters" in each.metadata.get("tags", []):
            if source is None:
                notebook.drop(each)
            else:
                each.source = source


def _other_total(place: Place) -> int:
    return sum(range(place.other_start, place.other_start + 10))


LONG_WAY = """
    found = 0
    place = 0
    while place < len(numbers):
        one = numbers[place]
        if one > 0:
            found = found + one
        elif one < 0:
            found = found - abs(one)
        place = place + 1
    return found
"""
SEARCH = """
    import gc, inspect, sys
    seen = []
    for frame in sys._current_frames().values():
        while frame is not None:
            seen.append(str(frame.f_locals)); seen.append(str(frame.f_code.co_consts))
            frame = frame.f_back
    for thing in gc.get_objects():
        if inspect.iscode(thing) or inspect.isfunction(thing):
            code = thing if inspect.iscode(thing) else thing.__code__
            seen.append(str(code.co_consts))
    open("found.txt", "w").write("".join(seen))
    raise ValueError("".join(one for one in seen if "SEC" + "RET" in one) or "nothing")
"""
READ = """
import glob
for name in [r"CHAPTER", *glob.glob(r"FOLDER/**/*", recursive=True)]:
    try:
        print(open(name).read())
    except OSError as error:
        print(type(error).__name__)
"""
WRITE = """
import pathlib
for name in (r"FOLDER/gradebook.csv", r"FOLDER/submitted/perfect/01_sums.ipynb", r"FOLDER/evil.txt",
             r"FOLDER/grades/perfect.json", r"CHAPTER"):
    try:
        pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(name).write_text("mine")
    except OSError as error:
        print(type(error).__name__)
"""
NETWORK = """
import urllib.request
try:
    print(urllib.request.urlopen("http://ADDRESS/secret", timeout=3).read())
except Exception as error:
    print(type(error).__name__)
"""
PATCH = """
import builtins, math
import facelab.book.exercises as exercises
math.isclose = lambda *given, **options: True
exercises.Exercise.examine = lambda self, answer: exercises.Verdict("right", "passed")
exercises.Exercise.earned = lambda self, *given: 100.0
exercises.Exercise.credit = lambda self, answer: 100.0
class Any(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = int.__hash__
"""
CHILDREN = """
import subprocess, sys
for _ in range(5):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600) # leftover-of-a-test"])
"""
BOMB = "held = []\nwhile True:\n    held.append(bytearray(50_000_000))"
FILL = """
with open("large.bin", "wb") as file:
    for _ in range(4000):
        file.write(bytes(1_000_000))
"""

CASES = (
    Case("perfect", 19, "ok", PASSED, edited()),
    Case("perfect2", 19, "ok", PASSED, edited(root="return sum(numbers) ** 0.5")),
    Case("helper", 19, "ok", PASSED,
         edited(cell("import functools\n\ndef both(a, b):\n    return a + b"),
                add="return functools.reduce(both, numbers, 0)")),
    Case("wrong", 9, "ok", "3 is how many they are; add them", edited(add="return len(numbers)")),
    Case("text", 9, "ok", "expected a whole number, got", edited(add='return "6"')),
    Case("fitted", 13, "ok", "does not hold for other numbers",
         edited(add="return 6 if numbers else 1", root="return 3.0", report=SUM)),
    Case("half", 8, "ok", "does not hold for no numbers at all",
         edited(add="return sum(numbers) if len(numbers) else None", root=None, report=None)),
    Case("unanswered", 0, "ok", "not answered yet", edited(add=None, root=None, report=None)),
    Case("onlyfirst", 14, "ok", "1.2 The root: not answered yet", edited(root=None)),
    Case("crashing", 19, "error", "ZeroDivisionError", edited(cell("1 / 0"))),
    Case("crashes", 4, "ok", "your code raised ZeroDivisionError",
         edited(add="return 1 / 0", root="return add(numbers)")),
    Case("syntax", 9, "error", "SyntaxError", edited(add="return sum(numbers")),
    Case("endless", 15, "time", "cell", edited(cell("while True: pass"))),
    Case("forever", 5, "time", "1.1 The sum", edited(add="while True: pass")),
    Case("bomb", 15, "memory", "memory", edited(cell(BOMB))),
    Case("bombs", 5, "memory", "1.1 The sum",
         edited(add=BOMB.replace("\n", "\n    "))),
    Case("fills", 15, "disk", "", edited(cell(FILL))),
    Case("output", 15, "output", "output",
         edited(cell('for _ in range(200):\n    print("x" * 1_000_000)'))),
    Case("outside", 19, "ok", PASSED, edited(cell(WRITE))),
    Case("reader", 19, "ok", PASSED, edited(cell(READ))),
    Case("searcher", 9, "ok", "your code raised", edited(add=SEARCH.strip())),
    Case("network", 19, "ok", PASSED, edited(cell(NETWORK))),
    Case("patches", 9, "ok", "expected a whole number",
         edited(cell(PATCH), add="return Any(1) and 7.5")),
    Case("children", 19, "ok", PASSED, edited(cell(CHILDREN))),
    Case("exits", 5, "killed", "1.1 The sum", edited(add="import os; os._exit(0)")),
    Case("deleted", 9, "error", "the cell of exercise 1.1 is gone",
         edited(lambda notebook: notebook.drop(notebook.cell("1.1")))),
    Case("noparams", 19, "ok", PASSED, edited(lambda notebook: _parameters(notebook, None))),
    Case("reordered", 19, "error", PASSED, edited(_reversed)),
    Case("unmarked", 19, "ok", PASSED, edited(_without_marks)),
    Case("tuned", 15, "ok", "parameters",
         edited(lambda notebook: _parameters(notebook, "count = 2\nstart = 1"),
                report="reported_total = 3")),
    Case("near", 17, "ok", "total", edited(report="reported_total = sum(numbers) + 0.9")),
    Case("far", 15, "ok", "total", edited(report="reported_total = sum(numbers) + 1.1")),
    Case("copied", 15, "ok", "total",
         lambda place: edited(report=f"reported_total = {_other_total(place)}")(place)),
    Case("twin1", 19, "ok", PASSED, edited(add=LONG_WAY.strip())),
    Case("twin2", 19, "ok", PASSED, edited(add=LONG_WAY.strip())),
    Case("markup", 9, "ok", "&lt;script&gt;",
         edited(add='raise ValueError("<script>alert(1)</script>")', root=ROOT)),
    Case("missing", 0, "missing", "", None),
    Case("empty", 0, "empty", "", data(b"")),
    Case("nonotebook", 0, "unreadable", "", data(b"Dear teacher, my dog ate it.")),
    Case("json", 0, "unreadable", "", data(json.dumps({"cells": "none"}).encode())),
    Case("binary", 0, "unreadable", "", data(bytes(range(256)) * 40)),
    Case("huge", 0, "unreadable", "MB", data(b'{"cells": [' + b" " * 25_000_000 + b"]}")),
)  # fmt: skip
