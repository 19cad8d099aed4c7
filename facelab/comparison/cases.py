"""The two tasks, and the held-out faces that everybody is given for them.

A task is a row of faces, each with another person's picture. To change an attribute, that picture
has it and the face has not; to change the person, it shows who it shall be. Whose face the result
should be is known, so identity is measured against other pictures of that person, which nobody was
given: a method that hands back the pixels has nothing of it.

Everybody in a case is one of four kinds, and nobody is of two: those who are changed, those whose
pictures are lent to that, those whom the row "random" shows, and those whom realism is measured by.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from facelab.data.anny_faces import AnnyFaces
from facelab.data.base import FaceDataset
from facelab.data.people import draw_people
from facelab.data.seeding import stream
from facelab.data.views import Views, draw_views
from facelab.errors import DatasetError, ParameterError
from facelab.methods.diat.tasks import Task as Change
from facelab.recognition.align import BOOK, Template, find_template, reframe_transform
from facelab.recognition.face_readers import attribute_classifier
from facelab.recognition.sampling import warp
from facelab.types import Image

PEOPLE, VIEWS = 48, 4
KINDS = 4  # of people in a case, as many of each
REFERENCES = 400  # pictures that realism is measured by, at most
AT_ONCE = 64
# The common framing: all faces are brought to it, and all results, and there they are judged.
COMMON = find_template(BOOK)

Rows = Int[Tensor, " _"]  # numbers of pictures, of any count
Pictures = Float[Tensor, "_ 3 _ _"]  # each field of a case has a number of its own


@dataclass(frozen=True)
class Task:
    """ "attribute": the same person with an attribute changed; "person": another, all else kept.

    `change` says which attribute, and whether it shall come or go; None where the person changes.
    """

    change: Change | None = None

    @property
    def name(self) -> str:
        """What records call it."""
        return "person" if self.change is None else "attribute"

    @property
    def kept(self) -> slice:
        """Those of the 68 landmarks that shall stay; the jaw is left out.

        Where the mouth is what changes, it may: brows, nose and eyes are left.
        """
        mouth = self.change is not None and self.change.mask == "mouth"
        return slice(17, 48 if mouth else 68)


# --- the common framing --------------------------------------------------------------------------


def brought(images: Image, source: Template, target: Template) -> Float[Tensor, "batch 3 _ _"]:
    """Bring square faces that lie as in one template to the places of another.

    The faces have any size; the result has the target's. Where both are one, nothing is sampled.
    """
    side = images.shape[-1]
    if source == target and side == target.size:
        return images
    transform = reframe_transform(side, source, target).to(images)
    return warp(images, transform.expand(len(images), -1, -1), (target.size, target.size))


def in_common(images: Image, source: Template) -> Float[Tensor, "batch 3 _ _"]:
    """Bring what a method made to the common framing: float32 on the CPU, within [-1, 1]."""
    return brought(images.float().cpu(), source, COMMON).clamp(-1, 1)


# --- heads ---------------------------------------------------------------------------------------

OPENED = 0.4  # of jawOpen: in the middle of a mouth that is wide open
OPENING = ("jawOpen", "mouthFunnel", "mouthLowerDown", "mouthUpperUp")


@dataclass(frozen=True)
class Heads:
    """The heads that faces were drawn of, so that the answer to a task can be drawn as well.

    `faces` and `others` have the seeds of person and view of each row's two pictures.
    """

    dataset: AnnyFaces
    faces: tuple[tuple[int, int], ...]
    others: tuple[tuple[int, int], ...]

    def can(self, task: Task) -> bool:
        """Whether the answer can be drawn: a mouth that moves, or another person."""
        return task.change is None or task.change.mask == "mouth"

    def answer(self, task: Task, strength: float = 1.0, template: Template = COMMON) -> Image:
        """Draw the answer and bring it to a framing; `strength` is how far a mouth is moved.

        Another person has no half-way house here. Raises `ParameterError` for what can't be drawn.
        """
        if not self.can(task):
            raise ParameterError(
                f"a head has no {task.change.attribute} to be moved; choose mouth_open or "
                "mouth_close"
            )
        model = self.dataset.model
        seeds = self.others if task.change is None else self.faces
        views = draw_views(model, [view for _, view in self.faces])
        if task.change is not None:
            views = moved_mouths(views, model.expression_names, task.change, strength)
        faces = self.dataset.shown(draw_people(model, [person for person, _ in seeds]), views)
        images = self.dataset.draw(faces, torch.zeros(len(faces), dtype=torch.long)).images
        return brought(images, COMMON, template)


def moved_mouths(views: Views, names: Sequence[str], change: Change, strength: float) -> Views:
    """Return views with the mouth on the way to open, or to closed: 0 as it was, 1 there."""
    columns = [row for row, name in enumerate(names) if name.startswith(OPENING)]
    weights = views.expression.clone()
    if change.to:
        jaw = names.index("jawOpen")
        weights[:, jaw] += strength * (OPENED - weights[:, jaw]).clamp_min(0)
    else:
        weights[:, columns] *= 1 - strength
    return dataclasses.replace(views, expression=weights)


# --- held-out people -----------------------------------------------------------------------------


def held_out(people: int = PEOPLE, seed: int = 0) -> AnnyFaces:
    """Return drawn faces of the test split, enough to compare on so many people.

    Nobody of that split is in a training of the book.
    """
    return AnnyFaces(COMMON.size, KINDS * people, VIEWS, seed=seed, split="test")


@dataclass(frozen=True)
class Pool:
    """Pictures of people in the common framing, a row each, and whose they are.

    `numbers` are those of the dataset.
    """

    dataset: FaceDataset
    numbers: Rows
    people: Int[Tensor, " rows"]
    images: Float[Tensor, "rows 3 _ _"]
    attributes: Bool[Tensor, "rows _"] | None

    @classmethod
    def of(cls, dataset: FaceDataset, people: int) -> "Pool":
        """Read the first people of a dataset, enough to compare on so many.

        Pictures are squares whose faces lie as in `book64`, as `facelab align` makes them. Raises
        `DatasetError` when there are too few people.
        """
        numbers = torch.nonzero(dataset.identity < KINDS * people)[:, 0]
        found = len(dataset.identity[numbers].unique())
        if people < 1 or found < KINDS * people:
            raise DatasetError(
                f"comparing on {people} people takes pictures of {KINDS * people}, {dataset.id} "
                f"has {dataset.people}; give 1 to {dataset.people // KINDS} people, or more data"
            )
        batches = [dataset.batch(part) for part in numbers.split(AT_ONCE)]
        images = [brought(batch.images, COMMON, COMMON) for batch in batches]
        flags = [batch.attributes for batch in batches if batch.attributes is not None]
        return cls(dataset, numbers, dataset.identity[numbers], torch.cat(images),
                   torch.cat(flags) if flags else None)  # fmt: skip

    def has(self, name: str) -> Bool[Tensor, " rows"]:
        """Return which pictures have an attribute, by their labels, else by the first classifier.

        The judge is another network, so that nobody is chosen by it. Raises `ParameterError` for an
        attribute that the classifier does not know.
        """
        if self.attributes is not None and name in self.dataset.attribute_names:
            return self.attributes[:, self.dataset.attribute(name)]
        reader = attribute_classifier()
        if name not in reader.names:
            known = ", ".join(reader.names)
            raise ParameterError(f"nobody knows which faces have {name!r}; choose of: {known}")
        return torch.cat([reader.decide(part) for part in self.images.split(AT_ONCE)])[
            :, reader.names.index(name)
        ]

    def seeds(self, rows: Rows) -> tuple[tuple[int, int], ...] | None:
        """Return the seeds of person and view of pictures; None where they were not drawn."""
        if not isinstance(self.dataset, AnnyFaces):
            return None
        return tuple(self.dataset.seeds(number) for number in self.numbers[rows].tolist())


# --- a case --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """What everybody is given for a task, row by row, and what results are held against.

    `faces` are to be changed, with the help of `others`; `strangers` are somebody else's. The
    result should show the person that `people` numbers: `gallery` has pictures of them, and
    `owners` the row that each belongs to. `references` are pictures like the inputs. `unseen` says
    that nobody was given a picture of the gallery.
    """

    task: Task
    faces: Float[Tensor, "rows 3 _ _"]
    others: Float[Tensor, "rows 3 _ _"]
    strangers: Float[Tensor, "rows 3 _ _"]
    people: Int[Tensor, " rows"]
    gallery: Float[Tensor, "pictures 3 _ _"]
    owners: Int[Tensor, " pictures"]
    references: Pictures
    unseen: bool
    heads: Heads | None = None

    def __len__(self) -> int:
        return len(self.faces)

    def framed(self, template: Template) -> "Case":
        """Return the case with what is given brought to a method's own framing."""
        faces, others = (brought(i, COMMON, template) for i in (self.faces, self.others))
        return dataclasses.replace(self, faces=faces, others=others)


