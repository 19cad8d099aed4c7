"""Faces that know their number: what a method with a code for each picture learns from.

pack(Numbered(faces), "numbered.facepack")  # the labels are packed too
"""

import torch

from facelab.data.base import FaceDataset, Indices
from facelab.errors import DatasetError
from facelab.types import Batch

INDEX, DATASET = "index", "dataset"
DIGITS = 15  # of a SHA-256 in hexadecimal: 60 bits, which an int64 holds


class Numbered(FaceDataset):
    """A dataset whose batches say which of its faces they have, and which dataset it is.

    The label `index` counts the faces from 0; `dataset` is `number_of` this dataset's config hash,
    the same in every row, so that nobody looks a face up under the number of another. Every person
    has several pictures: what they have in common can't be told from a single one. Raises
    `DatasetError` when somebody has fewer than two.
    """

    def __init__(self, source: FaceDataset):
        counts = source.identity.bincount(minlength=source.people)
        single = int((counts == 1).sum())
        if single or not len(source):
            raise DatasetError(
                f"{single} of the {source.people:,} people of {source.id} have one picture; give "
                "data with several pictures of every person, such as anny-faces:64x800x8"
            )
        self.source, self.id = source, f"{source.id}:numbered"
        self.size, self.split, self.people = source.size, source.split, source.people
        self.identity, self.attribute_names = source.identity, source.attribute_names
        self.number = number_of(self.config_hash)

    def config(self) -> dict:
        """Return the dataset's config, and that its faces are numbered."""
        return {"recipe": "numbered-1", "of": self.source.config()}

    def batch(self, indices: Indices) -> Batch:
        """Return these faces with their numbers."""
        found = torch.tensor(self.resolve(indices), dtype=torch.long)
        faces = self.source.batch(found)
        own = {INDEX: found, DATASET: torch.full_like(found, self.number)}
        return Batch(**{**vars(faces), "labels": {**faces.labels, **own}})


def number_of(config_hash: str) -> int:
    """Return a dataset's number: the first 60 bits of its config's SHA-256."""
    return int(config_hash[:DIGITS], 16)
