"""The folder that Jupyter Book reads, made from book.toml and the executed chapters."""

import json
import shutil
import sys
from types import SimpleNamespace

import pytest
import yaml
from nbformat import v4, write

from facelab import assets
from facelab.book import closing, website
from facelab.errors import AssetError, BookError

CHAPTER = "# %% [markdown]\n# # A chapter\n"
REPORT = {
    "profile": "quick",
    "outcome": "ok",
    "device": "cpu (Some Processor)",
    "commit": {"sha": "0123456789abcdef", "dirty": False},
    "cells": [],
    "records": [],
    "failure": None,
}


@pytest.fixture
def book(make_book):
    """A tiny book of an index and two chapters."""
    return make_book({"index": CHAPTER, "01_one": CHAPTER, "02_two": CHAPTER})


@pytest.fixture
def executed(book):
    """The folder with the book's executed notebooks."""
    folder = book.root / "runs"
    folder.mkdir()
    for slug in ("index", "01_one", "02_two"):
        cells = [v4.new_markdown_cell(f"# {slug}"), v4.new_code_cell("1", metadata={"tags": []})]
        metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        write(v4.new_notebook(cells=cells, metadata=metadata), folder / f"{slug}.ipynb")
    return folder


def config(source):
    return yaml.safe_load((source / "_config.yml").read_text())


def report(folder, **entries):
    chapters = {slug: REPORT | {"slug": slug} | entry for slug, entry in entries.items()}
    (folder / "report.json").write_text(json.dumps({"profile": "quick", "chapters": chapters}))


def test_the_folder_is_whole(book, executed):
    source = book.root / "_build" / "source"
    website.write(book.load(), executed, source, assets.path("mathjax"))
    for name in ("01_one.ipynb", "downloads/01_one.ipynb", "references.bib", "bibliography.md"):
        assert (source / name).is_file(), name
    assert (source / "vendored/mathjax/tex-mml-chtml.js").stat().st_size > 1_000_000
    fonts = source / "vendored/mathjax/output/chtml/fonts/woff-v2"
    assert (fonts / "MathJax_Main-Regular.woff").is_file()
    assert "Apache" in (source / "vendored/mathjax/NOTICE.txt").read_text()
    assert (source / "static/custom.css").is_file()


def test_it_is_made_anew(book, executed):
    source = book.root / "_build" / "source"
    source.mkdir(parents=True)
    (source / "99_gone.ipynb").touch()
    website.write(book.load(), executed, source, None)
    assert not (source / "99_gone.ipynb").exists()


def test_contents_number_the_chapters_and_not_the_rest():
    toc = website.contents(["index", "01_one", "02_two"])
    assert toc["root"] == "index"
    assert toc["parts"][0] == {
        "caption": "Chapters",
        "numbered": True,
        "chapters": [{"file": "01_one"}, {"file": "02_two"}],
    }
    assert toc["parts"][1]["chapters"] == [{"file": "bibliography"}]
    assert "numbered" not in toc["parts"][1]


def test_contents_of_an_index_alone():
    assert [part["caption"] for part in website.contents(["index"])["parts"]] == ["Reference"]


def test_closing_pages_come_after_the_chapters():
    toc = website.contents(["index", "01_one"], ["notation", "ledger"])
    assert [part["caption"] for part in toc["parts"]] == [
        "Chapters",
        "After the chapters",
        "Reference",
    ]
    assert toc["parts"][1]["chapters"] == [{"file": "pages/notation"}, {"file": "pages/ledger"}]
    assert "numbered" not in toc["parts"][1]


def test_closing_pages_are_written_and_made(book, executed, monkeypatch):
    maker = SimpleNamespace(page=lambda root: f"made in {root.name}\n")
    monkeypatch.setitem(closing.MAKERS, "told", "a_maker")
    monkeypatch.setitem(sys.modules, "a_maker", maker)
    hint = "<details><summary>More</summary>\n$x$\n</details>\n"
    book.add_page("words", 'source = "chapters/pages/words.md"', f"# Words\n\n{hint}")
    book.add_page("made", 'made_by = "told"')
    source = book.root / "source"
    website.write(book.load(), executed, source, None)
    assert (source / "pages/made.md").read_text() == "# Words\n\nmade in book\n"
    # As in chapters, what is folded is read as Markdown.
    assert "</summary>\n\n$x$" in (source / "pages/words.md").read_text()
    toc = yaml.safe_load((source / "_toc.yml").read_text())
    assert toc["parts"][1]["chapters"] == [{"file": "pages/words"}, {"file": "pages/made"}]


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "words.md: can't be read"), ("# Words\n\n![](a.png)\n", "words: a picture has no alt")],
)
def test_a_page_that_cannot_be_shown_is_named(book, executed, text, message):
    book.add_page("words", 'source = "chapters/pages/words.md"', text)
    with pytest.raises(BookError, match=message):
        website.write(book.load(), executed, book.root / "source", None)


