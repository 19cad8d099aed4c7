"""Faces that any generator draws, with their latent vectors: a training set without a photograph.

Source: Nitzan et al. 2020, section 3.2. Face i follows from the generator, the seed, the split and
i alone, as in `data.samples`. Beside the picture there is the vector that `synthesis` drew it from
and, where a recogniser is named, the face's code, so that a training need not compute it again.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.data.base import FaceDataset, Indices
from facelab.data.seeding import require_split, stream
from facelab.errors import ParameterError
from facelab.generators.generator import Generator, truncate
from facelab.images import from_uint8, to_uint8
from facelab.recognition.align import reframe
from facelab.recognition.embedder import Embedder
from facelab.types import Batch, Latent

RECIPE = "latents-1"  # changes whenever the same seed gives other faces
W_LABEL = "w"
AT_ONCE, MAPPED = 64, 512  # pictures, and latents


def code_label(embedder: str) -> str:
    """Return the name of the label that has a recogniser's codes."""
    return f"code_{embedder.replace('-', '_')}"


@torch.no_grad()
def vectors_of(
    generator: Generator, z: Latent, truncation: float = 1.0
) -> Float[Tensor, "batch w"]:
    """Return what `synthesis` draws from for latents z, on the CPU.

    `truncation` below 1 brings the vectors nearer to their mean (Karras et al. 2019, appendix B):
    the generator's own where it has a mapping network and else that of the prior, 0. Raises
    `ParameterError` when a mean was not measured.
    """
    where = next(generator.parameters()).device
    w = torch.cat([generator.mapping(part.to(where)) for part in z.split(MAPPED)])
    if truncation != 1:
        own = getattr(generator, "truncate", None)
        w = own(w, truncation) if own else truncate(w, w.new_zeros(w.shape[1]), truncation)
    return w.cpu()


class DrawnFaces(FaceDataset):
    """`count` faces of a generator; `labels` have `w` and, with a recogniser, its codes.

    The picture is rounded to 8 bits, as a file has it, and the code is that of the rounded picture:
    the unit embedding times the root of its length. `truncation` brings w nearer to its mean.
    `framing` is the template that the generator's faces lie on. Raises `ParameterError` for a
    count, a split or a truncation that can't be.
    """

    def __init__(
        self,
        generator: Generator,
        count: int,
        *,
        embedder: Embedder | None = None,
        framing: str = "book64",
        truncation: float = 1.0,
        seed: int = 0,
        split: str = "train",
    ):
        if count < 1:
            raise ParameterError(f"{count} faces make no dataset; give at least 1")
        if not 0 < truncation <= 1:
            raise ParameterError(f"truncation {truncation} can't be used; give a number up to 1")
        require_split(split)
        self.generator, self.embedder, self.framing = generator, embedder, framing
        self.id, self.size, self.truncation = f"{generator.id}-latents", generator.size, truncation
        self.seed, self.split = seed, split
        self.people, self.identity = count, torch.arange(count)

    def config(self) -> dict:
        """Return everything that the faces follow from, as JSON values."""
        return {
            "recipe": RECIPE,
            "generator": self.generator.id,
            "count": len(self),
            "embedder": self.embedder.id if self.embedder else None,
            "framing": self.framing,
            "truncation": self.truncation,
            "seed": self.seed,
            "split": self.split,
        }

    @torch.no_grad()
    def latents(self, indices: Indices) -> Latent:
        """Return the vectors that these faces are drawn from, (batch, w), on the CPU."""
        words = ("latents", self.seed, self.split)
        draw = self.generator.sample_latent
        z = torch.cat([draw(1, stream(*words, index)) for index in self.resolve(indices)])
        return vectors_of(self.generator, z, self.truncation)

    @torch.no_grad()
    def batch(self, indices: Indices) -> Batch:
        """Return these faces with their latent vectors and codes."""
        found, w = self.resolve(indices), self.latents(indices)
        images, codes = [], []
        for part in w.split(AT_ONCE):
            drawn = self.generator.synthesis(part.to(self._device())).clamp(-1, 1)
            rounded = from_uint8(to_uint8(drawn.cpu()))
            images.append(rounded)
            if self.embedder is not None:
                codes.append(self._codes(rounded))
        labels = {W_LABEL: w}
        if self.embedder is not None:
            labels[code_label(self.embedder.id)] = torch.cat(codes)
        return Batch(torch.cat(images), self.identity[found], labels=labels)

    def _codes(self, images: torch.Tensor) -> torch.Tensor:
        where = next(self.embedder.parameters()).device
        faces = reframe(images.to(where), self.framing, self.embedder.template)
        codes = self.embedder.embed(faces).cpu()
        return codes * codes.shape[1] ** 0.5

    def _device(self) -> torch.device:
        return next(self.generator.parameters()).device
