from pathlib import Path

import pytest

from facelab import assets
from facelab.book import closing, manifest
from facelab.errors import BookError, ManifestError

GOOD = """\
[book]
title = "A book"
subtitle = "for tests"
authors = ["Ada", "Charles"]
copyright = "2026"
licence = "Apache-2.0"
repository = ""
bibliography = "chapters/references.bib"

[profiles.smoke]
purpose = "tests"
budget_s = 60

[profiles.quick]
purpose = "readers"
budget_s = 90.5

[[chapter]]
slug = "index"
title = "Start"
module = "facelab.book"
minutes = 10

[[chapter]]
slug = "01_search"
title = "Search"
paper = "ganid"
module = "facelab.methods.ganid"
minutes = 60
assets = ["astronaut"]
claims = ["ganid.table1", "ganid.search"]

[chapter.parameters.smoke]
faces = 16
rate = 0.5
photo = "a.jpg"
fast = true
sizes = [1, 2]

[chapter.budget_s]
smoke = 30
"""


@pytest.fixture
def load(tmp_path):
    """Return a function that loads a manifest from its text."""

    def load(text: str) -> manifest.Manifest:
        path = tmp_path / "book.toml"
        path.write_text(text)
        return manifest.load(path)

    return load


def line_of(text: str, wanted: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if wanted in line)


def test_a_good_manifest_is_read_whole(load, tmp_path):
    book = load(GOOD)
    assert book.root == tmp_path
    assert book.book.title == "A book"
    assert book.book.authors == ("Ada", "Charles")
    assert book.book.bibliography == tmp_path / "chapters" / "references.bib"
    assert list(book.profiles) == ["smoke", "quick"]
    assert book.profile("quick").budget_s == 90.5
    index, search = book.chapters
    assert (index.slug, index.paper, index.assets, index.claims) == ("index", None, (), ())
    assert search.paper == "ganid"
    assert search.claims == ("ganid.table1", "ganid.search")
    assert search.source == tmp_path / "chapters" / "01_search.py"
    assert search.notebook == tmp_path / "chapters" / "01_search.ipynb"
    assert search.minutes == 60


def test_parameters_keep_their_types_and_every_profile_has_a_table(load):
    search = load(GOOD).chapter("01_search")
    smoke = search.parameters["smoke"]
    assert smoke == {"faces": 16, "rate": 0.5, "photo": "a.jpg", "fast": True, "sizes": [1, 2]}
    assert [type(value) for value in smoke.values()] == [int, float, str, bool, list]
    assert search.parameters["quick"] == {}


def test_a_chapter_s_own_budget_comes_before_the_profile_s(load):
    book = load(GOOD)
    assert book.chapter("01_search").budget_s("smoke") == 30
    assert book.chapter("01_search").budget_s("quick") == 90.5
    assert book.chapter("index").budget_s("smoke") == 60


def test_selection_keeps_the_book_s_order(load):
    book = load(GOOD)
    assert [each.slug for each in book.select()] == ["index", "01_search"]
    assert [each.slug for each in book.select(["01_search", "index"])] == ["index", "01_search"]
    assert [each.slug for each in book.select(["01_search"])] == ["01_search"]


def test_unknown_names_are_answered_with_the_known_ones(load):
    book = load(GOOD)
    with pytest.raises(BookError, match=r"no chapter '01_serach'.*did you mean '01_search'"):
        book.select(["01_serach"])
    with pytest.raises(BookError, match=r"no profile 'huge' in book.toml; it has: smoke, quick"):
        book.profile("huge")


