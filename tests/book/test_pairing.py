import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output

from facelab.book import pairing
from facelab.errors import BookError

SCRIPT = """\
# %% [markdown]
# # One

# %% tags=["parameters"]
faces = 64  # how many


# %%
def double(x):
    return 2 * x


print(double(faces))

# %% jupyter={"source_hidden": true} tags=["solution", "hide-input"]
1 + 1

# %%
1 + 1
"""
PRINT = "def double(x):\n    return 2 * x\n\n\nprint(double(faces))"


@pytest.fixture
def book(make_book):
    made = make_book({"index": "# %% [markdown]\n# # Start\n", "01_one": SCRIPT})
    made.sync()
    return made


def ids(book, slug="01_one"):
    return [cell.id for cell in book.stored(slug).cells]


def parted(book):
    return [
        (each.chapter.slug, each.cell, each.line, each.message.partition(";")[0])
        for each in pairing.out_of_step(book.load())
    ]


def test_a_notebook_has_the_script_s_cells_tags_and_metadata(book):
    cells = book.stored("01_one").cells
    assert [cell.cell_type for cell in cells] == ["markdown", "code", "code", "code", "code"]
    assert cells[0].source == "# One"
    assert cells[1].metadata.tags == ["parameters"]
    assert cells[2].source == PRINT
    assert cells[3].metadata.jupyter.source_hidden is True
    metadata = book.stored("01_one").metadata
    assert metadata.jupytext.formats == "ipynb,py:percent"
    assert metadata.kernelspec.name == "python3"
    nbformat.validate(book.stored("01_one"))


def test_sync_writes_nothing_the_second_time(book):
    before = {path: path.read_bytes() for path in book.root.rglob("*.*")}
    assert book.sync() == []
    assert book.sync(from_notebook=True) == []
    assert {path: path.read_bytes() for path in book.root.rglob("*.*")} == before


def test_the_same_script_gives_the_same_bytes_elsewhere(book):
    before = book.notebook("01_one").read_bytes()
    book.notebook("01_one").unlink()
    assert book.sync() == [book.notebook("01_one")]
    assert book.notebook("01_one").read_bytes() == before


def test_the_script_s_header_pairs_it_and_has_no_version(book):
    header = book.script("01_one").read_text().partition("# %%")[0]
    assert "#     formats: ipynb,py:percent\n" in header
    assert "#     name: python3\n" in header
    assert "jupytext_version:" not in header


def test_a_header_s_other_entries_are_kept(book):
    book.edit("01_one", "#   kernelspec:", "#   orphan: true\n#   kernelspec:")
    book.edit("01_one", "#       format_name: percent\n", "#       jupytext_version: 1.0.0\n")
    assert book.script("01_one") in book.sync()
    text = book.script("01_one").read_text()
    assert "#   orphan: true\n" in text
    assert "jupytext_version:" not in text


def test_jupytext_itself_finds_the_pair_in_step(book):
    """What JupyterLab's extension does on saving must not change a byte."""
    before = {path: path.read_bytes() for path in (book.script("01_one"), book.notebook("01_one"))}
    subprocess.run(
        [sys.executable, "-m", "jupytext", "--sync", book.notebook("01_one")],
        check=True,
        capture_output=True,
    )
    assert {path: path.read_bytes() for path in before} == before


def test_editing_one_cell_changes_its_id_alone(book):
    before = ids(book)
    assert len(set(before)) == 5  # the two equal cells too
    book.edit("01_one", "return 2 * x", "return x + x")
    book.sync()
    assert [a == b for a, b in zip(before, ids(book), strict=True)] == [
        True,
        True,
        False,
        True,
        True,
    ]


def test_inserting_and_moving_cells_keeps_the_others_ids(book):
    before = ids(book)
    book.edit("01_one", '# %% tags=["parameters"]', '# %%\nx = 3\n\n# %% tags=["parameters"]')
    book.sync()
    assert [each for each in ids(book) if each in before] == before
    assert len(ids(book)) == 6


def test_the_same_cell_has_another_id_in_another_chapter(make_book):
    book = make_book({"index": "# %%\n1\n", "01_one": "# %%\n1\n"})
    book.sync()
    assert ids(book, "index") != ids(book, "01_one")


def test_outputs_stay_with_unchanged_cells_only(book, text_output):
    book.give_output("01_one", PRINT, text_output("128\n"))
    book.give_output("01_one", "faces = 64  # how many", text_output("stale\n"))
    book.edit("01_one", "faces = 64", "faces = 65")
    book.edit("01_one", "# # One", "# # Uno")
    assert book.sync() == [book.notebook("01_one")]
    cells = book.stored("01_one").cells
    assert cells[2].outputs[0].text == "128\n"
    assert cells[1].outputs == []


