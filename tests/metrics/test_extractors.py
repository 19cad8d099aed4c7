"""Named extractors: the framing, dlib's stages, Inception's two networks from made-up weights."""

import pytest
import torch
import torch.nn.functional as F

from facelab import assets
from facelab.errors import AssetError, CheckpointError, ImageError, ParameterError
from facelab.generators import dcgan
from facelab.metrics import extractors
from facelab.metrics.extractors import (
    DlibStage,
    FaceFeatures,
    extractor,
    inception,
    load_inception,
)
from facelab.recognition import align, embedder, mtcnn
from facelab.recognition.align import reframe


@pytest.fixture(scope="module")
def generated():
    """12 faces of the pre-trained generator."""
    return dcgan.pretrained().sample(12, torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def dlib():
    return embedder.embedder("dlib")


# --- the framing ---------------------------------------------------------------------------------


def test_one_fixed_frame_is_as_good_as_finding_each_face(generated, dlib):
    """The squared distance to the embedding of a found face; stretched pictures are far off."""
    faces, found = [], []
    for face in generated[:3].split(1):
        detected = mtcnn.detect(face)
        if len(detected):
            faces.append(face)
            found.append(dlib.embed(align.align(face, detected.landmarks[:1])))
    assert len(faces) == 3
    faces, found = torch.cat(faces), torch.cat(found)
    framed = dlib.distance(FaceFeatures(dlib).extract(faces), found).mean()
    stretched = dlib.distance(FaceFeatures(dlib, "dlib150").extract(faces), found).mean()
    assert framed < 0.03
    assert stretched > 4 * framed


@pytest.mark.parametrize("shape", [(1, 3, 64, 60), (1, 3, 0, 0)])
def test_faces_that_are_not_square_are_named(dlib, shape):
    with pytest.raises(ImageError, match=f"are square, these are {shape[3]} x {shape[2]} pixels"):
        FaceFeatures(dlib)(torch.zeros(shape))


# --- recognisers ---------------------------------------------------------------------------------


def test_dlibs_features_are_its_embedding_scaled(generated, dlib):
    made = extractor("dlib")
    faces = reframe(generated, "book64", "dlib150")
    raw = dlib(faces)
    torch.testing.assert_close(made.extract(generated), raw * 128**0.5 / 1.40, rtol=1e-4, atol=1e-4)
    assert (made.id, made.features, made.framing) == ("dlib", 128, "book64")


def test_the_second_recogniser_sees_faces_in_its_own_frame(generated):
    """No face has to be found: close to what found faces give, and closer than stretched ones."""
    made = extractor("faceres")
    assert (made.id, made.features, made.framing) == ("faceres", 1024, "book64")
    recogniser, template = made.recogniser, made.recogniser.template
    pairs = [(face, mtcnn.detect(face)) for face in generated[:6].split(1)]
    pairs = [(face, points.landmarks[:1]) for face, points in pairs if len(points)]
    faces = torch.cat([face for face, _ in pairs])
    found = recogniser.embed(torch.cat([align.align(*pair, template) for pair in pairs]))
    framed = recogniser.distance(made.extract(faces), found).mean()
    stretched = FaceFeatures(recogniser, template).extract(faces)
    assert len(pairs) >= 4
    assert framed < 0.1
    assert recogniser.distance(stretched, found).mean() > 1.2 * framed


def test_stages_are_what_the_blocks_give(generated, dlib):
    """By hooks on dlib's network; the head on stage 5 gives the embedding."""
    outputs = {}
    hooks = [
        dlib.network.blocks[index].register_forward_hook(
            lambda _, __, out, index=index: outputs.update({index: out.mean((2, 3))})
        )
        for index in (12, 13)
    ]
    faces = generated[:4]
    embedding = dlib(reframe(faces, "book64", "dlib150"))
    for hook in hooks:
        hook.remove()
    for stage, index in ((4, 12), (5, 13)):
        made = extractor(f"dlib-stage{stage}")
        found = made.extract(faces)
        torch.testing.assert_close(found / made.scale, outputs[index], rtol=1e-4, atol=1e-5)
        assert (made.id, made.features) == (f"dlib-stage{stage}", 256)
    torch.testing.assert_close(
        dlib.network.head(found / made.scale), embedding, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", ["dlib", "faceres", "dlib-stage4", "dlib-stage5"])
def test_features_have_a_mean_square_of_one_and_gradients(generated, name):
    made = extractor(name)
    assert made.extract(generated).square().mean().item() == pytest.approx(1, abs=0.1)
    assert not any(parameter.requires_grad for parameter in made.parameters())
    image = generated[:1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(made(image).square().sum(), image)
    assert gradient.abs().sum() > 0


def test_batches_change_nothing(generated):
    made = extractor("dlib-stage4")
    whole, parts = made.extract(generated[:5]), made.extract(generated[:5], batch=2)
    torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-5)
    assert made.extract(generated[:0]).shape == (0, 256)


def test_another_framing_is_in_the_name(dlib):
    assert FaceFeatures(dlib, "dlib150").id == "dlib:dlib150"
    assert DlibStage(dlib.network, 4, "arcface112").id == "dlib-stage4:arcface112"
    assert extractor("dlib", framing="dlib150").id == "dlib:dlib150"


def test_what_is_not_there_is_named(dlib):
    with pytest.raises(ParameterError, match="no extractor called 'vgg'; choose one of: dlib, "):
        extractor("vgg")
    with pytest.raises(ParameterError, match="no extractor called 'dlib-stage3'"):
        extractor("dlib-stage3")
    with pytest.raises(ParameterError, match="no template called 'face'"):
        extractor("dlib", framing="face")
    with pytest.raises(ParameterError, match="no stage 3 to read; choose one of: 4, 5"):
        DlibStage(dlib.network, 3)
    with pytest.raises(ImageError, match="values that are not finite"):
        FaceFeatures(dlib).extract(torch.full((1, 3, 64, 64), torch.nan))


# --- Inception -----------------------------------------------------------------------------------


def made_up(classes, auxiliary=False):
    """Weights in torchvision's layout: seeded noise that keeps the signal's size."""
    from torchvision.models import Inception3

    with torch.device("meta"):
        shapes = Inception3(classes, aux_logits=auxiliary, init_weights=False).state_dict()
    random = torch.Generator().manual_seed(0)
    weights = {}
    for name, tensor in shapes.items():
        if name.endswith(("running_var", "bn.weight")):
            weights[name] = torch.ones(tensor.shape)
        elif name.endswith("conv.weight"):
            noise = torch.empty(tensor.shape).normal_(generator=random)
            weights[name] = noise * (2 / tensor[0].numel()) ** 0.5
        else:
            weights[name] = torch.zeros(tensor.shape, dtype=tensor.dtype)
    return weights


@pytest.fixture(scope="module")
def weights():
    return made_up(extractors.FID_CLASSES)


@pytest.fixture(scope="module")
def of_fid(weights):
    return load_inception(weights, "made up")


def test_its_number_of_classes_says_which_network_it_is(weights, of_fid, generated):
    """The same convolutions and other pools give other features; torchvision's are its own."""
    from torchvision.models import Inception3

    torchvision_weights = {k: v for k, v in weights.items() if not k.startswith("fc.")}
    torchvision_weights["fc.weight"] = torch.zeros(1000, 2048)
    torchvision_weights["fc.bias"] = torch.zeros(1000)
    plain = load_inception(torchvision_weights, "made up")
    assert (of_fid.id, plain.id) == ("inception", "inception-torchvision")
    network = Inception3(1000, aux_logits=False, init_weights=False).eval()
    network.load_state_dict(torchvision_weights)
    network.fc = torch.nn.Identity()
    face = generated[:1]
    large = F.interpolate(face, (299, 299), mode="bilinear", align_corners=False)
    found = plain.extract(face)
    with torch.no_grad():
        torch.testing.assert_close(found, network(large), rtol=1e-4, atol=1e-4)
    assert found.shape == (1, 2048)
    assert (of_fid.extract(face) - found).abs().mean() > 0.01 * found.abs().mean()


def test_the_fids_pools_leave_the_padding_out_and_the_last_takes_the_maximum(of_fid, random):
    """By the sum of the neighbours over their number, and the largest of them."""
    for name, channels, maximum in (("Mixed_5b", 192, False), ("Mixed_7c", 2048, True)):
        mixed = getattr(of_fid.network, name)
        x = torch.rand(1, channels, 4, 5, generator=random)
        pooled = torch.empty_like(x)
        for row in range(4):
            for column in range(5):
                near = x[:, :, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
                pooled[:, :, row, column] = near.amax((2, 3)) if maximum else near.mean((2, 3))
        expected = mixed.block.branch_pool(pooled)
        found = mixed(x)
        torch.testing.assert_close(found[:, -expected.shape[1] :], expected)
        others = mixed.block(x)[:, : -expected.shape[1]]
        torch.testing.assert_close(found[:, : others.shape[1]], others)


def test_all_pools_beside_convolutions_are_the_fids(of_fid):
    names = {n: m for n, m in of_fid.network.named_children() if n.startswith("Mixed")}
    wrapped = [n for n, m in names.items() if isinstance(m, extractors._MixedLikeFid)]
    # 6a and 7a halve the side, and have no such pool.
    assert set(names) - set(wrapped) == {"Mixed_6a", "Mixed_7a"}
    assert [n for n in wrapped if names[n].maximum] == ["Mixed_7c"]


def test_a_file_of_the_reader_is_read(weights, tmp_path, monkeypatch):
    path = tmp_path / "inception.safetensors"
    auxiliary = {"AuxLogits.fc.weight": torch.zeros(1000, 768)}  # torchvision's file has them
    assets.save_weights(path, {**weights, **auxiliary}, "a test")
    monkeypatch.setenv(extractors.INCEPTION_ENVIRONMENT, str(path))
    made = extractor("inception")
    assert (made.id, made.features) == ("inception", 2048)
    assert not made.training
    assert not any(parameter.requires_grad for parameter in made.parameters())


def test_without_a_file_the_remedy_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv(extractors.INCEPTION_ENVIRONMENT, raising=False)
    with pytest.raises(
        AssetError, match=r"no file was given; download pt_inception.*FACELAB_INCEP"
    ):
        extractor("inception")
    with pytest.raises(AssetError, match=r"nothing\.pth is not a file"):
        inception(tmp_path / "nothing.pth")


def test_weights_of_another_network_are_named(weights):
    with pytest.raises(CheckpointError, match="it has 0"):
        load_inception({"conv.weight": torch.zeros(3)}, "other.pth")
    with pytest.raises(CheckpointError, match="it has 10"):
        load_inception({"fc.weight": torch.zeros(10, 2048)}, "other.pth")
    short = {k: v for k, v in weights.items() if k != "Mixed_7c.branch_pool.conv.weight"}
    with pytest.raises(
        CheckpointError, match=r"other\.pth does not fit Inception v3: .*branch_pool"
    ):
        load_inception(short, "other.pth")
