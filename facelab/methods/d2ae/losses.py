"""The paper's loss terms: pure, one value per sample."""

from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.losses import Identities, PerSample, softmax_loss
from facelab.types import Image

Reading = Literal["uniform", "as-printed"]
Logits = Float[Tensor, "batch people"]


def identification_loss(logits: Logits, identities: Identities) -> PerSample:
    """Return -log y^t, y = softmax(logits), t the true person: L_I, and L_I^adv.

    With zeros for logits it is log(people). Source: equations 1 and 2.
    """
    return softmax_loss(logits.float(), identities)


def dispelling_loss(logits: Logits, reading: str = "uniform") -> PerSample:
    """Return the cross-entropy of y = softmax(logits) to the uniform distribution: L_H.

    "uniform" is -(1/N) sum_j log y^j, at least log N, and that where y is uniform. "as-printed" has
    the opposite sign, equation 3's: at most -log N, and without a lower bound. Raises
    `ParameterError` for another reading. Source: equation 3.
    """
    if reading not in get_args(Reading):
        known = ", ".join(get_args(Reading))
        raise ParameterError(f"reading {reading!r} is unknown; choose one of: {known}")
    mean = logits.float().log_softmax(dim=1).mean(dim=1)
    return -mean if reading == "uniform" else mean


def reconstruction_loss(x: Image, made: Image) -> PerSample:
    """Return half the sum of squared differences, divided by height and width: L_X.

    So a weight of 1 is the paper's 1.81e-5 = 1 / 235^2 at 235 pixels, and says the same at every
    size. Source: equation 4.
    """
    pixels = x.shape[2] * x.shape[3]
    return (x.float() - made.float()).square().sum(dim=(1, 2, 3)) / (2 * pixels)
