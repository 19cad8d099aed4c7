"""A tiny book in a temporary folder: its own book.toml, chapters, bibliography, outputs."""

from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from facelab.book import manifest, pairing

HEAD = """\
[book]
title = "A tiny book"
authors = ["Somebody"]
copyright = "2026"
licence = "Apache-2.0"
bibliography = "chapters/references.bib"

[profiles.smoke]
purpose = "for tests"
budget_s = 60

[profiles.quick]
purpose = "for readers"
budget_s = 90
"""
ENTRY = """
[[chapter]]
slug = "{slug}"
title = "The chapter {slug}"
module = "facelab.book"
minutes = 5
"""
REFERENCES = (
    "@article{ada1843,\n  author = {Ada Lovelace},\n  title = {Notes},\n  year = {1843}\n}\n"
)
# A picture of one pixel.
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGA"
    "WjR9awAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True)
class TinyBook:
    """The folder of a tiny book, with what tests do to it."""

    root: Path

    def load(self) -> manifest.Manifest:
        return manifest.load(self.root / "book.toml")

    def add_page(self, slug: str, line: str, text: str | None = None) -> None:
        """Append a [[page]] with `line` to book.toml, and write its Markdown if there is any."""
        path = self.root / "book.toml"
        entry = f'\n[[page]]\nslug = "{slug}"\ntitle = "Words"\n{line}\n'
        path.write_text(path.read_text() + entry)
        if text is not None:
            (self.root / "chapters" / "pages").mkdir(exist_ok=True)
            (self.root / "chapters" / "pages" / f"{slug}.md").write_text(text)

    def script(self, slug: str) -> Path:
        return self.root / "chapters" / f"{slug}.py"

    def notebook(self, slug: str) -> Path:
        return self.root / "chapters" / f"{slug}.ipynb"

    def stored(self, slug: str) -> NotebookNode:
        return nbformat.read(self.notebook(slug), as_version=4)

    def sync(self, **options) -> list[Path]:
        return pairing.sync(self.load(), **options)

    def edit(self, slug: str, old: str, new: str) -> None:
        """Replace a text in a chapter's script."""
        path = self.script(slug)
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def edit_notebook(self, slug: str, old: str, new: str) -> None:
        """Replace the source of the cells that are `old`, as an editor of notebooks would."""
        notebook = self.stored(slug)
        assert old in [cell.source for cell in notebook.cells]
        for cell in notebook.cells:
            cell.source = new if cell.source == old else cell.source
        nbformat.write(notebook, self.notebook(slug))

    def give_output(self, slug: str, source: str, output: NotebookNode, times: int = 1) -> None:
        """Store an output with the cells whose source is `source`."""
        notebook = self.stored(slug)
        for cell in notebook.cells:
            if cell.source == source:
                cell.outputs += [output] * times
        nbformat.write(notebook, self.notebook(slug))


@pytest.fixture
def make_book(tmp_path):
    """Return a function that makes a tiny book from scripts and what their entries say besides."""

    def make(scripts: dict[str, str], entries: dict[str, str] | None = None) -> TinyBook:
        folder = tmp_path / "book"
        (folder / "chapters").mkdir(parents=True)
        (folder / "chapters" / "references.bib").write_text(REFERENCES)
        text = HEAD
        for slug, script in scripts.items():
            (folder / "chapters" / f"{slug}.py").write_text(script)
            text += ENTRY.format(slug=slug) + (entries or {}).get(slug, "")
        (folder / "book.toml").write_text(text)
        return TinyBook(folder)

    return make


@pytest.fixture
def text_output():
    """Return a function that makes a printed output."""
    return lambda text: nbformat.v4.new_output("stream", name="stdout", text=text)


@pytest.fixture
def picture_output():
    """Return a function that makes a picture's output, with or without alternative text."""

    def make(alt: str | None = None) -> NotebookNode:
        metadata = {"image/png": {"alt": alt}} if alt is not None else {}
        return nbformat.v4.new_output("display_data", data={"image/png": PNG}, metadata=metadata)

    return make
