import inspect

import pytest

from facelab import errors

NAMED = [value for _, value in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize("kind", NAMED, ids=lambda kind: kind.__name__)
def test_every_error_is_a_value_error_that_a_runner_finds_by_name(kind):
    assert issubclass(kind, ValueError)
    assert errors.by_name(kind.__name__) is kind
    assert kind.__doc__


def test_other_names_are_not_user_errors():
    assert errors.by_name("ZeroDivisionError") is None
    assert errors.by_name("by_name") is None


def test_a_notebook_shows_one_line():
    lines = errors.ImageError("a.jpg is empty")._render_traceback_()
    assert lines == ["ImageError: a.jpg is empty"]
