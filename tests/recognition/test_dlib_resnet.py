"""dlib's recogniser in PyTorch: equal to dlib, safe to read, differentiable."""

import copy

import pytest
import torch
import torch.nn.functional as F

from facelab import assets
from facelab.errors import CheckpointError, ImageError
from facelab.images import from_uint8, to_uint8
from facelab.recognition import align, dlib_resnet, mtcnn


@pytest.fixture(scope="module")
def dat():
    return assets.path("dlib-resnet")


@pytest.fixture(scope="module")
def original(dat):
    return dlib_resnet.read_dat(dat)


# --- the same numbers ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network(dat):
    """The network from dlib's own file, without the cache's conversion between."""
    return dlib_resnet.load_dat(dat)


def test_it_equals_dlib(dat, network, chips, generated):
    """Photographs and generated faces: at most 1e-4 apart in any of the 128 numbers."""
    dlib = pytest.importorskip("dlib", reason="dlib-bin is in the extra `test`")
    drawn = [(face[None], mtcnn.detect(face[None])) for face in generated[:6]]
    drawn = [align.align(face, faces.landmarks[:1]) for face, faces in drawn if len(faces)]
    levels = to_uint8(torch.cat([chips[[0, 3, 4]], *drawn[:2]]))
    oracle = dlib.face_recognition_model_v1(str(dat))
    expected = torch.tensor([list(oracle.compute_face_descriptor(x.numpy())) for x in levels])
    ours = network(from_uint8(levels))
    assert (ours - expected).abs().max() <= 1e-4
    assert F.cosine_similarity(ours, expected).min() >= 0.99999


def test_the_cache_has_the_same_weights(network, recogniser):
    cached = recogniser.network.state_dict()
    assert cached.keys() == network.state_dict().keys()
    assert all(torch.equal(cached[name], w) for name, w in network.state_dict().items())


def test_it_equals_the_layers_one_by_one(original, network, chips):
    """A twin with dlib's own input, unfolded normalisations and zeros written into a larger sum."""
    mean = torch.tensor(dlib_resnet.PIXEL_MEAN)[:, None, None]
    x = ((chips[:2] + 1) * 127.5 - mean) / 256

    def layer(x, name, **how):
        y = F.conv2d(x, original[f"{name}.weight"], original[f"{name}.bias"], **how)
        factor, summand = (original[f"{name}.{k}"][:, None, None] for k in ("factor", "summand"))
        return y * factor + summand

    x = F.max_pool2d(layer(x, "stem", stride=2).relu(), 3, stride=2)
    for index, (_, _, halves) in enumerate(dlib_resnet.BLOCKS):
        how = {"stride": 2} if halves else {"padding": 1}
        y = layer(x, f"blocks.{index}.first", **how).relu()
        y = layer(y, f"blocks.{index}.second", padding=1)
        x = F.avg_pool2d(x, 2, stride=2) if halves else x
        shape = [max(pair) for pair in zip(x.shape, y.shape, strict=True)]
        total = torch.zeros(shape)
        total[:, : y.shape[1], : y.shape[2], : y.shape[3]] += y
        total[:, : x.shape[1], : x.shape[2], : x.shape[3]] += x
        x = total.relu()
    expected = F.avg_pool2d(x, x.shape[2:]).flatten(1) @ original["head.weight"].T
    torch.testing.assert_close(network(chips[:2]), expected, rtol=1e-4, atol=1e-5)


def test_the_last_stages_are_what_the_embedding_is_made_of(network, chips):
    faces = chips[:2]
    with torch.no_grad():
        fourth, fifth = network.stages(faces, (4, 5))
        assert torch.equal(network.head(fifth.mean(dim=(2, 3))), network(faces))
        assert torch.equal(network.blocks[13](fourth), fifth)
        (alone,) = network.stages(faces, (5,))
    assert torch.equal(alone, fifth)
    assert fourth.shape[1] == fifth.shape[1] == 256
    assert fourth.shape[2] > fifth.shape[2]


def test_the_sum_fills_up_with_zeros():
    a, b = torch.ones(1, 1, 2, 3), torch.full((1, 2, 3, 2), 10.0)
    total = dlib_resnet.add(a, b)
    assert torch.equal(total[0, 0], torch.tensor([[11.0, 11, 1], [11, 11, 1], [10, 10, 0]]))
    assert torch.equal(total[0, 1], torch.tensor([[10.0, 10, 0]] * 3))


def test_a_batch_gives_what_single_faces_give(chips, recogniser):
    single = torch.cat([recogniser(chip[None]) for chip in chips[:3]])
    torch.testing.assert_close(recogniser(chips[:3]), single, rtol=1e-4, atol=1e-5)


def test_memory_formats_and_bfloat16(chips, recogniser):
    """Channels last, the other order, and bfloat16: the same faces to each data type's digits."""
    expected = recogniser(chips)
    assert recogniser.network.stem.weight.is_contiguous(memory_format=torch.channels_last)
    other = copy.deepcopy(recogniser).to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(other(chips), expected, rtol=1e-4, atol=1e-5)
    last = chips.to(memory_format=torch.channels_last)
    torch.testing.assert_close(recogniser(last), expected, rtol=1e-4, atol=1e-5)
    half = copy.deepcopy(recogniser).to(torch.bfloat16)
    assert half(chips).dtype == torch.bfloat16
    assert half.embed(chips).dtype == torch.float32
    assert F.cosine_similarity(half(chips).float(), expected).min() > 0.999


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_the_gpu_gives_the_same(chips, recogniser):
    expected = recogniser(chips)
    there = copy.deepcopy(recogniser).to("cuda")
    assert F.cosine_similarity(there(chips.to("cuda")).cpu(), expected).min() > 0.9999


