"""An executed chapter as what a reader gets: a notebook to download, and the source of a page.

`download` cleans what papermill and widgets leave behind; `page` dresses that for Jupyter Book.
Both keep the chapter's cells in their order, so that cell numbers in messages are the chapter's.
"""

import ast
import copy
import re
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from facelab.errors import BookError

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
# What tqdm writes: "name:  40%|####      | 4/10 [00:01<00:02, 3.9it/s]" or "12it [00:03, 4.0it/s]".
PROGRESS = re.compile(r"^(.*\d+%\|.*\|.*|.*\d+\s?\w*\s\[\d+:\d+.*\])\s*$")
CODE_FENCE = re.compile(r"(`{3,}|~{3,}).*?^\s*\1|`[^`\n]+`", re.DOTALL | re.MULTILINE)
IMAGE_WITHOUT_ALT = re.compile(r"!\[\s*\]\(|<img\b(?![^>]*\balt\s*=\s*[\"'][^\"'])[^>]*>")
MARKUP = re.compile(r"([\\`*_{}\[\]$<])")
UNSEEN = {"hidden-test", "wrong-answers"}  # tags of cells that readers don't get
FIGURE = "figure-"  # a tag that begins so is the label of the cell's figure
HIGHLIGHTED = re.compile(r"<div class=\"highlight\"><pre>")


def read(path: Path) -> NotebookNode:
    """Read an executed notebook; `BookError` when it is absent, damaged or was not run to its end.

    `path` is RUN/SLUG.ipynb, as papermill leaves it.
    """
    if not path.is_file():
        raise BookError(f"{path} is missing; run `facelab book run {path.stem}` first")
    try:
        notebook = nbformat.read(path, as_version=4)
    except (ValueError, AttributeError, nbformat.ValidationError) as error:
        raise BookError(f"{path} is not a notebook ({error}); run the chapter again") from None
    for number, cell in enumerate(notebook.cells, start=1):
        _require_executed(path, number, cell)
    return notebook


def _require_executed(path: Path, number: int, cell: NotebookNode) -> None:
    state = cell.metadata.get("papermill", {}).get("status", "completed")
    errors = [output.ename for output in cell.get("outputs", []) if output.output_type == "error"]
    if errors and "raises-exception" not in tags(cell):
        raise BookError(f"{path}: cell {number} raised {errors[0]}; correct it and run it again")
    if cell.cell_type == "code" and state != "completed":
        raise BookError(f"{path}: cell {number} was not executed ({state}); run the chapter again")


def tags(cell: NotebookNode) -> list[str]:
    """Return a cell's tags."""
    return cell.metadata.get("tags", [])


def download(executed: NotebookNode) -> NotebookNode:
    """Return the chapter with its outputs, as a reader opens it in JupyterLab.

    The values that were injected stand in the `parameters` cell; views of widgets (dead without
    their kernel), progress bars and papermill's records are gone.
    """
    notebook = copy.deepcopy(executed)
    notebook.cells = _merge_parameters(notebook.cells)
    for key in ("papermill", "widgets"):
        notebook.metadata.pop(key, None)
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell.outputs = [kept for output in cell.outputs if (kept := _still(output))]
    return notebook


def without_hidden_tests(notebook: NotebookNode) -> NotebookNode:
    """Return a notebook without the cells that are for those who publish the chapter."""
    kept = copy.deepcopy(notebook)
    kept.cells = [cell for cell in kept.cells if not UNSEEN & set(tags(cell))]
    return kept


def _merge_parameters(cells: list[NotebookNode]) -> list[NotebookNode]:
    injected = [cell for cell in cells if "injected-parameters" in tags(cell)]
    declared = [cell for cell in cells if "parameters" in tags(cell)]
    if not injected or not declared:
        return cells
    declared[0].source = set_values(declared[0].source, injected[0].source)
    return [cell for cell in cells if cell is not injected[0]]


