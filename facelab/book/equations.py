r"""Every numbered equation of the chapters, the function of facelab that is it, and its test.

A chapter numbers an equation with \tag{5.1}; equations.toml says which function or class of facelab
it is, and which test holds that function to it. Code and tests are read as syntax trees: checking
imports nothing and runs nothing.
"""

from __future__ import annotations

import ast
import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facelab.book import manifest, pages, pairing, prose
from facelab.book.toml_tables import Table, located, syntax_error
from facelab.errors import BookError, ManifestError

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from facelab.book.checks import Problem
    from facelab.book.manifest import Chapter

FILE = "facelab/book/equations.toml"
TAG = re.compile(r"\\tag\{([^{}]*)\}")
FUNCTION = re.compile(r"facelab(\.[A-Za-z_]\w*){2,}")
TEST = re.compile(r"tests/[\w/]+\.py(::\w+)*::test_\w+")
SECTION = "## "
# What Markdown would take for its own in a docstring, outside code.
MARKDOWN = re.compile(r"(`[^`]+`)|([\\`*_{}\[\]<>#|$~^])")
DEFINED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

HEAD = """\
Each numbered equation of the chapters, the function or class of facelab that is it, and a test that
holds the function to it. `facelab book check` fails where one of the three is missing. In a
notebook, `facelab.book.exercises.source` shows a function's code. Where a function's sentence or a
test's name has the number of an equation or a section, it is the paper's own.
"""


@dataclass(frozen=True)
class Equation:
    """A numbered equation: `tex` is what stands between its dollars, with the tag.

    `section` is the heading above it and `anchor` that heading's; `cell` counts from 1, `line` from
    0 within the cell.
    """

    number: str
    tex: str
    chapter: Chapter
    section: str
    anchor: str
    cell: int
    line: int


@dataclass(frozen=True)
class Entry:
    """What equations.toml says of an equation; the first of `functions` is it, others take part.

    `note` says how the function stands to the equation where that needs a word; `line` is the
    entry's in the file.
    """

    number: str
    functions: tuple[str, ...]
    test: str
    note: str
    line: int


def numbered(
    chapter: Chapter, cells: Sequence[NotebookNode], mentions: Iterable[tuple[int, prose.Mention]]
) -> Iterator[Equation]:
    """Yield the numbered equations of a chapter, from what its cells mention."""
    section = anchor = ""
    for cell, mention in mentions:
        if mention.kind == "heading":
            title = cells[cell - 1].source.splitlines()[mention.line]
            if title.startswith(SECTION):
                section, anchor = title.removeprefix(SECTION).strip(), mention.value
        elif mention.kind == "math":
            for number in TAG.findall(mention.value):
                place = (section, anchor, cell, mention.line)
                yield Equation(number, mention.value, chapter, *place)


def stray(
    cells: Sequence[NotebookNode], mentions: Iterable[tuple[int, prose.Mention]]
) -> Iterator[tuple[int, str]]:
    """Yield each tag that numbers no displayed formula, with its cell: it would go unnoticed."""
    shown: dict[int, str] = {}
    for number, mention in mentions:
        if mention.kind == "math":
            shown[number] = shown.get(number, "") + mention.value
    for number, cell in enumerate(cells, 1):
        if cell.cell_type == "markdown":
            for tag in TAG.finditer(pages.CODE_FENCE.sub("", cell.source)):
                if tag[0] not in shown.get(number, ""):
                    yield number, tag[0]


def of_chapter(chapter: Chapter) -> list[Equation]:
    """Return the numbered equations of a chapter's script."""
    cells = pairing.read_script(chapter).cells
    return list(numbered(chapter, cells, prose.of_cells(prose.parser(), cells)))


def read(root: Path) -> dict[str, Entry]:
    """Return the entries of the book at `root` by number, none without a file.

    Raises `ManifestError` for an entry that is malformed.
    """
    path = root / FILE
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise syntax_error(path.name, text, error) from None
    top = Table(data, "", path.name, located(text)).only("eq")
    return {table.key: _entry(table) for table in top.tables("eq", "equation", default={})}


def _entry(table: Table) -> Entry:
    table = table.only("is", "test", "also", "note")
    function = '"facelab.losses.triplet_loss"'
    first = table.take("is", "a function's full name", function, _is_function)
    also = table.take("also", "a list of functions", f"[{function}]", _are_functions, default=[])
    test = table.take("test", "a test", '"tests/test_losses.py::test_..."', _is_test)
    note = table.text("note", default="")
    return Entry(table.key, (first, *also), test, note, table.lines[table.place])


def _is_function(value: object) -> bool:
    return isinstance(value, str) and FUNCTION.fullmatch(value) is not None


def _are_functions(value: object) -> bool:
    return isinstance(value, list) and all(_is_function(item) for item in value)


def _is_test(value: object) -> bool:
    return isinstance(value, str) and TEST.fullmatch(value) is not None


