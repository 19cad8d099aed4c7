"""Judges answers with a chapter's tests: `python -m facelab.course.judge`, a trusted process.

The tests, hidden ones too, run here and never where a student's code runs. They are given a
function that passes a call on to the process with the answers (answers.py) and returns the data
that comes back. An answer that can't be called from afar, because a test takes gradients through
it, say, is judged `together`: its tests are sent to the student's process. Which exercises need
that, the published solution tells: it must pass its tests `apart`, or else `together`.

grading.py starts this process and gives it one job after another: the two pipes to a process with
answers, and what to judge. Reports go back one by one, so that it is known where a job got stuck.
"""

import ast
import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from facelab.book.exercise_cells import TAGS, parts
from facelab.book.exercises import Exercise
from facelab.course import wire
from facelab.course.answers import STATEMENT_S
from facelab.course.wire import Closed, Late, WireError

EXERCISE_S = 10.0  # for one exercise's visible test, and as much for its hidden ones
IMPORT_S = 120.0
MARGIN_S = 5.0
MEMORY_BYTES = 16 * 2**30
LONGEST_MESSAGE = 600
ALLOWED_ERRORS = {
    each.__name__: each
    for each in (ValueError, TypeError, RuntimeError, LookupError, KeyError, IndexError)
} | {"ZeroDivisionError": ZeroDivisionError, "AttributeError": AttributeError}


@dataclass(frozen=True)
class Task:
    """One exercise of the chapter; `answer` is the name that students define."""

    number: str
    title: str
    points: float
    variable: str
    answer: str
    tests: list[str]
    hidden: list[str]
    solutions: list[str]

    @property
    def solved(self) -> str:
        """A cell that answers it as the chapter does."""
        return "\n".join([*self.solutions, f"{self.answer} = {self.answer}_solution"])


@dataclass(frozen=True)
class Source:
    """What a chapter's source has for a judge; `parameters` is that cell's source."""

    imports: str
    parameters: str
    tasks: tuple[Task, ...]


def read(cells: Sequence[Any]) -> Source:
    """Return what the cells of a chapter's source have; raises `BookError` for a malformed one."""
    imports, parameters = [], ""
    for cell in cells:
        tags = set(cell.metadata.get("tags", []))
        if cell.cell_type == "code" and not tags & set(TAGS):
            parameters = cell.source if "parameters" in tags else parameters
            imports += _imports(cell.source)
    tasks = [
        Task(
            number=each.number,
            title=each.title,
            points=each.points,
            variable=each.variable,
            answer=each.answer,
            tests=each.sources("exercise-test"),
            hidden=each.hidden_tests,
            solutions=[_without_calls(cell, each.variable) for cell in each.sources("solution")],
        )
        for each in parts(cells)
    ]
    return Source("\n".join(imports), parameters, tuple(tasks))


def _imports(source: str) -> list[str]:
    lines = [line for line in source.splitlines() if not line.startswith(("%", "!"))]
    body = ast.parse("\n".join(lines)).body
    return [ast.unparse(each) for each in body if isinstance(each, ast.Import | ast.ImportFrom)]


def _without_calls(source: str, variable: str) -> str:
    """Return a cell's source without the statements that call a method of `variable`."""
    kept = []
    for statement in ast.parse(source).body:
        match statement:
            case ast.Expr(ast.Call(ast.Attribute(ast.Name(name)))) if name == variable:
                continue
        kept.append(ast.unparse(statement))
    return "\n".join(kept)


class Silent(BaseException):
    """The process with the answers said nothing that can be used; no test may catch this."""


class NoData(AssertionError):
    """An answer returned something that is no data, which its owner should be told."""


