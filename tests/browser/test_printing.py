"""The tiny book as a PDF: everything unfolded, formulas set, links within, numbered sheets."""

import re

import pytest

from facelab.book import browser, manifest, printing
from facelab.errors import BookError

pytestmark = pytest.mark.browser
NAMES = ["index", "01_face", "pages/words", "bibliography"]


@pytest.fixture(scope="module")
def book(tiny_book):
    return manifest.load(tiny_book.parents[1] / "book.toml")


@pytest.fixture(scope="module")
def document(chromium, book, tmp_path_factory):
    """The document that is printed, opened as it is for printing."""
    path = tmp_path_factory.mktemp("printed") / "book.html"
    path.write_text(printing.printable(book.book, printing.take(chromium, NAMES)))
    with chromium.open(path) as page:
        printing.lay_out(page)
        yield page


def count(document, selector):
    return document.handle.locator(selector).count()


def test_pages_stand_in_their_order(document):
    ids = document.handle.locator("article").evaluate_all("all => all.map(each => each.id)")
    assert ids == ["page-index", "page-01_face", "page-pages-words", "page-bibliography"]
    titles = document.handle.locator("nav.pages a").all_inner_texts()
    assert titles == ["Welcome", "1. The face", "Words", "Bibliography"]


def test_everything_is_unfolded(document):
    assert count(document, "details") == 3
    assert count(document, "details:not([open])") == 0
    hidden = document.handle.locator("details.hide")
    assert hidden.locator("summary").inner_text().strip() == "Solution"
    assert hidden.locator("pre").is_visible()
    assert document.handle.locator("strong", has_text="bold").is_visible()


def test_formulas_are_set_and_pictures_can_be_seen(document):
    shown = document.handle.locator("mjx-container[display=true]").all()
    assert len(shown) == 2
    assert all(each.bounding_box()["height"] > 30 for each in shown)
    assert document.handle.evaluate(browser.BAD_IMAGES) == []
    assert document.handle.evaluate(browser.BAD_FONTS) == []
    assert document.handle.evaluate(browser.UNSET_MATHS) == []


def test_links_lead_within_the_document(document):
    links = document.handle.locator("article a[href]")
    found = links.evaluate_all("all => all.map(each => each.getAttribute('href'))")
    assert "#page-01_face" in found
    assert "#page-01_face--an-exercise" in found
    assert {each for each in found if each.startswith("file:")} == set()
    anchors = [each[1:] for each in found if each.startswith("#")]
    assert len(anchors) > 5
    for name in anchors:
        assert document.handle.evaluate("name => !!document.getElementById(name)", name), name


def test_no_name_stands_for_two_places(document):
    ids = document.handle.locator("[id]").evaluate_all("all => all.map(each => each.id)")
    assert len(ids) == len(set(ids)) > 10


def test_nothing_is_there_to_be_pressed_and_nothing_runs(document):
    for selector in ("script", "button", ".headerlink", "mjx-assistive-mml"):
        assert count(document, selector) == 0, selector


def test_no_line_of_code_and_no_table_is_wider_than_the_sheet(document):
    widths = """() => [document.documentElement.clientWidth, ...document.querySelectorAll(
        "pre, table")].map(each => each.scrollWidth ?? each)"""
    sheet, *rest = document.handle.evaluate(widths)
    assert len(rest) > 4
    assert max(rest) <= sheet
    assert count(document, "table.narrowed") == 1


def test_the_pdf_has_numbered_sheets_an_outline_and_is_written_whole(chromium, book, tmp_path):
    output = tmp_path / "new" / "book.pdf"
    assert printing.write_pdf(chromium, book, output) == output
    content = output.read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    # The title page, the contents and four pages, each on a sheet of its own.
    assert len(re.findall(rb"/Type /Page\b", content)) >= 6
    assert b"/Outlines" in content
    assert list(output.parent.iterdir()) == [output]


def test_a_failure_leaves_the_previous_pdf(chromium, book, tmp_path, monkeypatch):
    output = tmp_path / "book.pdf"
    output.write_text("the previous one")
    monkeypatch.setattr(printing, "MARGINS", {"top": "wide"})
    with pytest.raises(Exception, match="wide"):
        printing.write_pdf(chromium, book, output)
    assert output.read_text() == "the previous one"
    assert list(tmp_path.iterdir()) == [output]


def test_a_page_without_a_text_is_named(chromium, tmp_path):
    (tmp_path / "index.html").write_text("<html></html>")
    with pytest.raises(BookError, match=r"index\.html has no text to print"):
        printing.take(chromium.reading(tmp_path), ["index"])


def test_files_beside_the_pages_are_not_linked_and_the_web_is(chromium, tmp_path):
    links = '<a href="_sources/a.ipynb">file</a> <a href="https://example.org/">web</a>'
    text = f'<article class="bd-article"><h1>One</h1>{links}</article>'
    (tmp_path / "index.html").write_text(text)
    (taken,) = printing.take(chromium.reading(tmp_path), ["index"])
    assert "<a>file</a>" in taken.article
    assert '<a href="https://example.org/">web</a>' in taken.article
