"""Batch normalisation whose statistics are those of the whole batch, whichever process has it.

torch's SyncBatchNorm runs on GPUs alone and can't be differentiated twice. This one is written in
operations that can, so that a network with batch normalisation trains on two processes as it does
on one with the whole batch, on gloo as on NCCL, and under R1. It is put in place only where a run
has several processes.

Source: Ioffe & Szegedy 2015, Batch Normalization, algorithm 1; bfloat16 is computed in float32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KINDS = (nn.BatchNorm1d, nn.BatchNorm2d)


class WholeBatchNorm(nn.Module):
    """Takes the place of a batch normalisation: the same parameters, buffers and names."""

    def __init__(self, replaced: nn.BatchNorm1d | nn.BatchNorm2d):
        super().__init__()
        self.eps, self.momentum = replaced.eps, replaced.momentum
        self.weight, self.bias = replaced.weight, replaced.bias
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(replaced, name))
        self.train(replaced.training)

    def forward(self, values: Tensor) -> Tensor:
        """Normalise (batch, channels, ...) by the mean and variance of all processes' rows."""
        if not self.training and self.running_mean is not None:
            return F.batch_norm(
                values, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        dtype = values.dtype
        values = values.to(torch.promote_types(dtype, torch.float32))
        mean, variance, count = _statistics(values, self.training)
        self._track(mean.detach(), variance.detach(), count)
        shape = (1, -1, *[1] * (values.ndim - 2))
        scale = (variance + self.eps).rsqrt()
        if self.weight is not None:
            scale = scale * self.weight
        shift = -mean * scale if self.bias is None else self.bias - mean * scale
        return (values * scale.view(shape) + shift.view(shape)).to(dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: int) -> None:
        if self.running_mean is None or not self.training:
            return
        self.num_batches_tracked += 1
        share = self.momentum
        if share is None:
            share = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), share)


def _statistics(values: Tensor, training: bool) -> tuple[Tensor, Tensor, int]:
    """Return mean and biased variance of each channel, and of how many numbers.

    Over all processes in training; outside it a process may be the only one that runs the network.
    """
    axes = [axis for axis in range(values.ndim) if axis != 1]
    together = training and torch.distributed.is_initialized()
    world = torch.distributed.get_world_size() if together else 1
    count = world * values.numel() // values.shape[1]
    mean = _sum(values.sum(axes), world) / count
    shape = (1, -1, *[1] * (values.ndim - 2))
    # The mean first: a difference of two large sums would lose the variance's digits.
    variance = _sum((values - mean.view(shape)).square().sum(axes), world) / count
    return mean, variance, count


class _Total(torch.autograd.Function):
    """The sum over the processes, of values on the way there and of gradients on the way back."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return _Total.apply(gradient)


def _sum(values: Tensor, world: int) -> Tensor:
    return values if world == 1 else _Total.apply(values)


def span_processes(network: nn.Module) -> None:
    """Replace every batch normalisation within a network, in place."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, KINDS):
                setattr(module, name, WholeBatchNorm(child))
