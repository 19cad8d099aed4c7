"""Checkpoints: whole or not there, one run's and no other's, and never lost to a later one."""

import errno
import json
import os

import pytest
import torch

from facelab.assets import cache
from facelab.engine import checkpoints
from facelab.errors import CheckpointError

OWNER = {"method": "toy", "config": {"width": 8, "rates": [0.1, 0.2]}, "seed": 0}


def save(run, step, **options):
    tensors = {"network/g/w": torch.full((2, 3), float(step)), "count": torch.tensor(step)}
    state = {"run": OWNER, "step": step, "seconds": 1.5}
    return checkpoints.save(run, tensors, state, **options)


def test_what_is_saved_comes_back(tmp_path):
    path = save(tmp_path, 12)
    assert path == tmp_path / "checkpoints" / "step-00000012"
    found = checkpoints.newest(tmp_path, OWNER)
    assert (found.path, found.state["step"], found.state["seconds"]) == (path, 12, 1.5)
    assert torch.equal(found.tensors["network/g/w"], torch.full((2, 3), 12.0))
    assert found.tensors["count"].item() == 12
    assert sorted(os.listdir(path)) == ["state.json", "weights.safetensors"]


def test_tensors_that_share_memory_are_kept_apart(tmp_path):
    values = torch.arange(6.0)
    state = {"run": OWNER, "step": 1}
    checkpoints.save(tmp_path, {"a": values, "b": values, "c": values[2:4]}, state)
    found = checkpoints.newest(tmp_path).tensors
    assert torch.equal(found["a"], values)
    assert torch.equal(found["b"], values)
    assert torch.equal(found["c"], values[2:4])


def test_the_last_and_the_best_stay(tmp_path):
    for step in (1, 2, 3, 4, 5):
        save(tmp_path, step, keep=2, best=2 if step > 1 else None)
    assert checkpoints.steps(tmp_path) == ["step-00000002", "step-00000004", "step-00000005"]
    assert len(os.listdir(tmp_path / "checkpoints")) == 3


def test_the_same_step_can_be_saved_again(tmp_path):
    first, second = save(tmp_path, 3), save(tmp_path, 3)
    assert first == second
    assert checkpoints.newest(tmp_path).state["step"] == 3


def test_what_a_killed_process_left_is_swept_and_never_read(tmp_path):
    save(tmp_path, 1)
    for left in (".step-00000002.99999", ".step-00000001.old-7"):
        (tmp_path / "checkpoints" / left).mkdir()
        (tmp_path / "checkpoints" / left / "state.json").write_text("{")
    assert checkpoints.newest(tmp_path).state["step"] == 1
    save(tmp_path, 2)
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["step-00000001", "step-00000002"]


def test_a_run_without_any_has_none(tmp_path):
    assert checkpoints.newest(tmp_path, OWNER) is None


def cut(path):
    weights = path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3])
    return "weights.safetensors has the SHA-256 .* it was cut short or changed"


def flip(path):
    weights = path / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    return "weights.safetensors has the SHA-256 .* it was cut short or changed"


def lose_weights(path):
    (path / "weights.safetensors").unlink()
    return "weights.safetensors can't be read"


def lose_state(path):
    (path / "state.json").unlink()
    return "state.json can't be read"


def cut_state(path):
    text = (path / "state.json").read_text()
    (path / "state.json").write_text(text[: len(text) // 2])
    return "state.json is no state of a run, or cut short"


def change_state(path):
    text = (path / "state.json").read_text()
    (path / "state.json").write_text(text.replace('"step": 2', '"step": 3'))
    return "state.json was changed after it was written"


def another_version(path):
    state = json.loads((path / "state.json").read_text())
    del state["sum"]
    state["version"] = 9
    state["sum"] = checkpoints._sum(state)
    (path / "state.json").write_text(json.dumps(state))
    return "is of version 9, this facelab reads 1"


HARMS = [cut, flip, lose_weights, lose_state, cut_state, change_state, another_version]


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_one_is_passed_over_with_a_message(tmp_path, capsys, harm):
    save(tmp_path, 1)
    message = harm(save(tmp_path, 2))
    found = checkpoints.newest(tmp_path, OWNER)
    assert found.state["step"] == 1
    said = capsys.readouterr().err
    assert said.startswith("passed over: ")
    with pytest.raises(CheckpointError, match=message):
        checkpoints.read(tmp_path / "checkpoints" / "step-00000002")


@pytest.mark.parametrize("harm", HARMS)
def test_when_none_is_whole_that_is_an_error(tmp_path, harm):
    message = harm(save(tmp_path, 2))
    with pytest.raises(CheckpointError, match=f"no checkpoint .*{message}.*start anew in another"):
        checkpoints.newest(tmp_path, OWNER)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "began"}, "its method is 'toy', here it is 'began'; use the same method, or"),
        ({"config": {"width": 16, "rates": [0.1, 0.2]}}, "its config.width is 8, here it is 16"),
        ({"config": {"width": 8, "rates": [0.1, 0.3]}}, r"config.rates is \[0.1, 0.2\], here it"),
        ({"config": {"width": 8}}, "its config.rates is .* here it is None"),
        ({"seed": 1}, "its seed is 0, here it is 1; use the same seed, or give another folder"),
    ],
)
def test_another_runs_is_refused_with_both_named(tmp_path, change, message):
    save(tmp_path, 1)
    with pytest.raises(CheckpointError, match=f"belongs to another run: .*{message}"):
        checkpoints.newest(tmp_path, OWNER | change)


def test_a_config_with_tuples_is_the_same_as_with_lists(tmp_path):
    save(tmp_path, 1)
    owner = OWNER | {"config": {"width": 8, "rates": (0.1, 0.2)}}
    assert checkpoints.newest(tmp_path, owner).state["step"] == 1


@pytest.mark.parametrize("file", ["weights.safetensors", "state.json"])
def test_a_full_disk_loses_nothing(tmp_path, monkeypatch, file):
    save(tmp_path, 1, keep=1)

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    if file == "weights.safetensors":
        monkeypatch.setattr(cache, "write_beside", full)
    else:
        monkeypatch.setattr(checkpoints.Path, "write_text", full)
    with pytest.raises(
        CheckpointError, match=r"no space is left on the disk.*the last good .* .*step-00000001"
    ):
        save(tmp_path, 2, keep=1)
    monkeypatch.undo()
    assert os.listdir(tmp_path / "checkpoints") == ["step-00000001"]
    assert checkpoints.newest(tmp_path, OWNER).state["step"] == 1


def test_a_disk_that_was_full_from_the_start(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache, "write_beside", full)
    with pytest.raises(CheckpointError, match=r"no space is left .* there was none yet"):
        save(tmp_path, 2)
