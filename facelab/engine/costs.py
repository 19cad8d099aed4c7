"""What a training step costs, counted: operations, parameters, memory, and what processes exchange.

    costs = step_costs(method, dataset, batch=32)
    costs.flops, costs.parameters, costs.memory_bytes
    seconds(costs.flops, "H200", share=0.3)          # an estimate, with its assumption in sight

The forward and backward pass of each phase is run on a few images, and each operation is counted by
torch's formulas: matrix products and convolutions, two operations for each multiplication with its
addition. A method that was built under `torch.device("meta")` is counted without any arithmetic,
if its losses look at no number. All else (normalisations, activations, resampling) is left out: it
is little of the arithmetic, and much of the time on a GPU, one reason why nothing reaches its peak.
What the backward pass keeps is weighed by hooks on saved tensors. Both are linear in the batch.

The memory is a lower bound: no workspace of a convolution, no fragments of an allocator, no context
of CUDA (some hundred MB). In bfloat16 the activations take between half and all of it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import conv_flop_count, flop_registry

from facelab.data.base import FaceDataset
from facelab.engine.players import Player, Turns, gather
from facelab.errors import ParameterError
from facelab.phases import Method, Step
from facelab.types import Batch

COUNTED = 2  # images that are run: one would do, but for batch normalisation
# Dense peaks by NVIDIA's data sheets, in operations a second: tensor cores in bfloat16, and the
# plain float32 of `--precision fp32`.
PEAKS = {
    "A100": {"bf16": 312e12, "fp32": 19.5e12},
    "H100": {"bf16": 989e12, "fp32": 67e12},
    "H200": {"bf16": 989e12, "fp32": 67e12},
}
STATES = {"adam": 2, "adamw": 2, "sgd": 1, "rmsprop": 1}  # numbers kept for each parameter


@dataclass(frozen=True)
class PhaseCosts:
    """One phase: `flops` and `saved_bytes` of one image, and how many `parameters` it moves.

    `share` is the part of a run's steps at which it plays.
    """

    name: str
    flops: float
    saved_bytes: float
    parameters: int
    share: float


@dataclass(frozen=True)
class StepCosts:
    """A mean step of a run with `batch` images, over all processes.

    `parameters` are those that are trained. `fixed_bytes` is what does not depend on the batch:
    networks, averages, gradients, optimisers, frozen networks; `saved_bytes_per_image` what the
    greediest phase keeps of an image for its backward pass, in float32. `message_bytes` are the
    gradients that every process gives the others in a mean step.
    """

    method: str
    batch: int
    parameters: int
    frozen_parameters: int
    fixed_bytes: int
    saved_bytes_per_image: float
    message_bytes: float
    phases: tuple[PhaseCosts, ...]

    @property
    def flops_per_image(self) -> float:
        """Operations for one image in a mean step: lazy phases count by their share of steps."""
        return sum(phase.flops * phase.share for phase in self.phases)

    @property
    def flops(self) -> float:
        """Operations of a mean step, forward and backward, of the whole batch."""
        return self.flops_per_image * self.batch

    @property
    def memory_bytes(self) -> float:
        """What one process with the whole batch needs at least, in float32."""
        return self.memory(self.batch)

    def memory(self, images: int) -> float:
        """Return what a process with so many images of the batch needs at least, in bytes."""
        return self.fixed_bytes + images * self.saved_bytes_per_image

    def at(self, batch: int) -> "StepCosts":
        """Return the costs of another batch."""
        return dataclasses.replace(self, batch=batch)


def step_costs(
    method: Method, dataset: FaceDataset, batch: int, *, steps: int | None = None
) -> StepCosts:
    """Count what a mean step of a method on a dataset's faces costs, with `batch` faces.

    `steps` is the run's length, for phases that play in a part of it; without it those that end are
    left out. Nothing is moved, but statistics of batches are. Raises what the method's losses do.
    """
    players = gather(method.phases(), method.networks)
    tensors = _tensors(method)
    turns = Turns(players, method.networks)
    faces = dataset.batch(range(COUNTED)).to(tensors[0].device)
    held = {tensor.untyped_storage()._cdata for tensor in tensors}
    with torch.random.fork_rng():
        phases = tuple(_phase_costs(player, turns, faces, held, steps) for player in players)
    turns.end()
    trained = {id(p): p for player in players for p in player.parameters.values()}
    parameters = sum(p.numel() for p in trained.values())
    total = sum(t.numel() for t in tensors if isinstance(t, nn.Parameter))
    return StepCosts(
        method.id,
        batch,
        parameters,
        total - parameters,
        _fixed_bytes(method, players, tensors),
        max(phase.saved_bytes for phase in phases),
        sum(4 * phase.parameters * phase.share for phase in phases),
        phases,
    )


def seconds(flops: float, device: str, *, share: float, precision: str = "bf16") -> float:
    """Return how long operations take at a share of a device's peak: an estimate.

    `device` is a name of `PEAKS`. Raises `ParameterError` for one that there isn't, and for a share
    that is not above 0 and at most 1.
    """
    if device not in PEAKS:
        raise ParameterError(f"no peak of {device!r} is known; choose one of: {', '.join(PEAKS)}")
    if not 0 < share <= 1:
        raise ParameterError(f"a share of {share} of the peak can't be; give 0 to 1, 0 left out")
    return flops / (share * PEAKS[device][precision])


def share_of(player: Player, steps: int | None) -> float:
    """Return the part of a run's steps at which a phase plays; by default of an endless run's."""
    phase = player.phase
    if steps is None:
        return 0.0 if phase.until is not None else 1 / phase.every
    last = steps if phase.until is None else min(steps, phase.until)
    return len(range(phase.offset, last, phase.every)) / max(1, steps)


def _phase_costs(
    player: Player, turns: Turns, faces: Batch, held: set[int], steps: int | None
) -> PhaseCosts:
    """Run a phase once, forward and backward, and count."""
    turns.give(player)
    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in held:
            saved[storage._cdata] = storage.nbytes()
        return tensor

    with (
        Counter() as counter,
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        terms = player.phase.loss(faces, Step(player.phase.offset, torch.Generator()))
        weights = player.phase.weights
        weighted = [t.float().mean() * weights.get(name, 1) for name, t in terms.items()]
        torch.stack(weighted).sum().backward()
    parameters = list(player.parameters.values())
    for parameter in parameters:
        parameter.grad = None
    return PhaseCosts(
        player.phase.name,
        counter.flops / len(faces),
        sum(saved.values()) / len(faces),
        sum(parameter.numel() for parameter in parameters),
        share_of(player, steps),
    )


# --- operations ----------------------------------------------------------------------------------

BACKWARD = torch.ops.aten.convolution_backward.default


class Counter(TorchDispatchMode):
    """Adds up the operations of what is computed within, in `flops`, by torch's formulas.

    torch's own FlopCounterMode follows modules too, by hooks that refuse a loss which
    differentiates within itself (R1, path length).
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Compute, and count."""
        given = kwargs or {}
        found = func(*args, **given)
        if func == BACKWARD:
            self.flops += _convolution_backward(*args)
        elif func._overloadpacket in flop_registry:
            self.flops += flop_registry[func._overloadpacket](*args, **given, out_val=found)
        return found


def _convolution_backward(gradient: Tensor, x: Tensor, weight: Tensor, *more: Any) -> int:
    """Return a convolution's backward operations: as many as forward for each of its gradients.

    torch's own formula takes a grouped convolution's weight gradient for a full one's.
    """
    transposed, mask = more[4], more[7]
    forward = conv_flop_count(list(x.shape), list(weight.shape), list(gradient.shape), transposed)
    return forward * (bool(mask[0]) + bool(mask[1]))


# --- memory --------------------------------------------------------------------------------------


def _tensors(method: Method) -> list[Tensor]:
    """Return each parameter and buffer once: those trained and those that losses look through."""
    found: dict[int, Tensor] = {}

    def walk(value: Any) -> None:
        if isinstance(value, nn.Module):
            found.update((id(t), t) for t in (*value.parameters(), *value.buffers()))
        elif isinstance(value, Mapping):
            for one in value.values():
                walk(one)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            walk(vars(value))

    walk(vars(method))
    return list(found.values())


def _fixed_bytes(method: Method, players: Sequence[Player], tensors: Sequence[Tensor]) -> int:
    """Return the bytes of networks, averages, optimisers, and the largest phase's gradients."""
    networks = sum(tensor.nbytes for tensor in tensors)
    averages = sum(
        t.nbytes for n in method.averaged for t in method.networks[n].state_dict().values()
    )
    optimisers, gradients = 0, 0
    for player in players:
        moved = sum(parameter.nbytes for parameter in player.parameters.values())
        gradients = max(gradients, moved)
        if player.owner == player.phase.name:
            optimisers += STATES[player.settings.name] * moved
    return networks + averages + optimisers + gradients