# --- gradients -----------------------------------------------------------------------------------


def test_the_gradient_is_that_of_the_function(chips, recogniser):
    """In float64: the slope along a direction equals the difference quotient."""
    network = copy.deepcopy(recogniser).double()
    image = chips[:1].double().requires_grad_()
    random = torch.Generator().manual_seed(1)
    direction = torch.randn(image.shape, generator=random, dtype=torch.float64)
    target = F.normalize(torch.randn(1, 128, generator=random, dtype=torch.float64))

    def similarity(x):
        return (F.normalize(network(x), dim=1) * target).sum()

    (gradient,) = torch.autograd.grad(similarity(image), image)
    step = 1e-9  # small, or some relu among millions changes sides
    with torch.no_grad():
        ahead, behind = (similarity(image + s * step * direction) for s in (1, -1))
    slope = (gradient * direction).sum()
    assert slope.abs() > 1e-3
    torch.testing.assert_close(slope, (ahead - behind) / (2 * step), rtol=1e-4, atol=1e-7)


def test_the_gradient_makes_a_blurred_face_more_like_the_original(chips, recogniser):
    sharp = recogniser.embed(chips[:1])
    blurred = F.interpolate(F.avg_pool2d(chips[:1], 10), (150, 150), mode="bilinear")
    image = blurred.clone().requires_grad_()
    distances = []
    for _ in range(12):
        distance = recogniser.distance(recogniser.embed(image), sharp).sum()
        distances.append(distance.item())
        (gradient,) = torch.autograd.grad(distance, image)
        image = (image - 0.02 * gradient.sign()).clamp(-1, 1).detach().requires_grad_()
    assert distances[-1] < 0.5 * distances[0]


def test_its_weights_are_frozen(recogniser):
    assert not recogniser.training
    assert not any(parameter.requires_grad for parameter in recogniser.parameters())


# --- bad files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0, 1, 10, 300, 5_000, 1_000_000, 22_466_065])
def test_a_truncated_file_is_named(dat, tmp_path, kept):
    path = tmp_path / "short.dat"
    path.write_bytes(dat.read_bytes()[:kept])
    with pytest.raises(CheckpointError) as caught:
        dlib_resnet.read_dat(path)
    message = str(caught.value)
    assert "short.dat is not dlib's face recogniser: at byte " in message
    assert f"of {kept:,} expected" in message
    assert "the end after" in message
    assert "facelab assets fetch dlib-resnet" in message


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b"\x01\x01\x01\x0bloss_mmod_3", "the text 'loss_metric_2', found a text of 11 bytes"),
        (b"\x01\x02\x01\x0bloss_mmod_3", "version of the loss layer 1, found 2"),
        (b"PK\x03\x04", "starts no integer"),
        (b"\x80\x02}q", "starts no integer"),
        (b"a text file\n", "starts no integer"),
    ],
    ids=["detector", "newer", "zip", "pickle", "text"],
)
def test_another_file_is_named(tmp_path, start, expected):
    path = tmp_path / "other.dat"
    path.write_bytes(start + bytes(200))
    with pytest.raises(CheckpointError, match=expected):
        dlib_resnet.read_dat(path)


def test_more_than_the_network_is_refused(dat, tmp_path):
    path = tmp_path / "long.dat"
    path.write_bytes(dat.read_bytes() + b"\x00")
    with pytest.raises(CheckpointError, match="the end of the file, found 1 bytes more"):
        dlib_resnet.read_dat(path)


def test_no_flipped_byte_of_the_structure_goes_unnoticed_or_crashes(dat, tmp_path):
    """Each of the first 350 bytes, one at a time: an error of ours, or a number that is not used.

    Not used are the loss's margin (bytes 17 to 22).
    """
    data = bytearray(dat.read_bytes()[:400])
    path = tmp_path / "flipped.dat"
    offsets = []
    for position in range(350):
        flipped = data.copy()
        flipped[position] ^= 0xFF
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError) as caught:
            dlib_resnet.read_dat(path)
        found = str(caught.value).split("at byte ")[1].split()[0].replace(",", "")
        offsets.append(int(found))
    unnoticed = [p for p, offset in enumerate(offsets) if offset > p]
    assert set(unnoticed) <= {17, 18, 19, 20, 21, 22}


def test_a_damaged_conversion_is_named(tmp_path, monkeypatch):
    path = tmp_path / "other.safetensors"
    assets.save_weights(path, {"head.weight": torch.zeros(128, 256)}, "a test")
    monkeypatch.setattr(assets, "derived", lambda *_: path)
    with pytest.raises(
        CheckpointError, match=r"other\.safetensors does not hold dlib's recogniser"
    ):
        dlib_resnet.dlib.__wrapped__("cpu")


# --- faces of another size -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [(150, 149), (64, 64), (1, 1)])
def test_another_size_is_named(recogniser, size):
    with pytest.raises(ImageError, match=f"150 x 150 pixels, got {size[1]} x {size[0]}; align"):
        recogniser(torch.zeros(1, 3, *size))
