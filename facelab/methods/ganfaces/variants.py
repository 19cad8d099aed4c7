"""What GANFaces is compared with: other weights of the same terms, from any configuration.

    training.Game(derive(training.BOOK, "cyclegan"))

The paper (Gecer et al. 2018) names its baselines "simGAN settings" and "cycleGAN settings" and says
neither weights nor losses of them. Here all keep networks, critics (BEGAN's) and steps of the full
method and differ in what is weighted: so a difference comes from the terms, not from another game.
Where a variant needs a weight that the paper does not give, it takes that of the term in whose
place it stands.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from facelab.generators import presets
from facelab.methods.ganfaces.training import Config, Weights

FULL = "full"


@dataclass(frozen=True)
class Variant:
    """A change of the weights, and what the paper says of what comes of it."""

    name: str
    change: Callable[[Weights], Weights]
    paper: str


def _unchanged(weights: Weights) -> Weights:
    return weights


def _simgan(weights: Weights) -> Weights:
    """One critic, and the pixels near the render's: Shrivastava et al. 2017, equation 1.

    The pixels alone keep the content here, so they weigh what the cycle did.
    """
    return dataclasses.replace(
        weights,
        identity_l1=weights.cycle,
        cycle=0.0,
        pair=0.0,
        identity_set=0.0,
        inverse_adversarial=0.0,
    )


def _cyclegan(weights: Weights) -> Weights:
    """Both critics and both cycles, no pairs, nobody known: Zhu et al. 2017, equation 3."""
    return dataclasses.replace(weights, backward=weights.cycle, pair=0.0, identity_set=0.0)


def _reconstruction(weights: Weights) -> Weights:
    return dataclasses.replace(weights, reconstruction=weights.pair)


def _no_set_loss(weights: Weights) -> Weights:
    return dataclasses.replace(weights, identity_set=0.0)


def _backward(weights: Weights) -> Weights:
    return dataclasses.replace(weights, backward=weights.cycle)


VARIANTS: Mapping[str, Variant] = {
    FULL: Variant(
        "the full method",
        _unchanged,
        "Table 1: 94.9 % on LFW with 500K generated faces, 94.8 % without any",
    ),
    "simgan": Variant(
        "simGAN settings",
        _simgan,
        "Table 1: 94.7 %. Section 5.1: it suffers from the loss of identity-specific facial "
        "features (Fig. 5 b). Section 2: its pixel loss contradicts the adversarial one in part",
    ),
    "cyclegan": Variant(
        "CycleGAN settings",
        _cyclegan,
        "Table 1: 94.5 %. Section 5.1: its images are visually less pleasant (Fig. 5 c). Section "
        "2: invertible is not the same as intended",
    ),
    "reconstruction": Variant(
        "with reconstruction of the pairs",
        _reconstruction,
        "Table 1: 94.7 %. Section 5.1: less clear images, probably as the direct loss upsets the "
        "adversarial balance (Fig. 5 d)",
    ),
    "no-set-loss": Variant(
        "without the set-based loss",
        _no_set_loss,
        "Section 3.3: without it identity may be lost to some extent by the non-linear "
        "transformation (the paper's ablation is in its supplementary materials)",
    ),
    "backward-cycle": Variant(
        "with the backward cycle",
        _backward,
        "Footnote 3: removing the backward cycle loss improves performance from artificial to "
        "real images",
    ),
}


def derive(base: Config, name: str) -> Config:
    """Return a configuration with the weights of the variant called `name`, all else as in `base`.

    Raises `ParameterError` when there is no such variant.
    """
    change = presets.choose(VARIANTS, name, "variant").change
    return dataclasses.replace(base, weights=change(base.weights))
