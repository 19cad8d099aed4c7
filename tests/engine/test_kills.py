"""A run that is killed at any moment goes on to the weights of one that never was."""

import json
import os
import random
import signal
import time

import pytest
import torch

from facelab.engine import checkpoints

SETTINGS = {"batch": 8, "device": "cpu", "checkpoint_every": 4, "log_every": 3}
ENDLESS = 10**6
AT_START_S, AT_WORK_S = 0.05, 0.1  # when a kill comes, at random below that


def start(nursery, folder, steps: int, order: dict) -> int:
    output = folder.with_suffix(".txt")
    settings = SETTINGS | {"steps": steps}
    return nursery.start(output, folder=str(folder), settings=settings, **order)


def run_to(nursery, folder, steps: int, order: dict) -> dict[str, torch.Tensor]:
    """Go on to so many steps and return what is left at the end."""
    assert nursery.wait(start(nursery, folder, steps, order)) == 0
    found = checkpoints.newest(folder)
    assert found.state["step"] == steps
    return found.tensors


def kill(nursery, folder, chance: random.Random, order: dict, at_start: bool) -> None:
    """Start a run, or go on with it, and kill it where it happens to be."""
    before = checkpoints.steps(folder)
    pid = start(nursery, folder, ENDLESS, order)
    deadline = time.monotonic() + 20
    while not at_start and checkpoints.steps(folder) == before and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(chance.random() * (AT_START_S if at_start else AT_WORK_S))
    os.kill(pid, signal.SIGKILL)
    assert nursery.wait(pid) == -signal.SIGKILL


def survive(nursery, tmp_path, kills: int, kind: str) -> None:
    order = {"config": {"kind": kind, "dropout": 0.2}}
    chance, folder = random.Random(kind), tmp_path / "killed"
    for number in range(kills):
        kill(nursery, folder, chance, order, at_start=number % 4 == 3)
    steps = checkpoints.newest(folder).state["step"] + 7
    found = run_to(nursery, folder, steps, order)
    expected = run_to(nursery, tmp_path / "whole", steps, order)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    whole = [json.loads(line) for line in (tmp_path / "whole/log.jsonl").read_text().splitlines()]
    assert [line["losses"] for line in lines] == [line["losses"] for line in whole]


def test_two_kills(nursery, tmp_path):
    survive(nursery, tmp_path, 2, "lazy")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["single", "game", "lazy"])
def test_ten_kills(nursery, tmp_path, kind):
    survive(nursery, tmp_path, 10, kind)
