"""DIAT's game: what each phase moves and when it plays, every term, and a run of the real loop."""

import copy
import dataclasses
import json

import pytest
import torch
from torch import nn

from facelab.data.by_attribute import GUIDED
from facelab.engine import checkpoints, loop, players
from facelab.engine.optimisers import learning_rate
from facelab.engine.settings import Settings
from facelab.engine.trainer import values_of
from facelab.errors import DatasetError, ParameterError
from facelab.methods.diat import losses, training
from facelab.methods.diat.networks import Denoiser, Discriminator, Shape, TransformNetwork
from facelab.methods.diat.training import Config, Game, Weights
from facelab.phases import Step

PHASES = ("copy", "tell", "discriminator", "transform")
MOVES = {
    "copy": "transform",
    "tell": "discriminator",
    "discriminator": "discriminator",
    "transform": "transform",
}


def step():
    return Step(0, torch.Generator())


def phases_of(game):
    return {phase.name: phase for phase in game.phases()}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def batch(guided):
    return guided().batch(range(6))


@pytest.fixture
def denoiser():
    """A denoiser that is not the identity."""
    f = Denoiser(4)
    nn.init.normal_(f.first.weight, generator=seeded(1))
    nn.init.normal_(f.second.weight, 0, 0.1, generator=seeded(2))
    return f


# --- which parameters a phase moves --------------------------------------------------------------


def reached(game, phase, batch):
    """The networks that a phase's weighted loss gives a gradient to, all being free."""
    for network in game.networks.values():
        network.zero_grad()
    terms = phase.loss(batch, step())
    sum(phase.weights.get(name, 1.0) * term.mean() for name, term in terms.items()).backward()
    return {
        name
        for name, network in game.networks.items()
        if any(p.grad is not None and p.grad.any() for p in network.parameters())
    }


def test_what_each_phase_reaches_and_what_it_moves(game, batch):
    """T's loss goes through D, whose gradient the loop leaves out; D's never reaches T."""
    found = game()
    phases = phases_of(found)
    assert {name: reached(found, phase, batch) for name, phase in phases.items()} == {
        "copy": {"transform"},
        "tell": {"discriminator"},
        "discriminator": {"discriminator"},
        "transform": {"transform", "discriminator"},
    }
    assert {name: phase.parameters for name, phase in phases.items()} == {
        name: (network,) for name, network in MOVES.items()
    }


@pytest.mark.parametrize("name", PHASES)
def test_a_step_moves_every_parameter_of_one_network_and_none_of_the_other(name, game, batch):
    found = game()
    player = {p.phase.name: p for p in players.gather(found.phases(), found.networks)}[name]
    turns = players.Turns([player], found.networks)
    before = copy.deepcopy({k: n.state_dict() for k, n in found.networks.items()})
    turns.give(player)
    terms = player.phase.loss(batch, step())
    sum(player.phase.weights.get(k, 1.0) * term.mean() for k, term in terms.items()).backward()
    player.optimiser.step()
    turns.end()
    for network, weights in before.items():
        for key, value in found.networks[network].state_dict().items():
            same = torch.equal(value, weights[key])
            assert same == (network != MOVES[name]), (network, key)


@pytest.mark.parametrize("identity", ["adaptive", "dlib-stages"])
@pytest.mark.parametrize("term", ["attribute", "identity", "smooth"])
def test_every_term_of_t_moves_it(term, identity, game, batch, quarters, denoiser):
    found = game(denoiser=denoiser, identity=identity, weights={"smooth": 1.0})
    terms = found.transform_terms(batch, step())
    assert set(terms) == {"attribute", "identity", "smooth"}
    assert terms[term].shape == (6,)
    terms[term].mean().backward()
    assert all(p.grad.any() for p in found.transform.parameters())


def test_frozen_networks_stay_frozen(game, batch, quarters, denoiser):
    found = game(denoiser=denoiser, identity="dlib-stages", weights={"smooth": 1.0})
    assert found.networks["denoiser"] is denoiser
    assert found.embedders == ("quarters",)
    moved = {
        id(p)
        for player in players.gather(found.phases(), found.networks)
        for p in player.parameters.values()
    }
    assert not moved & {id(p) for n in (denoiser, found.layers) for p in n.parameters()}
    assert "layers" not in found.networks
    reached(found, phases_of(found)["transform"], batch)
    assert all(p.grad is None for n in (denoiser, found.layers) for p in n.parameters())


