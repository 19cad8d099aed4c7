"""Do features lie in clusters by person? k-NN purity, silhouette, and the t-SNE picture.

    found = neighbourhood(features, people, random=random)
    drawn = neighbourhood(tsne(features, seed=0), people, random=random, distance="euclidean")

Figure 4 of d2ae (Liu et al. 2018) shows a picture alone. A picture of t-SNE pulls neighbours
together and tells little about distances, so the same numbers are taken of the features and of the
picture: what the picture shows more of than the features hold is t-SNE's work.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_samples
from torch import Tensor

from facelab.errors import ParameterError
from facelab.metrics.bootstrap import Interval, bootstrap_interval, weighted_mean
from facelab.metrics.features import Features, require_features, squared_distances

# Of rows brought to length one, as recognisers compare them; or of the rows as they are.
DISTANCES = ("cosine", "euclidean")
NEIGHBOURS = 5
PERPLEXITY = 30.0
CHUNK = 1000  # rows of distances that are computed at once

Rows = Float[Tensor, "faces features"]
People = Int[Tensor, " faces"]


@dataclass(frozen=True)
class Neighbourhood:
    """How far each person's faces keep to themselves.

    `purity` is the mean share of a face's nearest `neighbours` that show the same person, and
    `chance` what it is when people have nothing to do with places. `silhouette` is 1 where each
    person's faces are one point far from all others, about 0 or below where people overlap. Both
    are means over the faces of people with two faces or more. An interval is over people and leaves
    each face its neighbours; None with fewer than five people.
    """

    faces: int
    people: int
    distance: str
    neighbours: int
    purity: float
    purity_interval: Interval | None
    chance: float
    silhouette: float
    silhouette_interval: Interval | None


def neighbourhood(
    rows: Features,
    people: Int[Tensor, "..."],
    *,
    random: torch.Generator,
    neighbours: int = NEIGHBOURS,
    distance: str = "cosine",
    replicates: int = 1000,
) -> Neighbourhood:
    """Measure k-NN purity and silhouette of faces (faces, features) by who they show.

    A person with fewer than `neighbours` other faces is looked at for as many as he or she has.
    `random` draws the people of the intervals. Raises `ParameterError` when nobody has two faces,
    all faces are one person's, or rows and people differ in number.
    """
    if neighbours < 1:
        raise ParameterError(f"{neighbours} neighbours are too few; look at one or more")
    placed, people = _placed(rows, distance), people.cpu()
    several = _several(placed, people)
    purity = purities(placed, people, neighbours)[several]
    silhouette = torch.from_numpy(silhouette_samples(placed.numpy(), people.numpy()))[several]
    who = torch.stack([people[several]] * 2, dim=1)

    def interval(values: Float[Tensor, " faces"]) -> Interval | None:
        return bootstrap_interval(
            weighted_mean(values), who, generator=random, replicates=replicates
        )

    return Neighbourhood(
        faces=len(people),
        people=len(people.unique()),
        distance=distance,
        neighbours=neighbours,
        purity=float(purity.mean()),
        purity_interval=interval(purity),
        chance=float(_others(people)[several].double().mean() / (len(people) - 1)),
        silhouette=float(silhouette.mean()),
        silhouette_interval=interval(silhouette),
    )


def purities(rows: Rows, people: People, neighbours: int) -> Float[Tensor, " faces"]:
    """Return, for each face, the share of its nearest neighbours that show the same person.

    Neighbours are nearest by Euclidean distance; the face itself is none. As many are looked at as
    the person has other faces, at most `neighbours`; NaN where there is no other.
    """
    most = min(neighbours, len(people) - 1)
    found = []
    for chunk in torch.arange(len(people)).split(CHUNK):
        distances = squared_distances(rows[chunk], rows)
        distances[torch.arange(len(chunk)), chunk] = torch.inf
        found.append(distances.topk(most, largest=False).indices)
    same = people[torch.cat(found)] == people[:, None]  # (faces, most): the nearest first
    reach = _others(people).clamp(max=most)
    counted = torch.arange(most) < reach[:, None]
    return (same & counted).sum(1).double() / reach


def tsne(
    features: Features,
    *,
    seed: int,
    distance: str = "cosine",
    perplexity: float = PERPLEXITY,
) -> Float[Tensor, "faces 2"]:
    """Return a place in the plane for each face, by Barnes-Hut t-SNE from a random start.

    The seed decides the start: another one gives another picture, as good as this. Raises
    `ParameterError` unless `perplexity` is above 0 and below the number of faces. Source: van der
    Maaten 2014, "Accelerating t-SNE using tree-based algorithms", by scikit-learn.
    """
    placed = _placed(features, distance)
    if not 0 < perplexity < len(placed):
        raise ParameterError(
            f"a perplexity of {perplexity:g} does not go with {len(placed)} faces; it counts "
            "neighbours, so give a number above 0 and below that of the faces"
        )
    drawing = TSNE(
        n_components=2,
        perplexity=perplexity,
        method="barnes_hut",
        init="random",
        learning_rate="auto",
        random_state=seed,
    )
    return torch.from_numpy(drawing.fit_transform(placed.numpy()).astype(np.float64))


def _placed(features: Features, distance: str) -> Rows:
    """Return the rows in float64 on the CPU, whose Euclidean distances are those asked for."""
    rows = require_features(features, "given").cpu()
    if distance not in DISTANCES:
        raise ParameterError(
            f"there is no distance {distance!r}; choose one of: {', '.join(DISTANCES)}"
        )
    if distance == "euclidean":
        return rows
    if not (rows.norm(dim=1) > 0).all():
        raise ParameterError(
            "a feature is zero and has no direction; look at what made it, or measure by "
            "distance='euclidean'"
        )
    return torch.nn.functional.normalize(rows, dim=1)


def _others(people: People) -> People:
    """Return, for each face, how many other faces its person has."""
    _, index, counts = people.unique(return_inverse=True, return_counts=True)
    return counts[index] - 1


def _several(rows: Rows, people: Int[Tensor, "..."]) -> Bool[Tensor, " faces"]:
    """Return which faces show people with two faces or more, once there is something to measure."""
    if len(rows) != len(people):
        raise ParameterError(
            f"there are {len(rows)} faces and {len(people)} numbers of people; give one of each a "
            "face"
        )
    several = _others(people) > 0
    if not several.any() or len(people.unique()) < 2:
        raise ParameterError(
            f"{len(people)} faces of {len(people.unique())} people have no clusters to tell apart; "
            "give two people or more, and two faces of some"
        )
    return several
