"""Runs many submissions: some at a time on this machine, or on the machines of a dask cluster.

What is finished is kept by each run itself (running.py), so that a stop of any kind, or a machine
that goes down, loses only what was under way: the next call goes on from there. On a cluster, every
machine must see the assignment's folder under the same path, with the same facelab installed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from io import TextIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from facelab.book.progress import Progress
from facelab.course import record, running, sandbox
from facelab.course.limits import Limits
from facelab.course.record import Assignment
from facelab.course.supervising import PREFIX
from facelab.errors import BookError

if TYPE_CHECKING:
    from nbformat import NotebookNode

Json = dict[str, Any]

TICK_S = 0.2
CONNECT_S = 10.0


@dataclasses.dataclass(frozen=True)
class Task:
    """One call, of a function that any machine can import, with arguments that are plain data."""

    label: str
    function: Callable[..., Json]
    arguments: tuple[Any, ...]


def run_submission(
    folder: str,
    student_id: str,
    limits: Json,
    isolation: str,
    *,
    threads: int | None = None,
    stopped: threading.Event | None = None,
) -> Json:
    """Do what `running.run_one` does, in an assignment's folder, with `Limits` as a dictionary."""
    assignment = record.read(Path(folder))
    options = {"threads": threads, "stopped": stopped}
    return running.run_one(assignment, student_id, Limits(**limits), isolation, **options)


def run_solution(
    folder: str,
    student_id: str,
    limits: Json,
    isolation: str,
    notebook: str,
    *,
    threads: int | None = None,
    stopped: threading.Event | None = None,
) -> Json:
    """Do what `running.run_key` does; `notebook` is the solution as JSON."""
    import nbformat

    return running.run_key(
        record.read(Path(folder)),
        student_id,
        Limits(**limits),
        isolation,
        notebook=nbformat.from_dict(json.loads(notebook)),
        threads=threads,
        stopped=stopped,
    )


def run_all(
    assignment: Assignment,
    ids: Sequence[str],
    limits: Limits,
    isolation: str,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    stream: TextIOBase | None = None,
) -> list[Json]:
    """Run the submissions of some students and return their results, in the order of `ids`.

    `jobs` run at a time here. With the address of a dask `scheduler` (tcp://HOST:8786) its workers
    run them instead, and all of them must see the assignment's folder. Progress goes to `stream`
    (standard error). Ctrl-C stops what runs and keeps what is finished. Raises `BookError`.
    """
    for each in ids:
        assignment.student(each)
    fixed = (dataclasses.asdict(limits), str(isolation))
    folder = str(assignment.folder)
    tasks = [Task(each, run_submission, (folder, each, *fixed)) for each in ids]
    return spread(tasks, jobs=jobs, scheduler=scheduler, stream=stream)


def run_keys(
    assignment: Assignment,
    ids: Sequence[str],
    limits: Limits,
    isolation: str,
    *,
    notebook: Callable[[str], NotebookNode],
    jobs: int = 1,
    scheduler: str | None = None,
    stream: TextIOBase | None = None,
) -> list[Json]:
    """Run the solution at the values of some students, as `run_all` does their submissions.

    `notebook` gives the solution's notebook for a student's id.
    """
    fixed = (dataclasses.asdict(limits), str(isolation))
    folder = str(assignment.folder)
    tasks = [
        Task(f"key of {each}", run_solution, (folder, each, *fixed, json.dumps(notebook(each))))
        for each in ids
    ]
    return spread(tasks, jobs=jobs, scheduler=scheduler, stream=stream)


def spread(
    tasks: Sequence[Task], *, jobs: int, scheduler: str | None, stream: TextIOBase | None
) -> list[Json]:
    """Do all tasks and return what came of each, in their order."""
    if jobs < 1:
        raise BookError(f"jobs: expected 1 or more, got {jobs}")
    remove_leftovers()
    done = _on_dask(tasks, scheduler) if scheduler else _here(tasks, jobs)
    progress, results = Progress(stream), {}
    progress.update("run", f"0 of {len(tasks)}")
    try:
        with contextlib.closing(done):
            for place, result in done:
                results[place] = result
                progress.say(_line(tasks[place].label, result))
                progress.update("run", f"{len(results)} of {len(tasks)}")
    finally:
        progress.remove("run")
    return [results[place] for place in range(len(tasks))]


def _line(label: str, result: Json) -> str:
    told = "" if result["outcome"] == "ok" else f"  {result['message']}"
    return f"{label}  {result['outcome']}  {result['seconds']:.1f} s{told}"


def _here(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[int, Json]]:
    """Yield each task's place and result as it ends. Every run has processes of its own."""
    jobs = max(1, min(jobs, len(tasks)))
    threads = max(1, _processors() // jobs) if jobs > 1 else None
    stopped = threading.Event()
    pool = ThreadPoolExecutor(jobs)
    try:
        places = {}
        for place, task in enumerate(tasks):
            call = functools.partial(task.function, threads=threads, stopped=stopped)
            places[pool.submit(call, *task.arguments)] = place
        left = set(places)
        while left:
            ended, left = wait(left, timeout=TICK_S, return_when=FIRST_COMPLETED)
            for future in sorted(ended, key=places.__getitem__):
                yield places[future], future.result()
    finally:
        stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _on_dask(tasks: Sequence[Task], scheduler: str) -> Iterator[tuple[int, Json]]:
    """Yield each task's place and result as a worker of the cluster ends it."""
    try:
        import distributed
    except ImportError:
        raise BookError(
            "a scheduler was named, and dask isn't installed; `pip install distributed`, or use "
            "--jobs on this machine"
        ) from None
    try:
        client = distributed.Client(scheduler, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise BookError(
            f"no dask scheduler answers at {scheduler} ({error}); start one with `dask scheduler`, "
            "or leave --scheduler out"
        ) from None
    with client:
        futures = [client.submit(task.function, *task.arguments, pure=False) for task in tasks]
        places = {future.key: place for place, future in enumerate(futures)}
        try:
            ended = distributed.as_completed(futures, with_results=True, loop=client.loop)
            for future, result in ended:
                yield places[future.key], result
        finally:
            client.cancel(futures)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def remove_leftovers() -> None:
    """Remove the workspaces of runs whose supervising process was killed."""
    for workspace in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner = workspace.name.removeprefix(PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            ours = not hasattr(os, "getuid") or workspace.lstat().st_uid == os.getuid()
            if ours and owner.isdigit() and not psutil.pid_exists(int(owner)):
                sandbox.remove(workspace)
