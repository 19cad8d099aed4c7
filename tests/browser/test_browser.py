"""The rendered book in headless Chromium: opened from files, with every other request cut off."""

import os
from pathlib import Path

import pytest
from nbformat import v4, write

from facelab.book import browser
from facelab.errors import BookError

pytestmark = pytest.mark.browser

TINY_PAGES = ("index", "01_face", "bibliography", "search", "pages/words")
BUILT = Path(os.environ.get("FACELAB_BOOK") or Path(__file__).parents[2] / "_build" / "html")
FOLDERS = ("*.html", "pages/*.html")
BUILT_PAGES = sorted(
    path.relative_to(BUILT).as_posix() for each in FOLDERS for path in BUILT.glob(each)
)


def told(findings):
    return [str(finding) for finding in findings]


# Pages as they should be


@pytest.mark.parametrize("name", TINY_PAGES)
def test_a_page_of_the_tiny_book_is_whole(chromium, tiny_book, name):
    assert told(browser.check_page(chromium, tiny_book / f"{name}.html")) == []


def test_the_tiny_book_has_no_other_pages(tiny_book):
    found = {path.relative_to(tiny_book) for each in FOLDERS for path in tiny_book.glob(each)}
    assert {path.with_suffix("").as_posix() for path in found} == set(TINY_PAGES)


@pytest.mark.parametrize("word", ["zygomatic", "the spread of "])
def test_search_finds_a_word(chromium, word):
    assert told(browser.check_search(chromium, word)) == []


def test_search_without_a_result_is_told(chromium, monkeypatch):
    monkeypatch.setattr(browser, "SEARCH_TIMEOUT_MS", 1000)
    assert told(browser.check_search(chromium, "qqqq")) == [
        "index.html: search: no result for 'qqqq' (TimeoutError)"
    ]


@pytest.mark.skipif(not BUILT_PAGES, reason=f"no rendered book in {BUILT}: run `make book` first")
class TestBuiltBook:
    """The same for every page of the real book, where it was rendered."""

    @pytest.mark.parametrize("name", BUILT_PAGES)
    def test_a_page_is_whole(self, chromium, name):
        assert told(browser.check_page(chromium.reading(BUILT), BUILT.resolve() / name)) == []

    def test_search_finds_a_word(self, chromium):
        assert told(browser.check_search(chromium.reading(BUILT), "face")) == []


# What a reader does


def test_formulas_are_set(chromium, tiny_book):
    with chromium.open(tiny_book / "01_face.html") as page:
        assert page.handle.locator("article mjx-container").count() == 5
        for shown in page.handle.locator("article mjx-container[display=true]").all():
            assert shown.bounding_box()["height"] > 30
        # The same for a screen reader.
        assert page.handle.locator("article mjx-assistive-mml").count() == 5


def test_the_theme_switches_and_is_remembered(chromium, tiny_book):
    shown = "document.documentElement.dataset.theme"
    with chromium.open(tiny_book / "index.html") as page:
        page.handle.emulate_media(color_scheme="light")
        seen = [page.handle.evaluate(shown)]
        for _ in range(2):
            page.handle.locator("button.theme-switch-button:visible").click()
            seen.append(page.handle.evaluate(shown))
        assert set(seen) == {"light", "dark"}
        page.goto((tiny_book / "01_face.html").as_uri())
        assert page.handle.evaluate(shown) == seen[-1]


def test_the_dark_theme_is_dark_and_pictures_keep_their_contrast(chromium, tiny_book):
    background = "getComputedStyle(document.body).backgroundColor"
    with chromium.open(tiny_book / "01_face.html") as page:
        page.appear(browser.DESKTOP, "light")
        assert page.handle.evaluate(background) == "rgb(255, 255, 255)"
        page.appear(browser.DESKTOP, "dark")
        assert page.handle.evaluate(background) != "rgb(255, 255, 255)"
        style = "getComputedStyle(document.querySelector('article img'))"
        assert page.handle.evaluate(f"{style}.backgroundColor") == "rgb(255, 255, 255)"
        assert "contrast" not in page.handle.evaluate(f"{style}.filter")


