"""What the printed sign of equation 3 does, tried out on points of twelve numbers.

A point is a person's place and, beside it, numbers that have nothing to do with the person: these
are to be given back from f_P, which is a linear map of the point. All three losses of the branch P
are here, led as in the training: L_I^adv moves the classifier, L_H and L_X the map.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facelab.methods.d2ae import losses

PEOPLE, REST, FEATURES = 8, 4, 6
AT_ONCE, RATE, NOISE, APART = 256, 0.05, 0.3, 2.0

Curve = Float[Tensor, " steps"]


@dataclass(frozen=True)
class Learned:
    """Curves over the steps of a training.

    `loss` is L_H in the chosen reading; `confusion` is -(1/N) sum log y, log N where the classifier
    is told nothing; `length` is the mean length of f_P; `correct` is the classifier's share of
    right answers; `error` is the mean square of what is given back, 1 where nothing is.
    """

    loss: Curve
    confusion: Curve
    length: Curve
    correct: Curve
    error: Curve


def points(
    count: int, random: torch.Generator
) -> tuple[Float[Tensor, "points values"], Tensor, Float[Tensor, "points rest"]]:
    """Return points, their people, and the part of them that is to be given back, N(0, 1)."""
    people = torch.randint(PEOPLE, (count,), generator=random)
    places = F.one_hot(people, PEOPLE) * APART
    places = places + NOISE * torch.randn(count, PEOPLE, generator=random)
    rest = torch.randn(count, REST, generator=random)
    return torch.cat([places, rest], dim=1), people, rest


def learn(reading: str = "uniform", steps: int = 600, *, seed: int = 0) -> Learned:
    """Train a branch P of numbers with L_H in a reading, and return what became of it.

    Raises `ParameterError` as `losses.dispelling_loss` does.
    """
    random = torch.Generator().manual_seed(seed)
    sizes = ((FEATURES, PEOPLE + REST), (PEOPLE, FEATURES), (REST, FEATURES))
    b, w, d = (torch.randn(*s, generator=random).mul(0.3).requires_grad_() for s in sizes)
    sgd, told = torch.optim.SGD([b, w, d], lr=RATE), []
    for _ in range(steps):
        x, people, rest = points(AT_ONCE, random)
        p = F.linear(x, b)
        classified, fooled = F.linear(p.detach(), w), F.linear(p, w.detach())
        dispelling = losses.dispelling_loss(fooled, reading).mean()
        error = (F.linear(p, d) - rest).square().mean()
        sgd.zero_grad()
        (losses.identification_loss(classified, people).mean() + dispelling + error).backward()
        sgd.step()
        with torch.no_grad():
            confusion = losses.dispelling_loss(fooled).mean()
            correct = (classified.argmax(1) == people).float().mean()
            told.append((dispelling.detach(), confusion, p.norm(dim=1).mean(), correct, error))
    curves = zip(*told, strict=True)
    return Learned(*(torch.stack(curve).detach() for curve in curves))
