"""A step of a method's PAPER preset on this CPU: what it takes, and what it would ask of a GPU."""

import dataclasses
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from facelab.data.base import FaceDataset, Indices
from facelab.engine import costs, methods, state
from facelab.engine.batch_norm import span_processes
from facelab.engine.settings import Settings
from facelab.engine.trainer import Trainer
from facelab.errors import ParameterError
from facelab.phases import Method, Phase
from facelab.types import Batch

# What a step at one batch may take: then no larger one is tried, nor many timed.
SLOW_S = 10.0


# --- methods and pictures ------------------------------------------------------------------------


class Drawn(FaceDataset):
    """Noise for faces, with every label that a method may ask for, or with none (`plain`)."""

    id, split, attribute_names = "noise", "all", ()

    def __init__(self, size: int, count: int = 64, plain: bool = False):
        self.size, self.plain, self.people = size, plain, 8
        self.identity = torch.arange(count) % self.people

    def config(self) -> dict:
        return {"size": self.size, "faces": len(self), "plain": self.plain}

    def batch(self, indices: Indices) -> Batch:
        rows = torch.tensor(self.resolve(indices))
        random = torch.Generator().manual_seed(int(rows.sum()))
        pictures = torch.rand(4, len(rows), 3, self.size, self.size, generator=random) * 2 - 1
        if self.plain:
            return Batch(pictures[0], self.identity[rows])
        whole = torch.ones(len(rows), 1, self.size, self.size)
        names = ("guided", "photo", "pair_photo", "pair_render")
        labels = dict(zip(names, pictures[[1, 1, 2, 3]], strict=True)) | {"index": rows}
        labels["w"] = torch.randn(len(rows), 512, generator=random)
        labels["dataset"] = torch.zeros(len(rows), dtype=torch.int64)
        masks = {"mouth": whole, "eyes": whole, "eyebrows": whole}
        return Batch(pictures[0], self.identity[rows], coverage=whole, masks=masks, labels=labels)


def paper(name: str) -> Method:
    """Return a method with its PAPER preset's networks, frozen ones at random if need be."""
    if name == "diat-enhancement":
        from facelab.methods.diat.enhancement import PAPER, Enhancement
        from facelab.methods.diat.networks import TransformNetwork

        return Enhancement(PAPER, TransformNetwork(PAPER.game.transform))
    if name == "lord-encoders":
        from facelab.methods.idmap import lord

        first = lord.PAPER
        codes = lord.Codes(first.people, first.pictures, first.shape, first.code_rate)
        return lord.Encoders(lord.ENCODERS["paper"], lord.Generator(first.shape), codes)
    if name == "idmap":
        return _idmap()
    return methods.build(name, "paper")


def _idmap() -> Method:
    from facelab.generators.stylegan2 import config
    from facelab.generators.stylegan2.networks import StyleGAN2
    from facelab.methods.idmap.identity_encoder import IdentityEncoder
    from facelab.methods.idmap.training import PAPER, Frozen, Game
    from facelab.recognition.face_points import landmark_regressor
    from facelab.recognition.facenet import FaceNet, build_network

    seen = IdentityEncoder(FaceNet(build_network(), PAPER.embedder))
    parts = seen, StyleGAN2(config.paper(PAPER.size)).eval(), landmark_regressor()
    frozen = Frozen(*(part.requires_grad_(False) for part in parts))
    return Game(
        dataclasses.replace(PAPER, framing="book64"), frozen
    )  # where noise lies is the same


class Alone(Method):
    """One phase of a method, at every step; `averaged` says whether averages follow."""

    def __init__(self, method: Method, phase: Phase, averaged: bool):
        self.id, self.config, self.networks = method.id, method.config, method.networks
        self.averaged = method.averaged if averaged else ()
        always = {"every": 1, "offset": 0, "until": None, "shares": None, "after": None}
        self._phase = dataclasses.replace(phase, **always)

    def phases(self) -> list[Phase]:
        return [self._phase]

    def preview(self, networks: dict, batch: Batch) -> torch.Tensor:
        return batch.images


def phases_alone(method: Method) -> list[tuple[Method, float]]:
    """Return each phase of an endless run with the share of steps at which it plays."""
    found = [(p, 0.0 if p.until is not None else 1 / p.every) for p in method.phases()]
    kept = [(phase, share) for phase, share in found if share]
    return [(Alone(method, phase, not n), share) for n, (phase, share) in enumerate(kept)]


