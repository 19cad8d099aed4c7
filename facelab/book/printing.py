"""The rendered book as one PDF, printed by headless Chromium: what a reader takes along.

Each page is opened as a reader opens it, so that its formulas are set; its text is taken over with
everything unfolded, and all texts are printed as one document. Widgets are the still frames that
the pages show. Links within the book lead within the PDF.
"""

import html as markup
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from facelab.book import browser, closing
from facelab.book.browser import Chromium, Page
from facelab.book.manifest import Book, Manifest
from facelab.book.rendering import STAMP
from facelab.errors import BookError

BIBLIOGRAPHY = "bibliography"
MARGINS = {"top": "18mm", "bottom": "20mm", "left": "16mm", "right": "16mm"}
SCALE = 0.8  # a line of code of 100 signs fits on the sheet
WIDTH_PX = round((210 - 2 * 16) / 25.4 * 96 / SCALE)  # of A4's text, as the document is laid out
# Words are broken in a table only where it would not fit otherwise.
NARROW = """() => {
  const width = document.querySelector("main").clientWidth;
  for (const table of document.querySelectorAll("table")) {
    if (table.scrollWidth > width) table.classList.add("narrowed");
  }
}"""
NUMBER = (
    '<div style="font: 8px sans-serif; width: 100%; text-align: center">'
    '<span class="pageNumber"></span></div>'
)
# Takes {name, places}: what the page is called, and the names of all pages by their addresses.
TAKE = """async ({ name, places }) => {
  const article = document.querySelector("article.bd-article");
  if (!article) return null;
  const unwanted = "script, style, button, nav, .headerlink, mjx-assistive-mml, .toggle-button";
  article.querySelectorAll(unwanted).forEach(each => each.remove());
  article.querySelectorAll("details").forEach(each => { each.open = true; });
  for (const told of article.querySelectorAll("summary .expanded")) {
    told.textContent = told.textContent.replace(/^Hide the (.)/, (_, first) => first.toUpperCase());
  }
  article.querySelectorAll(".toggle-hidden").forEach(e => e.classList.remove("toggle-hidden"));
  for (const image of article.querySelectorAll("img")) {
    image.loading = "eager";
    await image.decode().catch(() => null);
    image.src = image.src;
  }
  for (const each of article.querySelectorAll("[id]")) each.id = `${name}--${each.id}`;
  for (const link of article.querySelectorAll("a[href]")) {
    const [page, anchor] = link.href.split("#");
    if (page in places) link.href = `#${places[page]}${anchor ? `--${anchor}` : ""}`;
    else if (page.startsWith("file:")) link.removeAttribute("href");
  }
  article.id = name;
  const rules = sheet => [...sheet.cssRules].map(rule => rule.cssText);
  const maths = document.getElementById("MJX-CHTML-styles");
  const sheets = document.querySelectorAll("link[rel=stylesheet]");
  return {
    title: article.querySelector("h1")?.textContent.trim() ?? name,
    article: article.outerHTML,
    sheets: [...sheets].map(sheet => sheet.href).filter(each => each.startsWith("file:")),
    maths: maths ? rules(maths.sheet) : [],
  };
}"""
STYLE = """
body { display: block; background: #fff; }
article.bd-article, section.title-page { break-before: page; padding: 0; }
section.title-page { break-before: avoid; padding-top: 30vh; text-align: center; }
nav.pages { break-before: page; }
nav.pages li { list-style: none; margin: 0.4rem 0; }
h1, h2, h3, summary { break-after: avoid; }
img, mjx-container, tr, div.cell_input { break-inside: avoid; }
img { max-width: 100%; }
pre { overflow: visible !important; white-space: pre-wrap !important; }
.bd-content table { display: table; font-size: 0.8rem; width: 100%; }
.bd-content td, .bd-content th { min-width: 0; overflow-wrap: break-word; }
.bd-content td code, .bd-content td code .pre { overflow-wrap: anywhere !important; }
.bd-content table.narrowed :is(td, th) { overflow-wrap: anywhere; padding: 0.2rem; }
div.pst-scrollable-table-container { overflow: visible; }
"""
DOCUMENT = """<!DOCTYPE html>
<html lang="en" data-theme="light" data-mode="light">
<head><meta charset="utf-8"><title>{title}</title>
{sheets}
<style>{maths}</style><style>{style}</style></head>
<body><main class="bd-content"><div class="bd-article-container">
{body}
</div></main></body></html>
"""


@dataclass(frozen=True)
class Taken:
    """What was taken over of a page: `maths` are the rules of its formulas' style sheet."""

    name: str
    title: str
    article: str
    sheets: tuple[str, ...]
    maths: tuple[str, ...]


