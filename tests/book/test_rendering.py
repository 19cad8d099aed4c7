"""Building the book: warnings are fatal, a good book is never lost, nothing is built twice."""

import os
import re
import shutil
import time

import pytest
from nbformat import read, v4, write

from facelab import assets
from facelab.book import manifest, rendering, website
from facelab.errors import AssetError, BookError

BOOK = """
[book]
title = "A tiny book"
authors = ["Ada & Co"]
copyright = "2026"
licence = "Apache-2.0"
bibliography = "references.bib"

[profiles.quick]
purpose = "for readers"
budget_s = 90
"""
ENTRY = '\n[[chapter]]\nslug = "{0}"\ntitle = "The chapter {0}"\nmodule = "facelab"\nminutes = 5\n'
REFERENCES = """
@article{ada1843,
  author = {Ada Lovelace},
  title = {Notes},
  journal = {Memoirs},
  year = {1843},
}
"""
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGA"
    "WjR9awAAAABJRU5ErkJggg=="
)
TEXT = "# The face\n\nSee {cite:p}`ada1843`: $x^2$.\n\n## A part\n"


class Book:
    """A book of two chapters whose executed notebooks can be changed."""

    def __init__(self, root):
        (root / "chapters").mkdir()
        (root / "runs").mkdir()
        (root / "references.bib").write_text(REFERENCES)
        (root / "book.toml").write_text(BOOK + ENTRY.format("index") + ENTRY.format("01_face"))
        self.root, self.runs, self.output = root, root / "runs", root / "_build" / "html"
        self.write("index", "# Welcome\n\n[The face](01_face.ipynb)")
        self.write("01_face", TEXT)

    def write(self, slug, text):
        figure = v4.new_output(
            "display_data",
            data={"image/png": PNG},
            metadata={"image/png": {"alt": "a face with 'quotes' & <signs>"}},
        )
        cells = [
            v4.new_markdown_cell(text),
            v4.new_code_cell("faces = 4  # how many", metadata={"tags": ["parameters"]}),
            v4.new_code_cell("faces = 64", metadata={"tags": ["injected-parameters"]}),
            v4.new_code_cell("show()", outputs=[figure], execution_count=3),
            v4.new_code_cell("answer = 1", metadata={"tags": ["solution"]}),
        ]
        for number, cell in enumerate(cells):
            cell.id = f"cell-{number}"  # as in a real run, the same each time
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        write(v4.new_notebook(cells=cells, metadata=kernel), self.runs / f"{slug}.ipynb")

    def render(self, **options):
        book = manifest.load(self.root / "book.toml")
        return rendering.render(book, self.runs, self.output, **options)


@pytest.fixture
def book(tmp_path):
    """A book of its own for a test that changes it."""
    return Book(tmp_path)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """The book, built once by Jupyter Book."""
    made = Book(tmp_path_factory.mktemp("rendered"))
    assert made.render() == made.output / "index.html"
    return made


@pytest.fixture
def built(book, monkeypatch):
    """The book with a stand-in for Jupyter Book; the list has an entry for each build."""
    calls = []

    def build(source, work, output, quiet):
        calls.append(source)
        pages = work / "_build" / "html"
        (pages / "_sources").mkdir(parents=True)
        (pages / "index.html").write_text(f"build {len(calls)}")
        return pages

    monkeypatch.setattr(rendering, "_build", build)
    book.calls = calls
    return book


# What Jupyter Book makes of it


def page(rendered, name="01_face"):
    return (rendered.output / f"{name}.html").read_text()


def test_a_page_says_what_it_is(rendered):
    text = page(rendered)
    assert '<html lang="en"' in text
    assert re.search(r"<title>1\. The face (—|&#8212;) A tiny book</title>", text)
    assert "Licence: Apache-2.0." in text
    assert "Ada &amp; Co" in text
    assert "Copyright 2026" in text


def test_a_figure_has_its_alt_text(rendered):
    assert "alt=\"a face with 'quotes' &amp; &lt;signs&gt;\"" in page(rendered)


