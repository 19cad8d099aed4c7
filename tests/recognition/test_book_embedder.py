"""The book's recogniser: its network, its two ways of training, and its files."""

import copy
import json
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from facelab import assets
from facelab.errors import AssetError, CheckpointError, ImageError, ParameterError
from facelab.losses import semi_hard_triplets
from facelab.recognition import align, book_embedder, embedder
from facelab.recognition.book_embedder import BOOK, TINY, BookEmbedder, Config, Network


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network(TINY)


@pytest.fixture
def recogniser(network):
    return BookEmbedder(network, threshold_squared=0.81).eval()


@pytest.fixture
def people(random):
    """Twelve pictures of three people: each person a pattern, each picture its own noise."""
    identities = torch.tensor([0, 1, 2, 0, 1, 2, 0, 0, 1, 2, 1, 2])
    patterns = torch.randn(3, 3, 8, 8, generator=random)
    pictures = F.interpolate(patterns, (64, 64), mode="bilinear")[identities]
    noise = torch.randn(pictures.shape, generator=random)
    return (0.5 * pictures + 0.3 * noise).clamp(-1, 1), identities


# --- the network ---------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [TINY, BOOK])
def test_the_presets_have_the_promised_size(config):
    """Counted by hand: two convolutions with norms a block, one of 1 x 1 where it shrinks."""
    network = Network(config).eval()
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 128)
    above = config.channels[0]
    expected = above * 27 + 2 * above
    for below, count in zip(config.channels, config.blocks, strict=True):
        expected += 9 * below * (above + below) + above * below + 4 * below
        expected += (count - 1) * (18 * below * below + 4 * below)
        above = below
    expected += above * 4 * 4 * 128 + 2 * 128
    assert sum(parameter.numel() for parameter in network.parameters()) == expected
    assert config is TINY or expected == pytest.approx(3.3e6, rel=0.01)


def test_a_block_without_its_convolutions_is_its_shortcut(random):
    """The last normalisation's factor at zero: mean of 2 x 2, then relu of a mix of channels."""
    block = book_embedder.Block(2, 3, stride=2).eval()
    nn.init.zeros_(block.second_norm.weight)
    x = torch.randn(1, 2, 6, 6, generator=random)
    mixed = torch.einsum("oi,bihw->bohw", block.shortcut[1].weight[:, :, 0, 0], x)
    means = mixed.unflatten(3, (3, 2)).unflatten(2, (3, 2)).mean(dim=(3, 5))
    torch.testing.assert_close(block(x), means.relu())


def test_embeddings_have_length_one(recogniser, people):
    images, _ = people
    assert torch.allclose(recogniser(images).norm(dim=1), torch.ones(12))
    torch.testing.assert_close(recogniser.embed(images), recogniser(images))
    assert recogniser.threshold == pytest.approx(0.9)
    assert recogniser.size == align.TEMPLATES[recogniser.template].size


def test_gradients_reach_the_pixels(recogniser, people):
    exact = copy.deepcopy(recogniser.network).double()
    image = people[0][:1].double().requires_grad_()
    (gradient,) = torch.autograd.grad(exact(image).square().sum(), image)
    step = 1e-7
    ahead, behind = (exact(image + s * step * gradient.sign()).square().sum() for s in (1, -1))
    slope = gradient.abs().sum()
    torch.testing.assert_close(slope, ((ahead - behind) / (2 * step)).detach(), rtol=1e-3, atol=0)


def test_faces_of_another_size_are_named(recogniser):
    with pytest.raises(ImageError, match="64 x 64 pixels, got 150 x 150"):
        recogniser(torch.zeros(1, 3, 150, 150))


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": (8, 16)},
        {"channels": (), "blocks": ()},
        {"channels": (8,) * 7, "blocks": (1,) * 7},
        {"channels": (8, 0), "blocks": (1, 1)},
        {"channels": (8, 10**9), "blocks": (1, 1)},
        {"features": 0},
    ],
)
def test_a_network_that_cannot_be_built_is_refused(wrong):
    with pytest.raises(ParameterError, match="can't be built; give one to six stages"):
        Config(**wrong)


@pytest.mark.parametrize("threshold", [0, 4, -1, math.nan])
def test_a_threshold_that_parts_nothing_is_refused(network, threshold):
    with pytest.raises(ParameterError, match="between 0 and 4"):
        BookEmbedder(network, threshold)


# --- training ------------------------------------------------------------------------------------


def test_triplet_terms_are_those_of_the_mined_triplets(network, people):
    images, identities = people
    network.eval()
    terms = book_embedder.triplet_terms(network, images, identities, margin=0.3)
    unit = F.normalize(network(images), dim=1).detach()
    mined = semi_hard_triplets(unit, identities, margin=0.3).tolist()
    expected = [
        max(
            0.0,
            float((unit[a] - unit[p]).square().sum() - (unit[a] - unit[n]).square().sum()) + 0.3,
        )
        for a, p, n in mined
    ]
    assert len(expected) == 12 * 3
    torch.testing.assert_close(terms, torch.tensor(expected))


