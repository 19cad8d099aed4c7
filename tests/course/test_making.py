import nbformat
import pytest

from facelab.course import making, record
from facelab.course.roster import Student
from facelab.errors import BookError


def _bytes(assignment):
    return {each.id: assignment.release(each.id).read_bytes() for each in assignment.students}


def _notebook(assignment, student):
    return nbformat.read(assignment.release(student), as_version=4)


def test_the_same_key_and_roster_give_the_same_bytes(make_assignment, tmp_path):
    first, written = make_assignment(folder=tmp_path / "one")
    second, _ = make_assignment(folder=tmp_path / "two")
    assert len(written) == 3
    assert _bytes(first) == _bytes(second)
    other, _ = make_assignment(folder=tmp_path / "three", course_key="another key")
    assert _bytes(first) != _bytes(other)


def test_a_student_added_later_changes_nobody_elses(make_assignment):
    first, _ = make_assignment()
    before = _bytes(first)
    more = (Student("zoe", "Zoe"), *first.students)
    second, written = make_assignment(more)
    assert [path.parent.name for path in written] == ["zoe"]
    assert {name: _bytes(second)[name] for name in before} == before
    assert second.parameters["ada"] == first.parameters["ada"]


def test_who_left_the_roster_stays_in_the_record(make_assignment):
    first, _ = make_assignment()
    second, written = make_assignment(first.students[:1])
    assert written == []
    assert {each.id for each in second.students} == {"ada", "bob", "eve"}
    assert record.read(second.folder) == second


def test_each_has_values_of_their_own_in_the_parameters_cell(make_assignment):
    assignment, _ = make_assignment()
    drawn = {student: values["start"] for student, values in assignment.parameters.items()}
    assert len(set(drawn.values())) == 3
    assert all(1 <= value <= 1000 for value in drawn.values())
    cells = [
        c for c in _notebook(assignment, "bob").cells if "parameters" in c.metadata.get("tags", [])
    ]
    assert cells[0].source == (
        f"count = 10  # how many numbers\nstart = {drawn['bob']}  # the first one"
    )


def test_the_cover_says_whose_it_is_until_when_and_for_how_many_points(make_assignment):
    assignment, _ = make_assignment(due="2027-01-31T18:00")
    cover = _notebook(assignment, "ada").cells[0]
    assert cover.metadata.facelab == {"part": "cover"}
    for text in ("Ada Lovelace (ada)", "2027-01-31 18:00", "| **Points** | 19 |", "`start = "):
        assert text in cover.source


def test_no_solution_and_no_hidden_test_is_handed_out(make_assignment):
    assignment, _ = make_assignment()
    text = assignment.release("ada").read_text()
    assert "SECRET" not in text
    assert "sum(numbers) ** 0.5" not in text
    assert "refuse" not in text
    assert "return ...  # your line" in text


def test_the_questions_come_last_and_can_be_found(make_assignment):
    assignment, _ = make_assignment()
    last = _notebook(assignment, "ada").cells[-1]
    assert last.source == "reported_total = ..."
    assert last.metadata.facelab == {"question": "total", "part": "answer"}
    assert last.metadata.nbgrader["grade_id"] == "reported-total"
    assert last.metadata.nbgrader["points"] == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"course_key": "short"}, "the course key has 5 letters; use 8 or more"),
        ({"due": "tomorrow"}, "due: expected a date, got 'tomorrow'"),
        ({"profile": "quick"}, "no profile 'quick'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(
    make_assignment, tmp_path, options, message
):
    with pytest.raises(BookError, match=message):
        make_assignment(**options)
    assert not (tmp_path / "course").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"course_key": "another key"}, "was made with another course key"),
        ({"title": "Other"}, "the title isn't that with which"),
        ({"due": "2027-01-01"}, "the due date isn't that with which"),
    ],
)
def test_a_folder_keeps_its_assignment(make_assignment, options, message):
    assignment, _ = make_assignment()
    before = _bytes(assignment)
    with pytest.raises(BookError, match=message):
        make_assignment(**options)
    assert _bytes(assignment) == before


def test_a_changed_chapter_is_only_handed_out_when_asked_for(make_assignment, tiny_book):
    assignment, _ = make_assignment()
    before = _bytes(assignment)
    source = tiny_book.chapter("01_sums").source
    source.write_text(source.read_text().replace("# # Sums", "# # Sums anew"))
    with pytest.raises(BookError, match="the chapter isn't that with which"):
        make_assignment()
    assert _bytes(assignment) == before
    _, written = make_assignment(renew=True)
    assert len(written) == 3


def test_a_chapter_without_graded_exercises_is_refused(tiny_book, tmp_path):
    path = tiny_book.path
    path.write_text(path.read_text().replace("graded = true\n", ""))
    from facelab.book import manifest

    with pytest.raises(BookError, match="has no graded exercises; choose one of: none"):
        making.make(
            manifest.load(path), "01_sums", [], tmp_path / "course", course_key="a key for tests"
        )


@pytest.mark.parametrize(
    "text", ["", "{}", '{"version": 1, "students": []}', '{"version": 1, "x": 2}']
)
def test_a_damaged_record_is_named(make_assignment, text):
    assignment, _ = make_assignment()
    (assignment.folder / record.FILE).write_text(text)
    with pytest.raises(BookError, match=r"assignment.json is damaged"):
        record.read(assignment.folder)


def test_a_folder_without_a_record_says_what_to_do(tmp_path):
    with pytest.raises(BookError, match="make the assignment with `facelab assign make`"):
        record.read(tmp_path)


def test_the_key_is_nowhere_in_the_folder(make_assignment):
    assignment, _ = make_assignment()
    for path in assignment.folder.rglob("*"):
        assert path.is_dir() or b"a key for tests" not in path.read_bytes()
