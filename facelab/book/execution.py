"""Executes chapters with papermill: parameters, budgets, side by side, resumed, reported.

Each chapter runs in a process of its own (job.py, worker.py), which starts the kernel. This module
decides what has to run, stops it (budget, Ctrl-C) and keeps what came of it:

    runs/PROFILE/SLUG.ipynb          the last good run
    runs/PROFILE/SLUG.failed.ipynb   the last failed one, until the chapter succeeds
    runs/PROFILE/SLUG/               what the chapter itself wrote ($FACELAB_RUNS in the kernel)
    runs/PROFILE/report.json         what is known of each chapter (report.py)

A chapter needs none of this: papermill's own command and JupyterLab run it as well.
"""

import contextlib
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from io import TextIOBase
from pathlib import Path
from queue import Empty, SimpleQueue

from facelab.book import fingerprint, pairing, plans, report
from facelab.book.job import Job
from facelab.book.manifest import Chapter, Manifest
from facelab.book.plans import Plan
from facelab.book.progress import Progress
from facelab.book.report import ChapterReport, RunReport
from facelab.engine import provenance
from facelab.errors import BookError

TICK_S = 0.2


def run(
    manifest: Manifest,
    slugs: Sequence[str] | None,
    profile: str,
    overrides: Mapping[str, str],
    *,
    jobs: int = 1,
    output: Path | None = None,
    budget: bool = True,
    fresh: bool = False,
    stream: TextIOBase | None = None,
) -> RunReport:
    """Execute the chapters `slugs` (None: all) at a profile and return what happened.

    `overrides` are parameters as text (`-p name=value`); a chapter takes those that it declares.
    `jobs` chapters run side by side. `output` is the folder for the results (runs/PROFILE).
    `budget=False` lets a chapter take its time. A chapter whose run still holds is not run again
    unless `fresh`. Progress goes to `stream` (standard error). What goes wrong inside a chapter is
    in the report; its `exit_code` is the command's. Raises `BookError` and `ParameterError`.
    """
    if jobs < 1:
        raise BookError(f"jobs: expected 1 or more, got {jobs}")
    todo = plans.make(manifest, slugs, profile, overrides, budget=budget)
    folder = (output if output is not None else manifest.root / "runs" / profile).resolve()
    progress = Progress(stream)
    with _claimed(folder), _interruptible() as interrupted:
        shelf = Shelf(manifest, folder)
        stale = [plan for plan in todo if fresh or not shelf.holds(plan)]
        _execute(stale, shelf, min(jobs, len(stale)), progress, interrupted)
    finished = RunReport(profile, tuple(shelf.outcomes[plan.chapter.slug] for plan in todo), folder)
    progress.say(report.summary(finished))
    return finished


