"""Brings answers before the judge, and goes on when a process has to be killed.

A `Bench` is the judge's process, kept for many submissions. A `Hearing` is one submission: it
starts the process with its answers, and starts it anew for the exercises that are left when an
answer never ends, or takes its process down with it.
"""

import contextlib
import functools
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil

import facelab
from facelab.book.processes import kill_with_all_below
from facelab.course import judge, sandbox, wire
from facelab.course.judge import EXERCISE_S, IMPORT_S, MARGIN_S, Source
from facelab.course.limits import Limits
from facelab.course.wire import Closed, Late, WireError
from facelab.errors import BookError

# Starts a command in the sandbox, with binary pipes for its input and output and the folder
# `workspace` as the place where it runs and the only one it may write to.
Start = Callable[[list[str], Path], subprocess.Popen]

COMMAND = [sys.executable, "-m", "facelab.course.answers"]
PATIENCE_S = (
    2 * EXERCISE_S + MARGIN_S
)  # for a report, some of which come after the judge's own work
GRACE_S = 3.0  # from asking a process to end to killing it
STARTS = 2  # attempts at a process that doesn't come up
MOST_SKIPPED = 3  # cells that never end, before the submission is given up


class Bench:
    """The judge's process, started when it is needed, and anew after it got stuck."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._socket: socket.socket | None = None

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def hear(self, job: dict[str, Any], pipes: list[int]) -> Iterator[dict[str, Any]]:
        """Yield the judge's reports on a job; the last has `over`, or is {"lost": True}."""
        if self._process is None:
            self._start()
        report: dict[str, Any] = {}
        try:
            socket.send_fds(self._socket, [b"J"], pipes)
            deadline = time.monotonic() + PATIENCE_S
            wire.send(self._socket.fileno(), wire.encode(job), deadline)
            patience = IMPORT_S + MARGIN_S
            while not report.keys() & {"over", "crashed"}:
                deadline = time.monotonic() + patience
                report = wire.decode(wire.receive(self._socket.fileno(), deadline))
                yield report
                patience = PATIENCE_S
        except (Late, Closed, WireError, OSError):
            self.close()
            yield {"lost": True}

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "facelab.course.judge", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=Path(facelab.__file__).parents[1],  # this facelab and no other
                env=dict(os.environ) | {"OMP_NUM_THREADS": "1"},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._socket.close()
            _kill(self._process)
        self._process = self._socket = None


def sandboxed(folder: Path, isolation: str = "auto", limits: Limits | None = None) -> Start:
    """Return what starts a process in the sandbox, where the assignment's `folder` can't be read.

    Raises `BookError` for an isolation that isn't there.
    """
    return functools.partial(
        sandbox.start,
        isolation=sandbox.choose(isolation),
        limits=limits or Limits(),
        hidden=[folder],
        threads=1,
    )


def _kill(process: subprocess.Popen) -> None:
    """End a process and all below it; a sandbox's first process is given the time to do that."""
    below: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        below = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for each in below:
        kill_with_all_below(each)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


class Hearing:
    """One submission before the judge: `cells` are the student's own, as (number, source).

    `errors` has what the cells raised when they ran for the visible tests, `skipped` the cells
    that had to be left out because they didn't end.
    """

    def __init__(
        self,
        bench: Bench,
        start: Start,
        source: Source,
        parameters: dict[str, Any],
        cells: list[tuple[int, str]],
    ) -> None:
        self.errors: list[dict[str, Any]] = []
        self.skipped: dict[int, str] = {}
        self._bench = bench
        self._start = start
        self._source = source
        self._parameters = parameters
        self._cells = cells
        self._numbers = {number for number, _ in cells}
        self._process: subprocess.Popen | None = None
        self._workspace: Path | None = None

    def __enter__(self) -> "Hearing":
        return self

    def __exit__(self, *failure: object) -> None:
        self._drop()

    def phase(
        self, phase: str, wanted: Iterable[str], modes: dict[str, str]
    ) -> dict[str, dict[str, Any]]:
        """Return the judge's report for each exercise that is `wanted`, by number.

        Raises `BookError` when the chapter's own cells fail.
        """
        found: dict[str, dict[str, Any]] = {}
        left, failures = list(wanted), 0
        while left:
            fresh = self._process is None
            progress = self._hear(phase, left, modes, found)
            left = [number for number in left if number not in found]
            if not progress and fresh:
                failures += 1
            if failures == STARTS:
                raise BookError(
                    "the process for a student's answers doesn't start; see that "
                    f"`{' '.join(COMMAND[1:])}` runs, or choose another isolation"
                )
        return found

    def _hear(
        self, phase: str, left: list[str], modes: dict[str, str], found: dict[str, dict[str, Any]]
    ) -> bool:
        """Have the judge go on with what is left; return whether that led anywhere."""
        fresh, before = self._process is None, (len(found), len(self.skipped))
        pipes = self._pipes()
        cells = [cell for cell in self._cells if cell[0] not in self.skipped]
        job = judge.job(self._source, phase, modes, left, parameters=self._parameters, cells=cells)
        reusable = begun = False
        for report in self._bench.hear(job, pipes):
            begun = begun or report.get("cell") is not None or "errors" in report
            reusable = reusable or report.get("reusable", False)
            if "number" in report:
                found[report["number"]] = report
            elif report.get("stuck") in self._numbers:
                self.skipped[report["stuck"]] = report["why"]
            elif "errors" in report and phase == "visible":
                self.errors = report["errors"]
            elif "crashed" in report or ("failed" in report and fresh):
                reason = report.get("crashed") or report.get("failed")
                self._bench.close()
                raise BookError(f"the chapter's own cells can't be run for grading: {reason}")
        if not reusable:
            self._drop()
        given_up = left if len(self.skipped) > MOST_SKIPPED else []
        if (len(found), len(self.skipped)) == before and begun:
            given_up = left[:1]  # the judge itself got stuck in the next one
        for number in given_up:
            found.setdefault(number, {"number": number, "state": "silent", "why": "judge"})
        return (len(found), len(self.skipped)) != before

    def _pipes(self) -> list[int]:
        if self._process is None:
            self._workspace = Path(tempfile.mkdtemp(prefix="facelab-answers-"))
            self._process = self._start(COMMAND, self._workspace)
        return [self._process.stdout.fileno(), self._process.stdin.fileno()]

    def _drop(self) -> None:
        """End the process with the answers, and remove all that it wrote."""
        if self._process is not None:
            _kill(self._process)
            sandbox.remove(self._workspace)
        self._process = self._workspace = None
