"""Inline exercises: a stub to complete, a test that says what is wrong, and a folded solution.

A chapter declares an `Exercise` from a test, a function that takes the reader's answer and uses
plain `assert condition, "what is wrong"`. `check` tells a reader how the answer does and never
stops the notebook, so that an unanswered exercise does not break a chapter. `prove` is for the
solution in the chapter itself and raises, so that a wrong solution can't be published.
"""

import dis
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from facelab.errors import BookError


@dataclass(frozen=True)
class Verdict:
    """What `check` found: `state` is "unanswered", "wrong" or "right"."""

    state: str
    message: str

    def __str__(self) -> str:
        mark = {"unanswered": "○", "wrong": "✗", "right": "✓"}[self.state]
        return f"{mark} {self.message}"


@dataclass(frozen=True)
class Exercise:
    """One exercise: a title, the test of an answer, and what it costs and earns."""

    title: str
    test: Callable[[Any], None]
    minutes: int = 5
    points: int = 1

    def examine(self, answer: Any) -> Verdict:
        """Return how an answer does; an answer's own exception is part of the verdict."""
        if unanswered(answer):
            return Verdict("unanswered", f"{self.title}: not answered yet.")
        try:
            self.test(answer)
        except AssertionError as error:
            reason = str(error) or "the test found a wrong result"
            return Verdict("wrong", f"{self.title}: {reason}")
        except Exception as error:  # whatever the reader's code raises is theirs to see
            raised = f"your code raised {type(error).__name__}: {error}"
            return Verdict("wrong", f"{self.title}: {raised}")
        return Verdict("right", f"{self.title}: passed ({self._worth()}).")

    def check(self, answer: Any) -> None:
        """Print how an answer does; never raises."""
        print(self.examine(answer))

    def prove(self, answer: Any) -> None:
        """Print that the solution passes; raises `BookError` when it does not."""
        verdict = self.examine(answer)
        if verdict.state != "right":
            raise BookError(f"the published solution fails: {verdict.message}")
        print(verdict)

    def _worth(self) -> str:
        return f"{self.points} point" + ("" if self.points == 1 else "s")


def unanswered(answer: Any) -> bool:
    """Tell whether an answer is still a stub: `...`, None, or a function that says `return ...`."""
    if answer is None or answer is ...:
        return True
    if not inspect.isfunction(answer):
        return False
    steps = [step for step in dis.get_instructions(answer) if step.opname != "CACHE"]
    return any(
        step.argval is ... and (step.opname == "RETURN_CONST" or after.opname == "RETURN_VALUE")
        for step, after in zip(steps, [*steps[1:], steps[-1]], strict=True)
    )


def source(thing: Any) -> Any:
    """Return a function's or a class's source as coloured code for a notebook's output.

    This is how a chapter shows the facelab function that an equation became.
    """
    from IPython.display import Code

    return Code(textwrap.dedent(inspect.getsource(thing)).rstrip(), language="python")
