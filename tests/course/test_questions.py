"""The real chapters as assignments: the solution runs in the sandbox at two students' values."""

import pytest

from facelab.book import manifest
from facelab.course import making, marking, sandbox, spreading
from facelab.course.limits import Limits
from facelab.course.roster import Student

CHAPTERS = tuple(chapter for chapter in manifest.load().chapters if chapter.graded)
STUDENTS = (Student("ada", "Ada"), Student("bob", "Bob"))


@pytest.fixture
def assignment(chapter, tmp_path):
    book, key = manifest.load(), "a key for tests"
    made, _ = making.make(
        book, chapter.slug, STUDENTS, tmp_path / "course", course_key=key, profile="smoke"
    )
    return made


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.slug)
def test_each_chapter_can_be_handed_out(chapter, assignment):
    assert assignment.questions
    assert chapter.assignment.ranges
    assert assignment.parameters["ada"] != assignment.parameters["bob"]
    text = assignment.release("ada").read_text()
    assert ".hide(" not in text
    assert "_solution" not in text
    assert text.count("reported_") >= len(assignment.questions)


@pytest.mark.slow
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.slug)
def test_a_chapters_solution_gets_all_points(chapter, assignment):
    """Each has its own right values, and these are worth nothing to the other."""
    book, ids, limits = manifest.load(), [each.id for each in STUDENTS], Limits()
    isolation = sandbox.choose("auto")
    values = marking.key_values(chapter, assignment, ids, limits, isolation)
    for question in assignment.questions:
        one, two = (values[each][question.name] for each in ids)
        assert abs(one - two) > 2 * question.tolerance, question.name
    import nbformat

    from facelab.book import products

    solution = products.product(chapter, "solution")
    for each in STUDENTS:
        notebook = making.notebook_for(assignment, solution, chapter, each)
        for cell in notebook.cells:
            for question in assignment.questions:
                if cell.source == f"reported_{question.name} = ...":
                    cell.source = f"reported_{question.name} = {question.value}"
        assignment.submitted(each.id).parent.mkdir(parents=True)
        nbformat.write(notebook, assignment.submitted(each.id))
    results = spreading.run_all(assignment, ids, limits, isolation)
    assert [result["outcome"] for result in results] == ["ok", "ok"]
    grades = marking.grade_all(book, assignment, ids, limits, isolation)
    for grade in grades:
        assert grade["total"] == grade["possible"]
        assert len(grade["exercises"]) >= 5
