"""Generated faces of new people, with labels: a folder of packed files and an index.

    ganfaces.json         version, config, and of each file its name, faces and SHA-256
    faces-00000.facepack  2,560 faces, person after person; the next files go on with the count

`facelab generate ganfaces` writes such folders. The index is there from the beginning and grows
with the files, so that an interrupted folder says how far it came. It has no time and no machine
in it: the same config gives the same bytes.

What a face shows is what its labels say as far as the network that made it of a render kept to it:
the labels are the render's, exact there.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from facelab.data.anny_faces import AnnyFaces
from facelab.data.packed import Packed
from facelab.data.seeding import seed_of
from facelab.data.shard_index import File
from facelab.data.shard_index import Index as ShardIndex
from facelab.data.shards import Sharded

INDEX = "ganfaces.json"
RECIPE = "ganfaces-1"  # changes whenever the same config gives other faces
SHARD = 2560  # faces of a file
SPLIT = "train"


def renders(size: int, identities: int, views: int, seed: int, *, device: str = "cpu") -> AnnyFaces:
    """Return the renders that generated faces are made of: new people, in no test set.

    The people come from a stream of their own, so that no seed of `AnnyFaces` has drawn them, and
    belong to the train split, so that nobody is in a validation or test set of anything.
    """
    words = seed_of("ganfaces", seed)
    return AnnyFaces(size, identities, views, seed=words, split=SPLIT, device=device)


@dataclass(frozen=True)
class Index(ShardIndex):
    """The index of a folder: the config is the writer's, and the faces follow from it.

    `config` has the numbers of `identities` and `views`, `size`, `seed`, and more that the writer
    says. The files are finished in order.
    """

    FILE = INDEX
    MAKE = "facelab generate ganfaces"
    GO_ON = "call the command that made it once more"
    shard: int = SHARD

    @property
    def count(self) -> int:
        """How many faces there are when all files are."""
        return self.config["identities"] * self.config["views"]

    @classmethod
    def of(cls, card: dict, files: tuple[File, ...]) -> "Index":
        """Return the index that was written as `card`."""
        return cls(card["config"], card["shard"], files)


class GanFaces(Sharded):
    """The faces that `facelab generate ganfaces` wrote to a folder, with their labels.

    `identity` numbers the people from 0. A batch has attributes, 68 landmarks and angles, and its
    `labels` the coefficients of shape and expression, the phenotype, the light and the seeds; all
    are those of the renders that the faces were made of. Raises `DatasetError` when the index is
    missing, unfinished, changed or of another version, when a file is missing, cut short, changed
    or another folder's, and when people are numbered otherwise than the index says.
    """

    split = SPLIT

    def __init__(self, folder: str | Path):
        super().__init__(Path(folder), Index.read(Path(folder)))
        config = self.index.config
        self.id, self.size = f"ganfaces-{config['size']}", config["size"]
        self.people = config["identities"]
        self.identity = torch.arange(self.people).repeat_interleave(config["views"])
        self.attribute_names = self.shard(0).attribute_names

    def check(self, number: int, shard: Packed) -> str | None:
        """Return what is wrong with the people of a file, if anything is."""
        span = self.index.span(number)
        expected = self.identity[span.start : span.stop]
        if torch.equal(shard.identity, expected):
            return None
        return (
            f"has people {int(shard.identity.min())} to {int(shard.identity.max())}, the index "
            f"says {int(expected.min())} to {int(expected.max())}"
        )

    def renders(self) -> AnnyFaces:
        """Return the renders that the faces were made of, in the same order."""
        config = self.index.config
        return renders(*(config[name] for name in ("size", "identities", "views", "seed")))
