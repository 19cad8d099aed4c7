import pytest

from facelab.course import roster
from facelab.course.roster import Student
from facelab.errors import BookError


def _read(tmp_path, text, **options):
    path = tmp_path / "students.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8-sig"))
    return roster.read(path)


def test_rows_are_students_in_their_order(tmp_path):
    found = _read(tmp_path, "id,name,email,section\nb2,Bob,b@x.org,2\na1, Ada Ü ,,\n")
    assert found == (Student("b2", "Bob", "b@x.org", "2"), Student("a1", "Ada Ü", "", ""))


@pytest.mark.parametrize(
    "text",
    [
        "First name,Surname,ID number,Email address\nAda,Lovelace,a1,a@x.org\n",
        "Student,SIS User ID,SIS Login ID,Section\nAda Lovelace,a1,a@x.org,\n",
    ],
)
def test_exports_of_common_systems_are_read(tmp_path, text):
    assert _read(tmp_path, text) == (Student("a1", "Ada Lovelace", "a@x.org", ""),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no student"),
        ("id,name\n", "has no student"),
        ("name\nAda\n", r"students.csv:2: no column id; the first line has: name"),
        ("id,name\na1,Ada\nA1,Eve\n", r":3: the id 'A1' is there twice"),
        ("id,name\n../a,Ada\n", r":2: the id '../a' can't name a file"),
        ("id,name\n,Ada\n", r":2: the id '' can't name a file"),
        ("id,name\nkeys,Ada\n", r"the id 'keys' can't name a file"),
        ("id,name\nNUL,Ada\n", r"the id 'NUL' can't name a file"),
        (b"id,name\na1,\xff\n", "expected CSV in UTF-8"),
        ('id,name\na1,"Ada\n', "expected CSV in UTF-8"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(BookError, match=message):
        _read(tmp_path, text)


def test_a_missing_roster_says_what_to_give(tmp_path):
    with pytest.raises(BookError, match="is missing; give a CSV file with the columns id,name"):
        roster.read(tmp_path / "none.csv")
