"""The paper's ablations, and the book's own additions taken away, from any configuration.

    training.Game(derive(training.BOOK, "no-critic"))

| variant | what is missing | what the paper says of it |
|---|---|---|
| "full" | nothing | |
| "no-critic" | D_W and its two losses | figure 9, table 3: vectors leave W, FID 4.28 -> 6.96 |
| "no-landmarks" | L_lnd | table 3: identity 0.60 -> 0.63, expression and pose get worse |
| "as-printed" | pre-training, and the loss on true vectors | that is the paper's method |

A variant changes nothing else: networks, steps and rates stay the base's, so that a difference
comes from what is missing.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from facelab.generators import presets
from facelab.methods.idmap.config import Config

FULL = "full"


@dataclass(frozen=True)
class Variant:
    """A change of the configuration, and what the paper says of what comes of it."""

    name: str
    change: Callable[[Config], Config]
    paper: str


def _weighted(base: Config, **weights: float) -> Config:
    return dataclasses.replace(base, weights=dataclasses.replace(base.weights, **weights))


VARIANTS: Mapping[str, Variant] = {
    FULL: Variant("full", lambda base: base, "table 3: FID 4.28, identity 0.60, pose 9.74"),
    "no-critic": Variant(
        "without D_W",
        lambda base: _weighted(base, adversarial=0.0),
        "section 4.3: vectors leave W, FID 4.28 -> 6.96",
    ),
    "no-landmarks": Variant(
        "without L_lnd",
        lambda base: _weighted(base, landmarks=0.0),
        "table 3: identity 0.60 -> 0.63, expression 0.017 -> 0.023, pose 9.74 -> 13.90",
    ),
    "as-printed": Variant(
        "without what the book adds",
        lambda base: dataclasses.replace(_weighted(base, latent=0.0), pretrain_steps=0),
        "the paper trains so for about a day on a GPU",
    ),
}


def derive(base: Config, name: str) -> Config:
    """Return the configuration of the variant called `name`, all else as in `base`.

    Raises `ParameterError` when there is no such variant.
    """
    return presets.choose(VARIANTS, name, "variant").change(base)
