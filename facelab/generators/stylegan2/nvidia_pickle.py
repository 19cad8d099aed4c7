"""The averaged generator in a file of stylegan2-ada-pytorch, read without running what is in it.

NVIDIA publishes its networks as pickles of whole Python objects, with their source code: whoever
opens one runs it. Here it is read by `assets/inert_pickle.py`, which calls nothing. In it are

    {"G_ema": persistent object, ...}, made by torch_utils.persistence._reconstruct_persistent_obj
        of a dictionary whose "state" is the module's: _parameters, _buffers and _modules by name
    parameter   torch._utils._rebuild_parameter(tensor, ...)
    tensor      torch._utils._rebuild_tensor_v2(storage, offset, size, stride, ...)
    storage     torch.storage._load_from_bytes(bytes), which are a file of torch.save before 1.6: a
                magic number, a version, a description of the machine, a reference to the storage,
                and its key, each a pickle; then the number of elements, 8 bytes, and the elements

Sources: stylegan2-ada-pytorch's torch_utils/persistence.py and its README; torch/_utils.py and
torch/serialization.py. Files of the older TensorFlow version (dnnlib.tflib) are not read.
"""

import io
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facelab.assets import inert_pickle
from facelab.assets.inert_pickle import Made, Name, Reference
from facelab.errors import CheckpointError

NETWORK = "G_ema"
PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
NUMBERS = {"torch.FloatStorage": np.float32, "torch.HalfStorage": np.float16}


def is_one(path: Path) -> bool:
    """Tell whether a file begins as a pickle, but not as one of the several that torch.save writes.

    Raises `CheckpointError` for a file that can't be read.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(64)
    except OSError as error:
        raise CheckpointError(f"{path} can't be read ({error.strerror}); give a file") from error
    return start[:1] == b"\x80" and MAGIC.to_bytes(10, "little") not in start


def state_of(path: Path) -> dict[str, Tensor]:
    """Return the tensors of the averaged generator, by the names of its state dictionary.

    Raises `CheckpointError` for a file that is damaged or holds something else.
    """
    network = inert_pickle.entries(inert_pickle.read(path)).get(NETWORK)
    found = dict(_tensors(path, network, "", set()))
    if not found:
        kind = getattr(network, "kind", "") or type(network).__name__
        raise CheckpointError(
            f"{path} holds code (a Python pickle), which facelab never runs, and no generator of "
            f"stylegan2-ada-pytorch: its {NETWORK} is {kind}; give ffhq.pkl, or a state dictionary"
        )
    return found


def _tensors(path: Path, module: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a module and of those in it that were not `seen`, with their names."""
    if not isinstance(module, Made) or id(module) in seen:
        return
    seen.add(id(module))
    state = module.state
    if module.kind == PERSISTENT and isinstance(module.arguments, tuple):
        state = inert_pickle.entries(next(iter(module.arguments), None)).get("state")
    parts = inert_pickle.entries(state)
    for group in ("_parameters", "_buffers"):
        for name, value in inert_pickle.entries(parts.get(group)).items():
            if value is not None:
                yield f"{prefix}{name}", _tensor(path, f"{prefix}{name}", value)
    for name, inner in inert_pickle.entries(parts.get("_modules")).items():
        yield from _tensors(path, inner, f"{prefix}{name}.", seen)


def _tensor(path: Path, name: str, value: Any) -> Tensor:
    """Return the tensor that a value stands for. Raises `CheckpointError` for anything else."""
    match value:
        case Made(function=Name(full="torch._utils._rebuild_parameter"), arguments=(inner, *_)):
            value = inner
    match value:
        case Made(
            function=Name(full="torch._utils._rebuild_tensor_v2"),
            arguments=(
                Made(function=Name(full="torch.storage._load_from_bytes"), arguments=(data,)),
                int(offset), tuple(size), tuple(stride), *_,
            ),
        ):  # fmt: skip
            numbers = _storage(data) if isinstance(data, bytes) else None
            if numbers is not None and _within(len(numbers), offset, size, stride):
                return torch.from_numpy(numbers).as_strided(size, stride, offset).float().clone()
    raise CheckpointError(
        f"{path} has no numbers as {name}, or not enough; fetch it again, as NVIDIA publishes it"
    )


def _within(count: int, offset: int, size: tuple, stride: tuple) -> bool:
    """Tell whether a tensor lies in a storage of so many numbers, and has no more than it."""
    if not all(isinstance(n, int) and n >= 0 for n in (offset, *size, *stride)):
        return False
    if len(size) != len(stride) or math.prod(size) > count or 0 in size:
        return False
    return offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) < count


def _storage(data: bytes) -> np.ndarray | None:
    """Return the numbers of a storage that torch.save wrote before version 1.6, or None."""
    stream = io.BytesIO(data)
    try:
        magic, version, _, storage, _ = (inert_pickle.read_one(stream) for _ in range(5))
        (count,) = struct.unpack("<q", stream.read(8))
    except (ValueError, struct.error):
        return None
    match storage:
        case Reference(key=("storage", Name(full=kind), *_)) if kind in NUMBERS:
            content = stream.read()
            if (magic, version) != (MAGIC, VERSION):
                return None
            if count < 1 or len(content) != count * np.dtype(NUMBERS[kind]).itemsize:
                return None
            return np.frombuffer(content, NUMBERS[kind]).copy()
    return None
