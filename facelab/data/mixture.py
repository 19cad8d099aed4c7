"""People of a dataset, and several datasets as one: what a mixed training set is made of."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from facelab.data.base import FaceDataset, Indices, collate
from facelab.data.seeding import stream
from facelab.errors import DatasetError, ParameterError
from facelab.images import to_uint8
from facelab.types import Batch

AT_ONCE = 256


class ChosenPeople(FaceDataset):
    """Some people of a dataset with all their faces, numbered anew from 0 in the given order.

    Raises `ParameterError` when nobody is chosen, somebody twice, or somebody that there isn't.
    """

    def __init__(self, source: FaceDataset, people: Sequence[int]):
        chosen = [int(person) for person in people]
        if not chosen or len(set(chosen)) < len(chosen) or not _within(chosen, source.people):
            raise ParameterError(
                f"{len(chosen)} people can't be taken from the {source.people} of {source.id}; "
                f"give numbers from 0 to {source.people - 1}, each once"
            )
        self.source, self.chosen = source, tuple(chosen)
        self.id, self.size, self.split = source.id, source.size, source.split
        self.attribute_names = source.attribute_names
        self.people = len(chosen)
        own = torch.full((source.people,), -1)
        own[torch.tensor(chosen)] = torch.arange(self.people)
        numbered = own[source.identity]
        self.rows = torch.nonzero(numbered >= 0)[:, 0]
        self.identity = numbered[self.rows]

    def config(self) -> dict:
        """Return the dataset's config, and who was chosen."""
        return {"recipe": "chosen-people-1", "of": self.source.config(), "people": [*self.chosen]}

    def batch(self, indices: Indices) -> Batch:
        """Return these faces."""
        found = self.resolve(indices)
        return _plain(self.source.batch(self.rows[found]), self.identity[found], True)


class Mixture(FaceDataset):
    """Datasets one after the other; nobody of one is anybody of another.

    The people of each part are counted on from those before: `first` has each part's first number.
    A batch has pictures and identities, and attributes where all parts have the same. Raises
    `DatasetError` when the sizes differ.
    """

    def __init__(self, *parts: FaceDataset):
        if not parts:
            raise ParameterError("a mixture of nothing has no faces; give one dataset or more")
        for other in parts[1:]:
            if other.size != parts[0].size:
                raise DatasetError(
                    f"{other.id} has faces of {other.size} pixels, {parts[0].id} of "
                    f"{parts[0].size}; give all the same size"
                )
        self.parts, self.size, self.split = parts, parts[0].size, parts[0].split
        self.id = "+".join(part.id for part in parts)
        names = {part.attribute_names for part in parts}
        self.attribute_names = names.pop() if len(names) == 1 else ()
        counts = [part.people for part in parts]
        self.first = tuple(sum(counts[:number]) for number in range(len(parts)))
        self.people = sum(counts)
        pairs = zip(parts, self.first, strict=True)
        self.identity = torch.cat([part.identity + first for part, first in pairs])
        self._ends = torch.tensor([len(part) for part in parts]).cumsum(0)

    def config(self) -> dict:
        """Return the parts' configs."""
        return {"recipe": "mixture-1", "parts": [part.config() for part in self.parts]}

    def batch(self, indices: Indices) -> Batch:
        """Return these faces."""
        found = torch.tensor(self.resolve(indices), dtype=torch.long)
        owner = torch.bucketize(found, self._ends, right=True)
        batches, places = [], []
        for number in owner.unique().tolist():
            rows = torch.nonzero(owner == number)[:, 0]
            start = int(self._ends[number]) - len(self.parts[number])
            drawn = self.parts[number].batch(found[rows] - start)
            batches.append(_plain(drawn, self.identity[found[rows]], bool(self.attribute_names)))
            places.append(rows)
        if len({batch.attributes is None for batch in batches}) > 1:
            raise DatasetError(
                f"a part of {self.id} names attributes, but its faces come without them; pack it "
                "again with its labels"
            )
        return collate(batches).rows(torch.cat(places).argsort())


class Repeated(FaceDataset):
    """A dataset several times over: in a mixture its faces are met that much more often.

    Raises `ParameterError` for fewer than one time.
    """

    def __init__(self, source: FaceDataset, times: int):
        if times < 1:
            raise ParameterError(f"{source.id} can't be had {times} times; give 1 or more")
        self.source, self.times = source, times
        self.id, self.size, self.split = source.id, source.size, source.split
        self.people, self.attribute_names = source.people, source.attribute_names
        self.identity = source.identity.repeat(times)

    def config(self) -> dict:
        """Return the dataset's config, and how often it is there."""
        return {"recipe": "repeated-1", "of": self.source.config(), "times": self.times}

    def batch(self, indices: Indices) -> Batch:
        """Return these faces."""
        return self.source.batch([index % len(self.source) for index in self.resolve(indices)])


def share_of_people(dataset: FaceDataset, share: float, seed: int) -> ChosenPeople:
    """Return a share, above 0 and at most 1, of a dataset's people, drawn by a seed.

    Of one seed the people of a smaller share are among those of a larger one. Raises
    `ParameterError` for another share.
    """
    if not 0 < share <= 1:
        raise ParameterError(f"a share of {share} can't be taken; give one above 0, at most 1")
    count = max(1, round(share * dataset.people))
    order = torch.randperm(dataset.people, generator=stream("share of people", seed))
    return ChosenPeople(dataset, order[:count].tolist())


def hold_out(dataset: FaceDataset, people: int, seed: int = 0) -> tuple[ChosenPeople, ChosenPeople]:
    """Return a dataset without some people, and those people, who have two faces or more each.

    Raises `ParameterError` when there are too few such people, or nobody is left.
    """
    faces = dataset.identity.bincount(minlength=dataset.people)
    able = torch.nonzero(faces >= 2)[:, 0]
    if not 1 <= people <= min(len(able), dataset.people - 1):
        raise ParameterError(
            f"{people} people can't be held out of {dataset.id}, which has {dataset.people}, "
            f"{len(able)} of them with two faces or more; give fewer"
        )
    drawn = able[torch.randperm(len(able), generator=stream("hold out", seed))[:people]]
    out = sorted(drawn.tolist())
    rest = sorted({*range(dataset.people)} - {*out})
    return ChosenPeople(dataset, rest), ChosenPeople(dataset, out)


def common_faces(a: FaceDataset, b: FaceDataset) -> list[tuple[int, int]]:
    """Return the pairs of faces, one of each dataset, that are the same picture to the last level.

    A picture that was scaled or stored anew is another picture: what is the same to the eye alone
    isn't found.
    """
    known = {code: row for row, code in enumerate(_levels(a))}
    return [(known[code], row) for row, code in enumerate(_levels(b)) if code in known]


def _levels(dataset: FaceDataset) -> list[bytes]:
    rows = torch.arange(len(dataset)).split(AT_ONCE)
    return [
        face.tobytes() for part in rows for face in to_uint8(dataset.batch(part).images).numpy()
    ]


def _plain(batch: Batch, identity: Int[Tensor, " batch"], attributes: bool) -> Batch:
    """Return the pictures with their people, which all datasets have, and perhaps attributes."""
    return Batch(batch.images, identity, batch.attributes if attributes else None)


def _within(numbers: list[int], count: int) -> bool:
    return all(0 <= number < count for number in numbers)
