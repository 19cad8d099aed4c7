"""Small trained networks in one file each: safetensors with a header that says what they are.

The header is JSON with the method, the configuration of the network and whatever else the method
keeps (a threshold, what it was trained on, how good it is). Nothing in a file is run, and no header
can ask for memory that the file's tensors don't have.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from facelab.assets.weights import load_weights, read_source, save_weights
from facelab.errors import AssetError, CheckpointError

Built = TypeVar("Built", bound=nn.Module)


def save(
    path: str | os.PathLike, method: str, network: nn.Module, *, half: bool = False, **facts: Any
) -> str:
    """Write a network as safetensors, beside and renamed, and return the file's SHA-256.

    `facts` are JSON values for the header, `config` among them. `half` rounds the tensors to
    float16. Raises `AssetError` when the file can't be written; what was there before is kept.
    """
    return save_tensors(path, method, network.state_dict(), half=half, **facts)


def save_tensors(
    path: str | os.PathLike,
    method: str,
    tensors: Mapping[str, Tensor],
    *,
    half: bool = False,
    **facts: Any,
) -> str:
    """Write a network's tensors by name, as `save` does.

    Raises `CheckpointError` when `half` would turn a finite number into an infinity.
    """
    if half:
        tensors = {k: _halved(k, t) if t.is_floating_point() else t for k, t in tensors.items()}
    source = json.dumps({"method": method, **facts}, sort_keys=True)
    return save_weights(path, dict(tensors), source)


def _halved(name: str, tensor: Tensor) -> Tensor:
    half = tensor.half()
    if not torch.equal(half.isinf(), tensor.isinf()):
        raise CheckpointError(
            f"{name} has numbers beyond float16's 65,504; save it with half=False"
        )
    return half


def load(
    path: str | os.PathLike, method: str, build: Callable[[dict[str, Any]], Built], writer: str
) -> tuple[Built, dict[str, Any]]:
    """Return the network of a file, frozen, float32, in evaluation mode, and the file's header.

    `build` makes the network of a header; `writer` is what messages call the function that writes
    such files. Raises `CheckpointError` when the file is missing, damaged, or of another method or
    configuration than its header says.
    """
    tensors, header = load_weights(path), read_header(path, method, writer)
    try:
        with torch.device("meta"):  # so that no header can ask for memory
            network = build(header)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} has a header that can't be used ({error}); save it again with {writer}"
        ) from error
    tensors = {k: t.float() if t.dtype == torch.float16 else t for k, t in tensors.items()}
    try:
        network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        config = getattr(network, "config", header.get("config"))
        raise CheckpointError(
            f"{path} does not hold the network of its header, {config}; save it again"
        ) from error
    return network.eval().requires_grad_(False), header


def read_header(path: str | os.PathLike, method: str, writer: str) -> dict[str, Any]:
    """Return the header of a file.

    Raises `CheckpointError` when it is missing, no safetensors file, or of another method.
    """
    try:
        source = read_source(path)
    except CheckpointError as error:
        reason = f"{path} can't be read ({error.__cause__})"
        raise CheckpointError(f"{reason}; give a file that {writer} wrote") from error
    try:
        header = json.loads(source)
    except ValueError:
        header = None
    found = header.get("method") if isinstance(header, dict) else None
    if found != method:
        raise CheckpointError(
            f"{path} is of {found or 'an unknown method'}, {method} expected; give a file that "
            f"{writer} wrote"
        )
    return header


def require_shipped(path: Path, training: str, writer: str) -> Path:
    """Return the path of a checkpoint that the book ships, named after its method.

    `training` is the command that trains one, `writer` names what exports it. Raises `AssetError`,
    which says both, while there is no such file.
    """
    if not path.exists():
        raise AssetError(
            f"no checkpoint of {path.stem} is shipped yet; train one with `{training}`, export it "
            f"with {writer}, and give the file"
        )
    return path
