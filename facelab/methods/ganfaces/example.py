"""A small set of all three domains that needs no making: for a first run, and for the chapter."""

from pathlib import Path

from facelab.data import ganfaces
from facelab.data.domains import Domains
from facelab.data.packed import Packed
from facelab.data.samples import Samples

# The first of the faces with seed 11, as data_scripts/ganfaces_pairs.py makes them.
PAIRS = Path(__file__).parent / "models" / "pairs.facepack"
SIZE, PHOTOS = 64, 512


def pairs() -> Packed:
    """Return 48 photo-like faces with the renders of the heads that were fitted to them.

    They are in no training of the shipped checkpoint, whose pairs have another seed. Raises
    `DatasetError` when the file is damaged.
    """
    return Packed(PAIRS)


def domains(people: int, views: int, seed: int = 0) -> Domains:
    """Return renders of so many new people, photo-like faces and the shipped pairs, 64 pixels.

    Nothing is written: renders and faces are drawn whenever a batch wants them. Raises
    `ParameterError` for numbers that make no people.
    """
    renders = ganfaces.renders(SIZE, people, views, seed)
    return Domains(renders, Samples(PHOTOS, seed=seed, split="train"), pairs())
