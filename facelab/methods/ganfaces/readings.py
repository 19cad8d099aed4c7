"""What the paper leaves open, as small experiments whose outcome is a number.

| here | what is unclear | readings |
|---|---|---|
| `sign_paths` | equation 7 prints exp(+|e - c|^2 / 2 s^2) | `losses.set_loss`, sign |
| `wander`, `lag` | "a momentum of beta = 0.95" with c - beta (c - e) | `losses.move_centroids` |
| `k_paths` | k + 0.001 (0.5 L_D - L_G) where BEGAN has L(x) for L_D | `adversarial.next_k` |

All draw what is random from seeds and give a row for each, so that a caller can put an interval
about the mean (`metrics.paired.mean_interval`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facelab.data.seeding import stream
from facelab.errors import ParameterError
from facelab.generators import adversarial
from facelab.methods.ganfaces import losses

SEEDS = tuple(range(8))
PEOPLE, FACES, FEATURES = 4, 6, 8

Curves = Float[Tensor, "seeds points"]
Values = Float[Tensor, " seeds"]
LossCurves = Float[Tensor, "seeds steps"]


# --- equation 7 ----------------------------------------------------------------------------------


def sign_paths(
    seeds: Sequence[int] = SEEDS, steps: int = 100, rate: float = 0.02, mixing: float = 2.0
) -> Mapping[str, Curves]:
    """Let faces on a sphere follow the set-based loss, and return the within / between ratio.

    Four people of six faces in eight dimensions start mixed: a person's direction plus as much
    noise as `mixing` says. The faces move by the loss's gradient and are brought back to length
    one; the centroids are their means. For each sign, (seeds, steps + 1): the mean squared distance
    of two faces of one person over that of two people's.
    """
    return {
        sign: torch.stack([_sign_path(sign, seed, steps, rate, mixing) for seed in seeds])
        for sign in get_args(losses.Sign)
    }


def _sign_path(
    sign: losses.Sign, seed: int, steps: int, rate: float, mixing: float
) -> Float[Tensor, " points"]:
    faces, people = _mixed_people(seed, mixing)
    seen, ratios = torch.ones(PEOPLE, dtype=torch.bool), [within_between(faces, people)]
    for _ in range(steps):
        centroids = faces.unflatten(0, (PEOPLE, FACES)).mean(1)
        moving = faces.clone().requires_grad_()
        loss = losses.set_loss(moving, people, centroids, seen, sign=sign)
        (slope,) = torch.autograd.grad(loss.sum(), moving)
        faces = F.normalize(faces - rate * slope, dim=1)
        ratios.append(within_between(faces, people))
    return torch.stack(ratios)


def _mixed_people(seed: int, mixing: float) -> tuple[Tensor, Tensor]:
    random = stream("ganfaces-signs", seed)
    who = F.normalize(torch.randn(PEOPLE, 1, FEATURES, generator=random), dim=2)
    noise = F.normalize(torch.randn(PEOPLE, FACES, FEATURES, generator=random), dim=2)
    faces = F.normalize((who + mixing * noise).flatten(0, 1), dim=1)
    return faces, torch.arange(PEOPLE).repeat_interleave(FACES)


def within_between(
    faces: Float[Tensor, "faces features"], people: losses.Identities
) -> Float[Tensor, ""]:
    """Return the mean squared distance of two faces of one person over that of two people's."""
    squared = torch.cdist(faces, faces).square()
    same = people[:, None] == people[None]
    apart = ~torch.eye(len(faces), dtype=torch.bool)
    return squared[same & apart].mean() / squared[~same].mean()


# --- beta ----------------------------------------------------------------------------------------


def wander(
    seeds: Sequence[int] = SEEDS, visits: int = 800, beta: float = 0.95
) -> Mapping[str, Values]:
    """Return how far a centroid is from the mean of faces that stay, squared, by reading.

    The faces are noise of variance one about a mean that does not move, so 1 is what the last face
    alone would give. A centroid that goes `rate` of the way at each visit has rate / (2 - rate) in
    the long run; the first quarter of the visits does not count.
    """
    return _by_reading(seeds, visits, beta, _wander_of)


