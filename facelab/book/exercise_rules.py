"""What `facelab book check` asks of a graded chapter's exercises, and of what is made from them.

At least five exercises, numbered in their order. Each has its difficulty, minutes and points in the
prose as in the code, three hints, a visible test, a stub, a hidden test, two wrong answers that are
refused, a solution that is proved. Its cells get along with the chapter's imports and parameters:
a grader runs them without the rest.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from facelab.book import pairing
from facelab.book.exercise_cells import TAGS, Parts, parts
from facelab.book.exercises import DIFFICULTIES
from facelab.book.parameters import accept, declared
from facelab.errors import BookError, ParameterError

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from facelab.book.manifest import Chapter

FEWEST = 5
HINTS = 3
WRONG_ANSWERS = 2

Found = tuple[int | None, str]


def problems(chapter: Chapter, cells: Sequence[NotebookNode]) -> Iterator[Found]:
    """Yield (cell from 1 or None, message) for all that is wrong with a chapter's exercises."""
    yield from _assignment(chapter, cells)
    if not chapter.graded:
        return
    try:
        exercises = parts(cells)
    except (BookError, SyntaxError) as error:
        yield None, str(error)
        return
    if len(exercises) < FEWEST:
        yield None, f"{len(exercises)} exercises, expected {FEWEST} or more in a graded chapter"
    number = str(int(chapter.slug[:2])) if chapter.slug[:2].isdigit() else "0"
    for place, exercise in enumerate(exercises, start=1):
        if exercise.number != f"{number}.{place}":
            yield (
                exercise.places[0] + 1,
                f"{exercise.title!r} is exercise {number}.{place} by its place; number it so",
            )
        yield from _parts(exercise)
        yield from _prose(exercise, cells)
    yield from _names(cells, exercises)
    yield from _solutions_used(cells, exercises)


def _solutions_used(cells: Sequence[NotebookNode], exercises: Sequence[Parts]) -> Iterator[Found]:
    """Yield each cell outside an exercise that calls a solution: students don't have it."""
    own = {place for exercise in exercises for place in exercise.places}
    names = {
        f"{exercise.answer}_solution" for exercise in exercises if exercise.sources("exercise")
    }
    for place, cell in enumerate(cells):
        if cell.cell_type == "code" and place not in own:
            for name in sorted(names & _bound_and_loaded(cell.source)[1]):
                message = f"calls {name}, which students don't have; call the library instead"
                yield place + 1, message


def _parts(exercise: Parts) -> Iterator[Found]:
    """Yield what one exercise lacks."""
    first = exercise.places[0] + 1
    missing = [tag for tag in TAGS if not exercise.sources(tag)]
    if missing:
        yield first, f"{exercise.title}: no cell has the tag {', '.join(missing)}; add it"
        return
    if exercise.difficulty not in DIFFICULTIES:
        yield first, f"{exercise.title}: difficulty: expected one of {', '.join(DIFFICULTIES)}"
    name = exercise.variable
    for tag, method, fewest in (
        ("exercise", "check", 1),
        ("hidden-test", "hide", 1),
        ("wrong-answers", "refuse", WRONG_ANSWERS),
        ("solution", "prove", 1),
    ):
        calls = _calls(exercise.sources(tag), name, method)
        if calls < fewest:
            message = f"{calls} calls of {name}.{method}, expected {fewest} or more"
            yield first, f"{exercise.title}: {message}"
    try:
        exercise.filled_in()
    except BookError as error:
        yield first, str(error)


def _calls(sources: Iterable[str], name: str, method: str) -> int:
    wanted = f"{name}.{method}"
    return sum(
        isinstance(node, ast.Call) and ast.unparse(node.func) == wanted
        for source in sources
        for node in ast.walk(ast.parse(source))
    )


