"""HSE-FaceRes in PyTorch: equal to TensorFlow's network, safe to read, differentiable."""

import copy
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from facelab import assets
from facelab.errors import CheckpointError, ImageError
from facelab.recognition import align, embedder, faceres, gallery

RECORDS = Path(__file__).parents[2] / "records"
RECORD, REFERENCE = (
    json.loads((RECORDS / f"{name}.json").read_text()) for name in ("faceres", "faceres_reference")
)
SMALL = ((4, 6, 1), (6, 5, 2), (5, 8, 2))


@pytest.fixture(scope="module")
def recogniser():
    return embedder.embedder("faceres")


@pytest.fixture(scope="module")
def portraits(photographs):
    """The photographs' faces, aligned for this recogniser, shape (5, 3, 224, 224)."""
    crops = [align.crop_faces(p, "faceres224", "largest").images for p in photographs.values()]
    return torch.cat(crops)


# --- the same numbers ----------------------------------------------------------------------------


def made_up(blocks) -> dict[str, torch.Tensor]:
    """Weights by TensorFlow's names: seeded noise that keeps the signal's size."""
    random = torch.Generator().manual_seed(0)
    weights = {}
    for name, shape in faceres._shapes(blocks).items():
        noise = torch.randn(shape, generator=random)
        scale = 1.0
        if len(shape) == 4:
            inputs = 9 if "depthwise" in name else math.prod(shape[:3])
            scale = 2 * (2 / inputs) ** 0.5  # so that some are above 6
        if name == "conv1/convolution/merged_input":
            scale /= 100  # it sees levels
        weights[name] = noise * scale
    return weights


