"""nbval: what readers see in the stored notebooks is what the code gives, whatever the profile."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from facelab.book import nbval_tolerance, pairing, parameters, plans
from facelab.book.manifest import Chapter

pytestmark = pytest.mark.chapters

PROFILE = "smoke"
CHECKED = "nbval-check-output"
RULES = Path(__file__).parents[1] / "nbval_sanitize.cfg"


def checked_cells(chapter: Chapter) -> list[nbformat.NotebookNode]:
    cells = pairing.read_notebook(chapter).cells
    return [cell for cell in cells if CHECKED in pairing.tags(cell)]


def test_has_a_checked_cell(chapter):
    """With a stored text that nbval compares; pictures alone it would pass over."""
    cells = checked_cells(chapter)
    assert cells, f"tag a cell of {chapter.source.name} {CHECKED!r}"
    for cell in cells:
        kinds = {kind for output in cell.outputs for kind in output.get("data", ["stream"])}
        assert kinds & {*nbval_tolerance.KINDS, "stream"}, (
            f"{chapter.notebook.name} stores no text for the checked cell\n{cell.source}\n"
            f"run `facelab book run {chapter.slug} --store`"
        )


def with_parameters(chapter: Chapter, folder: Path) -> Path:
    """Return a copy of the stored notebook that sets the profile's parameters as papermill does."""
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    notebook = load_notebook_node(str(chapter.notebook))
    values = parameters.resolve(chapter, PROFILE, {})
    if values:
        notebook = parameterize_notebook(notebook, values, kernel_name="python3", language="python")
    copy = folder / chapter.notebook.name
    nbformat.write(notebook, copy)
    return copy


def test_the_stored_outputs_are_what_the_code_gives(chapter, tmp_path):
    copy = with_parameters(chapter, tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")  # the book's own options leave nbval out
    seconds = chapter.budget_s(PROFILE) * plans.budget_scale()
    command = [sys.executable, "-m", "pytest", "-c", "pytest.ini", "--color=no", "-q"]
    command += ["-p", "nbval", "-p", nbval_tolerance.__name__, "-p", "no:cacheprovider"]
    command += ["--nbval-lax", "--nbval-current-env", "--nbval-sanitize-with", str(RULES)]
    command += ["--nbval-cell-timeout", str(seconds), copy.name]
    variables = {name: text for name, text in os.environ.items() if name != "PYTEST_ADDOPTS"}
    variables["PYTHONHASHSEED"] = "0"
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"{len(code_cells(copy))} passed" in done.stdout


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]
