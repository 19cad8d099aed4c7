"""Rows that are no method: without them a number says little."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from facelab.comparison.cases import COMMON, Case, Task
from facelab.comparison.contestants import NO_KNOB, Change, Contestant, Knob
from facelab.recognition.align import Template
from facelab.types import Image

ROWS = 4  # where all methods have the common framing


def _always(case: Case) -> None:
    return None


@dataclass(frozen=True)
class Baseline:
    """A row that knows its answer; it costs nothing and saw nobody.

    `answer` gives it of a case and a strength, framed like `template`; `reason` says why it can't.
    `knob` is that of a changed attribute; of another person there is one answer.
    """

    name: str
    answer: Callable[[Case, float], Image]
    reason: Callable[[Case], str | None] = _always
    template: Template = COMMON
    moves: Knob = NO_KNOB

    def refusal(self, case: Case) -> str | None:
        """Why not, or None."""
        return self.reason(case)

    def knob(self, task: Task) -> Knob:
        """What its strength is."""
        return NO_KNOB if task.change is None else self.moves

    def seen(self, task: Task) -> tuple[str, ...]:
        """Nobody."""
        return ()

    def cost(self, task: Task) -> None:
        """Nothing."""
        return None

    def begin(self, case: Case) -> Change:
        """Return the answer by its strength."""
        return lambda strength: self.answer(case, strength)


def copy(template: Template = COMMON) -> Baseline:
    """The face as it was given, through a framing: what its resampling takes away."""
    name = "copy"
    if template != COMMON:
        name = f"copy, {template.name} of {template.size} pixels"
    return Baseline(name, lambda case, strength: case.faces, template=template)


def other_person() -> Baseline:
    """The other person's picture: the best identity that there is, and all else by chance."""

    def reason(case: Case) -> str | None:
        return None if case.task.change is None else "the person shall stay"

    return Baseline("copy of the other person", lambda case, strength: case.others, reason)


def random_face() -> Baseline:
    """A face of somebody else: what chance gives, and as real as the inputs."""
    return Baseline("random", lambda case, strength: case.strangers)


def drawn() -> Baseline:
    """The answer, drawn of the head: what the judges say where all is right."""

    def reason(case: Case) -> str | None:
        known = case.heads is not None and case.heads.can(case.task)
        return None if known else "nothing says which picture is right"

    knob = Knob("how far the head's mouth is moved")
    return Baseline("drawn", lambda c, s: c.heads.answer(c.task, s), reason, moves=knob)


def baselines(methods: Sequence[Contestant]) -> list[Baseline]:
    """Return the rows beside some methods: a copy through each framing that they have, and more."""
    framings = dict.fromkeys([COMMON, *(method.template for method in methods)])
    return [*map(copy, framings), other_person(), random_face(), drawn()]