def test_a_single_chapter_can_be_chosen(book):
    book.edit("01_one", "# # One", "# # Uno")
    book.edit("index", "# # Start", "# # Begin")
    assert book.sync(slugs=["01_one"]) == [book.notebook("01_one")]
    assert [slug for slug, *_ in parted(book)] == ["index"]


def test_pairs_in_step_have_no_difference(book):
    assert pairing.out_of_step(book.load()) == []


@pytest.mark.parametrize(
    ("old", "new", "cell", "part"),
    [
        ("faces = 64", "faces = 65", 2, "source"),
        ("# # One", "# # Uno", 1, "source"),
        ('# %% tags=["parameters"]', "# %%", 2, "list of tags"),
        ('"source_hidden": true', '"source_hidden": false', 4, "metadata"),
        ("# %% [markdown]\n# # One", "# %% [raw]\n# # One", 1, "type of cell"),
    ],
)
def test_a_difference_is_found_with_its_cell_and_line(book, old, new, cell, part):
    book.edit("01_one", old, new)
    lines = book.script("01_one").read_text().splitlines()
    markers = [number for number, line in enumerate(lines, 1) if line.startswith("# %%")]
    line = markers[cell - 1] + 1
    assert parted(book) == [("01_one", cell, line, f"the {part} differs from that in 01_one.ipynb")]
    book.sync()
    assert parted(book) == []


def test_a_cell_more_and_a_missing_notebook_are_found(book):
    book.script("01_one").write_text(book.script("01_one").read_text() + "\n# %%\n3\n")
    book.notebook("index").unlink()
    assert parted(book) == [
        ("index", None, None, "index.ipynb is missing"),
        ("01_one", None, None, "the script has 6 cells, 01_one.ipynb has 5"),
    ]


def test_outputs_execution_counts_and_folding_are_no_difference(book, text_output):
    book.give_output("01_one", PRINT, text_output("128\n"))
    notebook = book.stored("01_one")
    notebook.cells[2].execution_count = 3
    notebook.cells[2].metadata.collapsed = True
    notebook.metadata.language_info = {"name": "python", "version": "3.12.1"}
    nbformat.write(notebook, book.notebook("01_one"))
    assert pairing.out_of_step(book.load()) == []


def test_an_edit_in_the_notebook_alone_is_not_lost(book):
    book.edit_notebook("01_one", PRINT, "print('mine')")
    before = book.notebook("01_one").read_bytes()
    with pytest.raises(BookError, match=r"cell 3 was edited .*--from-notebook 01_one.*--overwrite"):
        book.sync()
    assert book.notebook("01_one").read_bytes() == before
    book.sync(from_notebook=True)
    assert "print('mine')\n" in book.script("01_one").read_text()
    assert parted(book) == []
    assert book.sync() == []


def test_an_edit_in_the_notebook_can_be_dropped(book):
    book.edit_notebook("01_one", PRINT, "print('mine')")
    assert book.sync(overwrite=True) == [book.notebook("01_one")]
    assert PRINT in [cell.source for cell in book.stored("01_one").cells]


def test_a_cell_added_in_the_notebook_is_not_lost(book):
    notebook = book.stored("01_one")
    notebook.cells.append(new_code_cell("4"))
    nbformat.write(notebook, book.notebook("01_one"))
    with pytest.raises(BookError, match="cell 6 was edited in the notebook"):
        book.sync()


def test_from_notebook_changes_nothing_but_the_edited_cell(book):
    before = book.script("01_one").read_text()
    book.edit_notebook("01_one", "faces = 64  # how many", "faces = 65  # how many")
    assert set(book.sync(from_notebook=True)) == {book.script("01_one"), book.notebook("01_one")}
    assert book.script("01_one").read_text() == before.replace("64", "65")


@pytest.mark.parametrize("text", ["", "<<<<<<< HEAD\n{}", '{"cells": 3}', '{"cells": []'])
def test_a_damaged_notebook_is_not_overwritten(book, text):
    book.notebook("01_one").write_text(text)
    with pytest.raises(BookError, match=r"01_one.ipynb is not a notebook .*; delete it and run"):
        book.sync()
    assert book.notebook("01_one").read_text() == text


def test_missing_and_undecodable_scripts_are_named(book):
    book.script("01_one").write_bytes(b"# \xe4\n")
    with pytest.raises(BookError, match=r"01_one.py: expected UTF-8"):
        book.sync()
    book.script("01_one").unlink()
    with pytest.raises(BookError, match=r"01_one.py is missing; write it, or take"):
        book.sync()


