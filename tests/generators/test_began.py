"""BEGAN: its networks, the game's balance, and what each loss moves."""

import dataclasses

import pytest
import torch

from facelab.assets import networks
from facelab.errors import AssetError, ParameterError
from facelab.generators import began, presets
from facelab.phases import Step
from facelab.types import Batch

SMALL = dataclasses.replace(began.TINY, size=16)


@pytest.fixture
def images(random):
    return torch.rand(8, 3, 16, 16, generator=random) * 2 - 1


def count(network):
    return sum(p.numel() for p in network.parameters())


def test_parameters_against_the_papers_count():
    """17.3 million for 128 pixels and n = 128, says section 4.1; see the module for the rest."""
    with torch.device("meta"):
        game = began.Game.preset("paper")
    total = count(game.generator) + count(game.discriminator)
    assert total == pytest.approx(17.3e6, rel=0.025)


def test_a_decoder_counted_by_hand():
    """Linear 64 -> 64 n, ten n -> n convolutions at five scales, and one to colours."""
    with torch.device("meta"):
        decoder = began.Decoder(began.PAPER)
    n = 128
    assert count(decoder) == 65 * 64 * n + 10 * (9 * n * n + n) + 9 * n * 3 + 3


@pytest.mark.parametrize("preset", ["tiny", "book", "paper"])
@pytest.mark.parametrize("skips", [False, True])
def test_presets_fit_together(preset, skips):
    with torch.device("meta"):
        game = began.Game(dataclasses.replace(began.PRESETS[preset], skips=skips))
        size = game.config.size
        images = game.generator(torch.zeros(2, game.config.code))
        assert images.shape == game.discriminator(images).shape == (2, 3, size, size)
        assert game.discriminator.encoder(images).shape == (2, game.config.code)


def test_channels_grow_linearly_and_the_side_halves():
    with torch.device("meta"):
        encoder = began.Encoder(began.PAPER)
        x, shapes = encoder.first(torch.zeros(1, 3, 128, 128)), []
        for scale in encoder.scales:
            x = scale(x)
            shapes.append(tuple(x.shape[1:]))
    assert shapes == [(256, 64, 64), (384, 32, 32), (512, 16, 16), (640, 8, 8)]


def test_the_prior_is_uniform(random):
    generator = began.Game(SMALL).generator
    z = generator.sample_latent(2000, random)
    assert z.shape == (2000, 8)
    assert z.abs().max() <= 1
    assert z.square().mean().item() == pytest.approx(1 / 3, rel=0.03)
    assert generator.mapping(z) is z


def test_a_skip_shows_the_first_features_at_every_scale():
    """With a first scale that draws the same whatever z is, z still reaches the image."""
    config = dataclasses.replace(began.TINY, size=16, skips=True)
    decoder, z = began.Decoder(config), torch.eye(2, config.code)
    with torch.no_grad():
        decoder.scales[0][2].weight.zero_()
        first, second = decoder(z)
        assert (first - second).abs().mean() > 1e-4
        decoder.scales[1][0].weight[:, config.width :] = 0
        first, second = decoder(z)
    torch.testing.assert_close(first, second)


def test_weights_start_as_glorot_and_bengio_say():
    game = began.Game(dataclasses.replace(SMALL, width=32))
    layer = game.generator.decoder.scales[0][0]
    assert not layer.bias.any()
    assert layer.weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.03)


def test_each_loss_reaches_its_own_player(training, images):
    game = began.Game(SMALL)
    game.balance.k.fill_(0.5)
    only = training.names_of(game, "discriminator")
    assert training.moved(game, "discriminator", images) == only
    both = training.names_of(game, "generator", "discriminator")
    assert training.moved(game, "generator", images) == both


def test_the_discriminators_loss_is_that_of_the_paper(images):
    """L_D = L(x) - k_t L(G(z)), the errors computed one image at a time."""
    game = began.Game(SMALL)
    game.balance.k.fill_(0.25)
    step = Step(0, torch.Generator().manual_seed(3))
    batch = Batch(images=images, identity=torch.arange(8))
    terms = game.discriminator_terms(batch, step)
    z = game.generator.sample_latent(8, torch.Generator().manual_seed(3))
    error = game.discriminator
    real = [(error(x[None]) - x).abs().mean() for x in images]
    fake = [(error(x[None]) - x).abs().mean() for x in game.generator(z)]
    torch.testing.assert_close(terms["real"], torch.stack(real))
    torch.testing.assert_close(terms["fake"], -0.25 * torch.stack(fake))


@pytest.mark.parametrize(("reading", "expected"), [("began", 0.21), ("printed", 0.209)])
def test_k_moves_after_the_generator_by_the_whole_batchs_errors(reading, expected):
    config = dataclasses.replace(SMALL, k_rate=0.1, reading=reading)
    game = began.Game(config)
    game.balance.k.fill_(0.2)
    first, second = game.phases()
    assert first.after({"real": 0.4, "fake": -0.2 * 0.1}) == {}
    logged = second.after({"fake": 0.1})
    assert logged == pytest.approx({"k": expected, "M": 0.4 + 0.1})
    state = game.networks["balance"].state_dict()
    assert float(state["k"]) == pytest.approx(expected)


def test_a_tiny_game_learns_to_reconstruct(training, images):
    """On one batch of smooth pictures the real images' error halves, and k stays in its bounds."""
    smooth = torch.nn.functional.interpolate(images[..., :2, :2], size=(16, 16), mode="bilinear")
    game = began.Game(dataclasses.replace(SMALL, learning_rate=5e-3))
    history = training.play(game, smooth, steps=50)
    real = history["discriminator/real"]
    assert real[-1] < 0.5 * real[0]
    assert 0 < max(history["generator/k"]) <= 1
    assert history["generator/M"][-1] < history["generator/M"][0]


def test_faces_of_another_size_are_refused(images):
    batch = Batch(images=images, identity=torch.arange(8))
    with pytest.raises(ParameterError, match=r"faces of 16 x 16 pixels .* faces of 64 x 64"):
        began.Game.preset("tiny").discriminator_terms(batch, Step(0, torch.Generator()))


def test_the_learning_rate_halves_where_the_settings_say():
    first, second = began.Game(dataclasses.replace(SMALL, halve_at=(5, 9))).phases()
    for phase in (first, second):
        settings = phase.optimiser
        assert (settings.schedule, settings.milestones, settings.factor) == (
            "milestones",
            (5, 9),
            0.5,
        )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 48}, "size = 48"),
        ({"width": 0}, "width = 0"),
        ({"gamma": -0.1}, "from 0 to 1"),
        ({"learning_rate": float("inf")}, "above 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ParameterError, match=message):
        began.Config(**wrong)


def test_a_file_brings_the_generator_back(tmp_path, random):
    game = began.Game(dataclasses.replace(SMALL, halve_at=(3,)))
    path, config = tmp_path / "began.safetensors", dataclasses.asdict(game.config)
    networks.save(path, began.METHOD, game.generator, half=True, config=config)
    loaded = began.load(path)
    latent = loaded.sample_latent(4, random)
    torch.testing.assert_close(loaded(latent), game.generator(latent), rtol=1e-2, atol=1e-2)
    assert (loaded.id, loaded.size, loaded.prior) == ("began", 16, "uniform")


def test_a_missing_checkpoint_of_the_book_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "MODELS", tmp_path)
    with pytest.raises(AssetError, match="facelab train began"):
        began.book()
