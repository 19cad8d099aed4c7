"""Reads what a pickle holds, and runs nothing of it.

A pickle is a program for a small machine with a stack, and its instructions may name any function
and call it. Here no name is looked up and nothing is called: a name becomes a `Name`, and what the
program wanted to make a `Made`, which says of what. Afterwards `array` reads those that stand for
an array of numbers. So a file from anywhere can do no more than be refused; what it holds that is
no number stays unread.

The instructions are those of Python's `pickletools`. How arrays are pickled is told by numpy's
`_reconstruct`, dtype and, since protocol 5, `_frombuffer`; chumpy's `Ch` (chumpy/ch.py, its
`__getstate__`) keeps its numbers as the attribute `x`.
"""

import pickletools
import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from facelab.errors import CheckpointError

TYPE_CODE = re.compile(r"[fiub][1248]")  # of numbers
RECONSTRUCTED = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
FROM_BUFFER = ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")
OBJECT = ("copy_reg._reconstructor", "copyreg._reconstructor")  # the class is its first argument
DIFFERENTIABLE = "chumpy.ch.Ch"
ORDERED = "collections.OrderedDict"


@dataclass(frozen=True)
class Name:
    """A function or class that a pickle names, as "module.name"; nobody looked for it."""

    full: str


@dataclass(eq=False)
class Made:
    """Something that a pickle wanted to make by calling `function`, and what it would set in it.

    `entries` are what it would hold by keys, if it is some sort of dictionary.
    """

    function: Any
    arguments: Any
    state: Any = None
    entries: dict = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The full name of what it would be: a class, or the function that makes it."""
        function, arguments = self.function, self.arguments
        if getattr(function, "full", "") in OBJECT and isinstance(arguments, tuple) and arguments:
            function = arguments[0]
        return function.full if isinstance(function, Name) else ""


@dataclass(frozen=True)
class Reference:
    """Something that lies outside of the pickle, by which it is called."""

    key: Any


class _Mark:
    """Where a list, tuple or dictionary begins on the stack."""


MARK = _Mark()
IGNORED = {"PROTO", "FRAME"}
PUSHED = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
    "BYTEARRAY8", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
}  # fmt: skip
EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": set,
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "MARK": lambda: MARK,
}  # fmt: skip
GATHERED: dict[str, Callable[[list], Any]] = {
    "LIST": list, "TUPLE": tuple, "FROZENSET": frozenset,
    "DICT": lambda items: dict(zip(items[::2], items[1::2], strict=True)),
}  # fmt: skip
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """The stack and the memory of one pickle."""

    def __init__(self):
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Do one instruction. Raises all sorts of errors for a program that makes no sense."""
        if name in IGNORED:
            return
        if name in PUSHED:
            self.stack.append(argument)
        elif name in EMPTY:
            self.stack.append(EMPTY[name]())
        elif name in GATHERED:
            self.stack.append(GATHERED[name](self.above_mark()))
        elif name in TUPLES:
            self.stack.append(tuple(self.take(TUPLES[name])))
        else:
            getattr(self, f"_{name.lower()}")(argument)

    def take(self, count: int) -> list[Any]:
        """Take so many values off the stack, the lowest first."""
        found = self.stack[-count:]
        if len(found) < count or any(value is MARK for value in found):
            raise ValueError("the stack is empty")
        del self.stack[-count:]
        return found

    def above_mark(self) -> list[Any]:
        """Take all values above the highest mark off the stack, and the mark."""
        place = max(i for i, value in enumerate(self.stack) if value is MARK)
        found = self.stack[place + 1 :]
        del self.stack[place:]
        return found

    # Below, one method for each other instruction, by its name in pickletools.

    def _pop(self, _: Any) -> None:
        self.stack.pop()

    def _pop_mark(self, _: Any) -> None:
        self.above_mark()

    def _dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def _put(self, place: int) -> None:
        self.memory[place] = self.stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, _: Any) -> None:
        self.memory[len(self.memory)] = self.stack[-1]

    def _get(self, place: int) -> None:
        self.stack.append(self.memory[place])

    _binget = _long_binget = _get

    def _append(self, _: Any) -> None:
        (value,) = self.take(1)
        self._grow([value])

    def _appends(self, _: Any) -> None:
        self._grow(self.above_mark())

    def _grow(self, values: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)
        elif not isinstance(self.stack[-1], Made):  # what a made object holds as a list is unread
            raise TypeError("not a list")

    def _setitem(self, _: Any) -> None:
        self._fill(self.take(2))

    def _setitems(self, _: Any) -> None:
        self._fill(self.above_mark())

    def _fill(self, values: list[Any]) -> None:
        new = GATHERED["DICT"](values)
        below = self.stack[-1]
        if not isinstance(below, dict | Made):
            raise TypeError("not a dictionary")
        (below.entries if isinstance(below, Made) else below).update(new)

    def _additems(self, _: Any) -> None:
        values = self.above_mark()
        self.stack[-1].update(values)

    def _global(self, names: str) -> None:
        self.stack.append(Name(names.replace(" ", ".")))

    def _stack_global(self, _: Any) -> None:
        module, name = self.take(2)
        self.stack.append(Name(f"{module}.{name}"))

    def _inst(self, names: str) -> None:
        arguments = tuple(self.above_mark())
        self.stack.append(Made(Name(names.replace(" ", ".")), arguments))

    def _obj(self, _: Any) -> None:
        function, *arguments = self.above_mark()
        self.stack.append(Made(function, tuple(arguments)))

    def _reduce(self, _: Any) -> None:
        self.stack.append(Made(*self.take(2)))

    _newobj = _reduce

    def _newobj_ex(self, _: Any) -> None:
        function, arguments, keywords = self.take(3)
        self.stack.append(Made(function, (*arguments, keywords)))

    def _build(self, _: Any) -> None:
        (state,) = self.take(1)
        made = self.stack[-1]
        if not isinstance(made, Made):
            raise TypeError("a state for what has none")
        made.state = state

    def _persid(self, key: Any) -> None:
        self.stack.append(Reference(key))

    def _binpersid(self, _: Any) -> None:
        self.stack.append(Reference(*self.take(1)))


