"""Shapes, sizes and inputs of the trained networks."""

import dataclasses

import pytest
import torch
from torch import nn

from facelab.errors import ParameterError
from facelab.methods.idmap.config import AUTHORS, PAPER
from facelab.methods.idmap.networks import (
    InceptionEncoder,
    LatentCritic,
    Mapper,
    SmallEncoder,
    attribute_encoder,
    perceptron,
)


def widths(network: nn.Module) -> list[tuple[int, int]]:
    return [
        (layer.in_features, layer.out_features)
        for layer in network.modules()
        if isinstance(layer, nn.Linear)
    ]


def test_a_perceptron_has_the_papers_four_layers():
    with torch.device("meta"):
        authors = dataclasses.replace(AUTHORS, identity_features=2048)
        assert widths(Mapper(authors)) == [(2560, 2048), (2048, 1024), (1024, 512), (512, 512)]
        assert widths(LatentCritic(PAPER)) == [(512, 256), (256, 128), (128, 64), (64, 1)]


def test_a_perceptron_computes_what_it_says(random):
    network = perceptron(3, (4,), 2)
    x = torch.randn(5, 3, generator=random)
    first, last = network[0], network[2]
    hidden = x @ first.weight.T + first.bias
    hidden = torch.where(hidden > 0, hidden, 0.2 * hidden)
    torch.testing.assert_close(network(x), hidden @ last.weight.T + last.bias)


def test_m_reads_both_codes(config, random):
    mapper = Mapper(config)
    identity = torch.randn(2, 6, generator=random)
    attributes = torch.randn(2, 16, generator=random)
    w = mapper(identity, attributes)
    assert w.shape == (2, 8)
    assert not torch.allclose(w, mapper(identity.flip(0), attributes))
    assert not torch.allclose(w, mapper(identity, attributes.flip(0)))
    with pytest.raises(ParameterError, match="codes of 16 and 6 numbers don't fit M"):
        mapper(attributes, identity)


def test_w_plus_has_a_vector_for_each_layer(random, tiny_config):
    mapper = Mapper(tiny_config(layers=3))
    w = mapper(torch.randn(2, 6, generator=random), torch.randn(2, 16, generator=random))
    assert w.shape == (2, 3, 8)


def test_the_critic_of_w_plus_is_a_mean(config, random):
    critic = LatentCritic(config)
    w = torch.randn(4, 3, 8, generator=random)
    each = torch.stack([critic(w[:, layer]) for layer in range(3)])
    torch.testing.assert_close(critic(w), each.mean(0))


def test_the_small_encoder_knows_where_things_are(random):
    encoder = SmallEncoder(16, (4, 6), 5).eval()
    images = torch.rand(2, 3, 16, 16, generator=random) * 2 - 1
    code = encoder(images)
    assert code.shape == (2, 5)
    assert (code - encoder(images.flip(3))).abs().max() > 1e-3
    with pytest.raises(ParameterError, match="halves 16 pixels too often"):
        SmallEncoder(16, (4, 4, 4, 4, 4), 5)


@pytest.mark.parametrize(("features", "last"), [(2048, nn.Identity), (512, nn.Linear)])
def test_the_papers_encoder(features, last):
    with torch.device("meta"):
        encoder = attribute_encoder(dataclasses.replace(PAPER, attribute_features=features))
        assert isinstance(encoder, InceptionEncoder)
        assert isinstance(encoder.network.fc, last)
        code = encoder.eval()(torch.zeros(2, 3, 256, 256))
    assert code.shape == (2, features)
