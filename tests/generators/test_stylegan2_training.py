"""StyleGAN2's game: which parameters each phase moves, lazy regularisers, mixing, a short run."""

import dataclasses

import pytest
import torch

from facelab.assets import networks
from facelab.errors import AssetError, CheckpointError, ParameterError
from facelab.generators import presets
from facelab.generators.stylegan2 import config as sizes
from facelab.generators.stylegan2 import training as stylegan2
from facelab.phases import Step
from facelab.types import Batch

SMALL = dataclasses.replace(sizes.TINY, channels=(8, 8, 8))


@pytest.fixture
def game():
    """A game for 16 x 16 pixels."""
    return stylegan2.Game(SMALL)


@pytest.fixture
def images(random):
    return torch.rand(8, 3, 16, 16, generator=random) * 2 - 1


def batch_of(images):
    return Batch(images=images, identity=torch.arange(len(images)))


def phase_of(game, name):
    return {phase.name: phase for phase in game.phases()}[name]


# --- phases --------------------------------------------------------------------------------------


def test_phases_share_optimisers_and_run_lazily():
    phases = stylegan2.Game(sizes.Config(channels=(4, 4))).phases()
    assert [p.name for p in phases] == ["generator", "path_length", "discriminator", "r1"]
    assert [(p.every, p.shares) for p in phases] == [
        (1, None),
        (4, "generator"),
        (1, None),
        (16, "discriminator"),
    ]
    path, r1 = phases[1], phases[3]
    assert path.weights == {"penalty": 2.0 * 4, "length": 0.0}
    assert r1.weights == {"penalty": 10.0 / 2 * 16}


def test_lazy_adam_is_that_of_the_papers_appendix():
    """The discriminator's rate is 16 / 17 of 0.002, its second beta 0.99 to the power of that."""
    adam = stylegan2.lazy(0.002, 16)
    assert adam.learning_rate == pytest.approx(0.002 * 16 / 17)
    assert adam.betas == (0.0, pytest.approx(0.99 ** (16 / 17)))


def test_regularisers_of_no_weight_have_no_phase():
    config = dataclasses.replace(SMALL, r1=0.0, path_weight=0.0)
    assert [p.name for p in stylegan2.Game(config).phases()] == ["generator", "discriminator"]


def test_the_average_forgets_half_in_ten_thousand_images():
    assert sizes.paper(64).ema_decay ** (10_000 / 32) == pytest.approx(0.5)


def test_the_game_reaches_all_that_it_plays_with(game, training, images):
    discriminator = training.names_of(game, "discriminator")
    generator = training.names_of(game, "generator")
    assert training.moved(game, "discriminator", images) == discriminator
    assert training.moved(game, "generator", images) == generator | discriminator


def test_r1_reaches_all_but_what_shifts_the_logit(game, training, images):
    """The last bias moves every logit alike and no slope. Biases before rectifiers bend slopes only
    where they carry one over zero, so their gradient is nothing."""
    reached = training.moved(game, "r1", images)
    every = training.names_of(game, "discriminator")
    assert reached <= every
    assert {name for name in every if name.endswith("weight")} <= reached
    assert "discriminator.output.bias" not in reached


def test_path_length_reaches_what_w_scales(game, training, images):
    """All but the colours' biases, which are added whatever w is, and biases before rectifiers."""
    reached = training.moved(game, "path_length", images)
    every = training.names_of(game, "generator")
    assert reached <= every
    weights = {n for n in every if n.endswith("weight")} | {"generator.synthesis_network.constant"}
    assert weights <= reached
    assert not {
        n
        for n in reached
        if n.startswith("generator.synthesis_network.colours")
        and n.endswith("bias")
        and "affine" not in n
    }


# --- terms ---------------------------------------------------------------------------------------


def test_r1_against_finite_differences(game, images):
    """|dD/dx|^2 of one image, from the directional derivative along the gradient itself."""
    term = game.r1_terms(batch_of(images[:1]), Step(0, torch.Generator()))
    game.discriminator.double()
    image = images[:1].double()
    x = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(game.discriminator(x).sum(), x)
    length = gradient.norm()
    h = 1e-6 * gradient / length
    slope = (game.discriminator(image + h) - game.discriminator(image - h)) / 2e-6
    assert slope.item() == pytest.approx(length.item(), rel=1e-5)
    assert term["penalty"].item() == pytest.approx(length.item() ** 2, rel=1e-3)


def test_path_length_takes_a_part_of_the_batch_and_a_running_mean(game, images):
    step = Step(0, torch.Generator().manual_seed(1))
    terms = game.path_terms(batch_of(images), step)
    assert terms["penalty"].shape == terms["length"].shape == (4,)
    assert not terms["length"].requires_grad
    torch.testing.assert_close(terms["penalty"], terms["length"].square())
    game.path_length.mean.fill_(0.5)
    again = game.path_terms(batch_of(images), Step(0, torch.Generator().manual_seed(1)))
    torch.testing.assert_close(again["penalty"], (terms["length"] - 0.5).square())


