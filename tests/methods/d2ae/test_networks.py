"""Shapes, counts of layers and of parameters, and what the decoder cuts off."""

import pytest
import torch
from torch import nn

from facelab.errors import ParameterError
from facelab.methods.d2ae.config import BOOK, PAPER
from facelab.methods.d2ae.networks import (
    Branch,
    Critic,
    Decoder,
    InceptionResnet,
    SmallEncoder,
    cut,
    encode,
    parts_of,
)


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def convolutions(network: nn.Module) -> int:
    return sum(isinstance(layer, nn.Conv2d) for layer in network.modules())


def test_the_book_fits_into_ten_megabytes_of_float16():
    with torch.device("meta"):
        parts = parts_of(BOOK)
        maps = parts["encoder"](torch.zeros(2, 3, 64, 64))
    assert sum(map(count, parts.values())) < 4_500_000
    assert maps.shape == (2, 128, 8, 8)


def test_the_papers_decoder_has_20_convolutions_and_6_upsamplings():
    with torch.device("meta"):
        decoder = Decoder(PAPER)
        made = decoder(torch.zeros(2, 256), torch.zeros(2, 256))
    assert convolutions(decoder) == 20
    assert len(decoder.levels) - 1 == 6
    assert decoder.first.out_features == 512 * 4 * 4
    assert made.shape == (2, 3, 235, 235)


def test_the_papers_encoder_is_an_inception_resnet_without_its_head():
    from facenet_pytorch.models.inception_resnet_v1 import InceptionResnetV1

    with torch.device("meta"):
        encoder, whole = InceptionResnet(), InceptionResnetV1()
        maps = encoder(torch.zeros(2, 3, 235, 235))
    assert maps.shape == (2, 1792, 6, 6)
    assert count(encoder) == count(whole) - 1792 * 512 - 2 * 512
    order = [name for name, _ in encoder.body.named_children()]
    assert order == [name for name, _ in whole.named_children()][: len(order)]
    assert order[0] == "conv2d_1a"
    assert order[-1] == "block8"


def test_the_small_encoder_halves_once_and_with_each_further_stage(random):
    encoder = SmallEncoder((4, 6, 8), blocks=2)
    maps = encoder(torch.rand(2, 3, 32, 32, generator=random))
    assert maps.shape == (2, 8, 4, 4)
    assert encoder.channels == 8
    assert len(encoder.blocks) == 6


def test_a_branch_has_three_convolutions_and_means_over_the_picture(random):
    branch = Branch(6, 8, 5).eval()
    assert convolutions(branch) == 3
    maps = torch.rand(2, 6, 4, 4, generator=random)
    wanted = torch.stack([branch.layers(maps).flatten(2).mean(2)]).squeeze(0) @ branch.last.weight.T
    torch.testing.assert_close(branch(maps), wanted + branch.last.bias)
    assert branch(maps).shape == (2, 5)


def test_the_middle_is_cut_out():
    row = torch.arange(8.0).expand(1, 3, 8, 8)
    assert cut(row, 4)[0, 0, 0].tolist() == [2, 3, 4, 5]
    assert cut(row, 5)[0, 0, 0].tolist() == [1, 2, 3, 4, 5]
    assert cut(row.mT, 4)[0, 0, :, 0].tolist() == [2, 3, 4, 5]
    assert torch.equal(cut(row, 8), row)


def test_what_the_decoder_makes_follows_from_both_codes(tiny_config, random):
    decoder = Decoder(tiny_config(size=14)).eval()
    assert convolutions(decoder) == 4
    t, p, other = torch.randn(3, 2, 5, generator=random)
    made = decoder(t, p)
    assert made.shape == (2, 3, 14, 14)
    for t_other, p_other in ((other, p), (t, other)):
        assert (decoder(t_other, p_other) - made).abs().max() > 1e-4


def test_the_picture_is_so_much_of_what_the_last_convolution_gives(tiny_config, random):
    whole, tenth = (Decoder(tiny_config(picture_scale=scale)).eval() for scale in (1.0, 0.1))
    tenth.load_state_dict(whole.state_dict())
    t, p = torch.randn(2, 2, 5, generator=random)
    assert torch.allclose(tenth(t, p), 0.1 * whole(t, p))
    assert whole(t, p).std() > 1e-4


def test_codes_of_another_length(tiny_config):
    decoder = Decoder(tiny_config())
    with pytest.raises(ParameterError, match="codes of 5 and 4 numbers can't be decoded; give f_T"):
        decoder(torch.zeros(1, 5), torch.zeros(1, 4))


def test_the_critic_gives_a_logit_a_picture(random):
    critic = Critic((4, 6))
    images = torch.rand(3, 3, 16, 16, generator=random)
    assert critic(images).shape == (3,)
    assert critic(images).dtype == torch.float32


def test_parts(tiny_config):
    whole = ["encoder", "distilling", "dispelling", "decoder", "spread"]
    assert list(parts_of(tiny_config())) == whole
    alone = tiny_config(classify=False, dispel=False, decode=False)
    parts = parts_of(alone)
    assert list(parts) == ["encoder", "distilling", "spread"]
    assert list(parts["spread"]) == ["t"]
    features = encode(parts, torch.zeros(2, 3, 16, 16))
    assert (features.t.shape, features.p.shape) == ((2, 5), (2, 0))


def test_both_branches_read_the_same_maps(tiny_config, random):
    parts = parts_of(tiny_config())
    images = torch.rand(2, 3, 16, 16, generator=random)
    for part in parts.values():
        part.eval()
    parts["dispelling"].load_state_dict(parts["distilling"].state_dict())
    features = encode(parts, images)
    torch.testing.assert_close(features.t, features.p)
