"""Random candidates, drawn and embedded once for every target that is looked for."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.data.seeding import stream
from facelab.methods.ganid.scoring import Scorer, Target, identity_distance, require_embedder
from facelab.types import Embedding, Latent

BLOCK = 50  # candidates follow from the seed block by block, so that any of them can be had


class Bank:
    """Latent vectors of a generator's prior with the unit embeddings of their faces, on the CPU.

    Candidate i follows from the seed and i alone. What is asked for is drawn and embedded once;
    the scorer counts that. Only the comparison with a target, a matrix product, is done again.
    """

    def __init__(self, scorer: Scorer, seed: int = 0):
        self.scorer, self.seed = scorer, seed
        self._blocks: dict[int, tuple[Latent, Embedding]] = {}

    def __len__(self) -> int:
        """Return how many candidates have been drawn so far."""
        return BLOCK * len(self._blocks)

    def draw(self, count: int) -> None:
        """Draw and embed the first `count` candidates, but for those that are there."""
        for number in range(_blocks(count)):
            self._block(number)

    def latents(self, first: int, count: int) -> Latent:
        """Return candidates `first` to `first + count - 1`."""
        return self._rows(first, count)[0]

    def distances(self, target: Target, first: int, count: int) -> Float[Tensor, " candidates"]:
        """Return how far these candidates are from a target.

        Raises `ParameterError` when the target's embeddings are another embedder's.
        """
        require_embedder(self.scorer, target)
        return identity_distance(self._rows(first, count)[1], target.embeddings.cpu())

    def compare(self, targets: Sequence[Target], count: int) -> Float[Tensor, "targets candidates"]:
        """Return the distance of the first `count` candidates from every target."""
        return torch.stack([self.distances(target, 0, count) for target in targets])

    def _rows(self, first: int, count: int) -> tuple[Latent, Embedding]:
        low = first // BLOCK
        blocks = [self._block(number) for number in range(low, _blocks(first + count))]
        latents, embeddings = (torch.cat(parts) for parts in zip(*blocks, strict=True))
        rows = slice(first - low * BLOCK, first - low * BLOCK + count)
        return latents[rows], embeddings[rows]

    @torch.no_grad()
    def _block(self, number: int) -> tuple[Latent, Embedding]:
        if number not in self._blocks:
            random = stream("ganid", self.seed, number)
            latents = self.scorer.generator.sample_latent(BLOCK, random)
            self._blocks[number] = (latents, self.scorer.embed(latents).cpu())
        return self._blocks[number]


def _blocks(count: int) -> int:
    """Return how many blocks hold the first `count` candidates."""
    return -(-count // BLOCK)
