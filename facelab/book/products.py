"""One chapter, five products: what readers, students, graders and a lecture's audience get.

    reader    the chapter: exercises with folded solutions, no hidden tests
    student   the exercises' stubs, what a right answer prints, a cell that tells the points
    solution  the stubs filled in
    graded    the student's, with the hidden tests in the cells that tell the points
    slides    the chapter cut into slides

A product follows from the chapter's script alone, cell ids and metadata included, so that the same
script gives the same bytes. None has outputs. The cells of an exercise that a student completes or
is graded by say so in `metadata.facelab = {"exercise": "2.1", "part": "answer"}` and carry the
metadata of nbgrader (schema 3); in `graded`, hidden tests stand between its markers.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelab.book import pairing
from facelab.book.exercise_cells import Parts, parts
from facelab.book.pages import UNSEEN
from facelab.errors import BookError

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from facelab.book.manifest import Chapter, Manifest

KINDS = ("reader", "student", "solution", "graded", "slides")
DIGESTS = "chapters/products.json"
BEGIN_HIDDEN, END_HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"


def product(chapter: Chapter, kind: str) -> NotebookNode:
    """Return one of `KINDS` as a notebook without outputs; raises `BookError` for another kind."""
    if kind not in KINDS:
        raise BookError(f"no product {kind!r}; write one of {', '.join(KINDS)}")
    return _product(chapter, pairing.made_from_script(chapter), kind)


def _product(chapter: Chapter, notebook: NotebookNode, kind: str) -> NotebookNode:
    """Return a product of the chapter's `notebook`, whose cells become the product's."""
    makers = {"reader": _reader, "solution": _solution, "slides": _slides}
    maker = makers.get(kind, _student)
    exercises = {place: each for each in parts(notebook.cells) for place in each.places}
    cells: list[NotebookNode] = []
    for place, cell in enumerate(notebook.cells):
        cells += maker(cell, place, exercises.get(place))
    if kind == "graded":
        _put_hidden_tests_in(cells, parts(notebook.cells))
    notebook.cells = cells
    name_cells(chapter, cells)
    return notebook


def text(chapter: Chapter, kind: str) -> str:
    """Return a product as the text of its file."""
    return pairing.serialised(product(chapter, kind))


def _reader(cell: NotebookNode, place: int, exercise: Parts | None) -> Iterator[NotebookNode]:
    if not UNSEEN & set(pairing.tags(cell)):
        yield cell


def _solution(cell: NotebookNode, place: int, exercise: Parts | None) -> Iterator[NotebookNode]:
    tags = set(pairing.tags(cell))
    if exercise is None:
        yield cell
    elif "exercise" in tags:
        cell.source = exercise.filled_in()
        yield _marked(cell, exercise, "answer")
    elif not UNSEEN & tags and "solution" not in tags:
        yield cell


def _student(cell: NotebookNode, place: int, exercise: Parts | None) -> Iterator[NotebookNode]:
    tags = set(pairing.tags(cell))
    if exercise is None:
        yield cell
    elif "exercise" in tags:
        yield _marked(cell, exercise, "answer")
        yield from _after_an_answer(exercise)
    elif "exercise-test" in tags:
        yield _marked(cell, exercise, "test", f"visible-{place - exercise.places[0]}")


def _after_an_answer(exercise: Parts) -> Iterator[NotebookNode]:
    """What the solution's output was, and the cell whose value is the points."""
    from nbformat.v4 import new_code_cell, new_markdown_cell

    points = f"{exercise.points} point" + ("" if exercise.points == 1 else "s")
    yield new_markdown_cell(
        f"A right answer prints `✓ {exercise.title}: passed ({points}).` "
        "The next cell gives your points as far as they can be told here."
    )
    cell = new_code_cell(f"{exercise.variable}.credit({exercise.answer})")
    yield _marked(cell, exercise, "points", "tests")


