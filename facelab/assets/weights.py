"""Weights: read without running code, converted to safetensors once, kept with their sum."""

import hashlib
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from facelab.assets import cache, store
from facelab.errors import AssetError, CheckpointError

SUFFIX = re.compile(r"[a-z0-9][a-z0-9_-]*")


def load_weights(path: str | os.PathLike) -> dict[str, Any]:
    """Read a file of weights onto the CPU: safetensors, or PyTorch's own format without any code.

    Returns name -> tensor; a PyTorch checkpoint may nest such dictionaries. The suffix or the
    content says which format it is. Raises `CheckpointError` when the file is missing, damaged, or
    holds code, which is never run.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            head = stream.read(9)
    except OSError as error:
        raise CheckpointError(
            f"{path} can't be read ({error.strerror}); give a file of weights"
        ) from error
    # A safetensors file starts with the length of its header, 8 bytes, and the header: JSON.
    if path.suffix == ".safetensors" or head[8:] == b"{":
        return _load_safetensors(path)
    return _load_checkpoint(path)


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _load_checkpoint(path: Path) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    # The reader meets whatever bytes a damaged file has, so it may raise anything.
    except Exception as error:
        raise _refused(path, error) from error
    if not isinstance(loaded, dict):
        raise CheckpointError(
            f"{path} holds a {type(loaded).__name__}, not a dictionary of tensors; "
            "save the network's state_dict() instead"
        )
    return loaded


def _refused(path: Path, error: Exception) -> CheckpointError:
    """Tell code, which torch names as a GLOBAL or meets as a pickle of its own, from damage."""
    code = re.search(r"GLOBAL ([\w.]+)", str(error))
    with path.open("rb") as stream:
        is_pickle = stream.read(1) == b"\x80"
    if code or (is_pickle and "Unsupported operand" in str(error)):
        return CheckpointError(
            f"{path} holds code ({code[1] if code else 'a Python pickle'}), which facelab never "
            "runs; load it where you trust it and save the tensors alone with "
            "safetensors.torch.save_file"
        )
    return _damaged(path, error)


def _damaged(path: Path, error: Exception) -> CheckpointError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if reason.startswith("Weights only load failed"):
        reason = "not in PyTorch's format"
    return CheckpointError(
        f"{path} is damaged, cut short or not a file of weights ({reason[:120]}); "
        "fetch or copy it again"
    )


def save_weights(path: str | os.PathLike, tensors: dict[str, Tensor], source: str) -> str:
    """Write tensors as safetensors, beside and renamed, and return the file's SHA-256.

    `source` is kept in the file's header. Raises `AssetError` when the file can't be written; what
    was there before is kept.
    """
    path = Path(path)
    data = safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        metadata={"source": source},  # one entry: their order is not fixed
    )
    with cache.writing(path.name, path):
        cache.write_beside(path, data)
    return hashlib.sha256(data).hexdigest()


def read_source(path: str | os.PathLike) -> str:
    """Return what `save_weights` kept in the header of a file of weights, or "" without it.

    Raises `CheckpointError` when the file is missing or no safetensors file.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as opened:
            return (opened.metadata() or {}).get("source", "")
    except (SafetensorError, OSError) as error:
        raise _damaged(Path(path), error) from error


def derived(name: str, suffix: str, convert: Callable[[Path], dict[str, Tensor]]) -> Path:
    """Return a safetensors file that is made once from an asset.

    `convert` takes the asset's path. The file is found again by the asset's SHA-256 and `suffix`,
    so a changed conversion needs another suffix. A file that is damaged is made again. Processes
    that ask at the same time wait for the first.
    """
    target = derived_path(name, suffix)
    if not intact(target):
        with cache.lock(target):
            if not intact(target):
                source = f"{name} {store.find(name).sha256}"
                keep_weights(target, convert(store.path(name)), source)
    return target


def keep_weights(target: Path, tensors: dict[str, Tensor], source: str) -> None:
    """Write tensors as `save_weights` does, with the file's sum beside it, for `intact`.

    Call it with `target` locked.
    """
    for left in target.parent.glob(f".{target.name}.*"):
        left.unlink(missing_ok=True)  # of a process that was killed
    made = save_weights(target, tensors, source)
    with cache.writing(target.name, target):
        cache.write_beside(_expected(target), made.encode())


def derived_path(name: str, suffix: str) -> Path:
    """Return where `derived` keeps its file, whether or not it is there."""
    if not SUFFIX.fullmatch(suffix):
        raise AssetError(f"suffix {suffix!r} of {name} must be of a-z, 0-9, _ and -")
    stem = f"{name}-{store.find(name).sha256[:16]}-{suffix}"
    return cache.cache_dir() / "derived" / f"{stem}.safetensors"


def verify_weights(path: str | os.PathLike, tensors: dict[str, Tensor]) -> None:
    """Compare a file of weights with the tensors that it should hold, bit by bit.

    Raises `CheckpointError` that names the first tensor that is missing, unknown or different.
    """
    found = load_weights(path)
    for name in sorted(found.keys() | tensors.keys()):
        if name not in found or name not in tensors:
            where = "lacks" if name in tensors else "has an unknown tensor"
            raise CheckpointError(f"{path} {where} {name}; make it again")
        have, want = found[name], tensors[name]
        if have.dtype != want.dtype or not torch.equal(have, want):
            raise CheckpointError(f"{path}: {name} differs from the asset's; make it again")


def _expected(target: Path) -> Path:
    return target.with_suffix(".sha256")


def intact(target: Path, fresh: bool = False) -> bool:
    """Whether the file has the sum that was kept when it was made; `fresh` computes it anew."""
    if not (target.is_file() and _expected(target).is_file()):
        return False
    sums = cache.Sums(target.with_suffix(".sums.json"))
    found = sums.of(target, fresh)
    sums.save()
    return found == _expected(target).read_text(encoding="ascii", errors="replace").strip()
