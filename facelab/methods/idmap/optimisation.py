"""The baseline without a map: every pair's latent vector is optimised by itself.

Gradient descent on w, from the mean face or the best of some, down the losses of equations 4 to 8
that M and E_attr learn from (per-image inversion: Lipton & Tripathi 2017, Creswell & Bharath 2018).
What differs from the paper's method is that nothing is learned, and that nothing keeps w in the
generator's space but `prior`, a weight on the squared Mahalanobis distance, and where the search
begins.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.generators import presets
from facelab.methods.idmap import losses
from facelab.methods.idmap.config import Config
from facelab.methods.idmap.latent_space import LatentSpace, shell
from facelab.methods.idmap.training import MODELS_FRAMING, Frozen
from facelab.recognition.align import reframe
from facelab.recognition.face_points import SIZE
from facelab.types import Image, Latent

PerSample = Float[Tensor, " batch"]
CANDIDATES = 32  # vectors of which a search begins at the best


@dataclass(frozen=True)
class Result:
    """The vectors, their pictures in [-1, 1], and the losses, (steps + 1, batch).

    Row 0 of `losses` are those of the start, the last row those of `images`.
    """

    w: Latent
    images: Image
    losses: Float[Tensor, "_ batch"]


class Objective:
    """What equation 8 asks of a vector w: one value per pair.

    A pair of one face (`same`) is to be rebuilt, so the reconstruction loss counts; else it does
    not, as equation 7 says. `prior` weighs the squared distance to the mean over the vector's
    length, 1 on average for true vectors.
    """

    def __init__(
        self,
        identity: Image,
        attributes: Image,
        frozen: Frozen,
        config: Config,
        space: LatentSpace,
        *,
        same: bool,
        prior: float = 0.0,
    ):
        presets.require_size(identity, config.size)
        presets.require_size(attributes, config.size)
        self.config, self.frozen, self.attributes, self.same = config, frozen, attributes, same
        self.prior, self.mean = prior, space.mean.float()
        self.precision = torch.linalg.inv(space.covariance).float()
        with torch.no_grad():
            self.code = frozen.identity(identity, config.framing)
            self.points = frozen.landmarks(reframe(attributes, config.framing, MODELS_FRAMING))

    def __call__(self, w: Latent) -> PerSample:
        """Return the weighted sum of the losses at w, (batch, w)."""
        c, weights = self.config, self.config.weights
        made = self.frozen.generator.synthesis(w)
        code = self.frozen.identity(made, c.framing)
        points = self.frozen.landmarks(reframe(made, c.framing, MODELS_FRAMING))
        total = weights.identity * losses.identity_loss(code, self.code)
        total = total + weights.landmarks * losses.landmark_loss(
            points, self.points, side_px=SIZE, reading=c.landmarks
        )
        if self.same:
            total = total + weights.reconstruction * losses.mix_loss(
                made, self.attributes, alpha=c.alpha
            )
        if not self.prior:
            return total
        off = w - self.mean
        return total + self.prior * torch.einsum("bi,ij,bj->b", off, self.precision, off) / len(
            self.mean
        )


@torch.no_grad()
def start_of(objective: Objective, space: LatentSpace, seed: int = 0) -> Latent:
    """Return where each pair's search begins, (batch, w): the mean of the latent space.

    Where true vectors lie on a shell there is no face at the mean, and perhaps no slope: the
    pre-trained DCGAN's rectifiers are all shut there. For each pair it is then the best of
    `CANDIDATES` vectors that are drawn from the seed, the same for all pairs.
    """
    count = len(objective.code)
    if shell(objective.frozen.generator) is None:
        return space.mean.float().repeat(count, 1)
    drawn = space.draw(CANDIDATES, torch.Generator().manual_seed(seed)).to(objective.code)
    values = torch.stack([objective(one.expand(count, -1)) for one in drawn])
    return drawn[values.argmin(0)]


def optimise(
    identity: Image,
    attributes: Image,
    frozen: Frozen,
    config: Config,
    space: LatentSpace,
    *,
    same: bool = False,
    steps: int = 200,
    learning_rate: float = 0.05,
    prior: float = 0.0,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Result:
    """Search a vector for every pair of faces, row by row, beginning at `start_of` the seed.

    `steps` of Adam, as the paper's optimiser, move w. Each pair is its own optimum: a batch gives
    what its pairs would one by one. `progress` is called with the number of steps that are done.
    Raises `ParameterError` for W+, and for steps, a rate or a weight that can't be used.
    """
    if config.layers > 1:
        raise ParameterError("the search is in W, this configuration is of W+; set layers to 1")
    presets.require_whole({"steps": steps}, 0, 1_000_000)
    presets.require_positive({"learning_rate": learning_rate})
    presets.require_positive({"prior": prior}, zero=True)
    given = (identity, attributes, frozen, config, space)
    objective = Objective(*given, same=same, prior=prior)
    w = start_of(objective, space, seed).requires_grad_()
    adam, told = torch.optim.Adam([w], lr=learning_rate), []
    for step in range(1, steps + 1):
        value = objective(w)
        told.append(value.detach())
        # A sum, so that no pair's step depends on how many there are.
        (w.grad,) = torch.autograd.grad(value.sum(), [w])
        adam.step()
        if progress is not None:
            progress(step)
    with torch.no_grad():
        told.append(objective(w))
        images = frozen.generator.synthesis(w).clamp(-1, 1)
    return Result(w.detach(), images, torch.stack(told))
