"""Read the weights of a TensorFlow.js model, without TensorFlow.js.

Such a model is a JSON file and a file of bytes. In the JSON file `weightsManifest` lists the
tensors, in the order in which their values lie in the other file, little endian: each with its
name, shape and type. A float32 tensor may be stored as float16, which its `quantization` says.

Nothing is trusted: the tensors have to be exactly those that are expected, and all bytes have to be
used.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from facelab.errors import CheckpointError

# (dtype, the dtype in its quantization) -> how the values are stored.
STORED = {
    ("float32", "None"): "<f4",
    ("float32", "float16"): "<f2",
    ("int32", "None"): "<i4",
}
# What Python raises for JSON of another make.
MALFORMED = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
Shapes = Mapping[str, tuple[int, ...]]


class TfjsFile:
    """The model whose JSON file is `path`; the other file lies beside it.

    `holds` says what the model should be and `remedy` what to do when it is not, for the messages.
    """

    def __init__(self, path: str | os.PathLike, *, holds: str, remedy: str):
        self.path, self.holds, self.remedy = Path(path), holds, remedy

    def tensors(self, shapes: Shapes) -> dict[str, Tensor]:
        """Return the tensors by name, float32 or int32, in TensorFlow's order of dimensions.

        `shapes` are those that the model has to have, and no others. Raises `CheckpointError` that
        names what is missing, unknown, of another shape or type, or not finite.
        """
        entries, data = self._manifest(), self._read(self._beside())
        self._require_names([name for name, _, _ in entries], shapes)
        found, offset = {}, 0
        for name, shape, stored in entries:
            if shape != shapes[name]:
                self.fail(f"{name} of shape {shapes[name]}", f"shape {shape}")
            end = offset + math.prod(shape) * np.dtype(stored).itemsize
            if end > len(data):
                self.fail(f"{end:,} bytes up to {name}", f"{len(data):,}")
            values = np.frombuffer(data[offset:end], dtype=stored)
            found[name] = self._tensor(name, values, shape)
            offset = end
        if offset != len(data):
            self.fail(f"{offset:,} bytes of values", f"{len(data):,}")
        return found

    def fail(self, expected: str, found: str) -> NoReturn:
        """Raise `CheckpointError`: `expected` was due and `found` was there."""
        raise CheckpointError(
            f"{self.path} is not {self.holds}: expected {expected}, found {found}; {self.remedy}"
        )

    def _manifest(self) -> list[tuple[str, tuple[int, ...], str]]:
        """Return each tensor's name, shape and stored type, in the order of the bytes."""
        text = self._read(self.path)
        try:
            (group,) = json.loads(text)["weightsManifest"]
            paths, entries = group["paths"], [_fields(entry) for entry in group["weights"]]
        except MALFORMED as error:
            self.fail("JSON with a manifest of weights", f"{type(error).__name__} ({error!s:.80})")
        if paths != [self._beside().name]:
            self.fail(f"the values in {self._beside().name}", f"paths {paths!r:.80}")
        for name, shape, kinds in entries:
            if not isinstance(name, str) or not all(type(n) is int and n >= 0 for n in shape):
                self.fail("a name and a shape", f"{name!r:.80} and {shape!r:.80}")
            if kinds not in STORED:
                self.fail(f"{name} as float32, float16 or int32", f"{kinds!r:.80}")
        return [(name, shape, STORED[kinds]) for name, shape, kinds in entries]

    def _require_names(self, names: list[str], shapes: Shapes) -> None:
        unknown = [name for name in names if name not in shapes]
        missing = [name for name in shapes if name not in names]
        if unknown or missing:
            wrong = f"an unknown {unknown[0]!r:.80}" if unknown else f"no {missing[0]}"
            self.fail(f"its {len(shapes)} tensors", wrong)
        if len(names) != len(shapes):
            self.fail(f"its {len(shapes)} tensors", f"{len(names)}, some of them twice")

    def _tensor(self, name: str, values: np.ndarray, shape: tuple[int, ...]) -> Tensor:
        if not np.isfinite(values).all():
            self.fail(f"finite values in {name}", "a NaN or an infinity")
        kind = np.int32 if values.dtype.kind == "i" else np.float32
        return torch.from_numpy(values.astype(kind).reshape(shape))

    def _beside(self) -> Path:
        return self.path.with_suffix(".bin")

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise CheckpointError(
                f"{path} can't be read ({error.strerror or error}); {self.remedy}"
            ) from error


def _fields(entry: dict) -> tuple:
    """Return a tensor's name, its shape, and its type with the one that it is stored in."""
    kinds = entry["dtype"], entry.get("quantization", {}).get("dtype")
    return entry["name"], tuple(entry["shape"]), tuple(map(str, kinds))
