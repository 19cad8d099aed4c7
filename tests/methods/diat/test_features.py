"""What the identity loss looks through: which layers, of what, and that nobody else's moves."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from facelab.assets import save_weights
from facelab.errors import AssetError, CheckpointError, ParameterError
from facelab.methods.diat import features
from facelab.recognition.align import reframe
from facelab.recognition.dlib_resnet import BLOCKS, STAGE_ENDS, dlib


@pytest.fixture(scope="module")
def faces():
    random = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, 64, 64, generator=random) * 2 - 1


@pytest.fixture(scope="module")
def seen(faces):
    """What dlib's recogniser computes of the faces, convolution by convolution and block by block.

    Its activations work in place, so that a hook gets what comes after them.
    """
    network = copy.deepcopy(dlib().network)
    found = {"convolutions": [], "blocks": []}
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(
                lambda module, inputs, output: found["convolutions"].append(output.clone())
            )
    for block in network.blocks:
        block.register_forward_hook(lambda m, i, output: found["blocks"].append(output.clone()))
    network(reframe(faces, "book64", "dlib150"))
    return found


def test_dlibs_stages_end_before_the_side_changes(faces, seen):
    layers = features.face_layers("dlib-stages")
    fourth, fifth = layers(faces)
    assert (fourth.shape[1:], fifth.shape[1:]) == ((256, 4, 4), (256, 2, 2))
    halves = [number for number, (_, _, half) in enumerate(BLOCKS) if half]
    assert halves == [3, 7, 10, 13], "stages 2, 3, 4 and 5 begin there"
    assert {4: halves[3] - 1, 5: len(BLOCKS) - 1} == STAGE_ENDS
    assert torch.equal(fourth, seen["blocks"][12])
    assert torch.equal(fifth, seen["blocks"][13])


def test_dlibs_layers_are_its_fourth_and_fifth_convolution(faces, seen):
    fourth, fifth = features.face_layers("dlib-layers")(faces)
    assert fourth.shape[1:] == fifth.shape[1:] == (32, 35, 35)
    convolutions = seen["convolutions"]
    assert torch.equal(fourth, F.relu(convolutions[3]))
    # A block's second convolution is added to what came in before it is activated.
    assert torch.equal(fifth, F.relu(convolutions[4] + seen["blocks"][0]))
    assert torch.equal(fifth, seen["blocks"][1])


@pytest.mark.parametrize("name", ["dlib-stages", "dlib-layers"])
def test_gradients_reach_the_pixels_and_no_weight(name, faces):
    layers = features.face_layers(name)
    assert layers.embedders == ("dlib",)
    assert not layers.training
    images = faces.clone().requires_grad_()
    sum(maps.square().sum() for maps in layers(images)).backward()
    assert images.grad.abs().amax((1, 2, 3)).min() > 0
    assert all(not p.requires_grad and p.grad is None for p in layers.parameters())


def test_the_recogniser_that_all_share_stays_where_it_is():
    shared = dlib("cpu").network
    layers = features.face_layers("dlib-stages")
    layers.to(torch.float64)
    assert {p.dtype for p in shared.parameters()} == {torch.float32}
    assert layers.network is not shared


# --- VGG-Face ------------------------------------------------------------------------------------


def vgg_weights(pattern="conv_{}_{}", **changed):
    """Random weights under the names of a port, and with further layers, as whole files have."""
    random = torch.Generator().manual_seed(1)
    widths = {"1_1": (3, 64), "1_2": (64, 64), "2_1": (64, 128), "2_2": (128, 128),
              "3_1": (128, 256)}  # fmt: skip
    found = {"fc8.weight": torch.zeros(2, 3)}
    for number, (above, below) in widths.items():
        name = pattern.format(*number.split("_"))
        found[f"{name}.weight"] = torch.randn(below, above, 3, 3, generator=random) * 0.02
        found[f"{name}.bias"] = torch.randn(below, generator=random)
    return found | changed


@pytest.fixture
def vgg(tmp_path):
    save_weights(tmp_path / "vgg.safetensors", vgg_weights(), "")
    return tmp_path / "vgg.safetensors"


def test_vgg_is_its_convolutions_one_after_the_other(vgg, monkeypatch, random, tolerance):
    """A slow twin: levels in BGR less the means, three pairs of convolutions, pools between."""
    monkeypatch.setattr(features, "VGG_SIZE", 16)
    images = torch.rand(2, 3, 16, 16, generator=random) * 2 - 1
    w = vgg_weights()
    levels = (images + 1) / 2 * 255
    red, green, blue = levels.unbind(1)
    x = torch.stack([blue - 93.5940, green - 104.7624, red - 129.1863], dim=1)
    maps = {}
    for name in features.VGG_NAMES:
        x = F.relu(F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=1))
        maps[name] = x
        if name in ("conv_1_2", "conv_2_2"):
            x = F.max_pool2d(x, 2)
    fourth, fifth = features.load_vgg(vgg)(images)
    torch.testing.assert_close(fourth, maps["conv_2_2"], **tolerance[torch.float32])
    torch.testing.assert_close(fifth, maps["conv_3_1"], **tolerance[torch.float32])
    assert (fourth.shape[1:], fifth.shape[1:]) == ((128, 8, 8), (256, 4, 4))


def test_vgg_sees_faces_of_any_size_at_224():
    with torch.device("meta"):
        maps = features.VggLayers()(torch.zeros(1, 3, 64, 64))
    assert [m.shape[1:] for m in maps] == [(128, 112, 112), (256, 56, 56)]


def test_vgg_comes_from_the_readers_file(vgg, monkeypatch):
    monkeypatch.setenv("FACELAB_VGG_FACE", str(vgg))
    layers = features.face_layers("vgg-face")
    assert isinstance(layers, features.VggLayers)
    assert layers.embedders == ("vgg-face",)
    assert not layers.training
    assert not any(p.requires_grad for p in layers.parameters())
    expected = vgg_weights()["conv_3_1.weight"]
    assert torch.equal(layers.convolutions[4].weight, expected)


def test_both_ways_to_name_vggs_layers_and_both_formats_are_read(tmp_path):
    path = tmp_path / "vgg.pth"
    torch.save({k: v.half() for k, v in vgg_weights("conv{}_{}").items()}, path)
    layers = features.load_vgg(path)
    assert layers.convolutions[0].weight.dtype == torch.float32
    torch.testing.assert_close(
        layers.convolutions[3].bias, vgg_weights()["conv_2_2.bias"], rtol=1e-3, atol=1e-3
    )


# --- bad input -----------------------------------------------------------------------------------


def test_without_a_file_vgg_says_what_to_set(monkeypatch):
    for value in (None, ""):
        monkeypatch.delenv("FACELAB_VGG_FACE", raising=False)
        if value is not None:
            monkeypatch.setenv("FACELAB_VGG_FACE", value)
        with pytest.raises(AssetError, match=r'FACELAB_VGG_FACE to .* or choose "dlib-stages"'):
            features.face_layers("vgg-face")


def test_layers_that_there_are_not_are_refused():
    with pytest.raises(ParameterError, match="no layers called 'dlib'; choose one of: dlib-stages"):
        features.face_layers("dlib")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv_2_1.bias": None}, r"has no conv_2_1.bias; give VGG-Face \(Parkhi et al. 2015\)"),
        ({"conv_1_1.weight": None}, "has no conv_1_1.weight"),
        ({"conv_3_1.weight": torch.zeros(2, 2)}, "does not fit VGG-Face: size mismatch for convol"),
    ],
)
def test_a_file_of_another_network_is_refused(tmp_path, change, message):
    found = {k: v for k, v in (vgg_weights() | change).items() if v is not None}
    save_weights(tmp_path / "x.safetensors", found, "")
    with pytest.raises(CheckpointError, match=message):
        features.load_vgg(tmp_path / "x.safetensors")


def test_a_file_that_is_damaged_or_missing_is_refused(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="is damaged, cut short"):
        features.load_vgg(tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="can't be read"):
        features.load_vgg(tmp_path / "none.pth")


def test_a_nested_file_names_the_tensor_that_is_missing(tmp_path):
    torch.save({"state_dict": vgg_weights()}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"has no conv_1_1\.weight"):
        features.load_vgg(tmp_path / "x.pth")
