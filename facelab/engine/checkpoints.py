"""Checkpoints: a folder each, whole or not there, that says which run it belongs to.

    RUN/checkpoints/step-00001200/weights.safetensors   networks, averages, optimisers
    RUN/checkpoints/step-00001200/state.json            everything else, and the weights' SHA-256

A folder is written under another name and renamed when all of it is on the disk. `state.json` has
the sum of the weights and of itself, so that a file that was cut, changed or swapped is noticed.
Nothing in a checkpoint is run: it is safetensors and JSON.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from facelab import assets
from facelab.assets import cache
from facelab.errors import AssetError, CheckpointError

VERSION = 1
FOLDER, WEIGHTS, STATE = "checkpoints", "weights.safetensors", "state.json"
PREFIX = "step-"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read: its folder, tensors by name, and state as JSON values."""

    path: Path
    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]


def save(
    run: Path,
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Any],
    *,
    keep: int = 2,
    best: int | None = None,
) -> Path:
    """Write a checkpoint, drop all but the last `keep` and that of step `best`; return its folder.

    `state` has at least "step" and "run", the latter what a run must have in common with it to go
    on. Raises `CheckpointError` when it can't be written; the earlier ones are all kept then.
    """
    folder = run / FOLDER
    target = folder / name_of(state["step"])
    part = folder / f".{target.name}.{os.getpid()}"
    try:
        with cache.writing(target.name, target):
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            part.mkdir()
            _write(part, tensors, state)
            _put(part, target)
    except AssetError as error:
        shutil.rmtree(part, ignore_errors=True)
        last = steps(run)
        kept = f"the last good checkpoint is {folder / last[-1]}" if last else "there was none yet"
        raise CheckpointError(f"{error}; {kept}") from error
    _rotate(run, keep, best)
    return target


def _write(part: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    owner = json.dumps(state["run"], sort_keys=True)
    sha256 = assets.save_weights(part / WEIGHTS, _apart(tensors), owner)
    content = {"version": VERSION, "weights_sha256": sha256, **state}
    text = json.dumps(content | {"sum": _sum(content)}, sort_keys=True, indent=1, allow_nan=False)
    (part / STATE).write_text(text + "\n", encoding="utf-8")
    for path in (part / WEIGHTS, part / STATE, part):
        _flush(path)


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors, copied where two share memory: the format has no such thing."""
    seen, found = set(), {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        found[name] = tensor.detach().clone() if place in seen else tensor
        seen.add(place)
    return found


def _sum(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _flush(path: Path) -> None:
    """Have a file's or a folder's bytes on the disk before anything says that they are there."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put(part: Path, target: Path) -> None:
    if target.exists():  # a damaged one that was passed over, or the same step saved again
        _drop(target)
    os.replace(part, target)
    _flush(target.parent)


def _drop(folder: Path) -> None:
    """Remove a checkpoint so that nobody ever sees half of it."""
    hidden = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    os.replace(folder, hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what a killed process left."""
    for left in folder.glob(f".{PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)


def _rotate(run: Path, keep: int, best: int | None) -> None:
    known = steps(run)
    stay = set(known[-keep:]) | ({name_of(best)} if best is not None else set())
    for name in known:
        if name not in stay:
            with contextlib.suppress(OSError):  # it only takes room
                _drop(run / FOLDER / name)


def name_of(step: int) -> str:
    """Return the name of the checkpoint after so many steps."""
    return f"{PREFIX}{step:08d}"


def steps(run: Path) -> list[str]:
    """Return the names of a run's checkpoints, the oldest first."""
    return sorted(path.name for path in (run / FOLDER).glob(f"{PREFIX}*") if path.is_dir())


def newest(run: Path, owner: Mapping[str, Any] | None = None) -> Checkpoint | None:
    """Return a run's newest checkpoint that is whole; None for a run without any.

    Says on standard error what is wrong with newer ones. Raises `CheckpointError` when it is of
    another run than `owner` describes, or when there are some and none of them is whole.
    """
    wrong: list[str] = []
    for name in reversed(steps(run)):
        try:
            found = read(run / FOLDER / name)
        except CheckpointError as error:
            wrong.append(str(error))
            continue
        if owner is not None:
            require_owner(found, owner)
        for problem in wrong:
            print(f"passed over: {problem}", file=sys.stderr)
        return found
    if wrong:
        raise CheckpointError(
            f"no checkpoint of {run} can be used ({'; '.join(wrong)}); start anew in another folder"
        )
    return None


def read(path: Path) -> Checkpoint:
    """Return a checkpoint. Raises `CheckpointError` when a file of it is missing or changed."""
    state = _read_state(path)
    with _readable(path / WEIGHTS):
        found = cache.sha256(path / WEIGHTS)
    if found != state["weights_sha256"]:
        raise CheckpointError(
            f"{path / WEIGHTS} has the SHA-256 {found[:16]}..., expected "
            f"{state['weights_sha256'][:16]}...: it was cut short or changed"
        )
    return Checkpoint(path, assets.load_weights(path / WEIGHTS), state)


def _read_state(path: Path) -> dict[str, Any]:
    with _readable(path / STATE):
        text = (path / STATE).read_text(encoding="utf-8", errors="replace")
    try:
        state = json.loads(text)
        expected = state.pop("sum")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{path / STATE} is no state of a run, or cut short") from error
    if _sum(state) != expected:
        raise CheckpointError(f"{path / STATE} was changed after it was written")
    if state.get("version") != VERSION:
        raise CheckpointError(
            f"{path} is of version {state.get('version')}, this facelab reads {VERSION}"
        )
    return state


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"{path} can't be read ({error.strerror or error})") from error


def require_owner(found: Checkpoint, owner: Mapping[str, Any]) -> None:
    """Raise `CheckpointError` that names what differs, unless the checkpoint is of such a run."""
    theirs, ours = _flat(found.state["run"]), _flat(json.loads(json.dumps(owner)))
    for name in dict.fromkeys([*ours, *theirs]):
        if theirs.get(name) != ours.get(name):
            raise CheckpointError(
                f"{found.path} belongs to another run: its {name} is {theirs.get(name)!r}, here it "
                f"is {ours.get(name)!r}; use the same {name}, or give another folder"
            )


def _flat(values: Any, name: str = "") -> dict[str, Any]:
    """Return nested JSON objects as one, with names such as "config.width"."""
    if not isinstance(values, dict):
        return {name: values}
    return {
        key: value
        for part, inner in values.items()
        for key, value in _flat(inner, f"{name}.{part}" if name else part).items()
    }
