"""The paper's ablations and its extension, from any configuration.

    training.Disentangling(derive(training.BOOK, "no-dispelling"))

| variant | what is other | what the paper says of it |
|---|---|---|
| "full" | nothing | |
| "no-dispelling" | no L_H | table 1: P verifies 71.2%, attributes 80.47%, 36 of 40 drop |
| "no-classifier" | no L_I^adv, L_H moves W_P | table 1: P 67.13%, 78.32%, 36 of 40 drop |
| "no-augmentation" | no equation 5 | section 5.3: with it nearly all channels are Gaussian |
| "baseline" | L_I alone, without equation 5 | table 2: worse on a small set, equal on a large one |
| "baseline-augmented" | L_I alone, with it | |
| "as-printed" | the sign of equation 3 | |
| "gan" | a critic's loss beside L_X | figure 11: more realistic details |
| "gan-alone" | a critic's loss in place of L_X | section 6.3's words, "switching" |

A variant changes nothing else: networks, steps and rates stay the base's, so that a difference
comes from what is missing. Whether the paper's baseline has augmented features is not said; section
3.4 calls them a part of the method, and the second baseline tells what they do by themselves.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from facelab.generators import presets
from facelab.methods.d2ae.config import Config

FULL = "full"
ADVERSARIAL = 0.1  # where the base has none


@dataclass(frozen=True)
class Variant:
    """A change of the configuration, and what the paper says of what comes of it."""

    name: str
    change: Callable[[Config], Config]
    paper: str


def _with(base: Config, **changes: object) -> Config:
    return dataclasses.replace(base, **changes)


def _alone(base: Config, augment: bool) -> Config:
    return _with(base, classify=False, dispel=False, decode=False, augment=augment)


def _played(base: Config, reconstruction: float) -> Config:
    adversarial = base.weights.adversarial or ADVERSARIAL
    changed = {"adversarial": adversarial, "reconstruction": reconstruction}
    return _with(base, weights=dataclasses.replace(base.weights, **changed))


VARIANTS: Mapping[str, Variant] = {
    FULL: Variant("full", lambda base: base, "table 1: T 99.78 / 99.63 / 79.78, P 64.13 / 5.3"),
    "no-dispelling": Variant(
        "without L_H",
        lambda base: _with(base, dispel=False),
        "table 1: P verifies 71.2 / 8.67, attributes 80.47, 36 of 40 attributes drop",
    ),
    "no-classifier": Variant(
        "without L_I^adv",
        lambda base: _with(base, classify=False),
        "table 1: P verifies 67.13 / 5.63, attributes 78.32, 36 of 40 attributes drop",
    ),
    "no-augmentation": Variant(
        "without statistical augmentation",
        lambda base: _with(base, augment=False),
        "section 5.3: with it almost all channels have an adjusted R^2 above 0.99",
    ),
    "baseline": Variant(
        "the encoder with L_I alone",
        lambda base: _alone(base, augment=False),
        "table 2: 98.93 / 94.87 against 99.25 / 96.80 on a small set, equal on a large one",
    ),
    "baseline-augmented": Variant(
        "the encoder with L_I alone, of augmented features",
        lambda base: _alone(base, augment=True),
        "not in the paper: what section 3.4 does without the other losses",
    ),
    "as-printed": Variant(
        "with the printed sign of L_H",
        lambda base: _with(base, dispelling="as-printed"),
        "equation 3 as printed, which has no lower bound",
    ),
    "gan": Variant(
        "with a critic's loss beside L_X",
        lambda base: _played(base, base.weights.reconstruction),
        "figure 11: more realistic details and noises",
    ),
    "gan-alone": Variant(
        "with a critic's loss in place of L_X",
        lambda base: _played(base, 0.0),
        'section 6.3: "by switching the reconstruction loss to the adversarial loss"',
    ),
}


def derive(base: Config, name: str) -> Config:
    """Return the configuration of the variant called `name`, all else as in `base`.

    Raises `ParameterError` when there is no such variant.
    """
    return presets.choose(VARIANTS, name, "variant").change(base)
