"""What a person sees while chapters run: one line each, rewritten in place on a terminal.

Where standard error isn't a terminal (a file, a continuous integration log) a chapter gets a plain
line when it starts and then one every `PLAIN_EVERY_S` seconds.
"""

import os
import shutil
import sys
import time
from io import TextIOBase

PLAIN_EVERY_S = 15.0
UP_AND_CLEAR = "\x1b[1A\x1b[2K"


class Progress:
    """The live lines at the bottom of a terminal; everything that is over scrolls above them."""

    def __init__(self, stream: TextIOBase | None = None) -> None:
        self.stream = stream if stream is not None else sys.stderr
        self.terminal = self.stream.isatty() and os.environ.get("TERM") != "dumb"
        self.lines: dict[str, str] = {}
        self._drawn = 0
        self._printed: dict[str, float] = {}

    def update(self, slug: str, text: str) -> None:
        """Show `text` as the live line of a chapter."""
        if self.lines.get(slug) == text:
            return
        self.lines[slug] = text
        if self.terminal:
            self._redraw()
        elif time.monotonic() - self._printed.get(slug, -PLAIN_EVERY_S) >= PLAIN_EVERY_S:
            self._printed[slug] = time.monotonic()
            self._write(f"{slug}  {text}\n")

    def remove(self, slug: str) -> None:
        """Take a chapter's live line away."""
        self.lines.pop(slug, None)
        self._printed.pop(slug, None)
        if self.terminal:
            self._redraw()

    def say(self, text: str) -> None:
        """Print lines that stay, above the live ones."""
        self._erase()
        self._write(text.rstrip("\n") + "\n")
        if self.terminal:
            self._redraw()

    def _redraw(self) -> None:
        self._erase()
        width = shutil.get_terminal_size().columns - 1
        text = "".join(f"{slug}  {line}"[:width] + "\n" for slug, line in self.lines.items())
        self._drawn = len(self.lines)
        self._write(text)

    def _erase(self) -> None:
        if self._drawn:
            self._write(UP_AND_CLEAR * self._drawn)
            self._drawn = 0

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()