def test_a_page_has_its_neighbours_and_its_notebook(rendered):
    text = page(rendered)
    assert 'class="left-prev"' in text
    assert 'class="right-next"' in text
    assert 'href="_sources/01_face.ipynb"' in text
    assert 'class="btn btn-sm nav-link pst-navbar-icon theme-switch-button' in text


LAUNCH = re.compile(r'href="(https://(?:mybinder\.org|colab\.research\.google\.com)/[^"]*)"')


def test_without_a_repository_there_is_nothing_to_launch(rendered):
    assert LAUNCH.findall(page(rendered)) == []
    assert "Colab" not in page(rendered)


def test_with_a_repository_a_chapter_can_be_launched(book):
    path = book.root / "book.toml"
    address = 'repository = "https://github.com/ada/tiny"'
    path.write_text(path.read_text().replace("bibl", f"{address}\nbibl", 1))
    book.render()
    assert LAUNCH.findall(page(book)) == [
        "https://mybinder.org/v2/gh/ada/tiny/main?urlpath=lab/tree/chapters/01_face.ipynb",
        "https://colab.research.google.com/github/ada/tiny/blob/main/chapters/01_face.ipynb",
    ]
    assert 'href="_sources/01_face.ipynb"' in page(book)
    assert "<code>!git clone https://github.com/ada/tiny</code>" in page(book)
    # What is no notebook has nothing to run.
    assert LAUNCH.findall(page(book, "bibliography")) == []


def test_the_page_and_the_download_show_the_values_that_ran(rendered):
    assert '<span class="n">faces</span> <span class="o">=</span> <span class="mi">64' in page(
        rendered
    )
    notebook = read(rendered.output / "_sources" / "01_face.ipynb", as_version=4)
    assert notebook.cells[1].source == "faces = 64  # how many"
    assert len(notebook.cells) == 4
    assert "image/png" in notebook.cells[2].outputs[0].data
    assert "mystnb" not in notebook.cells[2].metadata


def test_a_solution_is_folded(rendered):
    assert "Show the solution" in page(rendered)


def test_the_reference_leads_to_the_bibliography(rendered):
    target = re.search(r'href="bibliography\.html#([^"]+)"[^>]*>Lovelace', page(rendered))
    assert f'id="{target[1]}"' in page(rendered, "bibliography")


def test_nothing_is_asked_of_another_server(rendered):
    """Scripts, styles, pictures, frames; links that a reader follows may lead elsewhere."""
    asked = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=\"(https?:)?//")
    for path in rendered.output.glob("*.html"):
        assert not asked.search(path.read_text()), path
        assert "unpkg.com" not in path.read_text(), path
        assert "jsdelivr" not in path.read_text(), path
    for path in rendered.output.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//|@import[^;]*//", path.read_text()), path


def test_without_a_change_nothing_is_built(rendered, capsys):
    before = (rendered.output / "index.html").stat()
    start = time.monotonic()
    rendered.render()
    assert time.monotonic() - start < 2
    assert (rendered.output / "index.html").stat().st_ino == before.st_ino
    assert capsys.readouterr().out.startswith("render: nothing has changed")


def test_a_warning_is_fatal_and_the_good_book_stays(rendered, capsys):
    """Two chapters' warnings are both shown, with the cell and the line of the chapter."""
    good = page(rendered)
    rendered.write("01_face", TEXT + "\nSee {cite:p}`nobody` and\n[that](#no-such-part).")
    rendered.write("index", "# Welcome\n\n{no-such-role}`x`")
    try:
        with pytest.raises(BookError, match=r"can't be rendered.* stays as it was"):
            rendered.render()
    finally:
        rendered.write("01_face", TEXT)
        rendered.write("index", "# Welcome\n\n[The face](01_face.ipynb)")
    told = capsys.readouterr().err
    assert re.search(r"01_face, cell 1, line 7: WARNING: .*nobody", told)
    assert re.search(r"01_face, cell 1, line 7: WARNING: .*no-such-part", told)
    assert re.search(r"index, cell 1, line 3: WARNING: .*no-such-role", told)
    assert "\x1b" not in told
    assert page(rendered) == good
    assert sorted(path.name for path in rendered.output.parent.iterdir()) == [
        ".html.lock",
        "html",
        "html.source",
    ]


