import tomllib

import pytest

from facelab.book import checks, manifest, pairing, scaffold
from facelab.errors import BookError


@pytest.fixture
def book(make_book):
    made = make_book({"index": "# %% [markdown]\n# # Start\n"})
    made.sync()
    return made


def everything(book):
    return {path: path.read_bytes() for path in book.root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("paper", [None, "diat"])
def test_a_new_chapter_passes_every_check(book, paper):
    grown = scaffold.new(book.load(), "02_new", "A new one", paper)
    assert grown == book.load()
    assert [chapter.slug for chapter in grown.chapters] == ["index", "02_new"]
    assert checks.check(grown) == []
    assert pairing.sync(grown) == []


def test_the_skeleton_has_the_ten_parts_in_their_order(book):
    scaffold.new(book.load(), "02_new", "A new one", "diat")
    script = book.script("02_new").read_text()
    parts = [
        *("# # A new one", "| **Question** |", 'tags=["parameters"]', "## One question, one pict"),
        *("**Predict", r"\tag{2.1}", "### Exercise 2.1", "Hint 3", 'tags=["exercise"]'),
        *('tags=["solution", "hide-input"]', "## The second idea", "## Training"),
        *("## The claims", 'startswith("diat.")', "## What the paper doesn't say", "## Play"),
        *("## Consent and misuse", "## Summary", "**Graded exercises.**", "**Further reading.**"),
    ]
    places = [script.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)


def test_the_entry_has_the_paper_s_claims_that_are_free(book):
    path = book.root / "book.toml"
    path.write_text(path.read_text() + 'claims = ["diat.local"]\n')
    chapter = scaffold.new(book.load(), "02_new", 'He said "no" \\ ü', "diat").chapter("02_new")
    assert chapter.title == 'He said "no" \\ ü'
    assert (chapter.paper, chapter.module) == ("diat", "facelab.methods.diat")
    assert set(chapter.claims) == {c for c in manifest.claims() if c.startswith("diat.")} - {
        "diat.local"
    }
    assert chapter.parameters == {"smoke": {"samples": 64}, "quick": {"samples": 64}}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("end", ["", "\n", "\n\n# the end"])
def test_the_rest_of_book_toml_stays_byte_for_byte(book, newline, end):
    path = book.root / "book.toml"
    before = (path.read_text().rstrip() + end).replace("\n", newline).encode()
    path.write_bytes(before)
    scaffold.new(book.load(), "02_new", "A new one")
    after = path.read_bytes()
    assert after.startswith(before)
    assert after.count(b"\n") == after.count(newline.encode())
    assert len(tomllib.loads(after.decode())["chapter"]) == 2


@pytest.mark.parametrize(
    ("slug", "title", "paper", "message"),
    [
        ("index", "T", None, "book.toml has a chapter 'index' already"),
        ("03_there", "T", None, r"03_there.py exists already; choose another slug"),
        ("04_there", "T", None, r"04_there.ipynb exists already; choose another slug"),
        ("Two", "T", None, "slug: expected two digits.* got 'Two'; write for example"),
        ("02_new", " ", None, "title: expected one line of text, got ' '"),
        ("02_new", "a\nb", None, "title: expected one line of text"),
        ("02_new", "T", "stylegan", "paper: expected one of ganid, .*, got 'stylegan'"),
    ],
)
def test_what_is_taken_or_malformed_is_refused_and_nothing_changes(
    book, slug, title, paper, message
):
    book.script("03_there").write_text("1\n")
    book.notebook("04_there").write_text("{}")
    before = everything(book)
    with pytest.raises(BookError, match=message):
        scaffold.new(book.load(), slug, title, paper)
    assert everything(book) == before


def test_a_failure_on_the_way_leaves_nothing_behind(book, monkeypatch):
    before = everything(book)
    replace = pairing.replace_text

    def full(path, text):
        if path.name == "book.toml":
            raise BookError("no space left")
        replace(path, text)

    monkeypatch.setattr(pairing, "replace_text", full)
    with pytest.raises(BookError, match="no space left"):
        scaffold.new(book.load(), "02_new", "A new one")
    assert everything(book) == before


@pytest.mark.slow
def test_the_skeleton_runs_with_plain_papermill(book, tmp_path):
    import papermill

    scaffold.new(book.load(), "02_new", "A new one", "diat")
    done = papermill.execute_notebook(
        str(book.notebook("02_new")), str(tmp_path / "out.ipynb"), {"samples": 8}, cwd=tmp_path
    )
    printed = "".join(
        output.text
        for cell in done.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream"
    )
    assert "○ 2.1 The inverse: not answered yet." in printed
    assert "✓ 2.1 The inverse: passed (1 point)." in printed
    assert "diat.local: Mouth open" in printed
    pairing.store_outputs(book.load().chapter("02_new"), tmp_path / "out.ipynb")
    assert checks.check(book.load()) == []
