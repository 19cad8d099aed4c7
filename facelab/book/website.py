"""The folder that Jupyter Book reads: pages, table of contents, configuration, scripts, styles.

Everything in it is made from book.toml and the executed chapters; nothing in it is ever edited.
"""

import html
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import nbformat
import yaml

from facelab.book import closing, pages, report
from facelab.book.manifest import Book, Manifest
from facelab.errors import AssetError, BookError

STATIC = Path(__file__).with_name("static")
DOWNLOADS = "downloads"
MATHJAX_ADDRESS = "https://cdn.jsdelivr.net/npm/mathjax@3/es5/tex-mml-chtml.js"
# Of MathJax's distribution, what pages with TeX can ask for.
MATHJAX_PARTS = ("tex-mml-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions")
MATHJAX_NOTICE = "MathJax 3, Copyright The MathJax Consortium, Apache License 2.0\n"
PICTURES = {".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp"}

# Jupyter Book's own list, less thebe (its script comes from a public address) and intersphinx (it
# asks other sites for their indexes).
SPHINX_EXTENSIONS = [
    "sphinx_togglebutton",
    "sphinx_copybutton",
    "myst_nb",
    "jupyter_book",
    "sphinx_comments",
    "sphinx_external_toc",
    "sphinx_design",
    "sphinx_book_theme",
    "sphinxcontrib.bibtex",
]
# Without linkify: it takes a module such as facelab.book for an address.
MARKDOWN_EXTENSIONS = ["amsmath", "colon_fence", "deflist", "dollarmath", "html_image", "tasklist"]

BIBLIOGRAPHY_PAGE = """# Bibliography

```{bibliography}
:style: plain
```
"""


def write(manifest: Manifest, executed: Path, source: Path, mathjax: Path | None) -> None:
    """Write the folder `source` anew from the notebooks executed/SLUG.ipynb and closing pages.

    `mathjax` is MathJax's folder, None to use its public address. Raises `BookError`.
    """
    _require_ready(manifest, executed)
    shutil.rmtree(source, ignore_errors=True)
    (source / DOWNLOADS).mkdir(parents=True)
    for chapter in manifest.chapters:
        clean = pages.download(pages.read(executed / f"{chapter.slug}.ipynb"))
        shown = pages.without_hidden_tests(clean)
        nbformat.write(shown, source / DOWNLOADS / f"{chapter.slug}.ipynb")
        nbformat.write(pages.page(clean, chapter.slug), source / f"{chapter.slug}.ipynb")
    _write_closing_pages(manifest, source / closing.FOLDER)
    _copy_pictures(manifest.chapters[0].source.parent, source)
    shutil.copyfile(manifest.book.bibliography, source / "references.bib")
    (source / "bibliography.md").write_text(BIBLIOGRAPHY_PAGE, encoding="utf-8")
    shutil.copytree(STATIC, source / "static", ignore=shutil.ignore_patterns("__pycache__"))
    if mathjax is not None:
        _copy_mathjax(mathjax, source / "vendored" / "mathjax")
    footer = _footer(manifest, executed)
    toc = contents(
        [each.slug for each in manifest.chapters], [each.slug for each in manifest.pages]
    )
    _write_yaml(source / "_toc.yml", toc)
    _write_yaml(source / "_config.yml", configuration(manifest.book, footer, mathjax is not None))


def _require_ready(manifest: Manifest, executed: Path) -> None:
    if not manifest.chapters or manifest.chapters[0].slug != "index":
        raise BookError('book.toml: the first [[chapter]] must have slug = "index", the first page')
    if not manifest.book.bibliography.is_file():
        raise BookError(f"{manifest.book.bibliography} is missing; create it, empty if need be")
    found = report.read(executed)
    for slug in [chapter.slug for chapter in manifest.chapters if chapter.slug in found]:
        if found[slug].outcome != report.OK:
            raise BookError(
                f"the last run of {slug} in {executed} did not end well ({found[slug].outcome}); "
                f"run it again: facelab book run {slug}"
            )


def _write_closing_pages(manifest: Manifest, folder: Path) -> None:
    folder.mkdir()
    for page in manifest.pages:
        text = closing.text(page, manifest.root)
        if page.source is not None:
            text = pages.dress_text(text, page.slug)
        (folder / f"{page.slug}.md").write_text(text, encoding="utf-8")


def contents(slugs: list[str], closing_pages: Iterable[str] = ()) -> dict:
    """Return _toc.yml: the index, the numbered chapters, closing pages, the bibliography."""
    parts = [{"caption": "Reference", "chapters": [{"file": "bibliography"}]}]
    if after := [{"file": f"{closing.FOLDER}/{slug}"} for slug in closing_pages]:
        parts.insert(0, {"caption": "After the chapters", "chapters": after})
    if slugs[1:]:
        chapters = [{"file": slug} for slug in slugs[1:]]
        parts.insert(0, {"caption": "Chapters", "numbered": True, "chapters": chapters})
    return {"format": "jb-book", "root": slugs[0], "parts": parts}


