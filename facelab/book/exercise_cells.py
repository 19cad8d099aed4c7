"""The cells of a chapter's exercises, and what each declares, read off the syntax trees."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from facelab.book import pairing
from facelab.errors import BookError

if TYPE_CHECKING:
    from nbformat import NotebookNode

TAGS = ("exercise-test", "exercise", "hidden-test", "wrong-answers", "solution")
SIGNATURE = ("title", "test", "minutes", "points", "difficulty")


@dataclass
class Parts:
    """One exercise as its cells declare it.

    `variable` is what its `Exercise(...)` is assigned to, `answer` the function to complete;
    `cells` has (place, tag, source) for each of its cells, places counting from 0.
    """

    variable: str
    title: str
    minutes: int
    points: int
    difficulty: str
    cells: list[tuple[int, str, str]] = field(default_factory=list)

    @property
    def number(self) -> str:
        """The number that the title begins with."""
        return self.title.partition(" ")[0]

    @property
    def places(self) -> list[int]:
        """The places of its cells in the notebook."""
        return [place for place, _, _ in self.cells]

    def sources(self, tag: str) -> list[str]:
        """Return the sources of its cells with a tag."""
        return [source for _, kind, source in self.cells if kind == tag]

    @property
    def hidden_tests(self) -> list[str]:
        """The sources of its hidden tests."""
        return self.sources("hidden-test")

    @property
    def answer(self) -> str:
        """The name of the function that a student completes: the stub's last."""
        return _last_function("\n".join(self.sources("exercise")), f"{self.title}: the stub")

    def filled_in(self) -> str:
        """Return the stub's cell with the solution in its place, checked instead of proved."""
        solution = "\n\n\n".join(self.sources("solution"))
        name = _last_function(solution, f"{self.title}: the solution")
        if name != f"{self.answer}_solution":
            raise BookError(
                f"{self.title}: the solution is {name}, expected {self.answer}_solution; rename it"
            )
        renamed = re.sub(rf"\b{re.escape(name)}\b", self.answer, solution)
        return re.sub(rf"\b{re.escape(self.variable)}\.prove\(", f"{self.variable}.check(", renamed)


def _last_function(source: str, what: str) -> str:
    found = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    if not found:
        raise BookError(f"{what} defines no function; write `def name(...):`")
    return found[-1]


def parts(cells: Sequence[NotebookNode]) -> list[Parts]:
    """Return the exercises that the cells declare, in their order; raises `BookError`.

    Tests before a declaration belong to it, and all that follows until the next test after a stub.
    """
    found: list[Parts] = []
    waiting: list[tuple[int, str, str]] = []
    for place, cell in enumerate(cells):
        tag = next((tag for tag in TAGS if tag in pairing.tags(cell)), None)
        if tag is None:
            continue
        part = (place, tag, cell.source)
        if tag != "exercise-test":
            if not found or waiting:
                raise BookError(f"cell {place + 1}: no cell above declares its Exercise(...)")
            found[-1].cells.append(part)
            continue
        waiting.append(part)
        for exercise in declared(cell.source):
            exercise.cells += waiting
            waiting = []
            found.append(exercise)
    return found


def declared(source: str) -> Iterator[Parts]:
    """Yield what `name = Exercise(...)` at the top of a cell declares; raises `BookError`."""
    for statement in ast.parse(source).body:
        match statement:
            case ast.Assign(
                targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id="Exercise")) as call
            ):
                yield _declared(name, call)


def _declared(variable: str, call: ast.Call) -> Parts:
    values = dict(zip(SIGNATURE, call.args, strict=False))
    values |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    try:
        literal = {name: ast.literal_eval(node) for name, node in values.items() if name != "test"}
    except ValueError:
        raise BookError(f"{variable}: write title, minutes, points, difficulty out") from None
    title = literal.get("title")
    if not isinstance(title, str) or not re.match(r"\d+\.\d+ \S", title):
        raise BookError(f"{variable}: title: expected a number and words, got {title!r}")
    return Parts(
        variable,
        title,
        literal.get("minutes", 5),
        literal.get("points", 1),
        literal.get("difficulty", "medium"),
    )
