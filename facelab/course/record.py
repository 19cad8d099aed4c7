"""An assignment's folder and its record, assignment.json: who got what, from which chapter.

    assignment.json          the instructor's record
    release/ID/SLUG.ipynb    what each student gets
    submitted/ID/SLUG.ipynb  what came back
    runs/ID/                 by `facelab assign run`: executed.ipynb, result.json
    runs/keys/HASH/          the solution at one student's parameters
    grades/ID.json           by `facelab assign grade`
    feedback/ID.html, gradebook*.csv    by `facelab assign report`

The course key isn't in it, only a fingerprint that tells another key.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from facelab.book.manifest import Value
from facelab.book.pairing import replace_text
from facelab.book.ranges import Question
from facelab.course.roster import Student
from facelab.errors import BookError

FILE = "assignment.json"
VERSION = 1


@dataclass(frozen=True)
class Assignment:
    """One assignment: `parameters` are those of each student, complete, by student id.

    `due` is a date or a date with a time, as in ISO 8601; `sha256` is that of the chapter's
    script, `key_fingerprint` tells the course key from others.
    """

    folder: Path
    chapter: str
    title: str
    profile: str
    due: str | None
    students: tuple[Student, ...]
    parameters: Mapping[str, Mapping[str, Value]]
    questions: tuple[Question, ...]
    sha256: str
    key_fingerprint: str

    def student(self, student_id: str) -> Student:
        """Return a student by id; raises `BookError` for one who isn't on the roster."""
        for student in self.students:
            if student.id == student_id:
                return student
        raise BookError(
            f"no student {student_id!r} in {self.folder / FILE}; make the assignment for them"
        )

    def release(self, student_id: str) -> Path:
        """Where a student's notebook lies that is handed out."""
        return self.folder / "release" / student_id / f"{self.chapter}.ipynb"

    def submitted(self, student_id: str) -> Path:
        """Where a student's submission is expected."""
        return self.folder / "submitted" / student_id / f"{self.chapter}.ipynb"

    def run_folder(self, student_id: str) -> Path:
        """Where the run of a submission is kept."""
        return self.folder / "runs" / student_id

    def grade_file(self, student_id: str) -> Path:
        """Where a submission's grade is kept."""
        return self.folder / "grades" / f"{student_id}.json"

    def feedback_file(self, student_id: str) -> Path:
        """Where a student's feedback lies."""
        return self.folder / "feedback" / f"{student_id}.html"


def fingerprint(course_key: str) -> str:
    """Return what tells one course key from another and doesn't give it away."""
    salted = hashlib.scrypt(course_key.encode(), salt=b"facelab course", n=2**14, r=8, p=1)
    return salted.hex()[:16]


def write(assignment: Assignment) -> None:
    """Write assignment.json beside and rename it; raises `BookError`."""
    data = {"version": VERSION, **dataclasses.asdict(assignment)}
    del data["folder"]
    text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    path = assignment.folder / FILE
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        replace_text(path, text)


def read(folder: Path) -> Assignment:
    """Return the assignment of a folder; raises `BookError` for none, or a damaged one."""
    path = Path(folder).resolve() / FILE
    if not path.is_file():
        raise BookError(f"{path} is missing; make the assignment with `facelab assign make`")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("version") != VERSION:
            raise BookError(f"{path} is of another version of facelab; use that, or make it anew")
        data["students"] = tuple(Student(**each) for each in data["students"])
        data["questions"] = tuple(Question(**each) for each in data["questions"])
        return Assignment(folder=path.parent, **data)
    except BookError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BookError(f"{path} is damaged ({error}); restore it, or make it anew") from None
