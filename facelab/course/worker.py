"""Executes one submission with papermill, in the sandbox: `python -m facelab.course.worker`.

The trusted side (running.py) writes one line of JSON to standard input, the task, and reads one
line of JSON for each event from standard output; it believes neither these nor the notebook that is
left in the workspace before it has checked them. When standard input closes, the kernel and all
that it started are killed, and what was done so far is saved.

Task: `notebook` (in the workspace), `executed` (where to put the result), `parameters`,
`cell_seconds`, `cell_bytes` and `bytes` (of outputs), `expressions` (what to read at the end, by
name).
Events: `kernel`, `cell` (`number`), `end` (`outcome`, `cell`, `name`, `message`, `reported`).

An error in a cell is noted, and the cells after it run: what is right in them shall be seen.
"""

import ast
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

if __name__ == "__main__":
    sys.modules["rfc3987_syntax"] = None  # as in book/worker.py, for its reason

import nbformat
from jupyter_client.session import Session
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from traitlets import default

from facelab.book import worker as book
from facelab.book.processes import kill_below
from facelab.course.telling import LONGEST_TEXT, acceptable

Emit = Callable[..., None]

READING_S = 30  # for what is read after the last cell
INJECTED, PARAMETERS = "injected-parameters", "parameters"
CUT = "(The output was too large. It was left out, and the run was stopped here.)\n"
# Turns a value into JSON, in the student's kernel; only numbers and short texts come across.
TELL = str(Path(__file__).with_name("telling.py"))


class Meter:
    """Counts outputs as they arrive. Once they are too many, the kernel is killed.

    What a live picture or a progress bar replaced is not kept and doesn't count: when the bytes
    that arrived are too many, those that are kept are counted.
    """

    def __init__(self, cell_bytes: int, all_bytes: int) -> None:
        self.cell_bytes = cell_bytes
        self.all_bytes = all_bytes
        self.over: str | None = None
        self._cell: str | None = None
        self._arrived = self._before = 0

    def frames(self, size: int) -> bool:
        """Take note of a message's size before it is read; return whether it's one too many."""
        if size > self.all_bytes:
            self.stop("cell")
        return self.over is not None

    def count(self, message: dict[str, Any], cell: NotebookNode) -> bool:
        """Take note of a message for a cell; return whether it may be kept."""
        if self.over is None and message["msg_type"] not in ("status", "execute_input"):
            if cell.id != self._cell:
                self._before += self._arrived
                self._cell, self._arrived = cell.id, 0
            size = _size(message["content"])
            self._arrived += size
            if self._arrived > self.cell_bytes:
                self._arrived = _size(cell.outputs) + size
            if self._arrived > self.cell_bytes:
                self.stop("cell")
            elif self._before + self._arrived > self.all_bytes:
                self.stop("notebook")
        return self.over is None

    def stop(self, which: str) -> None:
        """Kill the kernel, once."""
        if self.over is None:
            self.over = which
            kill_below(os.getpid())


def _size(content: Any) -> int:
    return len(json.dumps(content, default=str))


class MeteredSession(Session):
    """Leaves the content of messages that are too large unread."""

    meter: ClassVar[Meter]  # channels have copies of a session

    def deserialize(
        self, msg_list: list, content: bool = True, copy: bool = True
    ) -> dict[str, Any]:
        """Read a message."""
        size = sum(len(part) for part in msg_list)
        if self.meter.frames(size):
            header = {"msg_id": "", "msg_type": "dropped"}
            return {"header": header, "parent_header": {}, **header, "content": {}, "metadata": {}}
        return super().deserialize(msg_list, content, copy)


class Isolated(book.ThisInterpreter):
    """A kernel that is talked to by files in the workspace: it needs no network."""

    @default("transport")
    def _transport(self) -> str:
        return "ipc"

    @default("ip")
    def _ip(self) -> str:
        return str(Path.cwd() / "runtime" / "k")

    @default("session")
    def _session(self) -> Session:
        return MeteredSession(parent=self)


