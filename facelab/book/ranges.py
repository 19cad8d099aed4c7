"""What a chapter lets an assignment vary, and which numbers it asks for: [chapter.assignment].

A range is `from` and `to` (whole numbers, or numbers with a `step`), or a list of `choices`. A
question is a number that a student reads off in their own notebook: it has an expression that gives
the right value at the end of a run, and the band within which an answer counts.
"""

import hashlib
import hmac
import keyword
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facelab.book.toml_tables import Table

Drawn = bool | int | float | str


@dataclass(frozen=True)
class Range:
    """The values that one parameter may take, in their order."""

    name: str
    values: range | tuple[Drawn, ...]

    def draw(self, key: bytes, student: str) -> Drawn:
        """Return the student's value: always the same for a key, a student and a parameter.

        Nobody else's name or number has a part in it, so a roster may grow.
        """
        words = "\0".join((self.name, student)).encode()
        number = int.from_bytes(hmac.digest(key, words, hashlib.sha256))
        return self.values[number % len(self.values)]


@dataclass(frozen=True)
class Question:
    """A number to report: `value` is the expression that gives it at the end of a run.

    `tolerance` is how far from it, up or down, an answer earns all `points`. `claim` is the claim
    that the number belongs to; empty for none.
    """

    name: str
    text: str
    value: str
    tolerance: float
    points: int
    claim: str = ""


@dataclass(frozen=True)
class AssignmentPlan:
    """What assignments of a chapter are made from."""

    ranges: tuple[Range, ...] = ()
    questions: tuple[Question, ...] = ()

    def draw(self, key: bytes, student: str) -> dict[str, Drawn]:
        """Return the student's values by parameter."""
        return {each.name: each.draw(key, student) for each in self.ranges}


NOTHING = AssignmentPlan()


def read(table: Table, known_claims: Mapping[str, Any]) -> AssignmentPlan:
    """Return the plan of one chapter's table; raises `ManifestError`."""
    outer = table.table("assignment", default={}).renamed(f"{table.where}: assignment")
    ranges = [_range(outer.table(name).renamed(f"{outer.where}.{name}")) for name in outer.data]
    questions: list[Question] = []
    for each in table.array("question", default=[]):
        question = _question(each, known_claims)
        if question.name in [other.name for other in questions]:
            raise each.error("name", f'"{question.name}" is taken by a question above')
        questions.append(question)
    return AssignmentPlan(tuple(ranges), tuple(questions))


def _range(table: Table) -> Range:
    name = table.key
    table = table.only("from", "to", "step", "choices")
    if "choices" in table.data:
        choices = table.take("choices", "two values or more", "[1, 2]", _are_choices)
        return Range(name, tuple(choices))
    low = table.take("from", "a number", "1", _is_number)
    high = table.take("to", "a number above `from`", "9999", lambda v: _is_number(v) and v > low)
    if type(low) is int and type(high) is int and "step" not in table.data:
        return Range(name, range(low, high + 1))
    step = table.take("step", "a number above 0", "0.1", lambda v: _is_number(v) and v > 0)
    count = math.floor((high - low) / step + 1e-9) + 1
    return Range(name, tuple(round(low + step * place, 9) for place in range(count)))


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _are_choices(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 1
        and len({type(each) for each in value}) == 1
        and isinstance(value[0], bool | int | float | str)
        and len(set(value)) == len(value)
    )


def _question(table: Table, known_claims: Mapping[str, Any]) -> Question:
    table = table.only(*Question.__dataclass_fields__)
    name = table.take("name", "a Python name", '"gap"', _is_name)
    table = table.renamed(f'question "{name}"')
    return Question(
        name=name,
        text=table.text("text"),
        value=table.take("value", "an expression", '"float(gap)"', _is_expression),
        tolerance=float(
            table.take(
                "tolerance", "0 or a number above", "0.01", lambda v: _is_number(v) and v >= 0
            )
        ),
        points=table.take(
            "points", "a whole number above 0", "2", lambda v: type(v) is int and v > 0
        ),
        claim=table.take(
            "claim", "the id of a claim", '"ganid.search"', known_claims.__contains__, ""
        ),
    )


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.isidentifier() and not keyword.iskeyword(value)


def _is_expression(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        compile(value, "value", "eval")
    except SyntaxError:
        return False
    return True