def twin(weights: dict, image: torch.Tensor, blocks) -> np.ndarray:
    """The features of one image (3, side, side) by TensorFlow's rules, one number at a time."""
    w = {name: tensor.double().numpy() for name, tensor in weights.items()}
    levels = (image.double().numpy() + 1) * 127.5
    x = np.stack([levels[2] - 103.939, levels[1] - 116.779, levels[0] - 123.68], axis=2)  # BGR

    def windows(x, stride):
        """Each output's place and its 3 x 3 window; what is odd of the padding lies at the end."""
        rows, columns = (math.ceil(side / stride) for side in x.shape[:2])
        before = []
        for outputs, side in ((rows, x.shape[0]), (columns, x.shape[1])):
            before.append(max((outputs - 1) * stride + 3 - side, 0) // 2)
        padded = np.zeros((x.shape[0] + 4, x.shape[1] + 4, x.shape[2]))
        padded[before[0] : before[0] + x.shape[0], before[1] : before[1] + x.shape[1]] = x
        for row, column in itertools.product(range(rows), range(columns)):
            top, left = row * stride, column * stride
            yield row, column, padded[top : top + 3, left : left + 3]

    def size(x, stride, channels):
        return np.zeros((math.ceil(x.shape[0] / stride), math.ceil(x.shape[1] / stride), channels))

    def finish(x, layer):
        y = x * w.get(f"{layer}_bn/batchnorm_1/mul", 1.0) + w[f"{layer}_bn/batchnorm_1/sub"]
        return np.minimum(np.maximum(y, 0), 6)

    kernel = w["conv1/convolution/merged_input"]
    y = size(x, 2, kernel.shape[3])
    for row, column, window in windows(x, 2):
        for channel in range(kernel.shape[3]):
            y[row, column, channel] = (window * kernel[..., channel]).sum()
    x = finish(y, "conv1")
    for index, (above, below, stride) in enumerate(blocks, start=1):
        y = size(x, stride, above)
        for row, column, window in windows(x, stride):
            for channel in range(above):
                kernel = w[f"conv_dw_{index}/depthwise_kernel"][..., channel, 0]
                y[row, column, channel] = (window[..., channel] * kernel).sum()
        x = finish(y, f"conv_dw_{index}")
        y = size(x, 1, below)
        for row, column in itertools.product(range(x.shape[0]), range(x.shape[1])):
            y[row, column] = x[row, column] @ w[f"conv_pw_{index}/convolution/merged_input"][0, 0]
        x = finish(y, f"conv_pw_{index}")
    return x.mean((0, 1))


@pytest.mark.parametrize("side", [16, 14, 9, 11])
def test_it_equals_tensorflow_s_rules_one_number_at_a_time(random, side):
    """Even and odd sides: what is left over of the padding lies at the end, or nothing is."""
    weights = made_up(SMALL)
    network = faceres.Network(SMALL).double()
    network.load_state_dict(faceres.fold(weights, SMALL))
    images = torch.rand(2, 3, side, side, generator=random, dtype=torch.float64) * 2 - 1
    found = network(images)
    expected = np.stack([twin(weights, image, SMALL) for image in images])
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    assert found.std() > 0.1
    assert (found > 0).double().mean() > 0.3


def test_the_guesses_are_the_heads_by_hand(random):
    weights = made_up(SMALL)
    network = faceres.Network(SMALL)
    network.load_state_dict(faceres.fold(weights, SMALL))
    features = torch.rand(3, SMALL[-1][1], generator=random)
    male, age = network.guess(features)
    hidden = (features @ weights["feats/kernel"] + weights["feats/bias"]).clamp(min=0)
    logit = (hidden @ weights["gender_pred/kernel"] + weights["gender_pred/bias"])[:, 0]
    torch.testing.assert_close(male, 1 / (1 + torch.exp(-logit)))
    years = torch.exp(hidden @ weights["age_pred/kernel"] + weights["age_pred/bias"])
    expected = sum((year + 1) * years[:, year] for year in range(100)) / years.sum(1)
    torch.testing.assert_close(age, expected)
    # Sure of the first year: one year old.
    with torch.no_grad():
        network.age.weight.zero_()
        network.age.bias.zero_()[0] = 100.0
    torch.testing.assert_close(network.guess(features)[1], torch.ones(3))


def waves() -> torch.Tensor:
    """The picture of records/faceres_reference.json, which has what TensorFlow.js says of it."""
    y, x = torch.meshgrid(torch.arange(224.0), torch.arange(224.0), indexing="ij")
    shades = [torch.sin(x / 20 + y / 31), torch.cos(y / 17), torch.sin((x - y) / 43)]
    return 0.9 * torch.stack(shades)[None]


def test_it_equals_tensorflow_js(recogniser):
    """The real model's numbers, from a run of TensorFlow.js that the record describes."""
    theirs = REFERENCE["waves"]
    features = recogniser.network(waves())[0]
    places = torch.tensor([int(place) for place in theirs["largest features"]])
    expected = torch.tensor(list(theirs["largest features"].values()))
    torch.testing.assert_close(features[places], expected, rtol=1e-4, atol=1e-5)
    assert expected.min() > 0.2
    assert float(features.norm()) == pytest.approx(theirs["length"], rel=1e-5)
    male, age = recogniser.gender_and_age(waves())
    assert male.item() == pytest.approx(theirs["male"], abs=1e-5)
    assert age.item() == pytest.approx(theirs["age"], abs=1e-3)
    assert REFERENCE["largest difference"] < 1e-4


def test_chunks_and_memory_formats_change_nothing(portraits, recogniser, tolerance):
    expected = torch.cat([recogniser(face[None]) for face in portraits])
    assert len(portraits) > faceres.AT_ONCE["cpu"]
    torch.testing.assert_close(recogniser(portraits), expected, **tolerance[torch.float32])
    other = copy.deepcopy(recogniser).to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(other(portraits), expected, **tolerance[torch.float32])
    assert recogniser.network.stem.weight.is_contiguous(memory_format=torch.channels_last)
    assert recogniser(portraits[:0]).shape == (0, 1024)


def test_bfloat16_has_its_own_digits(portraits, recogniser):
    half = copy.deepcopy(recogniser).to(torch.bfloat16)
    assert half(portraits).dtype == torch.bfloat16
    assert half.embed(portraits).dtype == torch.float32
    cosines = F.cosine_similarity(half.embed(portraits), recogniser(portraits))
    assert cosines.min() > 0.99
    assert half.gender_and_age(portraits)[1].dtype == torch.float32


# --- people --------------------------------------------------------------------------------------


def test_same_and_different_people(photographs, portraits, recogniser):
    """Three photographs of one man, and two other people: every pair on its side."""
    person = [name.rstrip("23") for name in photographs]
    raw = recogniser(portraits)
    torch.testing.assert_close(raw.norm(dim=1), torch.ones(5))
    for i, j in itertools.combinations(range(5), 2):
        squared = recogniser.distance(raw[[i]], raw[[j]])
        native = recogniser.native_distance(raw[[i]], raw[[j]])
        same = person[i] == person[j]
        assert (squared < recogniser.threshold_squared) == same
        assert (native < recogniser.threshold) == same


def test_the_threshold_is_the_record_s(recogniser):
    assert round(RECORD["threshold"]["squared distance"], 3) == faceres.THRESHOLD_SQUARED
    assert recogniser.threshold == pytest.approx(faceres.THRESHOLD_SQUARED**0.5)
    assert RECORD["threshold"]["template"] == recogniser.template
    points = RECORD["template"]["points"]
    assert align.TEMPLATES["faceres224"].points == tuple(map(tuple, points))


def test_it_tells_old_men_from_a_younger_woman(photographs, portraits, recogniser):
    """Joe Biden at 67, Barack Obama at 48 to 51, Eileen Collins; ages within the usual error."""
    male, age = recogniser.gender_and_age(portraits)
    guess = dict(zip(photographs, zip(male.tolist(), age.tolist(), strict=True), strict=True))
    assert guess["astronaut"][0] < 0.5 < min(guess[n][0] for n in guess if n != "astronaut")
    assert guess["biden"][1] > max(guess[n][1] for n in ("obama", "obama2", "obama3"))
    assert 55 < guess["biden"][1] < 80
    assert 20 < guess["astronaut"][1] < 50


def test_files_are_embedded_with_it(recogniser):
    """From the file to the embedding, by its own template."""
    found = gallery.embed_files([assets.path("astronaut")], recogniser)
    assert found.embedder == "faceres"
    assert found.embeddings.shape == (1, 1024)


# --- gradients -----------------------------------------------------------------------------------


def test_the_gradient_is_that_of_the_function(random):
    """In float64, of a small network: the features by the pixels."""
    network = faceres.Network(SMALL).double()
    network.load_state_dict(faceres.fold(made_up(SMALL), SMALL))
    network.requires_grad_(False)
    image = torch.rand(1, 3, 8, 8, generator=random, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, image)


def test_a_step_along_the_gradient_makes_two_faces_more_alike(portraits, recogniser):
    """The real one: the pixels of one person towards another's embedding."""
    target = recogniser.embed(portraits[1:2])
    image = portraits[:1].clone().requires_grad_()
    before = recogniser.distance(recogniser.embed(image), target).sum()
    (gradient,) = torch.autograd.grad(before, image)
    with torch.no_grad():
        moved = (image - 0.01 * gradient.sign()).clamp(-1, 1)
        after = recogniser.distance(recogniser.embed(moved), target).sum()
    assert after < before - 0.05
    for guess in recogniser.gender_and_age(image):
        (gradient,) = torch.autograd.grad(guess.sum(), image, retain_graph=True)
        assert gradient.abs().sum() > 0


def test_its_weights_are_frozen_and_shared(recogniser):
    assert not recogniser.training
    assert not any(parameter.requires_grad for parameter in recogniser.parameters())
    assert embedder.embedder("faceres") is recogniser


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_the_gpu_gives_the_same(portraits, recogniser):
    there = copy.deepcopy(recogniser).to("cuda")
    cosines = F.cosine_similarity(there(portraits.to("cuda")).cpu(), recogniser(portraits))
    assert cosines.min() > 0.9999


# --- bad files, and faces of another size --------------------------------------------------------


@pytest.fixture
def copied(tmp_path) -> Path:
    """The real model's files, to be damaged."""
    for name in ("faceres.json", "faceres.bin"):
        (tmp_path / name).write_bytes((assets.path("faceres") / name).read_bytes())
    return tmp_path / "faceres.json"


def test_the_cache_has_the_file_s_weights(copied, recogniser):
    expected = faceres.fold(faceres.read_graph(copied))
    found = recogniser.network.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_a_truncated_file_is_named(copied):
    values = copied.with_suffix(".bin")
    values.write_bytes(values.read_bytes()[:-2])
    with pytest.raises(CheckpointError) as caught:
        faceres.read_graph(copied)
    message = str(caught.value)
    assert "faceres.json is not the recogniser HSE-FaceRes: expected " in message
    assert "facelab assets fetch faceres" in message


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("conv_dw_3/depthwise_kernel", {"name": "conv_dw_14/x"}, "an unknown 'conv_dw_14/x'"),
        ("feats/kernel", {"shape": [256, 1024]}, r"feats/kernel of shape \(1024, 256\)"),
    ],
)
def test_another_network_is_named(copied, name, change, expected):
    model = json.loads(copied.read_text())
    (entry,) = (e for e in model["weightsManifest"][0]["weights"] if e["name"] == name)
    entry |= change
    copied.write_text(json.dumps(model))
    with pytest.raises(CheckpointError, match=expected):
        faceres.read_graph(copied)


