"""Networks, averages, optimisers and random streams come back as they were."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from facelab.engine import state
from facelab.engine.averages import Averages
from facelab.engine.players import gather
from facelab.errors import CheckpointError
from facelab.phases import Optimiser, Phase


def parts(optimiser: Optimiser, channels_last: bool = False):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    if channels_last:
        network.to(memory_format=torch.channels_last)
    networks = {"net": network}
    phase = Phase("only", ("net",), lambda batch, step: {}, optimiser)
    return networks, Averages(networks, 0.9), gather([phase], networks)


def update(networks, averages, players, steps: int) -> None:
    for _ in range(steps):
        networks["net"](torch.rand(2, 3, 6, 6)).square().mean().backward()
        players[0].optimiser.step()
        players[0].optimiser.zero_grad()
        averages.update()


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_updates_go_on_as_if_nothing_had_happened(name, channels_last):
    optimiser = Optimiser(0.1, name=name, momentum=0.5)
    first, second = parts(optimiser, channels_last), parts(optimiser, channels_last)
    update(*first, 3)
    saved = {k: t.clone().contiguous() for k, t in state.tensors_of(*first).items()}
    streams = state.random_state(torch.device("cpu"))
    update(*first, 3)
    state.restore(saved, *second)
    state.set_random_state(streams, torch.device("cpu"))
    update(*second, 3)
    expected, found = state.tensors_of(*first), state.tensors_of(*second)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_an_optimiser_that_has_not_stepped_has_no_tensors():
    networks, averages, players = parts(Optimiser(0.1))
    assert not any(
        n.startswith("optimiser/") for n in state.tensors_of(networks, averages, players)
    )
    state.restore(state.tensors_of(networks, averages, players), networks, averages, players)


def test_names_say_what_a_tensor_is():
    made = parts(Optimiser(0.1))
    update(*made, 1)
    names = state.tensors_of(*made)
    for name in (
        "network/net/0.weight",
        "average/net/1.running_mean",
        "optimiser/only/net.0.weight/exp_avg",
        "optimiser/only/net.0.weight/step",
    ):
        assert name in names


def test_tensors_of_another_network_are_refused():
    first, second = parts(Optimiser(0.1)), parts(Optimiser(0.1))
    saved = state.tensors_of(*first)
    saved["network/net/0.weight"] = torch.zeros(5, 3, 3, 3)
    with pytest.raises(CheckpointError, match="doesn't fit the network 'net': size mismatch"):
        state.restore(saved, *second)


def test_all_global_streams_are_kept():
    device = torch.device("cpu")
    before = state.random_state(device)
    drawn = (random.random(), np.random.rand(), torch.rand(()).item())  # noqa: NPY002
    state.set_random_state(before, device)
    assert drawn == (random.random(), np.random.rand(), torch.rand(()).item())  # noqa: NPY002
