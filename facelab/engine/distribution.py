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

and `--node-rank 1` on the second. All of them must see the run's folder, as on a shared disk. Under
Slurm the same, in a file for sbatch:

    #!/bin/bash
    #SBATCH --nodes=2 --ntasks-per-node=1 --gpus-per-node=4 --cpus-per-task=32 --requeue
    export FIRST=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
    srun bash -c 'torchrun --nnodes $SLURM_NNODES --node-rank $SLURM_NODEID --nproc-per-node 4 \\
        --master-addr $FIRST --master-port 29500 \\
        -m facelab train METHOD --preset paper --data DATA --steps N --resume -o RUNDIR'

Where a machine has several networks, NCCL_SOCKET_IFNAME and GLOO_SOCKET_IFNAME name the one to use.

**A lost machine** ends the run on all others: at once where its connections close, as when a
process is killed, and else `LOST` after the last message (10 minutes: a machine without power
closes nothing). What is left says so in one line, with the last checkpoint. Slurm starts a job with
`--requeue` again when a node fails, and `--resume` goes on from that checkpoint; by hand it is the
same command on all machines. On the CPU this is tested with two agents of torchrun, one of which is
killed. On GPUs it rests on NCCL's watchdog, which torch turns on by default (the variable
TORCH_NCCL_ASYNC_ERROR_HANDLING) and which kills the process with a message of its own; that has not
been tried by us. A checkpoint must be written within `LOST`; measurements may take longer.
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
LOST = timedelta(minutes=10)  # without an answer: a process is gone
PATIENCE = timedelta(hours=3)  # the others wait while the first process measures


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
            strategy=DDPStrategy(timeout=LOST) if shared else "auto",
            precision=PRECISIONS[precision],
        )
        self._fabric.launch()
        self.rank, self.world = self._fabric.global_rank, self._fabric.world_size
        self.device = self._fabric.device
        self._waiting: torch.distributed.ProcessGroup | None = None

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

    def wait(self) -> None:
        """Wait until all processes are here, for as long as `PATIENCE` allows."""
        if self.world == 1:
            return
        if self._waiting is None:  # a group for messages has the shorter time-out
            self._waiting = torch.distributed.new_group(timeout=PATIENCE, backend="gloo")
        torch.distributed.barrier(self._waiting)

    @torch.no_grad()
    def same(self, tensors: Iterable[Tensor]) -> bool:
        """Tell whether all processes have the same tensors, to the last bit."""
        if self.world == 1:
            return True
        differ = False
        for tensor in tensors:
            first = tensor.detach().clone(memory_format=torch.contiguous_format)
            torch.distributed.broadcast(first, src=0)
            differ |= not torch.equal(first, tensor)
        return not self.agree(differ)


def is_lost(error: BaseException) -> bool:
    """Tell whether an error says that another process can't be reached any more.

    gloo raises a plain RuntimeError, which names the place in its source.
    """
    if isinstance(error, torch.distributed.DistError):
        return True
    return isinstance(error, RuntimeError) and ("gloo" in str(error) or "NCCL" in str(error))


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