def configuration(book: Book, footer: str, vendored: bool) -> dict:
    """Return _config.yml; `footer` is HTML, `vendored` says whether MathJax lies in the folder."""
    return {
        "title": book.title,
        "author": html.escape(", ".join(book.authors)),
        "copyright": html.escape(book.copyright),
        "only_build_toc_files": True,
        "exclude_patterns": [DOWNLOADS],
        "execute": {"execute_notebooks": "off"},
        "parse": {"myst_enable_extensions": MARKDOWN_EXTENSIONS},
        "bibtex_bibfiles": ["references.bib"],
        "latex": {"use_jupyterbook_latex": False},
        "html": {
            "extra_footer": footer,
            "use_multitoc_numbering": False,
            "use_repository_button": bool(book.repository),
        },
        "repository": {"url": book.repository, "path_to_book": "chapters", "branch": "main"},
        "launch_buttons": _launch_buttons(book),
        "sphinx": {"recursive_update": True, "config": _sphinx_options(vendored)},
    }


def _launch_buttons(book: Book) -> dict:
    if not book.repository:
        return {"notebook_interface": "jupyterlab", "binderhub_url": "", "colab_url": ""}
    return {
        "notebook_interface": "jupyterlab",
        "binderhub_url": "https://mybinder.org",
        "colab_url": "https://colab.research.google.com",
    }


def _sphinx_options(vendored: bool) -> dict:
    return {
        "language": "en",
        "extensions": SPHINX_EXTENSIONS,
        "html_static_path": ["static", "vendored"] if vendored else ["static"],
        "html_css_files": ["custom.css"],
        "html_js_files": ["custom.js"],
        # Without a mode to start from, the theme's script reports an error on every page.
        "html_context": {"default_mode": "auto"},
        "html_use_index": False,
        "numfig": True,
        "numfig_format": {"figure": "Figure %s"},
        "mathjax_path": "mathjax/tex-mml-chtml.js" if vendored else MATHJAX_ADDRESS,
        # The menu's speech engine would fetch tables, which a page opened from a file may not.
        "mathjax3_config": {"options": {"enableMenu": False}},
        "myst_heading_anchors": 3,
        "nb_merge_streams": True,
        "nb_code_prompt_show": "Show the {type}",
        "nb_code_prompt_hide": "Hide the {type}",
        # Tables and formulas that a cell displays as Markdown read as those of the text.
        "nb_render_markdown_format": "myst",
        # Widgets are dead without a kernel and their scripts come from elsewhere: chapters show a
        # still frame instead.
        "nb_ipywidgets_js": {},
        "bibtex_reference_style": "author_year",
        "html_theme_options": {
            "search_bar_text": "Search this book",
            "show_toc_level": 2,
            "use_fullscreen_button": False,
            "navigation_with_keys": False,
        },
    }


def _footer(manifest: Manifest, executed: Path) -> str:
    said = [f"Licence: {manifest.book.licence}.", rendered_from(manifest, executed)]
    return f"<p>{html.escape(' '.join(said).strip())}</p>{in_colab(manifest.book)}"


def in_colab(book: Book) -> str:
    """Return in HTML what to run first in Colab, which opens a notebook and knows no facelab.

    Empty without a repository: there is no button then. Binder reads environment.yml.
    """
    if not book.repository:
        return ""
    name = book.repository.rpartition("/")[2]
    steps = (f"!git clone {book.repository}", f"%cd {name}", "%pip install .")
    told = ", ".join(f"<code>{html.escape(step)}</code>" for step in steps)
    return f"<p>In Colab, run this first, each in a cell of its own: {told}.</p>"


def rendered_from(manifest: Manifest, executed: Path) -> str:
    """Return the sentence that says what the outputs come from, empty without a report of the run.

    Chapters that were run at different commits are all named.
    """
    found = report.read(executed)
    entries = [found[chapter.slug] for chapter in manifest.chapters if chapter.slug in found]
    if not entries:
        return ""
    commits = _listed(_commit(entry.commit) for entry in entries)
    profiles = _listed(entry.profile for entry in entries)
    devices = _listed(entry.device.replace("cpu", "CPU") for entry in entries if entry.device)
    return f"Last rendered from {commits}, profile {profiles}{', on ' * bool(devices)}{devices}."


def _commit(commit: Mapping[str, object]) -> str:
    if not commit:
        return "an unknown commit"
    changed = " with local changes" if commit.get("dirty") else ""
    return f"commit {str(commit.get('sha', ''))[:10]}{changed}"


def _listed(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def _copy_pictures(chapters: Path, source: Path) -> None:
    """Copy the pictures that chapters' Markdown can show."""
    for path in sorted(chapters.rglob("*")):
        within = path.relative_to(chapters)
        hidden = any(part.startswith((".", "_")) for part in within.parts)
        if path.suffix.lower() in PICTURES and path.is_file() and not hidden:
            (source / within).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, source / within)


def _copy_mathjax(mathjax: Path, target: Path) -> None:
    for part in MATHJAX_PARTS:
        original = mathjax / part
        if original.is_dir():
            shutil.copytree(original, target / part)
        elif original.is_file():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(original, target / part)
        else:
            raise AssetError(
                f"mathjax: {part} is missing in {mathjax}; run `facelab assets verify mathjax`"
            )
    (target / "NOTICE.txt").write_text(MATHJAX_NOTICE, encoding="utf-8")


def _write_yaml(path: Path, value: dict) -> None:
    head = "# Made from book.toml by `facelab book render`; edits are lost.\n"
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    path.write_text(head + text, encoding="utf-8")
