"""Equations, their functions and their tests: what the check finds, and the page of all."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

from facelab.book import checks, equations, manifest, pairing, prose
from facelab.errors import BookError

ROOT = Path(__file__).parents[2]
INDEX = "# %% [markdown]\n# # Start here\n#\n# Nothing is numbered.\n"
ONE = r"""# %% [markdown]
# # One
#
# ## A `first` idea, twice
#
# $$ y = x^2 \tag{1.1} $$

# %% [markdown]
# ### Exercise 1.1: not a section
#
# $x = 1$ is not numbered, and
#
# $$
# z = y
#     + 1, \tag{1.2}
# $$
#
# is.
"""
TWO = "# %% [markdown]\n# # Two\n#\n# ## Other\n#\n# $$ a = b. \\tag{2.1} $$\n"
CODE = '''
def square(x):
    """Return x^2 of a `x`, [a, b]. Source: somebody, equation 7."""

class Sum:
    """Adds."""

    def terms(self):
        """Return the terms.

        More."""
'''
TESTS = "def test_square():\n    pass\n\nclass TestSum:\n    def test_terms(self):\n        pass\n"
ENTRIES = """
[eq."1.1"]
is = "facelab.maths.square"
test = "tests/test_maths.py::test_square"

[eq."1.2"]
is = "facelab.maths.Sum.terms"
also = ["facelab.maths.Sum"]
test = "tests/test_maths.py::TestSum::test_terms"
note = "Without a word."

