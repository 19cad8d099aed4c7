"""The settings: the paper's numbers, what can't be used, and a round trip through JSON."""

import dataclasses
import json

import pytest

from facelab.errors import ParameterError
from facelab.methods.idmap.config import AUTHORS, PAPER, PAPER_1024, PRESETS, TINY, Config


def test_the_papers_numbers():
    """Section 3.3; and appendix C: batches of 2 and all rates divided by 10."""
    weights = (1.0, 1.0, 0.001, 0.02, 0.0)  # the last is not the paper's
    assert tuple(vars(PAPER.weights).values()) == weights == tuple(vars(AUTHORS.weights).values())
    assert (PAPER.learning_rate, PAPER.adversarial_rate, PAPER.critic_rate) == (5e-5, 5e-6, 2e-5)
    assert (PAPER.alpha, PAPER.gamma, PAPER.batch_size) == (0.84, 10.0, 6)
    assert (PAPER.cross, PAPER.period) == (1, 3)
    rates = ("learning_rate", "adversarial_rate", "critic_rate")
    for name in rates:
        assert getattr(PAPER_1024, name) == pytest.approx(getattr(PAPER, name) / 10)
    assert (PAPER_1024.size, PAPER_1024.batch_size) == (1024, 2)


def test_where_the_authors_code_differs():
    changed = {
        field.name
        for field in dataclasses.fields(Config)
        if getattr(AUTHORS, field.name) != getattr(PAPER, field.name)
    }
    assert changed == {"truncation", "attribute_features", "mask", "adversarial_every"}
    assert (AUTHORS.truncation, AUTHORS.attribute_features) == (0.7, 512)


@pytest.mark.parametrize("name", PRESETS)
def test_json(name):
    config = PRESETS[name]
    assert Config.from_json(json.loads(json.dumps(dataclasses.asdict(config)))) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mapping": (0, 8)}, r"width 0 of \(0, 8"),
        ({"mapping": ()}, "M without a layer"),
        ({"cross": 4}, "cross = 4"),
        ({"w": 0}, "w = 0"),
        ({"learning_rate": 0.0}, "learning_rate = 0.0"),
        ({"alpha": 1.5}, "alpha = 1.5"),
        ({"gamma": -1.0}, "gamma = -1.0"),
        ({"landmarks": "l2"}, "landmarks = 'l2' can't be used; give one of: mean-square, norm"),
        ({"mask": "round"}, "give one of: none, gaussian"),
        ({"adversarial_moves": "all"}, "give one of: mapping, both"),
        ({"encoder": "vit"}, "give one of: small, inception"),
    ],
)
def test_what_cant_be_used(change, message):
    with pytest.raises(ParameterError, match=message):
        dataclasses.replace(TINY, **change)
