"""What a submission may use, and the trusted side's eye on it.

The kernel holds each process to some limits (launch.py). The rest is seen from outside: every
`SAMPLE_S` seconds the memory of all processes, how many there are, and what the workspace holds.
"""

import dataclasses
import os
import stat
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from facelab.book.processes import SAMPLE_S, kill_below, kill_with_all_below
from facelab.errors import BookError

MOST_FILES = 20_000
DEEPEST = 64  # folders within folders
THREADS = 8  # for each process that is allowed; the kernel counts threads


@dataclass(frozen=True)
class Limits:
    """Seconds of a cell and of the notebook, megabytes (10^6 bytes), kilobytes, processes."""

    cell_seconds: float = 300.0
    notebook_seconds: float = 900.0
    memory_mb: float = 4096.0
    disk_mb: float = 500.0
    output_cell_kb: float = 1000.0
    output_mb: float = 5.0
    processes: int = 256

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not value > 0:
                raise BookError(f"the limit {name} is {value:g}; give a number above 0")

    def of_a_process(self) -> dict[str, int]:
        """Return what the kernel is to hold each process to, by the name of its RLIMIT.

        They are there for what happens between two looks. The limit of data is far above that of
        memory: it counts what is reserved and never used.
        """
        return {
            "CORE": 0,
            "FSIZE": int(1.25 * self.disk_mb * 1e6),
            "DATA": int(2 * self.memory_mb * 1e6 + 2e9),
            "NPROC": THREADS * self.processes,
        }


@dataclass(frozen=True)
class Excess:
    """A limit that was passed: which, and what a student is told."""

    outcome: str
    message: str


class Watch:
    """Looks at a sandbox: `process` is what it was started as, and everything below belongs to it.

    `spared` processes below that one are the sandbox's own and the worker, which a stop leaves.
    """

    def __init__(
        self, process: psutil.Process, workspace: Path, limits: Limits, spared: int = 0
    ) -> None:
        self.peak_mb = 0.0
        self._process = process
        self._workspace = workspace
        self._limits = limits
        self._spared = spared
        self._seen: dict[tuple[int, float], psutil.Process] = {}

    def look(self) -> Excess | None:
        """Return the limit that is passed now, if any is."""
        found = self._below()
        used_mb = _memory_mb(found)
        if used_mb > self._limits.memory_mb:
            used_mb = _memory_mb(found, shared_once=True)
        self.peak_mb = max(self.peak_mb, round(used_mb, 1))
        if used_mb > self._limits.memory_mb:
            return Excess("memory", f"more than {self._limits.memory_mb:g} MB of memory were used")
        if len(found) > self._limits.processes:
            return Excess("killed", f"more than {self._limits.processes} processes were started")
        if space := _excess_of_space(self._workspace, found, self._limits.disk_mb):
            return Excess("disk", space)
        return None

    def _below(self) -> list[psutil.Process]:
        """Return the processes of the sandbox, and remember them: some hide by leaving it."""
        with suppress(psutil.NoSuchProcess):
            for each in self._process.children(recursive=True):
                self._seen.setdefault((each.pid, each.create_time()), each)
        self._seen = {key: each for key, each in self._seen.items() if _runs(each)}
        return list(self._seen.values())

    def stop(self) -> None:
        """Kill what the submission started, but not the worker, which can still save outputs."""
        kept, process = set(), self._process
        with suppress(psutil.NoSuchProcess, IndexError):
            for _ in range(self._spared):
                process = sorted(process.children(), key=psutil.Process.create_time)[0]
                kept.add(process.pid)
        for each in self._below():
            if each.pid not in kept:
                with suppress(psutil.NoSuchProcess):
                    each.kill()

    def kill(self) -> None:
        """Kill everything, and what left the sandbox's tree since it was first seen."""
        self._below()
        if _runs(self._process):
            kill_below(self._process.pid)
        kill_with_all_below(self._process)
        for each in self._seen.values():
            kill_with_all_below(each)

    def follow(self) -> None:
        """Look on from a thread until the process ends; kill everything when a limit is passed."""

        def look_on() -> None:
            while _runs(self._process) and self.look() is None:
                time.sleep(SAMPLE_S)
            self.kill()

        threading.Thread(target=look_on, daemon=True).start()


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _memory_mb(processes: list[psutil.Process], shared_once: bool = False) -> float:
    """Return the resident memory of all; `shared_once` takes longer and counts nothing twice."""
    total = 0
    for process in processes:
        with suppress(psutil.Error, OSError):
            total += _proportional(process) if shared_once else process.memory_info().rss
    return total / 1e6


def _proportional(process: psutil.Process) -> int:
    with suppress(psutil.AccessDenied):
        return getattr(process.memory_full_info(), "pss", 0) or process.memory_info().rss
    return process.memory_info().rss


def _excess_of_space(workspace: Path, processes: list[psutil.Process], most_mb: float) -> str:
    """Return what is too much in the workspace, with files that are open and have no name."""
    usage = Usage()
    if usage.add(workspace) or usage.files > MOST_FILES:
        return f"more than {MOST_FILES} files, or folders too deep, were made"
    usage.add_nameless(processes, workspace.stat().st_dev)
    if usage.bytes > most_mb * 1e6:
        return f"more than {most_mb:g} MB were written to the disk"
    return ""


class Usage:
    """Disk space: `bytes` that are taken by `files`, each counted once. Links aren't followed."""

    def __init__(self) -> None:
        self.bytes = self.files = 0
        self._known: set[tuple[int, int]] = set()

    def add(self, folder: Path | str, depth: int = 0) -> bool:
        """Add a folder; return whether it can't be looked through to its end."""
        try:
            entries = list(os.scandir(folder))
        except FileNotFoundError:
            return False  # it went away meanwhile
        except OSError:
            return True  # its name is too long, or it was made unreadable
        for entry in entries:
            with suppress(FileNotFoundError):
                self._count(entry.stat(follow_symlinks=False))
                if self.files > MOST_FILES or depth > DEEPEST:
                    return True
                if entry.is_dir(follow_symlinks=False) and self.add(entry.path, depth + 1):
                    return True
        return False

    def add_nameless(self, processes: list[psutil.Process], device: int) -> None:
        """Add files of a device that were deleted and that a process keeps open."""
        for process in processes:
            with suppress(OSError):
                for descriptor in os.scandir(f"/proc/{process.pid}/fd"):
                    with suppress(OSError):
                        found = os.stat(descriptor.path)
                        if stat.S_ISREG(found.st_mode) and found.st_dev == device:
                            self._count(found, nameless=True)

    def _count(self, found: os.stat_result, nameless: bool = False) -> None:
        known = (found.st_dev, found.st_ino)
        if known not in self._known and not (nameless and found.st_nlink):
            self._known.add(known)
            self.files += 1
            self.bytes += found.st_blocks * 512
