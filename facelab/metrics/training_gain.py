"""What is a dataset worth to a recogniser that learns from it? Verification, and gains over seeds.

A training is one row: which share of the base set, what was added, which seed. How long each lasts
is the caller's: with as many steps for all, what is added takes the place of base faces; with base
faces met as often, a gain may be one of longer training. Rows of one seed have the same base
people, the same first weights of the embedding and the same pairs to judge: gains are differences
within a seed.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.data.base import FaceDataset
from facelab.data.seeding import seed_of, stream
from facelab.engine import loop
from facelab.engine.settings import Settings
from facelab.errors import ParameterError, TrainingError
from facelab.metrics import verification
from facelab.metrics.paired import compare
from facelab.metrics.verification import Pairs
from facelab.phases import Method
from facelab.types import Embedding

SAME_A_PERSON = 28  # so that nobody with many pictures decides alone
FIGURES = ("accuracy", "auc", "one_minus_eer")
AT_ONCE = 128
Row = Mapping[str, Any]
Rows = Sequence[Row]


@dataclass(frozen=True)
class PairList:
    """Which faces of a dataset are compared: as many pairs of one person as of two, as in LFW."""

    first: Tensor
    second: Tensor
    identity: Tensor

    def __len__(self) -> int:
        return len(self.first)

    def measured(self, embeddings: Float[Tensor, "faces features"]) -> Pairs:
        """Return the pairs with the squared distances of unit embeddings of all faces."""
        apart = (embeddings[self.first] - embeddings[self.second]).double().square().sum(1)
        return Pairs(
            distances=apart,
            same=self.identity[self.first] == self.identity[self.second],
            pictures=torch.stack([self.first, self.second], dim=1),
            people=self.identity,
            failed=torch.zeros(len(self), dtype=torch.bool),
        )


def pair_list(dataset: FaceDataset, seed: int = 0) -> PairList:
    """Return pairs of a dataset's faces: of each person at most 28, and as many of two people.

    Raises `ParameterError` when nobody has two faces, or there is one person only.
    """
    random, same = stream("pairs", seed), []
    for person in range(dataset.people):
        own = list(itertools.combinations(dataset.of_person(person).tolist(), 2))
        order = torch.randperm(len(own), generator=random)[:SAME_A_PERSON]
        same += [own[number] for number in order.tolist()]
    if not same or dataset.people < 2:
        raise ParameterError(
            f"{dataset.id} has no pairs to judge by; give two people or more, with two faces each"
        )
    other: list[tuple[int, int]] = []
    while len(other) < len(same):
        a, b = torch.randint(len(dataset), (2, len(same)), generator=random)
        kept = dataset.identity[a] != dataset.identity[b]
        other += zip(a[kept].tolist(), b[kept].tolist(), strict=True)
    first, second = torch.tensor(same + other[: len(same)]).T
    return PairList(first, second, dataset.identity)


@torch.no_grad()
def embeddings_of(network: torch.nn.Module, dataset: FaceDataset) -> Embedding:
    """Return the unit embeddings of all faces of a dataset, on the CPU."""
    where = next(network.parameters()).device
    parts = [
        network(dataset.batch(rows).images.to(where)).float().cpu()
        for rows in torch.arange(len(dataset)).split(AT_ONCE)
    ]
    return torch.nn.functional.normalize(torch.cat(parts), dim=1)


def judged(pairs: Pairs, *, replicates: int = 200, seed: int = 0) -> dict[str, Any]:
    """Return accuracy, area under the ROC and 1 - EER of pairs, with intervals over people.

    The thresholds are from pairs of other people than those that they judge.
    """
    random = stream("people drawn", seed)
    found = verification.measure(
        pairs, default_threshold=1.0, replicates=replicates, generator=random
    )
    intervals = {name: i and [i.low, i.high] for name, i in found.intervals.items()}
    told = {name: getattr(found, name) for name in FIGURES}
    return {**told, "fold_rule": found.fold_rule, "intervals": intervals}


def train_and_judge(
    method: Method,
    training: FaceDataset,
    held_out: FaceDataset,
    pairs: PairList,
    settings: Settings,
) -> dict[str, Any]:
    """Train a recogniser, whose network is called "embedder", and judge it by held-out pairs.

    Returns JSON values: the figures of `judged`, what it learnt from, how long it took, the mean
    loss at the end. Raises `TrainingError` when the training was ended before its last step: a row
    of fewer steps compares with no other.
    """
    result = loop.train(method, training, settings, progress=False)
    if result.outcome != "finished":
        raise TrainingError(
            f"the recogniser's training ended after {result.step} of {settings.steps} steps "
            f"({result.outcome}), so it is not judged; call again to train it anew"
        )
    codes = embeddings_of(result.networks["embedder"], held_out)
    return {
        **judged(pairs.measured(codes)),
        "people": training.people,
        "faces": len(training),
        "steps": result.step,
        "minutes": result.minutes,
        "loss": result.history[-1].losses.get("identity/softmax") if result.history else None,
    }


def seeded(build: Any, seed: int) -> Method:
    """Return `build()`, whose first weights follow from the seed; other random streams stay."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("first weights", seed))
        return build()


