"""Both signs of equation 3 on points: one comes to rest at log N, the other never does."""

import math

import pytest
import torch

from facelab.errors import ParameterError
from facelab.methods.d2ae import readings


@pytest.fixture(scope="module")
def learned():
    return {name: readings.learn(name, 500) for name in ("uniform", "as-printed")}


def test_points_are_a_persons_place_and_the_rest(random):
    x, people, rest = readings.points(4000, random)
    assert x.shape == (4000, readings.PEOPLE + readings.REST)
    torch.testing.assert_close(x[:, readings.PEOPLE :], rest)
    place = x[people == 3].mean(0)
    assert place[3].item() == pytest.approx(readings.APART, abs=0.05)
    assert place[[0, 1, 2, *range(4, 12)]].abs().max() < 0.2
    assert rest.std().item() == pytest.approx(1, abs=0.05)


def test_the_texts_sign_rests_where_nothing_is_told(learned):
    found, least = learned["uniform"], math.log(readings.PEOPLE)
    assert (found.loss > least - 1e-4).all()
    assert found.loss[-50:].max() < least + 0.02
    assert found.correct[-50:].mean() < 0.35
    assert found.error[-1] < 0.01 < 1 < found.error[0]
    torch.testing.assert_close(found.loss, found.confusion)


def test_the_printed_sign_falls_ever_faster(learned):
    found = learned["as-printed"]
    torch.testing.assert_close(found.loss, -found.confusion)
    fallen = [float(found.loss[at] - found.loss[at + 100]) for at in (100, 200, 300, 399)]
    assert 0 < fallen[0] < fallen[1] < fallen[2] < fallen[3]
    assert found.loss[-1] < -2 * math.log(readings.PEOPLE)
    assert found.length[-1] > 2 * found.length[0]
    assert found.correct[-50:].mean() > 0.5, "the code tells who it is, and should not"


def test_a_seed_is_repeated():
    first, again, other = (readings.learn(steps=3, seed=seed).loss for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_unknown_readings():
    with pytest.raises(ParameterError, match="reading 'even' is unknown"):
        readings.learn("even", steps=1)
