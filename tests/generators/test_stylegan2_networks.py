"""StyleGAN2's networks: sizes, latent spaces, noise, truncation, mixing, the batch's spread."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

from facelab.errors import ParameterError
from facelab.generators.stylegan2 import config as sizes
from facelab.generators.stylegan2.layers import (
    blur,
    enlarge,
    make_filter,
    modulated_convolution,
)
from facelab.generators.stylegan2.networks import (
    Discriminator,
    ResidualBlock,
    StyledConvolution,
    StyleGAN2,
    ToRGB,
    append_spread,
    pixel_norm,
)

SMALL = dataclasses.replace(sizes.TINY, channels=(8, 8, 6), latents=5, styles=7)


@pytest.fixture
def generator():
    """A small generator whose noise has a strength, as after training."""
    network = StyleGAN2(SMALL).eval()
    for layer in network.synthesis_network.convolutions:
        torch.nn.init.constant_(layer.strength, 0.3)
    return network.requires_grad_(False)


@pytest.fixture
def w(generator, random):
    return generator.mapping(generator.sample_latent(4, random))


def count(network):
    return sum(p.numel() for p in network.parameters())


def test_parameters_against_the_papers_counts():
    """Configuration F at 1024 pixels: 30 million and 29 million, says section 4.2."""
    with torch.device("meta"):
        config = sizes.paper(1024)
        assert count(StyleGAN2(config)) == 30_370_060
        assert count(Discriminator(config)) == 29_012_513


@pytest.mark.parametrize("preset", sizes.PRESETS)
@pytest.mark.parametrize("fused", [False, True])
def test_presets_fit_together(preset, fused):
    with FakeTensorMode():  # shapes without numbers
        config = sizes.PRESETS[preset]
        network = StyleGAN2(config)
        network.synthesis_network.fused = fused
        w = network.mapping(torch.zeros(2, config.latents))
        assert w.shape == (2, config.styles)
        images = network.synthesis(w)
        assert images.shape == (2, 3, config.size, config.size)
        assert Discriminator(config)(images).shape == (2,)


def test_the_paper_presets_have_their_sizes():
    assert [sizes.PRESETS[f"paper-{side}"].size for side in (64, 128)] == [64, 128]
    assert sizes.PRESETS["paper"].size == 256
    assert sizes.PRESETS["paper"].channels == (512, 512, 512, 512, 512, 256, 128)
    assert sizes.PRESETS["paper"].layers == 14


def test_the_book_generator_fits_into_ten_megabytes():
    with torch.device("meta"):
        state = StyleGAN2(sizes.BOOK).state_dict()
    assert sizes.BOOK.size == 64
    assert sum(t.numel() for t in state.values()) * 2 < 10e6


# --- latent spaces -------------------------------------------------------------------------------


def test_z_and_twice_z_are_one_face(generator, random):
    z = generator.sample_latent(3, random)
    torch.testing.assert_close(generator(z), generator(2 * z))
    torch.testing.assert_close(pixel_norm(z).norm(dim=1), torch.full((3,), 5**0.5))


def test_the_prior_is_normal(random):
    z = StyleGAN2(SMALL).sample_latent(4000, random)
    assert z.shape == (4000, 5)
    assert z.mean().abs() < 0.02
    assert z.std().item() == pytest.approx(1, rel=0.02)


def test_w_plus_of_one_w_is_that_w(generator, w):
    w_plus = generator.to_w_plus(w)
    assert w_plus.shape == (4, 6, 7)
    torch.testing.assert_close(generator.synthesis(w_plus), generator.synthesis(w))
    assert generator.to_w_plus(w_plus) is w_plus


def test_each_layer_of_w_plus_is_used(generator, w):
    """Changing any one of the six w changes the image; nothing else of the image's inputs did."""
    images = generator.synthesis(w)
    for layer in range(generator.layers):
        w_plus = generator.to_w_plus(w).clone()
        w_plus[:, layer] += 1
        assert (generator.synthesis(w_plus) - images).abs().max() > 1e-3


def test_the_last_layer_colours_and_the_first_draws(generator, w):
    """Layer i drives convolution i; a toRGB is driven by the layer behind its convolution."""
    drawn = {}
    network = generator.synthesis_network
    for name, layer in network.named_modules():
        if name.endswith("affine"):
            layer.register_forward_pre_hook(
                lambda _, args, name=name: drawn.update({name: args[0].clone()})
            )
    marked = torch.arange(6.0)[None, :, None].expand(4, -1, 7)
    generator.synthesis(marked)
    found = {name: int(value[0, 0]) for name, value in drawn.items()}
    expected = {f"convolutions.{i}.affine": i for i in range(5)}
    expected |= {"colours.0.affine": 1, "colours.1.affine": 3, "colours.2.affine": 5}
    assert found == expected


