"""The settings: the paper's numbers, what can't be used, and a round trip through JSON."""

import dataclasses
import json

import pytest

from facelab.errors import ParameterError
from facelab.methods.d2ae.config import BOOK, PAPER, PRESETS, TINY, Config, Weights


def test_the_papers_numbers():
    """Sections 4.1 and 4.2: sizes, rates, and epochs of 90% of 4 million pictures."""
    assert (PAPER.size, PAPER.features, PAPER.people, PAPER.batch_size) == (235, 256, 80_000, 192)
    assert (PAPER.learning_rate, PAPER.encoder) == (0.01, "inception-resnet")
    epoch = 0.9 * 4_000_000 / 192
    assert PAPER.milestones == (10 * epoch, 20 * epoch, 30 * epoch)
    assert tuple(vars(PAPER.weights).values()) == (1.0, 0.1, 1.0, 0.0)
    assert sum(PAPER.convolutions) == 20
    assert PAPER.start * 2 ** (len(PAPER.decoder) - 1) == 256
    assert (PAPER.dispelling, BOOK.dispelling) == ("uniform", "uniform")
    assert PAPER.picture_scale == 1.0


@pytest.mark.parametrize("name", PRESETS)
def test_json(name):
    config = PRESETS[name]
    assert Config.from_json(json.loads(json.dumps(dataclasses.asdict(config)))) == config


def test_what_is_left_out_in_json_is_as_by_default():
    assert Config.from_json({"weights": {"dispelling": 0.3}, "channels": [8]}) == Config(
        weights=Weights(dispelling=0.3), channels=(8,)
    )


@pytest.mark.parametrize(
    ("changes", "confuses", "two"),
    [
        ({}, True, True),
        ({"classify": False}, True, True),
        ({"classify": False, "dispel": False}, False, True),
        ({"classify": False, "dispel": False, "decode": False}, False, False),
        ({"decode": False}, True, True),
        ({"weights": Weights(dispelling=0.0), "decode": False}, False, False),
    ],
)
def test_what_there_is(changes, confuses, two):
    config = dataclasses.replace(TINY, **changes)
    assert (config.confuses, config.two, config.plays) == (confuses, two, False)


def test_there_is_a_critic_where_there_are_pictures():
    played = dataclasses.replace(TINY, weights=Weights(adversarial=0.1))
    assert played.plays
    assert not dataclasses.replace(played, decode=False).plays


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"people": 1}, "people = 1 can't be used; give a whole number from 2"),
        ({"batch_size": 1}, "batch_size = 1"),
        ({"features": 0}, "features = 0"),
        ({"channels": (8, 0)}, r"width 1 of \(8, 0"),
        ({"channels": ()}, "an encoder without a stage"),
        ({"channels": (8,) * 7}, "size = 64 with this encoder can't be used; give 128 pixels"),
        ({"encoder": "inception-resnet", "size": 64}, "give 75 pixels or more"),
        ({"encoder": "vit"}, "give one of: small, inception-resnet"),
        ({"dispelling": "even"}, "give one of: uniform, as-printed"),
        ({"decoder": (8, 8)}, "a decoder of 2 widths and 5 numbers of convolutions"),
        ({"start": 2}, "a decoder that ends at 32 pixels can't be used; give 64 or more"),
        ({"critic": (8,) * 7}, "a critic of widths"),
        ({"learning_rate": 0.0}, "learning_rate = 0.0"),
        ({"picture_scale": 0.0}, "picture_scale = 0.0"),
        ({"momentum": 1.5}, "momentum = 1.5"),
        ({"weight_decay": -1.0}, "weight_decay = -1.0"),
        ({"milestones": (5, 3)}, r"milestones = \(5, 3\) can't be used; give steps that rise"),
        ({"weights": Weights(identity=0.0)}, "identity = 0"),
        ({"weights": Weights(dispelling=-0.1)}, "dispelling = -0.1"),
        ({"weights": Weights(reconstruction=0.0)}, "a decoder that no loss moves"),
    ],
)
def test_what_cant_be_used(change, message):
    with pytest.raises(ParameterError, match=message):
        dataclasses.replace(TINY, **change)
