"""The trusted side of one run: starts a sandbox with a notebook, watches it, takes what it leaves.

What the sandbox says and leaves is checked before it is believed: it may have been made up.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from facelab.book.processes import SAMPLE_S
from facelab.course import sandbox
from facelab.course.limits import Excess, Limits
from facelab.course.telling import LONGEST_TEXT, acceptable
from facelab.errors import BookError

if TYPE_CHECKING:
    from nbformat import NotebookNode

Json = dict[str, Any]

COMMAND = [sys.executable, "-m", "facelab.course.worker"]
PREFIX = "facelab-run-"
EXECUTED = "executed.ipynb"
OUTCOMES = ("ok", "error", "time", "output", "killed")  # what a worker may say
START_S = 180.0  # for the kernel, on a machine that has a lot to do
GRACE_S = 5.0  # from a stop to a worker's tidy end
LATE_S = 5.0  # by which a worker may be late with a cell that is over its time
LONGEST_EVENT = 100_000
LONGEST_SOCKET = 100  # bytes of a path that a socket may have
LOG_LINES = 6
DRAWS = re.compile(r"matplotlib|pyplot|pylab|figures|widgets")


@dataclass(frozen=True)
class Work:
    """A notebook to run in isolation, and what to read at its end, by name."""

    notebook: NotebookNode
    parameters: Mapping[str, Any]
    expressions: Mapping[str, str]
    hidden: tuple[Path, ...]
    limits: Limits
    isolation: str
    threads: int | None = None


@dataclass
class Outcome:
    """What came of it. `executed` is the notebook with outputs, or None."""

    outcome: str = "killed"
    message: str = ""
    cell: int | None = None
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    reported: Json = field(default_factory=dict)
    executed: str | None = None


def run(work: Work, stopped: threading.Event | None = None) -> Outcome:
    """Run a notebook in a sandbox of its own and leave nothing of it behind.

    Raises `BookError` when the sandbox doesn't start, `KeyboardInterrupt` when `stopped` is set.
    """
    if any(DRAWS.search(cell.source) for cell in work.notebook.cells if cell.cell_type == "code"):
        sandbox.prepare_fonts()
    workspace = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-")).resolve()
    try:
        if len(os.fsencode(workspace)) > LONGEST_SOCKET - len("/runtime/k-5"):
            raise BookError(f"the name of {workspace} is too long; let TMPDIR name another folder")
        supervisor = Supervisor(work, workspace)
        try:
            return supervisor.follow(stopped)
        finally:
            supervisor.close()
    finally:
        sandbox.remove(workspace)


class Supervisor:
    """The trusted side of one run: starts the worker, watches, stops it, reads what it left."""

    def __init__(self, work: Work, workspace: Path) -> None:
        self._work = work
        self._executed = workspace / EXECUTED
        self._log = (workspace / "log.txt").open("w+b")
        self._begun = time.monotonic()
        self._ready: float | None = None  # when the kernel was; the limit counts from there
        self._cell, self._cell_begun = 0, self._begun
        self._excess: Excess | None = None
        self._end: Json | None = None
        self._events: SimpleQueue = SimpleQueue()
        source = workspace / "submission.ipynb"
        source.write_text(json.dumps(work.notebook), encoding="utf-8")
        self._process = sandbox.start(
            COMMAND,
            workspace,
            work.isolation,
            work.limits,
            hidden=work.hidden,
            threads=work.threads,
            stderr=self._log,
            watched=False,
        )
        self._watch = sandbox.watch(self._process, workspace, work.isolation, work.limits)
        with contextlib.suppress(BrokenPipeError):  # how it ended says why
            self._process.stdin.write(json.dumps(self._task(source)).encode() + b"\n")
            self._process.stdin.flush()
        threading.Thread(target=self._read, daemon=True).start()

    def _task(self, source: Path) -> Json:
        limits = self._work.limits
        return {
            "notebook": str(source),
            "executed": str(self._executed),
            "parameters": dict(self._work.parameters),
            "expressions": dict(self._work.expressions),
            "cell_seconds": limits.cell_seconds,
            "cell_bytes": int(limits.output_cell_kb * 1e3),
            "bytes": int(limits.output_mb * 1e6),
        }

    def _read(self) -> None:
        """Pass on the worker's events, in a thread; None when it has ended."""
        with contextlib.suppress(ValueError, OSError):  # it was closed meanwhile
            while line := self._process.stdout.readline(LONGEST_EVENT):
                with contextlib.suppress(ValueError, RecursionError):  # it isn't an event
                    event = json.loads(line)
                    if isinstance(event, dict):
                        self._events.put(event)
        self._events.put(None)

    def follow(self, stopped: threading.Event | None) -> Outcome:
        """Watch the run until it ends, or has to be ended."""
        looked = 0.0
        while True:
            if stopped is not None and stopped.is_set():
                raise KeyboardInterrupt
            event = None
            with contextlib.suppress(Empty):
                event = self._events.get(timeout=SAMPLE_S)
                if event is None:
                    break
            if event is not None:
                self._handle(event)
            if time.monotonic() - looked > SAMPLE_S or self._end is not None:
                self._excess = self._excess or self._watch.look() or self._late()
                looked = time.monotonic()
            if self._end is not None:
                break
            if self._excess is not None:
                self._stop()
                break
        return self._outcome()

    def _handle(self, event: Json) -> None:
        match event:
            case {"event": "kernel"} if self._ready is None:
                self._ready = time.monotonic()
            case {"event": "cell", "number": int(number)}:
                self._cell, self._cell_begun = number, time.monotonic()
            case {"event": "end", "outcome": str(outcome)} if outcome in OUTCOMES:
                self._end = event

    def _late(self) -> Excess | None:
        """Return a limit of time that is passed; the worker itself looks after that of a cell."""
        now, limits = time.monotonic(), self._work.limits
        if self._ready is None:
            return Excess("start", "") if now - self._begun > START_S else None
        if self._cell and now - self._cell_begun > limits.cell_seconds + LATE_S:
            return Excess("time", "cell")
        if now - self._ready > limits.notebook_seconds:
            return Excess("time", "notebook")
        return None

    def _stop(self) -> None:
        """Kill what runs, give the worker time to save what was done, and look on meanwhile."""
        self._watch.stop()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline and self._process.poll() is None:
            time.sleep(SAMPLE_S / 4)
            self._watch.stop()

    def close(self) -> None:
        """End all processes."""
        self._watch.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def _outcome(self) -> Outcome:
        seconds = round(time.monotonic() - self._begun, 2)
        if self._excess is None and self._end is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=GRACE_S)
        self._watch.kill()
        if self._ready is None and (self._excess is None or self._excess.outcome == "start"):
            raise BookError(
                f"no kernel was started under {self._work.isolation} ({self._last_words()}); see "
                "that it works, or choose another isolation"
            )
        executed = checked(self._executed, self._work)
        peak = self._watch.peak_mb
        cell = self._cell if 1 <= self._cell <= len(self._work.notebook.cells) else None
        outcome = Outcome("killed", "", cell, seconds, peak, executed=executed)
        end = self._end or {"outcome": "killed"}
        if self._excess is not None:
            outcome.outcome, outcome.message = _passed(self._excess, cell, self._work.limits)
        else:
            self._take(outcome, end)
        if outcome.outcome in ("ok", "error") and executed is None:
            outcome.outcome, outcome.reported = "killed", {}
            outcome.message = "the notebook with your outputs was lost or damaged by your own code"
        return outcome

    def _take(self, outcome: Outcome, end: Json) -> None:
        """Fill in what the worker says, as far as it makes sense."""
        outcome.outcome = end["outcome"]
        cell = end.get("cell")
        places = range(1, len(self._work.notebook.cells) + 1)
        if outcome.outcome in ("ok", "error"):
            outcome.cell = cell if isinstance(cell, int) and cell in places else None
            outcome.reported = _acceptable(end.get("reported"), self._work.expressions)
        outcome.message = _told(end, outcome.cell, self._work.limits)

    def _last_words(self) -> str:
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - 10_000))
        lines = self._log.read().decode(errors="replace").split("\n")
        return _line(" ".join(lines[-LOG_LINES:])) or "it said nothing"


