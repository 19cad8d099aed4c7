import pytest

from facelab.book.exercises import Exercise, unanswered
from facelab.errors import BookError


def _doubles(answer):
    got = answer(3)
    assert got == 6, f"double(3) should be 6, yours gives {got}"


DOUBLE = Exercise("1.1 Double", _doubles, points=2)


def test_a_right_answer_passes_with_its_points(capsys):
    DOUBLE.check(lambda x: 2 * x)
    assert capsys.readouterr().out == "✓ 1.1 Double: passed (2 points).\n"


def test_a_wrong_answer_is_told_what_is_wrong():
    verdict = DOUBLE.examine(lambda x: x + 2)
    assert verdict.state == "wrong"
    assert verdict.message.startswith("1.1 Double: double(3) should be 6, yours gives 5")


def test_the_readers_own_exception_is_shown_and_does_not_stop_the_notebook(capsys):
    DOUBLE.check(lambda x: x / 0)
    assert "your code raised ZeroDivisionError" in capsys.readouterr().out


def test_stubs_are_unanswered_and_answers_are_not():
    def documented(x):
        """Doc."""
        return ...

    def with_given_lines(x):
        y = x + 1
        print(y)
        return ...

    def indexes(x):
        return x[..., 0]

    def fills(x):
        x[...] = 1
        return x

    assert unanswered(documented)
    assert unanswered(with_given_lines)
    assert unanswered(...)
    assert unanswered(None)
    assert not unanswered(indexes)
    assert not unanswered(fills)
    assert not unanswered(3.5)


def test_a_wrong_solution_cannot_be_published():
    with pytest.raises(BookError, match=r"double\(3\) should be 6, yours gives 4"):
        DOUBLE.prove(lambda x: 4)
