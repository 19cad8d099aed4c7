"""Processes below one of ours: ending them all, and how much memory one of them took."""

import re
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

SAMPLE_S = 0.2


def kill_below(pid: int) -> None:
    """Kill all processes below `pid`, whatever group or session they moved to."""
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()


def kill_with_all_below(process: psutil.Process) -> None:
    """Kill a process and those below it; a process that has ended already is no error."""
    with suppress(psutil.NoSuchProcess):
        if process.is_running():  # and isn't another one with the same number
            kill_below(process.pid)
            process.kill()


def peak_bytes(pid: int) -> int:
    """Return the highest resident memory of a process so far; without Linux, that of now."""
    status = Path(f"/proc/{pid}/status")
    if status.exists() and (peak := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(peak[1]) * 1024
    return psutil.Process(pid).memory_info().rss


class Memory(threading.Thread):
    """Follows the memory of the process `pid`, once that is set; `peak_mb` is the highest seen."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.pid: int | None = None
        self.peak_mb = 0.0

    def run(self) -> None:
        """Look at the process again and again."""
        while True:
            self.sample()
            time.sleep(SAMPLE_S)

    def sample(self) -> None:
        """Look at the process once."""
        if self.pid is not None:
            with suppress(OSError, psutil.Error):
                self.peak_mb = max(self.peak_mb, round(peak_bytes(self.pid) / 1e6, 1))