def test_a_full_disk_leaves_the_file_as_it_was(book, monkeypatch):
    before = book.notebook("01_one").read_bytes()
    book.edit("01_one", "# # One", "# # Uno")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BookError, match="No space left on device"):
        book.sync()
    assert book.notebook("01_one").read_bytes() == before
    assert [path.name for path in book.notebook("01_one").parent.glob(".*")] == []


@pytest.fixture
def executed(book, tmp_path, text_output):
    """The chapter as papermill leaves it, at faces = 8."""
    notebook = book.stored("01_one")
    injected = new_code_cell(
        "# Parameters\nfaces = 8\n", metadata={"tags": ["injected-parameters"]}
    )
    notebook.cells.insert(2, injected)
    for count, cell in enumerate(notebook.cells):
        cell.metadata.papermill = {"status": "completed", "start_time": "2026-01-01T00:00:00"}
        cell.metadata.setdefault("tags", [])
        if cell.cell_type == "code":
            cell.execution_count = count
            cell.metadata.execution = {"iopub.execute_input": "2026-01-01T00:00:00"}
    notebook.cells[3].outputs = [text_output("1"), text_output("6\n")]
    result = new_output("execute_result", data={"text/plain": "2"}, execution_count=4)
    notebook.cells[4].outputs = [result]
    notebook.metadata.papermill = {"duration": 1.0}
    path = tmp_path / "executed.ipynb"
    nbformat.write(notebook, path)
    return path


def test_threads_can_write_one_file_at_a_time(tmp_path):
    texts = [f"{number}" * 5000 for number in range(8)]
    with ThreadPoolExecutor(len(texts)) as threads:
        list(threads.map(lambda text: pairing.replace_text(tmp_path / "file", text), texts * 20))
    assert (tmp_path / "file").read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_stored_outputs_leave_out_what_papermill_adds(book, executed):
    before = [(cell.id, cell.source, cell.metadata) for cell in book.stored("01_one").cells]
    chapter = book.load().chapter("01_one")
    assert pairing.store_outputs(chapter, executed) == book.notebook("01_one")
    stored = book.stored("01_one")
    assert [(cell.id, cell.source, cell.metadata) for cell in stored.cells] == before
    assert [output.text for output in stored.cells[2].outputs] == ["16\n"]
    assert stored.cells[3].outputs[0].data == {"text/plain": "2"}
    text = book.notebook("01_one").read_text()
    assert not any(word in text for word in ("papermill", "injected", "iopub", "2026"))
    assert {cell.execution_count for cell in stored.cells if cell.cell_type == "code"} == {None}
    assert pairing.out_of_step(book.load()) == []
    assert book.sync() == []


def test_outputs_of_another_version_are_not_stored(book, executed):
    before = book.notebook("01_one").read_bytes()
    book.edit("01_one", "return 2 * x", "return x + x")
    with pytest.raises(BookError, match=r"cell 3 is not that of 01_one.py; run `facelab book run"):
        pairing.store_outputs(book.load().chapter("01_one"), executed)
    assert book.notebook("01_one").read_bytes() == before


def test_outputs_with_an_error_are_not_stored(book, executed):
    notebook = nbformat.read(executed, as_version=4)
    notebook.cells[4].outputs = [new_output("error", ename="KeyError", evalue="x", traceback=[])]
    nbformat.write(notebook, executed)
    with pytest.raises(BookError, match="KeyError"):
        pairing.store_outputs(book.load().chapter("01_one"), executed)


def test_large_outputs_are_not_stored_and_the_largest_cell_is_named(book, executed, text_output):
    notebook = nbformat.read(executed, as_version=4)
    notebook.cells[3].outputs = [text_output("x" * 400_000)]
    notebook.cells[4].outputs = [text_output("y" * 1_200_000)]
    nbformat.write(notebook, executed)
    before = book.notebook("01_one").read_bytes()
    with pytest.raises(
        BookError, match=r"take 1.6 MB, expected at most 1.5 MB; .* cell 4 .*1.2 MB"
    ):
        pairing.store_outputs(book.load().chapter("01_one"), executed)
    assert book.notebook("01_one").read_bytes() == before


def test_lines_of_cells_are_those_of_the_script():
    script = (
        '# ---\n# a: b\n# ---\n\n# %% [markdown]\n# A\n\n# %%\nx = """\n# %% no\n"""\n\n# %%\n1\n'
    )
    assert pairing.source_lines(script, 3) == [6, 9, 14]
    assert pairing.source_lines("1\n\n# %%\n2\n", 2) == [1, 4]
