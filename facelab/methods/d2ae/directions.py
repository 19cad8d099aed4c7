"""The ways to attributes as a file of their own, beside the checkpoint that they were found for.

    plane = probe.attributes["Smiling"].boundary  # metrics.probes.attribute_probe of model.features
    smiling = Direction("Smiling", "p", torch.tensor(plane.direction))
    save(beside(file), [smiling], file)

Another training has other channels, so a file names its checkpoint by SHA-256.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facelab.assets import cache, networks
from facelab.assets.weights import load_weights
from facelab.errors import AssetError, CheckpointError, ParameterError
from facelab.methods.d2ae import checkpoint as checkpoints
from facelab.methods.d2ae.editing import Direction, along

METHOD = "d2ae-directions"
WRITER = "facelab.methods.d2ae.directions.save"
TENSORS = ("intercepts", "reaches", "vectors")


@dataclass(frozen=True)
class Stored:
    """What a file has: directions by name, how far codes go along each, and the rest of its header.

    `checkpoint_sha256` is that of the file they belong to; `facts` what else was said at saving.
    """

    directions: dict[str, Direction]
    reaches: dict[str, float]
    checkpoint_sha256: str
    facts: dict[str, Any]


def beside(checkpoint: str | os.PathLike) -> Path:
    """Return where the directions of a checkpoint lie: FILE.directions.safetensors."""
    return Path(checkpoint).with_suffix(".directions.safetensors")


def save(
    path: str | os.PathLike,
    directions: Sequence[Direction],
    checkpoint: str | os.PathLike,
    **facts: Any,
) -> str:
    """Write directions of a checkpoint's codes, beside and renamed; return the file's SHA-256.

    `facts` are JSON values for the header: what they were found on, how well they tell. Raises
    `ParameterError` for no direction, two of a name or one that does not fit; `CheckpointError` for
    a checkpoint that can't be used; `AssetError` when the file can't be written.
    """
    names = [direction.name for direction in directions]
    if not names or len({*names}) < len(names):
        raise ParameterError(
            f"directions are of {', '.join(names) or 'nothing'}; give one or more, each of its own "
            "name"
        )
    model = checkpoints.load(checkpoint)
    tensors = {
        "vectors": torch.stack([direction.vector.float() for direction in directions]),
        "intercepts": torch.tensor([float(direction.intercept) for direction in directions]),
        "reaches": torch.tensor([along(model, direction) for direction in directions]),
    }
    header = {
        "names": names,
        "branches": [direction.branch for direction in directions],
        "checkpoint_sha256": cache.sha256(Path(checkpoint)),
        "facts": facts,
    }
    return networks.save_tensors(path, METHOD, tensors, **header)


def read_directions(path: str | os.PathLike) -> Stored:
    """Return what a file has, of whichever checkpoint. Runs no code of it.

    Raises `CheckpointError` when it is missing, damaged, or no file that `save` wrote.
    """
    tensors, header = load_weights(path), networks.read_header(path, METHOD, WRITER)
    try:
        return _stored(tensors, header)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} does not hold the directions of its header ({error}); write it again with "
            f"{WRITER}"
        ) from error


def _stored(tensors: dict[str, Tensor], header: dict[str, Any]) -> Stored:
    """Return what the parts of a file say. Raises what `read_directions` turns into one error."""
    names = [str(name) for name in header["names"]]
    intercepts, reaches, vectors = (tensors[name].float() for name in TENSORS)
    if vectors.ndim != 2 or len({*names}) < len(names):
        raise ValueError(f"vectors of shape {tuple(vectors.shape)}, names {names}")
    branches, sums = header["branches"], str(header["checkpoint_sha256"])
    rows = zip(names, branches, vectors, intercepts.tolist(), strict=True)
    found = {name: Direction(name, *rest) for name, *rest in rows}
    far = dict(zip(names, reaches.tolist(), strict=True))
    return Stored(found, far, sums, dict(header.get("facts", {})))


def load(path: str | os.PathLike, checkpoint: str | os.PathLike) -> dict[str, Direction]:
    """Return the directions of a file by their names, for this file of the autoencoder.

    Raises `CheckpointError` when they are of another checkpoint, or as `read_directions` does.
    """
    found = read_directions(path)
    wanted = cache.sha256(Path(checkpoint))
    if found.checkpoint_sha256 != wanted:
        raise CheckpointError(
            f"{path} has directions of another checkpoint (SHA-256 {found.checkpoint_sha256[:12]}; "
            f"{checkpoint} has {wanted[:12]}); give that checkpoint, or directions that {WRITER} "
            "wrote for this one"
        )
    return found.directions


def path_for(checkpoint: Path) -> Path:
    """Return the file of directions beside a checkpoint; `AssetError` while there is none."""
    path = beside(checkpoint)
    if not path.exists():
        raise AssetError(
            f"{path} does not exist, so {checkpoint.name} has no directions of attributes; find "
            f"some with facelab.metrics.probes.attribute_probe and write them with {WRITER}, or "
            "give a file of them"
        )
    return path


def book() -> dict[str, Direction]:
    """Return those of the shipped autoencoder; `AssetError` while it or they aren't shipped."""
    file = checkpoints.book_path()
    return load(path_for(file), file)
