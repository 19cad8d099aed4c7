"""Read numbers from MATLAB files that others made, and nothing else of them.

A file is read when it is of MATLAB's level 5 (saved by 5 to 7) and each array that is asked for is
of numbers and of the expected shape. Objects and functions are refused, wherever they are; any
other array is skipped unread. Level 4, and 7.3, which is HDF5, are refused. Nothing is unpickled:
scipy's reader of level 5 (scipy/io/matlab, 1.17) has no way to.

The header is 128 bytes: a text that begins with "MATLAB 5.0", and at its end the version 0x0100 and
the two letters MI in the writer's byte order (MathWorks, MAT-File Format).
"""

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import numpy as np

from facelab.errors import DatasetError

Shape = tuple[int | None, ...]

# Deflate makes at most a thousand bytes of one, so that a small file can't become a large one.
MOST_BYTES = 1 << 18
HEADER = 128
WHOLE = tuple(f"int{bits}" for bits in (8, 16, 32, 64))
NUMBERS = {"double", "single", *WHOLE, *(f"u{name}" for name in WHOLE)}
CODE = {"object", "opaque", "function"}


def read(
    path: Path, shapes: Mapping[str, Shape], *, most_bytes: int = MOST_BYTES
) -> dict[str, np.ndarray]:
    """Return the arrays that `shapes` names, of float64 or of the whole numbers in the file.

    A shape (n,) is that of a row or of a column, and comes back as (n,); None stands for any
    length. Raises `DatasetError`, naming the file, when it is missing, too large, damaged or of
    another format, lacks an array, or has one of another kind or shape, or of a number that isn't
    finite.
    """
    import scipy.io

    data = _bytes(path, most_bytes)
    try:
        listed = {name: (shape, kind) for name, shape, kind in scipy.io.whosmat(io.BytesIO(data))}
        _require(path, listed, shapes)
        found = scipy.io.loadmat(io.BytesIO(data), variable_names=list(shapes))
        arrays = {name: np.asarray(found[name]) for name in shapes}
    except DatasetError:
        raise
    # The reader meets whatever bytes a damaged file has, so it may raise anything.
    except Exception as error:
        raise _damaged(path, error) from error
    return {name: _checked(path, name, arrays[name], shape) for name, shape in shapes.items()}


def _bytes(path: Path, most: int) -> bytes:
    """Return a file's content, if it is a file of level 5."""
    try:
        size = path.stat().st_size
        if size > most:
            _fail(path, f"{size:,} bytes", f"at most {most:,}")
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise DatasetError(f"{path} can't be read ({reason}); unpack the archive again") from error
    if data.startswith((b"MATLAB 7.3", b"\x89HDF")):
        _fail(path, "the format of MATLAB 7.3 (HDF5)", "that of MATLAB 5 to 7")
    version = data[HEADER - 4 : HEADER]
    if not data.startswith(b"MATLAB 5.0") or version not in (b"\x00\x01IM", b"\x01\x00MI"):
        _fail(path, f"a header that begins with {data[:10]!r}", "that of MATLAB 5 to 7")
    return data


def _require(path: Path, listed: Mapping[str, tuple], shapes: Mapping[str, Shape]) -> None:
    """Raise `DatasetError` unless the file says that it has these arrays, and no code."""
    for name, (_, kind) in listed.items():
        if kind in CODE:
            _fail(path, f"{name} of the kind {kind}", "nothing but arrays")
    for name, shape in shapes.items():
        if name not in listed:
            _fail(path, f"no {name}", f"one of shape {_spelled(shape)}")
        actual, kind = listed[name]
        if kind not in NUMBERS:
            _fail(path, f"{name} of the kind {kind}", "numbers")
        _require_shape(path, name, actual, shape)


def _require_shape(path: Path, name: str, actual: tuple[int, ...], shape: Shape) -> None:
    """Raise `DatasetError` unless an array is of the shape."""
    if len(shape) == 1:
        row_or_column = len(actual) == 2 and 1 in actual
        fits = row_or_column and shape[0] in (None, math.prod(actual))
    else:
        fits = len(actual) == len(shape) and all(
            wanted in (None, length) for length, wanted in zip(actual, shape, strict=True)
        )
    if not fits or not math.prod(actual):
        _fail(path, f"{name} of shape {_spelled(actual)}", _spelled(shape))


def _checked(path: Path, name: str, values: np.ndarray, shape: Shape) -> np.ndarray:
    """Return an array as it was asked for. The file may have said one thing and held another."""
    if values.dtype.kind not in "fiu":
        _fail(path, f"{name} of type {values.dtype}", "numbers")
    _require_shape(path, name, values.shape, shape)
    if not np.isfinite(values).all():
        _fail(path, f"a value in {name} that isn't finite", "numbers")
    return values.reshape(-1) if len(shape) == 1 else values


def _spelled(shape: Shape) -> str:
    return " x ".join("any" if length is None else f"{length:,}" for length in shape)


def _damaged(path: Path, error: Exception) -> DatasetError:
    reason = (str(error).splitlines() or [""])[0][:120] or type(error).__name__
    return DatasetError(f"{path} is damaged ({reason}); unpack the archive again")


def _fail(path: Path, found: str, expected: str) -> NoReturn:
    raise DatasetError(
        f"{path} has {found}, expected {expected}; give the file as it was published"
    )
