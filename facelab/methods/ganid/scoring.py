"""From a latent vector to its distance from a person: generator, alignment, embedder.

The identity-similarity of Li & Luo, section 3.2: the squared Euclidean distance of two embeddings
of length one, and for a target of several pictures the mean over them (section 4).
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.generators.generator import Generator
from facelab.recognition.align import BOOK, align, reframe
from facelab.recognition.embedder import Embedder
from facelab.recognition.face_points import (
    SIZE,
    LandmarkRegressor,
    five_points,
    landmark_regressor,
)
from facelab.types import Embedding, Image, Latent

Alignment = Literal["landmarks", "fixed"]
Distances = Float[Tensor, " batch"]

FRAMING = BOOK  # how the book's generators frame a face
BATCH = 50  # more at once is no faster on two cores


@dataclass(frozen=True)
class Target:
    """One person to look for: the unit embeddings of their pictures, and by which embedder.

    `embeddings` is (pictures, features), `name` what tables call the person.
    """

    name: str
    embeddings: Float[Tensor, "pictures features"]
    embedder: str

    def __post_init__(self):
        if not len(self.embeddings):
            raise ParameterError(f"the target {self.name} has no picture; give at least one")

    @property
    def spread(self) -> float:
        """The mean squared distance of two of its pictures; NaN when there is one only."""
        return float(torch.pdist(self.embeddings).square().mean())


def identity_distance(
    embeddings: Float[Tensor, "batch features"], target: Float[Tensor, "pictures features"]
) -> Distances:
    """Return the mean squared distance of each embedding to a target's pictures, 0 to 4.

    Both are of length one, so that it is 2 - 2 e . mean(t). Source: Li & Luo, section 4.
    """
    return 2 - 2 * embeddings @ target.mean(0)


class Scorer:
    """Generator, alignment and embedder as one function of a latent vector.

    `alignment` is "landmarks", the landmark regressor's points laid on the embedder's template, or
    "fixed": the place where the generator's faces are on average. With `half` the networks run in
    bfloat16. `batch` faces are in the works at once. `evaluations` counts the latent vectors whose
    faces were drawn. Raises `ParameterError` for an unknown alignment, and when the networks are on
    two devices.
    """

    def __init__(
        self,
        generator: Generator,
        embedder: Embedder,
        alignment: str = "landmarks",
        *,
        half: bool = False,
        batch: int = BATCH,
    ):
        if alignment not in get_args(Alignment):
            known = ", ".join(get_args(Alignment))
            raise ParameterError(f"there is no alignment {alignment!r}; choose one of: {known}")
        self.generator, self.embedder, self.alignment = generator, embedder, alignment
        self.half, self.batch, self.evaluations = half, batch, 0
        self.device = _device_of(generator, embedder)
        self.points: LandmarkRegressor | None = None
        if alignment == "landmarks":
            self.points = landmark_regressor(str(self.device))

    @property
    def id(self) -> str:
        """Which generator, alignment and embedder; records keep it."""
        return f"{self.generator.id} > {self.alignment} > {self.embedder.id}"

    def faces(self, latent: Latent) -> Image:
        """Draw the faces (batch, 3, size, size) of latent vectors, all at once; differentiable.

        Float32 on the scorer's device, as `Generator.synthesis` gives them. Counts as evaluations.
        """
        self.evaluations += len(latent)
        with self._precision():
            return self.generator(latent.to(self.device)).float()

    def crops(self, faces: Image) -> Float[Tensor, "batch 3 side side"]:
        """Align generated faces, of any size, for the embedder; float32, differentiable."""
        if self.points is None:
            return reframe(faces, FRAMING, self.embedder.template)
        with self._precision():
            found = five_points(self.points(reframe(faces, FRAMING, FRAMING)))
        # Pixel centres: 0 is the centre of the first one, at either size.
        scale = faces.shape[-1] / SIZE
        return align(faces, (found + 0.5) * scale - 0.5, self.embedder.template)

    def embed_faces(self, faces: Image) -> Embedding:
        """Return unit embeddings (batch, features) of generated faces, `batch` at a time."""
        parts = []
        for part in faces.split(self.batch):
            crops = self.crops(part)  # in float32: bfloat16 has steps of a quarter of a pixel
            with self._precision():
                parts.append(self.embedder.embed(crops))
        return torch.cat(parts)

    def embed(self, latent: Latent) -> Embedding:
        """Return the unit embeddings of the faces of latent vectors; float32, differentiable."""
        parts = [self.embed_faces(self.faces(part)) for part in latent.split(self.batch)]
        return torch.cat(parts)

    def distances(self, latent: Latent, target: Target) -> Distances:
        """Return how far the faces of latent vectors are from the target, 0 to 4; differentiable.

        Raises `ParameterError` when the target's embeddings are another embedder's.
        """
        require_embedder(self, target)
        return identity_distance(self.embed(latent), target.embeddings.to(self.device))

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)


def half_is_quicker(device: str = "cpu") -> bool:
    """Whether `half` pays: on a GPU, and on a processor that computes in bfloat16.

    One that has to imitate it takes two to five times as long as in float32.
    """
    abilities = torch.cpu.get_capabilities()
    quick = any(has for name, has in abilities.items() if "bf16" in name)
    return device.startswith("cuda") or quick


def _device_of(generator: Generator, embedder: Embedder) -> torch.device:
    first, second = (next(network.parameters()).device for network in (generator, embedder))
    if first != second:
        raise ParameterError(
            f"the generator {generator.id} is on {first}, the embedder {embedder.id} on {second}; "
            "load both on one device"
        )
    return first


def require_embedder(scorer: Scorer, target: Target) -> None:
    """Raise `ParameterError` unless the target was embedded by the scorer's embedder."""
    if target.embedder != scorer.embedder.id:
        raise ParameterError(
            f"the target {target.name} was embedded by {target.embedder}, the search uses "
            f"{scorer.embedder.id}; embed its pictures with that one"
        )
