"""The paper's variants of DIAT: other weights and another identity loss, from any configuration.

    training.Game(derive(training.BOOK, "diat-1"))

| variant | identity loss | smoothness | enhancement |
|---|---|---|---|
| "diat-1" | none | no | no |
| "diat-2" | a face network's (equation 2) | no | no |
| "diat-3" | a face network's | yes (equation 6) | no |
| "diat" | a face network's | yes | yes |
| "diat-a0" | D's own (equation 13) | no | no |
| "diat-a" | D's own | no | yes |

A variant changes nothing else of the game: networks, steps and learning rates stay the base's, so
that a difference comes from the losses. (The paper lowers both rates from 1e-4 to 1e-5 for DIAT-A.
A curve that rises more slowly at a smaller rate would say nothing about the loss.) The enhancement
is a second training, on a T that is done: `enhanced` says that a variant has it, and the game of
"diat" is that of "diat-3". A weight that the base has is kept; where it is 0, it is the paper's.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from facelab.generators import presets
from facelab.methods.diat.training import Config, Weights

FULL = "diat-a"
LAMBDA, GAMMA = 0.1, 0.001  # section 5.1
# Gamma weighs a sum over a picture's values, 3 x 128 x 128 in the paper; ours is their mean.
SMOOTH = GAMMA * 3 * 128 * 128
# Where the base's identity loss is the adaptive one: convolutions as early as the paper's. (Late
# stages, "dlib-stages", hold so little of the picture that they let noise through.)
FACE_NETWORK = "dlib-layers"


@dataclass(frozen=True)
class Variant:
    """A change of the game, whether E follows, and what the paper says of what comes of it."""

    name: str
    change: Callable[[Config], Config]
    enhanced: bool
    paper: str


def _attribute_alone(base: Config) -> Config:
    return _weighted(base, identity=0.0, smooth=0.0)


def _face_network(base: Config) -> Config:
    """Equation 2 in place of 13: the base's face network, if it has one."""
    found = _weighted(base, identity=base.weights.identity or LAMBDA, smooth=0.0)
    return dataclasses.replace(found, identity=FACE_NETWORK if base.adaptive else base.identity)


def _smooth(base: Config) -> Config:
    return _weighted(_face_network(base), smooth=base.weights.smooth or SMOOTH)


def _adaptive(base: Config) -> Config:
    found = _weighted(base, identity=base.weights.identity or LAMBDA, smooth=0.0)
    return dataclasses.replace(found, identity="adaptive")


def _weighted(base: Config, **weights: float) -> Config:
    changed: Weights = dataclasses.replace(base.weights, **weights)
    return dataclasses.replace(base, weights=changed)


VARIANTS: Mapping[str, Variant] = {
    "diat-1": Variant(
        "DIAT1: the attribute loss alone",
        _attribute_alone,
        False,
        "Section 5.5, Fig. 12: the attribute is transferred, but the result is no longer the same "
        "person; so the identity loss can't be done without",
    ),
    "diat-2": Variant(
        "DIAT2: and the identity loss of a face network",
        _face_network,
        False,
        "Section 5.5, Fig. 13: without perceptual regularisation the results are much poorer than "
        "with it (DIAT3)",
    ),
    "diat-3": Variant(
        "DIAT3: and perceptual regularisation",
        _smooth,
        False,
        "Section 5.5, Fig. 13: better than DIAT2; lambda 0.1, gamma 0.001 (section 5.1)",
    ),
    "diat": Variant(
        "DIAT: DIAT3 and the enhancement",
        _smooth,
        True,
        "Section 5.5, Fig. 11: beside DIAT-A it keeps the input's colour less, and does not fit "
        "hair's length to gender; its training takes about three times as long",
    ),
    "diat-a0": Variant(
        "DIAT-A0: the attribute loss and the adaptive identity loss",
        _adaptive,
        False,
        "Section 5.5, Fig. 10: poorer and noisier than what the enhancement makes of it (DIAT-A)",
    ),
    FULL: Variant(
        "DIAT-A: DIAT-A0 and the enhancement",
        _adaptive,
        True,
        "Section 5.1: mostly better than the other variants. Section 4.2: no regularisation is "
        "needed, and it converges sooner than DIAT even at a tenth of the rate",
    ),
}


def derive(base: Config, name: str) -> Config:
    """Return the game of the variant called `name`, all that it does not name as in `base`.

    Raises `ParameterError` when there is no such variant.
    """
    return presets.choose(VARIANTS, name, "variant").change(base)