def test_w_plus_of_another_generator_is_refused(generator):
    with pytest.raises(ParameterError, match="has 4 layers, this generator 6"):
        generator.synthesis(torch.zeros(1, 4, 7))


def test_mixing_takes_the_first_layers_from_one_and_the_rest_from_the_other(generator, w):
    coarse, fine = w[:2], w[2:]
    mixed = generator.mix(coarse, fine, 2)
    torch.testing.assert_close(mixed[:, :2], generator.to_w_plus(coarse)[:, :2])
    torch.testing.assert_close(mixed[:, 2:], generator.to_w_plus(fine)[:, 2:])
    torch.testing.assert_close(generator.mix(coarse, fine, 6), generator.to_w_plus(coarse))
    torch.testing.assert_close(generator.mix(coarse, fine, 0), generator.to_w_plus(fine))
    each = generator.mix(coarse, fine, torch.tensor([1.0, 5.0]))
    torch.testing.assert_close(each[0], generator.mix(coarse, fine, 1)[0])
    torch.testing.assert_close(each[1], generator.mix(coarse, fine, 5)[1])


def test_truncation_at_its_ends(generator, w):
    generator.measure_mean_w()
    torch.testing.assert_close(generator.truncate(w, 1.0), w)
    torch.testing.assert_close(generator.truncate(w, 0.0), generator.mean_w.expand(4, -1))
    w_plus = generator.to_w_plus(w)
    halfway = generator.truncate(w_plus, 0.5)
    torch.testing.assert_close(halfway, (w_plus + generator.mean_w) / 2)


def test_the_mean_w_is_that_of_many(generator):
    z = generator.sample_latent(512, torch.Generator().manual_seed(7))
    mean = generator.measure_mean_w(512, seed=7).mean_w
    torch.testing.assert_close(mean, generator.mapping(z).mean(0))


def test_truncation_without_a_mean_is_refused(generator, w):
    with pytest.raises(ParameterError, match=r"measure_mean_w\(\) first"):
        generator.truncate(w, 0.5)


# --- noise ---------------------------------------------------------------------------------------


def test_without_noise_the_stored_one_serves_and_a_face_is_a_function_of_w(generator, w):
    assert torch.equal(generator.synthesis(w), generator.synthesis(w))
    stored = [layer.noise.flatten() for layer in generator.synthesis_network.convolutions]
    given = torch.cat(stored)[None].expand(4, -1)
    torch.testing.assert_close(generator.synthesis(w, given), generator.synthesis(w))


def test_noise_follows_its_seed(generator, w):
    first, again = (generator.sample_noise(4, torch.Generator().manual_seed(1)) for _ in range(2))
    other = generator.sample_noise(4, torch.Generator().manual_seed(2))
    assert first.shape == (4, 16 + 2 * (64 + 256))
    assert torch.equal(generator.synthesis(w, first), generator.synthesis(w, again))
    assert (generator.synthesis(w, first) - generator.synthesis(w, other)).abs().max() > 1e-3


def test_an_untrained_generator_ignores_noise(random):
    network = StyleGAN2(SMALL).eval()
    w = network.mapping(network.sample_latent(2, random))
    noise = network.sample_noise(2, random)
    torch.testing.assert_close(network.synthesis(w, noise), network.synthesis(w))


def test_both_forms_draw_the_same_images(generator, w, tolerance):
    unfused = generator.synthesis(w)
    generator.synthesis_network.fused = True
    torch.testing.assert_close(generator.synthesis(w), unfused, **tolerance[torch.float32])


def test_bfloat16_draws_nearly_the_same(generator, w):
    with torch.autocast("cpu", torch.bfloat16):
        images = generator.synthesis(w)
    assert images.dtype == torch.float32
    assert (images - generator.synthesis(w)).abs().mean() < 0.03