# What is replaced, by what, the text on the line that the message names, what it says.
MALFORMED = {
    "text for a number": (
        "minutes = 60",
        'minutes = "sixty"',
        '"sixty"',
        'chapter "01_search": minutes: expected a whole number of minutes, got "sixty"; '
        "write minutes = 60",
    ),
    "half minutes": ("minutes = 60", "minutes = 0.5", "= 0.5", "expected a whole number of min"),
    "no minutes": ("minutes = 60", "minutes = 0", "minutes = 0", "expected a whole number"),
    "true for a number": ("minutes = 60", "minutes = true", "= true", "got true"),
    "missing key": (
        'title = "Search"\n',
        "",
        "#2",
        'chapter "01_search": title: missing, expected text; write title = "..."',
    ),
    "unknown key": (
        'title = "Search"',
        'titel = "Search"',
        "titel",
        'chapter "01_search": titel: unknown key; did you mean title?',
    ),
    "unknown table": ("[profiles.smoke]", "[profile.smoke]", "[profile.smoke]", "unknown key"),
    "unknown key of the book": ("subtitle", "sub", "sub =", "book: sub: unknown key; known are"),
    "unknown key of a profile": ("budget_s = 60", "budget = 60", "budget = ", "did you mean budg"),
    "duplicate slug": (
        '"01_search"',
        '"index"',
        "#2 slug",
        'chapter 2: slug: "index" is taken by an entry above; write another',
    ),
    "slug in capitals": ('"01_search"', '"01_Search"', "01_Search", "slug: expected"),
    "slug without a number": ('"01_search"', '"search"', '"search"', "write slug ="),
    "slug that is no text": ('"01_search"', "1", "slug = 1", "chapter 2: slug: expected"),
    "blank title": ('"Search"', '"  "', '"  "', 'chapter "01_search": title: expected text'),
    "authors as text": ('["Ada", "Charles"]', '"Ada"', "authors", "book: authors: expected a list"),
    "an author twice": ('"Charles"', '"Ada"', "authors", "a list of different texts"),
    "no address": (
        'repository = ""',
        'repository = "git"',
        '"git"',
        'expected https://github.com/OWNER/NAME or empty text, got "git"; write repository = ""',
    ),
    "another host": (
        'repository = ""',
        'repository = "https://example.org/a/b"',
        "example",
        "expected https://github.com/OWNER/NAME",
    ),
    "an address to clone": (
        'repository = ""',
        'repository = "https://github.com/a/b.git"',
        "a/b",
        "expected https://github.com/OWNER/NAME",
    ),
    "no module": ('"facelab.book"', '"facelab/book"', "facelab/book", "module: expected a module"),
    "unknown paper": ('"ganid"', '"stylegan"', "paper", "paper: expected one of ganid, ganfaces"),
    "unknown asset": ('"astronaut"', '"astronout"', "assets", "did you mean 'astronaut'?"),
    "unknown claim": (
        '"ganid.search"',
        '"ganid.serach"',
        "claims",
        "claims: 'ganid.serach' is unknown; did you mean 'ganid.search'?",
    ),
    "undeclared profile": (
        "parameters.smoke",
        "parameters.tiny",
        "parameters.tiny",
        "tiny: no such profile; write one of [profiles]: smoke, quick",
    ),
    "no identifier": ("faces = 16", '"face count" = 16', "face count", "expected a Python name"),
    "a keyword": ("faces = 16", "lambda = 16", "lambda", "expected a Python name"),
    "a date for a parameter": (
        "faces = 16",
        "faces = 2026-01-01",
        "2026-01-01",
        'chapter "01_search": parameters.smoke: faces: expected true or false, a number, text',
    ),
    "a table for a parameter": ("faces = 16", "faces = { n = 1 }", "faces", "or a list of these"),
    "a list of lists": ("sizes = [1, 2]", "sizes = [[1]]", "sizes", "or a list of these"),
    "an infinite parameter": ("rate = 0.5", "rate = inf", "rate", "or a list of these"),
    "negative budget": (
        "budget_s = 60",
        "budget_s = -1",
        "budget_s = -1",
        'profile "smoke": budget_s: expected a number of seconds above 0, got -1',
    ),
    "a chapter's negative budget": (
        "smoke = 30",
        "smoke = -30",
        "smoke = -30",
        'chapter "01_search": budget_s: smoke: expected a number of seconds above 0',
    ),
    "a chapter's budget for no profile": ("smoke = 30", "smok = 30", "smok = ", "did you mean smo"),
    "a number for a table": (
        GOOD[GOOD.index("[chapter.parameters.smoke]") : GOOD.index("[chapter.budget_s]")],
        "parameters = 3\n",
        "parameters = 3",
        "parameters: expected a table, got 3",
    ),
    "not TOML": (
        "minutes = 60",
        "minutes = sixty",
        "sixty",
        "column 11: expected TOML, got 'minutes = sixty' (Invalid value)",
    ),
    "a key twice": ("minutes = 60", "minutes = 60\nminutes = 61", "= 61", "expected TOML"),
    "an open bracket at the end": (
        "smoke = 30\n",
        "smoke = [30,\n",
        "smoke = [30",
        "expected TOML",
    ),
}


