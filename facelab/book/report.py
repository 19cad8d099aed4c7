"""What a run of the book did, chapter by chapter: report.json beside the executed notebooks.

A chapter's entry is replaced when it runs again; the entries of other chapters stay, so that
runs/PROFILE/report.json always describes the notebooks that lie beside it.
"""

import dataclasses
import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facelab.book import pairing

FILE = "report.json"
ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")

OK = "ok"
FAILED = "failed"
USER_ERROR = "user error"
OVER_BUDGET = "over budget"
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class CellTime:
    """One executed code cell: its number in the chapter (from 1, all kinds), title and seconds."""

    number: int
    title: str
    seconds: float


@dataclass(frozen=True)
class Failure:
    """Why a chapter stopped: the cell (0 when it was none), its source and the error.

    `traceback` has the terminal colours that IPython gave it; the file has it without.
    """

    cell: int
    source: str
    name: str
    message: str
    traceback: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChapterReport:
    """One chapter's run; `reused` says that an earlier run of the same key still holds."""

    slug: str
    profile: str
    outcome: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    started: str = ""
    minutes: float = 0.0
    cells: tuple[CellTime, ...] = ()
    peak_memory_mb: float = 0.0
    gpu_peak_memory_mb: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    device: str = ""
    commit: Mapping[str, Any] = field(default_factory=dict)
    assets: Mapping[str, str] = field(default_factory=dict)
    records: tuple[str, ...] = ()
    failure: Failure | None = None
    key: str = ""
    notebook: str = ""
    notebook_sha256: str = ""
    reused: bool = False


@dataclass(frozen=True)
class RunReport:
    """All chapters of one run, in the book's order, and the folder of their results."""

    profile: str
    chapters: tuple[ChapterReport, ...]
    folder: Path

    @property
    def path(self) -> Path:
        """The report's file."""
        return self.folder / FILE

    @property
    def exit_code(self) -> int:
        """130 when interrupted, 1 when a chapter failed, 2 for a user error alone, else 0."""
        outcomes = {chapter.outcome for chapter in self.chapters}
        if INTERRUPTED in outcomes:
            return 130
        if outcomes & {FAILED, OVER_BUDGET}:
            return 1
        return 2 if USER_ERROR in outcomes else 0


def plain(text: str) -> str:
    """Return `text` without terminal colours and other control sequences."""
    return ANSI.sub("", text)


def read(folder: Path) -> dict[str, ChapterReport]:
    """Return the entries of a folder's report by slug; empty when there is none that can be read.

    An unreadable report costs a re-run of the chapters and nothing else.
    """
    try:
        entries = json.loads((folder / FILE).read_text(encoding="utf-8"))["chapters"]
        return {slug: _chapter(entry) for slug, entry in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _chapter(entry: dict[str, Any]) -> ChapterReport:
    failure = entry["failure"]
    if failure is not None:
        failure = Failure(**failure | {"traceback": tuple(failure["traceback"])})
    cells = tuple(CellTime(**cell) for cell in entry["cells"])
    return ChapterReport(
        **entry | {"cells": cells, "records": tuple(entry["records"]), "failure": failure}
    )


def write(folder: Path, profile: str, chapters: Iterable[ChapterReport]) -> Path:
    """Write a folder's report in one step and return its path; raises `BookError`."""
    entries = {chapter.slug: _entry(chapter) for chapter in chapters}
    text = json.dumps({"profile": profile, "chapters": entries}, indent=1, ensure_ascii=False)
    pairing.replace_text(folder / FILE, text + "\n")
    return folder / FILE


def _entry(chapter: ChapterReport) -> dict[str, Any]:
    entry = dataclasses.asdict(chapter)
    del entry["reused"]  # of the run that found it, not of the chapter
    if entry["failure"]:
        entry["failure"]["traceback"] = [plain(line) for line in entry["failure"]["traceback"]]
    return entry


def explain(chapter: ChapterReport, folder: Path, *, colours: bool) -> str:
    """Return what to tell about a chapter that stopped: one line for a user error, else the cell.

    Empty for one that went well or was interrupted.
    """
    failure = chapter.failure
    if failure is None or chapter.outcome == INTERRUPTED:
        return ""
    error = f"{failure.name}: {' '.join(failure.message.split())}"
    if chapter.outcome == USER_ERROR:
        return f"{chapter.slug}: {error}"
    over = chapter.outcome == OVER_BUDGET
    where = f" in cell {failure.cell}" if failure.cell and not over else ""
    parts = [f"{chapter.slug}: {failure.message}" if over else f"{chapter.slug} failed{where}:"]
    if failure.source:
        parts.append(textwrap.indent(failure.source, "    "))
    traceback = "\n".join(failure.traceback)
    parts.append(traceback if colours else plain(traceback))
    if not over and failure.name not in traceback:
        parts.append(error)
    if chapter.notebook:
        parts.append(f"The notebook up to there: {folder / chapter.notebook}")
    return "\n\n".join(part for part in parts if part.strip())


def summary(run: RunReport) -> str:
    """Return one line for each chapter: outcome, seconds, peak memory of the kernel."""
    width = max((len(chapter.slug) for chapter in run.chapters), default=0)
    lines = []
    for chapter in run.chapters:
        figures = f"{chapter.minutes * 60:8.1f} s {chapter.peak_memory_mb:7.0f} MB"
        outcome = "unchanged" if chapter.reused else chapter.outcome
        lines.append(f"{chapter.slug:<{width}}  {outcome:<11} {figures}")
    if run.exit_code == 130:
        lines.append("interrupted; the same command continues with what is left")
    return "\n".join(lines)
