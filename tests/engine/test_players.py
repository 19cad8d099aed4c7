"""Which parameters a phase gets, and which optimiser."""

import dataclasses

import pytest

from facelab.engine.players import gather
from facelab.errors import ParameterError
from facelab.phases import Optimiser, Phase

ADAM = Optimiser(1e-3)


def phase(name: str, *parameters: str, **more) -> Phase:
    return Phase(name, parameters, lambda batch, step: {}, ADAM, **more)


def test_parameters_of_networks_of_parts_and_single_ones(toy):
    networks = toy.toy().networks
    (player,) = gather([phase("a", "generator.first", "critic.1.bias")], networks)
    assert list(player.parameters) == [
        "generator.first.weight", "generator.first.bias", "critic.1.bias",
    ]  # fmt: skip
    assert player.parameters["critic.1.bias"] is networks["critic"][1].bias


def test_a_frozen_parameter_is_nobodys(toy):
    networks = toy.toy().networks
    networks["generator"].first.requires_grad_(False)
    (player,) = gather([phase("a", "generator")], networks)
    assert list(player.parameters) == ["generator.last.weight", "generator.last.bias"]


def test_a_parameter_that_is_named_twice_is_moved_once(toy):
    (player,) = gather([phase("a", "generator", "generator.first")], toy.toy().networks)
    assert len(player.parameters) == 4
    assert len(player.optimiser.param_groups[0]["params"]) == 4


def test_a_parameter_that_two_networks_share_is_moved_once(toy):
    critic = toy.toy().critic
    (player,) = gather([phase("a", "first", "second")], {"first": critic, "second": critic})
    assert list(player.parameters) == [f"first.{name}" for name, _ in critic.named_parameters()]


def test_a_shared_optimiser_is_one(toy):
    own, shared = gather(
        [phase("r1", "critic.1", shares="critic"), phase("critic", "critic")], toy.toy().networks
    )[::-1]
    assert shared.optimiser is own.optimiser
    assert (shared.owner, own.owner) == ("critic", "critic")
    assert set(shared.parameters) < set(own.parameters)


def test_a_sharing_phase_learns_at_the_owners_rate(toy):
    shared = dataclasses.replace(phase("r1", "critic", shares="critic"), optimiser=Optimiser(9.0))
    players = gather([phase("critic", "critic"), shared], toy.toy().networks)
    assert [player.settings.learning_rate for player in players] == [1e-3, 1e-3]


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ([], "phases need names that differ; got: none"),
        ([phase("a", "critic"), phase("a", "critic")], "names that differ; got: a, a"),
        ([phase("a", "encoder")], "moves 'encoder', which there isn't; the networks are: generat"),
        ([phase("a", "critic.9")], "moves 'critic.9', which there isn't"),
        ([phase("a", "critic.0")], "moves nothing; name networks with parameters"),
        ([phase("a", "critic", shares="b")], "shares the optimiser of 'b', which has none"),
        (
            [phase("b", "critic.1"), phase("a", "critic", shares="b")],
            "moves critic.3.bias, which the optimiser of 'b' doesn't",
        ),
        (
            [phase("c", "critic"), phase("b", "critic", shares="c"),
             phase("a", "critic", shares="b")],
            "shares the optimiser of 'b', which has none of its own",
        ),
    ],
)  # fmt: skip
def test_what_can_not_be_is_refused(toy, phases, message):
    with pytest.raises(ParameterError, match=message):
        gather(phases, toy.toy().networks)


@pytest.mark.parametrize(
    ("when", "steps"),
    [
        ({}, [*range(12)]),
        ({"every": 3}, [0, 3, 6, 9]),
        ({"every": 3, "offset": 2}, [2, 5, 8, 11]),
        ({"until": 5}, [0, 1, 2, 3, 4]),
        ({"every": 3, "until": 6}, [0, 3]),
        ({"every": 3, "until": 7}, [0, 3, 6]),
        ({"every": 3, "offset": 2, "until": 9}, [2, 5, 8]),
        ({"every": 3, "offset": 2, "until": 8}, [2, 5]),
        ({"offset": 5, "until": 5}, []),
        ({"until": 0}, []),
    ],
)
def test_the_steps_at_which_a_phase_plays(toy, when, steps):
    (player,) = gather([phase("a", "critic", **when)], toy.toy().networks)
    assert [step for step in range(12) if player.plays(step)] == steps
