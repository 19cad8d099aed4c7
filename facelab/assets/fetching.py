"""What the ways of fetching share: a program that works for us, and a bar with its progress.

The program (pip, npm) writes to a folder of ours, so its progress is the size of what lies there.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

Advance = Callable[[int], None]  # takes the number of bytes that have come


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    come: Callable[[], int],
    advance: Advance,
) -> tuple[int, str]:
    """Run a program; return its exit status and all that it said, which is collected in `log`.

    `come` says how many bytes have come, and `advance` is told so ten times a second. The program
    ends with us when we are interrupted.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
        try:
            while process.poll() is None:
                try:
                    process.wait(timeout=0.1)
                except subprocess.TimeoutExpired:
                    advance(come())
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    return process.returncode, log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def bar(label: str, total_bytes: int, progress: bool) -> Iterator[Advance]:
    """Yield a function that takes the number of bytes so far, and draws them on a terminal."""
    if not (progress and sys.stderr.isatty()):
        yield lambda size: None
        return
    from tqdm import tqdm

    with tqdm(desc=label, total=total_bytes, unit="B", unit_scale=True, leave=False) as bar:

        def advance(size: int) -> None:
            bar.n = min(size, total_bytes)
            bar.refresh()

        yield advance
