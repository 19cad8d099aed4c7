import pytest
import torch

from facelab.types import Batch


@pytest.fixture
def batch() -> Batch:
    return Batch(
        images=torch.zeros(3, 3, 4, 4),
        identity=torch.tensor([4, 5, 6]),
        masks={"mouth": torch.ones(3, 1, 4, 4)},
        labels={"number": torch.tensor([1, 2, 3])},
    )


def test_rows_of_a_batch_are_rows_of_all_its_tensors(batch):
    some = batch.rows(torch.tensor([2, 0]))
    assert len(some) == 2
    assert some.identity.tolist() == [6, 4]
    assert some.labels["number"].tolist() == [3, 1]
    assert some.masks["mouth"].shape == (2, 1, 4, 4)
    assert some.attributes is None


def test_a_batch_goes_to_a_device(batch):
    moved = batch.to("meta")
    assert moved.images.device.type == moved.labels["number"].device.type == "meta"


def test_some_pictures_are_spread_over_the_batch_and_no_more_than_there_are():
    numbers = torch.arange(10.0)[:, None, None, None].expand(-1, 3, 2, 2)
    batch = Batch(numbers, torch.zeros(10, dtype=torch.long))
    assert batch.some(3)[:, 0, 0, 0].tolist() == [0, 3, 6]
    assert batch.some(4)[:, 0, 0, 0].tolist() == [0, 2, 4, 6]
    assert len(batch.some(20)) == 10
