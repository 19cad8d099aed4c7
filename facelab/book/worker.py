"""Executes one chapter with papermill in a process of its own: `python -m facelab.book.worker`.

The runner (job.py) writes one line of JSON to standard input, the task, and reads one line of JSON
for each event from standard output. It keeps standard input open; when that closes, because the
runner wants to stop or is gone, the kernel and all that it started are killed. Whatever else is
printed here, by libraries or by the kernel, goes to standard error, which is the runner's log file.

Task: `notebook` (file to execute), `parameters`, `cwd` (the kernel's), `workspace` (a folder to
throw away), `executed` (where to put the result).
Events: `kernel` (ready, its `pid`), `cell` (`number`, `title`), `cell done`
(`seconds`), `end` (`failure` or null, `peak_memory_mb`, and what probe.py measured).
"""

import ast
import json
import logging
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any, ClassVar

if __name__ == "__main__":
    # An optional helper of jsonschema that checks addresses, of which notebooks have none. Building
    # its grammar would take most of the time that this process needs to start.
    sys.modules["rfc3987_syntax"] = None

import nbformat
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbformat import NotebookNode

from facelab.book.processes import Memory, kill_below

Emit = Callable[..., None]

OUTPUT_S = 120  # how long the last output of a cell may take to arrive, for cells that print MBs
GRACE_S = 8  # from a stop to giving up on a tidy end
TRACEBACK_LINES = 30
PROBE = "probe"


class ThisInterpreter(AsyncKernelManager):
    """Starts the kernel with the interpreter that runs this, and remembers its process.

    A kernel specification called python3 in the user's folders has no say.
    """

    process: ClassVar[Popen | None] = None

    @property
    def kernel_spec(self) -> KernelSpec:
        """ipykernel's own specification, which names `sys.executable`."""
        return KernelSpec(**get_kernel_dict())

    async def start_kernel(self, **keywords: Any) -> None:
        """Start the kernel."""
        await super().start_kernel(**keywords)
        ThisInterpreter.process = self.provisioner.process


class Course:
    """Turns nbclient's hooks into events, and keeps what is needed when a chapter stops midway."""

    def __init__(self, notebook: NotebookNode, emit: Emit) -> None:
        self.places = {cell.id: place for place, cell in enumerate(notebook.cells, start=1)}
        self.titles = titles(notebook)
        self.emit = emit
        self.memory = Memory()
        self.executed: NotebookNode | None = None
        self.cell: NotebookNode | None = None
        self.begun = 0.0

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
        self.memory.pid = ThisInterpreter.process.pid
        self.memory.start()
        self.emit("kernel", pid=self.memory.pid)

    def cell_started(self, cell: NotebookNode, cell_index: int) -> None:
        """Report the cell that runs now."""
        self.cell, self.begun = cell, time.monotonic()
        if PROBE not in cell.metadata:
            self.emit("cell", number=self.number(), title=self.titles.get(cell.id, ""))

    def cell_done(self, cell: NotebookNode, cell_index: int, execute_reply: dict) -> None:
        """Report the seconds that the cell took."""
        self.memory.sample()
        if PROBE not in cell.metadata:
            self.emit("cell done", seconds=round(time.monotonic() - self.begun, 3))

    def number(self) -> int:
        """Return the cell's place in the chapter, from 1; 0 for none or one of papermill's."""
        return self.places.get(self.cell.id, 0) if self.cell is not None else 0


def titles(notebook: NotebookNode) -> dict[str, str]:
    """Return a short name for each code cell: its opening comment, else the heading above it."""
    found, heading = {}, ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = (re.findall(r"^#+\s+(.*)$", cell.source, re.MULTILINE) or [heading])[-1]
        elif cell.cell_type == "code":
            comment = re.match(r"\s*#(?!!)\s*(.*)", cell.source)
            found[cell.id] = comment[1].strip() if comment else heading
    return found


