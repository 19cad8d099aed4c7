"""What `facelab book check` finds wrong with the book, each problem with its cell and line.

The rules keep the book consistent without running it: pairs in step, no code that isn't run, short
cells, known citations, links that lead somewhere, declared parameters, described pictures, and for
each numbered equation a function and its test. Prose of closing pages keeps the rules of prose;
what a made page is made from has rules of its own.
"""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from facelab.book import closing, equations, exercise_rules, overview, pairing, products, prose
from facelab.book.pages import figure_label
from facelab.book.parameters import accept, declared
from facelab.errors import BookError, ParameterError

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from facelab.book.manifest import Chapter, ClosingPage, Manifest

LONGEST_CELL_LINES = 20
EXTERNAL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//")
BIB_KEY = re.compile(r"^\s*@(?!comment|string|preamble)\w+\s*[{(]\s*([^\s,]+)\s*,", re.M | re.I)
SHELL = re.compile(
    r"\s*(?:\w[\w, ]*=\s*)?!(?!=)"
    r"|\s*%{1,2}(?:pip|conda|mamba|bash|sh|script|system|sx|cmd)\b"
    r"|\s*(?:pip3?|conda|mamba)\s+install\b"
)
PAGE_SUFFIXES = {"", ".ipynb", ".py", ".md", ".html"}
LABELLED_ROLES = {"ref", "numref", "eq"}


@dataclass(frozen=True)
class Problem:
    """One thing to correct: `cell` and `line` (of the script) count from 1."""

    file: str
    cell: int | None
    line: int | None
    rule: str
    message: str

    def __str__(self) -> str:
        place = f" line {self.line}:" if self.line else ""
        if self.cell:
            place = f" cell {self.cell} (line {self.line}):"
        return f"{self.file}:{place} {self.rule}: {self.message}"


