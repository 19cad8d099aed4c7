import subprocess
import sys

import nbformat
import pytest

from facelab.book import worker
from facelab.book.processes import Memory


def test_titles_are_opening_comments_or_headings():
    notebook = nbformat.v4.new_notebook()
    prose, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    notebook.cells = [
        code("x = 1", id="before"),
        prose("# Title\n\ntext\n\n## Part\n\nmore"),
        code("\n# draw 64 faces\ny = 2  # not this", id="comment"),
        prose("no heading"),
        code("y = 3", id="heading"),
        code("#!ls", id="shell"),
    ]
    assert worker.titles(notebook) == {
        "before": "",
        "comment": "draw 64 faces",
        "heading": "Part",
        "shell": "Part",
    }


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("raise SystemExit(3)", "the kernel ended by itself, with exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL; the usual reason is too little"),
        ("import os; os.kill(os.getpid(), 15)", "the kernel was killed by SIGTERM"),
    ],
)
def test_causes_of_death(program, expected, monkeypatch):
    process = subprocess.Popen([sys.executable, "-c", program])
    process.wait()
    monkeypatch.setattr(worker.ThisInterpreter, "process", process)
    assert expected in worker._cause_of_death()


def test_a_notebook_that_can_not_be_saved_leaves_nothing(tmp_path):
    failure = worker._save(nbformat.v4.new_notebook(), tmp_path / "nowhere" / "a.ipynb")
    assert (failure["name"], failure["cell"]) == ("BookError", 0)
    assert "No such file" in failure["message"]


def test_memory_remembers_its_peak():
    program = "x = bytearray(100_000_000); del x; print('done', flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "done\n"
        memory = Memory()
        memory.sample()
        assert memory.peak_mb == 0
        memory.pid = process.pid
        memory.sample()
        process.communicate("\n")
    if sys.platform == "linux":  # elsewhere the peak between two samples can be missed
        assert 100 < memory.peak_mb < 150
    memory.sample()
    assert memory.peak_mb < 150
