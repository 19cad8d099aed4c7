"""Faces without an attribute, and beside each a face with it: what attribute transfer learns from.

dataset = ByAttribute(faces, "Mouth_Slightly_Open")
dataset.batch([0, 1]).images           # two mouths that are closed
dataset.batch([0, 1]).labels[GUIDED]   # two that are open, of other people
"""

import torch
from jaxtyping import Bool
from torch import Tensor

from facelab.data.base import FaceDataset, Indices
from facelab.errors import DatasetError
from facelab.types import Batch

GUIDED = "guided"
AT_ONCE = 256


class ByAttribute(FaceDataset):
    """The inputs are a dataset's faces without an attribute, the guided set those with it.

    With `to` False it is the other way about. A batch's images, identities and other labels are the
    inputs'; its label `guided` has as many faces of the guided set, (batch, 3, size, size). Which
    of them stands beside an input follows from the place in the epoch alone; an epoch is as long as
    the larger of the two sets, so that each is met in full. `rows` and `guided_rows` are their
    numbers in the dataset. Raises `ParameterError` when the dataset has no such attribute, and
    `DatasetError` when it has no labels, or all its faces have it, or none. Source: Algorithm 1 of
    Li et al. 2016 (DIAT), line 1.
    """

    def __init__(self, source: FaceDataset, attribute: str, to: bool = True):
        has = has_attribute(source, attribute)
        if has.all() or not has.any():
            raise DatasetError(
                f"{'all' if has.all() else 'none'} of the {len(has):,} faces of {source.id} have "
                f"{attribute}, so there is no guided set to tell from inputs; give data with both "
                "kinds"
            )
        self.source, self.attribute, self.to = source, attribute, to
        self.rows, self.guided_rows = (torch.nonzero(has == kind)[:, 0] for kind in (not to, to))
        self.id = f"{source.id}:to:{'' if to else 'no-'}{attribute}"
        self.size, self.split, self.people = source.size, source.split, source.people
        self.attribute_names = source.attribute_names
        faces = torch.arange(max(len(self.rows), len(self.guided_rows)))
        self.identity = source.identity[self.rows[faces % len(self.rows)]]

    def config(self) -> dict:
        """Return the dataset's config, and the attribute."""
        return {
            "recipe": "by-attribute-1",
            "of": self.source.config(),
            "attribute": self.attribute,
            "to": self.to,
        }

    def batch(self, indices: Indices) -> Batch:
        """Return these inputs with as many faces of the guided set."""
        found = torch.tensor(self.resolve(indices), dtype=torch.long)
        inputs = self.source.batch(self.rows[found % len(self.rows)])
        # A prime that doesn't divide their number: each is met before one is met again.
        count = len(self.guided_rows)
        chosen = self.guided_rows[(found * (7919 if count % 7919 else 7907) + 13) % count]
        guided = self.source.batch(chosen).images
        return Batch(**{**vars(inputs), "labels": {**inputs.labels, GUIDED: guided}})


def has_attribute(dataset: FaceDataset, name: str) -> Bool[Tensor, " faces"]:
    """Return which faces of a dataset have an attribute.

    Faces that are drawn when asked for are not drawn for it. Raises `ParameterError` when there is
    no such attribute, and `DatasetError` when a dataset names attributes that its batches lack.
    """
    column = dataset.attribute(name)
    labels = getattr(dataset, "labels", dataset.batch)
    found = []
    for part in torch.arange(len(dataset)).split(AT_ONCE):
        attributes = labels(part).attributes
        if attributes is None:
            raise DatasetError(
                f"{dataset.id} names attributes, but its faces come without them; pack it again "
                "with its labels"
            )
        found.append(attributes[:, column])
    return torch.cat(found)