def test_next_and_previous_lead_through_the_book(chromium, tiny_book):
    with chromium.open(tiny_book / "index.html") as page:
        seen = []
        for _ in range(2):
            page.handle.locator("a.right-next").click()
            seen.append(page.handle.url.rpartition("/")[2])
        page.handle.locator("a.left-prev").click()
        seen.append(page.handle.url.rpartition("/")[2])
    assert seen == ["01_face.html", "words.html", "01_face.html"]


def test_the_notebook_can_be_downloaded(chromium, tiny_book, tmp_path):
    with chromium.open(tiny_book / "01_face.html") as page:
        page.handle.locator("button[aria-label='Download this page']:visible").click()
        with page.handle.expect_download() as download:
            page.handle.locator("a.btn-download-source-button").click()
        download.value.save_as(tmp_path / "01_face.ipynb")
    assert download.value.suggested_filename == "01_face.ipynb"
    assert browser.notebook_faults(tmp_path / "01_face.ipynb") == []
    assert "faces = 64  # how many" in (tmp_path / "01_face.ipynb").read_text()


def test_hints_and_solutions_are_folded_and_open(chromium, tiny_book):
    with chromium.open(tiny_book / "01_face.html") as page:
        hint = page.handle.locator("article details:not([class])")
        solution = page.handle.locator("article details.hide")
        for folded, inside in ((hint, "strong"), (solution, "pre")):
            assert not folded.locator(inside).is_visible()
            folded.locator("summary").click()
            assert folded.locator(inside).is_visible()


def test_a_screenshot_is_of_the_whole_page(chromium, tiny_book, tmp_path):
    from PIL import Image

    with chromium.open(tiny_book / "01_face.html") as page:
        browser.screenshot(page, browser.PHONE, "dark", tmp_path / "page.png")
    with Image.open(tmp_path / "page.png") as image:
        assert image.width == browser.PHONE
        assert image.height > browser.HEIGHT
        assert max(image.convert("RGB").getpixel((2, 300))) < 60


# Pages that are broken on purpose


BREAKS = {
    '<img src="https://example.org/x.png" alt="a face">': (
        "request to elsewhere: https://example.org/x.png",
        "picture: x.png can't be shown",
    ),
    '<link rel="stylesheet" href="//fonts.example.org/f.css">': (
        "request to elsewhere: file://fonts.example.org/f.css",
    ),
    "<script>fetch('https://example.org/t').catch(() => null)</script>": (
        "request to elsewhere: https://example.org/t",
    ),
    '<img src="_static/minus.png">': ("picture: minus.png has no alt text",),
    '<img src="_static/plus.png" alt="_static/plus.png">': ("picture: plus.png has no alt text",),
    '<img src="_static/none.png" alt="nothing">': (
        "failed request: _static/none.png net::ERR_FILE_NOT_FOUND",
        "picture: none.png can't be shown",
    ),
    '<script src="_static/none.js"></script>': (
        "failed request: _static/none.js net::ERR_FILE_NOT_FOUND",
    ),
    "<p>Let $x$ be.</p>": ("raw maths: Let $x$ be.",),
    r'<p class="mathjax_ignore">Let \(x\) be.</p>': (r"raw maths: Let \(x\) be.",),
    r"<details>of \frac{1}{2}</details>": (r"raw maths: of \frac{1}{2}",),
    r'<span class="math">\(\frac\)</span>': ("formula not set: Missing argument for \\frac",),
    r'<span class="math">\(\nosuchmacro\)</span>': (r"formula not set: \nosuchmacro",),
    "<script>console.error('broken on purpose')</script>": ("console error: broken on purpose",),
    "<script>throw new Error('thrown on purpose')</script>": ("console error: thrown on purpose",),
    '<div style="width: 1500px">wide</div>': ("scrolls sideways: 15",) * 4,
    r'<p style="overflow: hidden; direction: rtl; width: 20px">\(a+b\)</p>': ("formula cut off: ",)
    * 4,
    '<a href="02_none.html">next</a>': ("broken link: 02_none.html",),
    '<a href="index.html#no-such-part">part</a>': ("broken link: index.html#no-such-part",),
    '<a href="../../chapters/01.ipynb">out</a>': ("broken link: ",),
}


