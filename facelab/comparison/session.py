"""One comparison from an order: faces, methods, judges, and what comes out as JSON values."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from facelab.comparison.baselines import baselines
from facelab.comparison.cases import KINDS, PEOPLE, Case, Pool, Task, held_out, make_case
from facelab.comparison.contestants import METHODS, Ganid, contestant
from facelab.comparison.judging import Judges
from facelab.comparison.measure import REPLICATES, compare
from facelab.data.base import FaceDataset
from facelab.data.samples import Samples
from facelab.data.sources import open_dataset
from facelab.errors import ParameterError
from facelab.methods.diat.tasks import find_task

TASKS = ("attribute", "person")
CHANGE = "mouth_open"
PHOTOS, PHOTO_SEED = 200, 12


@dataclass(frozen=True)
class Order:
    """What is to be compared: methods and tasks by name, how many people, on which faces.

    `change` is the task of `diat.tasks` that "attribute" stands for. `data` is a word of
    `data.sources`, faces framed like `book64`; by default faces of the test split are drawn.
    `people` None is `PEOPLE`, or fewer where the data have fewer. Raises `ParameterError` for
    names that there aren't.
    """

    methods: tuple[str, ...] = tuple(METHODS)
    tasks: tuple[str, ...] = TASKS
    change: str = CHANGE
    data: str | None = None
    people: int | None = None
    seed: int = 0
    replicates: int = REPLICATES

    def __post_init__(self):
        for what, names, known in (
            ("method", self.methods, tuple(METHODS)), ("task", self.tasks, TASKS),
        ):  # fmt: skip
            wrong = [name for name in names if name not in known]
            if wrong or not names or len({*names}) < len(names):
                raise ParameterError(
                    f"{what}s {', '.join(names) or '(none)'} can't be compared; give each once, "
                    f"of: {', '.join(known)}"
                )
        find_task(self.change)
        if self.people is not None and self.people < 1:
            raise ParameterError(f"{self.people} people can't be compared on; give at least 1")

    def cases(self, dataset: FaceDataset) -> list[Case]:
        """Return the case of each task."""
        most = max(1, min(PEOPLE, dataset.people // KINDS))
        people = most if self.people is None else self.people
        pool = Pool.of(dataset, people)
        changes = {"attribute": find_task(self.change), "person": None}
        return [make_case(pool, Task(changes[name]), people, self.seed) for name in self.tasks]

    def dataset(self) -> FaceDataset:
        """Return the faces that are compared on."""
        if self.data is not None:
            return open_dataset(self.data, seed=self.seed)
        return held_out(self.people or PEOPLE, self.seed)


def run(order: Order, progress: Callable[[str], None] = lambda name: None) -> dict[str, Any]:
    """Compare as ordered; return JSON values, as `measure.compare` does, with what was compared on.

    Raises `DatasetError` for faces that can't be used, and `AssetError` while a method is not
    shipped.
    """
    dataset = order.dataset()
    cases = order.cases(dataset)
    methods = [contestant(name) for name in order.methods]
    photos = Samples(PHOTOS, seed=PHOTO_SEED, split="test").batch(torch.arange(PHOTOS)).images
    how = {"seed": order.seed, "replicates": order.replicates, "progress": progress}
    return {
        "data": {"id": dataset.id, "split": dataset.split, "people": dataset.people,
                 "sha256": dataset.config_hash},
        # Far below what its chapter gives a search.
        "evaluations of a search": next((m.budget for m in methods if isinstance(m, Ganid)), None),
        **compare(cases, methods, baselines(methods), Judges.book(photos), **how),
    }  # fmt: skip