def make_case(pool: Pool, task: Task, people: int, seed: int = 0) -> Case:
    """Choose faces for a task: one of each of `people` people, or of all who have one that fits.

    Raises `DatasetError` when nobody can be changed, or nobody is left who has the attribute.
    """
    fits, lends = _usable(pool, task)
    first, changed = _first_of_each(pool, fits, people)
    rest = ~torch.isin(pool.people, changed)
    lent, lenders = _first_of_each(pool, lends & rest, people)
    if not len(first) or not len(lent):
        raise DatasetError(
            f"{pool.dataset.id} has {len(first)} faces to be changed and {len(lent)} of other "
            "people to change them by; give more people, or another attribute"
        )
    lent = lent[torch.arange(len(first)) % len(lent)]
    left = pool.people[rest & ~torch.isin(pool.people, lenders)].unique()
    strangers, references = _of_nobody_given(pool, left, len(first), seed)
    wanted = lent if task.change is None else first
    gallery, owners, unseen = _gallery(pool, wanted)
    return Case(
        task,
        *(pool.images[rows] for rows in (first, lent, strangers)),
        pool.people[wanted],
        pool.images[gallery],
        owners,
        pool.images[references],
        unseen,
        _heads(pool, first, lent),
    )


def _of_nobody_given(pool: Pool, left: Tensor, count: int, seed: int) -> tuple[Rows, Rows]:
    """Return so many strangers' pictures, drawn, and the references: half of the people each."""
    if len(left) < 2:
        raise DatasetError(f"nobody of {pool.dataset.id} is left to compare with; give more people")
    half = len(left) // 2
    shown, held = (torch.nonzero(torch.isin(pool.people, some))[:, 0]
                   for some in (left[:half], left[half:]))  # fmt: skip
    drawn = torch.randint(len(shown), (count,), generator=stream("comparison", "strangers", seed))
    return shown[drawn], held[:REFERENCES]


