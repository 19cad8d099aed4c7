"""The trained autoencoder: codes, pictures of codes, exchanged identities."""

import pytest
import torch

from facelab.errors import ParameterError
from facelab.methods.d2ae.model import Disentangler, Features, disentangler_of
from facelab.methods.d2ae.networks import encode

ALONE = {"classify": False, "dispel": False, "decode": False}


def test_codes_are_those_of_the_networks(model, batch):
    found = model.features(batch.images)
    assert isinstance(found, Features)
    assert (found.t.shape, found.p.shape) == ((6, 5), (6, 5))
    maps = model.encoder(batch.images)
    torch.testing.assert_close(found.t, model.distilling(maps))
    torch.testing.assert_close(found.p, model.dispelling(maps))
    joint = model.joint(batch.images)
    torch.testing.assert_close(joint, torch.cat([found.t, found.p], dim=1))


def test_many_faces_go_in_parts(model, Faces):
    images = Faces().batch(list(range(15)) * 5).images
    found = model.features(images)
    torch.testing.assert_close(found.t[60:], found.t[:15])
    pictures = model.decode(*found)
    assert pictures.shape == images.shape
    torch.testing.assert_close(pictures[60:], pictures[:15])


def test_pictures_are_the_decoders_within_the_range(model, random):
    t, p = 30 * torch.randn(2, 3, 5, generator=random)
    with torch.no_grad():
        model.decoder.levels[-1][-1].weight.mul_(50)
    raw = model.decoder(t, p)
    assert raw.abs().max() > 1
    torch.testing.assert_close(model.decode(t, p), raw.clamp(-1, 1))


def test_it_rebuilds_what_it_encodes(model, batch):
    torch.testing.assert_close(model(batch.images), model.decode(*model.features(batch.images)))


def test_swapping_takes_identity_of_one_and_the_rest_of_the_other(model, batch):
    a, b = batch.images[:3], batch.images[3:]
    made = model.swap(a, b)
    torch.testing.assert_close(made, model.decode(model.features(a).t, model.features(b).p))
    torch.testing.assert_close(model.swap(a, a), model(a))
    assert not torch.allclose(made, model.swap(b, a))


def test_a_gradient_flows_to_the_codes(model, random):
    t, p = torch.randn(2, 2, 5, generator=random).requires_grad_()
    slopes = torch.autograd.grad(model.decode(t, p).square().sum(), (t, p))
    assert all(slope.abs().max() > 0 for slope in slopes)


def test_the_learned_deviations(model):
    assert model.deviation_t.tolist() == [1] * 5
    assert model.deviation_p.tolist() == [2] * 5


def test_it_is_frozen(model, batch):
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model(batch.images)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert (model.size, model.framing) == (16, "book64")


def test_an_encoder_alone(model_of, batch):
    model = model_of(**ALONE)
    found = model.features(batch.images)
    assert found.p.shape == (6, 0)
    torch.testing.assert_close(model.joint(batch.images), found.t)
    for draw in (lambda: model(batch.images), lambda: model.swap(batch.images, batch.images)):
        with pytest.raises(ParameterError, match="had no decoder, so there are no pictures"):
            draw()
    with pytest.raises(ParameterError, match="had no branch P"):
        model.deviation_p  # noqa: B018


def test_what_does_not_fit(model, batch):
    with pytest.raises(ParameterError, match="faces of 8 x 8 pixels can't be used"):
        model.features(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ParameterError, match="codes of 4 and 5 numbers can't be decoded"):
        model.decode(torch.zeros(2, 4), torch.zeros(2, 5))
    with pytest.raises(ParameterError, match="2 codes of identity and 3 of all else make no pairs"):
        model.swap(batch.images[:2], batch.images[:3])


def test_a_trainings_networks_are_taken_over(game_of, batch):
    game = game_of()
    taken = disentangler_of(game.networks, game.config)
    assert isinstance(taken, Disentangler)
    for network in game.networks.values():
        network.eval()
    torch.testing.assert_close(taken.features(batch.images), encode(game.networks, batch.images))
    before = taken.features(batch.images).t
    with torch.no_grad():
        game.networks["distilling"].last.bias.add_(1)
    torch.testing.assert_close(taken.features(batch.images).t, before)