# --- the terms, by slow twins --------------------------------------------------------------------


def test_the_pretraining_is_equations_8_and_9(game, batch):
    found = game()
    with torch.no_grad():
        copied = found.copy_terms(batch, step())["copy"]
        told = found.tell_terms(batch, step())["tell"]
        faces = [*batch.images, *batch.labels[GUIDED]]
        for row, face in enumerate(faces):
            error = (found.transform(face[None]) - face).square().mean()
            assert float(copied[row]) == pytest.approx(float(error), rel=1e-4)
            label = float(row >= 6)
            chance = found.discriminator(face[None]).sigmoid()
            assert float(told[row]) == pytest.approx(float((label - chance) ** 2), rel=1e-4)
    assert len(copied) == len(told) == 12


@pytest.mark.parametrize("reading", ["corrected", "non-saturating", "printed"])
def test_the_game_is_equation_3_in_the_configs_reading(game, batch, reading):
    found = game(reading=reading)
    with torch.no_grad():
        made = found.discriminator(found.transform(batch.images))
        real = found.discriminator(batch.labels[GUIDED])
        told = found.discriminator_terms(batch, step())
        moved = found.transform_terms(batch, step())
    assert set(told) == {"attribute"}
    expected = losses.attribute_discriminator(real, made, reading)
    torch.testing.assert_close(told["attribute"], expected)
    torch.testing.assert_close(moved["attribute"], losses.attribute_transform(made, reading))


def test_the_adaptive_loss_is_equation_13(game, batch):
    found = game(weights={"layers": [0.5, 2.0]})
    with torch.no_grad():
        made = found.transform(batch.images)
        a, b = (found.discriminator.features(x, (4, 5)) for x in (made, batch.images))
        halves = [((x - y) ** 2).flatten(1).mean(1) / 2 for x, y in zip(a, b, strict=True)]
        term = found.transform_terms(batch, step())["identity"]
    torch.testing.assert_close(term, 0.5 * halves[0] + 2.0 * halves[1])
    assert term.min() > 0


def test_a_face_networks_loss_is_equation_2(game, batch, quarters):
    found = game(identity="dlib-stages", weights={"layers": [0.5, 2.0]})
    with torch.no_grad():
        change = 2.0 * (found.transform(batch.images) - batch.images)
        first = nn.functional.adaptive_avg_pool2d(change, 2)
        second = first.mean((2, 3))
        expected = 0.5 * first.square().mean((1, 2, 3)) / 2 + 2.0 * second.square().mean(1) / 2
        term = found.transform_terms(batch, step())["identity"]
    torch.testing.assert_close(term, expected)


def test_a_t_that_changes_nothing_keeps_the_identity(game, batch, quarters):
    for identity in ("adaptive", "dlib-stages"):
        found = game(identity=identity, transform={"width": 4, "blocks": 1, "skip": True})
        terms = found.transform_terms(batch, step())
        assert terms["identity"].tolist() == [0.0] * 6
        assert terms["attribute"].min() > 0
        assert found.copy_terms(batch, step())["copy"].tolist() == [0.0] * 12


def test_smoothness_is_equation_6(game, batch, denoiser):
    found = game(denoiser=denoiser, weights={"smooth": 0.7})
    with torch.no_grad():
        made = found.transform(batch.images)
        expected = (denoiser(made) - made).square().mean((1, 2, 3))
        term = found.transform_terms(batch, step())["smooth"]
    torch.testing.assert_close(term, expected)
    assert term.min() > 0
    unchanged = game(denoiser=Denoiser(4), weights={"smooth": 0.7})
    assert unchanged.transform_terms(batch, step())["smooth"].tolist() == [0.0] * 6


