"""What a training costs on one GPU to many: a model, in closed form and by simulation.

A step of `loop.train` on n GPUs is, in this order,

    work       the pictures of one GPU, b / n of them: max(device, host)
    messages   all-reduces that wait for each other: batch normalisation's sums, gradients
    bytes      what these carry, by a ring: 2 (n - 1) / n bytes / bandwidth

and nothing overlaps, because the engine averages gradients after the backward pass, and batch
normalisation needs its sums before the next layer. A loader that prepares batches beside the step
bounds the whole. Slow GPUs hold up all others; a lost one costs what was done since the last
checkpoint.

`Work` is what a method asks for, `Cluster` what machines give: benchmarks/scaling.py measures the
first and states the second. Sources: Patarasuk & Yuan 2009, Bandwidth optimal all-reduce algorithms
for clusters of workstations (the ring); Young 1974, doi:10.1145/361147.361115, and Daly 2006,
doi:10.1016/j.future.2004.11.016 (checkpoints).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from facelab.errors import ParameterError

GPUS = (1, 2, 4, 8, 16, 32, 64)
HOUR_S = 3600.0
MILLION = 1_000_000
# What can bound a step, in the order in which ties are told.
LIMITS = ("batch", "loader", "Python", "messages", "bytes")


def _require(name: str, value: float, holds: bool, expected: str) -> None:
    if not holds:
        raise ParameterError(f"{name} is {value}; give a number {expected}")


@dataclass(frozen=True)
class Link:
    """What joins GPUs: bytes a second in one direction, and the seconds that a hop takes."""

    bytes_s: float
    hop_s: float


@dataclass(frozen=True)
class Cluster:
    """Machines of `gpus_a_node` GPUs each, all alike.

    A GPU does `flops` operations a second at its best and the share `achieved` of them in training.
    `inside` joins the GPUs of a node, `between` the nodes: its bytes are those of all of a node's
    cards. `base_s` is what an all-reduce takes on no way at all. `cores` are those for each GPU.
    `euros` is the price of a GPU for an hour. `spread` is how much longer than the quickest a GPU
    takes for a step on average, as a share. One GPU is lost every `lost_h` hours on average;
    `restart_s` later the run goes on. A checkpoint is written at `write_bytes_s`. Raises
    `ParameterError` for a number that can't be.
    """

    flops: float
    achieved: float
    inside: Link
    between: Link
    base_s: float = 0.0
    gpus_a_node: int = 8
    cores: int = 1
    euros: float = 0.0
    spread: float = 0.0
    lost_h: float = math.inf
    restart_s: float = 0.0
    write_bytes_s: float = math.inf

    def __post_init__(self) -> None:
        above = ("flops", "achieved", "gpus_a_node", "cores", "lost_h", "write_bytes_s")
        for name in above:
            _require(name, getattr(self, name), getattr(self, name) > 0, "above 0")
        for name in ("base_s", "euros", "spread", "restart_s"):
            _require(name, getattr(self, name), getattr(self, name) >= 0, "of 0 or more")
        _require("achieved", self.achieved, self.achieved <= 1, "of 1 at most")

    def nodes(self, gpus: int) -> int:
        """Return how many nodes so many GPUs are."""
        return -(-gpus // self.gpus_a_node)

    def latency_s(self, gpus: int) -> float:
        """Return what an all-reduce of almost nothing takes: up a tree and down again.

        Inside a node a chain, between nodes a binary tree. Source: the tuning model of NCCL.
        """
        if gpus == 1:
            return 0.0
        chain = min(gpus, self.gpus_a_node) - 1
        levels = math.log2(self.nodes(gpus))
        return self.base_s + 2 * (chain * self.inside.hop_s + levels * self.between.hop_s)

    def transfer_s(self, gpus: int, size_bytes: float) -> float:
        """Return what a ring of GPUs takes to add up so many bytes, without latency."""
        rate = self.inside.bytes_s
        if self.nodes(gpus) > 1:
            rate = min(rate, self.between.bytes_s)
        return 2 * (gpus - 1) / gpus * size_bytes / rate

    def between_losses_s(self, gpus: int) -> float:
        """Return the mean time until one of so many GPUs is lost."""
        return self.lost_h * HOUR_S / gpus


@dataclass(frozen=True)
class Work:
    """What a method asks for in a step, on average over a run.

    `batch` pictures, `flops` operations for each; `fixed` is the part of a step that a smaller
    batch doesn't shorten, as so many pictures' worth. Python issues a step's operations in `host_s`
    seconds, on one GPU in `alone_s`: batch normalisation over several has more of them. `messages`
    all-reduces carry `message_bytes` together, of which `state_bytes` are in a
    checkpoint. One thread of the loader gives `loads_s` pictures a second. Raises `ParameterError`
    for a number that can't be.
    """

    batch: int
    flops: float
    fixed: float = 0.0
    host_s: float = 0.0
    alone_s: float = 0.0
    messages: float = 0.0
    message_bytes: float = 0.0
    state_bytes: float = 0.0
    loads_s: float = math.inf

    def __post_init__(self) -> None:
        for name in ("batch", "flops", "loads_s"):
            _require(name, getattr(self, name), getattr(self, name) > 0, "above 0")
        for name in ("fixed", "host_s", "alone_s", "messages", "message_bytes", "state_bytes"):
            _require(name, getattr(self, name), getattr(self, name) >= 0, "of 0 or more")


@dataclass(frozen=True)
class Step:
    """Where the seconds of a step go, on each of `gpus` GPUs that have `pictures` pictures each."""

    gpus: int
    pictures: float
    device_s: float
    host_s: float
    latency_s: float
    transfer_s: float
    loading_s: float

    @property
    def compute_s(self) -> float:
        """A GPU's own work: it waits for Python where that is slower."""
        return max(self.device_s, self.host_s)

    @property
    def seconds(self) -> float:
        """The step, when no GPU is slower than another."""
        return self.with_compute(self.compute_s)

    def with_compute(self, slowest_s: float) -> float:
        """Return the step's seconds when the slowest GPU's work takes so long."""
        return max(slowest_s + self.latency_s + self.transfer_s, self.loading_s)

    @property
    def pictures_s(self) -> float:
        """Pictures a second of all GPUs together."""
        return self.gpus * self.pictures / self.seconds


