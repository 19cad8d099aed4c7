"""Where a run computes: the device, the precision, and the processes that share the work.

lightning-fabric starts processes (or finds those that torchrun started), gives each its device,
opens the process group of torch.distributed and has the autocast of every precision. It was chosen
before accelerate, which does the same, because it keeps no state outside its object: accelerate
allows one precision and one device a process, so a notebook that trains twice, or a run of the
tests, would need a new process. It also brings less along (accelerate needs a model hub's client).

Networks are *not* wrapped in DistributedDataParallel. That reduces gradients in hooks which expect
one forward and one backward pass each, while an adversarial game runs a network several times
before a backward pass, freezes it in the other player's turn, and differentiates twice (R1, path
length). So every process computes its rows, and the loop averages the gradients of the parameters
that a phase moves after its backward pass: exactly the gradient of the mean over the whole batch.

Several machines: the same command on each, through torchrun, for example on two with four GPUs,

    torchrun --nnodes 2 --node-rank 0 --nproc-per-node 4 \\
        --master-addr FIRST --master-port 29500 -m facelab train ...

and `--node-rank 1` on the second. All of them must see the run's folder, as on a shared disk.
"""

import logging
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta

import torch
from torch import Tensor, nn

from facelab.errors import ParameterError

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}
# The others wait while the first process measures or writes.
PATIENCE = timedelta(hours=3)


class Processes:
    """The processes of a run, seen from one of them.

    `rank` is this one's number of `world`, `device` where it computes. Raises `ParameterError` when
    the device or so many of them aren't there.
    """

    def __init__(self, device: str = "auto", processes: int = 1, precision: str = "fp32"):
        from lightning_fabric import Fabric
        from lightning_fabric.strategies import DDPStrategy

        # Its remarks would stand in the middle of the progress bar.
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        kind = _kind(device)
        here, machines = _started(processes)
        _require_devices(kind, here)
        shared = here * machines > 1
        self._fabric = Fabric(
            accelerator=kind,
            devices=here,
            num_nodes=machines,
            strategy=DDPStrategy(timeout=PATIENCE) if shared else "auto",
            precision=PRECISIONS[precision],
        )
        self._fabric.launch()
        self.rank, self.world = self._fabric.global_rank, self._fabric.world_size
        self.device = self._fabric.device

    def autocast(self) -> AbstractContextManager:
        """Return the context in which losses are computed."""
        return self._fabric.autocast()

    @torch.no_grad()
    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace each parameter's gradient by its mean over the processes.

        One message a data type. A parameter that no process has a gradient for is left out; all
        processes must agree on which these are.
        """
        if self.world == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        for dtype in sorted({gradient.dtype for gradient in gradients}, key=str):
            same = [gradient for gradient in gradients if gradient.dtype == dtype]
            message = torch.cat([gradient.reshape(-1) for gradient in same])
            torch.distributed.all_reduce(message)
            message /= self.world
            parts = message.split([gradient.numel() for gradient in same])
            for gradient, part in zip(same, parts, strict=True):
                gradient.copy_(part.view_as(gradient))

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of a tensor over the processes."""
        if self.world == 1:
            return values
        total = values.clone()
        torch.distributed.all_reduce(total)
        return total / self.world

    def agree(self, said: bool) -> bool:
        """Return whether any process said so: all processes get the same answer."""
        if self.world == 1:
            return said
        heard = torch.tensor([float(said)], device=self.device)
        torch.distributed.all_reduce(heard)
        return bool(heard.item() > 0)

    @torch.no_grad()
    def share(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the first one's tensors, in place."""
        if self.world == 1:
            return
        for tensor in tensors:
            sent = tensor.detach().contiguous()
            torch.distributed.broadcast(sent, src=0)
            tensor.copy_(sent)


def _kind(device: str) -> str:
    if device == "cuda" and not torch.cuda.is_available():
        raise ParameterError("there is no CUDA GPU that torch can use; give --device cpu")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def _started(processes: int) -> tuple[int, int]:
    """Return how many processes this machine has or gets, and how many machines there are."""
    if torch.distributed.is_torchelastic_launched():
        here = int(os.environ["LOCAL_WORLD_SIZE"])
        return here, int(os.environ["WORLD_SIZE"]) // here
    if processes > 1 and hasattr(sys, "ps1"):
        raise ParameterError(
            "a notebook can't start further processes; run facelab train, or one process here"
        )
    return processes, 1


def _require_devices(kind: str, here: int) -> None:
    if kind == "cuda" and here > torch.cuda.device_count():
        raise ParameterError(
            f"{here} processes need {here} GPUs and there are {torch.cuda.device_count()}; give "
            "fewer processes, or --device cpu"
        )
