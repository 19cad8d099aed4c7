"""Win back the identity that an edit lost: search again near the edited vector.

Not in the paper. Adam goes down the identity distance to the unedited face (or to a target), with
the part of the latent vector along the attribute held fixed, and a step counts only if the label's
reader still sees the attribute. That reader made the vector; the judge has no part in this either.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.methods.ganid.arithmetic import span
from facelab.methods.ganid.attributes import Attribute
from facelab.methods.ganid.gradient import prior_penalty
from facelab.methods.ganid.scoring import Scorer
from facelab.types import Embedding, Image, Latent

Holds = Callable[[Image], Bool[Tensor, " batch"]]
Distances = Float[Tensor, " batch"]


@dataclass(frozen=True)
class Settings:
    """`steps` steps of Adam at `rate`; `prior` weighs how unlike the prior's a vector is.

    No vector goes farther from where it started than `reach` times its own length. Raises
    `ParameterError` on what can't be used.
    """

    steps: int = 25
    rate: float = 0.03
    prior: float = 0.1
    reach: float = 0.5

    def __post_init__(self):
        if self.steps < 1 or not (self.rate > 0 and self.prior >= 0 and self.reach > 0):
            raise ParameterError(
                f"{self.steps} steps at rate {self.rate} with prior {self.prior} and reach "
                f"{self.reach} can't be made; give numbers above 0 (the prior may be 0)"
            )


@dataclass(frozen=True)
class WonBack:
    """The vectors that were found, their distances before and after, and what it cost.

    `distance` is never above `start`. A step of one vector counts as one evaluation.
    """

    latents: Latent
    start: Distances
    distance: Distances
    evaluations: int


@torch.enable_grad()
def win_back(
    scorer: Scorer,
    edited: Latent,
    identity: Embedding,
    vectors: Float[Tensor, "vectors latents"],
    settings: Settings = Settings(),
    *,
    holds: Holds | None = None,
) -> WonBack:
    """Lower the identity distance of edited vectors (batch, latents), each to its own embedding.

    `identity` are unit embeddings (batch, features) by the scorer's embedder: of the unedited
    faces, or of a target. What the edited vectors have along `vectors` stays as it is. `holds`
    says of faces whether they may count, such as whether the attribute is still seen; a vector
    for which nothing closer counts stays as it was.
    """
    before, device = scorer.evaluations, scorer.device
    start = edited.to(device)
    target, kept = identity.to(device), span(vectors.to(device))
    moving = start.clone().requires_grad_()
    adam = torch.optim.Adam([moving], lr=settings.rate, betas=(0.9, 0.99))
    best, first, lowest = start.clone(), None, None
    for step in range(settings.steps + 1):
        distance, counts = _look(scorer, moving, target, holds)
        found = distance.detach()
        if first is None or lowest is None:
            first, lowest = found, found.clone()
        closer = (found < lowest) & counts
        lowest = torch.where(closer, found, lowest)
        best = torch.where(closer[:, None], moving.detach(), best)
        if step < settings.steps:
            penalty = prior_penalty(moving, scorer.generator.prior)
            (moving.grad,) = torch.autograd.grad(
                (distance + settings.prior * penalty).sum(), moving
            )
            adam.step()
            moving.data = _allowed(moving.data, start, kept, settings.reach)
    spent = scorer.evaluations - before
    return WonBack(best.cpu(), first.cpu(), lowest.cpu(), spent)


def holding(wanted: Sequence[Attribute], edited: Image, slack: float = 0.1) -> Holds:
    """Return a test of faces: does the label of every attribute say it as surely as of `edited`?

    It may be surer, or less sure by a share `slack` of what it was. Rows belong together.
    """
    labels = torch.stack([attribute.labels(edited) for attribute in wanted])
    least = labels - slack * labels.abs()

    def holds(faces: Image) -> Bool[Tensor, " batch"]:
        found = torch.stack([attribute.labels(faces) for attribute in wanted])
        return (found >= least).all(0)

    return holds


def _look(
    scorer: Scorer, latents: Latent, target: Embedding, holds: Holds | None
) -> tuple[Distances, Bool[Tensor, " batch"]]:
    """Return how far the faces are from their targets, and whether they may count."""
    faces = torch.cat([scorer.faces(part) for part in latents.split(scorer.batch)])
    distance = 2 - 2 * (scorer.embed_faces(faces) * target).sum(1)
    counts = torch.ones_like(distance, dtype=torch.bool)
    if holds is not None:
        counts = holds(faces.detach()).to(counts.device)
    return distance, counts


def _allowed(
    latents: Latent, start: Latent, kept: Float[Tensor, "latents dimensions"], reach: float
) -> Latent:
    """Take a step's part along the attributes back, and pull it in to the reach."""
    step = latents - start
    step = step - (step @ kept) @ kept.mT
    length = step.norm(dim=1, keepdim=True).clamp_min(1e-12)
    most = reach * start.norm(dim=1, keepdim=True)
    return start + step * (most / length).clamp_max(1)