def step(work: Work, cluster: Cluster, gpus: int, *, grow: bool = False) -> Step:
    """Return a step on so many GPUs: of the method's batch, or with `grow` of as many batches.

    Raises `ParameterError` when the batch can't be divided among them.
    """
    _require("gpus", gpus, gpus >= 1, "of 1 or more")
    if not grow and work.batch % gpus:
        raise ParameterError(
            f"a batch of {work.batch} can't be divided among {gpus} GPUs; give a number of GPUs "
            "that divides it, or let the batch grow"
        )
    own = float(work.batch) if grow else work.batch / gpus
    alone = gpus == 1
    return Step(
        gpus,
        own,
        device_s=work.flops * (own + work.fixed) / (cluster.flops * cluster.achieved),
        host_s=work.alone_s if alone else work.host_s,
        latency_s=0.0 if alone else work.messages * cluster.latency_s(gpus),
        transfer_s=0.0 if alone else cluster.transfer_s(gpus, work.message_bytes),
        loading_s=own / (work.loads_s * cluster.cores),
    )


def expected_s(taken: Step, spread: float) -> float:
    """Return a step's mean seconds where each GPU is late by an exponential time.

    The latest of n such delays of mean m is late by m (1 + 1/2 + ... + 1/n) on average. A step
    that the loader bounds is taken to be that long always: the mean is a little above.
    """
    late = spread * taken.compute_s * harmonic(taken.gpus)
    return taken.with_compute(taken.compute_s + late)


def harmonic(count: int) -> float:
    """Return 1 + 1/2 + ... + 1/count."""
    return math.fsum(1 / k for k in range(1, count + 1))


def young_s(save_s: float, between_s: float) -> float:
    """Return how much to compute between two checkpoints: sqrt(2 C M). Source: Young 1974."""
    return math.sqrt(2 * save_s * between_s)


@dataclass(frozen=True)
class Losses:
    """How a run is saved and what stops it: all in seconds.

    A checkpoint takes `save_s` and comes after each `interval_s` of steps; losses come at random,
    every `between_s` on average, and the run goes on `restart_s` later.
    """

    interval_s: float
    save_s: float
    between_s: float = math.inf
    restart_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("interval_s", "between_s"):
            _require(name, getattr(self, name), getattr(self, name) > 0, "above 0")


NEVER = Losses(math.inf, 0.0)  # neither saved nor stopped


def waste(losses: Losses) -> float:
    """Return the share of time that checkpoints and losses add, to first order.

    C / tau for writing, and at each loss half an interval and the restart. It holds where an
    interval is short beside the time between losses. Source: Young 1974.
    """
    lost = (losses.interval_s / 2 + losses.restart_s) / losses.between_s
    return losses.save_s / losses.interval_s + lost


def run_s(work_s: float, losses: Losses) -> float:
    """Return the mean time of a run whose steps take `work_s` together, losses included.

    M exp(R / M) (exp((tau + C) / M) - 1) for each interval: exact for losses that come at random at
    any time, in restarts too. What is left at the end counts as the part of an interval that it is.
    Source: Daly 2006, section 3.
    """
    tau, save, between = losses.interval_s, losses.save_s, losses.between_s
    tau = min(tau, work_s)
    if math.isinf(between):
        return work_s * (1 + save / tau)
    stretch = math.expm1((tau + save) / between)
    return work_s / tau * between * math.exp(losses.restart_s / between) * stretch


