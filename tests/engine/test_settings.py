"""Settings that can't be are refused with the remedy."""

import pytest

from facelab.engine.settings import Evaluation, Settings
from facelab.errors import ParameterError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "a run without an end was asked for; give steps, minutes or both"),
        ({"steps": -1}, "steps is -1; give 0 or more"),
        ({"minutes": 0.0}, "minutes is 0.0; give a number above 0"),
        ({"minutes": float("nan")}, "minutes is nan; give a number above 0"),
        ({"steps": 1, "batch": 0}, "batch is 0; give 1 or more"),
        ({"steps": 1, "precision": "fp8"}, "no precision 'fp8'; choose from: fp32, bf16"),
    ],
)
def test_settings(settings, message):
    with pytest.raises(ParameterError, match=message):
        Settings(**settings)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"every": 0}, "every is 0"),
        ({"every": 1, "patience": 0, "watch": "a"}, "patience is 0"),
        ({"every": 1, "patience": 2}, "patience needs a number to watch"),
    ],
)
def test_evaluations(more, message):
    with pytest.raises(ParameterError, match=message):
        Evaluation(lambda networks: {}, **more)


def test_better_is_lower_or_higher_and_never_nan():
    lower = Evaluation(lambda networks: {}, 1)
    higher = Evaluation(lambda networks: {}, 1, lower_is_better=False)
    assert lower.is_better(3.0, None)
    assert lower.is_better(2.0, 3.0)
    assert not lower.is_better(3.0, 3.0)
    assert higher.is_better(4.0, 3.0)
    assert not higher.is_better(2.0, 3.0)
    assert not any(e.is_better(float("nan"), None) for e in (lower, higher))
