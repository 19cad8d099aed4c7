"""The recogniser of two sets: whose columns a face sees, by hand, and what the halving halves."""

import pytest
import torch
import torch.nn.functional as F

from facelab.engine import loop
from facelab.engine.settings import Settings
from facelab.errors import ParameterError
from facelab.methods.ganfaces.recogniser import Config, TwoSets
from facelab.phases import Step
from facelab.recognition import book_embedder, book_training
from facelab.types import Batch

NETWORK = book_embedder.TINY


def method(base=3, added=2, weight=0.5) -> TwoSets:
    torch.manual_seed(0)
    return TwoSets(Config(base, added, weight, network=NETWORK, batch_size=4))


@pytest.fixture
def batch(random):
    images = torch.rand(5, 3, 64, 64, generator=random) * 2 - 1
    return Batch(images, torch.tensor([0, 2, 3, 4, 1]))


def step():
    return Step(0, torch.Generator().manual_seed(0))


def test_a_face_sees_the_people_of_its_own_set_alone(random, tolerance):
    logits = torch.randn(5, 5, generator=random)
    identity = torch.tensor([0, 2, 3, 4, 1])
    found = method(weight=0.25).loss(logits, identity)
    base = F.cross_entropy(logits[[0, 1, 4], :3], torch.tensor([0, 2, 1]), reduction="none")
    added = F.cross_entropy(logits[[2, 3], 3:], torch.tensor([0, 1]), reduction="none")
    wanted = torch.stack([base[0], base[1], 0.25 * added[0], 0.25 * added[1], base[2]])
    torch.testing.assert_close(found, wanted, **tolerance[torch.float32])


def test_an_added_face_moves_no_column_of_the_base(batch):
    two = method()
    two.terms(batch.rows(torch.tensor([2, 3])), step())["softmax"].mean().backward()
    gradient = two.networks["classifier"].weight.grad
    assert not gradient[:3].any()
    assert gradient[3:].any(1).all()
    assert torch.isfinite(gradient).all()


def test_with_nothing_added_it_is_the_training_underneath(batch, tolerance):
    alone = method(base=5, added=0)
    torch.manual_seed(0)
    plain = book_training.Training(alone.config.training)
    ours, theirs = (m.terms(batch, step())["softmax"] for m in (alone, plain))
    torch.testing.assert_close(ours, theirs, **tolerance[torch.float32])
    assert alone.phases()[0].optimiser == plain.phases()[0].optimiser


def test_what_is_added_leaves_the_first_weights_as_they_are():
    few, many = method(3, 0).networks["embedder"], method(3, 40).networks["embedder"]
    for a, b in zip(few.parameters(), many.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_loop_trains_it(numbers_of_size_64):
    result = loop.train(
        method(3, 2), numbers_of_size_64, Settings(steps=3, batch=4, workers=0), progress=False
    )
    assert result.step == 3
    assert 0 < result.history[-1].losses["identity/softmax"] < 50


@pytest.fixture
def numbers_of_size_64():
    from facelab.data.base import FaceDataset

    class Noise(FaceDataset):
        id, size, split, people = "noise", 64, "all", 5
        identity = torch.arange(10) % 5

        def config(self):
            return {"id": self.id}

        def batch(self, indices):
            rows = self.resolve(indices)
            random = torch.Generator().manual_seed(sum(rows))
            return Batch(torch.rand(len(rows), 3, 64, 64, generator=random), self.identity[rows])

    return Noise()


def test_what_can_not_be_is_named():
    for base, added in ((1, 0), (3, 1), (3, -2)):
        with pytest.raises(ParameterError, match=f"{base} people and {added} added"):
            Config(base, added)
    with pytest.raises(ParameterError, match="a weight of 0"):
        Config(3, 2, weight=0)