class Line:
    """The pipes to a process with answers; after one failure it is `broken`, and says why."""

    def __init__(self, source: int, out: int) -> None:
        os.set_blocking(source, False)
        os.set_blocking(out, False)
        self.source = source
        self.out = out
        self.broken = ""
        self.deadline = 0.0

    def allow(self, seconds: float) -> None:
        """Give the other side so many seconds from now."""
        self.deadline = time.monotonic() + seconds

    def send(self, message: dict[str, Any], generators: list[Any] | None = None) -> None:
        """Send a message of ours; raises `Silent` when it can't be sent."""
        data = wire.encode(message, functions=True, generators=generators)
        self._guarded(lambda: wire.send(self.out, data, self.deadline))

    def receive(self) -> dict[str, Any]:
        """Return the next message, a dict; raises `Silent`."""
        message = self._guarded(lambda: wire.decode(wire.receive(self.source, self.deadline)))
        if type(message) is not dict or "ended" in message:
            self._fail("ended" if type(message) is dict else "garbled")
        return message

    def ask(self, message: dict[str, Any], generators: list[Any] | None = None) -> dict[str, Any]:
        """Send a request and return what comes back."""
        self.send(message, generators)
        return self.receive()

    def _guarded(self, step: Callable[[], Any]) -> Any:
        if self.broken:
            raise Silent
        try:
            return step()
        except Late:
            self._fail("time")
        except Closed:
            self._fail("ended")
        except WireError:
            self._fail("garbled")

    def _fail(self, why: str) -> None:
        self.broken = why
        raise Silent


def _proxy(line: Line, name: str) -> Callable[..., Any]:
    """Return a function that calls the answer `name` in its own process."""

    def answer(*values: Any, **named: Any) -> Any:
        generators: list[Any] = []
        request = {"name": name, "values": values, "named": named}
        reply = line.ask(request, generators)
        if "raised" in reply:
            raise _raised(reply["raised"])
        if "unsendable" in reply:
            raise NoData(f"your answer returns what can't be compared: {reply['unsendable']}")
        states = reply.get("generators")
        with contextlib.suppress(WireError, TypeError, ValueError):
            for generator, state in zip(generators, states, strict=True):
                wire.advance(generator, state)
        return reply.get("value")

    return answer


def _raised(told: Any) -> Exception:
    """Return an exception of the type and with the text that a student's code raised."""
    name, text = (str(part)[:300] for part in told) if _is_pair(told) else ("Exception", "")
    name = name if name.isidentifier() else "Exception"
    bases = (ALLOWED_ERRORS[name],) if name in ALLOWED_ERRORS else (Exception,)
    made = type(name, bases, {"__str__": lambda self: text})
    return made()


def _is_pair(told: Any) -> bool:
    return type(told) is list and len(told) == 2 and all(type(part) is str for part in told)


