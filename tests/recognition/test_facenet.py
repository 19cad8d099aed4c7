"""FaceNet: facenet-pytorch's numbers, gradients, and files that are something else.

Its real weights can't be shipped; all of these are random or constant.
"""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from facelab import assets
from facelab.errors import AssetError, CheckpointError, ImageError
from facelab.recognition import align, embedder, facenet
from facelab.recognition.facenet import CHECKPOINTS, FaceNet

CASIA = CHECKPOINTS["facenet-casia"]


@pytest.fixture(scope="module")
def network():
    """The network with random weights that keep the signal alive through all its layers."""
    torch.manual_seed(0)
    network = facenet.build_network()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 160, 160).clamp(-1, 1))
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def recogniser(network):
    return FaceNet(network, "facenet-vggface2").eval()


@pytest.fixture
def faces(random):
    smooth = torch.randn(2, 3, 10, 10, generator=random)
    return F.interpolate(smooth, (160, 160), mode="bilinear").clamp(-1, 1)


def constant_checkpoint(identities: int = CASIA.identities) -> dict[str, torch.Tensor]:
    """Every tensor of the published file; each is one number in the file, so it is tiny."""
    with torch.device("meta"):
        shapes = facenet.build_network(identities).state_dict()
    return {k: torch.full((1,) * t.ndim, 0.5).expand(t.shape) for k, t in shapes.items()}


# --- the network ---------------------------------------------------------------------------------


def test_it_is_facenet_pytorchs_network_on_its_own_input(network, recogniser, faces):
    """The library's forward on the library's standardisation of the levels 0 to 255."""
    from facenet_pytorch import fixed_image_standardization

    levels = ((faces + 1) * 127.5).round()
    expected = network(fixed_image_standardization(levels))
    torch.testing.assert_close(recogniser(levels / 127.5 - 1), expected, rtol=1e-4, atol=1e-5)
    assert (expected[0] - expected[1]).abs().max() > 0.01  # random, but not blind


def test_embeddings_have_length_one_and_the_thresholds_are_one_decision(recogniser, faces):
    found = recogniser.embed(faces)
    assert found.shape == (2, 512)
    assert torch.allclose(found.norm(dim=1), torch.ones(2))
    assert torch.allclose(recogniser(faces).norm(dim=1), torch.ones(2))
    assert recogniser.threshold == pytest.approx(math.sqrt(recogniser.threshold_squared))
    assert recogniser.size == align.TEMPLATES[recogniser.template].size


def test_gradients_reach_the_pixels(recogniser, faces):
    """In float64, along a direction: the slope is the difference quotient."""
    exact = copy.deepcopy(recogniser).double()
    image = faces[:1].double().requires_grad_()
    target = exact(faces[1:].double())
    (gradient,) = torch.autograd.grad((exact(image) * target).sum(), image)
    direction = gradient.sign()
    step = 1e-7
    ahead, behind = (((exact(image + s * step * direction)) * target).sum() for s in (1, -1))
    slope = (gradient * direction).sum()
    assert slope > 1e-6
    torch.testing.assert_close(slope, ((ahead - behind) / (2 * step)).detach(), rtol=1e-3, atol=0)


def test_bfloat16_sees_the_same_faces(recogniser, faces):
    expected = recogniser.embed(faces)
    with torch.autocast("cpu", torch.bfloat16):
        found = recogniser.embed(faces)
    assert found.dtype == torch.float32
    assert F.cosine_similarity(found, expected).min() > 0.99


def test_faces_of_another_size_are_named(recogniser):
    with pytest.raises(ImageError, match=r"160 x 160 pixels, got 150 x 150; align"):
        recogniser(torch.zeros(1, 3, 150, 150))


# --- the published files -------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False])
def test_a_published_file_is_read_without_its_classifier(tmp_path, zipped):
    """Old files, as the published ones are, and new ones; with or without counters."""
    tensors = constant_checkpoint()
    if not zipped:
        tensors = {k: t for k, t in tensors.items() if "num_batches" not in k}
    torch.save(tensors, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    found = facenet.read_checkpoint(tmp_path / "x.pt", CASIA)
    assert not [k for k in found if k.startswith("logits") or "num_batches" in k]
    assert len(found) == len([k for k in tensors if "num_batches" not in k]) - 2
    assets.save_weights(tmp_path / "x.safetensors", found, "a test")
    network = facenet.load_network(tmp_path / "x.safetensors", "facenet-casia")
    assert not network.training
    assert network.last_linear.weight.unique().tolist() == [0.5]
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("last_bn.weight"), r"it lacks last_bn\.weight; give"),
        (lambda t: t.update({"fc.weight": torch.ones(1)}), r"it has an unknown fc\.weight"),
        (lambda t: t.update({"last_bn.bias": torch.ones(2)}), r"shape \(2,\), \(512,\) expected"),
        (lambda t: t.update({"last_bn.bias": {}}), r"has no numbers at last_bn\.bias"),
        (lambda t: t.update({"last_bn.bias": torch.ones(512).long()}), r"has no numbers at"),
        (
            lambda t: t.update({"last_bn.bias": torch.full((512,), math.nan)}),
            r"values in last_bn\.bias that are not finite",
        ),
    ],
)
def test_a_file_of_another_network_is_named(tmp_path, change, message):
    tensors = constant_checkpoint()
    change(tensors)
    torch.save(tensors, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=f"x.pt is not facenet-casia: .*{message}"):
        facenet.read_checkpoint(tmp_path / "x.pt", CASIA)


def test_the_two_published_files_are_told_apart(tmp_path):
    torch.save(constant_checkpoint(8631), tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"logits\.weight of shape \(8631, 512\), \(10575"):
        facenet.read_checkpoint(tmp_path / "x.pt", CASIA)


# --- the cache -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_without_the_weights_it_says_what_to_run(name, tmp_path, monkeypatch):
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path))
    with pytest.raises(AssetError) as caught:
        embedder.embedder(name)
    message = str(caught.value)
    assert f"the weights of {name} are not here" in message
    assert f"python data_scripts/facenet.py {name}" in message
    assert "--from FILE" in message
    assert "\n" not in message


def test_with_the_weights_it_embeds_and_damage_is_noticed(network, tmp_path, monkeypatch, faces):
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path))
    path = facenet.weights_path("facenet-casia")
    kept = {k: t for k, t in network.state_dict().items() if "num_batches" not in k}
    assets.keep_weights(path, kept, "a test")
    found = embedder.embedder("facenet-casia")
    facenet.facenet.cache_clear()
    assert found.id == "facenet-casia"
    expected = F.normalize(network(faces * 127.5 / 128), dim=1)
    torch.testing.assert_close(found.embed(faces), expected, rtol=1e-4, atol=1e-5)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(AssetError, match="the weights of facenet-casia are damaged"):
        embedder.embedder("facenet-casia")
