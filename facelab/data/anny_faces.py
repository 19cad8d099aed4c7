"""AnnyFaces: labelled faces of people who do not exist, as many as wanted, without files.

A face follows from two seeds. The identity seed says who it is (shape, skin, hair, habits), the
view seed under which conditions (pose, expression, light, background, what is worn that day).
Nothing is stored: any face can be drawn at any time, alone or in a batch, and its labels are what
it was drawn from. Labels are the same to the last bit in any order and batch, pictures to rounding
(a level of a picture file in few pixels).

People are divided by a hash of their seed: 80 % train, 10 % validation, 10 % test, whatever the
dataset's seed or size, so that no person of a test set is in any training set. `data/attributes.py`
has the rules of the attributes and `card()` the data card.
"""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from facelab.data.attributes import ATTRIBUTE_NAMES, Evidence, decide, landmarks_at_rest
from facelab.data.base import FaceDataset, Indices
from facelab.data.masks import MASKS, attribute_masks
from facelab.data.people import People, draw_people
from facelab.data.seeding import identity_seeds, require_split, seed_of, split_of
from facelab.data.views import Views, backgrounds, draw_views, dress_for_the_day
from facelab.errors import ParameterError
from facelab.geometry.appearance import PARAMETERS, Appearance
from facelab.geometry.camera import Camera, rotation_from_euler
from facelab.geometry.lighting import Light
from facelab.geometry.morphable import HEAD, MorphableModel, anny_head
from facelab.geometry.painting import textures
from facelab.geometry.render import portrait
from facelab.geometry.scene import dress
from facelab.recognition.align import find_template
from facelab.recognition.face_points import five_points
from facelab.types import Batch, Landmarks, Vertices

Framing = Literal["book", "portrait"]
# Changes whenever the same seeds give another face, so that no cache of old ones is taken for new.
RECIPE = "anny-faces-2"
SMALLEST, LARGEST = 16, 1024
MOST_FACES = 50_000_000
PORTRAIT_MM, PORTRAIT_CENTRE_MM = 335.0, 6.0  # what a portrait shows, and where its middle is
# How many faces are drawn at once: more only takes memory.
AT_ONCE = {"cpu": 8, "cuda": 256}


@dataclass(frozen=True)
class Faces:
    """Faces that are ready to be drawn, one a row, on the CPU.

    `looks` is how the people look in these views; `vertices` (batch, V, 3) are the heads with their
    expression, not yet turned; `landmarks` are pixels of a picture of the dataset's size.
    """

    people: People
    views: Views
    looks: Appearance
    vertices: Vertices
    camera: Camera
    landmarks: Landmarks
    attributes: Tensor

    def __len__(self) -> int:
        return len(self.people)


