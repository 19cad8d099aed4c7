import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from facelab.course import submissions
from facelab.course.submissions import Refusal


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a file with some content."""

    def read(content: bytes | str | dict, **options):
        path = tmp_path / "01_sums.ipynb"
        if isinstance(content, dict):
            content = json.dumps(content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return submissions.read(path, **options)

    return read


def notebook(*sources):
    made = new_notebook(cells=[new_code_cell(source) for source in sources])
    return json.loads(nbformat.writes(made))


@pytest.mark.parametrize(
    ("content", "outcome", "told"),
    [
        (b"", "empty", "the file is empty"),
        (b" \n", "empty", "the file is empty"),
        (b"Dear teacher", "unreadable", "expected JSON"),
        (bytes(range(256)), "unreadable", "expected JSON"),
        ("[" * 100_000, "unreadable", "expected JSON"),
        ("[1, 2]", "unreadable", "not a notebook"),
        ({"cells": []}, "unreadable", "not a notebook"),
        ({"nbformat": "4", "cells": []}, "unreadable", "not a notebook"),
        ({"nbformat": 4, "nbformat_minor": 5, "cells": "x"}, "unreadable", "damaged"),
        ({"nbformat": 4, "nbformat_minor": 5, "cells": [3]}, "unreadable", "damaged"),
        ({"nbformat": 4, "nbformat_minor": 5}, "unreadable", "damaged"),
        ({"nbformat": 3, "worksheets": 3}, "unreadable", "damaged"),
        ({"nbformat": 99, "cells": []}, "unreadable", "damaged"),
        (notebook(), "empty", "no code"),
        (notebook("  "), "empty", "no code"),
    ],
)
def test_what_cant_be_run_is_refused(read, content, outcome, told):
    refusal = read(content)
    assert isinstance(refusal, Refusal)
    assert refusal.outcome == outcome
    assert told in refusal.message


def test_nothing_handed_in(tmp_path):
    assert submissions.read(tmp_path / "none.ipynb").outcome == "missing"
    assert submissions.read(tmp_path).outcome == "missing"


def test_a_file_that_is_too_large_is_not_read(read):
    refusal = read(b" " * 3_000_000, most_bytes=2_000_000)
    assert refusal.outcome == "unreadable"
    assert "the file has 3 MB, expected 2 MB or less" in refusal.message


def test_outputs_are_dropped(read):
    content = notebook("print(1)")
    content["cells"][0] |= {"outputs": [{"nonsense": "x" * 1000}], "execution_count": 7}
    (cell,) = read(content).cells
    assert (cell.source, cell.outputs, cell.execution_count) == ("print(1)", [], None)


def test_an_old_notebook_is_upgraded(read):
    code = {"cell_type": "code", "input": ["a = 1\n", "b = 2"], "outputs": [], "metadata": {}}
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}}
    code |= {"language": "python", "collapsed": False}
    found = read(old | {"worksheets": [{"cells": [code], "metadata": {}}]})
    assert (found.nbformat, found.nbformat_minor) == (4, 5)
    assert found.cells[0].source == "a = 1\nb = 2"


def test_each_cell_has_an_id_of_its_own(read):
    content = notebook("1", "2", "3")
    for cell, name in zip(content["cells"], ("same", "same", "cell-2"), strict=True):
        cell["id"] = name
    ids = [cell.id for cell in read(content).cells]
    assert ids[0] == "same"
    assert len(set(ids)) == 3


def test_marks_and_prose_are_kept(read):
    made = new_notebook(cells=[new_markdown_cell("# A"), new_code_cell("1")])
    made.cells[1].metadata["facelab"] = {"exercise": "1.1"}
    made.cells[1].metadata["extension"] = {"of": ["an", "editor"]}
    found = read(nbformat.writes(made))
    assert [cell.metadata.get("facelab") for cell in found.cells] == [None, {"exercise": "1.1"}]


def test_halves_of_characters_are_replaced(read):
    assert read(notebook("'\ud83d'")).cells[0].source == "'?'"
