"""Who may judge: no network that the training of what is judged looked through."""

from collections.abc import Iterable

from facelab.errors import ParameterError


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
