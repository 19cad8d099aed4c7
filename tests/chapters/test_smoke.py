"""The chapters run: with our runner within their budget, and with papermill's own command."""

import os
import subprocess
import sys

import nbformat
import pytest

from facelab.book import execution, parameters, plans, report

pytestmark = pytest.mark.chapters

PROFILE = "smoke"


def test_runs_within_its_budget(book, chapter):
    """Into runs/smoke, like `facelab book run --profile smoke`; what holds is not repeated."""
    done = execution.run(book, [chapter.slug], PROFILE, {})
    entry = done.chapters[0]
    assert entry.outcome == report.OK, report.explain(entry, done.folder, colours=False)
    assert report.read(done.folder)[chapter.slug].outcome == report.OK
    assert set(chapter.assets) == set(entry.assets)
    seconds = sum(cell.seconds for cell in entry.cells)
    assert 0 < seconds <= chapter.budget_s(PROFILE) * plans.budget_scale()


def test_papermill_alone_runs_a_chapter(book, tmp_path):
    """No chapter depends on our runner: neither on its variables nor on where it starts."""
    chapter = next(each for each in book.chapters if each.parameters[PROFILE])
    values = parameters.resolve(chapter, PROFILE, {})
    command = [sys.executable, "-m", "papermill", str(chapter.notebook), "out.ipynb"]
    command += ["--no-progress-bar", "--log-level", "ERROR"]
    for name, value in values.items():
        if not isinstance(value, list):
            command += ["-p", name, str(value)]
    ours = ("FACELAB_RUNS", "MPLBACKEND", "PYTHONHASHSEED")
    variables = {name: text for name, text in os.environ.items() if name not in ours}
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert values.items() >= executed.metadata.papermill.parameters.items() != {}
