"""Hints that work was copied."""

import json

import nbformat
import pytest

from facelab.course import likeness

LONG = """\
def add(numbers):
    # {comment}
    so_far = 0
    for place, number in enumerate(numbers):
        if place > 0 and number != 0:
            so_far = so_far + number
        elif number == 0:
            so_far = so_far - 0
        else:
            so_far = number + so_far * 1
    return so_far
"""
KEYS = {"ada": 100.0, "bob": 200.0, "eve": 300.0}


@pytest.fixture
def hand_in(make_assignment):
    """Return the assignment and a function that hands in an answer and a reported number."""
    assignment, _ = make_assignment()

    def hand_in(student, answer=None, reported=None, outcome="ok"):
        notebook = nbformat.read(assignment.release(student), as_version=4)
        for cell in notebook.cells:
            if answer and cell.metadata.get("facelab") == {"exercise": "1.1", "part": "answer"}:
                cell.source = answer
        path = assignment.submitted(student)
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
        folder = assignment.run_folder(student)
        folder.mkdir(parents=True, exist_ok=True)
        result = {"outcome": outcome, "reported": {"total": reported}}
        (folder / "result.json").write_text(json.dumps(result))

    return assignment, hand_in


@pytest.fixture
def hints(hand_in, tiny_book):
    """Return a function that gives the hints: who, on what."""

    def hints(keys=KEYS):
        found = likeness.hints(
            hand_in[0],
            tiny_book.chapter("01_sums"),
            key_value=lambda student, name: keys[student],
            read=lambda path: nbformat.read(path, as_version=4),
        )
        return [(each["kind"], each["about"], each["students"]) for each in found]

    return hints


def test_anothers_number_is_a_hint(hand_in, hints):
    hand_in[1]("ada", reported=200.3)
    hand_in[1]("bob", reported=200)
    assert hints() == [("value", "total", ["ada", "bob"])]


@pytest.mark.parametrize("reported", [100.4, 150, None, "200", True, float("nan"), 10**400])
def test_ones_own_number_or_nobodys_is_none(hand_in, hints, reported):
    hand_in[1]("ada", reported=reported)
    hand_in[1]("bob", reported=200)
    assert hints() == []


def test_numbers_whose_bands_meet_are_none(hand_in, hints):
    hand_in[1]("ada", reported=100.9)
    hand_in[1]("bob", reported=100.9)
    assert hints({"ada": 100.0, "bob": 100.9}) == []


def test_the_same_program_is_a_hint_whatever_its_comments(hand_in, hints):
    hand_in[1]("ada", LONG.format(comment="mine"))
    hand_in[1]("bob", LONG.format(comment="my own") + '\n\n"""Text."""\nadding.check(add)\n')
    hand_in[1]("eve", LONG.format(comment="").replace("so_far", "partial"))
    assert hints() == [("program", "1.1", ["ada", "bob"])]


def test_short_or_broken_programs_and_stubs_are_none(hand_in, hints):
    for student in ("ada", "bob"):
        hand_in[1](student, "def add(numbers):\n    return sum(numbers)")
    assert hints() == []
    for student in ("ada", "bob"):
        hand_in[1](student, LONG + "(")
    assert hints() == []
    for student in ("ada", "bob"):
        hand_in[1](student)
    assert hints() == []


def test_the_published_solution_under_other_names_is_none(hand_in, hints, tiny_book):
    script = tiny_book.chapter("01_sums").source
    published = LONG.replace("def add(", "def add_solution(").replace("    # {comment}\n", "")
    old = script.read_text().partition("def add_solution(numbers):")[2].partition("\n\n\n")[0]
    text = script.read_text().replace(f"def add_solution(numbers):{old}", published.rstrip())
    script.write_text(text)
    for student in ("ada", "bob"):
        hand_in[1](student, LONG.replace("so_far", "found").replace("place", "i"))
    assert hints() == []


def test_what_many_share_is_none(hand_in, hints, monkeypatch):
    for student in ("ada", "bob", "eve"):
        hand_in[1](student, LONG)
    assert hints() == [("program", "1.1", ["ada", "bob", "eve"])]
    monkeypatch.setattr(likeness, "FEW", 2)
    assert hints() == []


def test_missing_submissions_are_left_out_and_names_and_reasons_are_written(hand_in, tiny_book):
    assignment, submit = hand_in
    submit("ada", reported=200)
    submit("bob", reported=200)
    submit("eve", reported=200, outcome="missing")
    found = likeness.hints(
        assignment,
        tiny_book.chapter("01_sums"),
        key_value=lambda student, name: KEYS[student],
        read=lambda path: nbformat.read(path, as_version=4),
    )
    path = likeness.write(assignment, found)
    assert path == assignment.folder / "likeness.json"
    written = json.loads(path.read_text())
    assert "no proof" in written["note"]
    assert written["hints"] == [
        {
            "kind": "value",
            "about": "total",
            "students": ["ada", "bob"],
            "reason": (
                "reported 200 for total: off at their own parameters, within the tolerance of "
                "0.5 at those of bob"
            ),
            "names": ["Ada Lovelace", "Bob"],
        }
    ]
