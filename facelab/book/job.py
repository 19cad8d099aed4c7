"""One chapter in the hands of a worker process: its environment, its events, its result."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import psutil

import facelab
from facelab import errors
from facelab.book import report
from facelab.book.plans import Plan
from facelab.book.processes import kill_with_all_below
from facelab.book.report import CellTime, ChapterReport, Failure
from facelab.engine import provenance

WORKER = "facelab.book.worker"
GRACE_S = 12.0  # from a stop to killing the worker, which gives up by itself before
LOG_LINES = 12
INLINE = "module://matplotlib_inline.backend_inline"

Post = Callable[[str, dict[str, Any] | None], None]


class Running(NamedTuple):
    """The cell that runs: its number (0: none of the chapter's), title, and when it started."""

    number: int
    title: str
    since: float


class Job:
    """Runs a plan. Whoever owns it passes on its events (`handle`) and the time (`tick`).

    `post(slug, event)` is called from a thread for each event, and with None when the worker is
    gone. Then `finish` gives the result, and `executed` is the notebook, if there is one.
    """

    def __init__(self, plan: Plan, folder: Path, jobs: int, post: Post) -> None:
        self.plan = plan
        self.slug = plan.chapter.slug
        self.executed = folder / f".{self.slug}.{os.getpid()}.part"
        self._records = folder / self.slug
        self._workspace = Path(tempfile.mkdtemp(prefix="facelab-"))
        self._log = self._workspace / "log.txt"
        self._started = datetime.now(UTC)
        self._created = time.monotonic()
        self._begun: float | None = None  # when the kernel was ready; budgets count from there
        self._seconds = 0.0
        self._cell = Running(0, "starting the kernel", self._created)
        self._cells: list[CellTime] = []
        self._reason: str | None = None
        self._stopped = 0.0
        self._end: dict[str, Any] | None = None
        self._kernel: psutil.Process | None = None
        variables = environment(os.environ, self._workspace, folder, self.slug, jobs)
        self._worker = self._start(variables)
        threading.Thread(target=self._read, args=(post,), daemon=True).start()

    def _start(self, variables: dict[str, str]) -> subprocess.Popen:
        with self._log.open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=variables,
                cwd=Path(facelab.__file__).parents[1],  # this facelab and no other
                start_new_session=True,  # a Ctrl-C is ours to pass on
            )
        task = {
            "notebook": str(self.plan.chapter.notebook),
            "parameters": dict(self.plan.parameters),
            "cwd": os.getcwd(),
            "workspace": str(self._workspace),
            "executed": str(self.executed),
        }
        with contextlib.suppress(BrokenPipeError):  # how it ended says why
            worker.stdin.write(json.dumps(task).encode() + b"\n")
            worker.stdin.flush()
        return worker

    def _read(self, post: Post) -> None:
        with contextlib.suppress(ValueError):  # a line cut short by the worker's death
            for line in self._worker.stdout:
                post(self.slug, json.loads(line))
        post(self.slug, None)

    def handle(self, event: dict[str, Any]) -> None:
        """Take note of an event of the worker."""
        match event["event"]:
            case "kernel":
                self._begun = time.monotonic()
                with contextlib.suppress(psutil.NoSuchProcess):
                    self._kernel = psutil.Process(event["pid"])
            case "cell" if self._reason is None:
                self._cell = Running(event["number"], event["title"], time.monotonic())
            case "cell done" if self._reason is None:
                done = CellTime(self._cell.number, self._cell.title, event["seconds"])
                self._cells.append(done)
            case "end":
                self._end = event
                self._seconds = time.monotonic() - self._created

    def tick(self) -> None:
        """Stop the chapter when its time is over, and kill the worker when it does not stop."""
        now = time.monotonic()
        begun = self._begun if self._begun is not None else now
        if self._end is None and now - begun > self.plan.budget_s:
            self.stop(report.OVER_BUDGET)
        if self._reason is not None and now - self._stopped > GRACE_S:
            self.kill()

    def stop(self, reason: str) -> None:
        """Ask the worker to kill the kernel and to end."""
        if self._reason is None:
            self._reason = reason
            self._stopped = time.monotonic()
            self._worker.stdin.close()

    def kill(self) -> None:
        """Kill the worker and the kernel, at once."""
        if self._worker.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                kill_with_all_below(psutil.Process(self._worker.pid))
        if self._kernel is not None:  # the worker may have died and left it
            kill_with_all_below(self._kernel)

    def line(self) -> str:
        """Return the live line: cell, seconds of the chapter, what the cell does."""
        seconds = time.monotonic() - self._created
        cell = f"cell {self._cell.number}/{len(self.plan.cells)}  " if self._cell.number else ""
        doing = "stopping" if self._reason is not None else self._cell.title
        return f"{cell}{seconds:.0f} s  {doing}"

    def finish(self) -> ChapterReport:
        """Return what came of the chapter, once the worker's last event was None."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._worker.wait(timeout=GRACE_S)
        self.kill()
        self._worker.wait()
        failure, end = self._failure(), self._end or {}
        result = ChapterReport(
            slug=self.slug,
            profile=self.plan.profile,
            outcome=self._outcome(failure),
            started=self._started.isoformat(timespec="seconds"),
            minutes=round((self._seconds or time.monotonic() - self._created) / 60, 4),
            cells=tuple(self._cells),
            peak_memory_mb=end.get("peak_memory_mb", 0.0),
            gpu_peak_memory_mb=end.get("gpu_peak_memory_mb", 0.0),
            device=end.get("device", ""),
            versions=provenance.versions() | end.get("versions", {}),
            records=self._written(),
            failure=failure,
        )
        self.close()
        return result

    def close(self) -> None:
        """Leave no process and no temporary file behind."""
        self.kill()
        for stream in (self._worker.stdin, self._worker.stdout):
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        shutil.rmtree(self._workspace, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._records.rmdir()  # most chapters write nothing

    def _outcome(self, failure: Failure | None) -> str:
        if self._reason is not None and failure is not None:
            return self._reason
        if failure is None:
            return report.OK
        return report.USER_ERROR if errors.by_name(failure.name) else report.FAILED

    def _failure(self) -> Failure | None:
        """Return why the chapter stopped, or None when it came to its end."""
        if self._end is not None and self._end["failure"] is None:
            return None
        if self._reason == report.OVER_BUDGET:
            return self._stopped_in("OverBudget", self._budget_message())
        if self._reason == report.INTERRUPTED:
            return self._stopped_in("KeyboardInterrupt", "interrupted")
        if self._end is None:
            code = self._worker.returncode
            message = f"the process that ran the chapter ended with exit code {code}"
            return self._stopped_in("WorkerError", message, self._last_words())
        found = self._end["failure"]
        cell = found["cell"]
        traceback = tuple(found["traceback"]) or self._last_words()
        source = self.plan.cells[cell - 1] if cell else ""
        return Failure(cell, source, found["name"], found["message"], traceback)

    def _stopped_in(self, name: str, message: str, traceback: tuple[str, ...] = ()) -> Failure:
        cell = self._cell.number
        return Failure(cell, self.plan.cells[cell - 1] if cell else "", name, message, traceback)

    def _budget_message(self) -> str:
        number, _, since = self._cell
        text = (
            f"over the budget of {self.plan.budget_s:g} s; stopped in cell {number}, "
            f"{self._stopped - since:.1f} s after it began"
        )
        if self._cells:
            slowest = max(self._cells, key=lambda cell: cell.seconds)
            text += f" (slowest before it: cell {slowest.number}, {slowest.seconds:.1f} s)"
        return text

    def _last_words(self) -> tuple[str, ...]:
        """Return the last lines that the worker and the kernel wrote past the notebook."""
        text = self._log.read_text(encoding="utf-8", errors="replace")
        return tuple(text.splitlines()[-LOG_LINES:])

    def _written(self) -> tuple[str, ...]:
        """Return the records that the chapter wrote, relative to the folder of results."""
        found = sorted(self._records.rglob("*.json"))
        new = [path for path in found if path.stat().st_mtime >= self._started.timestamp()]
        return tuple(path.relative_to(self._records.parent).as_posix() for path in new)


def environment(
    outer: Mapping[str, str], workspace: Path, folder: Path, slug: str, jobs: int
) -> dict[str, str]:
    """Return the variables of a chapter's processes, which share no cache but that of the assets.

    Fonts that matplotlib has found stay in `folder`, as finding them takes long on some machines.
    Of several jobs each gets its share of the processors.
    """
    private = {
        "JUPYTER_RUNTIME_DIR": workspace / "runtime",
        "IPYTHONDIR": workspace / "ipython",
        "TMPDIR": workspace / "tmp",
        "MPLCONFIGDIR": folder / ".matplotlib" / slug,
        "FACELAB_RUNS": folder / slug,
    }
    for path in private.values():
        path.mkdir(parents=True, exist_ok=True)
    variables = dict(outer) | {name: str(path) for name, path in private.items()}
    variables |= {"MPLBACKEND": INLINE, "PYTHONHASHSEED": "0"}
    for name in ("COLUMNS", "LINES"):  # the width of a terminal is no part of a chapter's outputs
        variables.pop(name, None)
    if jobs > 1:
        share = max(1, processors() // jobs)
        asked = outer.get("OMP_NUM_THREADS", "")
        variables["OMP_NUM_THREADS"] = str(min(share, int(asked)) if asked.isdigit() else share)
    return variables


def processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
