"""The book as one document for the printer; what Chromium makes of it is in tests/browser."""

import re

import pytest
from click.testing import CliRunner

from facelab.book import commands, printing
from facelab.book.printing import Taken
from facelab.book.rendering import STAMP
from facelab.errors import BookError

INDEX = "# %% [markdown]\n# # Start\n"
PAGES = ("index", "01_one", "pages/words", "bibliography")


@pytest.fixture
def book(make_book):
    """A tiny book with a closing page, and a folder that looks like its rendered pages."""
    made = make_book({"index": INDEX, "01_one": INDEX})
    made.add_page("words", 'source = "chapters/pages/words.md"', "# Words\n")
    html = made.root / "_build" / "html"
    (html / "pages").mkdir(parents=True)
    (html / STAMP).touch()
    for name in PAGES:
        (html / f"{name}.html").touch()
    return made


@pytest.fixture
def no_browser(monkeypatch, tmp_path):
    monkeypatch.setenv("FACELAB_CHROMIUM", str(tmp_path / "none"))


def taken(name, title="A <title>", sheets=("file:///a.css",), maths=("mjx {}",)):
    return Taken(printing.anchor(name), title, f"<article>{name}</article>", sheets, maths)


def test_pages_come_in_the_book_s_order(book):
    assert printing.page_names(book.load()) == list(PAGES)


def test_a_book_that_is_not_rendered_can_not_be_printed(book, tmp_path):
    with pytest.raises(BookError, match=r"nothing holds no rendered book; run `facelab book ren"):
        printing.print_book(book.load(), tmp_path / "nothing", tmp_path / "book.pdf")
    (book.root / "_build/html" / STAMP).unlink()
    with pytest.raises(BookError, match="holds no rendered book"):
        printing.print_book(book.load(), book.root / "_build/html", tmp_path / "book.pdf")


def test_a_page_that_is_not_rendered_is_named(book, tmp_path):
    html = book.root / "_build/html"
    (html / "pages/words.html").unlink()
    (html / "01_one.html").unlink()
    with pytest.raises(BookError, match=r"html lacks 01_one, pages/words, which book\.toml lists"):
        printing.print_book(book.load(), html, tmp_path / "book.pdf")


def test_without_chromium_nothing_is_written(book, no_browser, tmp_path):
    output = tmp_path / "out" / "book.pdf"
    with pytest.raises(BookError, match=r"no browser: .* install Debian's chromium"):
        printing.print_book(book.load(), book.root / "_build/html", output)
    assert not output.parent.exists()


def test_the_command_prints_where_the_file_is(book, monkeypatch):
    asked = []

    def print_book(*given):
        asked.append(given[1:])
        return given[2]

    monkeypatch.setattr(printing, "print_book", print_book)
    monkeypatch.chdir(book.root)
    built = book.root / "_build"
    done = CliRunner().invoke(commands.book, ["pdf"])
    assert done.output == f"{built / 'book.pdf'}\n"
    CliRunner().invoke(commands.book, ["pdf", "--html", "a", "--output", "b.pdf"])
    assert asked[0] == (built / "html", built / "book.pdf")
    assert [str(path) for path in asked[1]] == ["a", "b.pdf"]


def test_the_document_has_a_title_page_contents_and_every_page_once(book):
    pages = [taken("index", "Start"), taken("pages/words", sheets=("file:///b.css",))]
    text = printing.printable(book.load().book, pages)
    body = text.partition("<body>")[2]
    assert body.index("A tiny book") < body.index("Contents") < body.index("<article>index")
    assert body.index("<article>index") < body.index("<article>pages/words")
    assert "Somebody" in body
    assert "Copyright 2026. Licence: Apache-2.0." in body
    assert re.findall(r'<a href="(.*?)">(.*?)</a>', body) == [
        ("#page-index", "Start"),
        ("#page-pages-words", "A &lt;title&gt;"),
    ]
    assert re.findall(r'href="(file:.*?)"', text) == ["file:///a.css", "file:///b.css"]
    assert text.count("mjx {}") == 1
