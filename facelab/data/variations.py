"""Photo-like people with several faces each: faces of a generator, labelled by how they were made.

A generator of photo-like faces knows no people. Here a person is a latent vector z, and a view of
them is the face of

    sqrt(1 - a^2) z + a n + sum over attributes of s_k v_k

with a little noise n of the prior and attribute vectors v_k in strengths s_k, uniform on [-1, 1]:
the head turns, the mouth opens, the light changes. No photograph is among them, and nobody checked
by eye who is who. What makes the labels is a recogniser:

- A view whose distance from the person's first face (that of z) is not below the recogniser's
  threshold is drawn again with noise and strengths shortened, until it is below.
- A person whose first face is below the threshold from an earlier person's is left out: two latent
  vectors may look alike.

So the labels are as good as that recogniser, and what it can't see is label noise that stays. The
background, hats and clothes follow from z too: they stay much alike in all views of a person, which
photographs of one person seldom do, and help to tell people apart.
"""

import functools
import hashlib
from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.data.base import FaceDataset, Indices
from facelab.data.seeding import require_split, seed_of, stream
from facelab.errors import DatasetError, ParameterError
from facelab.generators.generator import Generator
from facelab.recognition.align import BOOK, align, reframe
from facelab.recognition.embedder import Embedder
from facelab.recognition.face_points import SIZE, five_points, landmark_regressor
from facelab.types import Batch, Embedding, Image, Latent

RECIPE = "variations-1"  # changes whenever the same seed gives other faces
SHORTENED = (1.0, 0.75, 0.5, 0.3, 0.15, 0.0)  # the last is the first face itself
NOISE = 0.2
AT_ONCE = 50
TRIES = 40  # candidates a person, beyond which people are said to look alike

Vectors = Mapping[str, Float[Tensor, " latents"]]