[eq."2.1"]
is = "facelab.room.twin"
test = "tests/test_maths.py::test_square"
"""


@pytest.fixture
def book(make_book):
    made = make_book({"index": INDEX, "01_one": ONE, "02_two": TWO})
    files = {
        "facelab/maths.py": CODE,
        "facelab/room/__init__.py": "def twin():\n    pass\n",
        "tests/test_maths.py": TESTS,
        equations.FILE: ENTRIES,
    }
    for name, text in files.items():
        path = made.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    made.sync()
    return made


def edit(book, name, old, new):
    path = book.root / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def only(book):
    """The one problem of the book, as it is printed."""
    (problem,) = checks.check(book.load())
    assert problem.rule == "equation"
    return str(problem)


# --- what is found -------------------------------------------------------------------------------


def test_equations_are_read_with_their_section(book):
    one, two = equations.of_chapter(book.load().chapter("01_one"))
    assert (one.number, one.tex) == ("1.1", r"y = x^2 \tag{1.1}")
    assert (one.section, one.anchor) == ("A `first` idea, twice", "a-first-idea-twice")
    assert (one.cell, one.line) == (1, 4)
    assert (two.number, two.cell, two.line) == ("1.2", 2, 4)
    assert "+ 1," in two.tex
    assert two.section == one.section


def test_a_whole_book_has_no_problem(book):
    assert checks.check(book.load()) == []


def test_an_equation_without_an_entry_is_found_on_its_line(book):
    entries = (book.root / equations.FILE).read_text()
    (book.root / equations.FILE).write_text(entries.partition('[eq."2.1"]')[0])
    line = book.script("02_two").read_text().splitlines().index(r"# $$ a = b. \tag{2.1} $$") + 1
    assert only(book) == (
        f"chapters/02_two.py: cell 1 (line {line}): equation: no function is said to be 2.1; "
        'add [eq."2.1"] to facelab/book/equations.toml'
    )


def test_a_book_without_the_file_has_no_entries(book):
    (book.root / equations.FILE).unlink()
    assert len(checks.check(book.load())) == 3


def test_an_entry_without_an_equation_is_found(book):
    book.edit("02_two", r" \tag{2.1}", "")
    book.sync()
    assert only(book) == (
        r"facelab/book/equations.toml:12: equation: 2.1: no chapter has \tag{2.1}; "
        "take the entry out, or number the equation"
    )


def test_a_number_that_is_taken_is_found(book):
    book.edit("02_two", "# ## Other\n", "# ## Other\n#\n# $$ c = d. \\tag{1.2} $$\n")
    book.sync()
    said = only(book)
    assert said.startswith("chapters/02_two.py: cell 1 (line ")
    assert said.endswith("the number 1.2 is taken by an equation of 01_one; write another")


@pytest.mark.parametrize("text", ["$x \\tag{2.2}$ here", "see \\tag{2.2}"])
def test_a_number_of_no_displayed_formula_is_found(book, text):
    book.edit("02_two", "# ## Other\n", f"# ## Other\n#\n# {text}\n")
    book.sync()
    assert r"\tag{2.2} numbers no displayed formula; put it between $$ and $$" in only(book)


def test_a_number_in_code_is_a_word_about_numbers(book):
    book.edit("02_two", "# ## Other\n", "# ## Other\n#\n# `\\tag{2.2}` numbers.\n")
    book.sync()
    assert checks.check(book.load()) == []


# What an entry says, what it said before, and the message.
WRONG = {
    "renamed": ("maths.square", "maths.cube", "facelab.maths.cube is not defined there; name the"),
    "moved": (
        "facelab.room.twin",
        "facelab.maths.twin",
        "2.1: facelab.maths.twin is not defined there; did you mean facelab.room.twin?",
    ),
    "moved method": (
        "facelab.maths.Sum.terms",
        "facelab.room.Sum.terms",
        "1.2: facelab.room.Sum.terms is not defined there; did you mean facelab.maths.Sum.terms?",
    ),
    "no such module": (
        "facelab.room.twin",
        "facelab.hall.twin",
        "facelab.hall.twin is not defined there; did you mean facelab.room.twin?",
    ),
    "one that takes part": ('["facelab.maths.Sum"]', '["facelab.maths.Som"]', "maths.Som is not"),
    "no such file": (
        "test_maths.py::TestSum",
        "test_math.py::TestSum",
        "1.2: tests/test_math.py is not there; name a file below tests/",
    ),
    "no such test": (
        "TestSum::test_terms",
        "TestSum::test_term",
        "tests/test_maths.py has no TestSum::test_term; did you mean test_terms?",
    ),
    "a test of a class": ("TestSum::test_terms", "test_terms", "has no test_terms; did you mean"),
}


@pytest.mark.parametrize(("good", "bad", "message"), WRONG.values(), ids=WRONG)
def test_an_entry_that_leads_nowhere_is_found_on_its_line(book, good, bad, message):
    edit(book, equations.FILE, good, bad)
    said = only(book)
    assert said.startswith("facelab/book/equations.toml:")
    assert message in said


def test_an_imported_function_has_moved(book):
    """Where it can be imported from is not where it is defined."""
    edit(book, "facelab/maths.py", "\ndef square", "\nfrom facelab.room import twin\n\ndef square")
    edit(book, equations.FILE, "facelab.room.twin", "facelab.maths.twin")
    assert "facelab.maths.twin is not defined there; did you mean facelab.room.twin?" in only(book)


MALFORMED = {
    "no test": (
        'test = "tests/test_maths.py::TestSum::test_terms"\n',
        "",
        "test: missing, expecte",
    ),
    "no function": ('is = "facelab.room.twin"\n', "", "is: missing, expected a function's full na"),
    "not facelab's": ("facelab.room.twin", "torch.nn.twin", 'got "torch.nn.twin"; write is = '),
    "no test's name": ("::test_square", "", 'expected a test, got "tests/test_maths.py"; write'),
    "unknown key": ("note", "nota", "nota: unknown key; did you mean note?"),
    "not TOML": ("also = [", "also = ", "expected TOML, got"),
    "twice": ('[eq."1.2"]', '[eq."1.1"]', "expected TOML, got"),
}


@pytest.mark.parametrize(("good", "bad", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_entry_is_one_line(book, good, bad, message):
    edit(book, equations.FILE, good, bad)
    said = only(book)
    assert re.search(r"equations\.toml:\d+: ", said)
    assert message in said


# --- the page ------------------------------------------------------------------------------------


def test_the_page_shows_each_equation_with_function_and_test(book):
    page = equations.page(book.root)
    assert page.startswith("Each numbered equation")
    assert "## [The chapter 01_one](../01_one.ipynb)\n" in page
    assert "Start here" not in page
    assert (
        "**(1.1)** [A `first` idea, twice](../01_one.ipynb#a-first-idea-twice)\n\n"
        "$$ y = x^2 \\tag{1.1} $$\n\n"
        "- `facelab.maths.square`: Return x\\^2 of a `x`, \\[a, b\\].\n"
        "- Test: `test_square` in `tests/test_maths.py`\n"
    ) in page
    assert (
        "- `facelab.maths.Sum.terms`: Return the terms.\n- `facelab.maths.Sum`: Adds.\n"
        "- Test: `TestSum.test_terms` in `tests/test_maths.py`\n- Without a word.\n"
    ) in page


def test_a_function_without_a_docstring_stands_alone(book):
    assert "\n- `facelab.room.twin`\n- Test:" in equations.page(book.root)


def test_a_page_parses_as_it_was_written(book):
    """Links, formulas and code of the page are those of the entries, by the book's own parser."""
    page = equations.page(book.root)
    found = prose.mentions(prose.parser(), page, {})
    links = [each.value for each in found if each.kind == "link"]
    assert links == [
        *("../01_one.ipynb", *["../01_one.ipynb#a-first-idea-twice"] * 2),
        *("../02_two.ipynb", "../02_two.ipynb#other"),
    ]
    tags = [equations.TAG.findall(each.value) for each in found if each.kind == "math"]
    assert tags == [["1.1"], ["1.2"], ["2.1"]]


def test_no_page_is_made_of_a_book_that_is_wrong(book):
    edit(book, "facelab/maths.py", "def square", "def squared")
    with pytest.raises(BookError, match=r"toml:2: 1\.1: facelab\.maths\.square is .*book check"):
        equations.page(book.root)


# --- the book ------------------------------------------------------------------------------------


def test_every_function_of_the_book_is_what_its_name_says():
    """The names lead to functions that can be imported, and that call themselves so."""
    entries = equations.read(ROOT)
    assert entries
    for name in dict.fromkeys(name for each in entries.values() for name in each.functions):
        parts = name.split(".")
        classes = (n for n, part in enumerate(parts) if part[0].isupper())
        first = next(classes, len(parts) - 1)  # after the module
        found = importlib.import_module(".".join(parts[:first]))
        for part in parts[first:]:
            found = getattr(found, part)
        found = inspect.unwrap(found)
        assert f"{found.__module__}.{found.__qualname__}" == name
        assert found.__doc__, name


def test_every_equation_of_the_book_is_in_its_page():
    book = manifest.load(ROOT / manifest.FILE)
    written = [
        tag
        for chapter in book.chapters
        for cell in pairing.read_script(chapter).cells
        for tag in equations.TAG.findall(cell.source)
    ]
    assert len(written) >= 50
    assert re.findall(r"^\*\*\((.+?)\)\*\*", equations.page(ROOT), re.M) == written