@pytest.mark.parametrize(("old", "new", "where", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_entry_names_line_and_field(load, old, new, where, message):
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    line = line_of(text, where) if not where.startswith("#2") else _in_second_entry(text, where)
    with pytest.raises(ManifestError) as caught:
        load(text)
    assert str(caught.value).startswith(f"book.toml:{line}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def _in_second_entry(text: str, where: str) -> int:
    """Return the line of the second [[chapter]], or of its slug for "#2 slug"."""
    lines = text.splitlines()
    header = [n for n, line in enumerate(lines, 1) if line == "[[chapter]]"][1]
    return header + 1 if where == "#2 slug" else header


def test_lines_are_right_behind_long_texts_and_dotted_keys(load):
    text = GOOD.replace('"for tests"', '"""\n[[chapter]]\nminutes = 1\n"""')
    text = text.replace("[chapter.budget_s]\nsmoke = 30\n", "")
    text = text.replace("[chapter.parameters.smoke]", "parameters.smoke.wrong-name = 1")
    with pytest.raises(ManifestError, match=f"book.toml:{line_of(text, 'wrong-name')}: "):
        load(text.partition("faces = 16")[0])


def test_a_book_has_chapters(load):
    with pytest.raises(ManifestError, match=r"book.toml:1: chapter: missing.*\[\[chapter\]\]"):
        load(GOOD.partition("[[chapter]]")[0])


def test_what_cannot_be_read_is_said_in_one_line(tmp_path):
    with pytest.raises(ManifestError, match="can't be read"):
        manifest.load(tmp_path / "absent.toml")
    (tmp_path / "book.toml").write_bytes(GOOD.replace("Ada", "Ad\xe4").encode("latin-1"))
    with pytest.raises(ManifestError, match="expected UTF-8"):
        manifest.load(tmp_path / "book.toml")


def test_the_root_is_found_from_below_and_else_by_the_installation(tmp_path, monkeypatch):
    (tmp_path / "chapters" / "deep").mkdir(parents=True)
    (tmp_path / "book.toml").write_text(GOOD)
    monkeypatch.chdir(tmp_path / "chapters" / "deep")
    assert manifest.find_root() == tmp_path
    assert manifest.load().book.title == "A book"
    (tmp_path / "book.toml").unlink()
    assert manifest.find_root() == Path(manifest.__file__).parents[2]


def test_without_any_book_the_remedy_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(manifest, "__file__", str(tmp_path / "a" / "b" / "c" / "manifest.py"))
    with pytest.raises(BookError, match=r"no book.toml in .*; run this inside a clone"):
        manifest.find_root()


def test_every_claim_says_what_the_paper_reports_and_what_to_show():
    assert manifest.papers() == ("ganid", "ganfaces", "diat", "idmap", "d2ae")
    assert len(manifest.claims()) == 40
    for name, claim in manifest.claims().items():
        assert set(claim) == {"paper", "show"}, name
        assert all(claim.values()), name


def test_the_book_s_own_manifest_is_good():
    book = manifest.load(Path(manifest.__file__).parents[2] / "book.toml")
    assert {"smoke", "quick", "paper"} <= set(book.profiles)
    assert book.chapters[0].slug == "index"
    assert {name for chapter in book.chapters for name in chapter.assets} <= set(assets.ASSETS)


PAGE = """
[[page]]
slug = "notation"
title = "Notation"
source = "chapters/pages/notation.md"

[[page]]
slug = "ledger"
title = "The claims"
made_by = "ledger"
"""


def test_closing_pages_are_read_in_their_order(load, tmp_path):
    written, made = load(GOOD + PAGE).pages
    assert (written.slug, written.title, written.made_by) == ("notation", "Notation", None)
    assert written.source == tmp_path / "chapters" / "pages" / "notation.md"
    assert (made.slug, made.source, made.made_by) == ("ledger", None, "ledger")
    assert load(GOOD).pages == ()


# What is replaced, by what, the line that the message names (the last such one), the message.
KNOWN_MAKERS = ", ".join(closing.MAKERS)
WRONG_PAGES = {
    "taken by a page": (
        'slug = "ledger"',
        'slug = "notation"',
        'slug = "notation"',
        'page 2: slug: "notation" is taken by an entry above; write another',
    ),
    "taken by a chapter": (
        'slug = "ledger"',
        'slug = "index"',
        'slug = "index"',
        '"index" is taken by an entry above',
    ),
    "a chapter's slug": ('slug = "ledger"', 'slug = "02_a"', "02_a", "expected a name in small"),
    "unknown maker": (
        'made_by = "ledger"',
        'made_by = "leger"',
        "leger",
        f'page "ledger": made_by: expected one of {KNOWN_MAKERS}, got "leger"; write made_by = ',
    ),
    "two makers": ('made_by = "ledger"', "made_by = []", "made_by", "expected one of"),
    "neither": (
        'made_by = "ledger"',
        "",
        "[[page]]",
        'page "ledger": source: missing, expected the page\'s Markdown, '
        '"chapters/pages/ledger.md", or made_by; write source = "chapters/pages/ledger.md"',
    ),
    "both": (
        'made_by = "ledger"',
        'source = "chapters/pages/ledger.md"\nmade_by = "ledger"',
        "made_by",
        "made_by: the page has a source already; keep one of the two",
    ),
    "elsewhere": (
        'source = "chapters/pages/notation.md"',
        'source = "notation.md"',
        'source = "notation.md"',
        'got "notation.md"; write source = "chapters/pages/notation.md"',
    ),
    "unknown key": ('made_by = "ledger"', 'maker = "ledger"', "maker", "maker: unknown key"),
}


@pytest.mark.parametrize(("old", "new", "at", "message"), WRONG_PAGES.values(), ids=WRONG_PAGES)
def test_a_wrong_page_is_named_with_its_line(load, old, new, at, message):
    text = GOOD + PAGE.replace(old, new)
    with pytest.raises(ManifestError) as caught:
        load(text)
    line = max(number for number, each in enumerate(text.splitlines(), 1) if at in each)
    assert str(caught.value).startswith(f"book.toml:{line}: ")
    assert message in str(caught.value)
