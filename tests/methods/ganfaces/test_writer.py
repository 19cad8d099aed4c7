"""The dataset writer: faces are G's of the renders, and no interruption leaves a trace."""

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from facelab.data import packed
from facelab.data.ganfaces import INDEX, GanFaces
from facelab.errors import AssetError, CheckpointError, DatasetError, ParameterError
from facelab.images import to_uint8
from facelab.methods.ganfaces import checkpoint
from facelab.methods.ganfaces.writer import LABELS, Order, write

FACES, SHARD = 20, 6


@pytest.fixture
def order(weights, renders) -> Order:
    """Four people with five views each, of random pictures."""
    return Order(4, 5, 16, checkpoint=weights)


@pytest.fixture
def whole(order, tmp_path) -> Path:
    """The folder of an order that nothing interrupted."""
    return write(order, tmp_path / "whole", shard=SHARD).folder


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.endswith(".lock")}


def test_faces_are_what_g_makes_of_renders_with_their_labels(weights, tmp_path):
    order = Order(2, 3, 16, seed=1, checkpoint=weights)
    dataset = write(order, tmp_path / "faces", shard=4)
    drawn = order.renders().batch(range(6))
    batch = dataset.batch(range(6))
    made = checkpoint.load(weights)(drawn.images)
    # Files of four are not the batch of six: equal to rounding.
    assert (to_uint8(batch.images).int() - to_uint8(made).int()).abs().max() <= 1
    assert (made - drawn.images).abs().mean() > 0.02
    for name in ("identity", "attributes", "landmarks", "euler_rad"):
        assert torch.equal(getattr(batch, name), getattr(drawn, name)), name
    assert set(batch.labels) == set(LABELS)
    for name in LABELS:
        assert torch.equal(batch.labels[name], drawn.labels[name]), name
    assert dataset.attribute_names == order.renders().attribute_names
    again = dataset.renders()
    seeds = torch.stack([batch.labels[f"{name}_seed"] for name in ("identity", "view")], dim=1)
    assert [list(again.seeds(i)) for i in range(6)] == seeds.tolist()


def test_every_face_is_there_once(order, whole, renders):
    dataset = GanFaces(whole)
    dataset.verify()
    assert len(dataset) == FACES
    numbers = dataset.batch(range(FACES)).labels["view_seed"]
    assert numbers.tolist() == list(range(FACES))
    assert sorted(set(renders.drawn)) == list(range(FACES))
    assert sorted(contents(whole)) == [*(f"faces-0000{i}.facepack" for i in range(4)), INDEX]


def test_the_same_order_gives_the_same_bytes_and_another_seed_others(order, whole, tmp_path):
    assert contents(write(order, tmp_path / "twin", shard=SHARD).folder) == contents(whole)
    other = write(dataclasses.replace(order, seed=1), tmp_path / "other", shard=SHARD)
    off = other.batch(range(FACES)).images - GanFaces(whole).batch(range(FACES)).images
    assert off.abs().mean((1, 2, 3)).min() > 0.01


def test_another_g_gives_other_faces(order, whole, another, tmp_path):
    other = write(dataclasses.replace(order, checkpoint=another), tmp_path / "other", shard=SHARD)
    mine = GanFaces(whole).batch(range(FACES))
    made = other.batch(range(FACES))
    assert torch.equal(made.identity, mine.identity)
    assert (made.images - mine.images).abs().mean() > 0.01
    assert other.config()["generator"] != GanFaces(whole).config()["generator"]


STEPS = 1 + 4 * 4  # the first index; of each file a block, the root, its name and the next index


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_whatever_step_it_is_cut_at(order, whole, tmp_path, monkeypatch, renders, reaper, after):
    for at in range(1, STEPS + 1):
        folder = tmp_path / f"cut-{at}"
        with monkeypatch.context() as patch:
            reaper(patch, at, after)
            with pytest.raises(reaper.Killed):
                write(order, folder, shard=SHARD)
        finished = len(list(folder.glob("faces-*")))
        if (folder / INDEX).exists() and finished < 4:
            with pytest.raises(DatasetError, match="is not finished"):
                GanFaces(folder)
        renders.drawn = []
        write(order, folder, shard=SHARD)
        assert contents(folder) == contents(whole), at
        assert set(renders.drawn) <= set(range(finished * SHARD, FACES)), "what is done is kept"


def test_the_reaper_knows_all_steps(order, tmp_path, monkeypatch, reaper):
    counting = reaper(monkeypatch, 0, False)
    write(order, tmp_path / "faces", shard=SHARD)
    assert counting.taken == STEPS


def test_a_finished_folder_is_opened_and_not_made_again(order, whole, renders):
    renders.drawn, told = [], []
    write(order, whole, shard=SHARD, progress=told.append)
    assert renders.drawn == []
    assert told == [FACES]


def test_progress_counts_what_was_there(order, whole, tmp_path):
    told = []
    write(order, tmp_path / "faces", shard=SHARD, progress=told.append)
    assert told == [0, 6, 12, 18, 20]
    (whole / "faces-00002.facepack").unlink()
    told.clear()
    write(order, whole, shard=SHARD, progress=told.append)
    assert told == [12, 18, 20]


def test_a_file_that_was_deleted_is_made_again(order, whole):
    before = contents(whole)
    (whole / "faces-00001.facepack").unlink()
    write(order, whole, shard=SHARD)
    assert contents(whole) == before


