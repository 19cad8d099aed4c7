"""A folder of packed files: whole or refused, however many machines and kills it took."""

import copy
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from facelab.assets import cache
from facelab.data import packed, shards
from facelab.data.base import collate, hash_config
from facelab.data.by_attribute import ByAttribute
from facelab.data.packed import pack
from facelab.data.shards import INDEX, Contents, Shards, faces_of_part, join, write
from facelab.errors import AssetError, DatasetError, ParameterError

FILES = [f"faces-0000{number}.facepack" for number in range(5)]
SPLIT_OF_PERSON = torch.tensor([0, 2, 0, 1, 0])


@pytest.fixture
def labelled(numbers):
    """Fifty faces of five people, of whom the second is for tests, the fourth for validation."""

    class Labelled(numbers):
        split = "all"

        def batch(self, indices):
            batch = super().batch(indices)
            batch.labels["split"] = SPLIT_OF_PERSON[batch.identity]
            return batch

    return Labelled


@pytest.fixture
def whole(tmp_path, labelled) -> Path:
    """The folder of such a dataset in files of twelve, the last of two."""
    return write(labelled(), tmp_path / "whole", shard=12).folder


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.endswith(".lock")}


def refused(folder: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        Shards(folder).verify()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_faces_come_in_the_order_in_which_they_are_asked_for(whole, labelled):
    dataset = Shards(whole)
    assert (len(dataset), dataset.people, dataset.size, dataset.id) == (50, 5, 4, "numbers")
    assert (dataset.split, dataset.attribute_names) == ("all", ("Odd",))
    assert dataset.config_hash == labelled().config_hash
    assert dataset.identity.tolist() == [number % 5 for number in range(50)]
    order = [49, 0, 12, 11, 12, -2, 30]
    batch, numbers = dataset.batch(order), [49, 0, 12, 11, 12, 48, 30]
    assert batch.labels["number"].tolist() == numbers
    assert batch.labels["half"].tolist() == [number / 2 for number in numbers]
    assert batch.identity.tolist() == [number % 5 for number in numbers]
    assert batch.attributes[:, 0].tolist() == [number % 2 == 1 for number in numbers]
    levels = (batch.images + 1) * 255 / 2
    assert levels[:, 2, 3, 3].round().tolist() == numbers
    assert batch.images.shape == (7, 3, 4, 4)
    assert len(dataset.batch([])) == 0
    assert sorted(contents(whole)) == [*FILES, INDEX]
    dataset.verify()


def test_one_file_or_many_is_the_same_dataset(tmp_path, whole, labelled):
    one = pack(labelled(), tmp_path / "one.facepack")
    order = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    mine, theirs = Shards(whole).batch(order), one.batch(order)
    for name in ("images", "identity", "attributes"):
        assert torch.equal(getattr(mine, name), getattr(theirs, name)), name
    for name, value in theirs.labels.items():
        assert torch.equal(mine.labels[name], value), name
    assert torch.equal(Shards(whole).column("label.half"), torch.arange(50) / 2)


def test_what_else_a_face_has_comes_out_too(tmp_path, numbers):
    class Rich(numbers):
        def batch(self, indices):
            batch = super().batch(indices)
            number = batch.labels["number"].float()
            return dataclasses.replace(
                batch,
                landmarks=number[:, None, None].expand(-1, 68, 2).contiguous(),
                euler_rad=number[:, None].expand(-1, 3) / 100,
                coverage=number[:, None, None, None].expand(-1, 1, 4, 4) / 255,
            )

    batch = write(Rich(), tmp_path / "faces", shard=7).batch([17, 0, 48, 7, 6])
    assert batch.landmarks[:, 67, 1].tolist() == [17, 0, 48, 7, 6]
    assert batch.euler_rad[:, 2].tolist() == pytest.approx([0.17, 0, 0.48, 0.07, 0.06])
    assert (batch.coverage[:, 0, 3, 3] * 255).tolist() == pytest.approx([17, 0, 48, 7, 6])
    assert batch.landmarks.shape == (5, 68, 2)


def test_a_loader_reads_it(whole):
    loader = DataLoader(Shards(whole), batch_size=8, collate_fn=collate, num_workers=2)
    assert [n for batch in loader for n in batch.labels["number"].tolist()] == list(range(50))


def test_only_some_files_are_open_and_none_go_to_another_process(whole, monkeypatch):
    monkeypatch.setattr(shards, "OPEN", 2)
    dataset = Shards(whole)
    assert dataset.batch(range(50)).labels["number"].tolist() == list(range(50))
    assert list(dataset._open) == [3, 4]
    other = copy.copy(dataset)
    assert other._open == {}
    assert other.batch([13]).labels["number"].tolist() == [13]


def test_progress_and_verification_count_faces(tmp_path, labelled):
    told = []
    write(labelled(), tmp_path / "a", shard=12, progress=told.append).verify(told.append)
    assert told == [12, 24, 36, 48, 50] * 2
    told.clear()
    write(labelled(), tmp_path / "a", shard=12, progress=told.append)
    assert told == [12, 24, 36, 48, 50]


def test_the_index_says_what_is_there_and_nothing_of_the_day(tmp_path, whole, labelled):
    card = json.loads((whole / INDEX).read_text())
    assert (card["version"], card["faces"], card["shard"]) == (1, 50, 12)
    assert card["config"] == labelled().config()
    assert [file["faces"] for file in card["files"]] == [12, 12, 12, 12, 2]
    for file in card["files"]:
        assert file["bytes"] == (whole / file["name"]).stat().st_size
        assert file["sha256"] == cache.sha256(whole / file["name"])
    assert contents(write(labelled(), tmp_path / "twin", shard=12).folder) == contents(whole)


def test_a_finished_folder_is_opened_and_not_made_again(whole, labelled, monkeypatch):
    dataset = labelled()
    monkeypatch.setattr(cache, "sha256", lambda path: pytest.fail("nothing has to be read"))
    assert len(write(dataset, whole, shard=12)) == 50
    assert dataset.calls == []


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_parts_are_the_whole(tmp_path, whole, labelled, order):
    folder, drawn = tmp_path / "parts", []
    for number in order:
        dataset, told = labelled(), []
        made = write(dataset, folder, shard=12, part=(number, 3), progress=told.append)
        assert (made is None) == (number != order[-1])
        if made is None:
            assert "is not finished" in refused(folder)
        files = {1: 24, 2: 14, 3: 12}
        assert told[-1] == files[number] == faces_of_part(50, (number, 3), 12)
        drawn += [face for call in dataset.calls for face in call[1:] or call]
    assert contents(folder) == contents(whole)
    assert set(drawn) == set(range(50))
    assert [face for face in drawn if drawn.count(face) > 1] == [], "nobody's work is done twice"


def test_more_parts_than_files(tmp_path, labelled):
    assert write(labelled(), tmp_path / "a", shard=30, part=(3, 3)) is None
    assert write(labelled(), tmp_path / "a", shard=30, part=(1, 3)) is None
    assert len(write(labelled(), tmp_path / "a", shard=30, part=(2, 3))) == 50
    assert len(write(labelled(), tmp_path / "a", shard=30, part=(3, 3))) == 50
    assert faces_of_part(50, (3, 3), 30) == 0


def test_machines_with_disks_of_their_own(tmp_path, whole, labelled):
    one, two = tmp_path / "one", tmp_path / "two"
    assert write(labelled(), one, shard=12, part=(1, 2)) is None
    assert write(labelled(), two, shard=12, part=(2, 2)) is None
    assert "2 of 5 files are there; call the command that made it once more, for each" in refused(
        two
    )
    with pytest.raises(DatasetError, match=r"lacks faces-00001.facepack, faces-00003.facepack; ca"):
        join(one)
    for name in (FILES[1], FILES[3], INDEX):
        shutil.copy(two / name, one / name)
    assert "is not finished: 5 of 5 files are there" in refused(one)
    joined = join(one)
    assert joined.batch(range(50)).labels["number"].tolist() == list(range(50))
    assert contents(one) == contents(whole)
    assert len(join(one)) == 50
    (one / FILES[4]).unlink()
    for name in FILES[:4]:
        (two / name).unlink(missing_ok=True)
    with pytest.raises(DatasetError, match=r"lacks .*00000.*00001.*00002.facepack and 2 more; cal"):
        join(two)


def test_nothing_damaged_or_of_another_dataset_is_joined(tmp_path, labelled):
    folder, other = tmp_path / "faces", tmp_path / "other"
    for number in (1, 2):
        write(labelled(), folder if number == 1 else other, shard=12, part=(number, 2))
    for name in (FILES[1], FILES[3]):
        shutil.copy(other / name, folder / name)
    before = (folder / INDEX).read_bytes()
    data = bytearray((other / FILES[3]).read_bytes())
    (folder / FILES[3]).write_bytes(data[:-1])
    with pytest.raises(DatasetError, match=r"faces-00003.facepack has .* it was cut short or chan"):
        join(folder)
    data[4096] ^= 1
    (folder / FILES[3]).write_bytes(data)
    with pytest.raises(DatasetError, match=r"00003.facepack: faces 0 to 11 are not what was writt"):
        join(folder)
    with pytest.raises(DatasetError, match="faces 0 to 11 are not what was written"):
        write(labelled(), folder, shard=12, part=(2, 2))
    wrong = write(labelled(seed=1), tmp_path / "wrong", shard=12).folder
    shutil.copy(wrong / FILES[3], folder / FILES[3])
    with pytest.raises(DatasetError, match=r"faces-00003.facepack was made with other settings"):
        join(folder)
    with pytest.raises(DatasetError, match="made with other settings"):
        write(labelled(), folder, shard=12, part=(2, 2))
    assert (folder / INDEX).read_bytes() == before
    shutil.copy(other / FILES[3], folder / FILES[3])
    join(folder).verify()


def both(dataset, folder: Path, order: tuple[int, int]) -> None:
    for number in order:
        write(dataset, folder, shard=12, part=(number, 2))


STEPS = 2 + 5 * 3  # the first and the last index; of each file a block, the root and its name


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_whatever_step_it_is_cut_at(tmp_path, whole, labelled, monkeypatch, reaper, after):
    """Two parts one after the other; then both again, the other way about."""
    for at in range(1, STEPS + 1):
        folder = tmp_path / f"cut-{at}"
        with monkeypatch.context() as patch:
            reaper(patch, at, after)
            with pytest.raises(reaper.Killed):
                both(labelled(), folder, (1, 2))
        finished = [number for number, name in enumerate(FILES) if (folder / name).exists()]
        if at < STEPS or not after:
            with pytest.raises(DatasetError):
                Shards(folder)
        dataset = labelled()
        both(dataset, folder, (2, 1))
        assert contents(folder) == contents(whole), at
        again = {face // 12 for call in dataset.calls for face in call}
        assert not again & {*finished}, "what is done is kept"


def test_the_reaper_knows_all_steps(tmp_path, labelled, monkeypatch, reaper):
    counting = reaper(monkeypatch, 0, False)
    write(labelled(), tmp_path / "faces", shard=12)
    assert counting.taken == STEPS


PROGRAM = """
import sys, time
sys.path.insert(0, {here!r})
from conftest import Numbers
from facelab.data import packed
from facelab.data.shards import write
packed.pack.__kwdefaults__["block"] = 8
def slow(done):
    print(done, flush=True)
    time.sleep(0.01)
folder, part, parts = sys.argv[1:]
made = write(Numbers(400), folder, shard=80, part=(int(part), int(parts)), progress=slow)
print(None if made is None else len(made))
"""


def running(script: Path, folder: Path, *part: int) -> subprocess.Popen:
    script.write_text(PROGRAM.format(here=os.path.dirname(__file__)))
    command = [sys.executable, str(script), str(folder), *map(str, part)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_kill_minus_nine_and_the_same_part_twice_at_a_time(tmp_path, numbers):
    """A part is killed; then two processes take it on at once."""
    folder, script = tmp_path / "faces", tmp_path / "run.py"
    with running(script, folder, 1, 2) as process:
        assert any(int(line) >= 104 for line in process.stdout)
        process.send_signal(signal.SIGKILL)
    assert (folder / FILES[0]).exists()
    assert not (folder / FILES[2]).exists()
    assert (folder / f".{FILES[2]}.part").exists()
    with pytest.raises(DatasetError, match="is not finished: 1 of 5 files are there"):
        Shards(folder)
    together = [running(script, folder, 1, 2) for _ in range(2)]
    told = [process.communicate()[0].split() for process in together]
    assert [process.returncode for process in together] == [0, 0]
    assert [lines[-2:] for lines in told] == [["240", "None"]] * 2
    assert len(write(numbers(400), folder, shard=80, part=(2, 2))) == 400
    dataset = Shards(folder)
    dataset.verify()
    assert torch.equal(dataset.column("label.number"), torch.arange(400))
    assert not [path for path in folder.iterdir() if path.name.endswith(".part")]


def test_other_faces_are_refused_and_named(whole, labelled):
    before = contents(whole)
    for dataset, shard, name in (
        (labelled(seed=3), 12, "seed"),
        (labelled(40), 12, "count"),
        (labelled(), 13, "shard"),
    ):
        with pytest.raises(DatasetError, match=f"made with another {name}; give another folder"):
            write(dataset, whole, shard=shard)
    (whole / INDEX).unlink()
    with pytest.raises(DatasetError, match="holds other faces; give an empty or new folder"):
        write(labelled(), whole, shard=12)
    assert contents(whole) == {name: before[name] for name in FILES}


def test_a_dataset_whose_config_forgot_its_length(whole, labelled):
    dataset = labelled()
    dataset.identity = dataset.identity[:40]
    dataset.config = labelled().config
    with pytest.raises(DatasetError, match="made with another number of faces; give another fold"):
        write(dataset, whole, shard=12)


def test_a_file_that_was_deleted_is_made_again(whole, labelled):
    before = contents(whole)
    (whole / FILES[2]).unlink()
    assert "faces-00002.facepack is missing; call the command" in refused(whole)
    write(labelled(), whole, shard=12)
    assert contents(whole) == before


def test_damage_is_found(whole, tmp_path, labelled):
    path = whole / FILES[3]
    data = path.read_bytes()
    path.write_bytes(data[:4096] + bytes([data[4096] ^ 1]) + data[4097:])
    assert len(Shards(whole)) == 50, "only the sums of pictures tell"
    assert "faces-00003.facepack is not what was written; delete it and call" in refused(whole)
    path.write_bytes(data[:-1])
    assert f"has {len(data) - 1:,} bytes, expected {len(data):,}: it was cut short" in refused(
        whole
    )
    with pytest.raises(DatasetError, match="it was cut short or changed"):
        write(labelled(), whole, shard=12)
    write(labelled(seed=9), tmp_path / "other", shard=12)
    (tmp_path / "other" / FILES[3]).replace(path)
    assert "was made with other settings" in refused(whole)


def test_an_index_that_was_changed_or_forged_is_one_error(whole):
    index = Contents.read(whole)
    text = (whole / INDEX).read_text()
    for change, said in (
        ({"version": 2}, "is of version 2, this facelab reads 1; make the folder again with the"),
        ({"faces": 40}, "was changed after it was written"),
    ):
        (whole / INDEX).write_text(json.dumps(json.loads(text) | change))
        assert said in refused(whole)
    for change in ({"shard": 0}, {"faces": 0}, {"faces": None}, {"files": [1]}):
        card = json.loads(text) | change
        del card["sha256"]
        (whole / INDEX).write_text(json.dumps(card | {"sha256": hash_config(card)}))
        assert "index.json lacks" in refused(whole)
    for text in ("[]", "3", '{"version"'):
        (whole / INDEX).write_text(text)
        assert "index.json" in refused(whole)
    (whole / INDEX).unlink()
    assert "has no index.json; make the folder again" in refused(whole)
    dataclasses.replace(index, files=index.files[:4]).write(whole)
    assert "is not finished" in refused(whole)


def test_people_who_can_not_be_are_refused(tmp_path, labelled):
    dataset = labelled()
    dataset.people = 4
    with pytest.raises(DatasetError, match=r"faces-00000.facepack has people 0 to 4, expected 0 t"):
        write(dataset, tmp_path / "faces", shard=12)


def test_files_that_differ_in_their_arrays_are_refused(tmp_path, labelled):
    class Uneven(labelled):
        def batch(self, indices):
            batch = super().batch(indices)
            if max(self.resolve(indices)) > 20:
                batch.labels["more"] = batch.labels["half"]
            return batch

    with pytest.raises(DatasetError, match=r"00002.facepack has other arrays or faces than the fi"):
        write(Uneven(), tmp_path / "faces", shard=12)


def test_a_full_disk_loses_nothing(tmp_path, whole, labelled, monkeypatch):
    folder = tmp_path / "faces"
    usage = packed.shutil.disk_usage(tmp_path)._replace(free=10)

    def fill(done: int) -> None:
        if done == 24:
            monkeypatch.setattr(packed.shutil, "disk_usage", lambda path: usage)

    with pytest.raises(DatasetError, match=r"faces-00002\.facepack needs .* free some"):
        write(labelled(), folder, shard=12, progress=fill)
    monkeypatch.undo()
    assert sorted(contents(folder))[:2] == FILES[:2]
    dataset = labelled()
    write(dataset, folder, shard=12)
    assert min(face for call in dataset.calls for face in call) == 24
    assert contents(folder) == contents(whole)


def test_what_can_not_be_is_refused(tmp_path, labelled):
    for part in ((0, 1), (3, 2), (-1, 4)):
        with pytest.raises(ParameterError, match=f"there is no part {part[0]}/{part[1]}; give I/N"):
            write(labelled(), tmp_path / "a", part=part)
    with pytest.raises(ParameterError, match="50 faces can't be packed 0 to a file"):
        write(labelled(), tmp_path / "a", shard=0)
    with pytest.raises(ParameterError, match="0 faces can't be packed"):
        write(labelled(0), tmp_path / "a")
    assert not (tmp_path / "a").exists()
    (tmp_path / "notes").write_text("no folder")
    with pytest.raises(AssetError, match="can't be written"):
        write(labelled(), tmp_path / "notes" / "a")


def test_a_split_has_its_faces_and_its_people_numbered_from_nought(whole):
    dataset = Shards(whole)
    assert dataset.only("all") is dataset
    train, validation, test = (dataset.only(name) for name in ("train", "validation", "test"))
    assert [len(part) for part in (train, validation, test)] == [30, 10, 10]
    assert [part.people for part in (train, validation, test)] == [3, 1, 1]
    assert train.rows.tolist() == [n for n in range(50) if n % 5 in (0, 2, 4)]
    assert train.identity.tolist() == [0, 1, 2] * 10
    assert (train.split, train.id, train.size) == ("train", "numbers:train", 4)
    batch = test.batch([9, 0, -1])
    assert batch.labels["number"].tolist() == [46, 1, 46]
    assert batch.identity.tolist() == [0, 0, 0]
    assert batch.attributes[:, 0].tolist() == [False, True, False]
    assert train.attribute_names == ("Odd",)
    assert train.batch([4]).identity.tolist() == [1]
    assert [level * 2 / 255 - 1 for level in (1,)] == pytest.approx(
        [float(test.batch([0]).images.mean())]
    )


def test_a_split_is_another_dataset_with_a_hash_of_its_own(whole, labelled):
    dataset = Shards(whole)
    hashes = {dataset.only(split).config_hash for split in shards.SPLITS}
    assert len(hashes) == 4
    assert dataset.only("test").config() == {
        "recipe": "split-1", "of": labelled().config(), "split": "test"
    }  # fmt: skip


def test_labels_are_had_without_reading_a_picture(whole):
    train = Shards(whole).only("train")
    labels, batch = train.labels([29, 1, 7]), train.batch([29, 1, 7])
    assert labels.images.shape == (3, 3, 0, 0)
    assert labels.labels["number"].tolist() == [49, 2, 12]
    assert labels.identity.tolist() == batch.identity.tolist() == [2, 1, 1]
    assert torch.equal(labels.attributes, batch.attributes)
    assert Shards(whole).labels([13]).labels["number"].tolist() == [13]


def test_a_guided_set_within_a_split_is_found_without_reading_a_picture(whole, monkeypatch):
    train = Shards(whole).only("train")
    with monkeypatch.context() as patch:
        patch.setattr(train, "batch", lambda indices: pytest.fail("no picture has to be read"))
        guided = ByAttribute(train, "Odd")
    assert [len(guided.rows), len(guided.guided_rows)] == [15, 15]
    assert guided.batch([0, 1]).attributes[:, 0].tolist() == [False, False]


def test_splits_that_there_are_not(tmp_path, whole, numbers, labelled):
    with pytest.raises(ParameterError, match="no split 'tests'; choose one of: train"):
        Shards(whole).only("tests")
    plain = write(numbers(), tmp_path / "plain", shard=12)
    with pytest.raises(DatasetError, match="has no label 'split'; take all of its faces"):
        plain.only("train")
    dataset = labelled(5)
    dataset.identity[:] = 3
    few = write(dataset, tmp_path / "few")
    with pytest.raises(DatasetError, match=r"no face of .* is in the split train; it has: valid"):
        few.only("train")
