import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbval.plugin import get_sanitize_patterns

from facelab.book import nbval_tolerance as tolerance

RULES = Path(__file__).parents[1] / "nbval_sanitize.cfg"


@pytest.mark.parametrize(
    ("stored", "computed"),
    [
        ("distance 0.1234", "distance 0.12345"),
        ("0.0 and 1e-9", "1e-7 and 0.0"),
        ("tensor([ 0.50000, -2.0])", "tensor([0.5001, -2.001])"),
        ("1e-3 x", "0.0010005 x"),
        ("-0.0000001", "0.0000001"),
        ("| a | 9.999 |\n|---|---|", "| a | 10.001 |\n|---|---|"),
        ("<td>0.7500</td>", "<td>0.7505</td>"),
        ("16 faces", "16 faces"),
        ("nan inf", "nan inf"),
        ("torch 2.15.0", "torch 2.15.0"),
        ("1.", "1"),
    ],
)
def test_outputs_that_agree(stored, computed):
    assert tolerance.disagreements(stored, computed) == []


@pytest.mark.parametrize(
    ("stored", "computed"),
    [
        ("0.5", "0.505"),
        ("0.5", "-0.5"),
        ("1000000 steps", "1000001 steps"),
        ("16 faces", "16.0 images"),
        ("nan", "1.0"),
        ("conv2", "conv3"),
        ("torch 2.15.0", "torch 2.15.1"),
        ("0.1 0.2", "0.1"),
        ("true", "false"),
        ("1e999", "1.0"),
        ("1e-5", "1e-4"),
    ],
)
def test_outputs_that_differ(stored, computed):
    assert tolerance.disagreements(stored, computed)


def test_a_number_that_is_off_is_named_with_both_values():
    assert tolerance.disagreements("a 2.5 b 0.5000", "a 2.5 b 0.5050") == [
        "number 2: stored 0.5000, computed 0.5050, 1.00% apart (allowed 0.1% or 1e-06)"
    ]
    assert tolerance.disagreements("7 faces", "8 faces") == [
        "number 1: stored 7, computed 8, and whole numbers must be equal"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at 2026-03-01T12:30:05+00:00.", "at MOMENT."),
        ("2026-03-01 12:30 and 2026-03-01, 12:30:05", "MOMENT and MOMENT, MOMENT"),
        ("<function f at 0x7f3ab4c0d1e0>", "<function f at ADDRESS>"),
        ("read '/home/ada/my.book/photo.jpg'", "read 'PATH'"),
        ("C:\\Users\\ada\\photo.jpg", "PATH"),
        ("took 31.2 s (120ms a face, 5.8 faces/s)", "took DURATION (DURATION a face, RATE)"),
        ("64 faces and 5 landmarks", "64 faces and 5 landmarks"),
        ("image 1/3, and/or, </td></tr>", "image 1/3, and/or, </td></tr>"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("0.75 same, 0.12 other", "0.75 same, 0.12 other"),
    ],
)
def test_the_sanitising_rules(text, expected):
    import re

    for pattern, replacement in get_sanitize_patterns(RULES.read_text()):
        text = re.sub(pattern, replacement, text)
    assert text == expected


CELLS = {
    "agrees": ("print(f'{1 / 3:.6f} of 3 faces')", "0.333400 of 3 faces\n"),
    "off": ("print(f'{1 / 3 * 1.01:.6f} is far')", "0.333333 is far\n"),
    "whole": ("print('4 faces')", "3 faces\n"),
    "words": ("print('a 0.5')", "b 0.5\n"),
    "moment": ("print('took 2.5 s')", "took 9.1 s\n"),
    "unchecked": ("print('1')", "2\n"),
}


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """What nbval says of a notebook with those cells, stored without execution counts."""
    folder = tmp_path_factory.mktemp("nbval")
    notebook = nbformat.v4.new_notebook()
    for name, (source, stored) in CELLS.items():
        tags = [] if name == "unchecked" else ["nbval-check-output"]
        output = nbformat.v4.new_output("stream", name="stdout", text=stored)
        cell = nbformat.v4.new_code_cell(source, outputs=[output], metadata={"tags": tags})
        notebook.cells.append(cell)
    nbformat.write(notebook, folder / "cells.ipynb")
    (folder / "pytest.ini").write_text("[pytest]\n")
    plugins = ["-p", "nbval", "-p", "facelab.book.nbval_tolerance", "-p", "no:cacheprovider"]
    options = ["--nbval-lax", "--nbval-current-env", "--nbval-sanitize-with", str(RULES), "-rA"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "pytest.ini", *plugins, *options, "cells.ipynb"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={name: text for name, text in os.environ.items() if name != "PYTEST_ADDOPTS"},
    )
    return done.stdout


def test_nbval_with_the_plugin(checked):
    lines = checked.splitlines()
    states = [
        "PASSED" if f"PASSED cells.ipynb::Cell {place}" in lines else "FAILED"
        for place in range(len(CELLS))
    ]
    assert "3 failed, 3 passed" in lines[-1]
    assert dict(zip(CELLS, states, strict=True)) == {
        "agrees": "PASSED",
        "off": "FAILED",
        "whole": "FAILED",
        "words": "FAILED",
        "moment": "PASSED",
        "unchecked": "PASSED",
    }


def test_nbval_reports_both_values(checked):
    off = "stdout: number 1: stored 0.333333, computed 0.336667, 1.00% apart"
    assert off in checked
    assert "stdout: number 1: stored 3, computed 4, and whole numbers must be equal" in checked
    assert "stdout: the text between the numbers differs" in checked