def simulate(
    taken: Step, steps: int, random: np.random.Generator, *, spread: float = 0.0,
    losses: Losses = NEVER,
) -> float:  # fmt: skip
    """Return the seconds of a run of so many steps, event by event.

    Each step lasts until the latest GPU is done. What lies between events is a step, a checkpoint
    or a restart; a loss ends whichever it is, and the run goes on from the last checkpoint.
    """
    clock, done, kept, unsaved = 0.0, 0, 0, 0.0
    lengths = _lengths(taken, steps, random, spread)
    lost = _next(random, losses.between_s)
    while kept < steps:
        saving = unsaved >= losses.interval_s or done == steps
        length = losses.save_s if saving else lengths[done]
        end = clock + length
        if end > lost:
            clock, lost = _restarted(lost, losses, random)
            done, unsaved = kept, 0.0
        elif saving:
            clock, kept, unsaved = end, done, 0.0
        else:
            clock, done, unsaved = end, done + 1, unsaved + length
    return clock


def _restarted(lost: float, losses: Losses, random: np.random.Generator) -> tuple[float, float]:
    """Return when a run goes on after a loss, and when the next loss comes.

    A loss during a restart begins it anew.
    """
    ready, following = lost + losses.restart_s, lost + _next(random, losses.between_s)
    while following < ready:
        ready = following + losses.restart_s
        following += _next(random, losses.between_s)
    return ready, following


def _next(random: np.random.Generator, mean_s: float) -> float:
    return math.inf if math.isinf(mean_s) else float(random.exponential(mean_s))


def _lengths(taken: Step, steps: int, random: np.random.Generator, spread: float) -> list[float]:
    """Return the seconds of each step: the latest GPU's work, what all exchange, the loader."""
    if not spread:
        return [taken.seconds] * steps
    slowest = np.zeros(steps)
    for _ in range(taken.gpus):
        np.maximum(slowest, random.exponential(spread, steps), out=slowest)
    whole = taken.compute_s * (1 + slowest) + taken.latency_s + taken.transfer_s
    return np.maximum(whole, taken.loading_s).tolist()


def limits(work: Work, cluster: Cluster, counts: Sequence[int] = GPUS) -> dict[str, int]:
    """Return what a step of the method's own batch is limited by, and from how many GPUs on.

    "batch": it can't be divided any more. "loader": batches come too slowly, with a thread on each
    core. "Python", "messages", "bytes": to hand over the operations, the latency of all-reduces or
    what they carry takes longer than a GPU's own work. What never does up to the last count is left
    out.
    """
    found: dict[str, int] = {}
    for gpus in counts:
        if work.batch % gpus:
            found.setdefault("batch", gpus)
            continue
        for name in _exceeded(step(work, cluster, gpus)):
            found.setdefault(name, gpus)
    return found


def _exceeded(taken: Step) -> list[str]:
    """Return the limits that a step is over."""
    over = {
        "loader": taken.loading_s > taken.compute_s + taken.latency_s + taken.transfer_s,
        "Python": taken.host_s > taken.device_s,
        "messages": taken.latency_s > taken.device_s,
        "bytes": taken.transfer_s > taken.device_s,
    }
    return [name for name, exceeded in over.items() if exceeded]


def first_limit(found: Mapping[str, int]) -> tuple[str, int] | None:
    """Return the limit that is met at the fewest GPUs, of several the first of `LIMITS`."""
    return min(found.items(), key=lambda one: (one[1], LIMITS.index(one[0])), default=None)


@dataclass(frozen=True)
class Cost:
    """What a run costs on so many GPUs, by simulation.

    `closed_s` is what the closed form gives for its seconds. `kept` is the share of the pace of one
    GPU alone that each of them keeps.
    """

    gpus: int
    pictures_s: float
    hours: float
    euros: float
    kept: float
    closed_s: float


def run(
    work: Work, cluster: Cluster, counts: Sequence[int] = GPUS, *,
    grow: bool = False, pictures: float = MILLION, whole: bool = False, seed: int = 0,
) -> list[Cost]:  # fmt: skip
    """Return what it costs to train on so many pictures, for each number of GPUs.

    With `grow` the batch is as many times the method's. A `whole` run writes checkpoints by Young's
    rule, one at its end, and loses GPUs; else the pictures are a part of one, without these.
    Stragglers and losses follow from the seed.
    """
    found: list[Cost] = []
    alone = None
    for gpus in counts:
        taken = step(work, cluster, gpus, grow=grow)
        steps = max(1, round(pictures / (gpus * taken.pictures)))
        losses = losses_of(work, cluster, gpus) if whole else NEVER
        random = np.random.default_rng([seed, gpus])
        seconds = simulate(taken, steps, random, spread=cluster.spread, losses=losses)
        closed = run_s(steps * expected_s(taken, cluster.spread), losses)
        rate = steps * gpus * taken.pictures / seconds
        alone = alone or rate / gpus
        hours = seconds / HOUR_S
        euros = hours * gpus * cluster.euros
        found.append(Cost(gpus, rate, hours, euros, rate / gpus / alone, closed))
    return found


def losses_of(work: Work, cluster: Cluster, gpus: int) -> Losses:
    """Return when a run on so many GPUs is saved, by Young's rule, and what stops it."""
    save, between = work.state_bytes / cluster.write_bytes_s, cluster.between_losses_s(gpus)
    interval = young_s(save, between) if save else math.inf
    return Losses(interval, save, between, cluster.restart_s)
