"""A folder of generated faces: what is read is what was written, or one clear error."""

import json
import os
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from facelab.data import ganfaces, shards
from facelab.data.anny_faces import AnnyFaces
from facelab.data.base import FaceDataset, collate, hash_config
from facelab.data.ganfaces import INDEX, GanFaces, Index
from facelab.data.packed import pack
from facelab.data.seeding import identity_seeds, split_of
from facelab.data.shard_index import File
from facelab.data.sources import open_dataset
from facelab.errors import DatasetError
from facelab.types import Batch

CONFIG = {"identities": 4, "views": 5, "size": 4, "seed": 0}


class Part(FaceDataset):
    """Faces of one colour, whose label is their number in the whole dataset."""

    id, size, split, people, attribute_names = "part", 4, "train", 4, ("Odd",)

    def __init__(self, index: Index, number: int, off: int = 0):
        self.span, self._config = index.span(number), index.shard_config(number)
        self.numbers = torch.tensor(self.span)
        self.identity = self.numbers // 5 + off

    def config(self) -> dict:
        return self._config

    def batch(self, indices) -> Batch:
        found = self.numbers[self.resolve(indices)]
        level = found.float() * 2 / 255 - 1
        return Batch(
            images=level[:, None, None, None].expand(-1, 3, 4, 4).contiguous(),
            identity=self.identity[self.resolve(indices)],
            attributes=(found % 2 == 1)[:, None],
            labels={"number": found},
        )


def written(folder: Path, files: int = 4, off: int = 0, **changed) -> Path:
    """Twenty faces of four people in files of six, or the first files of them."""
    index = Index(CONFIG | changed, 6)
    for number in range(files):
        path = pack(Part(index, number, off), folder / index.name(number)).path
        index = index.followed_by(File.of(path))
    index.write(folder)
    return folder


@pytest.fixture
def folder(tmp_path):
    return written(tmp_path / "faces")


def refused(folder: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        GanFaces(folder).verify()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_faces_come_in_the_order_in_which_they_are_asked_for(folder):
    dataset = GanFaces(folder)
    assert (len(dataset), dataset.people, dataset.size) == (20, 4, 4)
    assert (dataset.id, dataset.split, dataset.attribute_names) == ("ganfaces-4", "train", ("Odd",))
    order = [19, 0, 6, 5, 6, -3, 12]
    batch = dataset.batch(order)
    numbers = [number % 20 for number in order]
    assert batch.labels["number"].tolist() == numbers
    assert batch.identity.tolist() == [number // 5 for number in numbers]
    levels = (batch.images[:, 0, 0, 0] + 1) * 255 / 2
    assert levels.round().tolist() == numbers
    assert dataset.identity.tolist() == [number // 5 for number in range(20)]


def test_a_loader_reads_it(folder):
    loader = DataLoader(GanFaces(folder), batch_size=8, collate_fn=collate, num_workers=2)
    assert [n for batch in loader for n in batch.labels["number"].tolist()] == list(range(20))


def test_a_word_opens_it(folder):
    assert isinstance(open_dataset(str(folder)), GanFaces)
    assert open_dataset(str(folder)).config() == CONFIG


def test_only_some_files_are_open(folder, monkeypatch):
    monkeypatch.setattr(shards, "OPEN", 2)
    dataset = GanFaces(folder)
    assert dataset.batch(range(20)).labels["number"].tolist() == list(range(20))
    assert list(dataset._open) == [2, 3]


def test_a_packed_file_takes_one_descriptor(folder):
    """Many files must fit into the few that a process may open."""
    before = len(os.listdir("/dev/fd"))
    dataset = GanFaces(folder)
    dataset.batch(range(20))
    assert len(os.listdir("/dev/fd")) == before + 4


def test_every_file_is_verified(folder):
    told = []
    GanFaces(folder).verify(told.append)
    assert told == [6, 12, 18, 20]
    path = folder / "faces-00002.facepack"
    data = bytearray(path.read_bytes())
    data[4096 + 7] ^= 1  # in a picture
    path.write_bytes(data)
    assert "faces-00002.facepack is not what was written; delete it and call" in refused(folder)


def test_files_that_are_missing_or_cut_short(folder):
    path = folder / "faces-00003.facepack"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    expected = f"has {len(data) - 1:,} bytes, expected {len(data):,}: it was cut short or changed"
    assert expected in refused(folder)
    path.unlink()
    assert "faces-00003.facepack is missing; call the command" in refused(folder)


def test_a_file_of_another_folder(tmp_path, folder):
    other = written(tmp_path / "other", seed=1)
    (other / "faces-00001.facepack").replace(folder / "faces-00001.facepack")
    with pytest.raises(DatasetError, match="was made with other settings"):
        GanFaces(folder).batch([7])


def test_people_who_are_out_of_range(tmp_path):
    folder = written(tmp_path, off=1)
    assert "faces-00000.facepack has people 1 to 2, the index says 0 to 1" in refused(folder)


def test_an_unfinished_folder_says_how_far_it_is(tmp_path):
    message = refused(written(tmp_path, files=3))
    assert "is not finished: 3 of 4 files are there; call the command" in message


def changed(folder: Path, **values) -> None:
    card = json.loads((folder / INDEX).read_text())
    (folder / INDEX).write_text(json.dumps(card | values))


def test_an_index_of_another_version_or_that_was_changed(folder):
    changed(folder, version=2)
    assert "is of version 2, this facelab reads 1; make the folder again" in refused(folder)
    changed(folder, version=1, faces=21)
    assert "was changed after it was written" in refused(folder)
    changed(folder, faces=20)
    GanFaces(folder)
    for text in ("[]", "null", "3"):
        (folder / INDEX).write_text(text)
        assert "is of version None" in refused(folder)
    (folder / INDEX).write_text('{"version": 1')
    assert "ganfaces.json can't be read (" in refused(folder)
    (folder / INDEX).unlink()
    assert "has no ganfaces.json; make the folder again" in refused(folder)


def test_an_index_that_was_forged_with_care_is_one_error(folder):
    card = json.loads((folder / INDEX).read_text())
    del card["sha256"], card["shard"]
    changed_card = card | {"sha256": hash_config(card)}
    (folder / INDEX).write_text(json.dumps(changed_card))
    assert "lacks" in refused(folder)


def test_the_index_has_nothing_of_the_day(tmp_path, folder):
    twin = written(tmp_path / "twin")
    assert (twin / INDEX).read_bytes() == (folder / INDEX).read_bytes()


def test_its_people_are_new_and_in_no_test_set():
    dataset = ganfaces.renders(64, 300, 2, 0)
    assert isinstance(dataset, AnnyFaces)
    assert {split_of(seed) for seed in dataset.people_seeds} == {"train"}
    for seed in (0, 1):
        assert not {*dataset.people_seeds} & {*identity_seeds(2000, seed)}
    assert not {*dataset.people_seeds} & {*ganfaces.renders(64, 300, 2, 1).people_seeds}
    assert ganfaces.renders(64, 20, 2, 0).people_seeds == dataset.people_seeds[:20]
