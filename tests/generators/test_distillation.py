"""A StyleGAN2 that learns another generator by heart."""

import dataclasses

import pytest
import torch

from facelab.assets import networks
from facelab.errors import AssetError, ParameterError
from facelab.generators import dcgan, presets
from facelab.generators.stylegan2 import distillation
from facelab.phases import Step
from facelab.types import Batch


@pytest.fixture
def teacher():
    """A DCGAN of random weights, its batch normalisation settled."""
    network = dcgan.DCGAN(latents=100, width=4)
    for layer in network.modules():
        if isinstance(layer, torch.nn.ConvTranspose2d):
            torch.nn.init.normal_(layer.weight, 0, 0.2)
    for _ in range(20):
        network(torch.randn(16, 100))
    return network


@pytest.fixture
def method(teacher):
    return distillation.Distillation(distillation.TINY, teacher)


def batch(count=4):
    return Batch(images=torch.zeros(count, 3, 64, 64), identity=torch.arange(count))


def test_the_teacher_stays_as_it_is(method):
    """Whatever the loop says: evaluation mode, no gradients, latents of length 10."""
    method.networks["teacher"].train()
    assert not any(module.training for module in method.teacher.modules())
    assert not any(p.requires_grad for p in method.teacher.parameters())
    z = torch.randn(3, 100)
    longer = 10 * z / z.norm(dim=1, keepdim=True)
    expected = method.teacher.generator(longer)
    torch.testing.assert_close(method.teacher(z), expected)
    torch.testing.assert_close(method.teacher(2 * z), expected)


def test_the_pixels_error_is_the_difference_of_two_images(method):
    terms = method.generator_terms(batch(), Step(0, torch.Generator().manual_seed(2)))
    z = method.generator.sample_latent(4, torch.Generator().manual_seed(2))
    difference = (method.teacher(z) - method.generator(z)).abs().mean(dim=(1, 2, 3))
    torch.testing.assert_close(terms["pixels"], difference)


def test_each_loss_reaches_its_own_player(method, training):
    images = batch().images
    strengths = {"generator.synthesis_network.convolutions"}
    reached = training.moved(method, "generator", images)
    assert {n for n in training.names_of(method, "generator") if n not in strengths} <= reached
    assert not any(name.startswith("teacher") for name in reached)
    only = training.names_of(method, "discriminator")
    assert training.moved(method, "discriminator", images) == only
    assert training.moved(method, "r1", images) <= only


def test_without_a_game_there_is_one_phase_and_no_discriminator(teacher):
    config = dataclasses.replace(distillation.TINY, adversarial=0.0)
    method = distillation.Distillation(config, teacher)
    assert [p.name for p in method.phases()] == ["generator"]
    assert set(method.networks) == {"generator", "teacher"}
    terms = method.generator_terms(batch(), Step(0, torch.Generator()))
    assert set(terms) == {"pixels", "coarse"}


def test_the_coarse_error_by_hand():
    """One pixel that is 16 too bright is 1 too bright in a block of 4, and so on."""
    target = torch.zeros(2, 3, 16, 16)
    images = target.clone()
    images[1, :, 5, 5] = 16.0
    found = distillation.coarse_error(target, images)
    each = 16 / 256  # of each scale: the mean of blocks that all have the sign of the one pixel
    torch.testing.assert_close(found, torch.tensor([0.0, 3 * each]))
    images[1, :, 5, 6] = -16.0  # in the same block of 4: the mean is right again
    assert distillation.coarse_error(target, images)[1] == 0


def test_the_student_comes_closer_to_the_teacher(teacher, training):
    config = dataclasses.replace(distillation.TINY, adversarial=0.0)
    config = dataclasses.replace(
        config, student=dataclasses.replace(config.student, learning_rate=0.05)
    )
    method = distillation.Distillation(config, teacher)
    pixels = training.play(method, batch(4).images, steps=20)["generator/pixels"]
    assert pixels[-1] < 0.6 * pixels[0]


def test_a_preview_shows_the_teacher_above_the_student(method):
    shown = method.preview(method.networks, batch())
    z = method.generator.sample_latent(8, torch.Generator().manual_seed(0))
    torch.testing.assert_close(shown[:8], method.teacher(z))
    torch.testing.assert_close(shown[8:], method.generator(z))


def test_a_teacher_of_another_size_is_refused():
    with pytest.raises(ParameterError, match="100 latents and 64 pixels"):
        distillation.Distillation(distillation.TINY, dcgan.DCGAN(latents=7, width=4))


@pytest.mark.parametrize("preset", ["tiny", "book"])
def test_presets_copy_the_pretrained_generator(preset):
    method = distillation.Distillation.preset(preset)
    assert method.teacher.generator.id == "gan-face-generate"
    assert method.generator.size == 64
    assert sum(t.numel() for t in method.generator.state_dict().values()) * 2 < 10e6


def test_a_file_brings_the_student_back(tmp_path, method, random):
    path, config = tmp_path / "s.safetensors", dataclasses.asdict(method.config)
    networks.save(path, distillation.METHOD, method.generator, half=True, config=config)
    loaded = distillation.load(path)
    z = loaded.sample_latent(2, random)
    torch.testing.assert_close(loaded(z), method.generator(z), rtol=2e-2, atol=2e-2)
    assert loaded.id == "stylegan2-distillation"


def test_a_missing_checkpoint_of_the_book_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "MODELS", tmp_path)
    with pytest.raises(AssetError, match="stylegan2-distillation"):
        distillation.book()