class AnnyFaces(FaceDataset):
    """`identities` people with `views` faces each, of `size` x `size` pixels, labelled.

    `identities` and `views` are how many, or seeds: with seeds of views everybody is shown in the
    same views. `seed` chooses people and views when they are numbers. `split` keeps to one part of
    the people. `framing` "book" frames faces like the pre-trained generator's (the template
    `book64`, scaled), "portrait" shows head and shoulders. `masks` names what a batch shall carry
    of `masks.MASKS`; `shadows` can be turned off, which saves a tenth of the time.

    A batch's `labels` have the seeds and all that the face follows from: `identity_coefficients`,
    `expression_weights`, `phenotype`, the light, the camera, and the looks by their names.

    Raises `ParameterError` for sizes, counts, names or people that can't be.
    """

    def __init__(
        self,
        size: int = 64,
        identities: int | Sequence[int] = 100,
        views: int | Sequence[int] = 8,
        *,
        seed: int = 0,
        split: str = "all",
        framing: str = "book",
        masks: tuple[str, ...] = (),
        shadows: bool = True,
        device: str | torch.device = "cpu",
    ):
        _require(size, identities, views, framing, masks)
        self.size, self.seed, self.split, self.framing = size, seed, split, framing
        self.masks, self.shadows, self.device = tuple(masks), shadows, torch.device(device)
        self.people_seeds = _people_seeds(identities, seed, split)
        self.view_seeds = None if isinstance(views, int) else tuple(int(view) for view in views)
        self.views = views if isinstance(views, int) else len(self.view_seeds)
        self.people = len(self.people_seeds)
        self.id = f"anny-faces-{size}"
        self.attribute_names = ATTRIBUTE_NAMES
        self.identity = torch.arange(self.people).repeat_interleave(self.views)
        self.model = anny_head()

    def config(self) -> dict:
        """Return everything that the faces follow from, as JSON values."""
        return {
            "recipe": RECIPE,
            "head": _head_sha256(),
            "size": self.size,
            "people": _condensed(self.people_seeds),
            "views": self.views if self.view_seeds is None else list(self.view_seeds),
            "seed": self.seed,
            "split": self.split,
            "framing": self.framing,
            "shadows": self.shadows,
        }

    def seeds(self, index: int) -> tuple[int, int]:
        """Return the identity seed and the view seed of a face."""
        person, view = divmod(index, self.views)
        identity = self.people_seeds[person]
        if self.view_seeds is not None:
            return identity, self.view_seeds[view]
        return identity, seed_of("view", self.seed, identity, view)

    def batch(self, indices: Indices) -> Batch:
        """Return these faces with their labels."""
        found = self.resolve(indices)
        return self._drawn([self.seeds(index) for index in found], self.identity[found])

    def labels(self, indices: Indices) -> Batch:
        """Return the labels of these faces without drawing: pictures without pixels, no masks."""
        found = self.resolve(indices)
        faces = self.faces([self.seeds(index) for index in found])
        return _labelled(faces, torch.zeros(len(found), 3, 0, 0), self.identity[found])

    def render(self, identity_seed: int, view_seed: int) -> Batch:
        """Return one face by its two seeds, as a batch of one.

        Its `identity` is the person's number in this dataset, or -1 for somebody else.
        """
        people = self.people_seeds
        number = people.index(identity_seed) if identity_seed in people else -1
        return self._drawn([(identity_seed, view_seed)], torch.tensor([number]))

    def faces(self, seeds: Sequence[tuple[int, int]]) -> Faces:
        """Return the faces of these pairs of identity seed and view seed, ready to be drawn."""
        people = draw_people(self.model, [identity for identity, _ in seeds])
        return self.shown(people, draw_views(self.model, [view for _, view in seeds]))

    def shown(self, people: People, views: Views) -> Faces:
        """Return people in views of any origin, one a row, ready to be drawn."""
        looks = dress_for_the_day(people, views)
        # One head at a time: a product of matrices rounds differently for another batch.
        vertices = torch.cat(
            [
                self.model.shape(a, w)
                for a, w in zip(people.identity.split(1), views.expression.split(1), strict=True)
            ]
        )
        points = vertices[:, self.model.landmarks]
        camera, landmarks = _frame(points, views, self.size, self.framing)
        attributes = decide(_evidence(self.model, people, views, looks, points))
        return Faces(people, views, looks, vertices, camera, landmarks, attributes)

    def _drawn(self, seeds: Sequence[tuple[int, int]], identity: Tensor) -> Batch:
        return self.draw(self.faces(seeds), identity)

    def draw(self, faces: Faces, identity: Int[Tensor, " batch"]) -> Batch:
        """Draw faces; `identity` is what the batch shall call their people."""
        at_once = AT_ONCE[self.device.type]
        images = torch.empty(len(faces), 3, self.size, self.size)
        coverage = torch.empty(len(faces), 1, self.size, self.size)
        for shadows in (False, True):
            cast = faces.views.shadows & self.shadows
            for rows in torch.nonzero(cast == shadows)[:, 0].split(at_once):
                if len(rows):
                    images[rows], coverage[rows] = self._draw(faces, rows, shadows)
        return dataclasses.replace(
            _labelled(faces, images, identity),
            coverage=coverage,
            masks=attribute_masks(faces.landmarks, self.size, self.masks),
        )

    def _draw(self, faces: Faces, rows: Tensor, shadows: bool) -> tuple[Tensor, Tensor]:
        """Return images and coverage of some faces, all with or all without shadows."""
        model, device = anny_head(str(self.device)), self.device
        looks = faces.looks.rows(rows).to(device)
        scene = dress(model, faces.vertices[rows].to(device), looks)
        turned = _turned(scene.vertices, faces.views.euler_rad[rows].to(device))
        light, camera = (_rows(value, rows, device) for value in (faces.views.light, faces.camera))
        coarse, middle = (cells[rows].to(device) for cells in faces.views.backdrop)
        backdrop = backgrounds((coarse, middle), self.size)
        drawn = portrait(
            dataclasses.replace(scene, vertices=turned),
            textures(looks), camera, light, backdrop, size=self.size, shadows=shadows,
        )  # fmt: skip
        return drawn.images.cpu(), drawn.coverage.cpu()


def _labelled(faces: Faces, images: Tensor, identity: Tensor) -> Batch:
    return Batch(
        images=images,
        identity=identity,
        attributes=faces.attributes,
        landmarks=faces.landmarks,
        euler_rad=faces.views.euler_rad,
        labels=label_values(faces),
    )


def label_values(faces: Faces) -> dict[str, Tensor]:
    """Return what the faces follow from, by name, one row a face."""
    light, camera, people, views = (
        faces.views.light, faces.camera, faces.people, faces.views,
    )  # fmt: skip
    return {
        "identity_seed": torch.tensor(people.seeds),
        "view_seed": torch.tensor(views.seeds),
        "identity_coefficients": people.identity,
        "expression_weights": views.expression,
        "phenotype": torch.stack(list(people.phenotype.values()), dim=1),
        "light_harmonics": light.harmonics,
        "light_direction": light.direction,
        "light_intensity": light.intensity,
        "light_shadows": views.shadows,
        "camera_focal_px": camera.focal_px,
        "camera_centre_px": camera.centre_px,
        "camera_distance_mm": camera.translation_mm[:, 2],
        **{f"looks_{name}": getattr(faces.looks, name) for name in PARAMETERS},
    }