@pytest.fixture(scope="module")
def broken(chromium, tiny_book):
    """What is found on a page with all those breaks."""
    text = (tiny_book / "01_face.html").read_text()
    path = tiny_book / "broken.html"
    path.write_text(text.replace("</article>", "".join(BREAKS) + "</article>", 1))
    try:
        return told(browser.check_page(chromium, path))
    finally:
        path.unlink()


def test_the_width_and_the_theme_that_scroll_are_named(broken):
    wide = [each for each in broken if "scrolls sideways" in each]
    assert [each.partition("because of ")[2] for each in wide] == [
        f"<div> wide ({width} px, {theme})" for theme in ("light", "dark") for width in (390, 1280)
    ]


@pytest.mark.parametrize("addition", BREAKS)
def test_each_break_is_found(broken, addition):
    for finding in BREAKS[addition]:
        assert any(each.startswith(f"broken.html: {finding}") for each in broken), broken


def test_nothing_but_the_breaks_is_found(broken):
    assert len(broken) == sum(len(findings) for findings in BREAKS.values()), broken


def test_a_page_without_a_language_is_found(chromium, tiny_book):
    path = tiny_book / "broken.html"
    path.write_text((tiny_book / "index.html").read_text().replace('lang="en"', "", 1))
    try:
        found = told(browser.check_page(chromium, path))
    finally:
        path.unlink()
    assert found == ["broken.html: language: <html> has no lang attribute"]


def test_a_missing_font_is_found(chromium, tiny_book):
    fonts = tiny_book / "_static/mathjax/output/chtml/fonts/woff-v2"
    away = fonts.rename(fonts.with_name("away"))
    try:
        found = told(browser.check_page(chromium, tiny_book / "01_face.html"))
    finally:
        away.rename(fonts)
    assert any("failed request: _static/mathjax/output" in each for each in found), found
    assert any("font can't be loaded: MJXTEX" in each for each in found), found


def test_formulas_without_mathjax_are_found(chromium, tiny_book):
    script = tiny_book / "_static/mathjax/tex-mml-chtml.js"
    away = script.rename(script.with_name("away.js"))
    try:
        found = told(browser.check_page(chromium, tiny_book / "index.html"))
    finally:
        away.rename(script)
    assert any(each.startswith("index.html: failed request: _static/mathjax") for each in found)
    assert any(r"raw maths: \([-1, 1]\)" in each for each in found), found


def test_a_bad_download_is_found(chromium, tiny_book):
    path = tiny_book / "_sources" / "01_face.ipynb"
    good = path.read_text()
    path.write_text("{}")
    try:
        found = told(browser.check_page(chromium, tiny_book / "01_face.html"))
    finally:
        path.write_text(good)
    assert len(found) == 1
    assert found[0].startswith("01_face.html: download: _sources/01_face.ipynb: not a notebook: ")


# Without a browser


def test_no_browser_is_one_line_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setenv("FACELAB_CHROMIUM", str(tmp_path / "none"))
    assert browser.executable() is None
    with (
        pytest.raises(BookError, match=r"no browser: .* install Debian's chromium"),
        browser.launch(tmp_path),
    ):
        pass


def test_a_named_browser_is_taken(monkeypatch, tmp_path):
    named = tmp_path / "my-chromium"
    named.write_text("")
    named.chmod(0o755)
    monkeypatch.setenv("FACELAB_CHROMIUM", str(named))
    assert browser.executable() == str(named)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("<html>", "not a notebook: "),
        ('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "no kernel is named"),
    ],
)
def test_faults_of_a_notebook(tmp_path, text, fault):
    path = tmp_path / "a.ipynb"
    path.write_text(text)
    assert [found.startswith(fault) for found in browser.notebook_faults(path)] == [True]


def test_a_widget_left_in_a_notebook_is_a_fault(tmp_path):
    view = v4.new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}})
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    notebook = v4.new_notebook(cells=[v4.new_code_cell("x", outputs=[view])], metadata=kernel)
    write(notebook, tmp_path / "a.ipynb")
    assert browser.notebook_faults(tmp_path / "a.ipynb") == ["a widget's view without its state"]
