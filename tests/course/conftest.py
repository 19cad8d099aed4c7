"""A tiny course: one graded chapter of two exercises, and three students."""

from pathlib import Path

import pytest

from facelab.book import manifest
from facelab.course import making
from facelab.course.roster import Student

KEY = "a key for tests"
MANIFEST = """\
[book]
title = "A tiny book"
authors = ["Somebody"]
copyright = "2026"
licence = "Apache-2.0"
bibliography = "chapters/references.bib"

[profiles.smoke]
purpose = "for tests"
budget_s = 60

[[chapter]]
slug = "01_sums"
title = "Sums"
module = "facelab.book"
minutes = 5
graded = true

[chapter.parameters.smoke]
count = 10

[chapter.assignment.start]
from = 1
to = 1000

[[chapter.question]]
name = "total"
text = "What is the sum of your numbers?"
value = "total"
tolerance = 0.5
points = 4
"""
CHAPTER = '''\
# %% [markdown]
# # Sums

# %% tags=["parameters"]
count = 3  # how many numbers
start = 0  # the first one

# %%
import math

from facelab.book.exercises import Exercise

# %% [markdown]
# ## Add
#
# ### Exercise 1.1: the sum
#
# Add the numbers. *(easy, 3 minutes, 10 points)*
#
# <details><summary>Hint 1</summary>
#
# A loop.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Python has a word for it.
#
# </details>
# <details><summary>Hint 3</summary>
#
# It begins with s.
#
# </details>


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _adds(answer):
    got = answer([1, 2, 3])
    assert isinstance(got, int), f"expected a whole number, got {got!r}"
    assert got != 3, "3 is how many they are; add them"
    assert got == 6, f"expected 1 + 2 + 3 = 6, got {got}"


adding = Exercise("1.1 The sum", _adds, 3, 10, "easy")


# %% tags=["exercise"]
def add(numbers):
    """The sum."""
    return ...  # your line


adding.check(add)


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@adding.hide("no numbers at all")
def _adds_nothing(answer):
    assert answer([]) == 0, "SECRET empty"


@adding.hide("other numbers")
def _adds_others(answer):
    assert answer([3133731337, 5]) == 3133731342, "SECRET others"


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
adding.refuse(len, "3 is how many they are")
adding.refuse(lambda numbers: max(numbers), "got 3")


# %% tags=["solution", "hide-input"] jupyter={"source_hidden": true}
def add_solution(numbers):
    """One word."""
    return sum(numbers)


adding.prove(add_solution)

# %% [markdown]
# ### Exercise 1.2: the root
#
# The root of a sum. *(medium, 5 minutes, 5 points)*
#
# <details><summary>Hint 1</summary>
#
# `math` has it.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Add first.
#
# </details>
# <details><summary>Hint 3</summary>
#
# `math.sqrt(add(...))`
#
# </details>


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _roots(answer):
    got = answer([4, 5])
    assert isinstance(got, float), f"expected a number, got {got!r}"
    assert got != 9, "9 is the sum; take its root"
    assert math.isclose(got, 3), f"expected 3, got {got}"


rooting = Exercise("1.2 The root", _roots, points=5)


# %% tags=["exercise"]
def root(numbers):
    """The root of the sum."""
    return ...  # your line


rooting.check(root)


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@rooting.hide("a larger sum")
def _roots_another(answer):
    assert math.isclose(answer([40000, 900]), 40900**0.5), "SECRET root"


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
rooting.refuse(lambda numbers: float(sum(numbers)), "9 is the sum")
rooting.refuse(lambda numbers: sum(numbers) / 2, "got 4.5")


# %% tags=["solution", "hide-input"] jupyter={"source_hidden": true}
def root_solution(numbers):
    """Half a power."""
    return sum(numbers) ** 0.5


rooting.prove(root_solution)

# %% [markdown]
# ## All of them

# %%
numbers = list(range(start, start + count))
total = sum(numbers)
'''
STUDENTS = (
    Student("ada", "Ada Lovelace", "ada@example.org", "A"),
    Student("bob", "Bob"),
    Student("eve", "Eve"),
)


def tiny_book_at(folder: Path) -> manifest.Manifest:
    """Write a book with one graded chapter, 01_sums."""
    (folder / "chapters").mkdir(parents=True)
    (folder / "chapters" / "references.bib").write_text("")
    (folder / "chapters" / "01_sums.py").write_text(CHAPTER)
    (folder / "book.toml").write_text(MANIFEST)
    return manifest.load(folder / "book.toml")


@pytest.fixture(scope="session")
def write_tiny_book():
    """Return the function that writes that book."""
    return tiny_book_at


@pytest.fixture
def tiny_book(tmp_path):
    """The manifest of that book."""
    return tiny_book_at(tmp_path / "book")


@pytest.fixture
def make_assignment(tiny_book, tmp_path):
    """Return a function that makes an assignment of the chapter for some students."""

    def make(students=STUDENTS, folder: Path | None = None, **options):
        options = {"course_key": KEY, "profile": "smoke", **options}
        return making.make(tiny_book, "01_sums", students, folder or tmp_path / "course", **options)

    return make
