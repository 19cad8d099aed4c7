import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch.utils.data import DataLoader

from facelab.data import packed
from facelab.data.anny_faces import AnnyFaces
from facelab.data.base import collate
from facelab.data.packed import Packed, pack
from facelab.errors import DatasetError
from facelab.images import to_uint8


def refused(path, **keywords) -> str:
    with pytest.raises(DatasetError) as caught:
        Packed(path, **keywords)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.fixture
def file(tmp_path, numbers):
    """Fifty faces packed in blocks of eight."""
    return pack(numbers(), tmp_path / "n.facepack", block=8).path


def test_what_is_packed_comes_out_again(tmp_path, faces, drawn):
    opened = pack(faces, tmp_path / "new" / "faces.facepack", block=7)
    assert (len(opened), opened.size, opened.people) == (18, 64, 6)
    assert opened.attribute_names == faces.attribute_names
    assert opened.config_hash == faces.config_hash
    order = [17, 0, 8, -1]
    batch = opened.batch(order)
    rows = drawn.rows(torch.tensor(order))
    # Blocks of seven are not the batch of `drawn`: equal to rounding.
    assert (to_uint8(batch.images).int() - to_uint8(rows.images).int()).abs().max() <= 1
    assert (batch.coverage - rows.coverage).abs().max() < 1 / 500
    for name in ("identity", "attributes", "landmarks", "euler_rad"):
        assert torch.equal(getattr(batch, name), getattr(rows, name)), name
    for name, value in rows.labels.items():
        assert torch.equal(batch.labels[name], value), name
    again = Packed(opened.path, masks=("mouth",)).batch([3])
    assert torch.equal(again.masks["mouth"], drawn.masks["mouth"][3:4])
    opened.verify()


def test_random_access_and_a_loader(file):
    opened = Packed(file)
    assert opened[7].labels["number"].tolist() == [7]
    assert torch.equal(opened.column("label.half"), torch.arange(50) / 2)
    loader = DataLoader(opened, batch_size=16, collate_fn=collate, num_workers=2)
    seen = [n for batch in loader for n in batch.labels["number"].tolist()]
    assert seen == list(range(50))
    assert opened.batch([3]).attributes.tolist() == [[True]]


def test_the_same_dataset_gives_the_same_bytes(tmp_path, numbers, file):
    pack(numbers(), tmp_path / "twin.facepack", block=8)
    assert (tmp_path / "twin.facepack").read_bytes() == file.read_bytes()


def test_a_finished_file_is_opened_and_not_built_again(file, numbers):
    dataset = numbers()
    pack(dataset, file, block=8)
    assert dataset.calls == []


def test_progress_is_told(tmp_path, numbers):
    done = []
    pack(numbers(20), tmp_path / "p", block=8, progress=done.append)
    assert done == [8, 16, 20]
    Packed(tmp_path / "p").verify(done.append)
    assert done[3:] == [8, 16, 20]


class Stops:
    """Progress that stops the work after some faces."""

    def __init__(self, after: int):
        self.after = after

    def __call__(self, done: int) -> None:
        if done >= self.after:
            raise KeyboardInterrupt


def test_an_interrupted_build_goes_on_where_it_was(tmp_path, numbers, file):
    path = tmp_path / "broken.facepack"
    with pytest.raises(KeyboardInterrupt):
        pack(numbers(), path, block=8, progress=Stops(24))
    assert not path.exists()
    dataset = numbers()
    pack(dataset, path, block=8).verify()
    assert [call[0] for call in dataset.calls[1:]] == [24, 32, 40, 48]
    assert path.read_bytes() == file.read_bytes()
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".part")]


def test_a_block_that_was_half_written_is_written_again(tmp_path, numbers, file):
    path = tmp_path / "broken.facepack"
    with pytest.raises(KeyboardInterrupt):
        pack(numbers(), path, block=8, progress=Stops(24))
    beside = path.with_name(f".{path.name}.part")
    layout = packed._read(file)[0]
    with beside.open("r+b") as stream:
        stream.seek(layout.arrays[0].offset + 9 * layout.arrays[0].row_bytes)
        stream.write(b"\xff")
    dataset = numbers()
    pack(dataset, path, block=8)
    assert [call[0] for call in dataset.calls[1:]] == [8, 24, 32, 40, 48]
    assert path.read_bytes() == file.read_bytes()


def test_a_build_of_other_settings_starts_anew(tmp_path, numbers):
    path = tmp_path / "broken.facepack"
    with pytest.raises(KeyboardInterrupt):
        pack(numbers(), path, block=8, progress=Stops(24))
    dataset = numbers(seed=1)
    assert pack(dataset, path, block=8).config()["seed"] == 1
    assert dataset.calls[1][0] == 0


