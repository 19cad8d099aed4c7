"""The games that generators and discriminators play: pure terms, one value per sample.

Discriminators give logits here: D(x) = sigmoid(logit). "Real" and "fake" are the logits of real and
of generated images.

| here | source |
|---|---|
| `minimax_*` | Goodfellow et al. 2014, equation 1 |
| `non_saturating_*` | Goodfellow et al. 2014, section 3: maximise log D(G(z)) instead |
| `least_squares_*` | Mao et al. 2017, equation 9: targets 0 and 1 |
| `r1_penalty` | Mescheder et al. 2018, equation 9, without the gamma / 2 |
| `path_lengths`, `path_length_penalty` | Karras et al. 2020, equation 4 |
| `reconstruction_error` | Berthelot et al. 2017, L(v) with eta = 1 |
| `next_k`, `convergence` | Berthelot et al. 2017, section 3.4 and M_global |

Goodfellow et al., "Generative Adversarial Nets", NIPS 2014. Mao et al., "Least Squares Generative
Adversarial Networks", ICCV 2017. Mescheder, Geiger & Nowozin, "Which Training Methods for GANs do
actually Converge?", ICML 2018. Karras et al., "Analyzing and Improving the Image Quality of
StyleGAN", CVPR 2020. Berthelot, Schumm & Metz, "BEGAN: Boundary Equilibrium Generative Adversarial
Networks", 2017. GANFaces: Gecer et al., "Semi-supervised Adversarial Learning to Generate
Photorealistic Face Images of New Identities from 3D Morphable Model", ECCV 2018.
"""

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facelab.errors import ParameterError
from facelab.types import Image

Logits = Float[Tensor, " batch"]
PerSample = Float[Tensor, " batch"]
Things = Float[Tensor, "batch *shape"]  # images, or vectors
Reading = Literal["began", "printed"]


# --- the classifier's games ----------------------------------------------------------------------


def minimax_discriminator(real: Logits, fake: Logits) -> PerSample:
    """Return -log D(x) - log(1 - D(G(z))): twice log 2 where D can't tell.

    Row i has one real and one generated image. Source: Goodfellow et al., equation 1, negated.
    """
    return F.softplus(-real.float()) + F.softplus(fake.float())


def minimax_generator(fake: Logits) -> PerSample:
    """Return log(1 - D(G(z))), which the generator minimises in equation 1.

    Its slope in the logit is -D(G(z)): it vanishes where D is sure, at the start of training.
    """
    return -F.softplus(fake.float())


def non_saturating_discriminator(real: Logits, fake: Logits) -> PerSample:
    """Return what `minimax_discriminator` does: the two games differ in the generator alone."""
    return minimax_discriminator(real, fake)


def non_saturating_generator(fake: Logits) -> PerSample:
    """Return -log D(G(z)): steep where D is sure that the image is generated.

    Source: Goodfellow et al., section 3. The "logistic" loss of StyleGAN2.
    """
    return F.softplus(-fake.float())


def least_squares_discriminator(real: Logits, fake: Logits) -> PerSample:
    """Return ((D(x) - 1)^2 + D(G(z))^2) / 2, D being the raw output, not a probability.

    Source: Mao et al., equation 9.
    """
    return ((real.float() - 1).square() + fake.float().square()) / 2


def least_squares_generator(fake: Logits) -> PerSample:
    """Return (D(G(z)) - 1)^2 / 2. Source: Mao et al., equation 9."""
    return (fake.float() - 1).square() / 2


# --- regularisers --------------------------------------------------------------------------------


def r1_penalty(logits: Logits, real: Things) -> PerSample:
    """Return |dD(x)/dx|^2 at real images, or vectors, which may be differentiated once more.

    `logits` must have been computed from `real`, which must require a gradient. The loss is
    gamma / 2 times the mean. Source: Mescheder et al., equation 9.
    """
    (gradient,) = torch.autograd.grad(logits.float().sum(), real, create_graph=True)
    return gradient.float().square().flatten(1).sum(dim=1)


def path_lengths(images: Image, w: Float[Tensor, "batch layers styles"], noise: Image) -> PerSample:
    """Return |J_w^T y|, how fast an image moves with w in the random direction y.

    `noise` is y ~ N(0, 1), one number a pixel and channel; `images` must have been computed from
    `w`, and `w` must require a gradient. As in the authors' code y is divided by the image's side,
    and the squared length is the mean over the layers that w drives. Source: Karras et al. 2020,
    equation 4.
    """
    scale = math.sqrt(images.shape[2] * images.shape[3])
    along = (images.float() * noise).sum() / scale
    (gradient,) = torch.autograd.grad(along, w, create_graph=True)
    return gradient.float().square().sum(2).mean(1).sqrt()


def path_length_penalty(lengths: PerSample, mean: Float[Tensor, ""]) -> PerSample:
    """Return (|J_w^T y| - a)^2 with a the running mean. Source: Karras et al. 2020, equation 4."""
    return (lengths - mean).square()


class RunningMean(nn.Module):
    """A running mean as a buffer, so that checkpoints keep it; it starts at 0.

    `update` moves it by `rate` of the way to a new value, 0.01 in Karras et al. 2020.
    """

    mean: Tensor

    def __init__(self, rate: float = 0.01):
        super().__init__()
        self.rate = rate
        self.register_buffer("mean", torch.zeros(()))

    @torch.no_grad()
    def update(self, value: float) -> float:
        """Move the mean towards `value` and return it."""
        self.mean.lerp_(torch.as_tensor(value, dtype=self.mean.dtype).to(self.mean), self.rate)
        return float(self.mean)


# --- BEGAN ---------------------------------------------------------------------------------------


def reconstruction_error(images: Image, reconstructed: Image) -> PerSample:
    """Return the mean over pixels and channels of |v - D(v)|, D being an autoencoder.

    Source: Berthelot et al., equation 1 with eta = 1 (there a sum; the balance of the game is the
    same, and its numbers then don't depend on the image's size).
    """
    return (images.float() - reconstructed.float()).abs().mean(dim=(1, 2, 3))


def next_k(
    k: float,
    real: float,
    fake: float,
    *,
    discriminator: float | None = None,
    gamma: float = 0.5,
    rate: float = 0.001,
    reading: Reading = "began",
) -> float:
    """Return k_{t+1}, the weight that the generated images' error gets in BEGAN's discriminator.

    `real` is L(x) and `fake` is L(G(z)), means over a batch. Two readings of one rule:

    - "began": k + rate (gamma L(x) - L(G(z))). Source: Berthelot et al., section 3.4.
    - "printed": k + rate (gamma L_D - L(G(z))), L_D = L(x) - k L(G(z)) being the discriminator's
      whole loss, `discriminator` where it is known. Source: GANFaces, below its equation 5.

    Both are kept within [0, 1]. They part as soon as k is above 0: the printed one settles at
    another balance, L(G(z)) = gamma L(x) / (1 + gamma k).
    """
    if reading not in get_args(Reading):
        raise ParameterError(f'reading {reading!r} is unknown; choose "began" or "printed"')
    first = real
    if reading == "printed":
        first = real - k * fake if discriminator is None else discriminator
    return min(1.0, max(0.0, k + rate * (gamma * first - fake)))


def convergence(real: float, fake: float, *, gamma: float = 0.5) -> float:
    """Return M = L(x) + |gamma L(x) - L(G(z))|, low when reconstruction and balance are good.

    Source: Berthelot et al., M_global in section 3.4.1.
    """
    return real + abs(gamma * real - fake)
