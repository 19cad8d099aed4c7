"""Section 3.2 and 3.3: who moves, on what, and when."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from facelab.data.latents import W_LABEL, code_label
from facelab.engine import loop
from facelab.engine.settings import Settings
from facelab.errors import DatasetError, ParameterError
from facelab.methods.idmap import losses, training
from facelab.methods.idmap.config import PAPER, Weights
from facelab.methods.idmap.training import Game, is_cross
from facelab.phases import Step

SAME, CROSS = 0, 2  # numbers of steps of the two kinds


def step(number: int) -> Step:
    return Step(number, torch.Generator().manual_seed(0))


@pytest.fixture
def game_of(seeded):
    """Builds the game of a configuration, from a seed."""
    return lambda config, frozen: seeded(lambda: Game(config, frozen))


def phases_of(game) -> dict:
    return {phase.name: phase for phase in game.phases()}


def moved(game, phase, batch, number) -> set[str]:
    """Return the networks that a phase gives a slope other than zero, all being free to move."""
    total = sum(term.sum() for term in phase.loss(batch, step(number)).values())
    found = set()
    for name, network in game.networks.items():
        slopes = torch.autograd.grad(
            total, list(network.parameters()), retain_graph=True, allow_unused=True
        )
        if any(slope is not None and slope.abs().max() > 0 for slope in slopes):
            found.add(name)
    return found


# --- the schedule --------------------------------------------------------------------------------


def test_the_papers_schedule_combines_faces_every_third_step():
    assert [is_cross(number, PAPER) for number in range(7)] == [False, False, True] * 2 + [False]
    always, never = (dataclasses.replace(PAPER, cross=n) for n in (3, 0))
    assert all(is_cross(number, always) for number in range(4))
    assert not any(is_cross(number, never) for number in range(4))


def test_a_cross_step_takes_the_neighbours_identity(config, frozen, faces, game_of):
    game, batch = game_of(config, frozen), faces.batch(range(4))
    own = frozen.identity(batch.images, "book64")
    torch.testing.assert_close(game.identity_codes(batch, step(SAME)), own, atol=1e-4, rtol=1e-4)
    crossed = game.identity_codes(batch, step(CROSS))
    torch.testing.assert_close(crossed, own[[1, 2, 3, 0]], atol=1e-4, rtol=1e-4)


def test_stored_codes_are_the_computed_ones(config, frozen, faces, game_of):
    game, batch = game_of(config, frozen), faces.batch(range(4))
    bare = dataclasses.replace(batch, labels={W_LABEL: batch.labels[W_LABEL]})
    assert code_label("random") in batch.labels
    stored, computed = (game.identity_codes(b, step(SAME)) for b in (batch, bare))
    torch.testing.assert_close(stored, computed, atol=1e-4, rtol=1e-4)


def test_nothing_is_reconstructed_where_two_faces_are_combined(config, frozen, faces, game_of):
    game, batch = game_of(config, frozen), faces.batch(range(4))
    terms = {n: game.other_terms(batch, step(n)) for n in (SAME, CROSS)}
    assert (terms[SAME]["reconstruction"] > 0).all()
    assert terms[CROSS]["reconstruction"].tolist() == [0] * 4
    for term in ("identity", "landmarks"):
        assert (terms[CROSS][term] > 0).all()


# --- who moves -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [SAME, CROSS])
def test_what_each_loss_reaches(config, frozen, faces, number, game_of):
    """D_W's loss does not reach M; M's two losses reach E_attr too, the optimisers differ."""
    game, batch = game_of(config, frozen), faces.batch(range(4))
    phases = phases_of(game)
    assert moved(game, phases["critic"], batch, number) == {"critic"}
    assert moved(game, phases["adversarial"], batch, number) == {"attributes", "mapping", "critic"}
    assert moved(game, phases["other"], batch, number) == {"attributes", "mapping"}


def test_what_each_step_moves(config, frozen, game_of):
    phases = phases_of(game_of(config, frozen))
    assert {name: phase.parameters for name, phase in phases.items()} == {
        "critic": ("critic",),
        "adversarial": ("mapping",),
        "other": ("attributes", "mapping"),
    }
    assert {name: phase.optimiser.learning_rate for name, phase in phases.items()} == {
        "critic": config.critic_rate,
        "adversarial": config.adversarial_rate,
        "other": config.learning_rate,
    }
    assert all(phase.optimiser.betas == (0.9, 0.999) for phase in phases.values())
    assert all(phase.shares is None for phase in phases.values())
    both = phases_of(game_of(dataclasses.replace(config, adversarial_moves="both"), frozen))
    assert both["adversarial"].parameters == ("attributes", "mapping")


def test_a_pretraining_comes_before_all_else(config, frozen, faces, game_of):
    game = game_of(dataclasses.replace(config, pretrain_steps=5), frozen)
    phases, batch = phases_of(game), faces.batch(range(4))
    assert next(iter(phases)) == "inversion"
    assert phases["inversion"].until == 5
    assert {phase.offset for name, phase in phases.items() if name != "inversion"} == {5}
    assert moved(game, phases["inversion"], batch, CROSS) == {"attributes", "mapping"}
    with torch.no_grad():
        w, _ = game.predicted(batch, step(SAME))
    wanted = losses.latent_loss(w, batch.labels[W_LABEL])
    torch.testing.assert_close(game.inversion_terms(batch, step(CROSS))["latent"], wanted)


def test_frozen_networks_get_no_slope(config, frozen, faces, game_of):
    game, batch = game_of(config, frozen), faces.batch(range(4))
    sum(term.sum() for term in game.other_terms(batch, step(CROSS)).values()).backward()
    for part in (frozen.identity, frozen.generator, frozen.landmarks):
        assert all(p.grad is None and not p.requires_grad for p in part.parameters())


def test_without_a_critic(config, frozen, game_of):
    weights = dataclasses.replace(config.weights, adversarial=0.0)
    game = game_of(dataclasses.replace(config, weights=weights), frozen)
    assert set(game.networks) == {"attributes", "mapping"}
    assert set(phases_of(game)) == {"other"}


def test_a_weight_of_zero_leaves_a_term_out(config, frozen, faces, game_of):
    weights = Weights(adversarial=0.0, identity=1.0, landmarks=0.0, reconstruction=0.0)
    game = game_of(dataclasses.replace(config, weights=weights), frozen)
    assert set(game.other_terms(faces.batch(range(2)), step(SAME))) == {"identity"}
    assert phases_of(game)["other"].weights == {"identity": 1.0}


def test_the_true_vector_is_asked_for_where_a_face_is_rebuilt(config, frozen, faces, game_of):
    weights = dataclasses.replace(config.weights, latent=1.0)
    game, batch = game_of(dataclasses.replace(config, weights=weights), frozen), faces.batch([0, 1])
    with torch.no_grad():
        w, _ = game.predicted(batch, step(SAME))
    rebuilt = game.other_terms(batch, step(SAME))["latent"]
    torch.testing.assert_close(rebuilt, losses.latent_loss(w, batch.labels[W_LABEL]))
    assert game.other_terms(batch, step(CROSS))["latent"].tolist() == [0, 0]


# --- equations 2 and 3 ---------------------------------------------------------------------------


def test_the_game_on_logits_is_the_closed_form(config, frozen, faces, game_of):
    """Equation 2 in probabilities, and equation 3, computed with sigmoids in float64."""
    game, batch = game_of(config, frozen), faces.batch(range(4))
    with torch.no_grad():
        made, _ = game.predicted(batch, step(SAME))
        real = torch.sigmoid(game.critic(batch.labels[W_LABEL]).double())
        fake = torch.sigmoid(game.critic(made).double())
    terms = game.critic_terms(batch, step(SAME))
    wanted = -torch.log(real) - torch.log(1 - fake)
    torch.testing.assert_close(terms["game"].double(), wanted, atol=1e-5, rtol=1e-5)
    against = game.adversarial_terms(batch, step(SAME))["adversarial"]
    torch.testing.assert_close(against.double(), -torch.log(fake), atol=1e-5, rtol=1e-5)


def test_the_game_is_on_logits_not_on_probabilities():
    """A binary cross-entropy for probabilities would be finite nowhere near these values."""
    from facelab.generators import adversarial

    far = torch.tensor([200.0, -200.0])
    loss = adversarial.non_saturating_discriminator(far, far.flip(0))
    assert loss.tolist() == [0.0, 400.0]
    torch.testing.assert_close(
        adversarial.non_saturating_generator(far),
        F.binary_cross_entropy_with_logits(far, torch.ones(2), reduction="none"),
    )


def test_r1_of_a_linear_critic_is_its_squared_weight(config, frozen, faces, game_of):
    game, batch = game_of(config, frozen), faces.batch(range(4))
    weight = torch.arange(8.0)
    linear = torch.nn.Linear(8, 1)
    with torch.no_grad():
        linear.weight.copy_(weight[None])
    game.critic.perceptron = torch.nn.Sequential(linear)
    r1 = game.critic_terms(batch, step(SAME))["r1"]
    assert r1.tolist() == pytest.approx([float(weight.square().sum())] * 4)
    assert phases_of(game)["critic"].weights == {"r1": config.gamma / 2}


# --- data and devices ----------------------------------------------------------------------------


def test_faces_without_latent_vectors(config, frozen, faces, game_of):
    game, batch = game_of(config, frozen), faces.batch(range(4))
    bare = dataclasses.replace(batch, labels={})
    with pytest.raises(DatasetError, match=r"no latent vectors.*idmap_faces\.py"):
        game.critic_terms(bare, step(SAME))
    z = torch.zeros(4, 8)
    labelled = dataclasses.replace(batch, labels={"latent": z})
    w = game._true(labelled)
    torch.testing.assert_close(w, frozen.generator.mapping(z))


def test_faces_of_another_size(config, frozen, faces, game_of):
    game, batch = game_of(config, frozen), faces.batch(range(2))
    small = dataclasses.replace(batch, images=batch.images[:, :, ::2, ::2].contiguous())
    with pytest.raises(ParameterError, match="faces of 32 x 32 pixels can't be used"):
        game.other_terms(small, step(SAME))


def test_other_generators_sizes_are_read(
    monkeypatch, config, frozen, generator, seeded, tiny_config
):
    monkeypatch.setattr(training.latent_space, "read_generator", lambda name: generator)
    monkeypatch.setattr(training, "frozen_of", lambda config: frozen)
    monkeypatch.setattr(training, "PRESETS", {"tiny": tiny_config(size=32)})
    game = seeded(lambda: Game.for_task("tiny", "ffhq.safetensors"))
    assert (game.config.w, game.config.size) == (8, 64)
    assert game.config.generator == "ffhq.safetensors"


def test_w_plus_plays_too(frozen, faces, tiny_config, game_of):
    layers = frozen.generator.layers
    game, batch = game_of(tiny_config(layers=layers), frozen), faces.batch(range(2))
    for phase in game.phases():
        for term in phase.loss(batch, step(CROSS)).values():
            assert torch.isfinite(term).all()


def test_a_run_resumes_to_the_same_weights(tmp_path, config, frozen, faces, game_of):
    def trained(folder, *lengths):
        for length in lengths:
            game = game_of(config, frozen)
            settings = Settings(steps=length, batch=4, seed=0, workers=0)
            loop.train(game, faces, settings, folder, resume=True, progress=False)
        return game

    whole, parts = trained(tmp_path / "a", 4), trained(tmp_path / "b", 2, 4)
    for name, network in whole.networks.items():
        other = parts.networks[name].state_dict()
        for key, value in network.state_dict().items():
            assert torch.equal(value, other[key]), f"{name}.{key}"


def test_the_preview_is_the_papers_figure_2(config, frozen, faces, game_of):
    game, batch = game_of(config, frozen), faces.batch(range(4))
    shown = game.preview(game.networks, batch)
    assert shown.shape == (12, 3, 64, 64)
    torch.testing.assert_close(shown[:3], batch.images[:3])
    assert game.embedders == ("random",)
