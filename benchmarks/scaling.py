"""What training costs from one GPU to 64: records/scale.json, for the book's page on scale.

Measured here, on the CPU: a step of each method's PAPER networks at a few small batches (the part
that no smaller batch saves), how many operations Python issues in a step and how long it takes for
one, the all-reduces of a step and their bytes, pictures a second of a packed file, and how fast a
checkpoint is written. Counted: floating point operations (facelab.engine.costs). Stated, below: all
that is said of GPUs and networks. The rest is facelab.engine.scaling.

And as a check of the model: DCGAN's TINY in two processes over gloo, predicted from processes that
work apart and from messages alone, and measured.

Frozen networks whose weights aren't there have random ones: a step takes as long with them. Times
of steps and of the loader are the processor's, of one thread: other programs disturb these less.
"""

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from recording import code, digest, kept, main, write
from scaling_parts import pair
from scaling_parts.steps import Counted, Drawn, measured

from facelab.data.packed import Packed, pack
from facelab.engine import checkpoints, methods, scaling
from facelab.engine.distribution import LOST, PATIENCE

ROOT = Path(__file__).parents[1]
BATCHES = (2, 4, 8)
SIDES = (64, 108, 128, 235, 256)  # of the presets' pictures

# --- stated --------------------------------------------------------------------------------------
# GPU: NVIDIA's data sheet of the H100 SXM: 989 TFLOP/s in bfloat16, dense; NVLink 900 GB/s, both
# directions together. Node: that of the DGX H100: 8 GPUs, 112 cores, 8 cards of 400 Gb/s.
# Latencies: the constants of NCCL's tuning model (src/graph/tuning.cc, tree, LL): 6.8 us for any
# all-reduce, 0.6 us a hop of NVLink, 5 us of the network.
# Losses: 419 in 54 days of 16,384 GPUs (Llama 3, arXiv:2407.21783, section 3.3.4).
# The rest is assumed and nobody's measurement: a fifth of the peak, TCP's 30 us, 5 us to hand an
# operation to a GPU, the price, 5 % of stragglers, ten minutes to a restart.
LAUNCH_S = 5e-6
NVLINK = scaling.Link(450e9, 0.6e-6)
NETWORKS = {
    "InfiniBand": scaling.Link(8 * 50e9, 5e-6),
    "Ethernet 100": scaling.Link(12.5e9, 30e-6),
    "Ethernet 10": scaling.Link(1.25e9, 30e-6),
}
STATED = {
    "flops": 989e12,
    "achieved": 0.2,
    "base_s": 6.8e-6,
    "gpus_a_node": 8,
    "cores": 14,
    "euros": 2.5,
    "spread": 0.05,
    "lost_h": 54 * 24 * 16_384 / 419,
    "restart_s": 600.0,
}
SHARES = (0.1, 0.4)  # of the peak: how much hangs on the assumption
# How long the papers train, where they say so, in steps of the preset's batch: 25 million pictures
# (Karras et al. 2020), 248,000 iterations (Gecer et al. 2018), 31 epochs (Liu et al. 2018).
RUNS = {"stylegan2": 781_250, "ganfaces": 248_000, "d2ae": 581_250}


# --- the rest of a machine -----------------------------------------------------------------------


def operation_s(turns: int, operations: int = 300) -> float:
    """Return what Python, dispatch and gradients take for an operation, of next to no numbers."""
    weight = torch.ones(8, requires_grad=True)

    def chain() -> None:
        values = weight
        for _ in range(operations):
            values = values * weight
        values.sum().backward()
        weight.grad = None

    with Counted() as seen:
        chain()
    times = []
    for _ in range(turns + 1):
        start = time.process_time()
        chain()
        times.append(time.process_time() - start)
    return statistics.median(times[1:]) / seen.operations


def loading(folder: Path, turns: int) -> dict[str, float]:
    """Return the pictures a second that one thread gets from a packed file, by their side."""
    found = {}
    for side in SIDES:
        packed: Packed = pack(Drawn(side, 512, plain=True), folder / f"{side}.facepack")
        random, times = torch.Generator().manual_seed(0), []
        for _ in range(turns + 1):
            rows = torch.randperm(len(packed), generator=random)[:32]
            start = time.process_time()
            packed.batch(rows)
            times.append(time.process_time() - start)
        found[str(side)] = 32 / statistics.median(times[1:])
    return found


