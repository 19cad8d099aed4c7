import hashlib
import json

import nbformat
import pytest

from facelab.book import exercise_rules, manifest, pages, pairing, products
from facelab.errors import BookError

ROOT = manifest.find_root()


@pytest.fixture
def chapter():
    return manifest.load().chapter("02_identity")


def _sources(chapter, kind):
    return [cell.source for cell in products.product(chapter, kind).cells]


def _marked(notebook, part):
    return [cell for cell in notebook.cells if cell.metadata.get("facelab", {}).get("part") == part]


@pytest.mark.parametrize("kind", products.KINDS)
def test_a_product_is_a_notebook_without_outputs_and_always_the_same(chapter, kind):
    notebook = products.product(chapter, kind)
    nbformat.validate(notebook)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    assert products.text(chapter, kind) == products.text(chapter, kind)


def test_an_unknown_kind_is_refused(chapter):
    with pytest.raises(BookError, match="no product 'video'; write one of reader, student"):
        products.product(chapter, "video")


@pytest.mark.parametrize("kind", ["reader", "student", "solution", "slides"])
def test_hidden_tests_and_wrong_answers_are_for_graders_alone(chapter, kind):
    text = products.text(chapter, kind)
    assert ".hide(" not in text
    assert ".refuse(" not in text


def test_students_get_stubs_and_what_a_right_answer_prints(chapter):
    notebook = products.product(chapter, "student")
    answers, points = _marked(notebook, "answer"), _marked(notebook, "points")
    assert len(answers) == len(points) >= 5
    assert all("return ..." in cell.source for cell in answers)
    assert "_solution" not in "".join(cell.source for cell in notebook.cells)
    assert points[0].source == "push.credit(anchor_gradient)"
    said = [
        cell.source for cell in notebook.cells if cell.source.startswith("A right answer prints")
    ]
    assert said[0].startswith(
        "A right answer prints `✓ 2.1 Which way does it push?: passed (2 points).`"
    )


def test_solutions_stand_in_the_stubs_place(chapter):
    answers = _marked(products.product(chapter, "solution"), "answer")
    assert "def anchor_gradient(a, p, n):" in answers[0].source
    assert answers[0].source.endswith("push.check(anchor_gradient)")
    assert "return 2 * (n - p)" in answers[0].source
    assert not any("return ..." in cell.source for cell in answers)


def test_hidden_tests_stand_where_nbgrader_looks_for_them(chapter):
    student = _marked(products.product(chapter, "student"), "points")
    graded = _marked(products.product(chapter, "graded"), "points")
    for open_cell, cell in zip(student, graded, strict=True):
        first, *_, last = cell.source.splitlines()
        assert first == "### BEGIN HIDDEN TESTS"
        assert last == open_cell.source
        assert ".hide(" in cell.source
        assert cell.metadata.nbgrader == open_cell.metadata.nbgrader
        # What nbgrader does to make the student's version.
        kept = cell.source[cell.source.index("### END HIDDEN TESTS\n") + 21 :]
        assert kept == open_cell.source


def test_cells_carry_the_metadata_of_nbgrader(chapter):
    notebook = products.product(chapter, "student")
    found = {
        cell.metadata.nbgrader.grade_id: cell.metadata.nbgrader
        for cell in notebook.cells
        if "nbgrader" in cell.metadata
    }
    assert found["2-1"] == {
        "cell_type": "code",
        "grade": False,
        "grade_id": "2-1",
        "locked": False,
        "schema_version": 3,
        "solution": True,
        "task": False,
    }
    assert found["2-1-tests"]["points"] == 2
    told = {name: (each["locked"], each["grade"]) for name, each in found.items()}
    assert (told["2-1-tests"], told["2-1-visible-0"]) == ((True, True), (True, False))


def test_slides_begin_at_headings(chapter):
    cells = products.product(chapter, "slides").cells
    kinds = [cell.metadata.slideshow.slide_type for cell in cells]
    assert kinds[0] == "slide"
    for cell, kind in zip(cells, kinds, strict=True):
        if cell.source.startswith("## "):
            assert kind == "slide"
        if cell.source.startswith("### "):
            assert kind == "subslide"
        if cell.source.startswith("import "):
            assert kind == "skip"
    assert 8 < kinds.count("slide") < 40


def test_a_notebook_to_download_has_no_hidden_tests(chapter):
    stored = pairing.made_from_script(chapter)
    shown = pages.without_hidden_tests(stored)
    assert ".hide(" not in nbformat.writes(shown)
    assert [cell.source for cell in shown.cells] == _sources(chapter, "reader")


def test_a_product_that_drifts_is_found(tmp_path, chapter):
    book = manifest.load()
    path = tmp_path / "chapters" / "products.json"
    path.parent.mkdir()
    small = manifest.Manifest(tmp_path / "book.toml", book.book, book.profiles, (chapter,))
    assert products.write_digests(small) == [path]
    assert products.write_digests(small) == []
    assert list(products.drifted(small)) == []
    known = json.loads(path.read_text())
    text = products.text(chapter, "student")
    assert known["02_identity"]["student"] == hashlib.sha256(text.encode()).hexdigest()
    known["02_identity"]["student"] = "0" * 64
    path.write_text(json.dumps(known))
    message = "student changed since products.json; run `facelab book sync 02_identity`"
    assert list(products.drifted(small)) == [("02_identity", message)]
    path.write_text("{")
    assert len(list(products.drifted(small))) == 1


def test_the_books_products_are_those_written_down():
    book = manifest.load()
    assert len(products.digests(book)) >= 10
    assert list(products.drifted(book)) == []


@pytest.mark.parametrize("each", manifest.load().chapters, ids=lambda each: each.slug)
def test_the_books_exercises_keep_the_rules(each):
    cells = pairing.read_script(each).cells
    assert list(exercise_rules.problems(each, cells)) == []
