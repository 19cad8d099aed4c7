"""Where latent vectors lie, by closed forms for N(0, 1)."""

import copy
import math

import pytest
import torch

from facelab.errors import AssetError, CheckpointError, ParameterError
from facelab.generators.dcgan import DCGAN
from facelab.methods.idmap import latent_space
from facelab.methods.idmap.latent_space import LatentSpace, find_generator, true_vectors


def test_true_vectors_are_the_mappings(generator, random):
    w = true_vectors(generator, 5, random)
    z = generator.sample_latent(5, torch.Generator().manual_seed(0))
    torch.testing.assert_close(w, generator.mapping(z))
    half = true_vectors(generator, 5, torch.Generator().manual_seed(0), truncation=0.5)
    torch.testing.assert_close(half, generator.mean_w + 0.5 * (w - generator.mean_w))


def test_a_mean_that_was_not_measured_is_no_zero(generator, random):
    """Truncated to zero in silence, a StyleGAN2's faces would be drawn from elsewhere."""
    unmeasured = copy.deepcopy(generator)
    unmeasured.mean_w.zero_()
    with pytest.raises(ParameterError, match=r"was not measured yet; call measure_mean_w\(\)"):
        true_vectors(unmeasured, 3, random, truncation=0.7)


def test_a_generator_without_a_mapping_is_truncated_to_zero():
    dcgan = DCGAN(latents=4, width=2)
    random = torch.Generator().manual_seed(0)
    w = true_vectors(dcgan, 3, random, truncation=0.7)
    z = dcgan.sample_latent(3, torch.Generator().manual_seed(0))
    torch.testing.assert_close(w, 0.7 * z)


def test_the_shell_of_a_space(generator):
    """Vectors of N(0, 1) are about sqrt(n) long; those of W, or of a cube, have no one length."""
    assert latent_space.shell(DCGAN(latents=9, width=2)) == pytest.approx(3)
    assert latent_space.shell(DCGAN(latents=9, width=2, prior="uniform")) is None
    assert latent_space.shell(generator) is None


def test_mahalanobis_of_a_normal_space(random):
    """Squared distances of N(0, 1) in 5 dimensions follow chi^2: mean 5, variance 10."""
    w = torch.randn(20_000, 5, generator=random)
    space = LatentSpace.of(w)
    squared = space.mahalanobis(w).double().square()
    assert squared.mean().item() == pytest.approx(5, rel=0.01)
    assert squared.var().item() == pytest.approx(10, rel=0.05)
    outside = space.mahalanobis(torch.full((1, 5), 10.0))
    assert outside.item() == pytest.approx(10 * math.sqrt(5), rel=0.03)


def test_vectors_are_drawn_as_the_space_has_them(random):
    matrix = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.5, 0.3], [0.0, 0.0, 7.0]])
    space = LatentSpace.of(torch.randn(20_000, 3, generator=random) @ matrix + 4)
    drawn = LatentSpace.of(space.draw(20_000, random))
    torch.testing.assert_close(drawn.mean, space.mean, rtol=0.05, atol=0.05)
    torch.testing.assert_close(drawn.covariance, space.covariance, rtol=0.05, atol=0.25)


def test_mahalanobis_counts_deviations(random):
    """Stretching and turning the space and the vectors alike changes nothing."""
    w = torch.randn(500, 3, generator=random)
    matrix = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.5, 0.3], [0.0, 0.0, 7.0]])
    a = LatentSpace.of(w).mahalanobis(w[:9])
    b = LatentSpace.of(w @ matrix + 4).mahalanobis(w[:9] @ matrix + 4)
    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_principal_axes_come_in_order(random):
    w = torch.randn(5000, 3, generator=random) * torch.tensor([1.0, 5.0, 3.0])
    along = LatentSpace.of(w).principal(w, 2)
    assert along.shape == (5000, 2)
    torch.testing.assert_close(along.std(0), torch.tensor([5.0, 3.0]), rtol=0.05, atol=0)
    assert along.mean(0).abs().max() < 1e-3


def test_too_few_vectors(random):
    with pytest.raises(ParameterError, match="3 vectors of 3 numbers don't say how they vary"):
        LatentSpace.of(torch.randn(3, 3, generator=random))


def test_generators_are_found_and_measured(monkeypatch, generator):
    monkeypatch.setattr(latent_space, "read_generator", lambda name, device: generator)
    assert find_generator("any", 8, 64) is generator
    for w, size in ((9, 64), (8, 32)):
        with pytest.raises(CheckpointError, match="give the generator that it was trained with"):
            find_generator("any", w, size)


def test_files_that_are_no_generator(tmp_path):
    with pytest.raises(AssetError, match=r"don't come with facelab.*train idmap:FILE"):
        find_generator("stylegan2-ffhq-256", 512, 256)
    with pytest.raises(ParameterError, match="there is no generator 'stylegan4'"):
        find_generator("stylegan4", 512, 256)
    path = tmp_path / "some.pt"
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="nor is it a published StyleGAN2"):
        find_generator(path, 512, 256)


def test_a_published_stylegan2_is_read(tmp_path, generator):
    """The layout of stylegan2-ada-pytorch, by the reader's own tests; here, that it is asked."""
    from facelab.generators import dcgan as module

    network = DCGAN(latents=4, width=2)
    path = tmp_path / "dcgan.safetensors"
    from facelab.assets import networks

    config = {"latents": 4, "width": 2, "prior": "normal"}
    networks.save(path, module.METHOD, network, config=config)
    assert latent_space.length_of(find_generator(path, 4, 64)) == 4
