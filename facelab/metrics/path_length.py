"""Perceptual path length: how far does the picture move when the latent moves a little?

    E[ d(G(z(t)), G(z(t + e))) / e^2 ],    z(t) on a path between two latents,

(Karras, Laine & Aila, "A Style-Based Generator Architecture for Generative Adversarial Networks",
CVPR 2019, section 4.1.) A latent space in which a face turns into another by small steps has short
paths; one whose paths pass through things that are neither has long ones. The authors' d is LPIPS
on VGG16; here it is the squared distance of the features of a *named* extractor, which grows with
e^2 as theirs does. Numbers of different extractors can't be compared, and a generator that draws
always the same face has the shortest paths of all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.generators.generator import (
    Generator,
    interpolate_linear,
    interpolate_spherical,
)
from facelab.metrics.bootstrap import Interval, bootstrap_interval, weighted_mean
from facelab.metrics.extractors import Extractor

Space = Literal["z", "w"]
Sampling = Literal["full", "end"]
Latents = Float[Tensor, "batch *styles"]


@dataclass(frozen=True)
class PathLength:
    """A perceptual path length and all that it depends on.

    `name` is the extractor's with "-path-length-" and the space. `value` is the mean of the `count`
    lengths between the 1st and the 99th percentile of all `paths`, as in the authors' code (their
    text does not say so); `mean` is that of all. `interval` is that of `value`.
    """

    name: str
    value: float
    interval: Interval | None
    mean: float
    space: str
    sampling: str
    interpolation: str
    epsilon: float
    extractor: str
    paths: int
    count: int


def path_length(
    generator: Generator,
    extractor: Extractor,
    *,
    random: torch.Generator,
    space: Space = "z",
    sampling: Sampling = "full",
    epsilon: float = 1e-4,
    paths: int = 1000,
    batch: int = 32,
    progress: Callable[[int], None] | None = None,
) -> PathLength:
    """Measure the mean length of steps on paths between latents, in `space` "z" or "w".

    A path in Z is an arc where the prior is normal, and straight where it is uniform; in W (what
    `generator.mapping` gives) it is straight. Steps start anywhere on it ("full"), or at its first
    end ("end"). `progress` is told how many paths are done. Where a generator has noise inputs,
    they have to be fixed, or they are what is measured.

    The default of `epsilon` is the authors'; float32 resolves it (0.01 % from float64, with dlib's
    features of the pre-trained generator's faces), and 1e-2 gives 6 % less there. Raises
    `ParameterError` for settings that can't be used, and when a length is not finite.
    """
    _require(space, sampling, epsilon, paths)
    straight = space == "w" or generator.prior != "normal"
    between = interpolate_linear if straight else interpolate_spherical
    lengths = []
    for start in range(0, paths, batch):
        count = min(batch, paths - start)
        ends = _draw(generator, 2 * count, space, random).split(count)
        t = torch.rand(count, generator=random).to(ends[0]) * (sampling == "full")
        latents = torch.cat([between(*ends, t), between(*ends, t + epsilon)])
        lengths.append(_squared_steps(generator, extractor, latents, space) / epsilon**2)
        if progress:
            progress(start + count)
    values = torch.cat(lengths)
    if not values.isfinite().all():
        raise ParameterError("a path's length is not finite; look at the generator's pictures")
    kept = trimmed(values)
    return PathLength(
        name=f"{extractor.id}-path-length-{space}",
        value=float(kept.mean()),
        interval=_interval(kept, random),
        mean=float(values.mean()),
        space=space,
        sampling=sampling,
        interpolation="linear" if straight else "spherical",
        epsilon=epsilon,
        extractor=extractor.id,
        paths=paths,
        count=len(kept),
    )


def _require(space: str, sampling: str, epsilon: float, paths: int) -> None:
    for value, known in ((space, get_args(Space)), (sampling, get_args(Sampling))):
        if value not in known:
            raise ParameterError(f"{value!r} is unknown; choose one of: {', '.join(known)}")
    if not 0 < epsilon < 1 or paths < 1:
        raise ParameterError(
            f"a step of {epsilon} on {paths} paths: give one between 0 and 1, and a path or more"
        )


@torch.no_grad()
def _draw(generator: Generator, count: int, space: str, random: torch.Generator) -> Latents:
    where = next(generator.parameters())
    latents = generator.sample_latent(count, random).to(where)
    return latents if space == "z" else generator.mapping(latents)


@torch.no_grad()
def _squared_steps(
    generator: Generator, extractor: Extractor, latents: Latents, space: str
) -> Float[Tensor, " steps"]:
    """Return the squared distance between pictures of the first half and of the second."""
    images = generator(latents) if space == "z" else generator.synthesis(latents)
    where = next(extractor.parameters()).device
    here, there = extractor(images.to(where)).double().chunk(2)
    return (here - there).square().sum(1).cpu()


def trimmed(values: Float[Tensor, " _"]) -> Float[Tensor, " _"]:
    """Return the values from the 1st to the 99th percentile, each a value that occurs."""
    low = np.percentile(values.numpy(), 1, method="lower")
    high = np.percentile(values.numpy(), 99, method="higher")
    return values[(values >= low) & (values <= high)]


def _interval(values: Float[Tensor, " _"], random: torch.Generator) -> Interval | None:
    rows = torch.arange(len(values))
    return bootstrap_interval(weighted_mean(values), torch.stack([rows, rows], 1), generator=random)