def test_another_activation_is_named(copied):
    """A limit of 7: the same tensors, and another network."""
    entries = json.loads(copied.read_text())["weightsManifest"][0]["weights"]
    offset = 0
    for entry in entries:
        if entry["name"] == "conv_pw_5_relu/Cast":
            break
        offset += math.prod(entry["shape"]) * (2 if "quantization" in entry else 4)
    values = copied.with_suffix(".bin")
    data = bytearray(values.read_bytes())
    data[offset : offset + 2] = np.array([7], "<f2").tobytes()
    values.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"expected conv_pw_5_relu/Cast 6\.0, found 7\.0"):
        faceres.read_graph(copied)


def test_a_damaged_conversion_is_named(tmp_path, monkeypatch):
    path = tmp_path / "other.safetensors"
    assets.save_weights(path, {"stem.weight": torch.zeros(32, 3, 3, 3)}, "a test")
    monkeypatch.setattr(assets, "derived", lambda *_: path)
    with pytest.raises(CheckpointError, match=r"other\.safetensors does not hold the recogniser"):
        faceres.faceres.__wrapped__("cpu")


@pytest.mark.parametrize("size", [(224, 223), (64, 64)])
def test_another_size_is_named(recogniser, size):
    expected = f"224 x 224 pixels, got {size[1]} x {size[0]}; align"
    for call in (recogniser, recogniser.gender_and_age):
        with pytest.raises(ImageError, match=expected):
            call(torch.zeros(1, 3, *size))
