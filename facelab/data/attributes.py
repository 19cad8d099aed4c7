"""Binary attributes under CelebA's names, each decided from the parameters by a stated rule.

`ATTRIBUTES` is the table: a name, the rule in words and the rule itself. Nobody looked at a picture
to label it, and nothing is uncertain: an attribute is what its rule says, also where a person would
call it otherwise. Shapes are measured between landmarks of the head at rest (one face a person) and
compared with the population of `anny_faces`: `QUANTILES` are its quantiles, computed once by
`population_quantiles()`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from facelab.data.people import age_of_years, draw_people
from facelab.data.seeding import identity_seeds
from facelab.geometry.appearance import HAIR_STYLES, Appearance
from facelab.geometry.morphable import MorphableModel, anny_head
from facelab.geometry.painting import hair_colour

Points = Float[Tensor, "batch 68 3"]
Value = Float[Tensor, " batch"]
Flag = Bool[Tensor, " batch"]

SHAVED = (HAIR_STYLES.index("bald"), HAIR_STYLES.index("buzz"))
# With 2 mm the label agrees best with whether the mouth's inside can be seen.
OPEN_MM, SMILE, CLOSED = 2.0, 0.35, 0.4


@dataclass(frozen=True)
class Evidence:
    """What the rules look at, one row a face.

    `rest` and `shown` are the 68 landmarks in millimetres, unposed, without and with the
    expression; `smile` is the mean weight of the two mouthSmile actions.
    """

    rest: Points
    shown: Points
    smile: Value
    phenotype: dict[str, Value]
    looks: Appearance

    @property
    def shape(self) -> dict[str, Value]:
        """The measures of `measure` at rest."""
        return measure(self.rest)

    @property
    def has_hair(self) -> Flag:
        """Whether there is hair whose colour can be seen: neither bald nor a buzz cut."""
        return ~torch.isin(self.looks.hair_style, self.looks.hair_style.new_tensor(SHAVED))


def _far(points: Points, a: int, b: int) -> Value:
    return (points[:, a] - points[:, b]).norm(dim=1)


def lip_gap_mm(points: Points) -> Value:
    """Return how far the lips are apart, the mean over the three inner pairs of landmarks."""
    return torch.stack([_far(points, 61, 67), _far(points, 62, 66), _far(points, 63, 65)]).mean(0)


def eye_opening_mm(points: Points) -> Value:
    """Return how far the lids are apart, the mean over four pairs of landmarks, never negative."""
    upper, lower = points[:, [37, 38, 43, 44], 1], points[:, [41, 40, 47, 46], 1]
    return (upper - lower).mean(1).clamp_min(0)


def measure(points: Points) -> dict[str, Value]:
    """Return the measures of heads at rest that rules need: ratios, and mm."""
    eye_y = points[:, 36:48, 1].mean(1)
    between_eyes = _far(points, 36, 45)
    nose_width = _far(points, 31, 35)
    base_z = (points[:, 31, 2] + points[:, 35, 2]) / 2
    brow = (points[:, [19, 24], 1] - (points[:, [17, 26], 1] + points[:, [21, 22], 1]) / 2).mean(1)
    return {
        "nose_size": nose_width * (eye_y - points[:, 33, 1]) / between_eyes,
        "nose_point": (points[:, 30, 2] - base_z) / nose_width,
        "lip_height": (_far(points, 51, 62) + _far(points, 57, 66)) / _far(points, 48, 54),
        "eye_slit": eye_opening_mm(points) / ((_far(points, 36, 39) + _far(points, 42, 45)) / 2),
        "face_length": (eye_y - points[:, 8, 1]) / _far(points, 1, 15),
        "cheek_to_jaw": _far(points, 1, 15) / _far(points, 5, 11),
        "brow_arch": brow / between_eyes,
    }


# Quantiles over 20,000 people of `identity_seeds(20_000, seed=0)`: population_quantiles().
LEVELS = (0.2, 0.7)
QUANTILES = {
    "nose_size": {0.2: 14.5625, 0.7: 17.6276},
    "nose_point": {0.2: 0.5286, 0.7: 0.7897},
    "lip_height": {0.2: 0.4324, 0.7: 0.5476},
    "eye_slit": {0.2: 0.305, 0.7: 0.3742},
    "face_length": {0.2: 0.7122, 0.7: 0.7758},
    "cheek_to_jaw": {0.2: 1.5664, 0.7: 1.6475},
    "brow_arch": {0.2: 0.0745, 0.7: 0.0914},
}


def population_quantiles(count: int = 20_000, seed: int = 0) -> dict[str, dict[float, float]]:
    """Measure `count` people at rest and return the quantiles of `LEVELS` of every measure."""
    model = anny_head()
    seeds = identity_seeds(count, seed)
    parts = [
        measure(landmarks_at_rest(model, draw_people(model, seeds[start : start + 500]).identity))
        for start in range(0, count, 500)
    ]
    levels = torch.tensor(LEVELS)
    return {
        name: {
            level: round(float(value), 4)
            for level, value in zip(
                LEVELS, torch.cat([part[name] for part in parts]).quantile(levels), strict=True
            )
        }
        for name in parts[0]
    }


def landmarks_at_rest(model: MorphableModel, identity: Float[Tensor, "batch components"]) -> Points:
    """Return the landmarks (batch, 68, 3) of heads without an expression, in millimetres."""
    basis = model.identity_mm[:, model.landmarks]
    return model.mean_mm[model.landmarks] + torch.einsum("bk,klc->blc", identity, basis)


def _above(name: str, level: float) -> Callable[[Evidence], Flag]:
    return lambda face: face.shape[name] >= QUANTILES[name][level]


def _below(name: str, level: float) -> Callable[[Evidence], Flag]:
    return lambda face: face.shape[name] <= QUANTILES[name][level]


def _look(name: str, least: float) -> Callable[[Evidence], Flag]:
    return lambda face: getattr(face.looks, name) >= least


def _hair_luminance(face: Evidence) -> Value:
    colour = hair_colour(face.looks)
    return colour @ colour.new_tensor([0.2126, 0.7152, 0.0722])


def _coloured(low: float, high: float) -> Callable[[Evidence], Flag]:
    def decide(face: Evidence) -> Flag:
        light = _hair_luminance(face)
        own = face.looks.hair_grey < 0.5
        return face.has_hair & own & (light >= low) & (light < high)

    return decide


def _hairy(face: Evidence) -> Value:
    looks = face.looks
    return torch.stack([looks.beard, looks.goatee, looks.moustache, looks.stubble]).amax(0)


BLACK, BLOND = 0.035, 0.16  # linear luminance of the hair
CURLY, STRAIGHT = 0.45, 0.2


class Attribute(NamedTuple):
    """A name, the rule in words, and the rule."""

    name: str
    rule: str
    decide: Callable[[Evidence], Flag]


ATTRIBUTES = (
    Attribute("5_o_Clock_Shadow", "stubble of 0.4 or more and no beard of 0.5",
              lambda f: (f.looks.stubble >= 0.4) & (f.looks.beard < 0.5)),
    Attribute("Arched_Eyebrows", "brow's arch in the upper 30 %", _above("brow_arch", 0.7)),
    Attribute("Bags_Under_Eyes", "bags of 0.5 or more", _look("bags", 0.5)),
    Attribute("Bald", "hair style bald", lambda f: f.looks.hair_style == SHAVED[0]),
    Attribute("Bangs", "bangs of 0.3 or more on hair that is not shaved",
              lambda f: (f.looks.bangs >= 0.3) & f.has_hair),
    Attribute("Big_Lips", "lips' height to width in the upper 30 %", _above("lip_height", 0.7)),
    Attribute("Big_Nose", "nose's width times height in the upper 30 %", _above("nose_size", 0.7)),
    Attribute("Black_Hair", "hair's luminance below 0.035, not grey, not shaved",
              _coloured(0.0, BLACK)),
    Attribute("Blond_Hair", "hair's luminance of 0.16 or more, not grey, not shaved",
              _coloured(BLOND, 9.0)),
    Attribute("Brown_Hair", "hair's luminance between those, not grey, not shaved",
              _coloured(BLACK, BLOND)),
    Attribute("Bushy_Eyebrows", "brows' thickness times density of 0.45 or more",
              lambda f: f.looks.brow_thickness * f.looks.brow_density >= 0.45),
    Attribute("Chubby", "phenotype weight of 0.65 or more",
              lambda f: f.phenotype["weight"] >= 0.65),
    Attribute("Double_Chin", "phenotype weight of 0.75 or more",
              lambda f: f.phenotype["weight"] >= 0.75),
    Attribute("Eyeglasses", "a frame is worn", lambda f: f.looks.eyeglasses > 0),
    Attribute("Eyes_Closed", "lids' distance at most 0.4 of that at rest (not in CelebA)",
              lambda f: eye_opening_mm(f.shown) <= CLOSED * eye_opening_mm(f.rest)),
    Attribute("Goatee", "goatee of 0.5 or more and no beard of 0.5",
              lambda f: (f.looks.goatee >= 0.5) & (f.looks.beard < 0.5)),
    Attribute("Gray_Hair", "grey of 0.5 or more, not shaved",
              lambda f: (f.looks.hair_grey >= 0.5) & f.has_hair),
    Attribute("Heavy_Makeup", "eye shadow of 0.4 and lipstick of 0.3 or more",
              lambda f: (f.looks.eye_shadow >= 0.4) & (f.looks.lipstick >= 0.3)),
    Attribute("High_Cheekbones", "width at the cheekbones to that at the jaw in the upper 30 %",
              _above("cheek_to_jaw", 0.7)),
    Attribute("Male", "phenotype gender below 0.5", lambda f: f.phenotype["gender"] < 0.5),
    Attribute("Mouth_Slightly_Open", "lips 2 mm farther apart than at rest",
              lambda f: lip_gap_mm(f.shown) - lip_gap_mm(f.rest) >= OPEN_MM),
    Attribute("Mustache", "moustache of 0.5 or more", _look("moustache", 0.5)),
    Attribute("Narrow_Eyes", "eyes' opening to width at rest in the lower 20 %",
              _below("eye_slit", 0.2)),
    Attribute("No_Beard", "beard, goatee, moustache and stubble all below 0.2",
              lambda f: _hairy(f) < 0.2),
    Attribute("Oval_Face", "face's length to width in the upper 30 %", _above("face_length", 0.7)),
    Attribute("Pale_Skin", "melanin of 0.14 or less", lambda f: f.looks.melanin <= 0.14),
    Attribute("Pointy_Nose", "how far the tip stands out, to the width, in the upper 30 %",
              _above("nose_point", 0.7)),
    Attribute("Receding_Hairline", "receding of 0.4 or more, not bald",
              lambda f: (f.looks.receding >= 0.4) & (f.looks.hair_style != SHAVED[0])),
    Attribute("Rosy_Cheeks", "blush of 0.3 or more", _look("blush", 0.3)),
    Attribute("Smiling", "mean weight of mouthSmile of 0.35 or more", lambda f: f.smile >= SMILE),
    Attribute("Straight_Hair", "curl below 0.2 on hair that is not shaved",
              lambda f: (f.looks.curl < STRAIGHT) & f.has_hair),
    Attribute("Wavy_Hair", "curl of 0.45 or more on hair that is not shaved",
              lambda f: (f.looks.curl >= CURLY) & f.has_hair),
    Attribute("Wearing_Lipstick", "lipstick of 0.3 or more", _look("lipstick", 0.3)),
    Attribute("Young", "phenotype age below that of 45 years",
              lambda f: f.phenotype["age"] < age_of_years(45.0)),
)  # fmt: skip
ATTRIBUTE_NAMES = tuple(attribute.name for attribute in ATTRIBUTES)


def decide(face: Evidence) -> Bool[Tensor, "batch attributes"]:
    """Return every attribute of every face, (batch, attributes), in the table's order."""
    return torch.stack([attribute.decide(face) for attribute in ATTRIBUTES], dim=1)
