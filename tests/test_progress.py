"""The bar: often on a terminal, seldom and late in a log, and then gone."""

import io

import pytest

from facelab.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()], ids=["terminal", "log"])
def test_a_terminal_sees_it_at_once_and_a_short_run_leaves_no_line_in_a_log(monkeypatch, stream):
    monkeypatch.setattr("sys.stderr", stream)
    with progress_bar("faces", 3, "picture") as bar:
        for _ in range(3):
            bar.update()
        shown = stream.getvalue()
        assert (bar.n, bar.total, bar.unit) == (3, 3, "picture")
    assert ("faces:   0%" in shown) == stream.isatty()
    assert stream.getvalue().endswith("\r") or not stream.isatty()  # the line is cleared
    assert stream.isatty() or stream.getvalue() == ""


def test_a_log_gets_a_line_every_ten_seconds(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with progress_bar("faces", 100, "picture") as bar:
        bar.start_t -= 11  # as if it had begun eleven seconds ago
        bar.last_print_t -= 11
        bar.update()
        bar.update()
        shown = stream.getvalue()
    assert shown.count("faces:") == 1
    assert "1/100" in shown


def test_options_are_passed_on(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    with progress_bar("dcgan", 10, "step", initial=4, disable=False) as bar:
        assert bar.n == 4
