"""Each chapter's exercises, proved: with the chapter's imports and parameters alone, as graded."""

import contextlib
import io

import pytest

from facelab.book import exercise_rules, manifest, pairing
from facelab.book.exercise_cells import parts
from facelab.book.exercises import Exercise

GRADED = [chapter for chapter in manifest.load().chapters if chapter.graded]


@pytest.fixture(params=GRADED, ids=lambda chapter: chapter.slug)
def proved(request):
    """The exercises of a graded chapter after all their cells ran, with what each printed."""
    cells = pairing.read_script(request.param).cells
    names = {"__name__": "chapter"}
    for source in exercise_rules.imports(cells):
        exec(source, names)
    exec(next(cell.source for cell in cells if "parameters" in pairing.tags(cell)), names)
    printed = {}
    for each in parts(cells):
        with contextlib.redirect_stdout(io.StringIO()) as text:
            for _, _, source in each.cells:
                exec(source, names)
        printed[each.number] = (names[each.variable], text.getvalue().splitlines())
    return printed


def test_stubs_fail_wrong_answers_are_told_why_and_solutions_pass(proved):
    assert len(proved) >= 5
    for number, (exercise, lines) in proved.items():
        assert isinstance(exercise, Exercise)
        worth = f"{exercise.points} point" + ("" if exercise.points == 1 else "s")
        assert lines == [
            f"○ {exercise.title}: not answered yet.",
            f"✓ {exercise.title}: passed ({worth}).",
        ]
        assert exercise.number == number
        assert len(set(exercise.refused)) >= 2
        assert exercise.hidden


BLANK = (lambda *_: None, lambda *_: 0.123, lambda *given: given[0])


def test_hidden_tests_can_fail(proved):
    """They are not passed by answers that return nothing, a constant, or what they were given."""
    for exercise, _ in proved.values():
        for answer in BLANK:
            assert exercise.earned(True, _hold(exercise, answer)) < exercise.points


def _hold(exercise, answer) -> list[bool]:
    return [verdict.state == "right" for verdict in exercise.examine_hidden(answer)]
