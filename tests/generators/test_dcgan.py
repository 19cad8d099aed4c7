import dataclasses
import math

import pytest
import torch

from facelab import assets
from facelab.assets import networks
from facelab.errors import AssetError, CheckpointError, ParameterError
from facelab.generators import dcgan, presets
from facelab.phases import Step
from facelab.types import Batch


def test_layer_shapes_are_those_of_the_paper():
    network = dcgan.DCGAN(latents=100, width=64).eval()
    shapes = []
    for layer in network.main:
        if isinstance(layer, torch.nn.ConvTranspose2d):
            layer.register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape[1:])))
    network(torch.zeros(1, 100))
    assert shapes == [(512, 4, 4), (256, 8, 8), (128, 16, 16), (64, 32, 32), (3, 64, 64)]


@pytest.mark.parametrize(("prior", "mean_square"), [("normal", 1.0), ("uniform", 1 / 3)])
def test_priors_have_their_moments(prior, mean_square, random):
    latent = dcgan.DCGAN(latents=200, width=4, prior=prior).sample_latent(500, random)
    assert latent.shape == (500, 200)
    assert latent.mean().abs() < 0.01
    assert latent.square().mean().item() == pytest.approx(mean_square, rel=0.02)
    assert (latent.abs().max() <= 1) == (prior == "uniform")


def test_a_seed_means_the_same_faces_in_any_batch():
    network = dcgan.DCGAN(latents=8, width=4).eval()
    all_at_once = network.sample(6, torch.Generator().manual_seed(3), batch=6)
    in_twos = network.sample(6, torch.Generator().manual_seed(3), batch=2)
    torch.testing.assert_close(all_at_once, in_twos)
    other = network.sample(6, torch.Generator().manual_seed(4))
    assert not torch.allclose(all_at_once, other)


def test_unknown_prior_is_refused():
    with pytest.raises(ValueError, match="normal, uniform"):
        dcgan.DCGAN(prior="gaussian")


def test_weights_round_trip_and_sizes_are_read_off_the_file():
    network = dcgan.DCGAN(latents=12, width=4)
    loaded = dcgan.load_generator(network.state_dict(), id="mine")
    assert (loaded.id, loaded.latents) == ("mine", 12)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_loading_draws_no_random_numbers():
    """Or a method that loads a generator would start elsewhere on its second run."""
    state = dcgan.DCGAN(latents=12, width=4).state_dict()
    before = torch.get_rng_state()
    dcgan.load_generator(state, id="mine")
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_of_another_network_are_refused():
    with pytest.raises(CheckpointError, match=r"lacks main\.0"):
        dcgan.load_generator({"conv.weight": torch.zeros(3)}, id="other")
    state = dcgan.DCGAN(latents=12, width=4).state_dict()
    state["main.3.weight"] = torch.zeros(1, 1, 1, 1)
    with pytest.raises(CheckpointError, match="does not fit"):
        dcgan.load_generator(state, id="damaged")


def test_the_pretrained_generator_is_trained():
    """Its faces vary between latents and are smooth; random weights are neither."""
    network = dcgan.pretrained()
    faces = network.sample(32, torch.Generator().manual_seed(0))
    assert (network.latents, faces.shape) == (100, (32, 3, 64, 64))
    assert faces.std(dim=0).mean() > 0.3
    step = (faces[..., 1:] - faces[..., :-1]).abs().mean()
    shuffled = faces.flatten(2)[..., torch.randperm(4096)].view_as(faces)
    assert step < 0.2 * (shuffled[..., 1:] - shuffled[..., :-1]).abs().mean()
    assert assets.ASSETS["gan-face-generate"].licence


# --- training ------------------------------------------------------------------------------------


def batch_of(images):
    return Batch(images=images, identity=torch.arange(len(images)))


def pictures(random, count=8, size=64):
    return torch.rand(count, 3, size, size, generator=random) * 2 - 1


def test_the_papers_generator_begins_with_1024_channels():
    with torch.device("meta"):
        networks = dcgan.Game.preset("paper").networks
    convolutions = [
        m for m in networks["generator"].main if isinstance(m, torch.nn.ConvTranspose2d)
    ]
    assert [m.out_channels for m in convolutions] == [1024, 512, 256, 128, 3]
    assert networks["generator"].prior == "uniform"


@pytest.mark.parametrize("preset", ["tiny", "book", "paper"])
def test_presets_fit_together(preset):
    with torch.device("meta"):
        game = dcgan.Game.preset(preset)
        latent = torch.zeros(4, game.config.latents)
        images = game.generator(latent)
        assert images.shape == (4, 3, 64, 64)
        assert game.discriminator(images).shape == (4,)


def test_the_books_prior_is_that_of_li_and_luo(random):
    game = dcgan.Game.preset("tiny")
    assert (dcgan.BOOK.latents, dcgan.BOOK.prior) == (200, "uniform")
    assert game.generator.sample_latent(100, random).abs().max() <= 1


