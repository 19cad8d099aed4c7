import math

import pytest

from facelab.book import plans
from facelab.errors import BookError, ParameterError

FIRST = '# %% tags=["parameters"]\nfaces = 4  # how many\nphoto = ""\n\n# %%\nprint(faces)\n'
SECOND = '# %% tags=["parameters"]\nfaces = 0.5  # what share\n\n# %%\nprint(faces)\n'
THIRD = "# %%\nprint(1)\n"


@pytest.fixture
def book(make_book):
    entries = {
        "01_a": "budget_s = {smoke = 5}\n\n[chapter.parameters]\nsmoke = {faces = 2}\n",
    }
    tiny = make_book({"01_a": FIRST, "02_b": SECOND, "03_c": THIRD}, entries)
    tiny.sync()
    return tiny


def values(made) -> dict[str, dict]:
    return {plan.chapter.slug: dict(plan.parameters) for plan in made}


def test_chapters_get_the_profile_then_the_overrides_that_they_declare(book):
    made = plans.make(book.load(), None, "smoke", {"faces": "1"})
    assert values(made) == {"01_a": {"faces": 1}, "02_b": {"faces": 1.0}, "03_c": {}}
    made = plans.make(book.load(), ["02_b", "01_a"], "smoke", {"photo": "a.jpg"})
    assert values(made) == {"01_a": {"faces": 2, "photo": "a.jpg"}, "02_b": {}}


def test_an_override_that_no_chosen_chapter_declares(book):
    with pytest.raises(ParameterError, match=r"no chosen chapter has a parameter 'photo'.* faces"):
        plans.make(book.load(), ["02_b", "03_c"], "smoke", {"photo": "a.jpg"})
    with pytest.raises(ParameterError, match="02_b has no parameter 'photo'"):
        plans.make(book.load(), ["02_b"], "smoke", {"photo": "a.jpg"})
    with pytest.raises(ParameterError, match="expected a whole number, got 'many'"):
        plans.make(book.load(), None, "smoke", {"faces": "many"})


def test_names_that_the_book_does_not_have(book):
    with pytest.raises(BookError, match="no chapter '04_d'"):
        plans.make(book.load(), ["04_d"], "smoke", {})
    with pytest.raises(BookError, match="no profile 'fast'"):
        plans.make(book.load(), None, "fast", {})


def test_a_pair_out_of_step_tells_the_command(book):
    book.edit("02_b", "print(faces)", "print(2 * faces)")
    with pytest.raises(BookError, match=r"02_b\.py: .* run `facelab book sync 02_b`"):
        plans.make(book.load(), None, "smoke", {})
    plans.make(book.load(), ["01_a"], "smoke", {})  # the others may run
    book.notebook("01_a").unlink()
    with pytest.raises(BookError, match="`facelab book sync 01_a`"):
        plans.make(book.load(), ["01_a"], "smoke", {})


def test_budgets(book, monkeypatch):
    def budgets(**options) -> list[float]:
        return [each.budget_s for each in plans.make(book.load(), None, "smoke", {}, **options)]

    assert budgets() == [5, 60, 60]
    assert budgets(budget=False) == [math.inf] * 3
    monkeypatch.setenv(plans.BUDGET_SCALE, "1.5")
    assert budgets() == [7.5, 90, 90]


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "twice", ""])
def test_a_scale_that_is_none(text, monkeypatch):
    monkeypatch.setenv(plans.BUDGET_SCALE, text)
    with pytest.raises(BookError, match=f"expected a number above 0 such as 2, got '{text}'"):
        plans.budget_scale()