def test_the_slope_penalty_is_half_r1_times_the_squared_gradient(game, batch):
    """Gradients of one face after the other, by hand."""
    found = game(r1=0.6, r1_every=5)
    told = found.slope_terms(batch, step())
    assert set(told) == {"slope"}
    for row, face in enumerate(batch.labels[GUIDED].detach()):
        leaf = face[None].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(found.discriminator(leaf).sum(), leaf)
        assert float(told["slope"][row].detach()) == pytest.approx(float((gradient**2).sum()))
    phase = phases_of(found)["slope"]
    assert reached(found, phase, batch) == {"discriminator"}
    assert phase.weights == {"slope": pytest.approx(0.3 * 5)}, "for the steps that it leaves out"
    assert "slope" not in phases_of(game())


def test_the_slope_is_paid_seldom_by_ds_own_optimiser(game):
    found = phases_of(game(r1=0.6, r1_every=5, t_steps=3))
    slope, critic = found["slope"], found["discriminator"]
    assert (slope.every, slope.offset) == (15, critic.offset)
    assert (slope.shares, slope.parameters) == ("discriminator", critic.parameters)
    assert list(found).index("slope") == list(found).index("discriminator") + 1


def noisy(images, seed, sd=0.5):
    """What D sees of pictures, by a stream's first numbers."""
    return images + sd * torch.randn(images.shape, generator=seeded(seed))


def test_d_sees_everything_through_the_same_amount_of_noise(game, batch):
    found = game(noise=0.5, r1=1.0)
    with torch.no_grad():
        made = found.transform(batch.images)
        faces = torch.cat([batch.images, batch.labels[GUIDED]])
        both = torch.cat([batch.labels[GUIDED], made])
        told = found.tell_terms(batch, Step(0, seeded(7)))["tell"]
        played = found.discriminator_terms(batch, Step(0, seeded(7)))["attribute"]
        labels = (torch.arange(12) >= 6).float()
        expected = losses.classifier_loss(found.discriminator(noisy(faces, 7)), labels)
        real, fake = found.discriminator(noisy(both, 7)).split(6)
    torch.testing.assert_close(told, expected)
    torch.testing.assert_close(
        played, losses.attribute_discriminator(real, fake, found.config.reading)
    )
    leaf = noisy(batch.labels[GUIDED], 7).requires_grad_()
    (gradient,) = torch.autograd.grad(found.discriminator(leaf).sum(), leaf)
    slope = found.slope_terms(batch, Step(0, seeded(7)))["slope"]
    torch.testing.assert_close(slope.detach(), gradient.square().sum((1, 2, 3)))


def test_the_adaptive_loss_compares_both_pictures_under_one_noise(game, batch):
    """So that of a T that changes nothing nothing is asked, and each step draws anew."""
    found = game(noise=0.5)
    with torch.no_grad():
        terms = found.transform_terms(batch, Step(0, seeded(7)))
        made, source = noisy(found.transform(batch.images), 7), noisy(batch.images, 7)
        a, b = (found.discriminator.features(x, (4, 5)) for x in (made, source))
        other = found.transform_terms(batch, Step(0, seeded(8)))
    torch.testing.assert_close(terms["identity"], losses.identity_loss(a, b, (1.0, 1.0)))
    assert not torch.equal(terms["attribute"], other["attribute"])
    still = game(noise=0.5, transform={"width": 4, "blocks": 1, "skip": True})
    assert still.transform_terms(batch, Step(0, seeded(7)))["identity"].tolist() == [0.0] * 6


def test_a_face_networks_loss_has_no_noise(game, batch, quarters):
    quiet, loud = (game(identity="dlib-stages", noise=noise) for noise in (0.0, 0.5))
    with torch.no_grad():
        a, b = (found.transform_terms(batch, Step(0, seeded(7))) for found in (quiet, loud))
    assert torch.equal(a["identity"], b["identity"])
    assert not torch.equal(a["attribute"], b["attribute"])


def test_terms_of_weight_zero_are_not_computed(game, batch, denoiser, monkeypatch):
    monkeypatch.setattr(training, "face_layers", lambda name: pytest.fail("layers were loaded"))
    found = game(denoiser=denoiser, identity="dlib-stages", weights={"identity": 0.0})
    assert set(found.transform_terms(batch, step())) == {"attribute"}
    assert phases_of(found)["transform"].weights == {}
    assert (found.denoiser, found.layers, found.embedders) == (None, None, ())
    assert set(found.networks) == {"transform", "discriminator"}


