"""Values as bytes, between the trusted judge of an exercise and the process with a student's code.

A value crosses as data: a letter for its type, then what it holds. What comes from a student is
read strictly, within limits of size, depth and count; nothing in it is ever executed, and no name
in it is ever looked up. The other way, from the judge to the student, functions, modules and
facelab's dataclasses cross too: that is what `functions` on writing and `trusted` on reading allow.
"""

import math
import os
import select
import struct
import time
from collections.abc import Callable
from typing import Any

from facelab.course import wire_code
from facelab.course.wire_code import WireError

LARGEST_BYTES = 32_000_000
MOST_ITEMS = 1_000_000
DEEPEST = 24
LONGEST_INT_BYTES = 1024
CHUNK_BYTES = 65_536
LETTERS = {type(None): b"N", bool: b"B", type(...): b"E"}
TORCH_TYPES = (
    *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
    *("uint8", "int8", "int16", "int32", "int64", "bool"),
)
NUMPY_TYPES = ("b1", *(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)))
NUMPY_TYPES += ("f2", "f4", "f8", "c8", "c16")


class Late(Exception):
    """The other side took longer than it may."""


class Closed(Exception):
    """The other side is gone."""


def encode(value: Any, *, functions: bool = False, generators: list[Any] | None = None) -> bytes:
    """Return `value` as bytes; raises `WireError` for what can't cross, or is too large.

    `generators` collects the torch generators in it, in the order in which `decode` meets them.
    """
    writer = Writer(functions, [] if generators is None else generators)
    writer.write(value)
    return bytes(writer.out)


