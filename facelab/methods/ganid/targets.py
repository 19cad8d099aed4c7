"""Whom to look for: pictures of one person, found, aligned and embedded as any photograph is."""

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.data.anny_faces import AnnyFaces
from facelab.data.seeding import stream
from facelab.errors import FaceCountError, ParameterError
from facelab.generators.generator import Generator
from facelab.images import load_image
from facelab.methods.ganid.scoring import FRAMING, Target
from facelab.recognition import align
from facelab.recognition.embedder import Embedder
from facelab.recognition.search import find_faces
from facelab.types import Image, Picture

RENDERED_PX = 160
VIEW_NOISE = 0.3  # of the pictures of one generated person; property 1 allows 0.5


@dataclass(frozen=True)
class Person:
    """Pictures (1, 3, height, width) of one person, each with the five points of the face."""

    name: str
    pictures: tuple[Picture, ...]
    landmarks: Float[Tensor, "pictures 5 2"]

    def crops(self, template: str) -> Image:
        """Return the faces laid on a template of `align.TEMPLATES`, (pictures, 3, size, size)."""
        pairs = zip(self.pictures, self.landmarks.split(1), strict=True)
        return torch.cat([align.align(picture, points, template) for picture, points in pairs])

    @torch.no_grad()
    def target(self, embedder: Embedder) -> Target:
        """Return the person as a search needs them: unit embeddings by one embedder."""
        where = next(embedder.parameters()).device
        crops = self.crops(embedder.template).to(where)
        return Target(self.name, embedder.embed(crops).cpu(), embedder.id)


def find_person(
    name: str,
    pictures: Sequence[Picture],
    policy: align.Policy = "error",
    sources: Sequence[str] = (),
) -> Person:
    """Find the face in each picture; `policy` says which one, where there are several.

    `sources` are what messages call the pictures. Raises `ParameterError` without a picture and
    `FaceCountError` when a picture has no face, or several under "error".
    """
    _require_some(pictures)
    names = sources or [f"picture {i + 1} of {name}" for i in range(len(pictures))]
    points = []
    for picture, source in zip(pictures, names, strict=True):
        faces = find_faces(picture, every_face=policy in ("error", "all"))
        extent = (picture.shape[3], picture.shape[2])
        points.append(align.choose(faces, extent, policy, source).landmarks[:1])
    return Person(name, tuple(pictures), torch.cat(points))


def read_person(
    paths: Sequence[str | os.PathLike], policy: align.Policy = "error", *, aligned: bool = False
) -> Person:
    """Return the person on picture files, called by the first one's name.

    With `aligned` the files are square crops framed like the book's faces (`book64`, in proportion)
    and nothing is searched. Raises `ParameterError` without a file, `ImageError` for one that can't
    be used and `FaceCountError` for one without a face, or with several under "error".
    """
    _require_some(paths)
    pictures, names = [load_image(path) for path in paths], [os.fspath(path) for path in paths]
    name = Path(names[0]).stem
    if not aligned:
        return find_person(name, pictures, policy, names)
    points = [
        align.crop_faces(picture, FRAMING, aligned=True, source=source).landmarks
        for picture, source in zip(pictures, names, strict=True)
    ]
    return Person(name, tuple(pictures), torch.cat(points))


def _require_some(pictures: Sequence[object]) -> None:
    if not pictures:
        raise ParameterError("a target needs pictures of one person; give at least one")


def farthest(target: Target) -> tuple[int, int, float]:
    """Return the two pictures of a target that are farthest apart, and their squared distance.

    (0, 0, 0.0) when there is one picture.
    """
    rows = target.embeddings
    pairs = itertools.combinations(range(len(rows)), 2)
    distances = [(a, b, float((rows[a] - rows[b]).square().sum())) for a, b in pairs]
    return max(distances, key=lambda pair: pair[2], default=(0, 0, 0.0))


# --- people who do not exist ---------------------------------------------------------------------


def rendered_people(people: int, views: int, seed: int = 0, split: str = "test") -> list[Person]:
    """Draw rendered people, some views of each in which MTCNN finds one face.

    Pictures are (1, 3, 160, 160). A person of whom too few views can be found is left out. Raises
    `FaceCountError` when there are too few people then.
    """
    crowd, found = AnnyFaces(RENDERED_PX, 2 * people, 2 * views, seed=seed, split=split), []
    for number in range(2 * people):
        batch = crowd.batch(range(2 * views * number, 2 * views * (number + 1)))
        person = _seen(f"rendered {number}", batch.images, views)
        if person:
            found.append(person)
        if len(found) == people:
            return found
    raise FaceCountError(
        f"only {len(found)} of {2 * people} rendered people show their face in {views} views; "
        "give fewer people, fewer views or another seed"
    )


@torch.no_grad()
def generated_people(generator: Generator, people: int, views: int, seed: int = 0) -> list[Person]:
    """Draw people that a generator makes up: G(z), and G(z + noise of 0.3 of the prior).

    Pictures are those in which MTCNN finds one face. The vectors are not those of any bank. Raises
    `FaceCountError` when MTCNN finds faces in hardly any picture.
    """
    found, device = [], next(generator.parameters()).device
    for number in range(20 * people):
        random = stream("ganid-target", seed, number)
        middle = generator.sample_latent(1, random)
        noise = generator.sample_latent(3 * views, random)
        noise[0] = 0
        drawn = generator((middle + VIEW_NOISE * noise).to(device)).cpu()
        person = _seen(f"generated {number}", drawn, views)
        if person:
            found.append(person)
        if len(found) == people:
            return found
    raise FaceCountError(
        f"MTCNN finds a face in {views} views of only {len(found)} of {20 * people} people that "
        f"{generator.id} draws; choose another generator"
    )


def _seen(name: str, images: Image, views: int) -> Person | None:
    """Return a person of the first pictures that show one face, or None when there are too few."""
    pictures, points = [], []
    for picture in images.split(1):
        faces = find_faces(picture, every_face=True)
        if len(faces) == 1:
            pictures.append(picture)
            points.append(faces.landmarks)
        if len(pictures) == views:
            return Person(name, tuple(pictures), torch.cat(points))
    return None
