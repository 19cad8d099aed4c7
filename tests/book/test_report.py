import json

import pytest

from facelab.book import report
from facelab.book.report import CellTime, ChapterReport, Failure, RunReport

FAILED = ChapterReport(
    "01_a",
    "smoke",
    report.FAILED,
    minutes=0.5,
    cells=(CellTime(2, "add", 1.5),),
    peak_memory_mb=812.4,
    failure=Failure(3, "1 / 0", "ZeroDivisionError", "division\nby zero", ("\x1b[31mline\x1b[0m",)),
    notebook="01_a.failed.ipynb",
)


def test_a_report_comes_back_as_it_was_without_colours(tmp_path):
    good = ChapterReport("02_b", "smoke", report.OK, {"faces": 4}, reused=True)
    report.write(tmp_path, "smoke", [FAILED, good])
    known = report.read(tmp_path)
    assert known["01_a"].failure.traceback == ("line",)
    assert known["01_a"].cells == FAILED.cells
    assert known["02_b"].parameters == {"faces": 4}
    assert not known["02_b"].reused
    assert json.loads((tmp_path / "report.json").read_text())["profile"] == "smoke"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"chapters": {"01_a": {}}}', '{"chapters": 3}'])
def test_a_damaged_report_is_as_good_as_none(tmp_path, text):
    (tmp_path / "report.json").write_text(text)
    assert report.read(tmp_path) == {}
    assert report.read(tmp_path / "nowhere") == {}


def test_explanations(tmp_path):
    text = report.explain(FAILED, tmp_path, colours=True)
    assert text == (
        "01_a failed in cell 3:\n\n    1 / 0\n\n\x1b[31mline\x1b[0m\n\n"
        "ZeroDivisionError: division by zero\n\n"
        f"The notebook up to there: {tmp_path}/01_a.failed.ipynb"
    )
    assert report.explain(FAILED, tmp_path, colours=False) == report.plain(text)
    good = ChapterReport("01_a", "smoke", report.OK)
    assert report.explain(good, tmp_path, colours=False) == ""


def test_summary(tmp_path):
    good = ChapterReport("index", "smoke", report.OK, minutes=0.25, peak_memory_mb=54, reused=True)
    assert report.summary(RunReport("smoke", (good, FAILED), tmp_path)).splitlines() == [
        "index  unchanged       15.0 s      54 MB",
        "01_a   failed          30.0 s     812 MB",
    ]
