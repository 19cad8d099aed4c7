"""When an executed chapter still holds: the key of a run, and new prose around old outputs."""

import copy
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

import facelab
from facelab.engine import provenance

LOCK_FILE = "requirements.lock"
INJECTED = "injected-parameters"


def run_key(notebook: NotebookNode, parameters: Mapping[str, Any], profile: str, root: Path) -> str:
    """Return the SHA-256 over all that a chapter's outputs depend on.

    That is its code, its parameters (with the content of files that they name), the profile,
    facelab's own files, the lock file of the clone at `root`, and the installed versions.
    """
    parts = {
        "code": [cell.source for cell in code_cells(notebook)],
        "parameters": dict(parameters),
        "files": {name: _content(value) for name, value in parameters.items()},
        "profile": profile,
        "facelab": package_sum(),
        "lock": _content(str(root / LOCK_FILE)),
        "versions": provenance.versions(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the cells that run, without the one that papermill adds."""
    return [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and INJECTED not in cell.metadata.get("tags", [])
    ]


def file_sum(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _content(value: Any) -> str:
    """Return the SHA-256 of the file that a parameter names, empty if it names none."""
    if not isinstance(value, str) or not value:
        return ""
    try:
        return file_sum(Path(value))
    except (OSError, ValueError):
        return ""


@functools.cache
def package_sum() -> str:
    """Return the SHA-256 over the names and contents of facelab's own files."""
    package = Path(facelab.__file__).parent
    total = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            name = path.relative_to(package).as_posix()
            total.update(f"{name}\0{file_sum(path)}\n".encode())
    return total.hexdigest()


def with_new_prose(executed: NotebookNode, source: NotebookNode) -> NotebookNode:
    """Return `source` with the outputs of `executed`, whose code cells are the same ones.

    This is how an author's new sentence reaches the page without running the chapter again.
    """
    renewed = copy.deepcopy(source)
    ran = {id(new): old for new, old in zip(code_cells(renewed), code_cells(executed), strict=True)}
    injected = [cell for cell in executed.cells if INJECTED in cell.metadata.get("tags", [])]
    cells = []
    for cell in renewed.cells:
        if id(cell) in ran:
            old = ran[id(cell)]
            cell.outputs, cell.execution_count = old.outputs, old.execution_count
            kept = {key: old.metadata[key] for key in MEASURED if key in old.metadata}
            cell.metadata.update(kept)
        cells.append(cell)
        if "parameters" in cell.metadata.get("tags", []):
            cells += injected
            injected = []
    renewed.cells = injected + cells
    kept = {key: executed.metadata[key] for key in DESCRIBED if key in executed.metadata}
    renewed.metadata.update(kept)
    return renewed


MEASURED = ("papermill", "execution")
DESCRIBED = ("papermill", "language_info", "widgets")
