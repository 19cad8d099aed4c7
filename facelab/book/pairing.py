"""Pairs of a chapter: the script chapters/SLUG.py is the source, SLUG.ipynb holds its outputs too.

The notebook's cells, ids and metadata follow from the script alone, so that the same script always
gives the same bytes. An id is a hash of the cell's source: editing a cell changes its id only.
JupyterLab, with jupytext, saves both files of a pair at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facelab.errors import BookError

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from facelab.book.manifest import Chapter, Manifest

FORMAT = "py:percent"
# Without the filter every version of jupytext would leave its number in the scripts.
JUPYTEXT = {
    "formats": f"ipynb,{FORMAT}",
    "notebook_metadata_filter": "-jupytext.text_representation.jupytext_version",
}
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
MARKER = re.compile(r"\s*#\s*%%(%*)(\s|$)")
LARGEST_OUTPUTS_BYTES = 1_500_000


@dataclass(frozen=True)
class Difference:
    """Where the two files of a pair part: `cell` counts from 1, `line` is the script's."""

    chapter: Chapter
    cell: int | None
    line: int | None
    message: str


def read_script(chapter: Chapter) -> NotebookNode:
    """Return the script as a notebook without outputs; raises `BookError` when it is missing."""
    import jupytext

    return jupytext.reads(_script(chapter), fmt=FORMAT)


def _script(chapter: Chapter) -> str:
    return _text(chapter.source, "write it, or take the chapter out of book.toml")


def read_notebook(chapter: Chapter) -> NotebookNode:
    """Return the stored notebook; raises `BookError` when it is missing or damaged."""
    remedy = f"run `facelab book sync {chapter.slug}`"
    return _parsed(chapter.notebook, remedy, f"delete it and {remedy}")