def _usable(pool: Pool, task: Task) -> tuple[Tensor, Tensor]:
    """Return which pictures may be changed, and which may be lent."""
    if task.change is None:
        everyone = torch.ones(len(pool.people), dtype=torch.bool)
        return everyone, everyone
    has = pool.has(task.change.attribute) == task.change.to
    return ~has, has


def _first_of_each(pool: Pool, usable: Tensor, people: int) -> tuple[Rows, Rows]:
    """Return the first usable picture of each of the first people with one, and who they are."""
    rows = torch.nonzero(usable)[:, 0]
    numbers, place = pool.people[rows].unique(return_inverse=True)
    first = torch.full((len(numbers),), len(usable)).scatter_reduce(0, place, rows, "amin")
    return first[:people], numbers[:people]


def _gallery(pool: Pool, given: Rows) -> tuple[Rows, Rows, bool]:
    """Return other pictures of the people on these, and the row that each belongs to.

    Where somebody has no other picture, all are held against those that were given.
    """
    own = pool.people[None] == pool.people[given][:, None]
    own[torch.arange(len(given)), given] = False
    unseen = bool(own.any(1).all())
    if not unseen:
        return given, torch.arange(len(given)), False
    owners, pictures = torch.nonzero(own, as_tuple=True)
    return pictures, owners, True


def _heads(pool: Pool, first: Rows, lent: Tensor) -> Heads | None:
    seeds = pool.seeds(first), pool.seeds(lent)
    return None if None in seeds else Heads(pool.dataset, *seeds)
