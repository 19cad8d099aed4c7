"""What a step costs, against counts by hand."""

import pytest
import torch
from torch import nn

from facelab.engine import costs, methods
from facelab.engine.costs import Counter, seconds, share_of, step_costs
from facelab.engine.players import gather
from facelab.engine.rehearsal import Rehearsal
from facelab.errors import ParameterError

WIDTH, LATENTS, VALUES = 8, 3, 48  # the toy's


def counted(run) -> int:
    with Counter() as counter:
        run()
    return counter.flops


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_a_convolution_by_hand(kind, groups):
    layer = kind(4, 8, 3, padding=1, groups=groups, bias=False)
    images = torch.zeros(2, 4, 5, 5, requires_grad=True)
    forward = 2 * (2 * 5 * 5 * 3 * 3 * 4 * 8 // groups)
    assert counted(lambda: layer(images)) == forward
    made = layer(images)
    assert counted(lambda: made.sum().backward()) == 2 * forward
    fixed = layer(images.detach())
    assert counted(lambda: fixed.sum().backward()) == forward  # of the filters alone


def test_the_toy_by_hand(toy):
    method = toy.toy(kind="lazy")
    found = step_costs(method, toy.Noise(), batch=6)
    critic = VALUES * WIDTH + WIDTH  # multiplications with additions of an image
    generator = LATENTS * WIDTH + WIDTH * VALUES
    by_name = {phase.name: phase for phase in found.phases}
    # Forward twice, and backward: of all weights, and of what is between the two layers.
    assert by_name["critic"].flops == 2 * (generator + 2 * (critic + critic + WIDTH))
    # Backward through the critic to the picture, then through the generator but not to latents.
    made = generator + critic + critic + generator + WIDTH * VALUES
    assert by_name["generator"].flops == 2 * made
    assert [by_name[name].share for name in ("critic", "r1", "generator")] == [1, 1 / 4, 1 / 2]
    whole = by_name["critic"].flops + by_name["r1"].flops / 4 + by_name["generator"].flops / 2
    assert found.flops_per_image == whole
    assert found.flops == 6 * whole
    assert found.at(12).flops == 12 * whole


def test_memory_of_the_toy_by_hand(toy):
    method = toy.toy(kind="game")
    found = step_costs(method, toy.Noise(), batch=6)
    critic = VALUES * WIDTH + WIDTH + WIDTH + 1
    generator = LATENTS * WIDTH + WIDTH + WIDTH * VALUES + VALUES
    assert (found.parameters, found.frozen_parameters) == (critic + generator, 0)
    # Weights, two numbers of Adam for each, the generator's average, the larger phase's gradients.
    assert found.fixed_bytes == 4 * (3 * (critic + generator) + generator + max(critic, generator))
    assert found.message_bytes == 4 * (critic + generator / 2)
    assert found.memory(3) - found.memory(2) == found.saved_bytes_per_image
    assert found.saved_bytes_per_image >= 4 * (WIDTH + VALUES)


def test_nothing_has_moved(toy):
    method = toy.toy(kind="lazy")
    before = {k: v.clone() for n in method.networks.values() for k, v in n.state_dict().items()}
    state = torch.random.get_rng_state()
    step_costs(method, toy.Noise(), batch=6)
    after = {k: v for n in method.networks.values() for k, v in n.state_dict().items()}
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(p.grad is None and p.requires_grad for p in method.critic.parameters())


def test_shares_of_a_run_with_a_beginning():
    method = methods.build("diat", "tiny")  # 4 steps of pre-training
    players = {p.phase.name: p for p in gather(method.phases(), method.networks)}
    assert [share_of(players[n], None) for n in ("copy", "tell", "transform")] == [0, 0, 1]
    assert [share_of(players[n], 10) for n in ("copy", "tell", "transform")] == [0.4, 0.4, 0.6]
    assert share_of(players["copy"], 2) == 1


@pytest.mark.parametrize("name", ["dcgan", "ganfaces", "lord", "idmap", "d2ae"])
def test_a_rehearsal_has_what_methods_ask_for(name):
    method = methods.build(name, "tiny")
    found = step_costs(method, Rehearsal(method, 4), batch=4)
    assert found.flops > 0
    assert found.memory_bytes > found.fixed_bytes > 4 * found.parameters


def test_seconds_of_operations():
    assert seconds(1e15, "A100", share=0.5) == pytest.approx(1e15 / 156e12)
    assert seconds(1e15, "H200", share=1, precision="fp32") == pytest.approx(1e15 / 67e12)
    with pytest.raises(ParameterError, match="no peak of 'abacus' is known; choose one of: A100"):
        seconds(1.0, "abacus", share=0.5)
    with pytest.raises(ParameterError, match=r"a share of 1\.5 of the peak can't be"):
        seconds(1.0, "A100", share=1.5)
    assert costs.PEAKS["A100"]["bf16"] == 312e12