def test_a_crash_of_jupyter_book_is_told(book, monkeypatch, capsys):
    monkeypatch.setattr(rendering, "JUPYTER_BOOK", "import sys; sys.exit('no such theme')")
    with pytest.raises(BookError, match="can't be rendered"):
        book.render()
    assert "no such theme" in capsys.readouterr().err
    assert not book.output.exists()


# How the folder is replaced


def test_a_change_is_built_and_swapped_in(built, capsys):
    built.render()
    assert (built.output / "index.html").read_text() == "build 1"
    built.render()
    built.write("index", "# Welcome back")
    built.render()
    assert (built.output / "index.html").read_text() == "build 2"
    lines = capsys.readouterr().out.splitlines()
    assert [line[:14] for line in lines] == ["render: 2 chap", "render: nothin", "render: 2 chap"]


@pytest.mark.parametrize("change", ["style", "title", "reference", "tool"])
def test_every_input_counts(built, monkeypatch, tmp_path, change):
    built.render()
    if change == "style":
        monkeypatch.setattr(website, "STATIC", shutil.copytree(website.STATIC, tmp_path / "s"))
        (tmp_path / "s" / "custom.css").write_text("p { color: red }")
    elif change == "title":
        path = built.root / "book.toml"
        path.write_text(path.read_text().replace("tiny", "small"))
    elif change == "reference":
        (built.root / "references.bib").write_text(REFERENCES.replace("Notes", "Note G"))
    else:
        monkeypatch.setattr(rendering, "version", lambda tool: "99")
    built.render()
    assert len(built.calls) == 2


def test_a_failing_build_leaves_the_previous_book(built, monkeypatch):
    built.render()

    def fail(source, work, output, quiet):
        (work / "half").touch()
        raise BookError("no")

    monkeypatch.setattr(rendering, "_build", fail)
    built.write("index", "# Other")
    with pytest.raises(BookError, match="no"):
        built.render()
    assert (built.output / "index.html").read_text() == "build 1"
    assert not list(built.output.parent.glob(".html.[no]*"))


def test_a_swap_that_was_cut_short_is_undone(built):
    built.render()
    os.replace(built.output, built.output.parent / ".html.old")
    built.render()
    assert len(built.calls) == 1
    assert (built.output / "index.html").read_text() == "build 1"


def test_somebody_elses_folder_is_not_replaced(built):
    built.output.mkdir(parents=True)
    (built.output / "thesis.txt").touch()
    with pytest.raises(BookError, match="not a rendered book; give another folder"):
        built.render()
    assert (built.output / "thesis.txt").exists()


def test_neighbours_of_the_output_are_left_alone(built):
    (built.output.parent / "source").mkdir(parents=True)
    (built.output.parent / "source" / "thesis.txt").touch()
    built.render()
    assert (built.output.parent / "source" / "thesis.txt").exists()


def test_mathjax_that_can_not_be_had_is_said_aloud(built, monkeypatch, capsys):
    def refuse(name):
        raise AssetError(f"{name}: no network")

    monkeypatch.setattr(assets, "path", refuse)
    built.render()
    told = capsys.readouterr().err
    assert "formulas need the network" in told
    assert website.MATHJAX_ADDRESS in told
    assert "mathjax: no network" in told


def test_warnings_without_numbers_are_kept_as_they_are(tmp_path):
    log = f"{tmp_path}/_toc.yml: WARNING: odd\nnoise\n\x1b[91m{tmp_path}/a.md:3: ERROR: bad\x1b[0m"
    assert list(rendering.problems(log, tmp_path)) == [
        "_toc.yml: WARNING: odd",
        "a, line 3: ERROR: bad",
    ]