def test_mathjax_is_vendored_or_comes_from_its_public_address(book, executed):
    source = book.root / "source"
    website.write(book.load(), executed, source, assets.path("mathjax"))
    assert config(source)["sphinx"]["config"]["mathjax_path"] == "mathjax/tex-mml-chtml.js"
    website.write(book.load(), executed, source, None)
    assert config(source)["sphinx"]["config"]["mathjax_path"] == website.MATHJAX_ADDRESS
    assert not (source / "vendored").exists()


def test_an_incomplete_mathjax_is_refused(book, executed, tmp_path):
    (tmp_path / "mathjax").mkdir()
    with pytest.raises(AssetError, match=r"tex-mml-chtml\.js is missing"):
        website.write(book.load(), executed, book.root / "source", tmp_path / "mathjax")


def test_buttons_need_a_repository(book, executed):
    source = book.root / "source"
    website.write(book.load(), executed, source, None)
    assert config(source)["html"]["use_repository_button"] is False
    assert config(source)["repository"]["url"] == ""
    assert config(source)["launch_buttons"]["binderhub_url"] == ""
    assert "Colab" not in config(source)["html"]["extra_footer"]
    path = book.root / "book.toml"
    address = "https://github.com/somebody/book"
    path.write_text(path.read_text().replace("bibl", f'repository = "{address}"\nbibl', 1))
    website.write(book.load(), executed, source, None)
    assert config(source)["html"]["use_repository_button"] is True
    assert config(source)["repository"]["url"] == address
    assert config(source)["launch_buttons"]["binderhub_url"] == "https://mybinder.org"
    assert config(source)["html"]["extra_footer"].endswith(
        "<p>In Colab, run this first, each in a cell of its own: <code>!git clone "
        "https://github.com/somebody/book</code>, <code>%cd book</code>, "
        "<code>%pip install .</code>.</p>"
    )


def test_pictures_of_the_text_come_along(book, executed):
    chapters = book.root / "chapters"
    (chapters / "figures").mkdir()
    (chapters / "figures" / "face.PNG").write_bytes(b"picture")
    (chapters / ".ipynb_checkpoints").mkdir()
    (chapters / ".ipynb_checkpoints" / "old.png").touch()
    website.write(book.load(), executed, book.root / "source", None)
    assert (book.root / "source/figures/face.PNG").read_bytes() == b"picture"
    assert not list((book.root / "source").rglob("old.png"))


def test_the_footer_says_what_was_run(book, executed):
    manifest = book.load()
    assert website.rendered_from(manifest, executed) == ""
    report(executed, index={}, **{"01_one": {}})
    assert website.rendered_from(manifest, executed) == (
        "Last rendered from commit 0123456789, profile quick, on CPU (Some Processor)."
    )


def test_the_footer_hides_no_difference(book, executed):
    dirty = {"sha": "fedcba9876543210", "dirty": True}
    report(executed, index={}, **{"01_one": {"commit": dirty}, "02_two": {"commit": {}}})
    assert website.rendered_from(book.load(), executed) == (
        "Last rendered from commit 0123456789, commit fedcba9876 with local changes, "
        "an unknown commit, profile quick, on CPU (Some Processor)."
    )


def test_the_footer_is_text_and_no_markup(book, executed):
    report(executed, index={"device": "<b>cuda & co</b>"})
    website.write(book.load(), executed, book.root / "source", None)
    footer = config(book.root / "source")["html"]["extra_footer"]
    assert footer.startswith("<p>Licence: Apache-2.0. Last rendered from commit")
    assert "&lt;b&gt;cuda &amp; co&lt;/b&gt;" in footer


def test_what_is_missing_is_named(make_book, book, executed):
    shutil.move(executed / "02_two.ipynb", executed / "away")
    with pytest.raises(BookError, match=r"02_two\.ipynb is missing"):
        website.write(book.load(), executed, book.root / "source", None)
    (book.root / "chapters/references.bib").unlink()
    with pytest.raises(BookError, match=r"references\.bib is missing"):
        website.write(book.load(), executed, book.root / "source", None)


def test_a_chapter_whose_last_run_failed_is_refused(book, executed):
    """The notebook that lies there is of an earlier run, and the report is not of it."""
    report(executed, index={}, **{"02_two": {"outcome": "over budget"}})
    with pytest.raises(BookError, match=r"run of 02_two in .* did not end well \(over budget\)"):
        website.write(book.load(), executed, book.root / "source", None)


def test_the_first_chapter_is_the_index(make_book, tmp_path):
    book = make_book({"01_one": CHAPTER})
    with pytest.raises(BookError, match=r'first \[\[chapter\]\] must have slug = "index"'):
        website.write(book.load(), tmp_path, tmp_path / "source", None)
