"""A run that is killed at any moment goes on to the weights of one that never was."""

import os
import random
import signal
import time

import pytest
import torch

from facelab.engine import checkpoints

STEPS = 120
SETTINGS = {"steps": STEPS, "batch": 8, "device": "cpu", "checkpoint_every": 4, "log_every": 3}


def tensors(folder) -> dict[str, torch.Tensor]:
    found = checkpoints.newest(folder)
    assert found.state["step"] == STEPS
    return found.tensors


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def run_to_the_end(nursery, folder, output, **order) -> None:
    pid = nursery.start(output, folder=str(folder), settings=SETTINGS, **order)
    assert nursery.wait(pid) == 0, output.read_text()


def kill_at_random(nursery, folder, output, chance: random.Random, **order) -> bool:
    """Start the run, or go on with it, and kill it; return whether it was under way."""
    before = checkpoints.steps(folder)
    pid = nursery.start(output, folder=str(folder), settings=SETTINGS, **order)
    deadline = time.monotonic() + 20
    while checkpoints.steps(folder) == before and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(chance.random() * 0.1)
    os.kill(pid, signal.SIGKILL)
    return nursery.wait(pid) == -signal.SIGKILL


def survive(nursery, tmp_path, kills: int, kind: str) -> None:
    order = {"config": {"kind": kind, "dropout": 0.2}}
    run_to_the_end(nursery, tmp_path / "whole", tmp_path / "out", **order)
    chance, killed = random.Random(kind), 0
    while killed < kills:
        assert kill_at_random(nursery, tmp_path / "killed", tmp_path / "out", chance, **order)
        killed += 1
    assert checkpoints.newest(tmp_path / "killed").state["step"] < STEPS
    run_to_the_end(nursery, tmp_path / "killed", tmp_path / "out", **order)
    assert same(tensors(tmp_path / "killed"), tensors(tmp_path / "whole"))
    lines = (tmp_path / "killed" / "log.jsonl").read_text().splitlines()
    assert len(lines) == STEPS // SETTINGS["log_every"]


def test_two_kills(nursery, tmp_path):
    survive(nursery, tmp_path, 2, "lazy")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["single", "game", "lazy"])
def test_ten_kills(nursery, tmp_path, kind):
    survive(nursery, tmp_path, 10, kind)