def test_the_weights_are_lambda_and_gamma(game, denoiser):
    found = game(denoiser=denoiser, weights={"identity": 0.3, "smooth": 0.7})
    assert phases_of(found)["transform"].weights == {"identity": 0.3, "smooth": 0.7}
    assert phases_of(found)["discriminator"].weights == {}


# --- when a phase plays --------------------------------------------------------------------------


def played(game, steps):
    found = players.gather(game.phases(), game.networks)
    return {p.phase.name: [n for n in range(steps) if p.plays(n)] for p in found}


def test_the_pretraining_stops_where_the_game_begins(game):
    assert played(game(pretrain_steps=4), 9) == {
        "copy": [0, 1, 2, 3],
        "tell": [0, 1, 2, 3],
        "discriminator": [4, 5, 6, 7, 8],
        "transform": [4, 5, 6, 7, 8],
    }
    assert played(game(pretrain_steps=0), 3) == {
        "discriminator": [0, 1, 2],
        "transform": [0, 1, 2],
    }


def test_a_t_that_begins_as_the_identity_is_not_taught_to_copy(game):
    skip = game(pretrain_steps=2, transform={"width": 4, "blocks": 1, "skip": True})
    assert played(skip, 4) == {"tell": [0, 1], "discriminator": [2, 3], "transform": [2, 3]}


def test_d_takes_so_many_steps_for_one_of_t(game):
    found = played(game(pretrain_steps=2, d_steps=3), 12)
    assert found["discriminator"] == [*range(2, 12)]
    assert found["transform"] == [2, 5, 8, 11]


def test_t_takes_so_many_steps_for_one_of_d(game):
    found = played(game(pretrain_steps=2, t_steps=3), 12)
    assert found["discriminator"] == [2, 5, 8, 11]
    assert found["transform"] == [*range(2, 12)]


def test_each_phase_has_its_rate(game):
    found = phases_of(game(pretrain_rate=0.1, learning_rate=0.2, discriminator_rate=0.3))
    rates = {name: phase.optimiser.learning_rate for name, phase in found.items()}
    assert rates == {"copy": 0.1, "tell": 0.1, "discriminator": 0.3, "transform": 0.2}
    assert {phase.optimiser.name for phase in found.values()} == {"adam"}
    assert all(phase.shares is None for phase in found.values())
    betas = {name: phase.optimiser.betas for name, phase in found.items()}
    before, playing = (0.9, 0.999), (0.5, 0.999)
    assert betas == {
        "copy": before, "tell": before, "discriminator": playing, "transform": playing
    }  # fmt: skip


def test_the_games_rates_halve_and_the_pretrainings_stay(game):
    found = phases_of(game(halve_at=[5, 8], learning_rate=0.4))
    rates = {
        name: [learning_rate(phase.optimiser, n, None) for n in (0, 4, 5, 7, 8, 100)]
        for name, phase in found.items()
    }
    assert rates["transform"] == pytest.approx([0.4, 0.4, 0.2, 0.2, 0.1, 0.1])
    assert rates["discriminator"] == pytest.approx([1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4, 2.5e-4])
    assert rates["copy"] == rates["tell"] == [1e-3] * 6
    still = phases_of(game())["transform"].optimiser
    assert learning_rate(still, 10**6, None) == 1e-3


# --- the real loop -------------------------------------------------------------------------------

STEPS = 9
SETTINGS = Settings(steps=STEPS, batch=4, seed=3, workers=0, log_every=1, device="cpu")


def weights_of(game):
    return copy.deepcopy({name: n.state_dict() for name, n in game.networks.items()})


def train(game, data, steps, folder=None, **options):
    settings = dataclasses.replace(SETTINGS, steps=steps)
    return loop.train(game, data, settings, folder, progress=False, **options)