class Run:
    """One submission: the events that it gives, and what is known when it stops midway."""

    def __init__(self, task: dict[str, Any], notebook: NotebookNode, emit: Emit) -> None:
        self.task = task
        self.places = {cell.id: place for place, cell in enumerate(notebook.cells, start=1)}
        self.emit = emit
        self.meter = Meter(task["cell_bytes"], task["bytes"])
        self.executed: NotebookNode | None = None
        self.cell: NotebookNode | None = None
        self.failed: dict[str, Any] = {}
        self.reported: dict[str, Any] = {}

    def hooks(self) -> dict[str, Callable[..., None]]:
        """Return the keyword arguments that nbclient takes."""
        return {
            "on_notebook_start": self.started,
            "on_cell_execute": self.cell_started,
            "on_cell_executed": self.cell_done,
        }

    def started(self, notebook: NotebookNode) -> None:
        """Report that the kernel is ready."""
        self.executed = notebook
        self.emit("kernel")

    def cell_started(self, cell: NotebookNode, cell_index: int) -> None:
        """Report the cell that runs now."""
        self.cell = cell
        self.emit("cell", number=self.number())

    def cell_done(self, cell: NotebookNode, cell_index: int, execute_reply: dict) -> None:
        """Keep the first error; one that the cell's tag announces is none."""
        reply = execute_reply["content"]
        announced = "raises-exception" in cell.metadata.tags
        if reply.get("status") == "error" and not announced and not self.failed:
            name, told = str(reply.get("ename")), str(reply.get("evalue"))
            self.failed = {"cell": self.number(), "name": name, "message": told[:LONGEST_TEXT]}

    def number(self) -> int:
        """Return the cell's place in the submission, from 1; 0 for none of its cells."""
        return self.places.get(self.cell.id, 0) if self.cell is not None else 0

    def end(self, error: Exception | None) -> dict[str, Any]:
        """Return what `end` says."""
        here = {"cell": self.number()}
        if self.meter.over is not None:
            self._cut()
            return {"outcome": "output", **here, "name": self.meter.over}
        if isinstance(error, CellTimeoutError):
            return {"outcome": "time", **here}
        if isinstance(error, DeadKernelError) or "Kernel died" in str(error):
            return {"outcome": "killed", **here, "message": cause_of_death()}
        if error is not None:
            raise error
        outcome = "error" if self.failed else "ok"
        return {"outcome": outcome, **self.failed, "reported": self.reported}

    def _cut(self) -> None:
        if self.cell is not None:
            cut = nbformat.v4.new_output("stream", name="stderr", text=CUT)
            self.cell.outputs = [cut]


def cause_of_death() -> str:
    """Return how the kernel's process ended."""
    process = book.ThisInterpreter.process
    code = process.poll() if process else None
    if code is None or code >= 0:
        return f"exit code {code}"
    return signal.Signals(-code).name


def execute(task: dict[str, Any], emit: Emit) -> None:
    """Execute a task's notebook, save what came of it, and emit `end` with how it went."""
    notebook = nbformat.v4.reads(Path(task["notebook"]).read_text(encoding="utf-8"))
    prepare(notebook, task["parameters"])
    run = Run(task, notebook, emit)
    error = None
    try:
        _papermill(notebook, run)
    except Exception as raised:
        error = raised
    end = run.end(error)
    if run.executed is not None:
        text = nbformat.v4.writes(run.executed)
        Path(task["executed"]).write_text(text, encoding="utf-8", errors="replace")
    emit("end", **end)


