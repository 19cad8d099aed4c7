"""What `facelab book check` finds wrong with the chapters, each problem with its cell and line.

The rules keep the book consistent without running it: pairs in step, no code that isn't run, short
cells, known citations, links that lead somewhere, declared parameters, described pictures.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from facelab.book import overview, pairing, prose
from facelab.book.parameters import accept, declared
from facelab.errors import BookError, ParameterError

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from facelab.book.manifest import Chapter, Manifest

LONGEST_CELL_LINES = 20
EXTERNAL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//")
BIB_KEY = re.compile(r"^\s*@(?!comment|string|preamble)\w+\s*[{(]\s*([^\s,]+)\s*,", re.M | re.I)
SHELL = re.compile(
    r"\s*(?:\w[\w, ]*=\s*)?!(?!=)"
    r"|\s*%{1,2}(?:pip|conda|mamba|bash|sh|script|system|sx|cmd)\b"
    r"|\s*(?:pip3?|conda|mamba)\s+install\b"
)
CHAPTER_SUFFIXES = {"", ".ipynb", ".py", ".md", ".html"}
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
        place = f" cell {self.cell} (line {self.line}):" if self.cell else ""
        return f"{self.file}:{place} {self.rule}: {self.message}"


@dataclass(frozen=True)
class Page:
    """A chapter as the rules read it: its script's cells, their lines, what its prose mentions."""

    chapter: Chapter
    cells: list[NotebookNode]
    lines: list[int]
    mentions: list[tuple[int, prose.Mention]] = field(default_factory=list)

    def values(self, kind: str) -> set[str]:
        """Return the values of all mentions of one kind, in small letters."""
        return {mention.value.lower() for _, mention in self.mentions if mention.kind == kind}

    def problem(self, cell: int | None, rule: str, message: str, offset: int = 0) -> Problem:
        """Return a problem of this chapter, `offset` lines below the start of the cell."""
        line = self.lines[cell - 1] + offset if cell else None
        return Problem(f"chapters/{self.chapter.source.name}", cell, line, rule, message)


def check(manifest: Manifest) -> list[Problem]:
    """Return every problem of the book's chapters, in the book's order."""
    markdown = prose.parser()
    found = list(_listing(manifest))
    pages = [_page(chapter, markdown) for chapter in manifest.chapters if chapter.source.is_file()]
    citable = _citable(manifest)
    for page in pages:
        of_page = [
            *_pair(page, manifest),
            *_code_cells(page),
            *_code_in_markdown(page),
            *_citations(page, citable),
            *_links(page, pages),
            *_parameters(page),
            *_pictures(page),
        ]
        found += sorted(of_page, key=lambda problem: (problem.cell or 0, problem.line or 0))
    return found + list(_readme(manifest))


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


def _page(chapter: Chapter, markdown: Any) -> Page:
    cells = pairing.read_script(chapter).cells
    lines = pairing.source_lines(chapter.source.read_text(encoding="utf-8"), len(cells))
    page, references = Page(chapter, cells, lines), {}
    for number, cell in enumerate(cells, 1):
        if cell.cell_type == "markdown":
            found = prose.mentions(markdown, cell.source, references)
            page.mentions.extend((number, mention) for mention in found)
    return page


def _listing(manifest: Manifest) -> Iterator[Problem]:
    listed = {chapter.source for chapter in manifest.chapters}
    for source in sorted(listed):
        if not source.is_file():
            message = "book.toml lists it and it is missing; write it, or take the entry out"
            yield Problem(f"chapters/{source.name}", None, None, "listing", message)
    for source in sorted((manifest.root / "chapters").glob("*.py")):
        if source not in listed:
            message = "book.toml does not list it; add a [[chapter]] entry, or move it away"
            yield Problem(f"chapters/{source.name}", None, None, "listing", message)


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
    by_slug = {each.chapter.slug: each for each in pages}
    for number, mention in page.mentions:
        if mention.kind in ("link", "picture"):
            wrong = _broken(mention, page, by_slug, labels)
        elif mention.kind in LABELLED_ROLES:
            wrong = _unlabelled(_target(mention.value), labels)
        elif mention.kind == "doc":
            wrong = _no_chapter(_target(mention.value), by_slug)
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
    return f"no chapter has the label {target!r}; {_hint(target, labels, f'write ({target})=')}"


def _no_chapter(target: str, by_slug: Mapping[str, Page]) -> str | None:
    if target in by_slug:
        return None
    return f"{target!r} is no chapter; {_hint(target, by_slug, 'book.toml lists them')}"


def _broken(
    mention: prose.Mention, page: Page, by_slug: Mapping[str, Page], labels: set[str]
) -> str | None:
    """Return what is wrong with the target of a link or a picture, or None."""
    if EXTERNAL.match(mention.value):
        return None
    path, _, anchor = unquote(mention.value).partition("#")
    if not path:
        return _no_anchor(anchor, page.values("heading") | labels)
    other, suffix = PurePosixPath(path).with_suffix("").name, PurePosixPath(path).suffix
    is_chapter = other in by_slug and suffix in CHAPTER_SUFFIXES
    if mention.kind == "link" and is_chapter and path.removeprefix("./") == other + suffix:
        if suffix != ".ipynb":
            return f"{path!r} opens in neither JupyterLab nor the page; write {other}.ipynb"
        return _no_anchor(anchor, by_slug[other].values("heading")) if anchor else None
    return _no_file(path, page, by_slug)


def _no_anchor(anchor: str, anchors: set[str]) -> str | None:
    if anchor.lower() in anchors:
        return None
    return f"no heading or label is {('#' + anchor)!r}; {_hint(anchor, anchors, 'correct it')}"


def _no_file(path: str, page: Page, by_slug: Mapping[str, Page]) -> str | None:
    from facelab.book.website import PICTURES

    folder = page.chapter.source.parent.resolve()
    file = (folder / path).resolve()
    if not file.is_file():
        notebooks = [f"{slug}.ipynb" for slug in by_slug]
        return f"{path!r} is not there; {_hint(path, notebooks, 'correct it')}"
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


def _pictures(page: Page) -> Iterator[Problem]:
    for number, mention in page.mentions:
        if mention.kind == "picture" and not mention.alt.strip():
            message = f"{mention.value!r} has no alternative text; write ![what it shows](...)"
            yield page.problem(number, "alt-text", message, mention.line)
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
