"""Reads what students hand in: anything may be in that file."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbformat import NotebookNode

MOST_BYTES = 20_000_000
AGAIN = "save the notebook in Jupyter and hand in that .ipynb file"


@dataclass(frozen=True)
class Refusal:
    """A submission that can't be run: an outcome of a run, and what its student is told."""

    outcome: str
    message: str


def read(path: Path, *, most_bytes: int = MOST_BYTES) -> NotebookNode | Refusal:
    """Return a submission as a notebook of today's format, without outputs, or why it is none.

    Each cell has an id of its own. Nothing that a file can hold is an error here.
    """
    path = Path(path)
    try:
        if not path.is_file():
            return Refusal("missing", "nothing was handed in under the notebook's name")
        size = path.stat().st_size
        if size > most_bytes:
            return Refusal(
                "unreadable",
                f"the file has {size / 1e6:.0f} MB, expected {most_bytes / 1e6:g} MB or less; "
                "clear the outputs of all cells and save it again",
            )
        content = path.read_bytes()
    except OSError as error:
        return Refusal("unreadable", f"the file can't be read ({error.strerror}); {AGAIN}")
    if not content.strip():
        return Refusal("empty", f"the file is empty; {AGAIN}")
    return parse(content)


def parse(content: bytes) -> NotebookNode | Refusal:
    """Return what `read` does, for a file's content."""
    try:
        data = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return Refusal("unreadable", f"the file isn't a notebook: expected JSON; {AGAIN}")
    if not isinstance(data, dict) or not isinstance(data.get("nbformat"), int):
        return Refusal("unreadable", f"the file is JSON, but not a notebook; {AGAIN}")
    try:
        notebook = _upgraded(data)
    except Exception:  # old formats' readers raise whatever they stumble over
        return Refusal("unreadable", f"the notebook is damaged; {AGAIN}")
    if not any(cell.cell_type == "code" and cell.source.strip() for cell in notebook.cells):
        return Refusal("empty", "the notebook has no code; hand in the one with your answers")
    return notebook


def _upgraded(data: dict[str, Any]) -> NotebookNode:
    import nbformat

    _drop_outputs(data.get("cells", []))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is mended here
        text = json.dumps(data, ensure_ascii=False).encode("utf-8", "replace").decode()
        notebook = nbformat.reader.reads(text)
        notebook = nbformat.convert(notebook, to_version=4)
        notebook = nbformat.v4.upgrade(notebook)
        _drop_outputs(notebook.cells)
        _name_cells(notebook.cells)
        nbformat.validate(notebook, relax_add_props=True)
    return notebook


def _drop_outputs(cells: list[dict[str, Any]]) -> None:
    for cell in cells:
        if cell.get("cell_type") == "code":
            cell |= {"outputs": [], "execution_count": None}


def _name_cells(cells: list[dict[str, Any]]) -> None:
    """Give an id to cells without one, and to those that have another's, as copied cells do."""
    taken = set()
    for number, cell in enumerate(cells, start=1):
        if not isinstance(cell.get("id"), str) or cell["id"] in taken:
            cell["id"] = f"cell-{number}"
            while cell["id"] in taken:
                cell["id"] += "-again"
        taken.add(cell["id"])
