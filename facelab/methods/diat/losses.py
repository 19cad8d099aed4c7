"""The terms of DIAT, one function an equation: pure, one value per sample.

Images are (batch, 3, height, width) in [-1, 1]. What an equation writes as a squared Frobenius norm
of pictures is the mean over pixels and channels here, so that a weight means the same at any size;
equations 1 and 12 divide by the number of values already.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.generators import adversarial
from facelab.types import Image

PerSample = Float[Tensor, " batch"]
Logits = Float[Tensor, " batch"]
Maps = Float[Tensor, "batch _ _ _"]
Mask = Float[Tensor, "batch 1 height width"]
Reading = Literal["corrected", "non-saturating", "printed"]


def content_loss(a: Maps, b: Maps) -> PerSample:
    """Return half the mean squared difference of feature maps. Source: equations 1 and 12."""
    return (a.float() - b.float()).square().mean(dim=(1, 2, 3)) / 2


def identity_loss(
    transformed: Sequence[Maps], source: Sequence[Maps], weights: Sequence[float]
) -> PerSample:
    """Return the weighted content losses of several layers of T(x) and x.

    The layers are a frozen face network's (equation 2) or the discriminator's own (equation 13).
    """
    pairs = zip(weights, transformed, source, strict=True)
    return sum(weight * content_loss(a, b) for weight, a, b in pairs)


# --- the attribute loss, equation 3 --------------------------------------------------------------


def attribute_discriminator(
    guided: Logits, transformed: Logits, reading: Reading = "corrected"
) -> PerSample:
    """Return what D minimises; row i has one face of the guided set and one transformed.

    The game needs -log D(a) - log(1 - D(T(x))). Equation 3 prints [1 - log D(T(x))] for the second
    term: D, which maximises it, would minimise log D(T(x)), and that has no lower bound.
    Raises `ParameterError` for an unknown reading.
    """
    require_reading(reading)
    if reading != "printed":
        return adversarial.minimax_discriminator(guided, transformed)
    return F.softplus(-guided.float()) - (1 + F.softplus(-transformed.float()))


def attribute_transform(transformed: Logits, reading: Reading = "corrected") -> PerSample:
    """Return what T minimises, log(1 - D(T(x))); "non-saturating" is -log D(T(x)).

    As printed it is 1 - log D(T(x)): for T alone that is the non-saturating form and a constant.
    Raises `ParameterError` for an unknown reading.
    """
    require_reading(reading)
    if reading == "corrected":
        return adversarial.minimax_generator(transformed)
    form = adversarial.non_saturating_generator(transformed)
    return form if reading == "non-saturating" else 1 + form


def require_reading(reading: str) -> None:
    """Raise `ParameterError` when there is no such reading of equation 3."""
    if reading not in get_args(Reading):
        known = ", ".join(get_args(Reading))
        raise ParameterError(f"reading {reading!r} is unknown; choose one of: {known}")


# --- pictures ------------------------------------------------------------------------------------


def squared_error(a: Image, b: Image) -> PerSample:
    """Return the mean squared difference of pictures.

    Source: equation 8 (T(x), x), both terms of 5, and 6, the smoothness: (f(T(x)), T(x)).
    """
    return (a.float() - b.float()).square().mean(dim=(1, 2, 3))


def classifier_loss(logits: Logits, labels: Float[Tensor, " batch"]) -> PerSample:
    """Return (y - D(x))^2, D(x) being a probability. Source: equation 9."""
    return (labels - logits.float().sigmoid()).square()


def outside_loss(mask: Mask, enhanced: Image, source: Image) -> PerSample:
    """Return the mean over the picture of (1 - m) (E(T(x)) - x)^2. Source: equation 10, first term.

    The square is taken at each pixel; the printed norm is one number, which no mask can enter.
    """
    return ((1 - mask) * (enhanced.float() - source.float()).square()).mean(dim=(1, 2, 3))
