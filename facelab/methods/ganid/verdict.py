"""What a search has found, judged by what it never saw: a detector and another embedder."""

from dataclasses import dataclass

import torch

from facelab.errors import ParameterError
from facelab.methods.ganid.scoring import Scorer, identity_distance
from facelab.methods.ganid.targets import Person
from facelab.recognition.align import align
from facelab.recognition.embedder import Embedder
from facelab.recognition.search import find_faces
from facelab.types import Latent


@dataclass(frozen=True)
class Verdict:
    """Distances of a found face from a person, squared, 0 to 4; None where MTCNN finds no face.

    `searched` is by the embedder that the search minimised, `unseen` by another one, both on the
    face as MTCNN aligns it. `searched_same` and `unseen_same` say whether that is below the
    embedder's own threshold.
    """

    searched: float | None
    unseen: float | None
    searched_embedder: str
    unseen_embedder: str
    searched_same: bool
    unseen_same: bool


@torch.no_grad()
def judge(scorer: Scorer, latent: Latent, person: Person, unseen: Embedder) -> Verdict:
    """Draw the face of a latent vector (1, latents), find it with MTCNN, and compare it twice.

    Raises `ParameterError` when `unseen` is the embedder that the search used.
    """
    require_unseen(scorer.embedder, unseen)
    face = scorer.faces(latent).cpu()
    found = find_faces(face)
    distances: list[float | None] = []
    for network in (scorer.embedder, unseen):
        if not len(found):
            distances.append(None)
            continue
        crop = align(face, found.landmarks[:1], network.template)
        where = next(network.parameters()).device
        embedding = network.embed(crop.to(where)).cpu()
        target = person.target(network).embeddings
        distances.append(float(identity_distance(embedding, target)))
    limits = (scorer.embedder.threshold_squared, unseen.threshold_squared)
    same = [d is not None and d < limit for d, limit in zip(distances, limits, strict=True)]
    return Verdict(*distances, scorer.embedder.id, unseen.id, *same)


def real_share(distance: float, *, random: float, same: float) -> float:
    """Return a distance on a scale that all embedders share: 1 for real pairs, 0 for random faces.

    `same` is the mean distance of two real pictures of one person and `random` that of a random
    generated face from a target, both by the embedder of `distance`. Above 1 a face is nearer than
    real pictures are. Raises `ParameterError` when random faces are no farther than real pairs.
    """
    if not random > same:
        raise ParameterError(
            f"random faces are {random:.3f} away and real pairs {same:.3f}, so that nothing lies "
            "between them; take an embedder that tells people apart"
        )
    return (random - distance) / (random - same)


def require_unseen(searched: Embedder, unseen: Embedder) -> None:
    """Raise `ParameterError` when both are the same embedder: it would judge itself."""
    if searched.id == unseen.id:
        raise ParameterError(
            f"{unseen.id} can't judge a search that it led; choose another embedder to judge by"
        )
