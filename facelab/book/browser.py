"""The rendered book as a reader without a network sees it: headless Chromium, opened from files.

`Chromium` opens pages with every request to elsewhere cut off; `check_page` and `check_search` say
what is wrong with them, and `screenshot` takes a picture. Playwright is imported when it is used.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from facelab.errors import BookError

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE, DESKTOP = 390, 1280
HEIGHT = 900
THEMES = ("light", "dark")
SEARCH_TIMEOUT_MS = 10_000

ELSEWHERE = re.compile(r"^(?!file:|data:|blob:)")

# Text that a reader sees with TeX left in it, code aside; `$`, `\(`, `\[` or a macro.
RAW_MATHS = r"""() => {
  const skip = "pre, code, kbd, script, style, noscript, template, textarea, mjx-container";
  const raw = /\$|\\[()[\]]|\\[A-Za-z]{2,}/;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = document.title.match(raw) ? ["title: " + document.title] : [];
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (raw.test(node.data) && !node.parentElement.closest(skip)) {
      found.push(node.data.trim().replace(/\s+/g, " ").slice(0, 80));
    }
  }
  return found;
}"""
UNSET_MATHS = """() => [...document.querySelectorAll("mjx-container")]
  .filter(box => !box.childElementCount
    || box.querySelector("mjx-merror, [data-mjx-error], mtext[mathcolor=red]"))
  .map(box => box.textContent.trim().slice(0, 80) || "empty")"""
BAD_IMAGES = """async () => {
  const found = [];
  for (const image of document.images) {
    image.loading = "eager";
    await image.decode().catch(() => null);
    const file = (image.getAttribute("src") || "").split("/").pop();
    const name = file.slice(0, 60);
    const alt = (image.getAttribute("alt") || "").trim();
    // Sphinx puts the file's name where there is no text.
    if (!alt || alt.endsWith(file)) found.push(name + " has no alt text");
    if (!image.naturalWidth) found.push(name + " can't be shown");
  }
  return found;
}"""
TOO_WIDE = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const held = box => {
    for (let each = box; each && each !== document.body; each = each.parentElement) {
      const { position, overflowX } = getComputedStyle(each);
      if (position === "fixed" || (each !== box && overflowX !== "visible")) return true;
    }
    return false;
  };
  const right = box => box.getBoundingClientRect().right;
  const guilty = [...document.querySelectorAll("body *")]
    .filter(box => right(box) > width + 1 && !held(box))
    .sort((one, other) => right(other) - right(one))[0];
  const text = guilty ? guilty.textContent.trim().slice(0, 40) : "";
  const name = guilty ? `<${guilty.tagName.toLowerCase()}> ${text}` : "the page";
  return [`${document.documentElement.scrollWidth} px wide because of ${name}`];
}"""
# A formula that begins left of what its frame shows or scrolls to.
CUT_MATHS = """() => {
  const cut = maths => {
    for (let frame = maths; frame; frame = frame.parentElement) {
      const start = frame.getBoundingClientRect().left - frame.scrollLeft;
      const scrolls = getComputedStyle(frame).overflowX !== "visible";
      if (scrolls && maths.getBoundingClientRect().left < start - 1) return true;
    }
    return false;
  };
  return [...document.querySelectorAll("mjx-math")].filter(cut)
    .map(maths => maths.parentElement.textContent.trim().slice(0, 60));
}"""
LAYOUT = {"scrolls sideways": TOO_WIDE, "formula cut off": CUT_MATHS}
BAD_FONTS = """() => [...document.fonts].filter(font => font.status === "error")
  .map(font => font.family)"""
LINKS = """() => [...document.querySelectorAll("a[href]")].map(link => link.href)"""
# The sidebar slides; a page is measured when nothing moves.
STILL = "*, ::before, ::after { transition: none !important; animation: none !important; }"
SETTLED = """() => window.MathJax?.startup?.promise ?? true"""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a page: the page's file name, the rule, and what was seen."""

    page: str
    rule: str
    detail: str

    def __str__(self) -> str:
        return f"{self.page}: {self.rule}: {self.detail}"


def executable() -> str | None:
    """Return Chromium's path: $FACELAB_CHROMIUM or the first on PATH; None where there is none."""
    named = os.environ.get("FACELAB_CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """A running headless Chromium whose pages may read files under `root` and nothing else."""

    def __init__(self, browser: Any, root: Path) -> None:
        self._browser = browser
        self.root = root

    def reading(self, root: Path) -> "Chromium":
        """Return the same browser for another book: Playwright starts only once in a thread."""
        return Chromium(self._browser, root.resolve())

    @contextmanager
    def tab(self) -> Iterator[Any]:
        """Open an empty tab, Playwright's page with nothing cut off, and close it afterwards."""
        context = self._browser.new_context(
            viewport={"width": DESKTOP, "height": HEIGHT}, reduced_motion="reduce"
        )
        try:
            yield context.new_page()
        finally:
            context.close()

    @contextmanager
    def open(self, path: Path, query: str = "") -> Iterator["Page"]:
        """Open a page of the book, wait for its formulas, and close it afterwards."""
        with self.tab() as tab:
            page = Page(tab, path.name, self.root.as_uri() + "/")
            page.goto(path.as_uri() + query)
            yield page


@contextmanager
def launch(root: Path) -> Iterator[Chromium]:
    """Start Chromium for the rendered book in `root`; `BookError` where it is not installed."""
    found = executable()
    if found is None:
        raise BookError(
            f"no browser: none of {', '.join(NAMES)} is on PATH; "
            "install Debian's chromium, or name one in FACELAB_CHROMIUM"
        )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(OPTIONS))
        try:
            yield Chromium(browser, root.resolve())
        finally:
            browser.close()