@dataclass(frozen=True)
class Page:
    """A page as the rules read it: its cells, their lines, what its prose mentions.

    `address` is how the index would link to it, `file` where it is written, `folder` that of the
    index; a closing page has one cell and no chapter, a made one no lines either.
    """

    address: str
    file: str
    folder: Path
    cells: list[NotebookNode]
    lines: list[int]
    chapter: Chapter | None = None
    mentions: list[tuple[int, prose.Mention]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The address without its ending: `05_ganid`, `pages/notation`."""
        return posixpath.splitext(self.address)[0]

    def place(self, path: str) -> str:
        """Return where a path that the page mentions leads, seen from the index."""
        return posixpath.normpath(posixpath.join(posixpath.dirname(self.address), path))

    def way_to(self, other: Page) -> str:
        """Return how this page links to another one."""
        return posixpath.relpath(other.address, posixpath.dirname(self.address) or ".")

    def values(self, kind: str) -> set[str]:
        """Return the values of all mentions of one kind, in small letters."""
        return {mention.value.lower() for _, mention in self.mentions if mention.kind == kind}

    def problem(self, cell: int | None, rule: str, message: str, offset: int = 0) -> Problem:
        """Return a problem of this page, `offset` lines below the start of the cell."""
        line = self.lines[cell - 1] + offset if cell and self.lines else None
        return Problem(self.file, cell if self.chapter else None, line, rule, message)


def check(manifest: Manifest) -> list[Problem]:
    """Return every problem of the book's chapters and closing pages, in the book's order."""
    markdown = prose.parser()
    found = list(_listing(manifest))
    chapters = [
        _chapter(chapter, markdown) for chapter in manifest.chapters if chapter.source.is_file()
    ]
    texts, unwritten = _closing_texts(manifest)
    folder = manifest.root / "chapters"
    after = [_closing_page(page, text, markdown, folder) for page, text in texts]
    citable = _citable(manifest)
    for page in [*chapters, *after]:
        of_page = [
            *(_of_chapter(page, manifest) if page.chapter else ()),
            *_code_in_markdown(page),
            *_citations(page, citable),
            *_links(page, [*chapters, *after]),
            *_described(page),
        ]
        found += sorted(of_page, key=lambda problem: (problem.cell or 0, problem.line or 0))
    found += unwritten
    for page in manifest.pages:
        found += closing.problems(page, manifest.root)
    found += _equations(manifest, chapters)
    return found + list(_products(manifest)) + list(_readme(manifest))


def _of_chapter(page: Page, manifest: Manifest) -> Iterator[Problem]:
    yield from _pair(page, manifest)
    yield from _code_cells(page)
    yield from _parameters(page)
    yield from _pictures(page)
    for cell, message in exercise_rules.problems(page.chapter, page.cells):
        yield page.problem(cell, "exercise", message)


def _products(manifest: Manifest) -> Iterator[Problem]:
    try:
        for slug, message in products.drifted(manifest):
            yield Problem(f"chapters/{slug}.py", None, None, "product", message)
    except (BookError, SyntaxError):  # the rules on exercises tell
        return


def _readme(manifest: Manifest) -> Iterator[Problem]:
    path = manifest.root / "README.md"
    if path.is_file():
        text = path.read_text()
        try:
            current = overview.readme(text, manifest) == text
        except BookError as error:
            yield Problem(path.name, None, None, "readme", str(error))
        else:
            if not current:
                message = "its tables are older than book.toml or records/; run `facelab book sync`"
                yield Problem(path.name, None, None, "readme", message)


def _chapter(chapter: Chapter, markdown: Any) -> Page:
    cells = pairing.read_script(chapter).cells
    lines = pairing.source_lines(chapter.source.read_text(encoding="utf-8"), len(cells))
    address, file = f"{chapter.slug}.ipynb", f"chapters/{chapter.source.name}"
    mentions = [*prose.of_cells(markdown, cells), *_figures(cells)]
    return Page(address, file, chapter.source.parent, cells, lines, chapter, mentions)


def _figures(cells: list[NotebookNode]) -> Iterator[tuple[int, prose.Mention]]:
    """Yield the labels that the page gives to figures."""
    for number, cell in enumerate(cells, start=1):
        if label := figure_label(cell):
            yield number, prose.Mention("label", label)


def _equations(manifest: Manifest, pages: list[Page]) -> Iterator[Problem]:
    by_slug = {page.chapter.slug: page for page in pages}
    found = [
        equation
        for page in pages
        for equation in equations.numbered(page.chapter, page.cells, page.mentions)
    ]
    for page in pages:
        for number, tag in equations.stray(page.cells, page.mentions):
            message = f"{tag} numbers no displayed formula; put it between $$ and $$, a block alone"
            yield page.problem(number, "equation", message)
    for place, message in equations.wrong(manifest.root, found):
        if isinstance(place, equations.Equation):
            page = by_slug[place.chapter.slug]
            yield page.problem(place.cell, "equation", message, place.line)
        else:
            yield Problem(place, None, None, "equation", message)


def _closing_texts(manifest: Manifest) -> tuple[list[tuple[ClosingPage, str]], list[Problem]]:
    """Return the closing pages with their Markdown, and a problem for each that has none."""
    texts, problems = [], []
    for page in manifest.pages:
        try:
            text = closing.text(page, manifest.root)
        except BookError as error:
            problems.append(Problem(_file(page), None, None, "page", str(error)))
            continue
        texts.append((page, text))
        title = f"# {page.title}"
        if text.partition("\n")[0].strip() != title:
            message = f"expected {title!r} as its first line, the title that book.toml gives it"
            problems.append(Problem(_file(page), None, 1, "page", message))
    return texts, problems


def _file(page: ClosingPage) -> str:
    written = f"chapters/{closing.FOLDER}/{page.slug}.md"
    return written if page.made_by is None else f"the page {page.slug} that is made"


def _closing_page(page: ClosingPage, text: str, markdown: Any, folder: Path) -> Page:
    from nbformat.v4 import new_markdown_cell

    address, lines = f"{closing.FOLDER}/{page.slug}.md", [] if page.made_by else [1]
    cells = [new_markdown_cell(text)]
    mentions = prose.of_cells(markdown, cells)
    return Page(address, _file(page), folder, cells, lines, None, mentions)


def _listing(manifest: Manifest) -> Iterator[Problem]:
    listed = {chapter.source for chapter in manifest.chapters}
    for source in sorted(listed):
        if not source.is_file():
            message = "book.toml lists it and it is missing; write it, or take the entry out"
            yield Problem(f"chapters/{source.name}", None, None, "listing", message)
    listed |= {page.source for page in manifest.pages if page.source}
    for kind, pattern in (("chapter", "*.py"), ("page", f"{closing.FOLDER}/*.md")):
        for source in sorted((manifest.root / "chapters").glob(pattern)):
            if source not in listed:
                message = f"book.toml does not list it; add a [[{kind}]] entry, or move it away"
                place = source.relative_to(manifest.root).as_posix()
                yield Problem(place, None, None, "listing", message)


def _pair(page: Page, manifest: Manifest) -> Iterator[Problem]:
    try:
        different = pairing.out_of_step(manifest, [page.chapter.slug])
    except BookError as error:
        yield page.problem(None, "pair", str(error))
        return
    for difference in different:
        yield page.problem(difference.cell, "pair", difference.message)


def _code_cells(page: Page) -> Iterator[Problem]:
    for number, cell in enumerate(page.cells, 1):
        lines = cell.source.splitlines() if cell.cell_type == "code" else []
        if len(lines) > LONGEST_CELL_LINES:
            message = (
                f"{len(lines)} lines, expected at most {LONGEST_CELL_LINES}; "
                "split the cell, or move code to facelab"
            )
            yield page.problem(number, "long-cell", message)
        for offset, line in enumerate(lines):
            if SHELL.match(line):
                message = (
                    f"{line.strip()!r} is for a shell; "
                    "what a chapter needs is installed before it runs"
                )
                yield page.problem(number, "shell", message, offset)


def _code_in_markdown(page: Page) -> Iterator[Problem]:
    for number, mention in page.mentions:
        if mention.kind == "code":
            first = mention.value.partition("\n")[0]
            message = f"{first!r} is a block of code that is never run; put it in a code cell"
            yield page.problem(number, "code-in-markdown", message, mention.line)


def _citable(manifest: Manifest) -> set[str] | None:
    """Return the keys of the bibliography, or None when there is no such file."""
    path = manifest.book.bibliography
    return set(BIB_KEY.findall(path.read_text(encoding="utf-8"))) if path.is_file() else None


def _citations(page: Page, citable: set[str] | None) -> Iterator[Problem]:
    for number, mention in page.mentions:
        if mention.kind.partition(":")[0] != "cite":
            continue
        for key in (key.strip() for key in mention.value.split(",")):
            if citable is None:
                message = f"{key!r} is cited and the bibliography is missing; create it"
            elif key not in citable:
                message = f"{key!r} is not in the bibliography; {_hint(key, citable, 'add it')}"
            else:
                continue
            yield page.problem(number, "citation", message, mention.line)


def _hint(name: str, known: Iterable[str], otherwise: str) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise


def _links(page: Page, pages: list[Page]) -> Iterator[Problem]:
    labels = set().union(*(each.values("label") for each in pages))
    by_name = {each.name: each for each in pages}
    for number, mention in page.mentions:
        if mention.kind in ("link", "picture"):
            wrong = _broken(mention, page, by_name, labels)
        elif mention.kind in LABELLED_ROLES:
            wrong = _unlabelled(_target(mention.value), labels)
        elif mention.kind == "doc":
            wrong = _no_page(_target(mention.value), page, by_name)
        else:
            continue
        if wrong:
            yield page.problem(number, "link", wrong, mention.line)


def _target(role: str) -> str:
    """Return the target of a role's content: `target`, or `shown text <target>`."""
    found = re.search(r"<([^<>]+)>$", role)
    return found[1] if found else role


def _unlabelled(target: str, labels: set[str]) -> str | None:
    if target.lower() in labels:
        return None
    return f"no page has the label {target!r}; {_hint(target, labels, f'write ({target})=')}"


def _no_page(target: str, page: Page, by_name: Mapping[str, Page]) -> str | None:
    if page.place(target) in by_name:
        return None
    return f"{target!r} is no page; {_hint(target, by_name, 'book.toml lists them')}"


def _broken(
    mention: prose.Mention, page: Page, by_name: Mapping[str, Page], labels: set[str]
) -> str | None:
    """Return what is wrong with the target of a link or a picture, or None."""
    if EXTERNAL.match(mention.value):
        return None
    path, _, anchor = unquote(mention.value).partition("#")
    if not path:
        return _no_anchor(anchor, page.values("heading") | labels)
    name, suffix = posixpath.splitext(page.place(path))
    if mention.kind == "link" and name in by_name and suffix in PAGE_SUFFIXES:
        other = by_name[name]
        if page.place(path) != other.address:
            right = page.way_to(other)
            return f"{path!r} opens in neither JupyterLab nor the page; write {right}"
        return _no_anchor(anchor, other.values("heading")) if anchor else None
    return _no_file(path, page, by_name)


def _no_anchor(anchor: str, anchors: set[str]) -> str | None:
    if anchor.lower() in anchors:
        return None
    return f"no heading or label is {('#' + anchor)!r}; {_hint(anchor, anchors, 'correct it')}"


def _no_file(path: str, page: Page, by_name: Mapping[str, Page]) -> str | None:
    from facelab.book.website import PICTURES

    folder = page.folder.resolve()
    file = (folder / page.place(path)).resolve()
    if not file.is_file():
        ways = [page.way_to(other) for other in by_name.values()]
        return f"{path!r} is not there; {_hint(path, ways, 'correct it')}"
    if folder not in file.parents or file.suffix.lower() not in PICTURES:
        return f"{path!r} is not carried into the rendered book; link to its public address"
    return None


def _parameters(page: Page) -> Iterator[Problem]:
    tagged = [n for n, cell in enumerate(page.cells, 1) if "parameters" in pairing.tags(cell)]
    settings = [
        (profile, name, value)
        for profile, values in page.chapter.parameters.items()
        for name, value in values.items()
    ]
    if len(tagged) > 1:
        message = f"cell {tagged[0]} has the tag `parameters` already; keep one"
        yield page.problem(tagged[1], "parameter", message)
    if not tagged and settings:
        message = f"book.toml sets {settings[0][1]} and no cell has the tag `parameters`; add one"
        yield page.problem(None, "parameter", message)
    if tagged:
        for message in _undeclared(page.cells[tagged[0] - 1].source, settings):
            yield page.problem(tagged[0], "parameter", message)


def _undeclared(source: str, settings: list[tuple[str, str, Any]]) -> Iterator[str]:
    """Yield what is wrong between a `parameters` cell and (profile, name, value) of book.toml."""
    try:
        known = declared(source)
    except ParameterError as error:
        yield str(error)
        return
    for profile, name, value in settings:
        if name not in known:
            hint = _hint(name, known, "assign its default here")
            yield f"book.toml sets {name} for {profile} and it is not declared; {hint}"
            continue
        try:
            accept(known[name], value)
        except ParameterError as error:
            yield f"book.toml, {profile}: {error}"


def _described(page: Page) -> Iterator[Problem]:
    for number, mention in page.mentions:
        if mention.kind == "picture" and not mention.alt.strip():
            message = f"{mention.value!r} has no alternative text; write ![what it shows](...)"
            yield page.problem(number, "alt-text", message, mention.line)


def _pictures(page: Page) -> Iterator[Problem]:
    try:
        stored = pairing.read_notebook(page.chapter)
    except BookError:  # the rule on pairs tells
        return
    if problem := pairing.oversize(stored):
        yield page.problem(None, "outputs", problem)
    for number, cell in enumerate(stored.cells, 1):
        for message in _undescribed(cell.get("outputs", [])):
            # A pair out of step can have more cells than the script.
            yield page.problem(number if number <= len(page.cells) else None, "alt-text", message)


def _undescribed(outputs: Iterable[NotebookNode]) -> Iterator[str]:
    """Yield what is wrong with the alternative texts of one cell's stored pictures."""
    found = [
        str(output.metadata.get(kind, {}).get("alt", "")).strip()
        for output in outputs
        for kind in output.get("data", {})
        if kind.startswith("image/")
    ]
    if not all(found):
        yield 'a stored figure has no alternative text; show it with figures.show(..., alt="...")'
    if len(set(found)) > 1:
        yield f"{len(found)} stored figures with different texts; show one figure in a cell"
    for output in outputs:
        for picture in prose.HTML_PICTURE.findall(str(output.get("data", {}).get("text/html", ""))):
            if not dict(prose.ATTRIBUTE.findall(picture)).get("alt", "").strip():
                yield "a stored <img> has no alternative text; give it alt=..."
