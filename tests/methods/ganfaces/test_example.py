import torch

from facelab.book import overview
from facelab.data.domains import PAIR_PHOTO, PAIR_RENDER, PHOTO
from facelab.images import from_uint8
from facelab.methods.ganfaces import example


def test_the_shipped_pairs_are_whole_and_belong_together():
    pairs = example.pairs()
    pairs.verify()
    assert len(pairs) == 48
    batch = pairs.batch(range(48))
    renders = from_uint8(batch.labels["render"])
    apart = (batch.images - renders).abs().mean()
    shuffled = (batch.images - renders.roll(1, dims=0)).abs().mean()
    assert apart < 0.6 * shuffled


def test_no_pair_is_of_the_shipped_training():
    record = overview.record("records/train_ganfaces.json")
    trained = record["data"]["config"]["pairs"]["photos"]
    assert example.pairs().config()["photos"]["seed"] != trained["seed"]


def test_domains_have_all_that_the_game_needs():
    domains = example.domains(3, 2)
    batch = domains.batch(range(4))
    assert domains.people == 3
    assert batch.identity.tolist() == [0, 0, 1, 1]
    for name in (PHOTO, PAIR_PHOTO, PAIR_RENDER):
        assert batch.labels[name].shape == (4, 3, 64, 64)
    other = example.domains(3, 2, seed=1).batch(range(4))
    assert not torch.equal(batch.images, other.images)
