"""A step of training against the loop that one would write by hand; what a phase may move."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from facelab.data.seeding import seed_of
from facelab.engine.batches import Order
from facelab.engine.settings import Settings
from facelab.engine.trainer import Trainer
from facelab.errors import ParameterError
from facelab.phases import Optimiser, Phase, Step

STEPS, BATCH = 9, 8


def settings(**changes) -> Settings:
    return Settings(**{"steps": STEPS, "batch": BATCH, "seed": 3, "device": "cpu", **changes})


def trained(toy, method, **changes) -> Trainer:
    trainer = Trainer(method, toy.Noise(), settings(**changes))
    order = Order(40, 3)
    for step in range(STEPS):
        trainer.take(trainer.lay_out(toy.Noise().batch(order.faces(step * BATCH, BATCH))))
    trainer.turns.end()
    return trainer


def by_hand(toy, method) -> nn.Module:
    """Train the "lazy" toy for nine steps in the plainest way; return the generator's average."""
    generator, critic = method.generator, method.critic
    slow, fast = (
        torch.optim.Adam(network.parameters(), rate, betas=(0.5, 0.9), fused=True)
        for network, rate in zip((critic, generator), method.config.rates, strict=True)
    )
    average, order = copy.deepcopy(generator), Order(40, 3)
    for number in range(STEPS):
        batch = toy.Noise().batch(order.faces(number * BATCH, BATCH))
        for phase, every, offset in (("critic", 1, 0), ("r1", 4, 0), ("generator", 2, 1)):
            if (number - offset) % every:
                continue
            seed = seed_of("step", 3, number, phase)
            z = torch.randn(BATCH, 3, generator=torch.Generator().manual_seed(seed))
            optimiser = fast if phase == "generator" else slow
            if phase == "critic":
                loss = F.softplus(-critic(batch.images)).mean()
                loss = loss + F.softplus(critic(generator(z).detach())).mean()
            elif phase == "r1":
                images = batch.images.clone().requires_grad_()
                (slope,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
                loss = 0.3 * slope.square().sum((1, 2, 3)).mean()
            else:
                loss = F.softplus(-critic(generator(z))).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        for kept, new in zip(average.parameters(), generator.parameters(), strict=True):
            kept.data.mul_(0.9).add_(new.data, alpha=1 - 0.9)
    return average


def change(method, **changes) -> None:
    """Have all phases of a method changed in this way."""
    phases = [dataclasses.replace(phase, **changes) for phase in method.phases()]
    method.phases = lambda: phases


def equal(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_as_a_loop_by_hand_to_the_last_bit(toy):
    ours, theirs = toy.toy(), toy.toy()
    trainer, average = trained(toy, ours), by_hand(toy, theirs)
    assert equal(ours.generator, theirs.generator)
    assert equal(ours.critic, theirs.critic)
    assert equal(trainer.averages.networks["generator"], average)
    assert not equal(ours.generator, toy.toy().generator)


def test_a_phase_moves_its_own_parameters_only(toy):
    method, seen = toy.toy(), {}

    def watched(phase):
        def loss(batch, step):
            every = [(n, p) for n, net in method.networks.items() for p in net.parameters()]
            seen[phase.name] = {name for name, parameter in every if parameter.requires_grad}
            return phase.loss(batch, step)

        return dataclasses.replace(phase, loss=loss)

    phases = [watched(phase) for phase in method.phases()]
    method.phases = lambda: phases
    trainer = Trainer(method, toy.Noise(), settings())
    before = copy.deepcopy(method.critic)
    for _ in range(2):
        trainer.take(toy.Noise().batch(range(BATCH)))
    assert seen == {"critic": {"critic"}, "r1": {"critic"}, "generator": {"generator"}}
    assert not equal(before, method.critic)
    trainer.turns.end()
    every = [p for network in method.networks.values() for p in network.parameters()]
    assert all(p.requires_grad and p.grad is None for p in every)


def test_what_was_frozen_before_stays_frozen(toy):
    method = toy.toy(kind="game")
    method.generator.first.requires_grad_(False)
    before = copy.deepcopy(method.generator)
    trained(toy, method)
    assert equal(method.generator.first, before.first)
    assert not equal(method.generator.last, before.last)
    assert not method.generator.first.weight.requires_grad


def test_a_phase_plays_every_nth_step_after_its_offset(toy):
    method, played = toy.toy(kind="single"), []

    def loss(batch, step):
        played.append(step.number)
        return method.fit_loss(batch, step)

    change(method, loss=loss, every=3, offset=5)
    trained(toy, method)
    assert played == [5, 8]


@pytest.mark.parametrize("kind", ["single", "game", "lazy"])
@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_parts_equal_the_whole_batch(toy, tolerance, kind, parts):
    whole, split = toy.toy(kind=kind), toy.toy(kind=kind)
    # Adam's division by the root of tiny squares would enlarge rounding: plain descent.
    for method in (whole, split):
        change(method, optimiser=Optimiser(0.05, name="sgd", momentum=0.5))
    trained(toy, whole)
    trained(toy, split, accumulate=parts)
    for name in whole.networks:
        torch.testing.assert_close(
            split.networks[name].state_dict(),
            whole.networks[name].state_dict(),
            **tolerance[torch.float32],
        )


def test_a_batch_that_can_not_be_divided_is_refused(toy):
    with pytest.raises(ParameterError, match="8 can't be divided among 1 processes in 3 parts"):
        Trainer(toy.toy(), toy.Noise(), settings(accumulate=3))


def test_weights_scale_terms_and_the_log_shows_them_bare(toy):
    single, double = toy.toy(kind="single"), toy.toy(kind="single")
    change(double, weights={"distance": 2.0})
    batch = toy.Noise().batch(range(BATCH))
    taken = []
    for method in (single, double):
        trainer = Trainer(method, toy.Noise(), settings())
        gradients = []
        method.generator.last.bias.register_hook(gradients.append)
        trainer.take(batch)
        taken.append((gradients[0], trainer.ledger.take()))
    (plain, log), (scaled, other) = taken
    torch.testing.assert_close(scaled, 2 * plain)
    assert other["single/distance"] == log["single/distance"]
    assert log["single/gradient norm"] > 0


def test_clipping_bounds_the_gradient(toy):
    method = toy.toy(kind="single")
    change(method, clip_norm=1e-3, optimiser=Optimiser(1.0, name="sgd"))
    before = copy.deepcopy(method.generator)
    Trainer(method, toy.Noise(), settings()).take(toy.Noise().batch(range(BATCH)))
    after, was = (nn.utils.parameters_to_vector(n.parameters()) for n in (method.generator, before))
    assert (after - was).norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_hidden_randomness_follows_from_the_step(toy):
    """Dropout draws from torch's global stream: a step gives the same whatever came before."""
    first, second = (toy.toy(kind="single", dropout=0.5) for _ in range(2))
    trained(toy, first)
    torch.rand(17)
    trained(toy, second)
    assert equal(first.generator, second.generator)


def test_after_gets_the_means_and_its_numbers_are_logged(toy):
    method, told = toy.toy(kind="single"), []

    def after(means):
        told.append(means)
        return {"twice": 2 * means["distance"]}

    change(method, after=after)
    trainer = Trainer(method, toy.Noise(), settings())
    trainer.take(toy.Noise().batch(range(BATCH)))
    losses = trainer.ledger.take()
    assert told[0]["distance"] == losses["single/distance"]
    assert losses["single/twice"] == 2 * losses["single/distance"]


@pytest.mark.parametrize(
    ("terms", "weights", "message"),
    [
        ({"a": torch.zeros(())}, {}, r"term 'a' has the shape \(\), expected one value per sample"),
        ({}, {}, "weights nothing, its loss has the terms: none"),
        ({"a": torch.zeros(2)}, {"b": 1.0}, "weights b, its loss has the terms: a"),
    ],
)
def test_terms_that_are_none_are_refused(toy, terms, weights, message):
    method = toy.toy(kind="single")
    phase = Phase("odd", ("generator",), lambda batch, step: terms, Optimiser(1e-3), weights)
    method.phases = lambda: [phase]
    with pytest.raises(ParameterError, match=message):
        Trainer(method, toy.Noise(), settings()).take(toy.Noise().batch(range(BATCH)))


def test_bf16_computes_so_and_keeps_parameters_in_float32(toy):
    method, dtypes = toy.toy(kind="single"), []
    fit = method.fit_loss

    def loss(batch, step):
        dtypes.append(method.generator(torch.zeros(2, 3)).dtype)
        return fit(batch, step)

    method.fit_loss = loss
    trainer = trained(toy, method, precision="bf16")
    assert set(dtypes) == {torch.bfloat16}
    assert {p.dtype for p in method.generator.parameters()} == {torch.float32}
    assert {p.dtype for p in trainer.averages.networks["generator"].parameters()} == {torch.float32}


def test_channels_last_holds_for_filters_pictures_and_optimisers(toy):
    network, seen = nn.Conv2d(3, 4, 3), []
    method = toy.toy(kind="single")
    method.networks, method.averaged = {"net": network}, ()

    def loss(batch, step):
        seen.append(batch.images.is_contiguous(memory_format=torch.channels_last))
        return {"square": network(batch.images).square().mean((1, 2, 3))}

    phase = Phase("net", ("net",), loss, Optimiser(1e-2))
    method.phases = lambda: [phase]
    trainer = trained(toy, method, channels_last=True)
    assert all(seen)
    last = {"memory_format": torch.channels_last}
    assert network.weight.is_contiguous(**last)
    state = trainer.players[0].optimiser.state[network.weight]
    assert state["exp_avg"].is_contiguous(**last)


def test_a_parts_draws_are_rows_of_the_whole(toy):
    drawn = []

    class Probe(toy.Toy):
        def fit_loss(self, batch, step: Step):
            def sampler(count, random):
                return torch.randn(count, 2, generator=random)

            drawn.append(step.draw(sampler, len(batch), batch.images))
            return super().fit_loss(batch, step)

    for parts in (1, 4):
        trainer = Trainer(Probe(toy.Config("single")), toy.Noise(), settings(accumulate=parts))
        trainer.take(toy.Noise().batch(range(BATCH)))
    assert torch.equal(torch.cat(drawn[1:]), drawn[0])
