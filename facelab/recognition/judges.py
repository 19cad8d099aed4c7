"""Who may judge: no network that the training of what is judged looked through; what they say."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from facelab.errors import ParameterError
from facelab.recognition.embedder import Embedder
from facelab.recognition.face_readers import LANDMARKS, POSE
from facelab.recognition.pictures import rounded
from facelab.types import Embedding


def require_unseen(seen: Iterable[str], judge: str) -> None:
    """Raise `ParameterError` when a network that a loss saw, or a stage of it, is to judge.

    `seen` are the ids of the embedders that the loss looked through. `judge` is the id of an
    embedder or of an extractor of `metrics.extractors`: "dlib-stage4" and "dlib:dlib150" are parts
    of "dlib".
    """
    for name in seen:
        if judge == name or judge.startswith((f"{name}-stage", f"{name}:")):
            raise ParameterError(
                f"{judge} can't judge a network whose loss was computed with {name}: it would "
                "judge itself; choose another network, such as faceres"
            )


def judges_of(embedder: Embedder) -> dict[str, Any]:
    """Return who judges identity, and from which distance on, pose and landmarks, for a record."""
    return {
        "judge": embedder.id,
        "threshold_same_person": embedder.threshold_squared,
        "pose": POSE,
        "landmarks": LANDMARKS,
    }


def same_person(embedder: Embedder, a: Tensor, b: Tensor) -> list[bool]:
    """Return, row by row, whether embeddings are of one person by the embedder's threshold."""
    return (Embedder.distance(a, b) < embedder.threshold_squared).tolist()


def doubt_of_one_person(
    paths: Sequence[Path], embeddings: Embedding, embedder: Embedder
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return facts of pictures that shall show one person, and a doubt where two are seen there.

    `embeddings` are unit ones, a row a picture. Of one picture there is nothing to say.
    """
    if len(paths) < 2:
        return {}, ()
    apart = (embeddings[:, None] - embeddings[None]).square().sum(dim=2)
    first, second = divmod(int(apart.argmax()), len(paths))
    distance = float(apart[first, second])
    facts = {"farthest_distance": rounded(distance)}
    if distance <= embedder.threshold_squared:
        return facts, ()
    doubt = (
        f"{paths[first]} and {paths[second]} are {distance:.3f} apart, two people by "
        f"{embedder.id}'s threshold of {embedder.threshold_squared:.3f}; the faces will be of "
        "somebody between them"
    )
    return facts, (doubt,)
