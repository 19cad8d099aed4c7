"""Inline exercises: a stub to complete, a test that says what is wrong, and a folded solution.

A chapter declares an `Exercise` from a test, a function that takes the reader's answer and uses
plain `assert condition, "what is wrong"`. `check` tells a reader how the answer does and never
stops the notebook, so that an unanswered exercise does not break a chapter. The cells after it are
for those who publish the chapter: `hide` adds a test that students don't see, `refuse` proves that
a typical wrong answer is told what is wrong, and `prove` that the solution passes all tests. Those
two raise, so that an exercise that can't be trusted can't be published.
"""

import dis
import inspect
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from facelab.errors import BookError

DIFFICULTIES = ("easy", "medium", "hard")
VISIBLE_SHARE = 0.6  # of the points, for an answer that passes the visible test alone
NUMBER = re.compile(r"\d+\.\d+")


@dataclass(frozen=True)
class Verdict:
    """What a test found: `state` is "unanswered", "wrong" or "right"."""

    state: str
    message: str

    def __str__(self) -> str:
        mark = {"unanswered": "○", "wrong": "✗", "right": "✓"}[self.state]
        return f"{mark} {self.message}"


@dataclass(frozen=True)
class HiddenTest:
    """A test that students don't see; of it they are told only what it is `about`."""

    about: str
    test: Callable[[Any], None]


@dataclass(frozen=True, eq=False)
class Exercise:
    """One exercise: a title that begins with its number, its test, what it costs and earns."""

    title: str
    test: Callable[[Any], None]
    minutes: int = 5
    points: int = 1
    difficulty: str = "medium"
    hidden: list[HiddenTest] = field(default_factory=list, init=False)
    refused: list[str] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if self.difficulty not in DIFFICULTIES:
            known = ", ".join(DIFFICULTIES)
            raise BookError(f"{self.title}: difficulty: expected {known}, got {self.difficulty!r}")

    @property
    def number(self) -> str:
        """The number that the title begins with: `2.1`."""
        found = NUMBER.match(self.title)
        if found is None:
            raise BookError(f"{self.title!r} has no number; begin the title with one, as in 2.1")
        return found[0]

    def hide(self, about: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
        """Return a decorator that makes a test one of the hidden ones.

        `about` completes "one hidden test is about ..." and must not give the test away.
        """

        def keep(test: Callable[[Any], None]) -> Callable[[Any], None]:
            self.hidden.append(HiddenTest(about, test))
            return test

        return keep

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

    def examine_hidden(self, answer: Any) -> list[Verdict]:
        """Return how an answer does in each hidden test; messages say what it is about, no more."""
        return [self._hidden_verdict(hidden, answer) for hidden in self.hidden]

    def _hidden_verdict(self, hidden: HiddenTest, answer: Any) -> Verdict:
        try:
            hidden.test(answer)
        except Exception:  # what it says would give the test away
            return Verdict("wrong", f"{self.title}: does not hold for {hidden.about}.")
        return Verdict("right", f"{self.title}: holds for {hidden.about}.")

    def earned(self, visible: bool, hidden: list[bool]) -> float:
        """Return the points for what passed: a share for the visible test, the rest by hidden ones.

        Without the visible test there are none: whoever guesses a hidden test has not answered.
        """
        if not visible:
            return 0.0
        rest = sum(hidden) / len(hidden) if hidden else 1.0
        return round(self.points * (VISIBLE_SHARE + (1 - VISIBLE_SHARE) * rest), 2)

    def credit(self, answer: Any) -> float:
        """Return the points that an answer earns by the tests that are there; never raises.

        As the last line of a cell it is what nbgrader takes as partial credit.
        """
        visible = self.examine(answer).state == "right"
        hidden = self.examine_hidden(answer) if visible else []
        return self.earned(visible, [each.state == "right" for each in hidden])

    def check(self, answer: Any) -> None:
        """Print how an answer does; never raises."""
        print(self.examine(answer))

    def refuse(self, answer: Any, message: str) -> None:
        """Hold that the visible test finds `answer` wrong and says `message` among other words.

        Raises `BookError` when it passes, or is told something else.
        """
        verdict = self.examine(answer)
        if verdict.state != "wrong":
            raise BookError(f"{self.title}: a wrong answer is taken for {verdict.state}: {message}")
        if message not in verdict.message:
            raise BookError(
                f"{self.title}: a wrong answer should be told {message!r}, it is told: "
                f"{verdict.message}"
            )
        self.refused.append(message)

    def prove(self, answer: Any) -> None:
        """Print that the solution passes; raises `BookError` when a test, hidden or not, fails."""
        verdict = self.examine(answer)
        if verdict.state != "right":
            raise BookError(f"the published solution fails: {verdict.message}")
        for hidden in self.hidden:
            try:
                hidden.test(answer)
            except Exception as error:
                what = f"the hidden test on {hidden.about}: {type(error).__name__}: {error}"
                raise BookError(f"{self.title}: the published solution fails {what}") from error
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


def read_number(got: Any) -> float:
    """Return what an answer gave as a float; an `AssertionError` says what came instead."""
    try:
        return float(got)
    except (TypeError, ValueError, RuntimeError):
        raise AssertionError(f"expected one number, got {got!r}") from None


def read_tensor(got: Any, shape: tuple[int, ...]) -> Any:
    """Return what an answer gave as floats, without gradients.

    An `AssertionError` says what came where it is no tensor, or one of another shape.
    """
    import torch

    assert isinstance(got, torch.Tensor), f"expected a tensor, got {got!r}"
    assert tuple(got.shape) == shape, f"expected the shape {shape}, got {tuple(got.shape)}"
    return got.detach().float()


def source(thing: Any) -> Any:
    """Return a function's or a class's source as coloured code for a notebook's output.

    This is how a chapter shows the facelab function that an equation became.
    """
    from IPython.display import Code

    return Code(textwrap.dedent(inspect.getsource(thing)).rstrip(), language="python")
