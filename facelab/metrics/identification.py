"""Identification: who of many is it? Embeddings in, hit rates out.

Faces are compared by the squared distance of unit embeddings: the smaller, the more similar.
"""

from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, Int
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from facelab.types import Embedding


def rank_k(
    *,
    probes: Float[Tensor, "probes features"],
    probe_people: Int[Tensor, " probes"],
    gallery: Float[Tensor, "entries features"],
    gallery_people: Int[Tensor, " entries"],
    ranks: Sequence[int] = (1, 5),
    failed_probes: int = 0,
) -> dict[int, float]:
    """Return, for each k, the share of probes whose person is among the k closest people.

    A person with several gallery entries stands where the closest of them stands (so k counts
    people, not pictures). `failed_probes` pictures gave no face: they count as misses. Raises
    `ValueError` when a probe's person is not in the gallery: the measure is for closed sets.
    """
    missing = set(probe_people.tolist()) - set(gallery_people.tolist())
    if missing:
        raise ValueError(
            f"{len(missing)} of the probes' people are not in the gallery (the first: "
            f"{min(missing)}); rank-k needs a gallery with everybody"
        )
    _, order = _neighbours(gallery, probes, len(gallery))
    ranked = gallery_people.numpy()[order]  # (probes, entries): the closest entry first
    wanted = probe_people.numpy()[:, None]
    hit = (ranked == wanted).argmax(axis=1)
    people_before = np.array([len(set(row[:at])) for row, at in zip(ranked, hit, strict=True)])
    total = len(people_before) + failed_probes
    return {k: float((people_before < k).sum() / total) for k in ranks}


def knn_purity(
    *, embeddings: Embedding, people: Int[Tensor, " batch"], neighbours: int = 5
) -> float:
    """Return the mean share of a face's nearest neighbours that are of the same person.

    The face itself is not among them. Where a person has no `neighbours` other faces, as many as he
    or she has are looked at; people with a single face are left out. Raises `ValueError` when
    nobody has two faces.
    """
    counts = people.bincount(minlength=int(people.max()) + 1)[people] - 1  # other faces of the same
    reach = counts.clamp(max=neighbours).numpy()
    if not reach.any():
        raise ValueError("nobody has two faces; purity needs people with at least two")
    _, order = _neighbours(embeddings, embeddings, min(neighbours + 1, len(people)))
    shares = []
    for face, row in enumerate(order):
        others = row[row != face][: reach[face]]
        if reach[face]:
            shares.append(np.mean(people.numpy()[others] == people[face].item()))
    return float(np.mean(shares))


def _neighbours(
    faces: Float[Tensor, "faces features"], near: Float[Tensor, "points features"], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return distances and indices, (points, count), of the faces closest to each point."""
    points, others = (F.normalize(x.double(), dim=1).numpy() for x in (near, faces))
    return NearestNeighbors(n_neighbors=count, algorithm="brute").fit(others).kneighbors(points)