def prepare(notebook: NotebookNode, parameters: dict[str, Any]) -> None:
    """See to it that papermill puts the parameters where they have a say.

    Cells that papermill added before are dropped. Where the tag of the parameters' cell was lost,
    it is the first cell of code that assigns some of them and does nothing else.
    """
    notebook.metadata["papermill"] = nbformat.from_dict({})
    for cell in notebook.cells:
        cell.metadata["papermill"] = nbformat.from_dict({})
        cell.metadata.setdefault("tags", [])
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        if INJECTED in cell.metadata.tags:
            cell.source = ""
            cell.metadata.tags.remove(INJECTED)
    if not any(PARAMETERS in cell.metadata.tags for cell in code):
        for cell in code:
            if _assigned(cell.source) & parameters.keys():
                cell.metadata.tags.append(PARAMETERS)
                break


def _assigned(source: str) -> set[str]:
    """Return the names that a cell assigns literals to; none if it does anything else."""
    names = set()
    try:
        for statement in ast.parse(source).body:
            ast.literal_eval(statement.value)
            target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            names.add(target.id)
    except (SyntaxError, ValueError, AttributeError, RecursionError):
        return set()
    return names


def _papermill(notebook: NotebookNode, run: Run) -> None:
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine
    from papermill.parameterize import parameterize_notebook

    class Client(PapermillNotebookClient):
        def process_message(
            self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
        ) -> NotebookNode | None:
            kept = run.meter.count(msg, cell)
            return super().process_message(msg, cell, cell_index) if kept else None

        def papermill_execute_cells(self) -> None:
            super().papermill_execute_cells()
            run.reported = read(self, run.task["expressions"])

    class Engine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **_: Any) -> None:
            client = Client(
                nb_man,
                kernel_name=kernel_name,
                kernel_manager_class=Isolated,
                timeout_func=lambda cell: run.task["cell_seconds"],
                iopub_timeout=book.OUTPUT_S,
                startup_timeout=book.OUTPUT_S,
                allow_errors=True,
                shutdown_kernel="immediate",
                extra_arguments=["--log-level=ERROR", "--HistoryManager.enabled=False"],
                **run.hooks(),
            )
            client.execute()

    MeteredSession.meter = run.meter
    parameters = run.task["parameters"]
    ready = parameterize_notebook(notebook, parameters, kernel_name="python3", language="python")
    Engine.execute_notebook(ready, "python3", progress_bar=False)


def read(client: Any, expressions: dict[str, str]) -> dict[str, Any]:
    """Return the values of expressions in the kernel: finite numbers, truth values, short texts.

    One that can't be had, or is none of these, isn't in the result.
    """
    if not expressions:
        return {}
    asked = {
        name: f'__import__("runpy").run_path({TELL!r})["tell"](lambda: {expression})'
        for name, expression in expressions.items()
    }
    message = client.kc.execute("", silent=True, store_history=False, user_expressions=asked)
    client.timeout_func, client.timeout = None, READING_S
    try:
        reply = client.wait_for_reply(message)
    except (CellTimeoutError, DeadKernelError):
        return {}
    found = {}
    for name, told in reply["content"].get("user_expressions", {}).items():
        value = _value(told.get("data", {}).get("text/plain", ""))
        if value is not None:
            found[name] = value
    return found


def _value(told: str) -> bool | int | float | str | None:
    try:
        value = json.loads(ast.literal_eval(told))
    except (ValueError, SyntaxError, TypeError, RecursionError):
        return None
    return value if acceptable(value) else None


def _stop_when_told(finished: threading.Event) -> None:
    """Wait until standard input closes, then kill what this process started."""
    while os.read(0, 4096):
        pass
    while not finished.wait(0.05):
        kill_below(os.getpid())


def main() -> None:
    """Read the task, execute it, and report."""
    logging.basicConfig(stream=sys.stderr, level=logging.CRITICAL)
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing but events may reach the trusted side

    def emit(event: str, **values: Any) -> None:
        print(json.dumps({"event": event} | values), file=events, flush=True)

    with open(0, "rb", buffering=0, closefd=False) as lines:
        task = json.loads(lines.readline())
    finished = threading.Event()
    threading.Thread(target=_stop_when_told, args=(finished,), daemon=True).start()
    try:
        execute(task, emit)
    finally:
        finished.set()


if __name__ == "__main__":
    main()
