"""Faces that the pre-trained generator draws, as a dataset: offline, without files, by seed.

Face i of a split follows from the seed, the split and i, so that any of them can be had at any time
and no face of a test set is in a training set. A face is the same whichever others are drawn with
it, to rounding (a level of a picture file in few pixels); its latent vector is so to the last bit.
"""

import torch

from facelab.assets import ASSETS
from facelab.data.base import FaceDataset, Indices
from facelab.data.seeding import require_split, stream
from facelab.errors import ParameterError
from facelab.generators import dcgan
from facelab.types import Batch, Latent

ASSET = "gan-face-generate"
RECIPE = "samples-1"  # changes whenever the same seed gives other faces
AT_ONCE = {"cpu": 64, "cuda": 512}


class Samples(FaceDataset):
    """`count` faces of 64 x 64 pixels, drawn by the pre-trained DCGAN.

    Every face is a person of its own. A batch's `labels` have the `latent` vector, 100 numbers from
    N(0, 1). Raises `ParameterError` for a count or a split that can't be, and what
    `dcgan.pretrained` raises when the weights can't be had.
    """

    size = 64

    def __init__(
        self,
        count: int = 50_000,
        *,
        seed: int = 0,
        split: str = "all",
        device: str | torch.device = "cpu",
    ):
        if count < 1:
            raise ParameterError(f"{count} samples make no dataset; give at least 1")
        require_split(split)
        self.id, self.seed, self.split = f"{ASSET}-samples", seed, split
        self.people, self.identity = count, torch.arange(count)
        self.device = torch.device(device)
        self.generator = dcgan.pretrained(str(self.device))

    def config(self) -> dict:
        """Return everything that the faces follow from, as JSON values."""
        return {
            "recipe": RECIPE,
            "generator": ASSETS[ASSET].sha256,
            "count": len(self),
            "seed": self.seed,
            "split": self.split,
        }

    def latents(self, indices: Indices) -> Latent:
        """Return the latent vectors of these faces, (batch, 100), on the CPU."""
        draw = self.generator.sample_latent
        words = ("sample", self.seed, self.split)
        return torch.cat([draw(1, stream(*words, index)) for index in self.resolve(indices)])

    @torch.no_grad()
    def batch(self, indices: Indices) -> Batch:
        """Return these faces with their latent vectors."""
        found, latents = self.resolve(indices), self.latents(indices)
        parts = latents.to(self.device).split(AT_ONCE[self.device.type])
        images = torch.cat([self.generator(part).cpu() for part in parts])
        return Batch(images, self.identity[found], labels={"latent": latents})