def set_values(source: str, assignments: str) -> str:
    """Return the `parameters` cell `source` with the values of `assignments`, comments kept.

    A value that stays the same keeps its spelling (1e-3); a name that `source` lacks is appended.
    """
    new = dict(_assigned(assignments))
    data = source.encode()
    starts = [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for name, old in reversed(list(_assigned(source))):
        value = new.pop(name, old)
        if ast.dump(value) != ast.dump(old):
            # Positions in the syntax tree count bytes.
            first = starts[old.lineno - 1] + old.col_offset
            last = starts[(old.end_lineno or old.lineno) - 1] + (old.end_col_offset or 0)
            data = data[:first] + ast.unparse(value).encode() + data[last:]
    return "\n".join(
        [data.decode(), *(f"{name} = {ast.unparse(node)}" for name, node in new.items())]
    )


def _assigned(source: str) -> Iterable[tuple[str, ast.expr]]:
    for statement in ast.parse(source).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value


def _still(output: NotebookNode) -> NotebookNode | None:
    """Return an output without widgets and progress bars, or None when nothing is left of it."""
    if output.output_type == "stream" and output.name == "stderr":
        lines = re.split(r"[\r\n]+", output.text)
        kept = [line for line in lines if line.strip() and not PROGRESS.match(line)]
        if len(kept) < len([line for line in lines if line.strip()]):
            output.text = "".join(f"{line}\n" for line in kept)
        return output if kept else None
    if WIDGET_VIEW in output.get("data", {}):
        del output.data[WIDGET_VIEW]
        # What is left beside a view is its text form, such as "interactive(children=(...".
        return output if set(output.data) - {"text/plain"} else None
    return output


def page(chapter: NotebookNode, slug: str) -> NotebookNode:
    """Return the source of a page, from what `download` returned.

    Solutions are folded, hints' contents are read as Markdown, each figure carries its alt text, is
    numbered and has that text as its caption.
    Raises `BookError`, with the chapter and the cell, for a figure without one.
    """
    notebook = copy.deepcopy(chapter)
    notebook.metadata.setdefault("kernelspec", {"name": "python3", "display_name": "Python 3"})
    notebook.metadata.setdefault("language_info", {"name": "python"})
    _require_plain_title(notebook, slug)
    for number, cell in enumerate(notebook.cells, start=1):
        place = f"{slug}, cell {number}"
        if cell.cell_type == "markdown":
            cell.source = dress_text(cell.source, place)
        elif cell.cell_type == "code":
            _dress_code(cell, place)
            _make_figure(cell, f"{slug}-cell-{number}")
    return notebook


def _require_plain_title(notebook: NotebookNode, slug: str) -> None:
    for cell in notebook.cells:
        title = re.search(r"^# .*", cell.source, re.MULTILINE)
        if cell.cell_type == "markdown" and title:
            if "$" in title[0]:
                raise BookError(
                    f"{slug}: the title {title[0]!r} has a formula, which a browser's tab and the "
                    "list of chapters can't set; put it in words"
                )
            return


def _dress_code(cell: NotebookNode, place: str) -> None:
    options = cell.metadata.setdefault("mystnb", {})
    if "solution" in tags(cell):
        if not any(tag.startswith(("hide-", "remove-")) for tag in tags(cell)):
            cell.metadata["tags"] = [*tags(cell), "hide-input"]
        options.setdefault("code_prompt_show", "Show the solution")
        options.setdefault("code_prompt_hide", "Hide the solution")
    if {"remove-cell", "remove-output"} & set(tags(cell)):
        return
    for output in cell.outputs:
        if "data" in output:
            _restore_source(output)
    alt = _alt_text(cell.outputs, place)
    if alt:
        options["image"] = {"alt": alt, **options.get("image", {})}


def _make_figure(cell: NotebookNode, label: str) -> None:
    """Have a cell's one picture numbered, its alt text below; its label is a tag, or `label`."""
    alt = cell.metadata["mystnb"].get("image", {}).get("alt")
    kinds = [kind for output in cell.outputs for kind in output.get("data", {})]
    if alt and sum(kind.startswith("image/") for kind in kinds) == 1:
        name = figure_label(cell) or label
        cell.metadata["mystnb"]["figure"] = {"caption": MARKUP.sub(r"\\\1", alt), "name": name}


def figure_label(cell: NotebookNode) -> str | None:
    """Return what `{numref}` calls a cell's figure, by its tag figure-NAME; None without one."""
    return next((tag for tag in tags(cell) if tag.startswith(FIGURE)), None)


def _alt_text(outputs: list[NotebookNode], place: str) -> str:
    """Return the one alt text of a cell's figures; myst-nb takes it from the cell's metadata."""
    found = []
    for output in outputs:
        for kind in output.get("data", {}):
            if kind.startswith("image/"):
                found.append(output.metadata.get(kind, {}).get("alt", "").strip())
        _require_alt(output.get("data", {}).get("text/html", ""), place)
    if not all(found):
        raise BookError(
            f"{place}: a figure has no alt text; "
            'display it with facelab.figures.show(figure, alt="what it shows")'
        )
    if len(set(found)) > 1:
        raise BookError(
            f"{place}: {len(found)} figures with different alt texts; show one figure in a cell"
        )
    return found[0] if found else ""


def _require_alt(text: str, place: str) -> None:
    if IMAGE_WITHOUT_ALT.search(CODE_FENCE.sub("", text)):
        raise BookError(f"{place}: a picture has no alt text; write ![what it shows](FILE)")


def _restore_source(output: NotebookNode) -> None:
    """Have the page colour a displayed `IPython.display.Code` itself, so that it follows the theme.

    Its HTML comes with colours for a white page only.
    """
    data = output.data
    if HIGHLIGHTED.search(data.get("text/html", "")) and "text/plain" in data:
        longest = max((len(run) for run in re.findall(r"`+", data["text/plain"])), default=0)
        fence = "`" * max(3, longest + 1)
        output.data = NotebookNode(
            {"text/markdown": f"{fence}python\n{data['text/plain'].rstrip()}\n{fence}"}
        )


def dress_text(markdown: str, place: str) -> str:
    """Return prose as a page reads it; raises `BookError` for a picture without alt text."""
    _require_alt(markdown, place)
    return open_details(markdown)


def open_details(markdown: str) -> str:
    """Put blank lines in and after <details>: without them, what is within is taken as HTML."""
    markdown = re.sub(r"</summary>\s*", "</summary>\n\n", markdown)
    return re.sub(r"\s*</details>\s*", "\n\n</details>\n\n", markdown)
