"""Holds a student's answers and calls them for the judge: `python -m facelab.course.answers`.

This runs in the sandbox. It imports what the chapter imports and then, for each phase of judging
(visible tests, hidden tests), forks a process that runs the student's own cells and serves the
judge's calls, so that the phases share nothing. Whatever a student prints is dropped: the judge
reads one message of data for each request, see wire.py, and trusts none of it.

Requests: `open` (what does a name hold), `values` (call it with these), `together` (run tests here,
for exercises whose answers can't be called from afar), `end`.
"""

import ast
import builtins
import contextlib
import linecache
import os
import signal
import sys
import time
import types
from collections.abc import Iterator
from typing import Any

from facelab.book.exercises import unanswered
from facelab.course import wire
from facelab.course.wire import Closed, WireError

STATEMENT_S = 10.0
CELLS_S = 60.0  # for all of a student's cells; after it only definitions are still run
LONGEST_TEXT = 300
DEFINITIONS = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


class StandIn:
    """Stands where a notebook has an `Exercise`: a student's call of it does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *values, **named: lambda function: function


class Messages:
    """The two pipes to the judge."""

    def __init__(self, source: int, out: int) -> None:
        self.source = source
        self.out = out

    def receive(self, generators: list[Any] | None = None) -> dict[str, Any]:
        """Return the judge's next request."""
        return wire.decode(wire.receive(self.source), trusted=True, generators=generators)

    def send(self, **answer: Any) -> None:
        """Send an answer; what can't be sent is told instead."""
        try:
            data = wire.encode(answer)
        except WireError as error:
            data = wire.encode({"unsendable": str(error)})
        except Exception as error:  # a student's class may raise whatever it likes
            data = wire.encode({"unsendable": f"{told(error)} was raised by what it returned"})
        wire.send(self.out, data)


def told(error: BaseException) -> str:
    """Return an exception in a few words."""
    return ": ".join(raised(error))


def raised(error: BaseException) -> list[str]:
    """Return an exception's type and text, cut."""
    try:
        text = str(error)
    except BaseException:
        text = "(its text can't be told)"
    return [type(error).__name__[:60], text[:LONGEST_TEXT]]


class Cells:
    """Runs a student's cells in a module of their own, statement by statement."""

    def __init__(self, namespace: dict[str, Any], messages: Messages) -> None:
        self.namespace = namespace
        self.messages = messages
        self.errors: list[dict[str, Any]] = []
        self._until = time.monotonic() + CELLS_S

    def run(self, number: int, source: str) -> None:
        """Run a cell; an error ends a statement, the others of the cell still run."""
        name = f"<cell {number}>"
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        try:
            body = ast.parse(_python(source), name).body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            self._note(number, error)
            return
        for statement in body:
            if time.monotonic() < self._until or isinstance(statement, DEFINITIONS):
                self.messages.send(cell=number)
                self._run(number, statement, name)

    def _run(self, number: int, statement: ast.stmt, name: str) -> None:
        try:
            with _limited(STATEMENT_S):
                exec(compile(ast.Module([statement], []), name, "exec"), self.namespace)
        except BaseException as error:
            self._note(number, error)

    def _note(self, number: int, error: BaseException) -> None:
        if len(self.errors) < 100:
            line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
            where = f" (line {line})" if isinstance(line, int) else ""
            text = error.msg if isinstance(error, SyntaxError) else told(error)
            text = f"SyntaxError: {text}" if isinstance(error, SyntaxError) else text
            self.errors.append({"cell": number, "text": f"{text}{where}"[:LONGEST_TEXT]})


def _python(source: str) -> str:
    """Return a cell's source without IPython's lines, which begin with % or !."""
    lines = source.splitlines()
    return "\n".join("pass" if line.startswith(("%", "!")) else line for line in lines)


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def stop(number: int, frame: Any) -> None:
        raise TimeoutError(f"it took longer than {seconds:g} s")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def serve(task: dict[str, Any], imported: dict[str, Any], messages: Messages) -> None:
    """Run a task's cells, then answer requests until the judge says `end`."""
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    main.__dict__.update(imported | task["parameters"])
    main.__dict__.update({name: StandIn() for name in task["exercises"]})
    cells = Cells(main.__dict__, messages)
    for number, source in task["cells"]:
        cells.run(number, source)
    messages.send(ready=cells.errors)
    while True:
        generators: list[Any] = []
        request = messages.receive(generators)
        if "end" in request:
            return
        value = main.__dict__.get(request["name"], ...)
        if "open" in request:
            _tell(value, request["name"] in main.__dict__, messages)
        elif "together" in request:
            ours = imported | task["parameters"]
            messages.send(**_together(request["together"], value, ours))
        else:
            _call(value, request, generators, messages)


def _tell(value: Any, there: bool, messages: Messages) -> None:
    if not there:
        messages.send(state="absent")
    elif unanswered(value):
        messages.send(state="unanswered")
    elif callable(value):
        messages.send(state="function")
    else:
        messages.send(state="data", value=value)


def _call(answer: Any, request: dict, generators: list[Any], messages: Messages) -> None:
    try:
        value = answer(*request["values"], **request["named"])
    except BaseException as error:
        messages.send(raised=raised(error))
        return
    states = [generator.get_state().numpy().tobytes() for generator in generators]
    messages.send(value=value, generators=states)


def _together(tests: dict[str, Any], answer: Any, namespace: dict[str, Any]) -> dict[str, Any]:
    """Run the tests of one exercise on an answer in this process."""
    namespace["__name__"] = "exercise"
    for source in tests["cells"]:
        exec(compile(source, "<test>", "exec"), namespace)
    exercise = namespace[tests["exercise"]]
    if not tests["hidden"]:
        verdict = exercise.examine(answer)
        return {"state": verdict.state, "message": verdict.message}
    return {"hidden": [verdict.state == "right" for verdict in exercise.examine_hidden(answer)]}


def _import(source: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__builtins__": builtins, "__name__": "__main__"}
    exec(compile(source, "<imports>", "exec"), namespace)
    return namespace


def _fork(task: dict[str, Any], imported: dict[str, Any], messages: Messages) -> None:
    """Serve a task in a process of its own and tell the judge when that has ended."""
    child = os.fork()
    if child == 0:
        try:
            with contextlib.suppress(Closed):
                serve(task, imported, messages)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    messages.send(ended=True)


def main() -> None:
    """Serve the judge's tasks until it closes the pipe."""
    messages = Messages(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    imported = None
    with contextlib.suppress(Closed):
        while True:
            task = messages.receive()
            if imported is None:
                try:
                    imported = _import(task["imports"])
                except Exception as error:
                    messages.send(failed=told(error))
                    return
            messages.send(imported=True)
            _fork(task, imported, messages)


if __name__ == "__main__":
    main()