def print_book(manifest: Manifest, html: Path, output: Path) -> Path:
    """Print the rendered book in the folder `html` as the PDF `output`, and return its path.

    Raises `BookError` when the book is not rendered or lacks a page, and without Chromium. What was
    at `output` before stays until the new file is whole.
    """
    html = html.resolve()
    require_rendered(manifest, html)
    with browser.launch(html) as chromium:
        return write_pdf(chromium, manifest, output)


def page_names(manifest: Manifest) -> list[str]:
    """Return the pages of the book in their order, as paths below its folder without ending."""
    chapters = [chapter.slug for chapter in manifest.chapters]
    after = [f"{closing.FOLDER}/{page.slug}" for page in manifest.pages]
    return [*chapters, *after, BIBLIOGRAPHY]


def require_rendered(manifest: Manifest, html: Path) -> None:
    """Raise `BookError` unless `html` holds the rendered book with every page of book.toml."""
    remedy = "run `facelab book render` first"
    if not (html / STAMP).is_file():
        raise BookError(f"{html} holds no rendered book; {remedy}, or name its folder with --html")
    missing = [name for name in page_names(manifest) if not (html / f"{name}.html").is_file()]
    if missing:
        raise BookError(f"{html} lacks {', '.join(missing)}, which book.toml lists; {remedy}")


def write_pdf(chromium: Chromium, manifest: Manifest, output: Path) -> Path:
    """Print the book that `chromium` may read as `output`, beside and renamed; return its path."""
    output = output.resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    taken = take(chromium, page_names(manifest))
    with _workshop(output) as work:
        document, printed = work / "book.html", work / "book.pdf"
        document.write_text(printable(manifest.book, taken), encoding="utf-8")
        with chromium.open(document) as page:
            lay_out(page)
            page.handle.pdf(
                path=str(printed),
                format="A4",
                margin=MARGINS,
                scale=SCALE,
                print_background=True,
                display_header_footer=True,
                header_template="<span></span>",
                footer_template=NUMBER,
                tagged=True,
                outline=True,
            )
        os.replace(printed, output)
    return output


def lay_out(page: Page) -> None:
    """Show the document as it will be printed, with no table wider than the sheet."""
    page.handle.emulate_media(media="print")
    page.handle.set_viewport_size({"width": WIDTH_PX, "height": browser.HEIGHT})
    page.handle.evaluate(NARROW)


@contextmanager
def _workshop(output: Path) -> Iterator[Path]:
    """Give a folder beside the output that is gone afterwards."""
    path = output.with_name(f".{output.name}.new")
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def take(chromium: Chromium, names: Sequence[str]) -> list[Taken]:
    """Return the texts of these pages, unfolded, with links that lead within one document.

    Raises `BookError` for a page without a text.
    """
    paths = {name: chromium.root / f"{name}.html" for name in names}
    places = {path.as_uri(): anchor(name) for name, path in paths.items()}
    taken = []
    for name, path in paths.items():
        with chromium.open(path) as page:
            page.appear(browser.DESKTOP, "light")
            found = page.handle.evaluate(TAKE, {"name": anchor(name), "places": places})
        if found is None:
            raise BookError(f"{path} has no text to print; render the book again")
        sheets, maths = (tuple(found[key]) for key in ("sheets", "maths"))
        taken.append(Taken(anchor(name), found["title"], found["article"], sheets, maths))
    return taken


def anchor(name: str) -> str:
    """Return what a page is called within the document."""
    return f"page-{name.replace('/', '-')}"


def printable(book: Book, taken: Sequence[Taken]) -> str:
    """Return the whole book as one HTML document: title page, contents, every page."""
    sheets = dict.fromkeys(sheet for page in taken for sheet in page.sheets)
    links = (f'<link rel="stylesheet" href="{markup.escape(sheet)}">' for sheet in sheets)
    rules = dict.fromkeys(rule for page in taken for rule in page.maths)
    return DOCUMENT.format(
        title=markup.escape(book.title),
        sheets="\n".join(links),
        maths="\n".join(rules),
        style=STYLE,
        body="\n".join([title_page(book), contents(taken), *(page.article for page in taken)]),
    )


def title_page(book: Book) -> str:
    """Return the first sheet: title, subtitle, authors, copyright and licence."""
    lines = [
        f"<h1>{markup.escape(book.title)}</h1>",
        *([f"<p>{markup.escape(book.subtitle)}</p>"] if book.subtitle else []),
        f"<p>{markup.escape(', '.join(book.authors))}</p>",
        f"<p>{markup.escape(f'Copyright {book.copyright}. Licence: {book.licence}.')}</p>",
    ]
    return f'<section class="title-page">{"".join(lines)}</section>'


def contents(taken: Sequence[Taken]) -> str:
    """Return the list of pages, each a link."""
    rows = (f'<li><a href="#{page.name}">{markup.escape(page.title)}</a></li>' for page in taken)
    return f'<nav class="pages"><h2>Contents</h2><ul>{"".join(rows)}</ul></nav>'
