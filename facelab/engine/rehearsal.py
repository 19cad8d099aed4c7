"""Noise in the place of faces, with every label that a method asks for: to count and to time steps.

What a step costs doesn't depend on what the pictures show. Nobody learns anything from these.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from facelab.data.base import FaceDataset, Indices
from facelab.data.by_attribute import GUIDED
from facelab.data.domains import PAIR_PHOTO, PAIR_RENDER, PHOTO
from facelab.data.latents import W_LABEL, code_label
from facelab.data.numbered import INDEX
from facelab.data.seeding import stream
from facelab.phases import Method
from facelab.types import Batch


class Rehearsal(FaceDataset):
    """`count` faces of noise as a method's config says that it wants them, two of each person.

    Each batch has pictures beside the pictures (a guided set, photographs, pairs), numbers, masks,
    and latent vectors with codes as long as the config has them.
    """

    split = "train"

    def __init__(self, method: Method, count: int = 64, seed: int = 0):
        config = method.config
        self.size, self.seed = getattr(config, "size", 64), seed
        self.id = f"rehearsal-{method.id}-{self.size}"
        self.people = max(1, count // 2)
        self.identity = torch.arange(count) % self.people
        self._mask = getattr(getattr(method, "task", None), "mask", None)
        self._widths = _widths(config)

    def config(self) -> dict:
        """Return everything that the noise follows from, as JSON values."""
        own = {"size": self.size, "count": len(self), "seed": self.seed}
        return {"recipe": "rehearsal-1", **own, "widths": self._widths, "mask": self._mask}

    def batch(self, indices: Indices) -> Batch:
        """Return these faces of noise."""
        found = self.resolve(indices)
        drawn = torch.stack([self._noise("picture", i, (5, 3, *self._square)) for i in found])
        images, *beside = (drawn.clamp(-1, 1)[:, n] for n in range(5))
        names = (GUIDED, PHOTO, PAIR_PHOTO, PAIR_RENDER)
        labels: dict[str, Tensor] = dict(zip(names, beside, strict=True))
        for name, shape in self._widths.items():
            labels[name] = torch.stack([self._noise(name, i, tuple(shape)) for i in found])
        labels[INDEX] = torch.tensor(found)
        coverage = torch.ones(len(found), 1, *self._square)
        masks = {self._mask: coverage} if self._mask else {}
        people = self.identity[found]
        return Batch(images, people, coverage=coverage, masks=masks, labels=labels)

    @property
    def _square(self) -> tuple[int, int]:
        return self.size, self.size

    def _noise(self, what: str, number: int, shape: tuple[int, ...]) -> Tensor:
        return 0.5 * torch.randn(shape, generator=stream(what, self.seed, number))


def _widths(config: object) -> Mapping[str, list[int]]:
    """Return the shapes of a face's vectors, of a config that has any: w, and E_id's code."""
    if not hasattr(config, "w"):
        return {}
    layers = getattr(config, "layers", 1)
    w = [config.w] if layers == 1 else [layers, config.w]
    return {W_LABEL: w, code_label(config.embedder): [config.identity_features]}