class Writer:
    """Appends values to `out`."""

    def __init__(self, functions: bool, generators: list[Any]) -> None:
        self.functions = functions
        self.generators = generators
        self.out = bytearray()
        self.codes: list[Any] = []  # functions that are on the wire already, or being written
        self._depth = 0

    def write(self, value: Any) -> None:
        """Append a value."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise WireError(f"it is nested deeper than {DEEPEST} levels, or holds itself")
        try:
            self._write(value)
        finally:
            self._depth -= 1
        if len(self.out) > LARGEST_BYTES:
            raise WireError(f"it is larger than {LARGEST_BYTES // 1_000_000} MB")

    def blob(self, letter: bytes, data: Any) -> None:
        """Append a letter and bytes with their length."""
        if len(data) > LARGEST_BYTES:
            raise WireError(f"it is larger than {LARGEST_BYTES // 1_000_000} MB")
        self.out += letter + struct.pack(">I", len(data))
        self.out += data

    def items(self, letter: bytes, values: Any) -> None:
        """Append a letter, a count and so many values."""
        values = list(values)
        if len(values) > MOST_ITEMS:
            raise WireError(f"it has more than {MOST_ITEMS} items")
        self.out += letter + struct.pack(">I", len(values))
        for value in values:
            self.write(value)

    def _write(self, value: Any) -> None:
        kind = type(value)
        if kind in LETTERS:
            self.out += LETTERS[kind] + (struct.pack("?", value) if kind is bool else b"")
        elif kind.__module__.split(".")[0] in ("numpy", "torch") and self._array(value):
            return
        elif isinstance(value, int | float | complex | str | bytes | bytearray):
            self._scalar(value)
        elif isinstance(value, list | tuple | set | frozenset):
            letters = {list: b"l", tuple: b"t", set: b"s", frozenset: b"z"}
            self.items(
                next(mark for base, mark in letters.items() if isinstance(value, base)), value
            )
        elif isinstance(value, dict):
            self.items(b"d", [part for pair in value.items() for part in pair])
        elif isinstance(value, range):
            self.items(b"r", [value.start, value.stop, value.step])
        elif not (self.functions and wire_code.write(self, value)):
            raise WireError(f"{_named(value)} is no data that can be sent")

    def _scalar(self, value: Any) -> None:
        if isinstance(value, int):
            size = value.bit_length() // 8 + 1
            if size > LONGEST_INT_BYTES:
                raise WireError(f"it is a number of more than {LONGEST_INT_BYTES} bytes")
            self.blob(b"i", value.to_bytes(size, "big", signed=True))
        elif isinstance(value, float):
            self.out += b"f" + struct.pack(">d", value)
        elif isinstance(value, complex):
            self.out += b"c" + struct.pack(">dd", value.real, value.imag)
        elif isinstance(value, str):
            self.blob(b"u", value.encode("utf-8", "surrogatepass"))
        else:
            self.blob(b"b", value)

    def _array(self, value: Any) -> bool:
        """Append what belongs to torch or numpy; return whether it did."""
        import numpy
        import torch

        if isinstance(value, torch.Tensor):
            self._tensor(value, torch)
        elif isinstance(value, torch.Size):
            self.items(b"q", value)
        elif isinstance(value, torch.dtype | torch.device):
            self.blob(b"y", str(value).encode())
        elif isinstance(value, torch.Generator):
            self._generator(value)
        elif isinstance(value, numpy.ndarray | numpy.generic):
            array = numpy.asarray(value)
            name = array.dtype.str[1:]
            if name not in NUMPY_TYPES:
                raise WireError(f"an array of {array.dtype} can't be sent")
            array = array.astype(array.dtype.newbyteorder("<"))
            self.blob(b"a" if isinstance(value, numpy.ndarray) else b"n", name.encode())
            self.items(b"t", array.shape)
            self.blob(b"b", array.tobytes())
        else:
            return False
        return True

    def _tensor(self, value: Any, torch: Any) -> None:
        name = str(value.dtype).removeprefix("torch.")
        if name not in TORCH_TYPES or value.layout != torch.strided or value.is_meta:
            raise WireError(f"a tensor of {value.dtype}, {value.layout} can't be sent")
        if value.numel() * value.element_size() > LARGEST_BYTES:
            raise WireError(f"it is larger than {LARGEST_BYTES // 1_000_000} MB")
        plain = value.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
        raw = plain.view(torch.uint8).numpy().tobytes() if plain.numel() else b""
        self.blob(b"x", name.encode())
        self.items(b"t", value.shape)
        self.write(bool(value.requires_grad))
        self.blob(b"b", raw)

    def _generator(self, value: Any) -> None:
        known = [generator is value for generator in self.generators]
        place = known.index(True) if True in known else len(known)
        if place == len(known):
            self.generators.append(value)
        self.out += b"g"
        self.write(place)
        self.write(value.get_state().numpy().tobytes())


def _named(value: Any) -> str:
    return (
        "a function"
        if callable(value) and hasattr(value, "__code__")
        else (f"an object of the class {type(value).__name__[:60]}")
    )


def decode(data: bytes, *, trusted: bool = False, generators: list[Any] | None = None) -> Any:
    """Return the value that `data` stands for; raises `WireError` for anything else.

    `trusted` data may hold functions: only what the judge wrote is. `generators` collects the
    torch generators that were made.
    """
    reader = Reader(data, trusted, [] if generators is None else generators)
    try:
        value = reader.read()
    except WireError:
        raise
    except (
        ValueError,
        TypeError,
        LookupError,
        OverflowError,
        RuntimeError,
        MemoryError,
        struct.error,
    ) as error:
        raise WireError(f"not a message: {type(error).__name__}") from None
    if reader.place != len(data):
        raise WireError("not a message: it goes on after its end")
    return value


class Reader:
    """Takes values off bytes, from `place` on."""

    def __init__(self, data: bytes, trusted: bool, generators: list[Any]) -> None:
        if len(data) > LARGEST_BYTES:
            raise WireError("not a message: too large")
        self.data = data
        self.trusted = trusted
        self.generators = generators
        self.codes: list[Any] = []
        self.place = 0
        self._depth = 0
        self._items = MOST_ITEMS
        self._readers: dict[bytes, Callable[[], Any]] = {
            b"N": lambda: None,
            b"E": lambda: ...,
            b"B": lambda: self.take(1) != b"\0",
            b"i": lambda: int.from_bytes(self._short(), "big", signed=True),
            b"f": lambda: struct.unpack(">d", self.take(8))[0],
            b"c": lambda: complex(*struct.unpack(">dd", self.take(16))),
            b"u": lambda: self.blob().decode("utf-8", "surrogatepass"),
            b"b": self.blob,
            b"l": self.items,
            b"t": lambda: tuple(self.items()),
            b"s": lambda: set(self.items()),
            b"z": lambda: frozenset(self.items()),
            b"d": self._pairs,
            b"r": lambda: range(*self.whole(self.items())),
            b"a": self._numpy,
            b"n": lambda: self._numpy()[()],
            b"x": self._tensor,
            b"q": self._size,
            b"y": self._torch_name,
        }

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        if self.place + count > len(self.data):
            raise WireError("not a message: it ends too early")
        self.place += count
        return self.data[self.place - count : self.place]

    def count(self) -> int:
        """Return a length."""
        return struct.unpack(">I", self.take(4))[0]

    def blob(self) -> bytes:
        """Return bytes that have their length before them."""
        return self.take(self.count())

    def items(self) -> list[Any]:
        """Return values that have their count before them."""
        count = self.count()
        self._items -= count
        if self._items < 0:
            raise WireError(f"it has more than {MOST_ITEMS} items")
        return [self.read() for _ in range(count)]

    def read(self) -> Any:
        """Return the next value."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise WireError(f"it is nested deeper than {DEEPEST} levels")
        letter = self.take(1)
        if letter in self._readers:
            value = self._readers[letter]()
        elif self.trusted:
            value = self._generator() if letter == b"g" else wire_code.read(self, letter)
        else:
            raise WireError("not a message: an unknown type")
        self._depth -= 1
        return value

    @staticmethod
    def whole(values: Any) -> Any:
        """Return numbers that must be whole ones as they are."""
        if not all(type(value) is int for value in values):
            raise WireError("not a message: expected whole numbers")
        return values

    def _short(self) -> bytes:
        data = self.blob()
        if len(data) > LONGEST_INT_BYTES:
            raise WireError("not a message: too long a number")
        return data

    def _pairs(self) -> dict[Any, Any]:
        items = self.items()
        return dict(zip(items[::2], items[1::2], strict=True))

    def _shape(self) -> tuple[int, ...]:
        shape = self.whole(self.read())
        # Of an array without elements the other sides could be anything.
        if len(shape) > 16 or not all(0 <= side < 2**31 for side in shape):
            raise WireError("not a message: an impossible shape")
        if math.prod(side for side in shape if side) > LARGEST_BYTES:
            raise WireError("not a message: an impossible shape")
        return shape

    def _raw(self, shape: tuple[int, ...], size: int) -> bytearray:
        raw = self.read()
        if type(raw) is not bytes or len(raw) != size * math.prod(shape):
            raise WireError("not a message: a shape that does not fit its elements")
        return bytearray(raw)

    def _numpy(self) -> Any:
        import numpy

        name = self.blob().decode("ascii")
        if name not in NUMPY_TYPES:
            raise WireError("not a message: an unknown type of elements")
        kind = numpy.dtype("<" + name)
        shape = self._shape()
        raw = numpy.array(self._raw(shape, kind.itemsize), numpy.uint8)
        array = raw != 0 if name == "b1" else raw.view(kind)
        return array.astype(kind.newbyteorder("=")).reshape(shape)

    def _tensor(self) -> Any:
        import torch

        name = self.blob().decode("ascii")
        if name not in TORCH_TYPES:
            raise WireError("not a message: an unknown type of elements")
        kind = getattr(torch, name)
        shape, wants_gradient = self._shape(), self.read() is True
        raw = self._raw(shape, kind.itemsize)
        if not raw:
            tensor = torch.empty(shape, dtype=kind)
        elif name == "bool":  # any other byte than 0 and 1 would be no truth value
            tensor = (torch.frombuffer(raw, dtype=torch.uint8) != 0).reshape(shape)
        else:
            tensor = torch.frombuffer(raw, dtype=kind).reshape(shape)
        if wants_gradient and (kind.is_floating_point or kind.is_complex):
            tensor.requires_grad_()
        return tensor

    def _size(self) -> Any:
        import torch

        return torch.Size(self.whole(self.items()))

    def _torch_name(self) -> Any:
        import torch

        name = self.blob().decode("ascii")
        if name.removeprefix("torch.") in TORCH_TYPES:
            return getattr(torch, name.removeprefix("torch."))
        return torch.device(name)

    def _generator(self) -> Any:
        import torch

        place, state = self.read(), self.read()
        if place == len(self.generators):
            self.generators.append(torch.Generator())
            advance(self.generators[place], state)
        return self.generators[place]