def test_the_loop_pretrains_and_then_plays(game, guided):
    result = train(game(pretrain_steps=4, d_steps=2), guided(), STEPS)
    shown = [set(entry.losses) for entry in result.history]
    before = {"copy/copy", "tell/tell"}
    turn = {"discriminator/attribute"}
    both = turn | {"transform/attribute", "transform/identity"}
    assert shown == [before] * 4 + [both, turn, both, turn, both]


def test_what_is_not_played_is_not_moved(game, guided):
    """While D has its steps T stays, and the other way about."""
    start = train(game(pretrain_steps=0, d_steps=4), guided(), 1)
    later = train(game(pretrain_steps=0, d_steps=4), guided(), 4)
    first, last = ({k: n.state_dict() for k, n in r.networks.items()} for r in (start, later))
    assert not torch.equal(first["discriminator"]["head.bias"], last["discriminator"]["head.bias"])
    moved = game(pretrain_steps=0, d_steps=4)
    again = game(pretrain_steps=0, d_steps=4)
    train(moved, guided(), 1)
    train(again, guided(), 4)
    for key, value in moved.transform.state_dict().items():
        assert torch.equal(value, again.transform.state_dict()[key]), key


@pytest.mark.parametrize("stop", [2, 4, 7])
def test_a_run_goes_on_to_the_same_end(game, guided, tmp_path, stop):
    """Stopped while it is pre-trained, where the game begins, and within the game."""
    options = {"pretrain_steps": 4, "d_steps": 2}
    whole, parts = game(**options), game(seed=1, **options)
    before = weights_of(whole)
    train(whole, guided(), STEPS, tmp_path / "whole")
    train(game(**options), guided(), stop, tmp_path / "parts")
    train(parts, guided(), STEPS, tmp_path / "parts", resume=True)
    after, again = weights_of(whole), weights_of(parts)
    for name, weights in after.items():
        for key, value in weights.items():
            assert torch.equal(value, again[name][key]), (name, key)
            assert not torch.equal(value, before[name][key]), (name, key)
    first, second = (checkpoints.newest(tmp_path / n).tensors for n in ("whole", "parts"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(key.startswith("average/transform/") for key in first)
    assert not any(key.startswith("average/discriminator/") for key in first)


def test_a_run_keeps_its_denoiser(game, guided, denoiser, tmp_path):
    kept = copy.deepcopy(denoiser.state_dict())
    options = {"weights": {"smooth": 1.0}, "pretrain_steps": 1}
    train(game(denoiser=denoiser, **options), guided(), 3, tmp_path)
    other = Denoiser(4)
    train(game(denoiser=other, **options), guided(), 4, tmp_path, resume=True)
    for key, value in kept.items():
        assert torch.equal(other.state_dict()[key], value), key


def test_pretraining_learns_to_copy_and_to_tell(guided):
    """Enough steps of both, on faces that differ in a colour."""
    data = guided(count=16)
    data.source.images[1::2, 0] += 0.8  # those that have the attribute are redder
    config = dataclasses.replace(training.TINY, pretrain_steps=60, pretrain_rate=3e-3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = Game(config)
    result = train(found, data, 60)
    first, last = (dict(result.history[n].losses) for n in (0, -1))
    assert last["copy/copy"] < 0.7 * first["copy/copy"]
    assert last["tell/tell"] < 0.2 * first["tell/tell"]


# --- presets and configs -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tiny", "book", "paper"])
def test_a_config_is_read_from_json_as_it_was_written(name):
    config = dataclasses.replace(
        training.PRESETS[name],
        weights=Weights(0.2, 0.3, (0.5, 2.0)),
        task="male_to_female",
        halve_at=(3, 7),
    )
    read = Config.from_json(json.loads(json.dumps(values_of(config))))
    assert read == config
    assert isinstance(read.transform, Shape)
    assert isinstance(read.weights, Weights)
    assert type(read.weights.layers) is type(read.halve_at) is tuple


def test_what_json_leaves_out_is_as_by_default():
    assert Config.from_json({}) == Config()
    read = Config.from_json({"weights": {"smooth": 0.25}, "size": 32, "transform": {"blocks": 1}})
    assert read == Config(size=32, weights=Weights(smooth=0.25), transform=Shape(blocks=1))
    for wrong in ({"sise": 3}, {"weights": {"sise": 3}}, {"transform": {"sise": 3}}):
        with pytest.raises(TypeError, match="'sise'"):
            Config.from_json(wrong)
    with pytest.raises(ParameterError, match="width = 0"):
        Config.from_json({"transform": {"width": 0}})


def test_the_papers_preset_has_the_papers_sizes():
    paper = training.PAPER
    assert (paper.size, paper.transform, paper.hidden) == (128, Shape(32, 5, skip=False), 1000)
    assert (paper.discriminator_width, paper.identity) == (32, "adaptive")
    assert (paper.weights.identity, paper.weights.smooth) == (0.1, 0.0)
    assert (paper.learning_rate, paper.discriminator_rate) == (1e-5, 1e-5)


@pytest.mark.parametrize("name", training.PRESETS)
def test_a_preset_builds_its_networks(name):
    with torch.device("meta"):
        found = Game.preset(name)
        images = torch.zeros(1, 3, found.config.size, found.config.size)
        assert found.transform(images).shape == images.shape
        assert found.discriminator(images).shape == (1,)
    assert isinstance(found.transform, TransformNetwork)
    assert isinstance(found.discriminator, Discriminator)
    assert found.transform.shape == found.config.transform
    assert (found.id, found.averaged) == ("diat", ("transform",))
    assert found.ema_decay == found.config.ema_decay
    task = Game.for_task("tiny", "male_to_female")
    assert task.config == dataclasses.replace(training.TINY, task="male_to_female")
    assert (task.task.attribute, task.task.to) == ("Male", False)


def test_the_book_has_settings_of_its_own_for_global_tasks():
    own = {task: Game.for_task("book", task).config for task in ("mouth_open", "male_to_female")}
    assert own["mouth_open"] == training.BOOK
    assert own["male_to_female"] == dataclasses.replace(training.BOOK_GLOBAL, task="male_to_female")
    assert (own["mouth_open"].noise, own["male_to_female"].noise) == (0.0, 0.2)


def test_the_slope_is_taken_without_a_mark_on_the_batch(game, guided):
    batch = guided().batch(range(4))
    terms = game(r1=2.0).slope_terms(batch, step())
    assert terms["slope"].requires_grad
    assert not batch.labels[GUIDED].requires_grad


def test_a_preview_shows_faces_and_what_t_makes_of_each(game, guided):
    found, batch = game(), guided(count=60).batch(range(25))
    with torch.no_grad():
        found.transform.last.weight.mul_(10)
    drawn = found.preview(found.networks, batch)
    assert torch.equal(drawn[:8], batch.images[0:24:3])
    with torch.no_grad():
        assert torch.equal(drawn[8:], found.transform(batch.images[0:24:3]).clamp(-1, 1))
    few = found.preview(found.networks, guided().batch([0, 1, 2]))
    assert len(few) == 6
    other = game(seed=5).networks
    assert not torch.equal(found.preview(other, batch)[8:], drawn[8:]), "it draws what it is given"


def test_a_previews_pictures_are_in_range(game, guided):
    found = game(transform={"width": 4, "blocks": 1, "skip": True})
    nn.init.normal_(found.transform.last.weight, generator=seeded())
    assert found.preview(found.networks, guided().batch([0])).abs().max() == 1


# --- what can't be -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "smile"}, "there is no task 'smile'; choose one of: mouth_open"),
        ({"reading": "paper"}, "reading 'paper' is unknown; choose one of: corrected"),
        ({"size": 40}, "size = 40 can't be used; give a multiple of 16"),
        (
            {"halve_at": (7, 3)},
            r"halve_at = \(7, 3\) can't be used; give steps above 0",
        ),
        ({"halve_at": (-5, 2)}, r"halve_at = \(-5, 2\) can't be used"),
        ({"size": 0}, "size = 0 can't be used; give a whole number from 1"),
        ({"size": 8192}, "size = 8192 can't be used; give a whole number from 1 to 4,096"),
        ({"discriminator_width": 0}, "discriminator_width = 0 can't be used"),
        ({"hidden": 0}, "hidden = 0 can't be used"),
        ({"batch_size": 0}, "batch_size = 0 can't be used"),
        ({"d_steps": 0}, "d_steps = 0 can't be used"),
        ({"t_steps": 1.0}, r"t_steps = 1\.0 can't be used"),
        ({"pretrain_steps": -1}, "pretrain_steps = -1 can't be used; give a whole number from 0"),
        (
            {"d_steps": 2, "t_steps": 3},
            "d_steps = 2 with t_steps = 3 can't be used; give 1 for one of the two",
        ),
        ({"identity": "dlib"}, "identity = 'dlib' can't be used; give one of: adaptive, dlib-st"),
        ({"weights": Weights(identity=-1)}, "identity = -1 can't be used; give a number from 0 on"),
        ({"weights": Weights(smooth=-1)}, "smooth = -1 can't be used"),
        ({"weights": Weights(smooth=float("nan"))}, "smooth = nan can't be used"),
        ({"r1": -0.5}, r"r1 = -0\.5 can't be used; give a number from 0 on"),
        ({"noise": -0.1}, r"noise = -0\.1 can't be used; give a number from 0 on"),
        ({"r1_every": 0}, r"r1_every = 0 can't be used"),
        ({"learning_rate": 0.0}, r"learning_rate = 0\.0 can't be used; give a number above 0"),
        ({"discriminator_rate": -1.0}, r"discriminator_rate = -1\.0 can't be used"),
        ({"pretrain_rate": float("inf")}, "pretrain_rate = inf can't be used"),
        ({"ema_decay": 1.5}, r"ema_decay = 1\.5 can't be used; give a number from 0 to 1"),
    ],
)
def test_settings_that_can_not_be(settings, message):
    # Unwrapped: the tests' check of annotations would speak first.
    make = getattr(Config.__init__, "__wrapped__", Config.__init__)
    with pytest.raises(ParameterError, match=message):
        make(object.__new__(Config), **settings)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((1.0,), r"layers = \(1\.0,\) can't be used; give two weights"),
        ((1.0, 1.0, 1.0), r"layers = \(1\.0, 1\.0, 1\.0\) can't be used"),
        ((1.0, -2.0), r"w_5 = -2\.0 can't be used; give a number from 0 on"),
    ],
)
def test_the_weights_of_layers_are_two_and_none_is_negative(layers, message):
    weights = Weights()
    object.__setattr__(weights, "layers", layers)
    with pytest.raises(ParameterError, match=message):
        Config(weights=weights)
    assert Config(weights=Weights(layers=(0.0, 1.0))).weights.layers == (0.0, 1.0)