def wrong(root: Path, found: Sequence[Equation]) -> Iterator[tuple[Equation | str, str]]:
    """Yield what is wrong between the equations and equations.toml, one message each.

    With it comes the place: an equation, or the file and line of an entry.
    """
    try:
        entries = read(root)
    except ManifestError as error:
        yield FILE, str(error)
        return
    first: dict[str, Equation] = {}
    for equation in found:
        number = equation.number
        if number in first:
            slug = first[number].chapter.slug
            yield equation, f"the number {number} is taken by an equation of {slug}; write another"
        elif number not in entries:
            yield equation, f'no function is said to be {number}; add [eq."{number}"] to {FILE}'
        first.setdefault(number, equation)
    code = Code(root)
    for entry in entries.values():
        problems = list(code.problems(entry))
        if entry.number not in first:
            tag = rf"\tag{{{entry.number}}}"
            problems.insert(0, f"no chapter has {tag}; take the entry out, or number the equation")
        for problem in problems:
            yield f"{FILE}:{entry.line}", f"{entry.number}: {problem}"


class Code:
    """The modules and the tests of the clone at `root` as syntax trees, each file read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.trees: dict[Path, ast.Module | None] = {}

    def problems(self, entry: Entry) -> Iterator[str]:
        """Yield what is wrong with the functions and the test of an entry."""
        for name in entry.functions:
            if self.function(name) is None:
                yield f"{name} is not defined there; {self._moved(name)}"
        file, *names = entry.test.split("::")
        tree = self._tree(self.root / file)
        if tree is None:
            yield f"{file} is not there; name a file below tests/"
        elif _inside(tree, names) is None:
            known = [node.name for node in ast.walk(tree) if isinstance(node, DEFINED)]
            yield f"{file} has no {'::'.join(names)}; {_near(names[-1], known)}"

    def function(self, name: str) -> ast.AST | None:
        """Return where the function, method or class of this full name is defined, or None."""
        tree, names = self._split(name)
        return _inside(tree, names) if tree else None

    def summary(self, name: str) -> str:
        """Return the first line of a function's docstring, without the paper's own number."""
        lines = (ast.get_docstring(self.function(name)) or "").splitlines()
        return re.sub(r"\s*Source: .*", "", lines[0]) if lines else ""

    def _tree(self, path: Path) -> ast.Module | None:
        if path not in self.trees:
            there = path.is_file()
            self.trees[path] = ast.parse(path.read_text(encoding="utf-8")) if there else None
        return self.trees[path]

    def _split(self, name: str) -> tuple[ast.Module | None, list[str]]:
        """Return the module that a full name begins with, and what is left of the name."""
        parts = name.split(".")
        for length in range(len(parts) - 1, 0, -1):
            path = self.root.joinpath(*parts[:length])
            for file in (path.with_suffix(".py"), path / "__init__.py"):
                if tree := self._tree(file):
                    return tree, parts[length:]
        return None, parts

    def _moved(self, name: str) -> str:
        """Return the remedy for a function that isn't where it is said to be."""
        parts = name.split(".")
        names = parts[-2:] if parts[-2][:1].isupper() else parts[-1:]
        for file in sorted((self.root / "facelab").rglob("*.py")):
            if _inside(self._tree(file), names):
                module = file.relative_to(self.root).with_suffix("").parts
                module = module[:-1] if module[-1] == "__init__" else module
                return f"did you mean {'.'.join((*module, *names))}?"
        return "name the module, and the class if it is a method"


def _inside(tree: ast.AST | None, names: Sequence[str]) -> ast.AST | None:
    """Return the definition that `names` lead to, from the outermost in, or None."""
    for name in names:
        body = getattr(tree, "body", [])
        tree = next(
            (node for node in body if isinstance(node, DEFINED) and node.name == name), None
        )
    return tree


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]}?" if near else "name a test of that file"


def page(root: Path) -> str:
    """Return the page of all equations of the book at `root`, as MyST Markdown without its title.

    A section a chapter; each equation with its section, its functions and its test. Raises
    `BookError` when an equation has no entry, or an entry no function, no test or no equation.
    """
    chapters = manifest.load(root / manifest.FILE).chapters
    found = {chapter.slug: of_chapter(chapter) for chapter in chapters}
    every = [equation for equations in found.values() for equation in equations]
    for place, message in wrong(root, every):
        where = place.chapter.slug if isinstance(place, Equation) else place
        raise BookError(f"{where}: {message}; `facelab book check` lists all that is to correct")
    entries, code = read(root), Code(root)
    parts = [HEAD]
    for chapter in chapters:
        if found[chapter.slug]:
            parts.append(f"## [{chapter.title}](../{chapter.slug}.ipynb)\n")
            parts += [_shown(equation, entries, code) for equation in found[chapter.slug]]
    return "\n".join(parts)


def problems(root: Path) -> Iterator[Problem]:
    """Yield nothing: chapters are held to their equations whether or not there is a page."""
    yield from ()


def _shown(equation: Equation, entries: Mapping[str, Entry], code: Code) -> str:
    entry = entries[equation.number]
    link = f"../{equation.chapter.slug}.ipynb#{equation.anchor}"
    file, _, test = entry.test.partition("::")
    lines = [
        f"**({equation.number})** [{equation.section}]({link})",
        f"\n$$ {equation.tex} $$\n",
        *(f"- `{name}`{_told(code.summary(name))}" for name in entry.functions),
        f"- Test: `{test.replace('::', '.')}` in `{file}`",
        *([f"- {entry.note}"] if entry.note else []),
    ]
    return "\n".join(lines) + "\n"


def _told(summary: str) -> str:
    """Return a docstring's first line behind a colon, nothing where there is none."""
    return summary and ": " + MARKDOWN.sub(lambda found: found[1] or f"\\{found[2]}", summary)