def advance(generator: Any, state: bytes) -> None:
    """Set a CPU generator's state; raises `WireError` for bytes that no generator could have.

    torch trusts the places in it: of 624 numbers, `left` are to be drawn and `next` were drawn.
    """
    import torch

    if type(state) is not bytes or len(state) != generator.get_state().numel():
        raise WireError("not the state of a generator")
    _, left, seeded, drawn = struct.unpack_from("=QiiQ", state)
    fresh = (left, drawn) == (1, 0)
    if seeded != 1 or not (fresh or (1 <= left <= 624 and left + drawn == 625)):
        raise WireError("not the state of a generator")
    generator.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def send(out: int, message: bytes, deadline: float | None = None) -> None:
    """Write a message to a file descriptor, one that doesn't block if there is a deadline.

    `deadline` is in `time.monotonic` seconds; raises `Late` and `Closed`.
    """
    left = memoryview(struct.pack(">I", len(message)) + message)
    while left:
        try:
            if deadline is not None:
                _wait([], [out], deadline)
            left = left[os.write(out, left[:CHUNK_BYTES]) :]
        except BlockingIOError:
            continue
        except OSError:
            raise Closed from None


def receive(source: int, deadline: float | None = None) -> bytes:
    """Return the next message from a file descriptor; raises `Late`, `Closed` and `WireError`."""
    size = struct.unpack(">I", _exactly(source, 4, deadline))[0]
    if size > LARGEST_BYTES:
        raise WireError("not a message: too large")
    return _exactly(source, size, deadline)


def _exactly(source: int, count: int, deadline: float | None) -> bytes:
    found = bytearray()
    while len(found) < count:
        if deadline is not None:
            _wait([source], [], deadline)
        try:
            part = os.read(source, min(CHUNK_BYTES, count - len(found)))
        except BlockingIOError:
            continue
        except OSError:
            raise Closed from None
        if not part:
            raise Closed
        found += part
    return bytes(found)


def _wait(sources: list[int], outs: list[int], deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0 or not any(select.select(sources, outs, [], left)):
        raise Late
