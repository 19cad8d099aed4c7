"""Vector arithmetic: add the mean of faces with an attribute, take away that of faces without.

Li & Luo, section 2.2 and figures 2 and 3: "Final vector = Original vector + vector1 - vector2",
where vector1 and vector2 are means over several latent vectors, "to make the performance stable".

| here | source |
|---|---|
| `attribute_vector` | figure 3: vector1 - vector2, means over `count` samples each |
| `edit` | figure 2; a strength of 1 is the paper's |
| `balanced_vector` | not in the paper: both means are over faces that are equally bright |
| `orthogonalised` | not in the paper: a vector without its part in the others' span |
| `vectors_for` | the vectors of a generator, made once and kept |

What an edit does is measured in `edit_sweep`, and a lost identity is won back in `winning_back`.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.assets import cache
from facelab.assets.table import FACE_RES
from facelab.assets.weights import intact, keep_weights, load_weights
from facelab.data.seeding import stream
from facelab.errors import ParameterError
from facelab.generators.generator import Generator
from facelab.images import grid
from facelab.methods.ganid.attributes import ATTRIBUTES, Attribute, Reading, luminance
from facelab.methods.ganid.latent_file import weights_sum
from facelab.recognition.face_points import MODELS
from facelab.types import Latent, Picture

Vector = Float[Tensor, " latents"]
Scores = Float[Tensor, " samples"]
Progress = Callable[[int], None]

SAMPLES, BATCH = 4000, 100
CONFIDENT = 0.1  # share of the samples at each end of the label's order
PARTS = 5  # of brightness, in which samples are compared when they are balanced
FEWEST = 10  # samples with an attribute, or without it, below which a mean says nothing
# What labels follow from, `faceres` beside these; the landmarks align faces for it.
LABELLERS = ("attributes.safetensors", "pose.safetensors", "landmarks.safetensors")
FOLDER = "ganid"  # of the cache


# --- labelled samples ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Labelled:
    """Latent vectors of the prior, (samples, latents), and the labels of their faces by attribute.

    Labels are above 0 where the reader says that the face has the attribute; the farther from 0,
    the surer it is. `brightness` is every face's luminance, whatever was labelled.
    """

    latents: Float[Tensor, "samples latents"]
    scores: dict[str, Scores]
    brightness: Scores

    def counts(self, name: str) -> tuple[int, int]:
        """Return how many samples are labelled with an attribute, and how many without it."""
        with_it = int((self.scores[name] > 0).sum())
        return with_it, len(self.latents) - with_it


@torch.no_grad()
def sample_labels(
    generator: Generator,
    count: int = SAMPLES,
    seed: int = 0,
    attributes: Sequence[Attribute] = ATTRIBUTES,
    progress: Progress | None = None,
) -> Labelled:
    """Draw `count` latent vectors of the prior, and label their faces, 100 at a time.

    `progress` is called with how many are done. The same seed gives the same vectors.
    """
    if count < 2 * FEWEST:
        raise ParameterError(f"{count} samples are too few; draw at least {2 * FEWEST}")
    where: Tensor = next(generator.parameters())
    latents = generator.sample_latent(count, stream("ganid", "labels", seed))
    parts: dict[str, list[Tensor]] = {attribute.name: [] for attribute in attributes}
    brightness, done = [], 0
    for part in latents.split(BATCH):
        reading = Reading(generator(part.to(where.device)).float())
        for attribute in attributes:
            parts[attribute.name].append(attribute.label(reading).float().cpu())
        brightness.append(luminance(reading.faces).cpu())
        done += len(part)
        if progress:
            progress(done)
    scores = {name: torch.cat(found) for name, found in parts.items()}
    return Labelled(latents, scores, torch.cat(brightness))


def confident(
    scores: Scores, share: float = CONFIDENT, balance: Scores | None = None
) -> tuple[Tensor, Tensor]:
    """Return which samples are surely with an attribute, and which surely without: two indices.

    They are the upper and the lower `share` of all samples in the label's order, the surest first,
    as far as the label is above or below 0. With `balance` they are taken from each fifth of the
    samples in its order, so that it is the same on both sides. Raises `ParameterError` when one
    side has fewer than `FEWEST`.
    """
    parts = PARTS if balance is not None else 1
    places = torch.arange(len(scores)) if balance is None else balance.argsort(stable=True)
    most = max(-(-FEWEST // parts), int(share * len(scores) / parts))
    orders = [rows[scores[rows].argsort(descending=True, stable=True)]
              for rows in places.tensor_split(parts)]  # fmt: skip
    with_it = torch.cat([order[:most] for order in orders])
    without = torch.cat([order.flip(0)[:most] for order in orders])
    with_it, without = with_it[scores[with_it] > 0], without[scores[without] <= 0]
    for side, words in ((with_it, "with"), (without, "without")):
        if len(side) < FEWEST:
            raise ParameterError(
                f"only {len(side)} of {len(scores):,} faces are labelled {words} the attribute, at "
                f"least {FEWEST} are needed; draw more samples, or take another generator"
            )
    return (
        with_it[scores[with_it].argsort(descending=True, stable=True)],
        without[scores[without].argsort(stable=True)],
    )


def label_sheet(
    generator: Generator,
    labelled: Labelled,
    names: Sequence[str],
    count: int = 12,
    *,
    spread: bool = False,
) -> Picture:
    """Return labelled faces of each attribute, to be checked by eye.

    Two rows an attribute: `count` faces with it, the surest first, and `count` without it, of those
    that a balanced vector is made of. With `spread` they go from the surest of these to the least
    sure in equal steps.
    """
    where: Tensor = next(generator.parameters())
    rows = []
    for side in (side for name in names for side in _balanced(labelled, name)):
        step = len(side) // count if spread else 1
        rows.append(side[:: max(1, step)][:count])
    white = torch.ones(count, 3, generator.size, generator.size)
    with torch.no_grad():
        drawn = [generator(labelled.latents[r].to(where.device)).cpu() for r in rows]
    return grid(torch.cat([torch.cat([d, white[len(d) :]]) for d in drawn]), count)


# --- vectors -------------------------------------------------------------------------------------


def attribute_vector(
    latents: Float[Tensor, "samples latents"],
    scores: Scores,
    count: int | None = None,
    random: torch.Generator | None = None,
) -> Vector:
    """Return the mean of vectors with an attribute less that of vectors without it.

    Both means are over the `confident` samples, or over `count` of them on each side, drawn with
    `random`. Raises `ParameterError` when there are fewer. Source: Li & Luo, figure 3.
    """
    sides = confident(scores)
    if count is not None:
        if random is None or not 1 <= count <= min(map(len, sides)):
            raise ParameterError(
                f"{count} of {min(map(len, sides))} samples a side can't be drawn; give a count "
                "from 1 to that, and a random stream"
            )
        sides = tuple(s[torch.randperm(len(s), generator=random)[:count]] for s in sides)
    return latents[sides[0]].mean(0) - latents[sides[1]].mean(0)


def balanced_vector(labelled: Labelled, name: str) -> Vector:
    """Return the vector of an attribute from samples that are equally bright on both sides.

    Readers are surest on some bright, or dark, faces, so that plain means differ in brightness
    too: the plain vector for glasses takes the light away. Brightness itself is not balanced.
    """
    with_it, without = _balanced(labelled, name)
    return labelled.latents[with_it].mean(0) - labelled.latents[without].mean(0)


def _balanced(labelled: Labelled, name: str) -> tuple[Tensor, Tensor]:
    balance = None if name == "brightness" else labelled.brightness
    return confident(labelled.scores[name], balance=balance)


def orthogonalised(vectors: dict[str, Vector]) -> dict[str, Vector]:
    """Return each vector less its projection on the span of all others.

    What is left has a dot product of 0 with every other vector of `vectors`, and changes nothing
    along them. What is lost is all that the attribute has in common with others: it is shorter, and
    where two attributes are one thing to the eye (an open mouth and a smile) it does less. Raises
    `ParameterError` when a vector lies in the span of the others, so that nothing is left.
    """
    stacked = torch.stack(list(vectors.values())).double()
    found = {}
    for row, (name, vector) in enumerate(vectors.items()):
        others = torch.cat([stacked[:row], stacked[row + 1 :]])
        basis = span(others) if len(others) else others.mT
        rest = stacked[row] - basis @ (basis.mT @ stacked[row])
        if rest.norm() < 1e-4 * stacked[row].norm():
            raise ParameterError(
                f"nothing of {name!r} is left beside the other attributes; leave one of them out"
            )
        found[name] = rest.to(vector.dtype)
    return found


def span(vectors: Float[Tensor, "vectors latents"]) -> Float[Tensor, "latents dimensions"]:
    """Return an orthonormal basis of what the vectors span, in columns."""
    left, sizes, _ = torch.linalg.svd(vectors.mT, full_matrices=False)
    return left[:, sizes > 1e-6 * sizes.max().clamp_min(1e-12)]


def edit(latent: Latent, vector: Vector, strength: float = 1.0) -> Latent:
    """Return z + strength v: 1 is the paper's edit, minus the strength undoes it.

    Source: Li & Luo, section 2.2.
    """
    return latent + strength * vector


# --- kept vectors --------------------------------------------------------------------------------


def vectors_for(
    generator: Generator,
    count: int = SAMPLES,
    seed: int = 0,
    attributes: Sequence[Attribute] = ATTRIBUTES,
    progress: Progress | None = None,
) -> dict[str, Vector]:
    """Return a generator's balanced vectors, made at the first call and kept in the cache.

    They are found again by the generator and its weights, the readers that labelled, `count` and
    `seed`. A file that is damaged is made again. An attribute that hardly any face has, or hardly
    any lacks, is left out.
    """
    facts = _facts(generator, count, seed)
    files = {a.name: _file(generator, {**facts, "label": a.label.by}) for a in attributes}
    with cache.lock(cache.cache_dir() / FOLDER / generator.id):
        missing = [a for a in attributes if not intact(files[a.name])]
        if missing:
            labelled = sample_labels(generator, count, seed, missing, progress)
            for name in labelled.scores:
                source = json.dumps({"attribute": name, **facts}, sort_keys=True)
                keep_weights(files[name], _made(labelled, name), source)
    found = {name: load_weights(file) for name, file in files.items()}
    return {name: held["vector"].clone() for name, held in found.items() if held}


def _facts(generator: Generator, count: int, seed: int) -> dict[str, Any]:
    return {
        "generator": generator.id,
        "weights": weights_sum(generator),
        "readers": {name: cache.sha256(MODELS / name) for name in LABELLERS}
        | {FACE_RES.name: FACE_RES.sha256},
        "count": count,
        "seed": seed,
        "confident": CONFIDENT,
        "parts": PARTS,
    }


def _file(generator: Generator, facts: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return cache.cache_dir() / FOLDER / f"{generator.id}-{digest[:24]}.safetensors"


def _made(labelled: Labelled, name: str) -> dict[str, Vector]:
    """Return the vector, or nothing where there are too few faces for one."""
    try:
        return {"vector": balanced_vector(labelled, name)}
    except ParameterError:
        return {}