def test_smoothness_needs_the_denoiser():
    config = dataclasses.replace(training.TINY, weights=Weights(smooth=0.5))
    with pytest.raises(ParameterError, match=r"smooth = 0\.5 needs the denoising network f of eq"):
        Game(config)


def test_an_unknown_preset_or_task_is_refused():
    with pytest.raises(ParameterError, match="preset 'huge' is unknown; choose one of tiny, book"):
        Game.preset("huge")
    with pytest.raises(ParameterError, match="preset 'huge' is unknown"):
        Game.for_task("huge", "mouth_open")
    with pytest.raises(ParameterError, match="there is no task 'smile'"):
        Game.for_task("tiny", "smile")


@pytest.mark.parametrize("name", PHASES)
def test_data_without_a_guided_set_name_what_to_give(name, guided, game):
    plain = guided().source.batch(range(4))
    for task, word in (
        ("mouth_open", "DATA:to:Mouth_Slightly_Open"),
        ("male_to_female", "DATA:to:no-Male"),
    ):
        phase = phases_of(game(task=task))[name]
        with pytest.raises(DatasetError, match=f"no faces of the guided set .* --data {word}$"):
            phase.loss(plain, step())


@pytest.mark.parametrize("name", PHASES)
def test_faces_of_another_size_are_refused(name, guided, game):
    large = guided(size=32).batch(range(4))
    with pytest.raises(ParameterError, match="faces of 32 x 32 pixels can't be used; give face"):
        phases_of(game())[name].loss(large, step())
