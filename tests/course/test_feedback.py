"""A student's page."""

import json
from html.parser import HTMLParser

import nbformat
import pytest

from facelab.course import feedback
from facelab.errors import BookError

EVIL = "<script>alert('x')</script><img src=https://evil.example/x.png>"
GRADE = {
    "student": "ada",
    "key": "k",
    "outcome": "time",
    "exercises": [
        {
            "number": "1.1",
            "title": "1.1 The sum",
            "points": 10,
            "earned": 8.0,
            "visible": "right",
            "message": "1.1 The sum: passed (10 points).",
            "hidden": [
                {"about": "no numbers at all", "passed": True},
                {"about": "other numbers", "passed": False},
            ],
            "mode": "apart",
        },
        {
            "number": "1.2",
            "title": "1.2 The root",
            "points": 5,
            "earned": 0.0,
            "visible": "wrong",
            "message": f"1.2 The root: expected 3, got {EVIL}",
            "hidden": [],
            "mode": "together",
        },
    ],
    "questions": [
        {
            "name": "total",
            "text": "What is the sum?",
            "points": 4,
            "earned": 2.0,
            "reported": EVIL,
            "state": "half",
            "message": "further off than the tolerance of 0.5, and within twice of it",
        }
    ],
    "total": 10.0,
    "possible": 19,
    "notes": [f"cell 9 took longer than 120 s {EVIL}"],
}


class Page(HTMLParser):
    """What a page is made of: its tags, their attributes, its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def course(make_assignment):
    assignment, _ = make_assignment(due="2027-01-31T18:00")
    for student in ("ada", "bob"):
        path = assignment.grade_file(student)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(GRADE | {"student": student}))
    notebook = nbformat.read(assignment.release("ada"), as_version=4)
    cell = next(
        cell
        for cell in notebook.cells
        if cell.metadata.get("facelab") == {"exercise": "1.1", "part": "answer"}
    )
    text = f"\x1b[31mred\x1b[0m {EVIL} \x07" + "y" * 9000
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text=text),
        nbformat.v4.new_output("error", ename="ValueError", evalue="late", traceback=[]),
    ]
    assignment.run_folder("ada").mkdir(parents=True)
    nbformat.write(notebook, assignment.run_folder("ada") / "executed.ipynb")
    return assignment


def _page(course, student="ada"):
    return feedback.write(course, student).read_text(encoding="utf-8")


def test_a_page_has_the_points_the_messages_and_what_hidden_tests_are_about(course):
    text = Page(_page(course)).text
    for expected in (
        "Sums: Ada Lovelace",
        "10 of 19 points",
        "2027-01-31 18:00",
        f"start = {course.parameters['ada']['start']}",
        "ended with: time",
        "8 of 10",
        "✓ passed: holds for no numbers at all",
        "✗ not passed: does not hold for other numbers",
        "further off than the tolerance of 0.5, and within twice of it",
        "cell 9 took longer than 120 s",
    ):
        assert expected in text, expected


def test_what_a_student_wrote_is_text_and_nothing_else(course):
    page = Page(_page(course))
    assert not {"script", "img", "link", "iframe", "a", "form"} & set(page.tags)
    assert page.text.count(EVIL) == 3  # message, note, output; the reported one is cut
    assert not [value for _, value in page.attributes if value and "://" in value]
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_an_output_is_cut_and_without_colours(course):
    text = Page(_page(course)).text
    assert "red <script>" in text
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "y" * 1000 in text
    assert "y" * feedback.LONGEST_OUTPUT not in text
    assert "… (cut)" in text


def test_a_page_is_readable_by_machines_and_in_the_dark(course):
    source = _page(course)
    page = Page(source)
    assert '<html lang="en">' in source
    assert "prefers-color-scheme: dark" in source
    assert page.tags.count("caption") == page.tags.count("table") == 3
    assert ("scope", "row") in page.attributes
    assert ("scope", "col") in page.attributes
    assert page.tags.count("h1") == 1


def test_a_page_has_no_data_of_others(course):
    source = _page(course)
    for other in ("Bob", "bob", "Eve", str(course.parameters["bob"]["start"])):
        assert other not in Page(source).text.split(), other
    assert _page(course) == source


def test_who_has_no_grade_has_no_page(course):
    with pytest.raises(BookError, match=r"eve has no grade; run `facelab assign grade"):
        feedback.write(course, "eve")
    assert [path.stem for path in feedback.write_all(course)] == ["ada", "bob"]
