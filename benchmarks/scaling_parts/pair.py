"""DCGAN's TINY in two processes over gloo: predicted by the model, and measured."""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from recording import write

from facelab.engine import methods
from facelab.engine.batch_norm import span_processes
from facelab.engine.settings import Settings
from facelab.engine.trainer import Trainer
from scaling_parts.steps import Drawn, counts, phases_alone

BENCHMARKS = Path(__file__).parents[1]


def worker(order: dict) -> None:
    """Be one process of some: time messages and steps; write what was found."""
    torch.set_num_threads(1)
    data, world = Drawn(64, 128), int(os.environ.get("WORLD_SIZE", 1))
    told: dict = {"steps": {}}
    for batch in order["batches"]:
        settings = Settings(steps=9, batch=batch * world, device="cpu", processes=1)
        trainer = Trainer(methods.build("dcgan", "tiny"), data, settings)
        for network in trainer.networks.values():
            span_processes(network)  # alone, too: the sums are then taken in the same way
        faces = data.batch(range(batch))
        told["steps"][batch] = _timed(lambda t=trainer, f=faces: t.take(f), order["steps"])
    if world > 1:
        told["messages"] = {
            size: statistics.median(_timed(_message(size), 200)) for size in order["messages"]
        }
    rank = os.environ.get("RANK", order["name"])
    write(Path(order["folder"]) / f"{rank}.json", json.dumps(told))


def _message(size_bytes: int) -> Callable[[], object]:
    values = torch.zeros(size_bytes // 4)
    return lambda: torch.distributed.all_reduce(values)


def _timed(run: Callable[[], object], steps: int) -> list[float]:
    times = []
    for _ in range(steps + 5):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times[5:]


def side_by_side(order: dict, together: bool) -> list[dict]:
    """Start two workers at once, that talk to each other or know nothing of each other."""
    with socket.socket() as probe, tempfile.TemporaryDirectory() as folder:
        probe.bind(("127.0.0.1", 0))
        common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1])}
        probe.close()
        common |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0"}
        common |= {"TORCHELASTIC_RUN_ID": "scaling"}
        running = []
        for rank in ("0", "1"):
            own = common | {"RANK": rank, "LOCAL_RANK": rank} if together else {}
            told = json.dumps(order | {"folder": folder, "name": rank})
            command = [sys.executable, "-m", "scaling_parts.pair", told]
            environment = os.environ | {"OMP_NUM_THREADS": "1"} | own
            running.append(subprocess.Popen(command, env=environment, cwd=BENCHMARKS))
        if any(process.wait() for process in running):
            raise SystemExit("a worker failed; its message is above")
        return [json.loads((Path(folder) / f"{rank}.json").read_text()) for rank in ("0", "1")]


def two_processes(batches: Sequence[int], steps: int) -> dict:
    """Predict and measure DCGAN's TINY on two processes, by the pictures that each has."""
    game = phases_alone(methods.build("dcgan", "tiny"))
    sizes = [counts(alone, Drawn(64)) for alone, _ in game]
    # On a CPU each phase's losses are read, and for that told to the others.
    messages = sum(each["messages"] for each in sizes) + len(game)
    carried = sum(each["messages, bytes"] for each in sizes)
    order = {"batches": list(batches), "steps": steps, "messages": [4, 4_000_000]}
    apart, joined = side_by_side(order, False), side_by_side(order, True)
    latency, large = (
        max(told["messages"][str(size)] for told in joined) for size in order["messages"]
    )
    rate = order["messages"][1] / (large - latency)  # with two, each sends its bytes once
    return {
        "messages": messages,
        "bytes": carried,
        "latency, us": 1e6 * latency,
        "MB a second": rate / 1e6,
        "by pictures of each": {
            str(batch): _compared(str(batch), apart, joined, messages * latency + carried / rate)
            for batch in batches
        },
    }


def _compared(batch: str, apart: list[dict], joined: list[dict], exchange_s: float) -> dict:
    """Return the prediction for a step: the slower of two that work apart, and what they say."""
    slower = np.maximum(*(np.array(told["steps"][batch]) for told in apart))
    work, found = statistics.median(slower), statistics.median(joined[0]["steps"][batch])
    told = {"work, ms": work, "exchange, ms": exchange_s, "predicted, ms": work + exchange_s}
    told["measured, ms"] = found
    told = {name: 1e3 * value for name, value in told.items()}
    return told | {"predicted over measured": (work + exchange_s) / found}


if __name__ == "__main__":
    worker(json.loads(sys.argv[1]))
