"""The pages after the chapters: written ones in chapters/pages, and those that the book makes.

A maker is a module of facelab.book with two functions of the project's root: `page` returns
Markdown without a title, `problems` yields what is wrong with what the page is made from.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from facelab.book.quoting import quoted
from facelab.errors import BookError

if TYPE_CHECKING:
    from facelab.book.checks import Problem
    from facelab.book.manifest import ClosingPage

FOLDER = "pages"  # below chapters/, and in the rendered book
# Named here and imported when used: `book.toml` is read by commands that make no page.
MAKERS = {
    "equations": "facelab.book.equations",
    "ledger": "facelab.book.ledger",
    "model_cards": "facelab.book.model_cards",
    "data_cards": "facelab.book.data_cards",
    "demographics": "facelab.book.demographics",
}


def text(page: ClosingPage, root: Path) -> str:
    """Return a page as Markdown with its title, the numbers that it quotes from records filled in.

    Raises `BookError` when its source, or such a number, is missing.
    """
    if page.made_by is not None:
        return f"# {page.title}\n\n{import_module(MAKERS[page.made_by]).page(root)}"
    assert page.source is not None
    try:
        written = page.source.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BookError(f"{page.source}: expected UTF-8 text; save the file as UTF-8") from None
    except OSError as error:
        reason = f"can't be read: {error.strerror}"
        remedy = "write it, or take the [[page]] entry out of book.toml"
        raise BookError(f"{page.source}: {reason}; {remedy}") from None
    return quoted(written, root, f"chapters/{FOLDER}/{page.slug}.md")


def problems(page: ClosingPage, root: Path) -> Iterator[Problem]:
    """Yield what is wrong with what a made page is made from; nothing for a written one."""
    if page.made_by is not None:
        yield from import_module(MAKERS[page.made_by]).problems(root)