@pytest.mark.parametrize("up", [False, True])
def test_a_styled_convolution_step_by_step(random, up, tolerance):
    """sqrt(2) leaky(blurred convolution + strength noise + bias), each as the papers print it."""
    layer = StyledConvolution(4, 5, 7, 8 if up else 4, up=up)
    torch.nn.init.constant_(layer.strength, 0.7)
    torch.nn.init.normal_(layer.bias)
    x, w = torch.randn(2, 4, 4, 4, generator=random), torch.randn(2, 7, generator=random)
    noise = torch.randn(2, 1, layer.side, layer.side, generator=random)
    y = layer(x, w, noise, make_filter(), False)
    style = w @ layer.affine.weight.T / 7**0.5 + 1
    plain = modulated_convolution(x, layer.weight / 6, style, up=up, fused=True)
    if up:  # a filter of sum 4, for a transposed convolution fills a quarter of the places
        plain = F.conv2d(plain.flatten(0, 1)[:, None], 4 * make_filter()[None, None], padding=1)
        plain = plain.view(2, 5, 8, 8)
    expected = 2**0.5 * F.leaky_relu(plain + 0.7 * noise + layer.bias[:, None, None], 0.2)
    torch.testing.assert_close(y, expected, **tolerance[torch.float32])


def test_colours_are_a_modulated_convolution(random, tolerance):
    layer = ToRGB(6, 7)
    torch.nn.init.normal_(layer.bias)
    x, w = torch.randn(2, 6, 5, 5, generator=random), torch.randn(2, 7, generator=random)
    weight, style = layer.weight / 6**0.5, layer.affine(w)
    plain = modulated_convolution(x, weight, style, demodulate=False, fused=True)
    expected = plain + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x, w), expected, **tolerance[torch.float32])


def test_doubling_the_side_keeps_the_strength(random):
    """White features come out with unit variance or less, never a quarter of it."""
    layer = StyledConvolution(64, 64, 7, 32, up=True)
    x = torch.ones(1, 64, 16, 16) * torch.randn(1, 64, 1, 1, generator=random)
    y = layer(x, torch.zeros(1, 7), torch.zeros(1, 1, 32, 32), make_filter(), False)
    assert y[..., 4:-4, 4:-4].square().mean().item() == pytest.approx(1.04, rel=0.4)


def test_an_image_is_the_sum_of_the_scales_colours(generator, w):
    seen = []
    for layer in generator.synthesis_network.colours:
        layer.register_forward_hook(lambda _, __, out: seen.append(out.clone()))
    image = generator.synthesis(w)
    small, middle, large = seen
    kernel = make_filter()
    torch.testing.assert_close(image, enlarge(enlarge(small, kernel) + middle, kernel) + large)


# --- the discriminator ---------------------------------------------------------------------------


def test_spread_against_a_slow_twin(random):
    """Six images in groups of three: image i is in group i modulo 2."""
    x = torch.randn(6, 4, 2, 2, generator=random)
    y = append_spread(x, group=4)
    assert y.shape == (6, 5, 2, 2)
    torch.testing.assert_close(y[:, :4], x)
    for group in range(2):
        members = x[group::2]
        deviation = (members - members.mean(0)).square().mean(0).add(1e-8).sqrt().mean()
        torch.testing.assert_close(y[group::2, 4], deviation.expand(3, 2, 2))


def test_spread_of_one_face_again_and_again_is_nothing(random):
    x = torch.randn(1, 4, 2, 2, generator=random).expand(8, -1, -1, -1)
    assert append_spread(x, group=4)[:, 4].max() < 1e-3


def test_a_lone_image_and_a_prime_batch_are_taken(random):
    discriminator = Discriminator(SMALL)
    for batch in (1, 5):
        images = torch.randn(batch, 3, 16, 16, generator=random)
        assert discriminator(images).shape == (batch,)


def test_a_residual_block_step_by_step(random, tolerance):
    """The papers' order: blur, then every second pixel, in both branches; the sum over sqrt(2)."""
    block, kernel = ResidualBlock(6, 5), make_filter()
    x = torch.randn(2, 6, 8, 8, generator=random)
    first = block.first(x, padding=1)
    second = block.second(blur(first, kernel, padding=2), stride=2)
    skip = F.conv2d(blur(x, kernel, padding=1), block.shortcut.weight / 6**0.5)[..., ::2, ::2]
    y = block(x, kernel)
    torch.testing.assert_close(y, (second + skip) / 2**0.5, **tolerance[torch.float32])
    assert y.shape == (2, 5, 4, 4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"channels": (8,)}, "1 scales"),
        ({"channels": (8, 0)}, r"channels\[1\] = 0"),
        ({"mapping_layers": 99}, "from 1 to 16"),
        ({"mixing": 2.0}, "from 0 to 1"),
        ({"r1": -1.0}, "from 0 on"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ParameterError, match=message):
        sizes.Config(**wrong)


def test_a_size_that_is_no_power_of_two_is_refused():
    with pytest.raises(ParameterError, match="power of two"):
        sizes.paper(96)
