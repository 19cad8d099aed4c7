"""What is shipped of a run: the networks that a user needs, in one small file with its header."""

import os
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from facelab.assets import networks as network_files
from facelab.engine import checkpoints
from facelab.engine.state import AVERAGE, NETWORK, tensors_below
from facelab.errors import CheckpointError


def export_weights(
    run: str | os.PathLike,
    path: str | os.PathLike,
    networks: Sequence[str] | None = None,
    *,
    half: bool = True,
    step: int | None = None,
) -> str:
    """Write networks of a run as one safetensors file and return its SHA-256.

    Averages are taken where the run keeps them. `networks` names them; by default those that have
    an average, or all if none has. A single network is written under its own names, as
    `facelab.assets.networks.load` reads it; of several, each tensor's name begins with its
    network's. `half` rounds to float16. `step` chooses a checkpoint, by default the newest that is
    whole. The header has method, config, step, seed and data.

    Raises `CheckpointError` when the run has no such checkpoint or network, or a number does not
    fit into float16, and `AssetError` when the file can't be written.
    """
    found = _checkpoint(Path(run), step)
    known = {kind: _names(found.tensors, kind) for kind in (NETWORK, AVERAGE)}
    chosen = list(networks or known[AVERAGE] or known[NETWORK])
    tensors: dict[str, Tensor] = {}
    for name in chosen:
        if name not in known[NETWORK]:
            raise CheckpointError(
                f"{found.path} has no network {name!r}; choose from: {', '.join(known[NETWORK])}"
            )
        kind = AVERAGE if name in known[AVERAGE] else NETWORK
        prefix = f"{name}." if len(chosen) > 1 else ""
        for key, tensor in tensors_below(found.tensors, f"{kind}/{name}/").items():
            tensors[prefix + key] = tensor
    owner = found.state["run"]
    return network_files.save_tensors(
        path,
        owner["method"],
        tensors,
        half=half,
        config=owner["config"],
        networks=chosen,
        step=found.state["step"],
        images=found.state["step"] * owner["batch"],
        seed=owner["seed"],
        data=owner["data"],
    )


def _checkpoint(run: Path, step: int | None) -> checkpoints.Checkpoint:
    if step is not None:
        return checkpoints.read(run / checkpoints.FOLDER / checkpoints.name_of(step))
    found = checkpoints.newest(run)
    if found is None:
        raise CheckpointError(f"{run} has no checkpoint; give the folder of a run")
    return found


def _names(tensors: dict[str, Tensor], kind: str) -> list[str]:
    parts = (name.split("/") for name in tensors)
    return list(dict.fromkeys(part[1] for part in parts if part[0] == kind))
