import pytest
import torch

from facelab.data.seeding import identity_seeds, seed_of, split_of, stream
from facelab.errors import ParameterError


def test_seeds_are_stable_whole_numbers_that_a_double_holds():
    """A change here would give every face of every book another number."""
    assert seed_of("person", 0, 0) == 8608897608852746
    splits = [split_of(person) for person in identity_seeds(30, 0)]
    assert [n for n, split in enumerate(splits) if split == "validation"] == []
    assert [n for n, split in enumerate(splits) if split == "test"] == [6, 8, 14, 21]
    assert len({seed_of("person", 0, n) for n in range(2000)}) == 2000
    assert all(0 <= seed_of("a", n) < 2**53 for n in range(100))


def test_words_are_kept_apart():
    assert seed_of("a", 1, 11) != seed_of("a", 11, 1)
    assert not torch.equal(
        torch.rand(3, generator=stream("pose", 5)), torch.rand(3, generator=stream("light", 5))
    )


def test_splits_share_nobody_whatever_the_seed():
    found = {
        split: {p for seed in (0, 1) for p in identity_seeds(300, seed, split)}
        for split in ("train", "validation", "test")
    }
    assert not found["train"] & found["validation"]
    assert not (found["train"] | found["validation"]) & found["test"]


def test_shares_of_the_splits():
    splits = [split_of(person) for person in identity_seeds(4000, 3)]
    # Four standard deviations of a share of 0.8 and of 0.1 among 4,000.
    assert abs(splits.count("train") / 4000 - 0.8) < 0.026
    assert abs(splits.count("test") / 4000 - 0.1) < 0.019


def test_more_people_only_add():
    assert identity_seeds(20, 4, "test")[:7] == identity_seeds(7, 4, "test")


def test_an_unknown_split_is_named():
    with pytest.raises(ParameterError, match="no split 'dev'; choose one of: train"):
        identity_seeds(1, 0, "dev")
