"""Gradient descent against a loop by hand; the prior's penalty at known vectors."""

import math

import pytest
import torch

from facelab.errors import ParameterError
from facelab.methods.ganid.bank import Bank
from facelab.methods.ganid.gradient import Config, Gradient, falling, prior_penalty
from facelab.methods.ganid.scoring import Target

FEW = Config(initial=10, starts=4, steps=6, rate=0.2, prior=0.3)


@pytest.fixture
def target(scorer, random) -> Target:
    return Target("somebody", scorer.embed(torch.randn(3, 6, generator=random)), "patches")


def by_hand(scorer, target, bank, config, rounds) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Every step's latent vectors and distances: restarts from the bank, Adam, a falling rate."""
    told = []
    for number in range(rounds):
        per_look = config.initial // config.starts
        look, turn = divmod(number, per_look)
        drawn = bank.latents(look * config.initial, config.initial)
        order = sorted(range(len(drawn)), key=lambda i: float(scorer.distances(drawn[[i]], target)))
        rows = order[turn * config.starts :][: config.starts]
        z = drawn[rows].clone().requires_grad_()
        adam = torch.optim.Adam([z], lr=config.rate, betas=(0.9, 0.99))
        for step in range(config.steps):
            adam.zero_grad()
            faces = scorer.embed(z)
            distance = (faces[:, None] - target.embeddings[None]).square().sum(2).mean(1)
            length = z.square().sum(1) / z.shape[1]
            (distance + config.prior * (length - 1) ** 2).sum().backward()
            told.append((z.detach().clone(), distance.detach()))
            share = (1 + math.cos(math.pi * step / config.steps)) / 2
            adam.param_groups[0]["lr"] = config.rate * (0.1 + 0.9 * share)
            adam.step()
    return told


def test_it_is_the_loop_by_hand(scorer, target):
    """Over three rounds: two from the first ten vectors, one from the next ten."""
    bank = Bank(scorer, 2)
    looking = Gradient(scorer, target, bank, 2, FEW)
    tried = [looking.next_pass(999) for _ in range(2 + 3 * FEW.steps)]
    looks = [i for i, one in enumerate(tried) if one.stage == "random"]
    assert looks == [0, 1 + 2 * FEW.steps]
    for number, place in enumerate(looks):
        assert torch.equal(tried[place].latents, bank.latents(10 * number, 10))
    steps = [one for one in tried if one.stage == "gradient"]
    for one, (z, distance) in zip(steps, by_hand(scorer, target, bank, FEW, 3), strict=True):
        torch.testing.assert_close(one.latents, z, rtol=0, atol=1e-4)
        torch.testing.assert_close(one.distances, distance, rtol=0, atol=1e-5)


def test_distances_belong_to_the_vectors_that_were_tried(scorer, target):
    looking = Gradient(scorer, target, Bank(scorer), config=FEW)
    for _ in range(5):
        one = looking.next_pass(999)
        direct = scorer.distances(one.latents, target)
        torch.testing.assert_close(one.distances, direct, rtol=0, atol=1e-6)
        assert not one.distances.requires_grad
        assert not one.latents.requires_grad


def test_it_goes_down(scorer, target):
    looking = Gradient(scorer, target, Bank(scorer), config=Config(20, 4, 40, 0.1, 0.0))
    looking.next_pass(999)
    distances = torch.stack([looking.next_pass(999).distances for _ in range(40)])
    assert (distances[-1] < distances[0]).all()


def test_no_start_is_taken_twice(scorer, target):
    looking, starts = Gradient(scorer, target, Bank(scorer), config=FEW), []
    for _ in range(6 * (1 + 2 * FEW.steps)):
        one = looking.next_pass(999)
        if one.stage == "gradient" and looking.step == 1:
            starts.append(one.latents)
    assert torch.cat(starts).unique(dim=0).shape == (6 * 2 * 4, 6)


def test_networks_keep_their_gradients(scorer, target):
    """A generator that is being trained elsewhere gets nothing added."""
    parameters = [scorer.generator.gain, scorer.embedder.gain]
    for parameter in parameters:
        parameter.requires_grad_(True)
    looking = Gradient(scorer, target, Bank(scorer), config=FEW)
    for _ in range(3):
        looking.next_pass(999)
    assert all(parameter.grad is None for parameter in parameters)


def test_the_prior_keeps_vectors_long(scorer, target):
    """A heavy prior holds |z|^2 / n near 1, none lets it go."""
    lengths = []
    for prior in (0.0, 100.0):
        looking = Gradient(scorer, target, Bank(scorer), config=Config(20, 4, 60, 0.1, prior))
        for _ in range(61):
            one = looking.next_pass(999)
        lengths.append((one.latents.square().mean(1) - 1).abs().max())
    assert lengths[1] < 0.05 < lengths[0]


def test_the_rate_falls_to_a_tenth():
    assert falling(0, 50) == 1
    assert falling(25, 50) == pytest.approx(0.55)
    assert falling(50, 50) == pytest.approx(0.1)


def test_a_normal_vector_has_no_penalty_at_its_shell():
    z = torch.tensor([[1.0, -1, 1, -1], [2.0, 0, 0, 0], [0.0, 0, 0, 0], [2.0, 2, 2, 2]])
    assert prior_penalty(z, "normal").tolist() == [0, 0, 1, 9]


def test_a_uniform_vector_has_no_penalty_in_the_cube():
    z = torch.tensor([[1.0, -1, 0.5, 0], [2.0, 0, 0, 0], [-3.0, 1.5, 0, 0], [0.0, 0, 0, 0]])
    assert prior_penalty(z, "uniform").tolist() == [0, 1 / 4, (4 + 0.25) / 4, 0]


def test_what_the_prior_draws_has_hardly_any_penalty(random):
    normal = torch.randn(200, 100, generator=random)
    assert prior_penalty(normal, "normal").mean() < 0.05
    assert prior_penalty(torch.rand(200, 100, generator=random) * 2 - 1, "uniform").max() == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"starts": 0}, "0 starts of 100 vectors and 50 steps can't be used"),
        ({"initial": 3, "starts": 4}, "no more starts than vectors"),
        ({"steps": 0}, "give at least 1 of each"),
        ({"rate": 0.0}, "rate 0.0 and prior 0.1 can't be used"),
        ({"prior": -1.0}, "give a rate above 0 and a prior of 0 or more"),
        ({"rate": float("nan")}, "rate nan"),
    ],
)
def test_what_cannot_be_used_is_refused(wrong, message):
    with pytest.raises(ParameterError, match=message):
        Config(**wrong)