class Variations(FaceDataset):
    """`people` latent vectors of a generator with `views` faces each, labelled by a recogniser.

    `vectors` are attribute vectors by name, for a generator whose prior is N(0, 1), such as
    `methods.ganid.arithmetic.vectors_for` gives. Of each person the first face is that of the
    latent vector itself. People of different splits and seeds have nothing in common. A batch's
    `labels` have the `latent` vector and `kept`, the share of its change that was left to it.
    Raises `ParameterError` for counts, a split or a prior that can't be, `DatasetError` when too
    many people look alike.
    """

    attribute_names = ()

    def __init__(
        self,
        people: int,
        views: int,
        generator: Generator,
        embedder: Embedder,
        vectors: Vectors,
        *,
        seed: int = 0,
        split: str = "train",
    ):
        require_split(split)
        if people < 1 or views < 1:
            raise ParameterError(f"{people} people with {views} views each make no dataset")
        if generator.prior != "normal":
            raise ParameterError(
                f"{generator.id} draws from a {generator.prior} prior; give a generator whose "
                "prior is normal, so that a view is as likely as a person"
            )
        self.id, self.size = f"{generator.id}-variations", generator.size
        self.seed, self.split, self.people, self.views = seed, split, people, views
        self.generator, self.embedder, self.vectors = generator, embedder, dict(vectors)
        self.threshold = embedder.threshold_squared
        self.identity = torch.arange(people).repeat_interleave(views)

    def config(self) -> dict:
        """Return everything that the faces follow from, as JSON values."""
        return {
            "recipe": RECIPE,
            "generator": _digest(self.generator.state_dict()),
            "recogniser": self.embedder.id,
            "threshold": self.threshold,
            "vectors": {name: _digest({name: v}) for name, v in sorted(self.vectors.items())},
            "noise": NOISE,
            "people": self.people,
            "views": self.views,
            "seed": self.seed,
            "split": self.split,
        }

    @functools.cached_property
    def numbers(self) -> tuple[int, ...]:
        """The candidates that became people: no two first faces are below the threshold."""
        found: list[int] = []
        known: list[Tensor] = []
        for number, code in self._candidates():
            if not known or bool((self._apart(torch.stack(known), code) >= self.threshold).all()):
                found.append(number)
                known.append(code)
            if len(found) == self.people:
                return tuple(found)
        raise DatasetError(
            f"only {len(found)} of {TRIES * self.people} latent vectors look like different people "
            f"to {self.embedder.id}; ask for fewer people"
        )

    def _candidates(self) -> Iterator[tuple[int, Float[Tensor, " features"]]]:
        count = TRIES * self.people
        for first in range(0, count, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, count))
            yield from zip(numbers, self._embedded(self._first(numbers)), strict=True)

    def _first(self, numbers: range | list[int]) -> Latent:
        """Return the latent vectors of candidates."""
        draw, words = self.generator.sample_latent, ("variation", self.seed, self.split)
        return torch.cat([draw(1, stream(*words, number)) for number in numbers])

    def latents(self, indices: Indices) -> tuple[Latent, Float[Tensor, " batch"]]:
        """Return the latent vectors of faces, (batch, latents), and the share of change each kept.

        A first face has 0: it is not changed. Where a distance is the threshold to rounding, the
        share may depend on which faces are drawn together.
        """
        rows = [divmod(index, self.views) for index in self.resolve(indices)]
        people, row = torch.tensor([person for person, _ in rows]).unique(return_inverse=True)
        first = self._first([self.numbers[person] for person in people.tolist()])
        middle, wanted = first[row], self._embedded(first)[row]
        noise, change = self._changes(rows, middle.shape[1])
        found, kept = middle.clone(), torch.zeros(len(rows))
        left = torch.nonzero(torch.tensor([view > 0 for _, view in rows]))[:, 0]
        for share in SHORTENED:
            if not len(left):
                break
            a = share * NOISE
            drawn = (1 - a * a) ** 0.5 * middle[left] + a * noise[left] + share * change[left]
            fine = self._apart(self._embedded(drawn), wanted[left]) < self.threshold
            found[left[fine]], kept[left[fine]] = drawn[fine], share
            left = left[~fine]
        return found, kept

    @staticmethod
    def _apart(a: Embedding, b: Float[Tensor, "*people features"]) -> Float[Tensor, " batch"]:
        return (a - b).square().sum(1)

    def _changes(self, rows: list[tuple[int, int]], length: int) -> tuple[Tensor, Tensor]:
        """Return the noise and the attributes' change of each face, at full length."""
        directions = torch.stack(list(self.vectors.values())) if self.vectors else None
        noise, change = [], []
        for person, view in rows:
            random = stream("view", seed_of("variation", self.seed, self.split),
                            self.numbers[person], view)  # fmt: skip
            noise.append(torch.randn(length, generator=random))
            strengths = 2 * torch.rand(len(self.vectors), generator=random) - 1
            change.append(torch.zeros(length) if directions is None else strengths @ directions)
        return torch.stack(noise), torch.stack(change)

    @torch.no_grad()
    def _drawn(self, latents: Latent) -> Image:
        where: Tensor = next(self.generator.parameters())
        parts = latents.to(where.device).split(AT_ONCE)
        return torch.cat([self.generator(part).float().cpu() for part in parts])

    @torch.no_grad()
    def _embedded(self, latents: Latent) -> Embedding:
        """Return the unit embeddings of latent vectors' faces, each aligned by its landmarks."""
        return embed_faces(self.embedder, self._drawn(latents))

    def batch(self, indices: Indices) -> Batch:
        """Return these faces with their latent vectors."""
        latents, kept = self.latents(indices)
        identity = self.identity[self.resolve(indices)]
        labels = {"latent": latents, "kept": kept}
        return Batch(self._drawn(latents).clamp(-1, 1), identity, labels=labels)


@torch.no_grad()
def embed_faces(embedder: Embedder, faces: Image) -> Embedding:
    """Return unit embeddings of faces that are framed like the book's, aligned by landmarks.

    The faces are (batch, 3, size, size) of any size; the result is on the CPU.
    """
    where = next(embedder.parameters(), torch.zeros(())).device
    points, parts = landmark_regressor(str(where)), []
    for part in faces.split(AT_ONCE):
        here = part.to(where)
        found = five_points(points(reframe(here, BOOK, BOOK)))
        # Pixel centres: 0 is the centre of the first one, at either size.
        crops = align(here, (found + 0.5) * (faces.shape[-1] / SIZE) - 0.5, embedder.template)
        parts.append(embedder.embed(crops).cpu())
    return torch.cat(parts)


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """Return a SHA-256 of tensors."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().cpu().contiguous().reshape(-1)
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(values.view(torch.uint8).numpy())
    return found.hexdigest()