def read(path: Path) -> Any:
    """Return what a pickle's file holds: plain values as they are, anything else as `Made`.

    Raises `CheckpointError` for a file that is missing, no pickle, damaged or cut short.
    """
    try:
        with path.open("rb") as stream:
            return read_one(stream)
    except OSError as error:
        raise CheckpointError(f"{path} can't be read ({error.strerror}); give a file") from error
    except ValueError as error:
        raise CheckpointError(
            f"{path} is damaged, cut short or no pickle ({str(error)[:120]}); fetch it again"
        ) from error


def read_one(stream: BufferedIOBase) -> Any:
    """Return what the next pickle of a stream holds. Raises `ValueError` for anything else."""
    machine = _Machine()
    try:
        for code, argument, _ in pickletools.genops(stream):
            if code.name == "STOP":
                return machine.take(1)[0]
            machine.step(code.name, argument)
    except OSError:
        raise
    # The machine meets whatever bytes a damaged file has, so it may raise anything.
    except Exception as error:
        raise ValueError((str(error).splitlines() or [type(error).__name__])[0]) from error
    raise ValueError("it has no end")


def array(value: Any) -> np.ndarray | None:
    """Return the numbers that a value stands for, or None for anything else.

    An array of numpy's, or a chumpy.ch.Ch, which holds one. The values are copied, in the order
    and the bytes of this machine. An array that is empty, or whose data don't have its length, is
    none.
    """
    if isinstance(value, Made) and value.kind == DIFFERENTIABLE:
        value = named(value.state, "x")
    match value:
        case Made(function=Name(full=name), state=(_, shape, kind, fortran, data)) if (
            name in RECONSTRUCTED
        ):
            return _numbers(data, kind, shape, "F" if fortran else "C")
        case Made(function=Name(full=name), arguments=(data, kind, shape, str(order))) if (
            name in FROM_BUFFER
        ):
            return _numbers(data, kind, shape, order)
    return None


def _numbers(data: Any, kind: Any, shape: Any, order: str) -> np.ndarray | None:
    content, dtype = _bytes(data), _dtype(kind)
    whole = isinstance(shape, tuple) and all(isinstance(n, int) and n > 0 for n in shape)
    if content is None or dtype is None or not whole or order not in ("C", "F"):
        return None
    if len(content) != dtype.itemsize * int(np.prod(shape, dtype=object)):
        return None
    found = np.frombuffer(content, dtype).reshape(shape, order=order)
    return np.array(found, dtype.newbyteorder("="), order="C")


def _bytes(data: Any) -> bytes | None:
    """Return the bytes of a string as Python 2 pickled it, or of Python 3's ways of doing so."""
    match data:
        case bytes() | bytearray():
            return bytes(data)
        case str():
            return data.encode("latin-1", errors="replace")
        case Made(function=Name(full="_codecs.encode"), arguments=(str(text), "latin1")):
            return text.encode("latin-1", errors="replace")
    return None


def _dtype(kind: Any) -> np.dtype | None:
    """Return the type of numbers that a pickled dtype is, or None for objects and records."""
    match kind:
        case Made(
            function=Name(full="numpy.dtype"),
            arguments=(str(code), *_),
            state=(_, ("<" | ">" | "|" | "=") as order, None, None, None, *_),
        ) if TYPE_CODE.fullmatch(code):
            return np.dtype(code).newbyteorder(order)
    return None


def named(value: Any, name: Hashable) -> Any:
    """Return a dictionary's entry, or None where there is neither."""
    return value.get(name) if isinstance(value, dict) else None


def entries(value: Any) -> dict:
    """Return what a dictionary holds, or an ordered one that a pickle wanted to make; else {}."""
    if isinstance(value, Made) and value.kind == ORDERED:
        return value.entries
    return value if isinstance(value, dict) else {}