@contextlib.contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Keep a second run out of the same folder."""
    import filelock

    lock = filelock.FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        raise BookError(f"another run is writing to {folder}; wait for its end") from None
    except OSError as error:
        reason = error.strerror or error
        raise BookError(f"{folder} can't be written to ({reason}); choose another folder") from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turn Ctrl-C and a polite kill into an event, so that nothing is torn in the middle."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: event.set()) for number in signals]
    try:
        yield event
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _execute(
    todo: Sequence[Plan],
    shelf: "Shelf",
    jobs: int,
    progress: Progress,
    interrupted: threading.Event,
) -> None:
    """Run all plans, `jobs` at a time, and put each result on the shelf as it comes."""
    events: SimpleQueue = SimpleQueue()
    waiting = deque(todo)
    running: dict[str, Job] = {}
    try:
        while waiting or running:
            if interrupted.is_set():
                shelf.leave(waiting)
                for job in running.values():
                    job.stop(report.INTERRUPTED)
            while waiting and len(running) < jobs:
                job = _started(waiting.popleft(), shelf.folder, jobs, events)
                running[job.slug] = job
            _pass_on(events, running, shelf, progress)
            for job in running.values():
                job.tick()
                progress.update(job.slug, job.line())
    finally:
        for job in running.values():
            job.close()


def _started(plan: Plan, folder: Path, jobs: int, events: SimpleQueue) -> Job:
    try:
        return Job(plan, folder, jobs, lambda *event: events.put(event))
    except OSError as error:
        raise BookError(
            f"{plan.chapter.slug} can't be started ({error}); make room, or set TMPDIR to a folder "
            "that has some"
        ) from None


def _pass_on(
    events: SimpleQueue, running: dict[str, Job], shelf: "Shelf", progress: Progress
) -> None:
    """Hand the next event to its job, if one comes soon; take the job off when it was the last."""
    try:
        slug, event = events.get(timeout=TICK_S)
    except Empty:
        return
    job = running[slug]
    if event is not None:
        job.handle(event)
        return
    entry = shelf.take(job)
    del running[slug]
    progress.remove(slug)
    explanation = report.explain(entry, shelf.folder, colours=progress.terminal)
    if explanation:
        progress.say(explanation)


class Shelf:
    """The folder of one profile's results: what it holds, and how a finished chapter gets in."""

    def __init__(self, manifest: Manifest, folder: Path) -> None:
        slugs = {chapter.slug for chapter in manifest.chapters}
        known = report.read(folder)
        self.folder = folder
        self.known = {slug: entry for slug, entry in known.items() if slug in slugs}
        self.outcomes: dict[str, ChapterReport] = {}
        self.commit = provenance.commit(manifest.root)
        for left in folder.glob(".*.part"):  # by a run that was killed; nobody else is here
            left.unlink()

    def holds(self, plan: Plan) -> bool:
        """Tell whether an earlier run answers `plan`; new prose is put around its outputs."""
        entry = self.known.get(plan.chapter.slug)
        if entry is None or entry.outcome != report.OK or entry.key != plan.key:
            return False
        path = self.folder / entry.notebook
        if not path.is_file() or fingerprint.file_sum(path) != entry.notebook_sha256:
            return False
        _renew(path, plan.chapter)
        entry = replace(entry, notebook_sha256=fingerprint.file_sum(path), reused=True)
        self._keep(entry)
        return True

    def take(self, job: Job) -> ChapterReport:
        """Put a finished job's notebook in its place, and its entry in the report."""
        entry = replace(
            job.finish(),
            key=job.plan.key,
            parameters=dict(job.plan.parameters),
            commit=self.commit,
            assets=provenance.asset_sums(job.plan.chapter.assets),
        )
        good = self.folder / f"{entry.slug}.ipynb"
        failed = self.folder / f"{entry.slug}.failed.ipynb"
        if job.executed.exists() and entry.outcome != report.INTERRUPTED:
            path = good if entry.outcome == report.OK else failed
            os.replace(job.executed, path)
            digest = fingerprint.file_sum(path)
            entry = replace(entry, notebook=path.name, notebook_sha256=digest)
        job.executed.unlink(missing_ok=True)
        if entry.outcome == report.OK:
            failed.unlink(missing_ok=True)
        self._keep(entry)
        return entry

    def leave(self, waiting: deque[Plan]) -> None:
        """Note that the chapters still waiting did not run, and take them off the queue."""
        while waiting:
            plan = waiting.popleft()
            self._keep(ChapterReport(plan.chapter.slug, plan.profile, report.INTERRUPTED))

    def _keep(self, entry: ChapterReport) -> None:
        """Replace a chapter's entry and write the report.

        An interruption says less than the entry of the notebook that is still there.
        """
        self.outcomes[entry.slug] = entry
        if entry.outcome == report.INTERRUPTED and entry.slug in self.known:
            return
        self.known[entry.slug] = replace(entry, reused=False)
        report.write(self.folder, entry.profile, self.known.values())


def _renew(path: Path, chapter: Chapter) -> None:
    import nbformat

    executed = nbformat.read(path, as_version=4)
    renewed = fingerprint.with_new_prose(executed, pairing.read_notebook(chapter))
    if renewed != executed:
        pairing.replace_text(path, nbformat.writes(renewed) + "\n")
