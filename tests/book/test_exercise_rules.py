"""The rules on a graded chapter's exercises, each broken once in a chapter that keeps them."""

import jupytext
import pytest

from facelab.book import exercise_rules, manifest, pairing
from facelab.book.exercise_cells import parts
from facelab.errors import BookError

ONE = """
# %% [markdown]
# ### Exercise 1.N: double
#
# Double it. *(easy, 3 minutes, 2 points)*
#
# <details><summary>Hint 1</summary></details>
# <details><summary>Hint 2</summary></details>
# <details><summary>Hint 3</summary></details>

# %% tags=["exercise-test"]
def _N(answer):
    got = answer(3)
    assert math.isclose(got, 6), f"expected 6, got {got}"

eN = Exercise("1.N Double", _N, 3, points=2, difficulty="easy")

# %% tags=["exercise"]
def doubleN(x):
    return ...

eN.check(doubleN)

# %% tags=["hidden-test"]
@eN.hide("another")
def _hN(answer):
    assert answer(4) == 8

# %% tags=["wrong-answers"]
eN.refuse(lambda x: x, "got 3")
eN.refuse(lambda x: x * x, "got 9")

# %% tags=["solution"]
def doubleN_solution(x):
    return 2 * x

eN.prove(doubleN_solution)
"""
GOOD = """
# %% tags=["parameters"]
seed = 0

# %%
import math

from facelab.book.exercises import Exercise

state = 5
""" + "".join(ONE.replace("N", str(number)) for number in range(1, 6))
ENTRY = "graded = true\n"


def _problems(make_book, script=GOOD, entry=ENTRY):
    book = make_book({"01_sums": script}, {"01_sums": entry}).load()
    chapter = book.chapter("01_sums")
    return [
        message
        for _, message in exercise_rules.problems(chapter, pairing.read_script(chapter).cells)
    ]


def test_a_chapter_that_keeps_the_rules_has_no_problem(make_book):
    assert _problems(make_book) == []


def test_a_chapter_that_is_not_graded_may_have_any_exercises(make_book):
    assert _problems(make_book, GOOD.replace("Hint 3", "Hint"), "") == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (ONE.replace("N", "5"), "", "4 exercises, expected 5 or more in a graded chapter"),
        ('"1.2 Double"', '"1.7 Double"', "'1.7 Double' is exercise 1.2 by its place"),
        ('difficulty="easy")\n\n# %% tags=["exercise"]\ndef double2', 'difficulty="hard")\n\n'
         '# %% tags=["exercise"]\ndef double2', "the text doesn't say *(hard, 3 minutes"),
        ("### Exercise 1.3:", "### Task 1.3:", "expected '### Exercise 1.3: ...' above it"),
        ("<summary>Hint 3</summary>", "<summary>Hint</summary>", "2 hints, expected Hint 1, 2"),
        ('eN.refuse(lambda x: x * x, "got 9")'.replace("N", "4"), "", "1 calls of e4.refuse"),
        ("e2.prove(double2_solution)", "", "0 calls of e2.prove, expected 1"),
        ('# %% tags=["hidden-test"]\n@e3', '# %%\n@e3', "no cell has the tag hidden-test; add it"),
        ("def double2_solution", "def twice", "expected double2_solution; rename it"),
        ("assert answer(4) == 8", "assert answer(state) == 10", "takes 'state' from the chapter"),
        ('"easy"', '"simple"', "difficulty: expected one of easy, medium, hard"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_named(make_book, old, new, message):
    script = GOOD.replace(old, new, 1)
    assert script != GOOD
    found = _problems(make_book, script)
    assert any(message in each for each in found), found


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "graded = true\n[chapter.assignment.start]\nfrom = 1\nto = 9\n",
            "start, which is no param",
        ),
        (
            'graded = true\n[chapter.assignment.seed]\nchoices = ["a", "b"]\n',
            "seed: expected a whole",
        ),
        ("[chapter.assignment.seed]\nfrom = 1\nto = 9\n", "write graded = true there, or drop it"),
    ],
)
def test_an_assignment_varies_what_the_chapter_declares(make_book, entry, message):
    found = _problems(make_book, entry=entry)
    assert [message in each for each in found] == [True], found


def test_a_chapter_may_not_lean_on_a_solution(make_book):
    found = _problems(make_book, GOOD + "\n# %%\nprint(double2_solution(4))\n")
    assert found == ["calls double2_solution, which students don't have; call the library instead"]


def test_parameters_and_imports_may_be_used(make_book):
    assert (
        _problems(make_book, GOOD.replace("answer(4) == 8", "answer(seed) == math.floor(0)")) == []
    )


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ('# %% tags=["exercise"]\ndef f(x):\n    return ...\n', "cell 1: no cell above declares"),
        (
            '# %% tags=["exercise-test"]\ne = Exercise(TITLE, f)\n',
            "e: write title, minutes, points",
        ),
        (
            '# %% tags=["exercise-test"]\ne = Exercise("Sums", f)\n',
            "expected a number and words, got",
        ),
    ],
)
def test_cells_that_declare_nothing_readable_are_named(script, message):
    with pytest.raises(BookError, match=message):
        parts(jupytext.reads(script, fmt="py:percent").cells)


def test_an_exercises_cells_are_told_apart():
    found = parts(jupytext.reads(GOOD, fmt="py:percent").cells)
    assert [each.number for each in found] == ["1.1", "1.2", "1.3", "1.4", "1.5"]
    second = found[1]
    assert (second.variable, second.answer, second.minutes, second.points) == (
        "e2",
        "double2",
        3,
        2,
    )
    assert second.difficulty == "easy"
    assert [tag for _, tag, _ in second.cells] == [
        "exercise-test", "exercise", "hidden-test", "wrong-answers", "solution",
    ]  # fmt: skip
    assert second.filled_in() == "def double2(x):\n    return 2 * x\n\ne2.check(double2)"


def test_every_chapter_but_the_index_is_graded():
    graded = {each.slug: each.graded for each in manifest.load().chapters}
    assert graded.pop("index") is False
    assert all(graded.values())
