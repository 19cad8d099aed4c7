"""Read a network that dlib has saved, without dlib and without pickle.

dlib writes a file as one stream of integers, text and tensors, with no table of contents, so the
reader has to know what comes next. Four forms are enough (dlib's serialize.h, float_details.h and
tensor.h):

integer   one control byte (highest bit: the sign; lowest four bits: the number of bytes, 1 to 8),
          then the absolute value, little endian
text      its length as an integer, then the bytes
real      two integers, mantissa and exponent: mantissa 2^exponent
tensor    five integers (version 2, then samples, channels, rows, columns), then float32 values,
          little endian

Nothing is trusted: every length is compared with the bytes that are left before anything is
allocated, and whatever differs from what is expected is an error that names the offset.
"""

import math
import os
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from facelab.errors import CheckpointError

# The largest exponent that float_details gives to a finite number; above it: infinities and NaN.
_FINITE_EXPONENT = 16_384


class DlibFile:
    """A cursor over the bytes of one file that dlib wrote; each method reads one value.

    `holds` says what the file should be, for the messages. Every method raises `CheckpointError`
    with the file, the offset, what was expected and the remedy.
    """

    def __init__(self, path: str | os.PathLike, *, holds: str, remedy: str):
        self.path, self.holds, self.remedy = Path(path), holds, remedy
        self.offset = 0
        try:
            self.data = self.path.read_bytes()
        except OSError as error:
            raise CheckpointError(
                f"{self.path} can't be read ({error.strerror or error}); {remedy}"
            ) from error

    def fail(self, offset: int, expected: str, found: str) -> NoReturn:
        """Raise `CheckpointError`: at byte `offset`, `expected` was due and `found` was there."""
        raise CheckpointError(
            f"{self.path} is not {self.holds}: at byte {offset:,} of {len(self.data):,} expected "
            f"{expected}, found {found}; {self.remedy}"
        )

    def take(self, count: int, expected: str) -> bytes:
        """Read `count` bytes."""
        left = len(self.data) - self.offset
        if count > left:
            self.fail(self.offset, f"{expected} ({count:,} bytes)", f"the end after {left:,} bytes")
        start, self.offset = self.offset, self.offset + count
        return self.data[start : self.offset]

    def integer(self, expected: str) -> int:
        """Read an integer."""
        start = self.offset
        control = self.take(1, expected)[0]
        size = control & 0x0F
        if control & 0x70 or not 1 <= size <= 8:
            self.fail(start, expected, f"the byte {control:#04x}, which starts no integer")
        value = int.from_bytes(self.take(size, expected), "little")
        return -value if control & 0x80 else value

    def require(self, value: int, expected: str) -> None:
        """Read an integer that has to be `value`."""
        start = self.offset
        found = self.integer(expected)
        if found != value:
            self.fail(start, f"{expected} {value}", str(found))

    def text(self, value: str) -> None:
        """Read a text that has to be `value`: dlib names each layer so."""
        start = self.offset
        length = self.integer(f"the text {value!r}")
        if length != len(value):
            self.fail(start, f"the text {value!r}", f"a text of {length:,} bytes")
        found = self.take(length, f"the text {value!r}")
        if found != value.encode():
            self.fail(start, f"the text {value!r}", repr(found.decode("latin-1")))

    def flag(self, expected: str) -> bool:
        """Read a truth value: the character 1 or 0."""
        start = self.offset
        found = self.take(1, expected)
        if found not in (b"0", b"1"):
            self.fail(start, f"{expected} (the character 0 or 1)", repr(found)[1:])
        return found == b"1"

    def real(self, expected: str) -> float:
        """Read a finite real number."""
        start = self.offset
        mantissa, exponent = self.integer(expected), self.integer(expected)
        if abs(exponent) > _FINITE_EXPONENT:
            self.fail(start, expected, f"the exponent {exponent}, which no finite number has")
        try:
            return math.ldexp(mantissa, exponent)
        except OverflowError:
            self.fail(start, expected, f"{mantissa} x 2^{exponent}, which is too large")

    def require_real(self, value: float, expected: str) -> None:
        """Read a real number that has to be `value`, to the precision of float32."""
        start = self.offset
        found = self.real(expected)
        if not math.isclose(found, value, rel_tol=1e-7):
            self.fail(start, f"{expected} {value}", f"{found:g}")

    def tensor(self, shape: tuple[int, int, int, int], expected: str) -> Float[Tensor, "a b c d"]:
        """Read a float32 tensor that has to have `shape` and finite values."""
        self.require(2, f"{expected}: tensor version")
        start = self.offset
        found = tuple(self.integer(f"{expected}: size") for _ in range(4))
        if found != shape:
            self.fail(start, f"{expected} of shape {shape}", f"shape {found}")
        start = self.offset
        values = np.frombuffer(self.take(4 * math.prod(shape), f"{expected}: values"), dtype="<f4")
        if not np.isfinite(values).all():
            self.fail(start, f"{expected}: finite values", "a NaN or an infinity")
        return torch.from_numpy(values.astype(np.float32).reshape(shape))

    def sizes(self, shape: tuple[int, int, int, int], expected: str) -> None:
        """Read an alias: the shape of a part of the tensor before it, without values."""
        self.require(1, f"{expected}: alias version")
        for size in shape:
            self.require(size, f"{expected}: size")

    def end(self) -> None:
        """Require that nothing is left."""
        if self.offset != len(self.data):
            left = len(self.data) - self.offset
            self.fail(self.offset, "the end of the file", f"{left:,} bytes more")