def writing(folder: Path, size_bytes: int = 256_000_000) -> float:
    """Return the bytes a second at which a checkpoint is written, sums included."""
    tensors = {"network/all": torch.zeros(size_bytes // 4)}
    start = time.perf_counter()
    checkpoints.save(folder / "run", tensors, {"step": 1, "run": {}})
    return size_bytes / (time.perf_counter() - start)


# --- the model -----------------------------------------------------------------------------------


def work_of(found: dict, machine: dict) -> scaling.Work:
    """Return what was measured of a method as the model takes it."""
    operation_s = machine["seconds of an operation"] + LAUNCH_S
    return scaling.Work(
        found["batch"],
        found["flops of a picture"],
        fixed=found["pictures' worth of the fixed part"],
        host_s=found["operations"] * operation_s,
        alone_s=found["operations alone"] * operation_s,
        messages=found["messages"],
        message_bytes=found["messages, bytes"],
        state_bytes=found["checkpoint, bytes"],
        loads_s=machine["pictures a second of a thread"][str(found["size"])],
    )


def cluster(machine: dict, network: str = "InfiniBand", **changed: float) -> scaling.Cluster:
    """Return the stated machines with one of the networks between nodes."""
    given = STATED | {"write_bytes_s": machine["checkpoint, bytes a second"]} | changed
    return scaling.Cluster(inside=NVLINK, between=NETWORKS[network], **given)


def modelled(record: dict) -> dict:
    """Return what the model says of a record's measurements; the same for the same record."""
    machine = record["rates"]
    found = {}
    for name, told in record["methods"].items():
        work = work_of(told, machine)
        sizes = {"GFLOP a picture": work.flops / 1e9, "MB a step": work.message_bytes / 1e6}
        found[name] = sizes | _of_method(work, machine, RUNS.get(name))
    given = cluster(machine)
    patience_h, lost_h = (each.total_seconds() / 3600 for each in (PATIENCE, LOST))
    waiting = {
        "hours between losses of 64": given.between_losses_s(64) / 3600,
        "patience, hours": patience_h,
        "lost, minutes": 60 * lost_h,
        "euros of 64 until a loss is noticed": lost_h * 64 * given.euros,
        "percent of 64 that wait a minute an hour": 100 * 63 / 64 / 60,
    }
    costs = [
        each
        for told in found.values()
        for kind in ("strong", "weak", "run")
        for each in told.get(kind, {}).values()
    ]
    off = max(abs(each["hours"] * 3600 / each["closed_s"] - 1) for each in costs)
    told = {"us of an operation": 1e6 * machine["seconds of an operation"]}
    return {"model": found, "waiting": waiting, **told, "simulation off by, percent": 100 * off}


def _of_method(work: scaling.Work, machine: dict, run: int | None) -> dict:
    given = cluster(machine)
    strong = [n for n in scaling.GPUS if not work.batch % n]
    found = scaling.limits(work, given)
    first = scaling.first_limit(found)
    told = {
        "strong": _table(scaling.run(work, given, strong)),
        "weak": _table(scaling.run(work, given, grow=True)),
        "limits": found,
        "first": {"limit": first[0], "GPUs": first[1]} if first else None,
        "most GPUs": strong[-1],
        "threads of the loader": _threads(work, given),
        "kept by 64 with growing batch": {
            name: _kept(work, cluster(machine, name)) for name in NETWORKS
        },
        "pictures a second at another share of the peak": {
            f"{share:.0%}": scaling.step(work, cluster(machine, achieved=share), 1).pictures_s
            for share in SHARES
        },
        "checkpoints": _saving(work, given, 64),
    }
    if run:
        told["run"] = _table(
            scaling.run(work, given, strong, pictures=run * work.batch, whole=True)
        )
    return told


def _table(found: list[scaling.Cost]) -> dict:
    return {str(each.gpus): dataclasses.asdict(each) for each in found}


def _saving(work: scaling.Work, given: scaling.Cluster, gpus: int) -> dict:
    """Return how often to save on so many GPUs, and what it wastes."""
    losses = scaling.losses_of(work, given, gpus)
    return {
        "seconds to write": losses.save_s,
        "minutes between, by Young": losses.interval_s / 60,
        "hours between losses": losses.between_s / 3600,
        "percent wasted": 100 * scaling.waste(losses),
        "percent wasted at 5 minutes": 100
        * scaling.waste(dataclasses.replace(losses, interval_s=300.0)),
    }


def _threads(work: scaling.Work, given: scaling.Cluster) -> float:
    """Return how many threads keep one GPU in pictures."""
    alone = scaling.step(dataclasses.replace(work, loads_s=float("inf")), given, 1)
    return alone.pictures_s / work.loads_s


def _kept(work: scaling.Work, given: scaling.Cluster) -> float:
    steps = [scaling.step(work, given, n, grow=True) for n in (1, 64)]
    return steps[1].pictures_s / (64 * steps[0].pictures_s)


# --- the command ---------------------------------------------------------------------------------


def measure(options: argparse.Namespace) -> dict:
    """Measure, and ask the model. What was measured of a method is kept: a second call goes on."""
    with tempfile.TemporaryDirectory() as folder:
        machine = {
            "seconds of an operation": operation_s(10 * options.steps),
            "pictures a second of a thread": loading(Path(folder), 4 * options.steps),
            "checkpoint, bytes a second": writing(Path(folder)),
        }
    told = {name: _of(name, options) for name in options.methods}
    found = {"rates": machine, "methods": told}
    two = pair.two_processes((4, 16, 64), 20 * options.steps)
    return {"stated": stated(), **found, "two processes": two, **modelled(found)}


def _of(name: str, options: argparse.Namespace) -> dict:
    print(name, file=sys.stderr, flush=True)
    said = name, options.batches, options.steps, code("engine/costs")
    place = ROOT / f"runs/bench/scaling/{name}-{digest(*said)}.json"
    return kept(place, lambda: measured(name, options.batches, options.steps))


def stated() -> dict:
    """Return what the model was told of machines, as JSON values."""
    networks = {name: dataclasses.asdict(link) for name, link in NETWORKS.items()}
    links = {"NVLink": dataclasses.asdict(NVLINK), "networks": networks}
    shown = {
        "lost, thousand hours": STATED["lost_h"] / 1000,
        "percent of the peak": 100 * STATED["achieved"],
    }
    return STATED | links | shown | {"launch_s": LAUNCH_S, "runs": RUNS}


def again(place: Path, output: Path) -> int:
    """Write a record's measurements again with what the model says of them today."""
    before = json.loads(place.read_text())
    write(output, json.dumps(before | {"stated": stated()} | modelled(before), indent=2) + "\n")
    return 0


def _named(word: str) -> tuple[str, float]:
    """Read NAME=NUMBER."""
    name, _, number = word.partition("=")
    if name not in STATED:
        raise argparse.ArgumentTypeError(f"{name!r} isn't stated; choose of: {', '.join(STATED)}")
    return name, type(STATED[name])(number)


def command() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", choices=methods.METHODS, default=[*methods.METHODS])
    parser.add_argument("--batches", nargs="+", type=int, default=[*BATCHES])
    parser.add_argument("--steps", type=int, default=5, help="timed, after one that isn't")
    parser.set_defaults(threads=1)  # so that the processor's time is a step's
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/scaling.json")
    parser.add_argument("--again", type=Path, help="a record: nothing is measured, it is modelled")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=NUMBER", type=_named, dest="changed",
        help=f"another number for what is stated: {', '.join(STATED)}",
    )  # fmt: skip
    options = parser.parse_args()
    STATED.update(options.changed)
    if options.again:
        return again(options.again, options.output)
    more = {"steps": options.steps, "batches": options.batches}
    return main("what training costs from one GPU to 64", options, measure, **more)


if __name__ == "__main__":
    sys.exit(command())
