"""Data without those people who have too few pictures: one picture can't be told from a person."""

import torch

from facelab.data.base import FaceDataset, Indices
from facelab.errors import DatasetError
from facelab.types import Batch


class Several(FaceDataset):
    """The faces of a dataset's people who have `least` pictures or more; people are renumbered.

    `left_out` is how many people are left out. Raises `DatasetError` when nobody is left.
    """

    def __init__(self, source: FaceDataset, least: int = 2):
        counts = source.identity.bincount(minlength=source.people)
        enough = counts >= least
        if not enough.any():
            raise DatasetError(
                f"none of the {source.people:,} people of {source.id} have {least} pictures or "
                "more; give data with several of each person, such as anny-faces:64x800x8"
            )
        self.source, self.least = source, least
        self.id = f"{source.id}:{least}-or-more"
        self.size, self.split = source.size, source.split
        self.attribute_names = source.attribute_names
        self.people = int(enough.sum())
        self.left_out = source.people - self.people
        self.rows = torch.nonzero(enough[source.identity])[:, 0]
        self.identity = (enough.cumsum(0) - 1)[source.identity[self.rows]]

    def config(self) -> dict:
        """Return the dataset's config, and how many pictures a person needs."""
        return {"recipe": "several-1", "of": self.source.config(), "least": self.least}

    def batch(self, indices: Indices) -> Batch:
        """Return these faces, under their people's new numbers."""
        found = torch.tensor(self.resolve(indices), dtype=torch.long)
        faces = self.source.batch(self.rows[found])
        return Batch(**{**vars(faces), "identity": self.identity[found]})


def with_several(dataset: FaceDataset, least: int = 2) -> FaceDataset:
    """Return a dataset as it is where everybody has `least` pictures, else `Several` of it."""
    counts = dataset.identity.bincount(minlength=dataset.people)
    return dataset if len(dataset) and bool((counts >= least).all()) else Several(dataset, least)
