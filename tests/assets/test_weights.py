"""Weights: no code is run, damage is named, and a conversion is made once."""

import errno
import os
import pickle
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from facelab import assets
from facelab.assets.table import Asset
from facelab.errors import AssetError, CheckpointError


class Payload:
    def __reduce__(self):
        return (os.mkdir, ("pwned",))


def test_weights_of_either_format_are_read(tmp_path):
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(1, dtype=torch.int64)}
    save_file(tensors, tmp_path / "a.safetensors")
    (tmp_path / "renamed.bin").write_bytes(save(tensors))
    torch.save(tensors, tmp_path / "a.pt")
    torch.save({"net": tensors, "epoch": 3}, tmp_path / "nested.pt")
    for name in ("a.safetensors", "renamed.bin", "a.pt"):
        loaded = assets.load_weights(tmp_path / name)
        assert loaded.keys() == tensors.keys()
        for key, tensor in tensors.items():
            assert torch.equal(loaded[key], tensor)
    assert torch.equal(assets.load_weights(tmp_path / "nested.pt")["net"]["a"], tensors["a"])


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle 2", "pickle 4"])
def test_code_in_weights_is_refused_and_not_run(tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    if form.startswith("pickle"):
        Path("evil.pt").write_bytes(pickle.dumps({"a": Payload()}, protocol=int(form[-1])))
    else:
        torch.save({"a": Payload()}, "evil.pt", _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(CheckpointError) as caught:
        assets.load_weights("evil.pt")
    assert "evil.pt holds code (" in str(caught.value)
    assert ("mkdir" in str(caught.value)) == (form != "pickle 4")
    assert "safetensors.torch.save_file" in str(caught.value)
    assert not Path("pwned").exists()


def test_damaged_weights_are_named(tmp_path):
    tensors = {"a": torch.randn(1000)}
    torch.save(tensors, tmp_path / "cut.pt")
    torch.save(tensors, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    save_file(tensors, tmp_path / "cut.safetensors")
    for path in list(tmp_path.iterdir()):
        path.write_bytes(path.read_bytes()[:-700])
    (tmp_path / "empty.pt").touch()
    (tmp_path / "text.pt").write_text("not weights at all\n")
    (tmp_path / "text.safetensors").write_text("not weights at all\n")
    for path in tmp_path.iterdir():
        with pytest.raises(CheckpointError, match=f"{path.name} is damaged.*again"):
            assets.load_weights(path)
    with pytest.raises(CheckpointError, match="can't be read"):
        assets.load_weights(tmp_path / "absent.pt")
    with pytest.raises(CheckpointError, match="can't be read"):
        assets.load_weights(tmp_path)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="holds a list, not a dictionary"):
        assets.load_weights(tmp_path / "list.pt")


def test_weights_are_compared_bit_by_bit(tmp_path):
    tensors = {"a": torch.arange(3.0), "b": torch.zeros(2)}
    path = tmp_path / "w.safetensors"
    assets.save_weights(path, tensors, "test")
    assets.verify_weights(path, tensors)
    for word, other in {
        "a differs": tensors | {"a": torch.tensor([0.0, 1.0, 2.0 + 1e-6])},
        "b differs": tensors | {"b": torch.zeros(2, dtype=torch.float64)},
        "lacks c": tensors | {"c": torch.ones(1)},
        "has an unknown tensor b": {"a": tensors["a"]},
    }.items():
        with pytest.raises(CheckpointError, match=f"{word}.*make it again"):
            assets.verify_weights(path, other)


@pytest.fixture
def tiny_here(pack, tiny, home) -> Asset:
    pack.spoil(home).write_bytes(pack.content)
    return tiny


def convert(path: Path) -> dict:
    return {"bytes": torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8).clone()}


def test_a_derived_file_is_made_once_and_again_when_damaged(pack, tiny_here):
    made = []

    def counting(path: Path) -> dict:
        made.append(path)
        return convert(path)

    path = assets.derived("tiny", "bytes", counting)
    assert path.name == f"tiny-{tiny_here.sha256[:16]}-bytes.safetensors"
    assert load_file(path)["bytes"].numpy().tobytes() == pack.content
    assert assets.derived("tiny", "bytes", counting) == path
    assert len(made) == 1
    assert assets.derived("tiny", "other", counting) != path
    assert len(made) == 2
    whole = path.read_bytes()
    for damage in (whole[:-5], whole[:-1] + b"!", b""):
        path.write_bytes(damage)
        assets.derived("tiny", "bytes", counting)
        assert path.read_bytes() == whole
    path.with_suffix(".sha256").unlink()  # killed between the file and its sum
    assets.derived("tiny", "bytes", counting)
    assert len(made) == 6
    with pytest.raises(AssetError, match="suffix"):
        assets.derived("tiny", "../evil", counting)


def test_two_threads_derive_once(tiny_here):
    made, paths = [], []

    def slow(path: Path) -> dict:
        made.append(path)
        time.sleep(0.2)
        return convert(path)

    threads = [
        threading.Thread(target=lambda: paths.append(assets.derived("tiny", "slow", slow)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(set(paths)) == 1


def test_a_failed_save_leaves_the_old_weights(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    assets.save_weights(path, {"a": torch.ones(3)}, "test")

    def full(self, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(AssetError, match="no space is left"):
        assets.save_weights(path, {"a": torch.zeros(3)}, "test")
    assert torch.equal(load_file(path)["a"], torch.ones(3))
    assert [item.name for item in tmp_path.iterdir()] == [path.name]
