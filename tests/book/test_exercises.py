import pytest
import torch

from facelab.book.exercises import Exercise, read_number, read_tensor, unanswered
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


def _hidden(title="1.1 Double", points=10):
    exercise = Exercise(title, _doubles, points=points)

    @exercise.hide("another number")
    def _another(answer):
        got = answer(50)
        assert got == 100, f"the secret 50 gives {got}"

    exercise.hide("none at all")(lambda answer: answer(0) == 0 or 1 / 0)
    return exercise


def test_hidden_tests_say_what_they_are_about_and_nothing_else():
    told = _hidden().examine_hidden(lambda x: 6)
    assert [one.state for one in told] == ["wrong", "wrong"]
    assert told[0].message == "1.1 Double: does not hold for another number."
    assert "secret" not in "".join(one.message for one in told)
    told = _hidden().examine_hidden(lambda x: 2 * x)
    assert [one.state for one in told] == ["right", "right"]


@pytest.mark.parametrize(
    ("visible", "hidden", "points"),
    [
        (True, [True, True], 10),
        (True, [True, False], 8),
        (True, [False, False], 6),
        (True, [], 10),
        (False, [True, True], 0),
    ],
)
def test_points_are_partly_for_the_visible_test(visible, hidden, points):
    assert _hidden().earned(visible, hidden) == points


def test_a_solution_that_fails_a_hidden_test_cannot_be_published():
    exercise = _hidden()
    exercise.prove(lambda x: 2 * x)
    with pytest.raises(BookError, match=r"hidden test on another number.*the secret 50 gives 6"):
        exercise.prove(lambda x: 6)


def test_a_wrong_answer_must_be_told_what_is_wrong():
    exercise = _hidden()
    exercise.refuse(lambda x: x + 2, "yours gives 5")
    assert exercise.refused == ["yours gives 5"]
    with pytest.raises(BookError, match="taken for right: too large"):
        exercise.refuse(lambda x: 6, "too large")
    with pytest.raises(BookError, match="taken for unanswered"):
        exercise.refuse(lambda x: ..., "too large")
    with pytest.raises(BookError, match=r"should be told 'too large', it is told: 1.1 Doub"):
        exercise.refuse(lambda x: x, "too large")


def test_the_number_and_the_difficulty_are_checked():
    assert _hidden("12.3 Double").number == "12.3"
    with pytest.raises(BookError, match="has no number"):
        _ = _hidden("Double").number
    with pytest.raises(BookError, match="expected easy, medium, hard, got 'simple'"):
        Exercise("1.1 Double", _doubles, difficulty="simple")


def test_what_an_answer_gives_is_read_or_said():
    assert read_number(torch.tensor([2.5])) == 2.5
    for got in (None, "x", torch.zeros(2)):
        with pytest.raises(AssertionError, match="expected one number, got"):
            read_number(got)
    floats = read_tensor(torch.tensor([1, 2], requires_grad=False), (2,))
    assert floats.dtype == torch.float32
    with pytest.raises(AssertionError, match="expected a tensor, got 3"):
        read_tensor(3, (2,))
    with pytest.raises(AssertionError, match=r"expected the shape \(2,\), got \(3,\)"):
        read_tensor(torch.zeros(3), (2,))
