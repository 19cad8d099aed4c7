"""Samples of the pre-trained generator as a dataset."""

import pytest
import torch

from facelab.assets import ASSETS
from facelab.data.samples import AT_ONCE, Samples
from facelab.errors import ParameterError
from facelab.generators import dcgan


@pytest.fixture(scope="module")
def samples() -> Samples:
    return Samples(20, seed=3, split="train")


def test_a_face_is_what_the_generator_makes_of_its_latent(samples, tolerance):
    batch = samples.batch([4, 0, 19])
    assert batch.images.shape == (3, 3, 64, 64)
    assert batch.identity.tolist() == [4, 0, 19]
    with torch.no_grad():
        expected = dcgan.pretrained()(batch.labels["latent"])
    torch.testing.assert_close(batch.images, expected, **tolerance[torch.float32])


def test_a_face_is_the_same_alone_and_in_any_batch(samples, tolerance):
    together, alone = samples.batch([7, 2, 7]), samples.batch([7])
    assert torch.equal(together.labels["latent"][0], alone.labels["latent"][0])
    assert torch.equal(together.labels["latent"][0], together.labels["latent"][2])
    torch.testing.assert_close(together.images[:1], alone.images, **tolerance[torch.float32])
    assert torch.equal(samples.batch([-1]).labels["latent"], samples.latents([19]))


def test_more_than_go_in_at_once_are_all_there(samples, monkeypatch, tolerance):
    whole = samples.batch(range(5)).images
    monkeypatch.setitem(AT_ONCE, "cpu", 2)
    torch.testing.assert_close(samples.batch(range(5)).images, whole, **tolerance[torch.float32])


def test_latents_are_from_the_prior_and_differ_by_seed_split_and_number():
    many = Samples(2000).latents(range(2000))
    assert abs(float(many.mean())) < 0.01
    assert abs(float(many.std()) - 1) < 0.01
    sets = [Samples(3, seed=s, split=p) for s, p in ((0, "all"), (1, "all"), (0, "test"))]
    rows = {tuple(row) for one in sets for row in one.latents(range(3)).tolist()}
    assert len(rows) == 9


def test_more_samples_only_add_to_them():
    assert torch.equal(Samples(5).latents([4]), Samples(50).latents([4]))


def test_the_config_says_which_weights_and_which_seeds(samples):
    assert samples.config() == {
        "recipe": "samples-1",
        "generator": ASSETS["gan-face-generate"].sha256,
        "count": 20,
        "seed": 3,
        "split": "train",
    }
    assert samples.config_hash != Samples(20, seed=4, split="train").config_hash
    assert (samples.id, samples.people, len(samples)) == ("gan-face-generate-samples", 20, 20)


@pytest.mark.parametrize(
    ("count", "split", "message"),
    [(0, "all", "0 samples make no dataset"), (1, "exam", "there is no split 'exam'")],
)
def test_what_can_not_be_is_refused(count, split, message):
    with pytest.raises(ParameterError, match=message):
        Samples(count, split=split)