KILLED = """
import sys, time
sys.path.insert(0, {here!r})
from conftest import Numbers
from facelab.data.packed import pack
def slow(done):
    print(done, flush=True)
    time.sleep(0.02)
pack(Numbers(400), {path!r}, block=8, progress=slow)
"""


def test_kill_minus_nine_loses_nothing(tmp_path, numbers):
    path = tmp_path / "killed.facepack"
    program = KILLED.format(here=os.path.dirname(__file__), path=str(path))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as running:
        for line in running.stdout:
            if int(line) >= 80:
                break
        time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
    assert not path.exists()
    dataset = numbers(400)
    opened = pack(dataset, path, block=8)
    opened.verify()
    assert len(dataset.calls) <= 1 + 40
    assert torch.equal(opened.column("label.number"), torch.arange(400))


def test_tampering_is_found(file):
    layout = packed._read(file)[0]
    array = layout.arrays[0]
    with file.open("r+b") as stream:
        stream.seek(array.offset + 20 * array.row_bytes)
        stream.write(b"\xff")
    with pytest.raises(DatasetError, match="faces 16 to 23 are not what was written; delete"):
        Packed(file).verify()


def test_changed_sums_and_headers_are_refused(file):
    data = file.read_bytes()
    layout = packed._read(file)[0]
    for place in (layout.sums_offset + 3, len(data) - 1, data.index(b'"split"') + 11):
        changed = bytearray(data)
        changed[place] ^= 1
        file.write_bytes(changed)
        assert "its header or sums were changed; delete it" in refused(file)
    changed = bytearray(data)
    changed[data.index(b'{"')] = ord("x")
    file.write_bytes(changed)
    assert "has a damaged header" in refused(file)


def test_other_versions_are_refused(file):
    data = file.read_bytes()
    file.write_bytes(data.replace(b'"version": 1', b'"version": 7'))
    assert "format version 7, this facelab reads 1" in refused(file)


def test_what_is_cut_short_or_no_pack_is_refused(file, tmp_path):
    data = file.read_bytes()
    file.write_bytes(data[:-100])
    assert f"has {len(data) - 100:,} bytes, expected {len(data):,}: it was cut short" in refused(
        file
    )
    file.write_bytes(data[:40])
    assert "is no packed dataset" in refused(file)
    file.write_bytes(b"")
    assert "is no packed dataset" in refused(file)
    assert "does not exist; make it with" in refused(tmp_path / "none")


def test_another_config_is_refused_and_named(file, numbers):
    message = refused(file, config=numbers(seed=4).config())
    assert "made with other settings (seed is 0, expected 4); give another path" in message
    with pytest.raises(DatasetError, match="other settings"):
        pack(numbers(seed=4), file)


def test_a_full_disk_is_one_line(tmp_path, numbers, monkeypatch):
    usage = packed.shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(packed.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DatasetError, match="needs 0 MB and the disk has 0 MB left; free some"):
        pack(numbers(), tmp_path / "full.facepack")
    monkeypatch.undo()

    def no_space(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(packed, "_write_block", no_space)
    with pytest.raises(DatasetError, match="no space is left on the disk; free some and call"):
        pack(numbers(), tmp_path / "full.facepack")


def test_a_place_that_can_t_be_written(tmp_path, numbers):
    (tmp_path / "notes").write_text("no folder")
    with pytest.raises(DatasetError, match="can't be written"):
        pack(numbers(), tmp_path / "notes" / "n.facepack")


def test_batches_that_differ_in_their_arrays_are_refused(tmp_path, numbers):
    class Uneven(numbers):
        def batch(self, indices):
            batch = super().batch(indices)
            if max(self.resolve(indices)) > 20:
                batch.labels["half"] = batch.labels["half"].double()
            return batch

    with pytest.raises(DatasetError, match=r"'label.half' is float64 .* expected float32"):
        pack(Uneven(), tmp_path / "uneven", block=8)


def test_an_unknown_array_is_named(file):
    with pytest.raises(DatasetError, match=r"no array 'age'; it has: images, identity"):
        Packed(file).column("age")


def test_the_header_can_be_read_by_hand(file):
    data = file.read_bytes()
    assert data[:8] == b"FACEPACK"
    header = json.loads(data[16 : 16 + int.from_bytes(data[8:16], "little")])
    assert (header["version"], header["count"], header["block"]) == (1, 50, 8)
    assert header["arrays"][0] == {"name": "images", "dtype": "|u1", "shape": [4, 4, 3]}


def test_anny_faces_of_another_size_is_another_file(tmp_path):
    pack(AnnyFaces(16, 1, 1), tmp_path / "a.facepack")
    message = refused(tmp_path / "a.facepack", config=AnnyFaces(24, 1, 1).config())
    assert "size is 16, expected 24" in message