def test_a_batch_of_one_person_has_no_triplets(network, people):
    images, _ = people
    terms = book_embedder.triplet_terms(network, images, torch.zeros(12, dtype=torch.long))
    assert terms.shape == (0,)


def test_softmax_terms_of_a_classifier_that_knows_nothing(network, people):
    classifier = nn.Linear(128, 7)
    nn.init.zeros_(classifier.weight)
    nn.init.zeros_(classifier.bias)
    terms = book_embedder.softmax_terms(network, classifier, *people)
    torch.testing.assert_close(terms, torch.full((12,), math.log(7)))


def test_which_parameters_each_loss_moves(network, people):
    """The triplets move the network alone; the classifier's loss moves both."""
    classifier = nn.Linear(128, 3)
    book_embedder.triplet_terms(network, *people).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())
    assert all(parameter.grad is None for parameter in classifier.parameters())
    network.zero_grad()
    book_embedder.softmax_terms(network, classifier, *people).sum().backward()
    for module in (network, classifier):
        assert all(parameter.grad.abs().sum() > 0 for parameter in module.parameters())


def test_the_classifiers_gradient_is_probability_minus_truth(network, people):
    """d loss / d logits = softmax(logits) - one hot: the bias gathers it over the batch."""
    images, identities = people
    network.eval()
    classifier = nn.Linear(128, 3)
    book_embedder.softmax_terms(network, classifier, images, identities).sum().backward()
    excess = classifier(network(images)).softmax(dim=1) - F.one_hot(identities, 3)
    torch.testing.assert_close(classifier.bias.grad, excess.sum(dim=0).detach())


@pytest.mark.parametrize("way", ["triplets", "softmax"])
def test_a_few_steps_bring_a_persons_pictures_together(network, people, way):
    images, identities = people
    classifier = nn.Linear(128, 3)
    optimiser = torch.optim.Adam([*network.parameters(), *classifier.parameters()], lr=3e-3)
    for _ in range(12):
        if way == "triplets":
            loss = book_embedder.triplet_terms(network, images, identities).mean()
        else:
            loss = book_embedder.softmax_terms(network, classifier, images, identities).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    unit = F.normalize(network(images), dim=1)
    distances = torch.cdist(unit, unit).square()
    same = identities[:, None] == identities
    assert distances[same].max() < distances[~same].min()


# --- files ---------------------------------------------------------------------------------------


@pytest.fixture
def saved(recogniser, tmp_path):
    path = tmp_path / "book.safetensors"
    book_embedder.save(path, recogniser, trained_on="nothing")
    return path


def test_a_saved_recogniser_comes_back_the_same(recogniser, saved, people):
    images, _ = people
    loaded = book_embedder.load(saved)
    torch.testing.assert_close(loaded(images), recogniser(images), rtol=1e-4, atol=1e-5)
    assert loaded.threshold_squared == 0.81
    assert loaded.network.config == TINY
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert json.loads(assets.read_source(saved))["trained_on"] == "nothing"


def test_files_of_something_else_are_named(recogniser, saved, tmp_path):
    tensors = assets.load_weights(saved)
    header = json.loads(assets.read_source(saved))
    other = tmp_path / "other.safetensors"

    def message(tensors=tensors, source=None, **changes) -> str:
        text = json.dumps(header | changes) if source is None else source
        assets.save_weights(other, tensors, text)
        with pytest.raises(CheckpointError) as caught:
            book_embedder.load(other)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "is of an unknown method, book_embedder expected" in message(source="dlib-resnet 55")
    assert "is of an unknown method" in message(source="[1]")
    assert "is of began, book_embedder expected" in message(method="began")
    assert "header that can't be used" in message(config={"channels": [8]})
    assert "header that can't be used" in message(config=header["config"] | {"extra": 1})
    assert "can't be built" in message(config=header["config"] | {"channels": [8, 10**9]})
    assert "between 0 and 4" in message(threshold_squared=9)
    wider = header["config"] | {"channels": [8, 16, 32, 64]}
    assert "network of its header, Config(channels=(8, 16, 32, 64)" in message(config=wider)
    assert "does not hold" in message({k: t for k, t in tensors.items() if k != "head.weight"})
    other.write_bytes(saved.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="damaged, cut short"):
        book_embedder.load(other)
    torch.save(tensors, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"x\.pt can't be read .*; give a file that"):
        book_embedder.load(tmp_path / "x.pt")


def test_no_checkpoint_is_promised():
    with pytest.raises(AssetError, match=r"no checkpoint yet; use --embedder dlib, or load one"):
        embedder.embedder("book")
