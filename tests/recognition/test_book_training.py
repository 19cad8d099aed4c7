"""The recogniser's training: its loss by hand, what it moves, and that it learns who is who."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from facelab.errors import DatasetError, ParameterError
from facelab.phases import Step
from facelab.recognition import book_training
from facelab.recognition.book_training import TINY, Config, Training
from facelab.types import Batch


@pytest.fixture
def batch(random):
    """Eight faces of four people: each a pattern, each picture its own noise."""
    identity = torch.arange(8) % 4
    patterns = torch.randn(4, 3, 8, 8, generator=random)
    pictures = F.interpolate(patterns, (64, 64), mode="bilinear")[identity]
    noise = torch.randn(pictures.shape, generator=random)
    return Batch((0.5 * pictures + 0.2 * noise).clamp(-1, 1), identity)


@pytest.fixture
def method():
    torch.manual_seed(0)
    return Training(TINY)


def step(number: int = 0, rank: int = 0) -> Step:
    return Step(number, torch.Generator().manual_seed(number), rank)


def test_the_softmax_sees_angles_alone(method, batch, monkeypatch):
    monkeypatch.setattr(book_training, "augmented", lambda images, step: images)
    before = method.terms(batch, step())["softmax"]
    with torch.no_grad():
        method.classifier.weight.mul_(7.0)
    torch.testing.assert_close(method.terms(batch, step())["softmax"], before)
    with torch.no_grad():
        method.classifier.weight.copy_(method.classifier.weight[:1].expand(64, -1))
    alike = method.terms(batch, step())["softmax"]
    torch.testing.assert_close(alike, torch.full((8,), math.log(64)))


def test_the_triplets_mean_is_the_batchs(method, batch, monkeypatch):
    monkeypatch.setattr(book_training, "augmented", lambda images, step: images)
    both = Training(dataclasses.replace(TINY, triplets=0.5))
    both.network.load_state_dict(method.network.state_dict())
    terms = both.terms(batch, step())
    unit = F.normalize(both.network(batch.images).float(), dim=1)
    chosen = book_training.semi_hard_triplets(unit, batch.identity)
    assert len(chosen)
    wanted = book_training.triplet_loss(*unit[chosen].unbind(1)).mean()
    torch.testing.assert_close(terms["triplets"].mean(), wanted)
    (phase,) = both.phases()
    assert phase.weights == {"triplets": 0.5}
    assert "triplets" not in method.terms(batch, step())


def test_augmentation_follows_the_step_and_the_process(batch):
    images = batch.images
    once, again = (book_training.augmented(images, step(3)) for _ in range(2))
    assert torch.equal(once, again)
    assert not torch.equal(once, book_training.augmented(images, step(4)))
    assert not torch.equal(once, book_training.augmented(images, step(3, rank=1)))
    assert once.abs().max() <= 1


def test_it_learns_who_is_who(method, batch):
    moved = [*method.network.parameters(), *method.classifier.parameters()]
    adam = torch.optim.Adam(moved, lr=5e-3)
    first = None
    for number in range(15):
        loss = method.terms(batch, step(number))["softmax"].mean()
        first = loss.item() if first is None else first
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert loss.item() < 0.5 * first


def test_the_preview_pairs_each_face_with_another_one(method, batch):
    networks = {name: network.eval() for name, network in method.networks.items()}
    pairs = method.preview(networks, batch)
    assert pairs.shape == (16, 3, 64, 64)
    assert torch.equal(pairs[::2], batch.images)
    assert all(not torch.equal(a, b) for a, b in zip(pairs[::2], pairs[1::2], strict=True))


def test_what_does_not_fit_is_named(method, batch):
    stranger = dataclasses.replace(batch, identity=batch.identity + 61)
    with pytest.raises(DatasetError, match="person number 64, the classifier has 64 people"):
        method.terms(stranger, step())
    with pytest.raises(ParameterError, match="1 people in batches of 64 teach nothing"):
        Config(people=1)
    with pytest.raises(ParameterError, match="scale 0"):
        Config(scale=0)
    with pytest.raises(ParameterError, match="there is no preset 'large'"):
        Training.preset("large")


def test_faces_are_disturbed_in_float32_whatever_the_loss_is_computed_in(batch):
    """Each seed disturbs another way; one of these blurs."""
    for number in range(12):
        plain = book_training.augmented(batch.images, step(number))
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(book_training.augmented(batch.images, step(number)), plain)
