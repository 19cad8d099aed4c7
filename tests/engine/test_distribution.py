"""Two processes, over gloo on the CPU, train as one does with the whole batch."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from facelab.engine import checkpoints
from facelab.engine.distribution import Processes
from facelab.errors import ParameterError

ROOT = Path(__file__).parents[2]
# Sums of floats in another order, over twenty steps of Adam.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
SETTINGS = {"steps": 20, "batch": 8, "device": "cpu", "log_every": 5, "checkpoint_every": 10}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environments(count: int) -> list[dict[str, str]]:
    """What torchrun tells its processes."""
    common = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "GROUP_RANK": "0",
        "TORCHELASTIC_RUN_ID": "test",
    }
    return [common | {"RANK": str(r), "LOCAL_RANK": str(r)} for r in range(count)]


def together(nursery, folder, count: int, **order) -> None:
    """Train on so many processes and wait for them."""
    outputs = [folder.with_name(f"{folder.name}-{rank}.txt") for rank in range(count)]
    order["settings"] = SETTINGS | order.get("settings", {})
    pids = [
        nursery.start(output, environment=given, folder=str(folder), **order)
        for output, given in zip(outputs, environments(count), strict=True)
    ]
    codes = [nursery.wait(pid) for pid in pids]
    assert codes == [0] * count, "\n".join(output.read_text() for output in outputs)


def networks(folder) -> dict[str, torch.Tensor]:
    tensors = checkpoints.newest(folder).tensors
    return {k: t for k, t in tensors.items() if k.startswith(("network/", "average/"))}


def losses(folder) -> list[dict[str, float]]:
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [json.loads(line)["losses"] for line in lines]


@pytest.mark.parametrize("normalised", [False, True])
def test_two_processes_train_as_one(nursery, tmp_path, normalised):
    order = {"config": {"kind": "lazy", "normalised": normalised}}
    together(nursery, tmp_path / "one", 1, **order)
    together(nursery, tmp_path / "two", 2, **order)
    one, two = networks(tmp_path / "one"), networks(tmp_path / "two")
    torch.testing.assert_close(two, one, **TOLERANCE)
    torch.testing.assert_close(losses(tmp_path / "two"), losses(tmp_path / "one"), **TOLERANCE)


@pytest.mark.parametrize("drift", [False, True])
def test_a_record_says_whether_the_processes_ended_alike(nursery, tmp_path, drift):
    together(nursery, tmp_path / "two", 2, config={"kind": "single", "drift": drift})
    record = json.loads((tmp_path / "two" / "record.json").read_text())
    assert record["processes_alike"] is not drift
    said = (tmp_path / "two-0.txt").read_text()
    assert ("the networks of the processes differ after step 20" in said) is drift


def test_a_run_of_two_goes_on_as_one(nursery, tmp_path):
    order = {"config": {"kind": "game"}}
    together(nursery, tmp_path / "one", 1, **order)
    together(nursery, tmp_path / "both", 2, settings={"steps": 10}, **order)
    together(nursery, tmp_path / "both", 1, **order)
    torch.testing.assert_close(networks(tmp_path / "both"), networks(tmp_path / "one"), **TOLERANCE)


def test_a_loss_that_is_not_finite_in_one_process_stops_both(nursery, tmp_path):
    outputs = [tmp_path / f"{rank}.txt" for rank in range(2)]
    pids = [
        nursery.start(
            output, given, folder=str(tmp_path / "run"), config={"poison": 7}, settings=SETTINGS
        )
        for output, given in zip(outputs, environments(2), strict=True)
    ]
    assert [nursery.wait(pid) for pid in pids] == [1, 1]
    for output in outputs:
        assert "phase 'critic': real is inf at step 7" in output.read_text()


@pytest.mark.slow
def test_the_command_for_two_machines_starts_with_two_local_nodes(tmp_path):
    """The command of the docs, with both nodes here and tiny numbers."""
    port = free_port()
    command = [
        "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1",
        "--master-addr", "127.0.0.1", "--master-port", str(port),
    ]  # fmt: skip
    verb = ["-m", "facelab", "train", "dcgan", "--data", "samples:64", "--steps", "4"]
    verb += ["--batch", "8", "--device", "cpu", "--log-every", "2", "-o", str(tmp_path / "run")]
    nodes = [
        subprocess.Popen(
            [sys.executable, *command, "--node-rank", str(rank), *verb],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    said = [node.communicate(timeout=300)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], "\n".join(said)
    assert checkpoints.newest(tmp_path / "run").state["step"] == 4
    assert "finished after 4 steps" in said[0]
    assert "finished" not in said[1]


def test_one_process_sends_nothing():
    processes = Processes("cpu")
    assert (processes.rank, processes.world, processes.device.type) == (0, 1, "cpu")
    parameter = nn.Parameter(torch.ones(2))
    parameter.grad = torch.tensor([1.0, 2.0])
    processes.average_gradients([parameter])
    assert parameter.grad.tolist() == [1.0, 2.0]
    assert processes.agree(True)
    assert not processes.agree(False)
    assert processes.mean(torch.tensor([3.0])).item() == 3.0


def test_a_gpu_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ParameterError, match="no CUDA GPU that torch can use; give --device cpu"):
        Processes("cuda")


def test_a_notebook_can_not_start_processes(monkeypatch):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with pytest.raises(ParameterError, match="a notebook can't start further processes"):
        Processes("cpu", processes=2)
