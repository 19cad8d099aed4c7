"""Trained transfers as files: what `facelab transfer` and the chapter load.

Two kinds of files are read, both of `facelab.engine.export.export_weights`: T and E of a run of
diat-enhancement, and T alone of a run of diat. Their headers say for which task they are.
"""

import os
from pathlib import Path
from typing import Any

from facelab.assets import networks
from facelab.errors import AssetError, CheckpointError
from facelab.methods.diat import enhancement, training
from facelab.methods.diat.networks import TransformNetwork
from facelab.methods.diat.tasks import TASKS, find_task
from facelab.methods.diat.transfer import Transfer

MODELS = Path(__file__).parent / "models"
WRITER = "facelab.engine.export.export_weights"


def load(path: str | os.PathLike, device: str = "cpu") -> Transfer:
    """Return the transfer of a file, frozen, in evaluation mode, on `device`.

    `export_weights(run, path, ("transform", "enhancer"))` wrote it of a run of diat-enhancement, or
    `export_weights(run, path, ("transform",))` of one of diat: then it has no second stage. Raises
    `CheckpointError` when the file is missing, damaged, or of another method or configuration than
    its header says. Runs no code of the file.
    """
    if not _has_t_alone(path):
        transfer, _ = networks.load(path, enhancement.METHOD, _transfer, WRITER)
    else:
        transform, header = load_transform(path)
        config = training.Config.from_json(header["config"])
        transfer = Transfer(find_task(config.task), config.size, transform)
    return transfer.eval().to(device)


def read_header(path: str | os.PathLike) -> dict[str, Any]:
    """Return the header of a file that `load` reads; its `method` says which of the two it is.

    Raises `CheckpointError` when the file is missing, damaged or of another method.
    """
    method = training.METHOD if _has_t_alone(path) else enhancement.METHOD
    return networks.read_header(path, method, WRITER)


def _has_t_alone(path: str | os.PathLike) -> bool:
    """Tell a file of T from one of both stages, and from what can't be read, which is neither."""
    try:
        networks.read_header(path, training.METHOD, WRITER)
    except CheckpointError:
        return False
    return True


def load_transform(path: str | os.PathLike) -> tuple[TransformNetwork, dict[str, Any]]:
    """Return the T of a run of diat, frozen, in evaluation mode, and its file's header.

    `export_weights(run, path, ("transform",))` wrote it. The header has the run's config, its
    steps, seed and data. Raises `CheckpointError` as `load` does.
    """
    return networks.load(path, training.METHOD, _transform, WRITER)


def _transform(header: dict[str, Any]) -> TransformNetwork:
    return TransformNetwork(training.Config.from_json(header["config"]).transform)


def _transfer(header: dict[str, Any]) -> Transfer:
    config = enhancement.Config.from_json(header["config"])
    transform, enhancer = TransformNetwork(config.game.transform), enhancement.new_enhancer(config)
    return Transfer(config.task, config.size, transform, enhancer, config.sigma_px)


# --- what is shipped -----------------------------------------------------------------------------


def book_path(task: str) -> Path:
    """Return the shipped file of a task.

    Raises `ParameterError` when there is no such task, and `AssetError` while it has no file.
    """
    found = find_task(task)
    path = MODELS / f"{found.name}.safetensors"
    if not path.exists():
        data = f"DATA:to:{'' if found.to else 'no-'}{found.attribute}"
        raise AssetError(
            f"no checkpoint of {found.name} is shipped yet; train one with `facelab train "
            f"{training.METHOD}:{found.name} --data {data} -o RUN`, export it with {WRITER}, and "
            f"give the file; there are: {', '.join(shipped()) or 'none'}"
        )
    return path


def book(task: str, device: str = "cpu") -> Transfer:
    """Return the shipped transfer of a task. Raises as `book_path` does."""
    return load(book_path(task), device)


def shipped() -> tuple[str, ...]:
    """Return the tasks that have a shipped file, in the order of `tasks.TASKS`."""
    return tuple(name for name in TASKS if (MODELS / f"{name}.safetensors").exists())
