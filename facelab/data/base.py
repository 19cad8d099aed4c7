"""What all datasets of faces share, so that a method needs to know none of them.

A dataset has a size, people and faces in a fixed order; `batch` gives any of them, with labels.
Splits share no person. `DataLoader(dataset, batch_size=32, collate_fn=collate)` works for each.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset

from facelab.errors import ParameterError
from facelab.types import Batch

Indices = Sequence[int] | Int[Tensor, " batch"]


class FaceDataset(Dataset, ABC):
    """Labelled faces of `size` x `size` pixels, in a fixed order.

    `id` names the dataset in records; `identity` has the number of the person of every face, from
    0 to `people` - 1; `attribute_names` are the columns of a batch's `attributes`; `split` is the
    part of the people that it holds.
    """

    id: str
    size: int
    split: str
    people: int
    identity: Int[Tensor, " faces"]
    attribute_names: tuple[str, ...] = ()

    @abstractmethod
    def batch(self, indices: Indices) -> Batch:
        """Return these faces. Raises `ParameterError` for an index that there isn't."""

    @abstractmethod
    def config(self) -> dict:
        """Return everything that the faces follow from, as JSON values."""

    def __len__(self) -> int:
        return len(self.identity)

    def __getitem__(self, index: int) -> Batch:
        """Return one face as a batch of one. Raises `IndexError` past the end, as a list does."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.id} has {len(self):,} faces, there is no number {index}")
        return self.batch([index])

    def __getitems__(self, indices: list[int]) -> Batch:
        """Return these faces at once: what a `DataLoader` calls when it can."""
        return self.batch(indices)

    @property
    def config_hash(self) -> str:
        """SHA-256 of `config`: two datasets of the same hash hold the same faces."""
        return hash_config(self.config())

    def attribute(self, name: str) -> int:
        """Return the column of an attribute. Raises `ParameterError` when there is none."""
        if name not in self.attribute_names:
            known = ", ".join(self.attribute_names) or "none"
            raise ParameterError(f"{self.id} has no attribute {name!r}; it has: {known}")
        return self.attribute_names.index(name)

    def of_person(self, number: int) -> Int[Tensor, " faces"]:
        """Return the indices of a person's faces."""
        return torch.nonzero(self.identity == number)[:, 0]

    def resolve(self, indices: Indices) -> list[int]:
        """Return indices counted from 0. Raises `ParameterError` for one that there isn't."""
        found, count = [int(index) for index in indices], len(self)
        for index in found:
            if not -count <= index < count:
                raise ParameterError(
                    f"{self.id} has {count:,} faces, there is no number {index}; give 0 to "
                    f"{count - 1}"
                )
        return [index % count for index in found]


def hash_config(config: dict) -> str:
    """Return the SHA-256 of JSON values, whatever the order of their names."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def collate(faces: Batch | Sequence[Batch]) -> Batch:
    """Return batches as one: what a `DataLoader` needs for its `collate_fn`."""
    if isinstance(faces, Batch):
        return faces
    first = faces[0]
    values = {}
    for name, value in vars(first).items():
        parts = [getattr(face, name) for face in faces]
        if isinstance(value, Tensor):
            values[name] = torch.cat(parts)
        elif value is not None:
            values[name] = {key: torch.cat([part[key] for part in parts]) for key in value}
    return Batch(**values)