def _prose(exercise: Parts, cells: Sequence[NotebookNode]) -> Iterator[Found]:
    """Yield where the text above an exercise and its declaration differ."""
    above = range(exercise.places[0] - 1, -1, -1)
    place = next((n for n in above if cells[n].cell_type == "markdown"), None)
    text = cells[place].source if place is not None else ""
    _, heading, text = text.rpartition(f"### Exercise {exercise.number}:")
    where = place + 1 if place is not None else None
    if not heading:
        yield where, f"{exercise.title}: expected '### Exercise {exercise.number}: ...' above it"
        return
    worth = f"{exercise.points} point" + ("" if exercise.points == 1 else "s")
    spent = f"{exercise.minutes} minute" + ("" if exercise.minutes == 1 else "s")
    line = f"*({exercise.difficulty}, {spent}, {worth})*"
    if line not in " ".join(text.split()):
        yield where, f"{exercise.title}: the text doesn't say {line}, as its declaration does"
    hints = re.findall(r"<summary>Hint (\d)</summary>", text)
    if hints != [str(number) for number in range(1, HINTS + 1)]:
        yield where, f"{exercise.title}: {len(hints)} hints, expected Hint 1, 2 and {HINTS}"


def _names(cells: Sequence[NotebookNode], exercises: Sequence[Parts]) -> Iterator[Found]:
    """Yield each name that an exercise's cell takes from the chapter's own state."""
    known = set(dir(builtins)) | set(imported(cells)) | parameter_names(cells)
    for exercise in exercises:
        for place, tag, source in exercise.cells:
            bound, loaded = _bound_and_loaded(source)
            known |= bound
            for name in sorted(loaded - known):
                message = (
                    f"the {tag} takes {name!r} from the chapter; a grader has its imports alone"
                )
                yield place + 1, f"{exercise.title}: {message}"


def imports(cells: Iterable[NotebookNode]) -> list[str]:
    """Return the import statements at the top of a chapter's code cells, exercises' left out."""
    return [
        ast.unparse(statement)
        for cell in cells
        if cell.cell_type == "code" and not set(TAGS) & set(pairing.tags(cell))
        for statement in ast.parse(cell.source).body
        if isinstance(statement, ast.Import | ast.ImportFrom)
    ]


def imported(cells: Iterable[NotebookNode]) -> Iterator[str]:
    """Yield the names that the imports of a chapter bind."""
    for source in imports(cells):
        for alias in ast.parse(source).body[0].names:
            yield (alias.asname or alias.name).partition(".")[0]


def parameter_names(cells: Iterable[NotebookNode]) -> set[str]:
    """Return the names that the `parameters` cell assigns."""
    sources = [cell.source for cell in cells if "parameters" in pairing.tags(cell)]
    return set(declared(sources[0])) if sources else set()


def _bound_and_loaded(source: str) -> tuple[set[str], set[str]]:
    """Return the names that a cell binds, wherever it does, and those that it reads."""
    bound, loaded = set(), set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name):
                (loaded if isinstance(node.ctx, ast.Load) else bound).add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
            case ast.arg(arg=name):
                bound.add(name)
            case ast.alias():
                bound.add((node.asname or node.name).partition(".")[0])
            case ast.ExceptHandler(name=str(name)):
                bound.add(name)
    return bound, loaded


def _assignment(chapter: Chapter, cells: Sequence[NotebookNode]) -> Iterator[Found]:
    """Yield what is wrong between [chapter.assignment] and the `parameters` cell."""
    plan = chapter.assignment
    if (plan.ranges or plan.questions) and not chapter.graded:
        yield None, "book.toml has an assignment for it; write graded = true there, or drop it"
    sources = [cell.source for cell in cells if "parameters" in pairing.tags(cell)]
    try:
        known = declared(sources[0]) if sources else {}
    except ParameterError:
        return  # the rule on parameters tells
    for each in plan.ranges:
        if each.name not in known:
            yield None, f"book.toml lets an assignment vary {each.name}, which is no parameter"
            continue
        try:
            for value in (each.values[0], each.values[-1]):
                accept(known[each.name], value)
        except ParameterError as error:
            yield None, f"book.toml, assignment: {error}"