def _acceptable(reported: Any, expected: Mapping[str, str]) -> Json:
    values = reported if isinstance(reported, dict) else {}
    return {name: values[name] for name in expected if acceptable(values.get(name))}


def checked(path: Path, work: Work) -> str | None:
    """Return the executed notebook as it is to be kept, or None for none that can be.

    It may be a link to somewhere, a pipe, endless, or no notebook.
    """
    import nbformat

    most = 2 * len(json.dumps(work.notebook)) + int(2 * work.limits.output_mb * 1e6) + 1_000_000
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return None
    with os.fdopen(handle, "rb") as file:
        content = file.read(most + 1)
    try:
        if len(content) > most:
            return None
        notebook = nbformat.reader.reads(content.decode())
        nbformat.validate(notebook, relax_add_props=True)
        text = nbformat.v4.writes(notebook) + "\n"
        return text.encode("utf-8", "replace").decode()  # halves of characters can't be written
    except Exception:  # validators raise whatever they stumble over
        return None


def _passed(excess: Excess, cell: int | None, limits: Limits) -> tuple[str, str]:
    """Return outcome and message for a limit that the trusted side saw passed."""
    where = f"cell {cell}" if cell else "the notebook"
    if excess.outcome == "time":
        return "time", _over_time(cell if excess.message == "cell" else None, cell, limits)
    advice = {
        "memory": "work with smaller arrays, or with fewer at a time",
        "disk": "write less, and delete what you don't need any more",
        "killed": "start fewer",
    }
    return excess.outcome, f"{where} was stopped: {excess.message}; {advice[excess.outcome]}"


def _over_time(over: int | None, cell: int | None, limits: Limits) -> str:
    if over:
        return (
            f"cell {over} was stopped: it took longer than {limits.cell_seconds:g} s; see whether "
            "a loop in it ever ends"
        )
    return (
        f"the notebook took longer than {limits.notebook_seconds:g} s and was stopped in cell "
        f"{cell}; make its slowest cells do less"
    )


def _told(end: Json, cell: int | None, limits: Limits) -> str:
    """Return the message for an outcome that the worker saw."""
    where = f"cell {cell}" if cell else "the notebook"
    name, message = _line(end.get("name", "")), _line(end.get("message", ""))
    match end["outcome"]:
        case "ok":
            return "every cell ran"
        case "error":
            error = f"{name}: {message}" if message else name
            return f"{where} raised {error}; the cells after it ran all the same"
        case "time":
            return _over_time(cell, cell, limits)
        case "output" if name == "notebook":
            most = f"{limits.output_mb:g} MB of output in all"
            return f"{where} was stopped: there is more than {most}; print less"
        case "output":
            most = min(limits.output_cell_kb, 1000 * limits.output_mb)
            return f"{where} was stopped: its output is larger than {most:g} kB; print less"
    how = f" ({message})" if message else ""
    return f"{where} ended the process that ran it{how}; leave out what ends or kills processes"


def _line(text: Any) -> str:
    """Return a text of a submission as one short line."""
    line = " ".join("".join(one if one.isprintable() else " " for one in str(text)).split())
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 3] + "..."