def test_the_book_generator_fits_into_ten_megabytes():
    with torch.device("meta"):
        state = dcgan.Game.preset("book").generator.state_dict()
    assert sum(t.numel() for t in state.values()) * 2 < 10e6


def test_weights_start_as_in_the_paper():
    game = dcgan.Game(dcgan.Config(latents=100, width=16))
    first = game.generator.main[0].weight
    assert first.std().item() == pytest.approx(0.02, rel=0.02)
    assert game.discriminator.main[3].weight.mean().item() == pytest.approx(1, abs=0.02)


def test_each_loss_reaches_its_own_player(training, random):
    game, images = dcgan.Game.preset("tiny"), pictures(random)
    both = training.names_of(game, "generator", "discriminator")
    only = training.names_of(game, "discriminator")
    assert training.moved(game, "discriminator", images) == only
    assert training.moved(game, "generator", images) == both


def test_losses_are_those_of_the_game(random):
    game, images = dcgan.Game.preset("tiny"), pictures(random)
    batch = batch_of(images)
    z = game.generator.sample_latent(8, torch.Generator().manual_seed(5))
    fake = game.discriminator(game.generator(z))
    step = Step(0, torch.Generator().manual_seed(5))
    torch.testing.assert_close(
        game.generator_terms(batch, step)["adversarial"], -torch.sigmoid(fake).log()
    )
    step.random.manual_seed(5)
    expected = -torch.sigmoid(game.discriminator(images)).log() - (1 - torch.sigmoid(fake)).log()
    torch.testing.assert_close(
        game.discriminator_terms(batch, step)["adversarial"], expected, rtol=1e-4, atol=1e-4
    )


def test_a_tiny_game_moves_both_players(training, random):
    """All real images are of one colour: soon they are told apart, and colours begin to move."""
    colour = torch.tensor([0.8, -0.6, 0.4])[:, None, None]
    images = (colour + 0.05 * torch.randn(8, 3, 64, 64, generator=random)).clamp(-1, 1)
    game = dcgan.Game(dataclasses.replace(dcgan.TINY, learning_rate=2e-3))
    preview = game.preview(game.networks, batch_of(images))
    loss = training.play(game, images, steps=30)["discriminator/adversarial"]
    after = game.preview({"generator": game.generator.eval()}, batch_of(images))
    assert preview.shape == after.shape == (16, 3, 64, 64)
    assert loss[0] == pytest.approx(2 * math.log(2), rel=0.3)
    assert min(loss) < 0.5 * loss[0]
    assert (after - colour).abs().mean() < 0.98 * (preview - colour).abs().mean()


def test_faces_of_another_size_are_refused(random):
    game, step = dcgan.Game.preset("tiny"), Step(0, torch.Generator())
    with pytest.raises(ParameterError, match=r"faces of 32 x 32 pixels .* faces of 64 x 64"):
        game.discriminator_terms(batch_of(pictures(random, size=32)), step)


def test_previews_have_the_same_latents_at_every_call(random):
    game, batch = dcgan.Game.preset("tiny"), batch_of(pictures(random))
    shown = {"generator": game.generator.eval()}
    assert torch.equal(game.preview(shown, batch), game.preview(shown, batch))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"latents": 0}, "latents = 0"),
        ({"width": 2.5}, r"width = 2\.5"),
        ({"width": 10_000}, "from 1 to 512"),
        ({"prior": "gaussian"}, "normal, uniform"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"beta1": 1.5}, "from 0 to 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ParameterError, match=message):
        dcgan.Config.__init__.__wrapped__(object.__new__(dcgan.Config), **wrong)


def test_an_unknown_preset_is_refused():
    with pytest.raises(ParameterError, match="tiny, book, paper"):
        dcgan.Game.preset("huge")


def test_a_file_brings_the_generator_back(tmp_path, random):
    game = dcgan.Game.preset("tiny")
    path, config = tmp_path / "dcgan.safetensors", dataclasses.asdict(game.config)
    networks.save(path, dcgan.METHOD, game.generator, half=True, config=config)
    loaded = dcgan.load(path)
    assert (loaded.prior, loaded.latents, loaded.training) == ("uniform", 8, False)
    latent = loaded.sample_latent(4, random)
    expected = game.generator.eval()(latent)
    torch.testing.assert_close(loaded(latent), expected, rtol=1e-2, atol=1e-3)


def test_a_file_of_another_method_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    networks.save(path, "began", dcgan.DCGAN(8, 4), config={})
    with pytest.raises(CheckpointError, match="of began, dcgan expected"):
        dcgan.load(path)


def test_a_missing_checkpoint_of_the_book_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "MODELS", tmp_path)
    with pytest.raises(AssetError, match="facelab train dcgan"):
        dcgan.book()
