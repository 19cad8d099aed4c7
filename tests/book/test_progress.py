import io
import re

import pytest

from facelab.book import progress
from facelab.book.progress import Progress


class Terminal(io.StringIO):
    """A terminal of one screen: what a person would see after all that was written."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        lines = [""]
        for token in re.findall(r"\x1b\[1A\x1b\[2K|\n|[^\n\x1b]+", self.getvalue()):
            if token == "\n":
                lines.append("")
            elif token == progress.UP_AND_CLEAR:
                lines[-2:] = [""]
            else:
                lines[-1] += token
        return lines


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "30")
    return Terminal()


def test_lines_are_rewritten_in_place_on_a_terminal(terminal):
    shown = Progress(terminal)
    shown.update("01_a", "cell 1/3  0 s")
    shown.update("02_b", "cell 1/9  0 s")
    shown.update("01_a", "cell 2/3  1 s")
    assert terminal.screen() == ["01_a  cell 2/3  1 s", "02_b  cell 1/9  0 s", ""]
    shown.remove("01_a")
    shown.say("01_a failed:\n\n    1 / 0\n")
    assert terminal.screen() == ["01_a failed:", "", "    1 / 0", "02_b  cell 1/9  0 s", ""]
    shown.remove("02_b")
    assert terminal.screen() == ["01_a failed:", "", "    1 / 0", ""]


def test_a_long_line_is_cut_at_the_terminal_s_width(terminal):
    Progress(terminal).update("01_a", "x" * 100)
    assert terminal.screen() == ["01_a  " + "x" * 23, ""]


def test_plain_lines_elsewhere_are_few(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    shown = Progress(stream)
    for second in range(40):
        now[0] = float(second)
        shown.update("01_a", f"{second} s")
    shown.say("done")
    assert stream.getvalue() == "01_a  0 s\n01_a  15 s\n01_a  30 s\ndone\n"


def test_a_dumb_terminal_gets_plain_lines(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    Progress(terminal).update("01_a", "0 s")
    assert terminal.getvalue() == "01_a  0 s\n"
