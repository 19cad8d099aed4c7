import copy
from pathlib import Path

import nbformat
import pytest

import facelab
from facelab.book import fingerprint
from facelab.book.fingerprint import run_key, with_new_prose


def chapter(*sources: str):
    """Return a notebook; a source that begins with # is prose."""
    notebook = nbformat.v4.new_notebook()
    for place, source in enumerate(sources):
        new = nbformat.v4.new_markdown_cell if source[0] == "#" else nbformat.v4.new_code_cell
        notebook.cells.append(new(source, id=f"cell{place}"))
    return notebook


@pytest.fixture
def notebook():
    return chapter("# Title", "x = 1", "# Then", "print(x)")


def test_the_key_follows_code_and_not_prose(notebook, tmp_path):
    key = run_key(notebook, {}, "smoke", tmp_path)
    assert key == run_key(copy.deepcopy(notebook), {}, "smoke", tmp_path)
    notebook.cells[0].source = "# Another title"
    assert key == run_key(notebook, {}, "smoke", tmp_path)
    notebook.cells[3].source = "print(x + 1)"
    assert key != run_key(notebook, {}, "smoke", tmp_path)


def test_the_key_follows_all_else_that_outputs_depend_on(notebook, tmp_path, monkeypatch):
    photo = tmp_path / "photo.jpg"
    keys = [run_key(notebook, {}, "smoke", tmp_path)]
    keys.append(run_key(notebook, {}, "quick", tmp_path))
    keys.append(run_key(notebook, {"faces": 1}, "smoke", tmp_path))
    keys.append(run_key(notebook, {"faces": 2}, "smoke", tmp_path))
    keys.append(run_key(notebook, {"photo": str(photo)}, "smoke", tmp_path))
    photo.write_bytes(b"one")
    keys.append(run_key(notebook, {"photo": str(photo)}, "smoke", tmp_path))
    photo.write_bytes(b"two")
    keys.append(run_key(notebook, {"photo": str(photo)}, "smoke", tmp_path))
    (tmp_path / "requirements.lock").write_text("torch==2.15.0\n")
    keys.append(run_key(notebook, {}, "smoke", tmp_path))
    monkeypatch.setattr(fingerprint, "package_sum", lambda: "another facelab")
    keys.append(run_key(notebook, {}, "smoke", tmp_path))
    assert len(set(keys)) == len(keys)


def test_the_package_is_summed_by_names_and_contents(tmp_path, monkeypatch):
    monkeypatch.setattr(facelab, "__file__", str(tmp_path / "__init__.py"))
    sums = []
    for name, text in [("a.py", "1"), ("a.py", "2"), ("b/c.json", "2"), ("b/d.json", "2")]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        sums.append(fingerprint.package_sum.__wrapped__())
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").touch()
    assert len(set(sums)) == 4
    assert fingerprint.package_sum.__wrapped__() == sums[-1]


def test_new_prose_is_put_around_old_outputs(notebook):
    notebook.cells[1].metadata["tags"] = ["parameters"]
    executed = copy.deepcopy(notebook)
    injected = nbformat.v4.new_code_cell("x = 2", metadata={"tags": [fingerprint.INJECTED]})
    executed.cells.insert(2, injected)
    last = executed.cells[4]
    last.outputs = [nbformat.v4.new_output("stream", name="stdout", text="2\n")]
    last.execution_count = 3
    last.metadata["papermill"] = {"status": "completed"}
    executed.metadata["papermill"] = {"parameters": {"x": 2}}
    source = chapter("# Better", "x = 1", "# And", "# then", "print(x)")
    source.cells[1].metadata["tags"] = ["parameters"]
    source.cells[4].metadata["tags"] = ["hide-input"]

    renewed = with_new_prose(executed, source)

    sources = ["# Better", "x = 1", "x = 2", "# And", "# then", "print(x)"]
    assert [cell.source for cell in renewed.cells] == sources
    assert renewed.cells[5].outputs == last.outputs
    assert renewed.cells[5].execution_count == 3
    assert renewed.cells[5].metadata == {
        "tags": ["hide-input"],
        "papermill": last.metadata.papermill,
    }
    assert renewed.metadata.papermill.parameters == {"x": 2}
    assert source.cells[4].outputs == []
    nbformat.validate(renewed)


def test_unchanged_prose_changes_nothing(notebook):
    executed = copy.deepcopy(notebook)
    executed.cells[3].outputs = [nbformat.v4.new_output("stream", name="stdout", text="1\n")]
    assert with_new_prose(executed, notebook) == executed


def test_sum_of_a_file(tmp_path):
    path = Path(tmp_path / "abc")
    path.write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert fingerprint.file_sum(path) == known