class Judge:
    """Does one job: judges exercises in one phase over one line, and reports each as it is done."""

    def __init__(self, job: dict[str, Any], line: Line, report: Callable[..., None]) -> None:
        self.job = job
        self.line = line
        self.report = report
        self.tasks = [Task(**task) for task in job["tasks"]]
        self.hidden = job["phase"] == "hidden"
        self.namespace: dict[str, Any] = {"__name__": "exercise"}

    def work(self) -> None:
        """Judge what the job asks for; ends early, with a report, when the line breaks."""
        source = self.job["imports"] + "\n" + self.job["parameters_cell"]
        exec(compile(source, "<chapter>", "exec"), self.namespace)
        self.namespace.update(self.job["parameters"])
        try:
            self._open()
        except Silent:
            return
        for place, task in enumerate(self.tasks):
            for cell in [*task.tests, *task.hidden, *task.solutions]:
                exec(compile(cell, f"<{task.number}>", "exec"), self.namespace)
            if task.number in self.job["wanted"]:
                self._exercise(place, self.namespace[task.variable])
                if self.line.broken:
                    return
        self.line.allow(MARGIN_S)
        with contextlib.suppress(Silent):
            self.line.ask({"end": True})  # the answer is that it has ended
        self.report(done=True, reusable=self.line.broken == "ended")

    def _open(self) -> None:
        """Have the student's cells run, and report their errors."""
        begin = {
            "imports": self.job["imports"],
            "parameters": self.job["parameters"],
            "exercises": [task.variable for task in self.tasks],
            "cells": self.job["cells"],
        }
        cell = None
        try:
            self.line.allow(IMPORT_S)
            reply = self.line.ask(begin)
            if "failed" in reply:
                self.report(failed=_text(reply, "failed")[:300])
                raise Silent
            while "ready" not in reply:
                self.line.allow(STATEMENT_S + MARGIN_S)
                reply = self.line.receive()
                cell = reply["cell"] if type(reply.get("cell")) is int else cell
                self.report(cell=cell)
        except Silent:
            self.report(stuck=cell, why=self.line.broken)
            raise
        self.report(errors=_errors(reply["ready"]))

    def _exercise(self, place: int, exercise: Exercise) -> None:
        """Judge one exercise and report it."""
        task = self.tasks[place]
        self.line.allow(EXERCISE_S)
        try:
            if self.job["modes"].get(task.number) == "together":
                found = self._together(place)
            else:
                found = self._apart(exercise, task.answer)
        except Silent:
            found = {}
        except Exception as error:  # an answer that no test expected
            found = {"state": "wrong", "message": f"{task.title}: {type(error).__name__}"}
        if self.line.broken:  # whatever a test made of it
            found = {"state": "silent", "why": self.line.broken}
        about = [hidden.about for hidden in exercise.hidden]
        self.report(number=task.number, about=about, **found)

    def _apart(self, exercise: Exercise, name: str) -> dict[str, Any]:
        reply = self.line.ask({"open": True, "name": name})
        match _text(reply, "state"):
            case "function":
                answer = _proxy(self.line, name)
            case "data":
                answer = reply.get("value")
            case "absent" | "unanswered" as state:
                return {"state": state}
            case _:
                told = (
                    f"{exercise.title}: your answer can't be compared. {_text(reply, 'unsendable')}"
                )
                return {"state": "wrong", "message": told[:LONGEST_MESSAGE]}
        if self.hidden:
            verdicts = exercise.examine_hidden(answer)
            return {"hidden": [verdict.state == "right" for verdict in verdicts]}
        verdict = exercise.examine(answer)
        return {"state": verdict.state, "message": verdict.message[:LONGEST_MESSAGE]}

    def _together(self, place: int) -> dict[str, Any]:
        name, before = self.tasks[place].answer, self.tasks[: place + 1]
        opened = _text(self.line.ask({"open": True, "name": name}), "state")
        if opened in ("absent", "unanswered"):
            return {"state": opened}
        cells = [each for task in before for each in task.tests]
        if self.hidden:
            cells += self.tasks[place].hidden
        tests = {"cells": cells, "exercise": self.tasks[place].variable, "hidden": self.hidden}
        reply = self.line.ask({"together": tests, "name": name})
        if self.hidden:
            hidden = reply.get("hidden")
            return {"hidden": [one is True for one in hidden] if type(hidden) is list else []}
        state = "right" if _text(reply, "state") == "right" else "wrong"
        return {"state": state, "message": _text(reply, "message")[:LONGEST_MESSAGE]}


def _text(reply: dict[str, Any], name: str) -> str:
    """Return a text of a student's reply; an empty one for anything else."""
    value = reply.get(name)
    return value if type(value) is str else ""


def _errors(found: Any) -> list[dict[str, Any]]:
    """Return the errors of a student's cells, as far as they are well formed."""
    if type(found) is not list:
        return []
    return [
        {"cell": each["cell"], "text": each["text"][:300]}
        for each in found[:100]
        if type(each) is dict and type(each.get("cell")) is int and type(each.get("text")) is str
    ]


def job(
    source: Source,
    phase: str,
    modes: dict[str, str],
    wanted: Iterable[str],
    **student: Any,
) -> dict[str, Any]:
    """Return a job for this process: `student` has `parameters` and `cells`, (number, source).

    For the visible phase the hidden tests aren't part of it.
    """
    tasks = [asdict(task) for task in source.tasks]
    if phase == "visible":
        for task in tasks:
            task["hidden"] = []
    chapter = {"imports": source.imports, "parameters_cell": source.parameters, "tasks": tasks}
    return {"phase": phase, "modes": modes, "wanted": list(wanted), **chapter, **student}


def main() -> None:
    """Do the jobs that come over the socket whose number is the first argument."""
    with contextlib.suppress(ImportError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        most = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(hard, MEMORY_BYTES)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    grader = socket.socket(fileno=int(sys.argv[1]))

    def report(**values: Any) -> None:
        wire.send(grader.fileno(), wire.encode(values))

    while True:
        letter, pipes, _, _ = socket.recv_fds(grader, 1, 2)
        if not letter:
            return
        line = Line(*pipes)
        try:
            Judge(wire.decode(wire.receive(grader.fileno())), line, report).work()
            report(over=line.broken)
        except Exception as error:
            report(crashed=f"{type(error).__name__}: {error}"[:300])
        finally:
            for pipe in pipes:
                os.close(pipe)


if __name__ == "__main__":
    main()
