"""Seeds instead of state: whatever is drawn follows from names and numbers, in any order.

A seed is a hash of the words that say what it is for, so that a face is the same whichever other
faces were drawn before it, and a new kind of draw does not change the old ones (counter-based
randomness: Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3).
"""

import hashlib
import itertools
from collections.abc import Iterator
from typing import Literal, get_args

import torch

from facelab.errors import ParameterError

Split = Literal["train", "validation", "test", "all"]
SPLITS = get_args(Split)
# A double holds 53 bits, and so does every reader of JSON or CSV.
SEED_BITS = 53
# Shares of the people: of a hundred, 80 are for training, 10 to choose by and 10 to measure with.
TRAIN, VALIDATION = 0.8, 0.9


def seed_of(*words: str | int) -> int:
    """Return the seed, 0 to 2^53 - 1, that belongs to these words and numbers."""
    text = "/".join(str(word) for word in words).encode()
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return int.from_bytes(digest, "little") >> (64 - SEED_BITS)


def stream(*words: str | int) -> torch.Generator:
    """Return the random stream that belongs to these words and numbers."""
    return torch.Generator().manual_seed(seed_of(*words))


def split_of(identity_seed: int) -> Split:
    """Return the part of the data that a person belongs to, now and in every dataset."""
    place = seed_of("split", identity_seed) / 2**SEED_BITS
    return "train" if place < TRAIN else "validation" if place < VALIDATION else "test"


def _people(seed: int, split: str) -> Iterator[int]:
    for number in itertools.count():
        person = seed_of("person", seed, number)
        if split == "all" or split_of(person) == split:
            yield person


def identity_seeds(count: int, seed: int, split: str = "all") -> tuple[int, ...]:
    """Return the seeds of the first `count` people of a split; more people only add to them."""
    require_split(split)
    return tuple(itertools.islice(_people(seed, split), count))


def require_split(split: str) -> None:
    """Raise `ParameterError` unless there is such a split."""
    if split not in SPLITS:
        raise ParameterError(f"there is no split {split!r}; choose one of: {', '.join(SPLITS)}")
