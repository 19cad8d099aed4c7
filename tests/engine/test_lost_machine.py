"""A machine that is lost in the middle of a run: the others say so and end, and the run goes on.

Two agents of torchrun stand for two machines, each in a process group of its own, one worker each.
"""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from facelab.book.processes import kill_with_all_below
from facelab.engine import checkpoints
from facelab.engine.distribution import LOST, is_lost

ROOT = Path(__file__).parents[2]
NOTICED_S = 60  # from the kill to the end of the others, whose exit alone takes torch seconds


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Machines:
    """Two agents that run `facelab train dcgan` together, with their outputs in files."""

    def __init__(self, folder: Path, run: Path, steps: int):
        command = [
            sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1",
            "--master-addr", "127.0.0.1", "--master-port", str(free_port()),
        ]  # fmt: skip
        verb = ["-m", "facelab", "train", "dcgan", "--data", "samples:64", "--steps", str(steps)]
        verb += ["--batch", "8", "--device", "cpu", "--log-every", "2", "--resume"]
        verb += ["--checkpoint-minutes", "0.01", "-o", str(run)]
        self.outputs = [folder / f"{run.name}-{steps}-{rank}.txt" for rank in range(2)]
        self.agents = []
        for rank, output in enumerate(self.outputs):
            with output.open("w") as file:
                self.agents.append(
                    subprocess.Popen(
                        [*command, "--node-rank", str(rank), *verb],
                        env=os.environ | {"OMP_NUM_THREADS": "1"},
                        cwd=ROOT,
                        stdout=file,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                )

    def wait(self, rank: int, seconds: float) -> int:
        return self.agents[rank].wait(timeout=seconds)

    def said(self, rank: int) -> str:
        return self.outputs[rank].read_text()

    def lose(self, rank: int) -> None:
        """Kill an agent and its worker, as a power cut does."""
        kill_with_all_below(psutil.Process(self.agents[rank].pid))
        self.wait(rank, 20)

    def end(self) -> None:
        for rank, agent in enumerate(self.agents):
            if agent.poll() is None:
                self.lose(rank)


def wait_for_checkpoint(run: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not checkpoints.steps(run):
        assert time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("lost", [1, 0])
def test_the_others_end_and_the_run_goes_on_to_the_same_weights(tmp_path, lost):
    run, left = tmp_path / "run", 1 - lost
    machines = Machines(tmp_path, run, 100_000)
    try:
        wait_for_checkpoint(run, 240)
        machines.lose(lost)
        assert machines.wait(left, NOTICED_S) != 0
    finally:
        machines.end()
    lines = [line for line in machines.said(left).splitlines() if "has lost another one" in line]
    assert len(lines) == 1, machines.said(left)
    assert f"process {left} of 2 has lost another one after step" in lines[0]
    assert f"the last good checkpoint is {run}" in lines[0]
    assert lines[0].endswith("start all of them again with --resume")
    step = checkpoints.newest(run).state["step"] + 6
    found, expected = go_on(tmp_path, run, step), go_on(tmp_path, tmp_path / "whole", step)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def go_on(folder: Path, run: Path, steps: int) -> dict[str, torch.Tensor]:
    """Run, or go on, to so many steps on two machines and return what is left at the end."""
    machines = Machines(folder, run, steps)
    try:
        codes = [machines.wait(rank, 400) for rank in range(2)]
    finally:
        machines.end()
    assert codes == [0, 0], machines.said(0) + machines.said(1)
    found = checkpoints.newest(run)
    assert found.state["step"] == steps
    return found.tensors


def test_a_lost_process_is_told_from_other_errors():
    assert LOST.total_seconds() == 600
    closed = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:538] Connection closed by peer"
    assert is_lost(RuntimeError(closed))
    assert is_lost(torch.distributed.DistBackendError("NCCL error"))
    assert not is_lost(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_lost(ValueError("gloo"))
