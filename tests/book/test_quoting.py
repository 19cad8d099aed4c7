"""Numbers of records in written pages, and the page of rates by the heads' axes."""

import json

import pytest

from facelab.book import checks, closing, demographics
from facelab.errors import BookError

INDEX = "# %% [markdown]\n# # Start\n"
SHARE = {"value": 0.25, "interval": {"low": 0.125, "high": 0.5}}
TEXT = "# Words\n\nOf 3 `{n}` it is {record}`bench: rows/a share/value` here.\n"


@pytest.fixture
def book(make_book):
    """A tiny book with a written page that quotes a number, and the record that has it."""
    made = make_book({"index": INDEX, "01_one": INDEX})
    made.add_page("words", 'source = "chapters/pages/words.md"', TEXT)
    record(made, "bench", rows={"a share": SHARE, "count": 12_000})
    made.sync()
    return made


def record(book, name, **content):
    (book.root / "records").mkdir(exist_ok=True)
    (book.root / "records" / f"{name}.json").write_text(json.dumps(content))


def rewrite(book, old, new):
    (book.root / "chapters/pages/words.md").write_text(TEXT.replace(old, new))


def shown(book):
    return closing.text(book.load().pages[0], book.root)


# --- numbers in prose ----------------------------------------------------------------------------


def test_a_number_is_the_record_s_with_its_interval(book):
    assert shown(book) == "# Words\n\nOf 3 `{n}` it is 0.25 (0.125 to 0.5) here.\n"
    assert checks.check(book.load()) == []


def test_a_number_without_an_interval_stands_alone(book):
    rewrite(book, "rows/a share/value", "rows/count")
    assert "it is 12,000 here" in shown(book)


def test_a_way_may_be_broken_over_lines(book):
    rewrite(book, "rows/a share", "rows/a\nshare")
    assert "it is 0.25 (0.125 to 0.5) here" in shown(book)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("a share/value", "a share", "line 3: records/bench.json has no number at rows/a share;"),
        ("a share/value", "b/value", "line 3: records/bench.json has no number at rows/b/value;"),
        ("bench: ", "bank: ", "line 3: records/bank.json has no number at"),
        ("bench: rows/a share/value", "0.25", "line 3: expected {record}`NAME: way/to/a/number`"),
    ],
)
def test_a_number_that_is_not_there_is_a_problem_of_the_page(book, old, new, message):
    rewrite(book, old, new)
    with pytest.raises(BookError, match="pages/words"):
        shown(book)
    (problem,) = checks.check(book.load())
    assert message in str(problem)


# --- rates by the heads' axes --------------------------------------------------------------------


def rates(false_matches):
    return {
        "people": 7,
        "false match rate": {**SHARE, "value": false_matches},
        "false non-match rate": SHARE,
    }


@pytest.fixture
def measured(book):
    """The same book with a record of rates."""
    axes = {axis: {"less": rates(0.3), "more": rates(0.4)} for axis in demographics.MEANING}
    record(
        book,
        demographics.RECORD,
        **{"rule": "false match rate 0.01 on others", "people": {"test": 14}, "views": 4},
        **{"command": "python a.py", "date": "today", "machine": "a machine"},
        **{"faces not found": {"age": {"less": 0.1, "more": 0.2}}},
        recognisers={"one": {"axes": {"all": {"everybody": rates(0.2)}, **axes}}},
    )
    return book


def test_the_page_has_each_axis_and_says_that_these_are_renders(measured):
    page = demographics.page(measured.root)
    by_age = page.partition("## By age\n")[2].partition("## ")[0]
    assert by_age.strip().splitlines()[-4:] == [
        "| Group | People | one: false match rate | one: false non-match rate | Faces not found |",
        "| --- | --- | --- | --- | --- |",
        "| less | 7 | 0.3 (0.125 to 0.5) | 0.25 (0.125 to 0.5) | 0.1 |",
        "| more | 7 | 0.4 (0.125 to 0.5) | 0.25 (0.125 to 0.5) | 0.2 |",
    ]
    assert "| everybody | 7 | 0.2 (0.125 to 0.5) |" in page
    assert "These are rates on **renders**: 14 people who do not exist, 4 pictures each." in page
    assert "the false match rate is 0.01 on others" in page
    assert [f"## By {axis}" in page for axis in demographics.MEANING] == [True] * 5
    assert list(demographics.problems(measured.root)) == []


def test_an_axis_that_was_not_measured_and_a_missing_record_are_found(measured):
    path = measured.root / "records" / f"{demographics.RECORD}.json"
    content = json.loads(path.read_text())
    del content["recognisers"]["one"]["axes"]["weight"]
    path.write_text(json.dumps(content))
    (problem,) = demographics.problems(measured.root)
    assert "one was not measured by weight" in str(problem)
    path.unlink()
    (problem,) = demographics.problems(measured.root)
    assert "missing; make it with benchmarks/demographics.py" in str(problem)
    with pytest.raises(BookError, match="is missing; make it"):
        demographics.page(measured.root)