def lag(
    seeds: Sequence[int] = SEEDS, visits: int = 800, beta: float = 0.95
) -> Mapping[str, Values]:
    """Return how many visits a centroid is behind a mean that drifts steadily, by reading.

    The drift is one deviation of the noise a visit. A centroid that goes `rate` of the way is
    (1 - rate) / rate visits behind: what little wander costs.
    """
    return _by_reading(seeds, visits, beta, _lag_of)


def _by_reading(
    seeds: Sequence[int], visits: int, beta: float, measure: Callable[..., LossCurves]
) -> dict[str, Values]:
    if visits < 8:
        raise ParameterError(f"{visits} visits are too few to settle in; give 8 or more")
    faces = torch.stack([torch.randn(visits, generator=stream("ganfaces-beta", s)) for s in seeds])
    return {
        reading: measure(faces, beta, reading)[:, visits // 4 :].mean(1)
        for reading in get_args(losses.Momentum)
    }


def _wander_of(faces: LossCurves, beta: float, reading: losses.Momentum) -> LossCurves:
    return _centroids(faces, beta, reading).square()


def _lag_of(faces: LossCurves, beta: float, reading: losses.Momentum) -> LossCurves:
    mean = torch.arange(faces.shape[1], dtype=torch.float32)
    return mean - _centroids(faces + mean, beta, reading)


def _centroids(faces: LossCurves, beta: float, reading: losses.Momentum) -> LossCurves:
    """Return the centroids after each visit, every seed being a person of one number."""
    people, centroids, path = torch.arange(len(faces)), faces[:, :1], []
    for visit in faces.split(1, dim=1):
        centroids = losses.move_centroids(centroids, visit, people, beta=beta, reading=reading)
        path.append(centroids)
    return torch.cat(path, dim=1)


# --- k_t -----------------------------------------------------------------------------------------


def k_paths(
    real: LossCurves, fake: Float[Tensor, "_ _"], *, gamma: float = 0.5, rate: float = 0.01
) -> Mapping[str, Curves]:
    """Return k over given errors on true and on made pictures, by reading: (seeds, steps + 1).

    k begins at 0. The paper's rate is 0.001; 0.01 shortens the way and leads to the same end.
    Raises `ParameterError` when the two have other shapes.
    """
    if real.shape != fake.shape:
        raise ParameterError(
            f"errors of shapes {tuple(real.shape)} and {tuple(fake.shape)} don't belong together; "
            "give one of each a step"
        )
    told = {}
    for reading in get_args(adversarial.Reading):
        rows = []
        for row in zip(real.tolist(), fake.tolist(), strict=True):
            path = [0.0]
            for true, made in zip(*row, strict=True):
                path.append(
                    adversarial.next_k(
                        path[-1], true, made, gamma=gamma, rate=rate, reading=reading
                    )
                )
            rows.append(path)
        told[reading] = torch.tensor(rows)
    return told


def noisy_errors(
    real: float = 0.20,
    fake: float = 0.08,
    *,
    seeds: Sequence[int] = SEEDS,
    steps: int = 10_000,
    noise: float = 0.1,
) -> tuple[LossCurves, LossCurves]:
    """Return errors on true and made pictures, (seeds, steps), that stay the same but for noise.

    As they are by default, made pictures are easier than BEGAN's balance wants (0.08 < 0.5 x 0.20):
    its k rises to 1, the printed one to (gamma real - fake) / (gamma fake), 0.5 here.
    """
    drawn = [torch.randn(2, steps, generator=stream("ganfaces-k", seed)) for seed in seeds]
    wobble = 1 + noise * torch.stack(drawn, dim=1)
    return real * wobble[0], fake * wobble[1]
