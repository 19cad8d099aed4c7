"""What a head looks like: few named parameters, and how people are given them.

`painting.py` makes a texture of them, `scene.py` hair and eyeglasses.
"""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from facelab.geometry.atlas import smooth_step

Value = Float[Tensor, " batch"]
Colour = Float[Tensor, "batch 3"]

HAIR_STYLES = ("bald", "buzz", "short", "full", "bob", "long")
EYEGLASSES = ("none", "round", "rectangular", "oval")


@dataclass(frozen=True)
class Appearance:
    """How heads look, one value a head; between 0 and 1 unless a unit is named.

    Of the person: `melanin` and `haemoglobin` of the skin, `lip_redness`, `lip_darkness`,
    `brow_density`, `brow_thickness`, `iris` (0 brown, 1/3 hazel, 2/3 green, 1 blue), `freckles`,
    `blotches`, `bags`, `hair_eumelanin`, `hair_pheomelanin`, `hair_grey`, `hair_style` (a number of
    `HAIR_STYLES`), `hair_volume`, `hair_length`, `curl`, `bangs`, `receding`, and `noise`, the seed
    of all that is irregular. Of the day: `stubble`, `beard`, `moustache`, `goatee`, `lipstick`,
    `eye_shadow`, `blush`, `eyeglasses` (a number of `EYEGLASSES`, 0 for none), `frame_lightness`,
    `clothing_hue` and `clothing_lightness`.
    """

    melanin: Value
    haemoglobin: Value
    lip_redness: Value
    lip_darkness: Value
    brow_density: Value
    brow_thickness: Value
    iris: Value
    freckles: Value
    blotches: Value
    bags: Value
    hair_eumelanin: Value
    hair_pheomelanin: Value
    hair_grey: Value
    hair_style: Int[Tensor, " batch"]
    hair_volume: Value
    hair_length: Value
    curl: Value
    bangs: Value
    receding: Value
    noise: Int[Tensor, " batch"]
    stubble: Value
    beard: Value
    moustache: Value
    goatee: Value
    lipstick: Value
    eye_shadow: Value
    blush: Value
    eyeglasses: Int[Tensor, " batch"]
    frame_lightness: Value
    clothing_hue: Value
    clothing_lightness: Value

    def __len__(self) -> int:
        return len(self.melanin)

    def rows(self, index: Int[Tensor, " chosen"]) -> "Appearance":
        """Return the appearances of these rows, in this order; a row may be taken repeatedly."""
        return Appearance(**{name: value[index] for name, value in self.values().items()})

    def values(self) -> dict[str, Tensor]:
        """Return the parameters by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def to(self, device: str | torch.device) -> "Appearance":
        """Return the same on another device."""
        return Appearance(**{name: value.to(device) for name, value in self.values().items()})


WHOLE = ("hair_style", "noise", "eyeglasses")
PARAMETERS = tuple(field.name for field in dataclasses.fields(Appearance))


def plain(batch: int = 1, **changed: float) -> Appearance:
    """Return bald, beardless, middling heads, the same `batch` times, with some values changed."""
    values = dict.fromkeys(PARAMETERS, 0.0) | {
        "melanin": 0.3,
        "haemoglobin": 0.4,
        "lip_redness": 0.4,
        "lip_darkness": 0.3,
        "brow_density": 0.7,
        "brow_thickness": 0.5,
        "hair_eumelanin": 0.7,
        "hair_volume": 0.5,
        "hair_length": 0.5,
        "clothing_hue": 0.6,
        "clothing_lightness": 0.4,
    }
    unknown = set(changed) - set(values)
    if unknown:
        raise TypeError(f"an appearance has no {sorted(unknown)}; it has {', '.join(PARAMETERS)}")
    values |= changed
    return Appearance(
        **{
            name: torch.full((batch,), int(value) if name in WHOLE else float(value))
            for name, value in values.items()
        }
    )


def sample(phenotype: dict[str, Value], random: torch.Generator) -> Appearance:
    """Draw the appearance of people whose heads have these phenotypes (see `morphable`).

    `phenotype` has `gender`, `age`, `african`, `asian` and `caucasian`, each (batch,). Skin and
    hair follow ancestry, grey hair and bald heads age, beards and make-up gender: loosely, as
    tendencies with a wide spread. The values of the day are the person's habits, so that a beard
    stays a beard from picture to picture; eyeglasses are 0.
    """
    count = len(phenotype["gender"])
    draw = _Draw(count, random)
    female = phenotype["gender"].clamp(0, 1).round()
    years = (25 + (phenotype["age"] - 2 / 3) * 195).clamp(18, 90)
    african, asian, caucasian = _shares(phenotype)
    dark = 0.62 * african + 0.27 * asian + 0.13 * caucasian
    black = (african + asian).clamp(max=1)
    grey = smooth_step(years + draw.normal(9), 42, 78)
    style = _hair_style(draw, female, years)
    bearded = (1 - female) * draw.chance(0.45)
    made_up = female * draw.chance(0.55)
    kind = draw.uniform()
    return Appearance(
        melanin=(dark + draw.normal(0.06)).clamp(0.03, 0.9),
        haemoglobin=(0.42 + draw.normal(0.12)).clamp(0.1, 0.9),
        lip_redness=draw.uniform(0.1, 0.9),
        lip_darkness=(0.25 + 0.5 * african + draw.normal(0.12)).clamp(0, 1),
        brow_density=draw.uniform(0.35, 1.0),
        brow_thickness=(draw.uniform() * 0.8 + 0.3 * (1 - female) - 0.05).clamp(0, 1),
        iris=torch.where(
            draw.uniform() < caucasian * 0.75, draw.uniform(0.2, 1.0), draw.uniform(0, 0.2)
        ),
        freckles=draw.uniform().pow(4) * (1 - black) * 1.4,
        blotches=draw.uniform(0.1, 1.0),
        bags=(draw.uniform(0, 0.6) + smooth_step(years, 45, 80) * 0.4).clamp(0, 1),
        hair_eumelanin=torch.where(
            draw.uniform() < black, draw.uniform(0.85, 1.1), draw.uniform(0.08, 1.0)
        ),
        hair_pheomelanin=0.1 + draw.uniform().pow(3) * 0.7 * caucasian,
        hair_grey=torch.where(style == 0, 0.5 * grey, grey),
        hair_style=style,
        hair_volume=draw.uniform(),
        hair_length=draw.uniform(),
        curl=(draw.uniform().square() + 0.5 * african).clamp(max=1),
        bangs=draw.chance(0.3) * draw.uniform(0.4, 1.0),
        receding=(1 - female) * smooth_step(years + draw.normal(12), 35, 75),
        noise=draw.seeds(),
        stubble=(1 - female) * draw.uniform(0, 0.9) * (kind > 0.3),
        beard=bearded * (kind > 0.62) * draw.uniform(0.6, 1.0),
        moustache=bearded * (kind > 0.35) * draw.uniform(0.6, 1.0),
        goatee=bearded * (kind < 0.75) * draw.uniform(0.6, 1.0),
        lipstick=made_up * draw.uniform(0.3, 1.0),
        eye_shadow=made_up * draw.uniform(0.2, 1.0),
        blush=made_up * draw.uniform(0, 0.7),
        eyeglasses=torch.zeros(count, dtype=torch.long),
        frame_lightness=draw.uniform().square(),
        clothing_hue=draw.uniform(),
        clothing_lightness=draw.uniform(),
    )


class _Draw:
    """Random values for a batch, all from one stream."""

    def __init__(self, count: int, random: torch.Generator):
        self.count, self.random = count, random

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Value:
        return low + (high - low) * torch.rand(self.count, generator=self.random)

    def normal(self, spread: float) -> Value:
        return spread * torch.randn(self.count, generator=self.random)

    def chance(self, share: float) -> Value:
        return (self.uniform() < share).float()

    def seeds(self) -> Int[Tensor, " batch"]:
        return torch.randint(0, 2**40, (self.count,), generator=self.random)


def _shares(phenotype: dict[str, Value]) -> Tensor:
    """Return the ethnic axes sharpened, (3, batch): a mixture of all three is the exception."""
    axes = torch.stack([phenotype[name] for name in ("african", "asian", "caucasian")])
    sharp = axes.clamp(min=0.02).square()
    return sharp / sharp.sum(0)


def _hair_style(draw: _Draw, female: Value, years: Value) -> Int[Tensor, " batch"]:
    """Return a number of `HAIR_STYLES`: long hair and bobs mostly for women, bald heads for men."""
    # bald, buzz, short, full, bob, long
    of_men = torch.tensor([0.10, 0.20, 0.45, 0.16, 0.05, 0.04])
    of_women = torch.tensor([0.01, 0.04, 0.20, 0.18, 0.25, 0.32])
    chances = torch.where(female[:, None] > 0.5, of_women, of_men)
    old = smooth_step(years, 45, 80)[:, None] * (1 - female[:, None])
    chances = chances + old * torch.tensor([0.35, 0.1, 0.0, -0.1, -0.04, -0.03])
    return torch.multinomial(chances.clamp_min(1e-3), 1, generator=draw.random)[:, 0]
