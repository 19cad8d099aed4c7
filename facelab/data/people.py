"""Who: shape and looks of a person that does not exist, from one seed.

Phenotypes are drawn first (gender in two broad camps, adults of 19 to 75 years, ancestry mostly of
one kind), then identity coefficients N(0, 1) given these phenotypes, then looks that go with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from facelab.data.seeding import stream
from facelab.geometry.appearance import EYEGLASSES, Appearance, sample
from facelab.geometry.morphable import MorphableModel

LARGEST = 2.5  # standard deviations of a shape component, before it is fitted to the phenotypes
# Shares of people who never wear eyeglasses, sometimes, and almost always.
HABITS = ((0.60, 0.0), (0.22, 0.35), (0.18, 0.95))
YOUNGEST, OLDEST = 19.0, 75.0

Value = Float[Tensor, " batch"]


@dataclass(frozen=True)
class People:
    """Persons, one a row: what does not change from one picture to the next.

    `identity` (batch, K) are coefficients of the head in standard deviations; `phenotype` are those
    of `MorphableModel.phenotype`, within 0 and 1; `appearance` is how the person looks with
    make-up and without eyeglasses; `eyeglasses` is the style that the person owns and
    `eyeglasses_habit` on which share of the days they are worn.
    """

    seeds: tuple[int, ...]
    identity: Float[Tensor, "batch components"]
    phenotype: dict[str, Value]
    appearance: Appearance
    eyeglasses: Int[Tensor, " batch"]
    eyeglasses_habit: Value

    def __len__(self) -> int:
        return len(self.seeds)


def draw_people(model: MorphableModel, seeds: Sequence[int]) -> People:
    """Return the persons of these seeds. A person is the same whoever else is drawn."""
    given = Phenotypes.of(model)
    rows = [_draw(given, int(seed)) for seed in seeds]
    columns = list(zip(*rows, strict=True))
    phenotypes = torch.stack(columns[1], dim=1)
    parameters = {
        name: torch.cat([getattr(look, name) for look in columns[2]])
        for name in vars(columns[2][0])
    }
    return People(
        seeds=tuple(int(seed) for seed in seeds),
        identity=torch.stack(columns[0]),
        phenotype=dict(zip(model.phenotype_names, phenotypes, strict=True)),
        appearance=Appearance(**parameters),
        eyeglasses=torch.tensor(columns[3]),
        eyeglasses_habit=torch.tensor(columns[4]),
    )


def _draw(heads: "Phenotypes", seed: int) -> tuple[Tensor, Tensor, Appearance, int, float]:
    phenotype = draw_phenotype(heads.names, stream("phenotype", seed))
    identity = heads.fit(phenotype, stream("shape", seed))
    named = dict(zip(heads.names, phenotype[:, None].float(), strict=True))
    random = stream("eyeglasses", seed)
    place, style = torch.rand(2, generator=random).tolist()
    habit = HABITS[-1][1]
    for share, value in HABITS:
        if place < share:
            habit = value
            break
        place -= share
    owned = 1 + int(style * (len(EYEGLASSES) - 1))
    return identity, phenotype.float(), sample(named, stream("looks", seed)), owned, habit


def draw_phenotype(names: tuple[str, ...], random: torch.Generator) -> Float[Tensor, " phenotypes"]:
    """Draw the phenotypes of a person, float64, in the order of `names`."""
    coin, years, *parts = torch.rand(5, generator=random, dtype=torch.float64).unbind()
    off, muscle, weight = torch.randn(3, generator=random, dtype=torch.float64).unbind()
    side = (0.15 * off).abs().clamp(max=0.45)
    axes = torch.stack(parts).clamp_min(1e-9).log().square()
    african, asian, caucasian = (axes / axes.sum()).unbind()
    values = {
        "gender": side if coin < 0.5 else 1 - side,
        "age": age_of_years(YOUNGEST + (OLDEST - YOUNGEST) * years**1.5),
        "muscle": (0.5 + 0.18 * muscle).clamp(0.05, 0.95),
        "weight": (0.45 + 0.22 * weight).clamp(0.05, 0.95),
        "african": african,
        "asian": asian,
        "caucasian": caucasian,
    }
    return torch.stack([values[name] for name in names])


def age_of_years(years: Tensor | float) -> Tensor | float:
    """Return the phenotype `age`, which is 2/3 at 25 years and 1 at 90."""
    return 2 / 3 + (years - 25) / 195


@dataclass(frozen=True)
class Phenotypes:
    """The linear map from identity coefficients to phenotypes, p = W a + c, and W's inverse."""

    names: tuple[str, ...]
    weights: Float[Tensor, "phenotypes components"]
    constant: Float[Tensor, " phenotypes"]
    inverse: Float[Tensor, "components phenotypes"]

    @classmethod
    def of(cls, model: MorphableModel) -> "Phenotypes":
        """Return a model's map, float64 on the CPU."""
        weights = model.phenotype_weights.double().cpu()
        # The ethnic axes sum to one, so that one direction of the map is (almost) empty.
        inverse = torch.linalg.pinv(weights[:, :-1], rtol=0.05)
        return cls(model.phenotype_names, weights[:, :-1], weights[:, -1], inverse)

    def fit(
        self, phenotype: Float[Tensor, " phenotypes"], random: torch.Generator
    ) -> Float[Tensor, " components"]:
        """Draw identity coefficients N(0, 1) of a head that has this phenotype.

        A normal variable given a linear map of it is another draw, moved by the smallest step that
        makes the map right: a + W^+ (p - c - W a).
        """
        drawn = torch.randn(self.weights.shape[1], generator=random, dtype=torch.float64)
        drawn = drawn.clamp(-LARGEST, LARGEST)
        missing = phenotype - self.constant - self.weights @ drawn
        return (drawn + self.inverse @ missing).float()