# --- a step here ---------------------------------------------------------------------------------


class Counted(TorchDispatchMode):
    """Counts what is dispatched: a GPU's host does the same for every operation."""

    operations = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.operations += 1
        return function(*args, **(kwargs or {}))


@contextmanager
def another_process() -> Iterator[list[int]]:
    """Make torch believe in a second process; yields the bytes of each message, none is sent."""
    sizes: list[int] = []
    told = {"is_initialized": lambda: True, "get_world_size": lambda: 2}
    with patch.multiple(
        torch.distributed, all_reduce=lambda t: sizes.append(t.nbytes), broadcast=None, **told
    ):
        yield sizes


def counts(alone: Method, data: FaceDataset) -> dict[str, int]:
    """Count a step of one phase on a GPU, by itself and as one of several.

    Afterwards the networks' batch normalisation is that of several.
    """
    trainer = Trainer(alone, data, Settings(steps=9, batch=2, device="cpu"))
    trainer.ledger.waits = True  # as on a GPU, where no loss is read in a step
    batch = data.batch([0, 1])
    trainer.take(batch)  # optimisers begin with their first step
    with Counted() as single:
        trainer.take(batch)
    for network in trainer.networks.values():
        span_processes(network)
    trainer.processes.world = 2
    with another_process() as sizes, Counted() as several:
        trainer.take(batch)
    trainer.turns.end()
    return {
        "operations alone": single.operations,
        "operations": several.operations,
        "messages": len(sizes),
        "messages, bytes": sum(sizes),
    }


def seconds(alone: Method, data: FaceDataset, batch: int, steps: int) -> float:
    """Return the median time of a step of one phase here, of the processor."""
    trainer = Trainer(alone, data, Settings(steps=99, batch=batch, device="cpu"))
    faces, times = data.batch(range(batch)), []
    while len(times) <= steps and sum(times) < SLOW_S:
        start = time.process_time()
        trainer.take(faces)
        times.append(time.process_time() - start)
    trainer.turns.end()
    return statistics.median(times[1:] or times)


def line(times: dict[int, float]) -> tuple[float, float]:
    """Return a and c of a + c batch through measured times, by least squares; a is 0 at least.

    Raises `ParameterError` when times don't grow with the batch, as on a machine that is disturbed.
    """
    c, a = np.polyfit(list(times), list(times.values()), 1)
    if c <= 0:
        raise ParameterError(
            f"steps take {times} s by batch, which doesn't grow; give more --steps"
        )
    return max(float(a), 0.0), float(c)


def measured(name: str, batches: Sequence[int], steps: int) -> dict:
    """Measure and count a step of a method's PAPER preset."""
    torch.manual_seed(0)
    method = paper(name)
    batch, size = method.config.batch_size, getattr(method.config, "size", 64)
    data, parts = Drawn(size), phases_alone(method)
    held = costs.step_costs(method, data, batch)
    times: dict[int, float] = {}
    for own in batches:
        times[own] = sum(share * seconds(alone, data, own, steps) for alone, share in parts)
        if times[own] > SLOW_S and len(times) > 1:
            break
    # Last: it puts batch normalisation over several processes in place, for good.
    counted = [(counts(alone, data), share) for alone, share in parts]
    whole = {key: sum(share * each[key] for each, share in counted) for key in counted[0][0]}
    a, c = line(times)
    return {
        "batch": batch,
        "size": size,
        "parameters": held.parameters,
        "flops of a picture": held.flops_per_image,
        "seconds here by batch": {str(own): value for own, value in times.items()},
        "pictures' worth of the fixed part": a / c,
        **whole,
        "gradients, bytes": held.message_bytes,
        "checkpoint, bytes": _checkpoint_bytes(method, data),
    }


def _checkpoint_bytes(method: Method, data: FaceDataset) -> int:
    """Return what a checkpoint holds: networks, averages, and the optimisers' two or so numbers."""
    trainer = Trainer(method, data, Settings(steps=9, batch=2, device="cpu"))
    tensors = state.tensors_of(trainer.networks, trainer.averages, trainer.players)
    optimisers = sum(
        costs.STATES[player.settings.name] * sum(p.nbytes for p in player.parameters.values())
        for player in trainer.players
        if player.owner == player.phase.name and player.phase.until is None
    )
    return sum(tensor.nbytes for tensor in tensors.values()) + optimisers
