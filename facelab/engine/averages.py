"""Exponential moving averages of networks: what a generator is sampled from.

After every step, average = decay average + (1 - decay) new for each parameter; buffers are copied.
The average starts as a copy of the first weights. Source: Polyak & Juditsky 1992 in the form of
Karras et al. 2018 (Progressive GAN, section 4).
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Averages:
    """Averages of some networks, frozen and in evaluation mode, by the networks' names."""

    def __init__(self, networks: Mapping[str, nn.Module], decay: float):
        self.networks = {
            name: copy.deepcopy(network).eval().requires_grad_(False)
            for name, network in networks.items()
        }
        self.decay = decay
        self._parameters = self._pairs(networks, "parameters")
        self._buffers = self._pairs(networks, "buffers")

    def _pairs(
        self, networks: Mapping[str, nn.Module], kind: str
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the averages' tensors and the networks', in the same order."""
        averaged = [t for n in networks for t in getattr(self.networks[n], kind)()]
        return averaged, [t for n in networks for t in getattr(networks[n], kind)()]

    @torch.no_grad()
    def update(self) -> None:
        """Take the networks' present values into the averages."""
        averages, values = self._parameters
        if averages:
            torch._foreach_mul_(averages, self.decay)
            torch._foreach_add_(averages, values, alpha=1 - self.decay)
        copies, buffers = self._buffers
        if copies:
            torch._foreach_copy_(copies, buffers)