def test_the_running_mean_follows_and_is_kept(game):
    after = phase_of(game, "path_length").after
    assert after({"penalty": 9.0, "length": 2.0}) == {"a": pytest.approx(0.02)}
    assert game.networks["path_length"].state_dict()["mean"].item() == pytest.approx(0.02)


def test_faces_of_another_size_are_refused(images):
    game, step = stylegan2.Game.preset("tiny"), Step(0, torch.Generator())
    with pytest.raises(ParameterError, match=r"faces of 16 x 16 pixels .* faces of 64 x 64"):
        game.discriminator_terms(batch_of(images), step)


def test_random_numbers_come_from_the_step_alone(game, images):
    batch = batch_of(images)
    for name in ("generator", "path_length", "discriminator"):
        loss = phase_of(game, name).loss
        first, again, other = (
            loss(batch, Step(0, torch.Generator().manual_seed(seed))) for seed in (1, 1, 2)
        )
        key = "length" if name == "path_length" else "adversarial"
        assert torch.equal(first[key], again[key])
        assert not torch.equal(first[key], other[key])


def test_processes_draw_the_rows_of_one(game):
    """Two ranks' latents, noise and crossovers are the halves of what one process draws."""
    for layer in game.generator.synthesis_network.convolutions:
        torch.nn.init.constant_(layer.strength, 0.3)
    whole, like = Step(0, torch.Generator().manual_seed(3)), torch.zeros(1)
    with torch.no_grad():
        images, w = game.draw(8, whole, like)
        for rank in range(2):
            half = Step(0, torch.Generator().manual_seed(3), rank=rank, world=2)
            part, part_w = game.draw(4, half, like)
            torch.testing.assert_close(part, images[4 * rank : 4 * rank + 4])
            torch.testing.assert_close(part_w, w[4 * rank : 4 * rank + 4])


def test_nine_of_ten_images_are_mixed_at_any_layer(game, random):
    crossover = game.sample_crossover(20_000, random)
    mixed = crossover < game.generator.layers
    assert mixed.float().mean().item() == pytest.approx(0.9, abs=0.01)
    share = torch.bincount(crossover[mixed].long(), minlength=6) / mixed.sum()
    assert share[0] == 0
    torch.testing.assert_close(share[1:], torch.full((5,), 0.2), atol=0.02, rtol=0)


def test_a_tiny_game_teaches_the_generator_a_colour(training, random):
    colour = torch.tensor([0.8, -0.6, 0.4])[:, None, None]
    images = (colour + 0.05 * torch.randn(8, 3, 16, 16, generator=random)).clamp(-1, 1)
    game = stylegan2.Game(dataclasses.replace(SMALL, learning_rate=0.03))
    shown = {"generator": game.generator}
    before = game.preview(shown, batch_of(images))
    history = training.play(game, images, steps=16)
    after = game.preview(shown, batch_of(images))
    assert before.shape == (16, 3, 16, 16)
    assert (after - colour).abs().mean() < 0.5 * (before - colour).abs().mean()
    assert len(history["path_length/length"]) == 8
    assert len(history["r1/penalty"]) == 4


# --- files ---------------------------------------------------------------------------------------


def test_a_file_brings_the_generator_back_and_its_mean_is_measured(tmp_path, game, random):
    path, config = tmp_path / "g.safetensors", dataclasses.asdict(game.config)
    networks.save(path, stylegan2.METHOD, game.generator, half=True, config=config)
    loaded = stylegan2.load(path)
    z = loaded.sample_latent(4, random)
    torch.testing.assert_close(loaded(z), game.generator(z), rtol=2e-2, atol=1e-2)
    assert loaded.truncate(loaded.mapping(z), 0.0).std(dim=0).max() < 1e-6
    torch.testing.assert_close(
        loaded.mean_w, game.generator.measure_mean_w().mean_w, rtol=1e-2, atol=1e-2
    )


def test_a_header_that_lies_is_refused(tmp_path, game):
    path, config = tmp_path / "g.safetensors", dataclasses.asdict(game.config)
    networks.save(path, stylegan2.METHOD, game.generator, config=config | {"styles": 9})
    with pytest.raises(CheckpointError, match="does not hold the network of its header"):
        stylegan2.load(path)
    networks.save(path, stylegan2.METHOD, game.generator, config=config | {"styles": 10**9})
    with pytest.raises(CheckpointError, match="header that can't be used"):
        stylegan2.load(path)


def test_a_missing_checkpoint_of_the_book_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "MODELS", tmp_path)
    with pytest.raises(AssetError, match="facelab train stylegan2"):
        stylegan2.book()


def test_an_unknown_preset_is_refused():
    with pytest.raises(ParameterError, match="paper-128"):
        stylegan2.Game.preset("huge")