def _marked(cell: NotebookNode, exercise: Parts, part: str, suffix: str = "") -> NotebookNode:
    """Give a cell what our grader and nbgrader find it by."""
    cell.metadata["facelab"] = {"exercise": exercise.number, "part": part}
    name = "-".join(filter(None, [exercise.number.replace(".", "-"), suffix]))
    cell.metadata["nbgrader"] = nbgrader(name, part, exercise.points)
    if part == "points":
        cell.metadata.update({"deletable": False, "editable": False})
    return cell


def nbgrader(name: str, part: str, points: int) -> dict[str, Any]:
    """Return nbgrader's metadata of an `answer`, of a locked `test`, or of the `points` cell."""
    graded = part == "points"
    return {
        "cell_type": "code",
        "grade": graded,
        "grade_id": name,
        "locked": part != "answer",
        **({"points": points} if graded else {}),
        "schema_version": 3,
        "solution": part == "answer",
        "task": False,
    }


def _put_hidden_tests_in(cells: Iterable[NotebookNode], exercises: Iterable[Parts]) -> None:
    by_number = {exercise.number: exercise for exercise in exercises}
    for cell in cells:
        mark = cell.metadata.get("facelab", {})
        if mark.get("part") == "points":
            tests = by_number[mark["exercise"]].hidden_tests
            if tests:
                hidden = "\n\n\n".join(tests)
                cell.source = f"{BEGIN_HIDDEN}\n{hidden}\n{END_HIDDEN}\n{cell.source}"


def _slides(cell: NotebookNode, place: int, exercise: Parts | None) -> Iterator[NotebookNode]:
    """A heading begins a slide, a smaller one a slide below it; long code and answers are left out.

    Code whose source is folded, a figure's mostly, shows its output alone.
    """
    tags = set(pairing.tags(cell))
    if UNSEEN & tags or "solution" in tags or "exercise-test" in tags:
        return
    kind = "-"
    if cell.cell_type == "markdown":
        heading = re.match(r"(#+) ", cell.source.lstrip())
        depth = len(heading[1]) if heading else 0
        kind = {0: "fragment", 1: "slide", 2: "slide"}.get(depth, "subslide")
    elif "parameters" in tags or re.match(r"(import|from) ", cell.source):
        kind = "skip"
    cell.metadata["slideshow"] = {"slide_type": kind}
    yield cell


def name_cells(chapter: Chapter, cells: Iterable[NotebookNode]) -> None:
    """Give each cell the id that follows from its source, as in the chapter's own notebook."""
    seen: Counter[tuple[str, str]] = Counter()
    for cell in cells:
        content = pairing.content(cell)
        cell.id = pairing.cell_id(chapter, content, seen[content])
        seen[content] += 1


def digests(manifest: Manifest) -> dict[str, dict[str, str]]:
    """Return the SHA-256 of each product of each graded chapter."""
    return {chapter.slug: _digests(chapter) for chapter in manifest.chapters if chapter.graded}


def _digests(chapter: Chapter) -> dict[str, str]:
    notebook = pairing.made_from_script(chapter)
    found = {}
    for kind in KINDS:
        made = _product(chapter, copy.deepcopy(notebook), kind)
        found[kind] = hashlib.sha256(pairing.serialised(made).encode()).hexdigest()
    return found


def write_digests(manifest: Manifest) -> list[Path]:
    """Write down what the products are now; return the file if it changed."""
    path = manifest.root / DIGESTS
    now = json.dumps(digests(manifest), indent=1) + "\n"
    if (path.is_file() and path.read_text() == now) or (now == "{}\n" and not path.is_file()):
        return []
    pairing.replace_text(path, now)
    return [path]


def drifted(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield (slug, message) for each chapter whose products aren't those that were written down.

    A student's notebook is made anew from the chapter, so one that changes unseen would differ from
    what other students have.
    """
    path = manifest.root / DIGESTS
    try:
        known = json.loads(path.read_text()) if path.is_file() else {}
    except ValueError:
        known = {}
    for slug, kinds in digests(manifest).items():
        before = known.get(slug, {})
        other = [kind for kind, digest in kinds.items() if before.get(kind) != digest]
        if other:
            message = (
                f"{', '.join(other)} changed since {path.name}; run `facelab book sync {slug}`"
            )
            yield slug, message
