"""Statistical augmentation: features with noise of as much as each channel varies by itself."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from facelab.types import Embedding


class Spread(nn.Module):
    """The running mean and deviation of each channel of a code, as buffers: section 3.4.

    "Efficiently calculated via a strategy similar to batch normalization": they are a batch
    normalisation's, so that several processes keep those of the whole batch. They begin at 0: there
    is no noise before anything is known. `momentum` is the share of the newest batch.
    """

    def __init__(self, features: int, momentum: float = 0.1):
        super().__init__()
        self.statistics = nn.BatchNorm1d(features, affine=False, momentum=momentum)
        nn.init.zeros_(self.statistics.running_var)

    @property
    def mean(self) -> Float[Tensor, " features"]:
        """The running mean of each channel."""
        return self.statistics.running_mean

    @property
    def deviation(self) -> Float[Tensor, " features"]:
        """The running standard deviation of each channel: sigma of equation 5."""
        return self.statistics.running_var.sqrt()

    @torch.no_grad()
    def observe(self, features: Embedding) -> None:
        """Take a batch into the statistics, in training mode alone; one face has no spread."""
        if self.training and len(features) > 1:
            self.statistics(features.detach().float())

    def augment(self, features: Embedding, noise: Embedding) -> Embedding:
        """Return f + noise sigma, with noise (batch, features) from N(0, 1).

        No gradient flows to sigma. The printed epsilon has no channel index, while the text says
        that the perturbation "in each channel is independent": noise has a number for each channel.
        Source: equation 5.
        """
        return features + noise * self.deviation.detach()