class Page:
    """An open page: `handle` is Playwright's, `findings` what went wrong while it loaded."""

    def __init__(self, handle: Any, name: str, root: str) -> None:
        self.handle = handle
        self.name = name
        self.findings: list[Finding] = []
        self._root = root
        handle.route(ELSEWHERE, lambda route: route.abort())
        handle.on("request", self._asked)
        handle.on("requestfailed", self._failed)
        handle.on("console", self._said)
        handle.on("pageerror", lambda error: self.note("console error", str(error)))

    def goto(self, address: str) -> None:
        """Load `address` and wait until its formulas are set."""
        self.handle.goto(address, wait_until="load")
        self.handle.add_style_tag(content=STILL)
        self.handle.evaluate(SETTLED)
        self.handle.evaluate("() => document.fonts.ready.then(() => true)")

    def appear(self, width: int, theme: str) -> None:
        """Show the page at a width in pixels, in the theme "light" or "dark"."""
        self.handle.set_viewport_size({"width": width, "height": HEIGHT})
        self.handle.emulate_media(color_scheme=theme)
        self.handle.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)

    def note(self, rule: str, *details: str) -> None:
        """Record what was found under a rule."""
        self.findings += [Finding(self.name, rule, detail) for detail in details]

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self._root, "data:", "blob:")):
            self.note("request to elsewhere", request.url)

    def _failed(self, request: Any) -> None:
        if request.url.startswith(self._root):
            self.note("failed request", f"{request.url.removeprefix(self._root)} {request.failure}")

    def _said(self, message: Any) -> None:
        # The requests behind "Failed to load resource" have findings of their own.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.note("console error", message.text)


def check_page(chromium: Chromium, path: Path) -> list[Finding]:
    """Return what is wrong with the page at `path`, of the book in `chromium.root`.

    Requests, console errors, formulas, pictures, links, downloads, and the width on a phone and on
    a desktop in both themes.
    """
    with chromium.open(path) as page:
        look = page.handle.evaluate
        page.note("raw maths", *look(RAW_MATHS))
        page.note("formula not set", *look(UNSET_MATHS))
        page.note("picture", *look(BAD_IMAGES))
        page.note("font can't be loaded", *look(BAD_FONTS))
        if not look("() => document.documentElement.lang"):
            page.note("language", "<html> has no lang attribute")
        for theme in THEMES:
            for width in (PHONE, DESKTOP):
                page.appear(width, theme)
                for rule, question in LAYOUT.items():
                    page.note(rule, *(f"{each} ({width} px, {theme})" for each in look(question)))
        _check_links(page, look(LINKS), chromium.root)
        return page.findings


def _check_links(page: Page, addresses: list[str], root: Path) -> None:
    for address in sorted(set(addresses)):
        parts = urlsplit(address)
        if parts.scheme != "file":
            continue
        target = Path(unquote(parts.path))
        place = address.removeprefix(f"{root.as_uri()}/")
        if root not in target.parents or not target.is_file():
            page.note("broken link", place)
        elif target.suffix == ".ipynb":
            page.note("download", *(f"{place}: {fault}" for fault in notebook_faults(target)))
        elif parts.fragment and target.suffix == ".html":
            anchor = re.escape(unquote(parts.fragment))
            if not re.search(rf"\bid=\"{anchor}\"", target.read_text(encoding="utf-8")):
                page.note("broken link", place)


def notebook_faults(path: Path) -> list[str]:
    """Return why JupyterLab could not use the notebook at `path`; empty when it can."""
    import nbformat

    try:
        notebook = nbformat.from_dict(json.loads(path.read_text(encoding="utf-8")))
        nbformat.validate(notebook)
    except (ValueError, nbformat.ValidationError) as error:
        return [f"not a notebook: {str(error).splitlines()[0]}"]
    faults = [] if "kernelspec" in notebook.metadata else ["no kernel is named"]
    views = "application/vnd.jupyter.widget-view+json"
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    if any(views in output.get("data", {}) for output in outputs):
        faults.append("a widget's view without its state")
    return faults


def check_search(chromium: Chromium, word: str) -> list[Finding]:
    """Return what is wrong with searching for `word`: typed by hand, it must lead to a page."""
    with chromium.open(chromium.root / "index.html") as page:
        page.handle.locator("button.search-button__button:visible").first.click()
        page.handle.locator("form.bd-search input[name=q]:visible").first.fill(word)
        page.handle.keyboard.press("Enter")
        results = page.handle.locator("#search-results ul.search li a")
        try:
            results.first.wait_for(timeout=SEARCH_TIMEOUT_MS)
        except Exception as error:  # Playwright's own, imported lazily
            page.note("search", f"no result for {word!r} ({type(error).__name__})")
        page.note("raw maths", *page.handle.evaluate(RAW_MATHS))
        _check_links(page, results.evaluate_all("all => all.map(link => link.href)"), chromium.root)
        return page.findings


def screenshot(page: Page, width: int, theme: str, path: Path) -> None:
    """Write the whole page as PNG at a width in pixels, in the theme "light" or "dark"."""
    page.appear(width, theme)
    page.handle.screenshot(path=str(path), full_page=True, animations="disabled")
