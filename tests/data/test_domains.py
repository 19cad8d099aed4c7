"""Renders, photographs and pairs as one dataset, from one word."""

import pytest
import torch

from facelab.data.base import FaceDataset
from facelab.data.domains import PAIR_PHOTO, PAIR_RENDER, PHOTO, RENDER, Domains
from facelab.data.packed import pack
from facelab.data.sources import open_dataset
from facelab.errors import DatasetError, ParameterError
from facelab.types import Batch

SIZE, PEOPLE = 4, 5


class Levels(FaceDataset):
    """Faces of one level each: their number, counted from `first`; of pairs a render, one more."""

    split, attribute_names, people = "all", ("Odd",), PEOPLE

    def __init__(self, name: str, count: int, first: int = 0, size: int = SIZE):
        self.id, self.first, self.size = name, first, size
        self.identity = torch.arange(count) % PEOPLE

    def config(self):
        return {"id": self.id, "first": self.first}

    def batch(self, indices):
        found = torch.tensor(self.resolve(indices))
        level = (found + self.first)[:, None, None, None].expand(-1, 3, self.size, self.size)
        labels = {"number": found}
        if self.id == "pairs":
            labels[RENDER] = (level + 1).permute(0, 2, 3, 1).byte().contiguous()
        images = level.float() * 2 / 255 - 1
        coverage = torch.ones(len(found), 1, self.size, self.size)
        return Batch(images, self.identity[found], coverage=coverage, labels=labels)


@pytest.fixture
def parts():
    """Twelve renders from level 0, seven photographs from 100, four pairs from 200."""
    return Levels("renders", 12), Levels("photos", 7, 100), Levels("pairs", 4, 200)


def levels(images: torch.Tensor) -> list[int]:
    assert images.dtype == torch.float32
    return ((images[:, 0, 0, 0] + 1) * 255 / 2).round().int().tolist()


def test_a_batch_has_as_many_of_each(parts):
    batch = Domains(*parts).batch([0, 3, -1])
    assert levels(batch.images) == [0, 3, 11]
    assert batch.identity.tolist() == [0, 3, 1]
    assert batch.coverage is not None
    assert batch.labels["number"].tolist() == [0, 3, 11], "the renders' labels stay"
    photos, pairs, fitted = (levels(batch.labels[n]) for n in (PHOTO, PAIR_PHOTO, PAIR_RENDER))
    assert all(100 <= level < 107 for level in photos)
    assert all(200 <= level < 204 for level in pairs)
    assert fitted == [level + 1 for level in pairs], "a pair stays a pair"


def test_all_photographs_and_pairs_are_met(parts):
    batch = Domains(*parts).batch(range(12))
    assert set(levels(batch.labels[PHOTO])) == set(range(100, 107))
    assert set(levels(batch.labels[PAIR_PHOTO])) == set(range(200, 204))


def test_what_comes_beside_a_render_follows_from_its_number(parts):
    data = Domains(*parts)
    whole, some = data.batch(range(12)), data.batch([7, 2])
    for name in (PHOTO, PAIR_PHOTO, PAIR_RENDER):
        assert torch.equal(some.labels[name], whole.labels[name][[7, 2]])


def test_it_is_as_long_as_the_renders_and_says_what_it_is_made_of(parts):
    data = Domains(*parts)
    assert (len(data), data.people, data.size) == (12, PEOPLE, SIZE)
    assert (data.id, data.attribute_names) == ("renders+photos+pairs", ("Odd",))
    assert data.config()["pairs"] == parts[2].config()
    other = Domains(parts[0], parts[1], Levels("pairs", 4, 201))
    assert other.config_hash != data.config_hash


def test_one_word_opens_packed_parts(parts, tmp_path):
    files = [pack(part, tmp_path / f"{part.id}.facepack").path for part in parts]
    data = open_dataset("+".join(map(str, files)))
    batch, expected = data.batch(range(12)), Domains(*parts).batch(range(12))
    assert torch.equal(batch.images, expected.images)
    for name in (PHOTO, PAIR_PHOTO, PAIR_RENDER):
        assert levels(batch.labels[name]) == levels(expected.labels[name])
    with pytest.raises(ParameterError, match="names no data"):
        open_dataset(f"{files[0]}+{files[1]}")


def test_parts_that_do_not_go_together(parts):
    renders, photos, pairs = parts
    with pytest.raises(DatasetError, match="photos has faces of 8 pixels, renders of 4; give all"):
        Domains(renders, Levels("photos", 7, 100, size=8), pairs)
    with pytest.raises(DatasetError, match="pairs has faces of 8 pixels"):
        Domains(renders, photos, Levels("pairs", 4, 200, size=8))
    with pytest.raises(DatasetError, match="photos has no label 'render', so it holds no pairs"):
        Domains(renders, pairs, photos)
