import pytest
import torch

from facelab import assets
from facelab.errors import CheckpointError
from facelab.generators import dcgan


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
