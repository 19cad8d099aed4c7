"""Batches by number: every face once an epoch, the same whoever asks and in whichever order."""

import threading

import pytest
import torch

from facelab.engine.batches import Batches, Order
from facelab.errors import DatasetError, ParameterError


def test_every_face_once_an_epoch_across_batches():
    order = Order(10, seed=1)
    line = torch.cat([order.faces(start, 4) for start in range(0, 40, 4)])
    epochs = line.view(4, 10)
    assert all(sorted(epoch.tolist()) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == 4
    assert not torch.equal(line, torch.cat([Order(10, 2).faces(s, 4) for s in range(0, 40, 4)]))


def test_a_batch_may_be_larger_than_the_dataset():
    found = Order(3, seed=0).faces(2, 8)
    line = torch.cat([Order(3, seed=0).faces(start, 1) for start in range(2, 10)])
    assert torch.equal(found, line)


@pytest.mark.parametrize(("workers", "prefetch"), [(0, 2), (1, 0), (1, 2), (3, 5)])
def test_threads_change_nothing(toy, workers, prefetch):
    options = {"workers": workers, "prefetch": prefetch}
    with Batches(toy.Noise(), 6, 1, **options) as batches:
        found = [batches.at(step).identity for step in (0, 1, 2, 7, 8)]
    order = Order(40, 1)
    expected = [order.faces(6 * step, 6) for step in (0, 1, 2, 7, 8)]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_processes_share_a_batch_out(toy):
    whole = Batches(toy.Noise(), 8, 1, workers=0).at(3).identity
    parts = [Batches(toy.Noise(), 8, 1, rank=r, world=2, workers=0).at(3).identity for r in (0, 1)]
    assert torch.equal(torch.cat(parts), whole)


def test_the_next_batches_are_made_in_other_threads(toy):
    made = []

    def finish(batch):
        made.append((threading.current_thread().name, len(batch)))
        return batch

    with Batches(toy.Noise(), 4, 0, prefetch=2, finish=finish) as batches:
        batches.at(0)
    assert {name.split("_")[0] for name, _ in made} == {"batches"}
    assert 1 <= len(made) <= 3


def test_what_fails_in_a_thread_is_raised_where_the_batch_is_asked_for(toy):
    class Broken(toy.Noise):
        def batch(self, indices):
            raise DatasetError("the disk is gone")

    with Batches(Broken(), 4, 0) as batches, pytest.raises(DatasetError, match="disk is gone"):
        batches.at(0)


def test_an_empty_dataset_is_refused(toy):
    with pytest.raises(ParameterError, match="noise has no faces to train on"):
        Batches(toy.Noise(0), 4, 0)