def _text(path: Path, remedy: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BookError(f"{path} is missing; {remedy}") from None
    except UnicodeDecodeError:
        raise BookError(f"{path}: expected UTF-8 text; save the file as UTF-8") from None


def _parsed(path: Path, remedy_missing: str, remedy_damaged: str) -> NotebookNode:
    import warnings

    import nbformat

    text = _text(path, remedy_missing)
    try:
        with warnings.catch_warnings():  # of ids that are absent or twice there: ours replace them
            warnings.simplefilter("ignore")
            notebook = nbformat.reads(text, as_version=4)
            nbformat.validate(notebook)
    except (ValueError, LookupError, TypeError, AttributeError, nbformat.ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise BookError(f"{path} is not a notebook ({reason}); {remedy_damaged}") from None
    return notebook


def parameters_source(chapter: Chapter) -> str:
    """Return the source of the chapter's `parameters` cell, empty text if it has none."""
    cells = read_script(chapter).cells
    return next((cell.source for cell in cells if "parameters" in tags(cell)), "")


def tags(cell: NotebookNode) -> list[str]:
    """Return a cell's tags."""
    return cell.metadata.get("tags", [])


def source_lines(script: str, cells: int) -> list[int]:
    """Return the line of the script at which the source of each of its `cells` begins."""
    from jupytext.stringparser import StringParser

    starts, quotes = [], StringParser("python")
    for number, line in enumerate(script.splitlines(), 1):
        if MARKER.match(line) and not quotes.is_quoted():
            starts.append(number + 1)
        else:
            quotes.read_line(line)
    # Text before the first marker is a cell too.
    return [1] * (cells - len(starts)) + starts[:cells]


def sync(
    manifest: Manifest,
    slugs: Iterable[str] | None = None,
    *,
    from_notebook: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Bring pairs in step, from the scripts or else `from_notebook`; return the files that changed.

    Outputs stay with the cells whose source is unchanged. Raises `BookError` rather than lose cells
    that were edited in the notebook alone, unless `overwrite`.
    """
    changed = []
    for chapter in manifest.select(slugs):
        if from_notebook:
            changed += _replace(chapter.source, _script_of(read_notebook(chapter)))
        else:
            changed += _replace(chapter.source, with_header(_script(chapter)))
        notebook = made_from_script(chapter)
        if chapter.notebook.exists():
            stored = read_notebook(chapter)
            if not (from_notebook or overwrite):
                _require_unedited(chapter, notebook, stored)
            _keep_outputs(notebook, stored)
        changed += _replace(chapter.notebook, serialised(notebook))
    return changed


def _script_of(notebook: NotebookNode) -> str:
    import jupytext
    from nbformat import from_dict

    notebook.metadata.update(from_dict({"jupytext": JUPYTEXT, "kernelspec": KERNEL}))
    return jupytext.writes(notebook, fmt=FORMAT)


def with_header(script: str) -> str:
    """Return a script with the header that pairs it; what else its header says is kept."""
    import jupytext

    header = jupytext.reads(script, fmt=FORMAT)
    header.cells = []
    body = re.sub(r"\A# ---\n.*?^# ---\n", "", script, count=1, flags=re.DOTALL | re.MULTILINE)
    return f"{_script_of(header).rstrip()}\n\n{body.lstrip()}"


def made_from_script(chapter: Chapter) -> NotebookNode:
    """Return the notebook that the script stands for: no outputs, ids from the sources."""
    from nbformat import from_dict

    notebook = read_script(chapter)
    notebook.metadata.update(from_dict({"jupytext": JUPYTEXT, "kernelspec": KERNEL}))
    notebook.metadata.language_info = from_dict({"name": "python"})
    for cell, name in zip(notebook.cells, _ids(chapter, notebook.cells), strict=True):
        cell.id = name
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def _ids(chapter: Chapter, cells: Iterable[NotebookNode]) -> Iterator[str]:
    """Yield each cell's id: a hash of slug, type, source, and the number among equal cells."""
    seen: Counter[tuple[str, str]] = Counter()
    for cell in cells:
        text = content(cell)
        yield cell_id(chapter, text, seen[text])
        seen[text] += 1


def cell_id(chapter: Chapter, content: tuple[str, str], occurrence: int) -> str:
    """Return the id of the cell that is the `occurrence`-th, from 0, with its type and source."""
    text = "\0".join((chapter.slug, *content, str(occurrence)))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def content(cell: NotebookNode) -> tuple[str, str]:
    """Return what makes two cells equal: type and source."""
    return cell.cell_type, cell.source


def _require_unedited(chapter: Chapter, notebook: NotebookNode, stored: NotebookNode) -> None:
    """Raise `BookError` when `stored` has a cell that neither the script has nor `sync` wrote."""
    scripted = {content(cell) for cell in notebook.cells}
    for number, cell in enumerate(stored.cells, 1):
        if not cell.source.strip() or content(cell) in scripted:
            continue
        written = {cell_id(chapter, content(cell), n) for n in range(len(stored.cells))}
        if cell.get("id") not in written:
            raise BookError(
                f"{chapter.notebook}: cell {number} was edited in the notebook and the script "
                f"lacks it; keep it with `facelab book sync --from-notebook {chapter.slug}` or "
                f"drop it with `facelab book sync --overwrite {chapter.slug}`"
            )


def _keep_outputs(notebook: NotebookNode, stored: NotebookNode) -> None:
    """Give the cells of `notebook` the outputs of equal cells in `stored`, in their order."""
    left: dict[tuple[str, str], list[NotebookNode]] = {}
    for cell in stored.cells:
        left.setdefault(content(cell), []).append(cell)
    for cell in notebook.cells:
        equal = left.get(content(cell))
        if cell.cell_type == "code" and equal:
            cell.outputs = equal.pop(0).outputs


def serialised(notebook: NotebookNode) -> str:
    """Return the notebook's text; counts of executions, which tell nothing here, are left out."""
    import nbformat

    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "execute_result":
                output.execution_count = None
    return nbformat.writes(notebook) + "\n"


def out_of_step(manifest: Manifest, slugs: Iterable[str] | None = None) -> list[Difference]:
    """Return the first difference of each pair that has one: sources, types, tags, metadata."""
    found = [_difference(chapter) for chapter in manifest.select(slugs)]
    return [difference for difference in found if difference is not None]


def _difference(chapter: Chapter) -> Difference | None:
    remedy = f"run `facelab book sync {chapter.slug}`"
    script = read_script(chapter)
    lines = source_lines(chapter.source.read_text(encoding="utf-8"), len(script.cells))
    if not chapter.notebook.is_file():
        return Difference(chapter, None, None, f"{chapter.notebook.name} is missing; {remedy}")
    stored = read_notebook(chapter)
    for number, (cell, other) in enumerate(zip(script.cells, stored.cells, strict=False), 1):
        part = _parted(cell, other)
        if part:
            message = f"the {part} differs from that in {chapter.notebook.name}; {remedy}"
            return Difference(chapter, number, lines[number - 1], message)
    if len(script.cells) != len(stored.cells):
        counts = f"{len(script.cells)} cells, {chapter.notebook.name} has {len(stored.cells)}"
        return Difference(chapter, None, None, f"the script has {counts}; {remedy}")
    if stored.metadata.get("jupytext", {}).get("formats") != JUPYTEXT["formats"]:
        message = f"{chapter.notebook.name} isn't paired by its metadata; {remedy}"
        return Difference(chapter, None, None, message)
    return None


def _parted(cell: NotebookNode, other: NotebookNode) -> str | None:
    """Return what two cells differ in, or None; scripts don't hold all of a cell's metadata."""
    if cell.cell_type != other.cell_type:
        return "type of cell"
    if cell.source != other.source:
        return "source"
    if set(tags(cell)) != set(tags(other)):
        return "list of tags"
    return None if _lasting(cell) == _lasting(other) else "metadata"


def _lasting(cell: NotebookNode) -> dict:
    from jupytext.cell_metadata import _IGNORE_CELL_METADATA

    passing = {key.lstrip("-") for key in _IGNORE_CELL_METADATA.split(",")} | {"tags"}
    return {key: value for key, value in cell.metadata.items() if key not in passing}


def store_outputs(chapter: Chapter, executed: Path) -> Path:
    """Put the outputs of an executed notebook, as papermill leaves it, into the chapter's notebook.

    Injected parameters, timestamps, progress bars and views of widgets are left out. Raises
    `BookError`, and changes nothing, when it was run from another version of the script, has an
    error, or its outputs are too large.
    """
    from facelab.book import pages

    notebook = made_from_script(chapter)
    done = pages.download(pages.read(executed)).cells
    for number, cell in enumerate(notebook.cells, 1):
        other = done[number - 1] if number <= len(done) else None
        # The runner's values stand in the parameters cell.
        if other is None or ("parameters" not in tags(cell) and content(cell) != content(other)):
            raise BookError(
                f"{executed}: cell {number} is not that of {chapter.source.name}; "
                f"run `facelab book run {chapter.slug}` again"
            )
        if cell.cell_type == "code":
            cell.outputs = _merged(other.outputs)
    if problem := oversize(notebook):
        raise BookError(f"{executed}: {problem}")
    _replace(chapter.notebook, serialised(notebook))
    return chapter.notebook


def _merged(outputs: Iterable[NotebookNode]) -> list[NotebookNode]:
    """Return the outputs with neighbouring texts of one stream made one, as timing splits them."""
    merged: list[NotebookNode] = []
    for output in outputs:
        last = merged[-1] if merged else None
        if last and output.output_type == "stream" == last.output_type and output.name == last.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged


def oversize(notebook: NotebookNode) -> str | None:
    """Return what is wrong when the notebook's outputs are too large, with the largest cell."""
    sizes = {
        number: len(json.dumps(cell.outputs).encode()) if cell.outputs else 0
        for number, cell in enumerate(notebook.cells, 1)
        if cell.cell_type == "code"
    }
    total = sum(sizes.values())
    if total <= LARGEST_OUTPUTS_BYTES:
        return None
    largest = max(sizes, key=sizes.__getitem__)
    return (
        f"the outputs take {total / 1e6:.1f} MB, expected at most "
        f"{LARGEST_OUTPUTS_BYTES / 1e6:.1f} MB; make those of cell {largest} smaller "
        f"({sizes[largest] / 1e6:.1f} MB)"
    )


def _replace(path: Path, text: str) -> list[Path]:
    """Write a file unless it holds `text` already; return it if it was written."""
    if path.is_file() and path.read_bytes() == text.encode():
        return []
    replace_text(path, text)
    return [path]


def replace_text(path: Path, text: str) -> None:
    """Write `text` beside `path` and rename it; raises `BookError`, with `path` as it was.

    Threads, processes and machines that share a folder may write the same file at a time.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with open(beside, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, beside)
        os.replace(beside, path)
    except OSError as error:
        raise BookError(
            f"{path} can't be written ({error.strerror}) and stays as it was; make room or "
            "correct the folder's permissions"
        ) from None
    finally:
        beside.unlink(missing_ok=True)