def execute(task: dict[str, Any], emit: Emit) -> None:
    """Execute a task's notebook, save what came of it, and emit `end` with how it went."""
    notebook = nbformat.read(task["notebook"], as_version=4)
    course = Course(notebook, emit)
    failure = None
    try:
        executed = _papermill(notebook, task, course)
    except Exception as error:
        executed, failure = course.executed, _failure(error, course)
    measured = {}
    if executed is not None:
        measured = _take_probe(executed)
        # The chapter's name, instead of folders of this machine.
        name = Path(task["notebook"]).name
        executed.metadata.papermill.update({"input_path": name, "output_path": name})
        failure = _save(executed, Path(task["executed"])) or failure
    emit("end", failure=failure, peak_memory_mb=course.memory.peak_mb, **measured)


def _save(executed: NotebookNode, path: Path) -> dict[str, Any] | None:
    """Write the executed notebook, or nothing at all and return why."""
    try:
        nbformat.write(executed, path)
    except OSError as error:
        path.unlink(missing_ok=True)
        message = f"the executed notebook can't be written ({error.strerror}); make room"
        return {"cell": 0, "name": "BookError", "message": message, "traceback": []}
    return None


def _papermill(notebook: NotebookNode, task: dict[str, Any], course: Course) -> NotebookNode:
    import papermill

    notebook.cells.append(_probe())
    prepared = Path(task["workspace"]) / "chapter.ipynb"
    nbformat.write(notebook, prepared)
    return papermill.execute_notebook(
        str(prepared).replace("{", "{{").replace("}", "}}"),  # papermill formats its paths
        None,
        parameters=task["parameters"],
        kernel_name="python3",
        language="python",
        progress_bar=False,
        request_save_on_cell_execute=False,
        cwd=task["cwd"],
        kernel_manager_class=ThisInterpreter,
        iopub_timeout=OUTPUT_S,
        extra_arguments=["--log-level=ERROR"],
        **course.hooks(),
    )


def _probe() -> NotebookNode:
    """Return a last cell that returns `probe.measurements()`."""
    path = str(Path(__file__).with_name("probe.py"))
    source = f'__import__("runpy").run_path({path!r})["measurements"]()'
    return nbformat.v4.new_code_cell(source, metadata={PROBE: True})


def _take_probe(executed: NotebookNode) -> dict[str, Any]:
    """Remove the last cell again and return what it measured."""
    probes = [cell for cell in executed.cells if PROBE in cell.metadata]
    executed.cells = [cell for cell in executed.cells if PROBE not in cell.metadata]
    texts = [
        output.data["text/plain"]
        for cell in probes
        for output in cell.outputs
        if output.output_type == "execute_result"
    ]
    return ast.literal_eval(texts[0]) if texts else {}


def _failure(error: Exception, course: Course) -> dict[str, Any]:
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    name, message, traceback = type(error).__name__, str(error), []
    if isinstance(error, PapermillExecutionError):
        name, message = error.ename, error.evalue
        traceback = "\n".join(error.traceback).splitlines()[-TRACEBACK_LINES:]
    elif isinstance(error, DeadKernelError) or "Kernel died" in message:
        name, message = "DeadKernelError", _cause_of_death()
    return {"cell": course.number(), "name": name, "message": message, "traceback": traceback}


def _cause_of_death() -> str:
    code = ThisInterpreter.process.poll() if ThisInterpreter.process else None
    if code is None or code >= 0:
        return f"the kernel ended by itself, with exit code {code}"
    hint = "; the usual reason is too little memory" if -code == signal.SIGKILL else ""
    return f"the kernel was killed by {signal.Signals(-code).name}{hint}"


def _stop_when_told(finished: threading.Event) -> None:
    """Wait until standard input closes, then kill what this process started."""
    while os.read(0, 4096):
        pass
    deadline = time.monotonic() + GRACE_S
    while not finished.wait(0.1) and time.monotonic() < deadline:
        kill_below(os.getpid())
    if not finished.is_set():
        os._exit(1)


def main() -> None:
    """Read the task, execute it, and report."""
    runner = os.getppid()
    logging.basicConfig(stream=sys.stderr, level=logging.CRITICAL)
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing but events may reach the runner

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
        if os.getppid() != runner:  # it was killed, and nobody else is left to tidy up
            shutil.rmtree(task["workspace"], ignore_errors=True)


if __name__ == "__main__":
    main()