def test_a_file_that_was_damaged_before_the_index_knew_it(order, whole):
    """A kill after the third file was named, and a bad disk."""
    path = whole / "faces-00003.facepack"
    (whole / "faces-00002.facepack").unlink()
    data = bytearray(path.read_bytes())
    data[4096] ^= 1
    path.write_bytes(data)
    with pytest.raises(DatasetError, match="faces 0 to 1 are not what was written; delete"):
        write(order, whole, shard=SHARD)
    path.unlink()
    write(order, whole, shard=SHARD).verify()


def test_other_settings_are_refused_and_named(order, whole, another):
    before = contents(whole)
    for name, value in (("views", 4), ("identities", 5), ("seed", 3), ("checkpoint", another)):
        changed = dataclasses.replace(order, **{name: value})
        word = "generator" if name == "checkpoint" else name
        with pytest.raises(DatasetError, match=f"made with another {word}; give another folder"):
            write(changed, whole, shard=SHARD)
    with pytest.raises(DatasetError, match="made with another shard"):
        write(order, whole, shard=SHARD + 1)
    assert contents(whole) == before


def test_a_folder_of_something_else_is_left_alone(order, tmp_path):
    (tmp_path / "mine.facepack").write_bytes(b"mine")
    with pytest.raises(DatasetError, match="holds other faces; give an empty or new folder"):
        write(order, tmp_path)
    assert contents(tmp_path) == {"mine.facepack": b"mine"}
    (tmp_path / INDEX).write_text(json.dumps({"version": 7}))
    with pytest.raises(DatasetError, match="is of version 7, this facelab reads 1"):
        write(order, tmp_path)


def test_a_full_disk_loses_nothing(order, whole, tmp_path, monkeypatch):
    folder, told = tmp_path / "faces", []
    usage = packed.shutil.disk_usage(tmp_path)._replace(free=10)

    def fill(done: int) -> None:
        told.append(done)
        if done == 12:
            monkeypatch.setattr(packed.shutil, "disk_usage", lambda path: usage)

    with pytest.raises(DatasetError, match=r"faces-00002\.facepack needs .* free some"):
        write(order, folder, shard=SHARD, progress=fill)
    monkeypatch.undo()
    assert sorted(contents(folder))[:2] == ["faces-00000.facepack", "faces-00001.facepack"]


def test_a_place_that_cannot_be_written(order, tmp_path):
    (tmp_path / "notes").write_text("no folder")
    with pytest.raises(AssetError, match="can't be written"):
        write(order, tmp_path / "notes" / "faces")


def test_what_is_wrong_with_g_is_said_before_anything_is_written(order, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "MODELS", tmp_path / "none")
    folder = tmp_path / "faces"
    with pytest.raises(AssetError, match="is shipped yet"):
        write(dataclasses.replace(order, checkpoint=None), folder)
    (tmp_path / "bad").write_bytes(b"bad")
    for name in ("bad", "missing"):
        with pytest.raises(CheckpointError):
            write(dataclasses.replace(order, checkpoint=tmp_path / name), folder)
    assert not folder.exists()


def test_what_can_not_be_is_refused(order, tmp_path, weights, monkeypatch):
    with pytest.raises(ParameterError, match="faces of 18 pixels can't be made; give a size that"):
        dataclasses.replace(order, size=18)
    with pytest.raises(ParameterError, match="0 processes write nothing; give at least 1"):
        write(order, tmp_path, jobs=0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParameterError, match="no NVIDIA GPU can be used here"):
        write(order, tmp_path, device="cuda")
    monkeypatch.undo()
    for size, people, views in ((16, 0, 1), (16, 1, -1), (8, 1, 1)):
        with pytest.raises(ParameterError):
            write(Order(people, views, size, checkpoint=weights), tmp_path / "faces")


def test_torch_has_its_threads_again(order, tmp_path):
    before = torch.get_num_threads()
    seen = []
    torch.set_num_threads(2)
    try:
        write(order, tmp_path / "a", progress=lambda done: seen.append(torch.get_num_threads()))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen[1:] == [1]


PROGRAM = """
import sys
from pathlib import Path
from facelab.methods.ganfaces.writer import Order, write

def told(done):
    print(done, flush=True)

if __name__ == "__main__":
    weights, folder, jobs = sys.argv[1:]
    write(Order(6, 8, 16, 0, Path(weights)), folder, shard=6, jobs=int(jobs), progress=told)
"""


def running(script: Path, weights: Path, folder: Path, jobs: int) -> subprocess.Popen:
    script.write_text(PROGRAM)
    command = [sys.executable, str(script), str(weights), str(folder), str(jobs)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children")
    return [int(number) for number in found.read_text().split()]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts processes in /proc")
@pytest.mark.parametrize("jobs", [1, 2])
def test_kill_minus_nine(weights, tmp_path, jobs):
    """Struck three times on the way; the fourth run comes through."""
    whole = write(Order(6, 8, 16, checkpoint=weights), tmp_path / "whole", shard=6)
    folder = tmp_path / "faces"
    for limit in (10, 25, 40):
        with running(tmp_path / "run.py", weights, folder, jobs) as process:
            assert any(int(line) >= limit for line in process.stdout)
            helpers = children(process.pid)
            process.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 10
        while any(map(alive, helpers)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(map(alive, helpers)), "nobody works on for a parent that is gone"
        assert len(helpers) >= (jobs if jobs > 1 else 0)
        with pytest.raises(DatasetError, match="is not finished"):
            GanFaces(folder)
    with running(tmp_path / "run.py", weights, folder, jobs) as process:
        told = [int(line) for line in process.stdout]
    assert process.returncode == 0
    assert (told[0] > 0, told[-1]) == (True, 48)
    assert contents(folder) == contents(whole.folder)