def _evidence(
    model: MorphableModel, people: People, views: Views, looks: Appearance, shown: Tensor
) -> Evidence:
    names = [model.expression_names.index(f"mouthSmile{side}") for side in ("Left", "Right")]
    rest = torch.cat([landmarks_at_rest(model, a) for a in people.identity.split(1)])
    return Evidence(rest, shown, views.expression[:, names].mean(1), people.phenotype, looks)


def _turned(points: Vertices, euler_rad: Float[Tensor, "batch 3"]) -> Vertices:
    """Turn heads about the origin, which lies between their ears."""
    rotation = rotation_from_euler(*euler_rad.unbind(1))
    # Written out: a batched product of matrices may round differently for another batch.
    return sum(points[:, :, None, axis] * rotation[:, None, :, axis] for axis in range(3))


def _frame(points: Vertices, views: Views, size: int, framing: str) -> tuple[Camera, Landmarks]:
    """Return the cameras, and where the landmarks lie in their pictures."""
    turned = _turned(points, views.euler_rad)
    camera = Camera.portrait(size, views.distance_mm, PORTRAIT_MM)
    seen = camera.project(turned)[0]
    if framing == "book":
        scale, centre = _on_template(seen, camera, size)
    else:
        lower = PORTRAIT_CENTRE_MM * camera.scale_px_per_mm
        scale = torch.ones_like(lower)
        centre = camera.centre_px + torch.stack([torch.zeros_like(lower), lower], dim=1)
    middle = (size - 1) / 2
    centre = middle + (centre - middle) * views.zoom[:, None] + views.shift * size
    camera = dataclasses.replace(
        camera, focal_px=camera.focal_px * scale * views.zoom, centre_px=centre
    )
    return camera, camera.project(turned)[0]


def _on_template(seen: Landmarks, camera: Camera, size: int) -> tuple[Tensor, Tensor]:
    """Return by how much to scale the picture, and the new centre, to lay faces on the template.

    Least squares over the five points, without a turn: a head that is tilted stays so.
    """
    template = find_template("book64")
    target = (template.points_xy + 0.5) * (size / template.size) - 0.5
    five = five_points(seen)
    middle, goal = five.mean(1, keepdim=True), target.mean(0)
    spread = (five - middle).square().sum((1, 2))
    scale = ((five - middle) * (target - goal)).sum((1, 2)) / spread
    return scale, goal + scale[:, None] * (camera.centre_px - middle[:, 0])


def _rows(value: Camera | Light, rows: Tensor, device: torch.device) -> Camera | Light:
    chosen = {
        name: part[rows].to(device) if isinstance(part, Tensor) else part
        for name, part in vars(value).items()
    }
    return type(value)(**chosen)


def _people_seeds(identities: int | Sequence[int], seed: int, split: str) -> tuple[int, ...]:
    if isinstance(identities, int):
        return identity_seeds(identities, seed, split)
    require_split(split)
    seeds = tuple(int(identity) for identity in identities)
    if len(set(seeds)) < len(seeds):
        raise ParameterError("an identity seed is given twice; give each person once")
    strangers = [s for s in seeds if split != "all" and split_of(s) != split]
    if strangers:
        raise ParameterError(
            f"identity seed {strangers[0]} belongs to the split {split_of(strangers[0])!r}, not to "
            f"{split!r}; leave it out, or ask for the split 'all'"
        )
    return seeds


def _require(
    size: int,
    identities: int | Sequence[int],
    views: int | Sequence[int],
    framing: str,
    masks: tuple[str, ...],
) -> None:
    if not SMALLEST <= size <= LARGEST:
        raise ParameterError(
            f"faces of {size} pixels can't be drawn; give a size from {SMALLEST} to {LARGEST}"
        )
    counts = [n if isinstance(n, int) else len(n) for n in (identities, views)]
    for name, count in zip(("identities", "views"), counts, strict=True):
        if count < 1:
            raise ParameterError(f"{count} {name} make no dataset; give at least 1")
    if math.prod(counts) > MOST_FACES:
        raise ParameterError(
            f"{counts[0]:,} identities x {counts[1]:,} views are more than {MOST_FACES:,} faces; "
            "give fewer"
        )
    if framing not in get_args(Framing):
        raise ParameterError(
            f"there is no framing {framing!r}; choose one of: {', '.join(get_args(Framing))}"
        )
    for name in masks:
        if name not in MASKS:
            raise ParameterError(f"there is no mask {name!r}; choose from: {', '.join(MASKS)}")


def _condensed(seeds: tuple[int, ...]) -> dict:
    """Return how many people there are, and a SHA-256 of who they are."""
    text = ",".join(map(str, seeds)).encode()
    return {"count": len(seeds), "sha256": hashlib.sha256(text).hexdigest()}


@functools.cache
def _head_sha256() -> str:
    return hashlib.sha256(HEAD.read_bytes()).hexdigest()