# --- gains ---------------------------------------------------------------------------------------


def student_interval(
    values: Float[Tensor, " seeds"], confidence: float = 0.95
) -> tuple[float, float] | None:
    """Return Student's interval of the mean of a few independent values; None of fewer than 2.

    For seeds of a training, which are too few to be drawn from again. Source: Student 1908.
    """
    if len(values) < 2:
        return None
    from scipy.stats import t

    mean, spread = float(values.mean()), float(values.std() / math.sqrt(len(values)))
    reach = spread * float(t.ppf((1 + confidence) / 2, len(values) - 1))
    return mean - reach, mean + reach


def gain(
    better: Float[Tensor, " seeds"], worse: Float[Tensor, " others"], random: torch.Generator
) -> dict[str, Any]:
    """Return how much higher the first are than the second, seed by seed.

    `mean` with Student's `interval` over seeds, `bootstrap` from five seeds on, and `p`: how likely
    such a gain is when there is none (signed-rank test, which can't be below 1/8 with three seeds).
    """
    found = compare(worse, better, random)
    interval = student_interval((better - worse).double())
    drawn = found.interval
    return {
        "mean": -found.difference + 0.0,  # no minus before a zero
        "interval": interval and [*interval],
        "bootstrap": drawn and [-drawn.high, -drawn.low],
        "p": found.p_less,
        "each": (better - worse).double().tolist(),
    }


def gains(rows: Rows, figure: str = "auc") -> dict[str, Any]:
    """Return the gains of all that was added, by fraction, and how they fall with the fraction.

    A row has `fraction`, `added` ("none", "renders", "generated"), `seed` and the figure. Under
    each fraction: "renders" and "generated" against "none", and "generated - renders". "less real
    data" is the gain at the smallest fraction less that at the largest. Rows are paired by seed;
    seeds that lack one are left out. Raises `ParameterError` when two seeds aren't left.
    """
    random = torch.Generator().manual_seed(0)
    fractions = sorted({row["fraction"] for row in rows})
    kinds = [kind for kind in ("renders", "generated") if any(r["added"] == kind for r in rows)]
    table = {(r["fraction"], r["added"], r["seed"]): float(r[figure]) for r in rows}
    cells = [(fraction, added) for fraction in fractions for added in ("none", *kinds)]
    seeds = sorted({row["seed"] for row in rows})
    whole = [seed for seed in seeds if all((*cell, seed) in table for cell in cells)]
    if len(whole) < 2 or not kinds:
        raise ParameterError(
            f"{len(whole)} seeds have every fraction with and without what is added; gains need "
            "two or more"
        )
    value = {cell: torch.tensor([table[*cell, seed] for seed in whole]) for cell in cells}
    told: dict[str, Any] = {"figure": figure, "seeds": whole, "fractions": {}, "less real data": {}}
    for fraction in fractions:
        none = value[fraction, "none"]
        here = {kind: gain(value[fraction, kind], none, random) for kind in kinds}
        if len(kinds) == 2:
            both = (value[fraction, kind] for kind in ("generated", "renders"))
            here["generated - renders"] = gain(*both, random)
        told["fractions"][str(fraction)] = here
    least, most = fractions[0], fractions[-1]
    for kind in kinds:
        few, many = (value[f, kind] - value[f, "none"] for f in (least, most))
        told["less real data"][kind] = gain(few, many, random)
    return told
