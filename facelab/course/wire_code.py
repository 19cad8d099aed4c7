"""What crosses the wire besides data, from the trusted judge to a student's process only.

A test may hand the answer a function of its own, a module or one of facelab's dataclasses. What can
be imported crosses as its name; a test's own function as its byte code with what it refers to. Both
processes run the same Python, which is what byte code needs.
"""

import builtins
import dataclasses
import dis
import importlib
import marshal
import sys
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

TORCH_HOMES = ("torch", "torch.nn.functional", "math")  # of functions that don't name their module


class WireError(ValueError):
    """Bytes that are no message, or a value that can't cross."""


def write(writer: Any, value: Any) -> bool:
    """Append `value` to a `wire.Writer`; return False if it is nothing that can cross."""
    if isinstance(value, ModuleType):
        writer.blob(b"M", value.__name__.encode())
    elif found := _home(value):
        writer.items(b"O", found)
    elif isinstance(value, FunctionType):
        _write_function(writer, value)
    elif dataclasses.is_dataclass(value) and (found := _home(type(value))):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        writer.items(b"D", [*found, fields])
    else:
        return False
    return True


def _home(value: Any) -> tuple[str, str] | None:
    """Return the module and the name by which `value` can be imported, or None."""
    own = getattr(value, "__module__", None)
    for attribute in ("__qualname__", "__name__"):  # torch's functions are found by the second
        name = getattr(value, attribute, None)
        for module in [own] if isinstance(own, str) else TORCH_HOMES:
            if isinstance(name, str) and module != "__main__" and _reached(module, name) is value:
                return module, name
    return None


def _reached(module: str, name: str) -> Any:
    found = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _write_function(writer: Any, function: FunctionType) -> None:
    known = [code is function for code in writer.codes]
    if True in known:
        writer.out += b"R"
        writer.write(known.index(True))
        return
    writer.codes.append(function)
    cells = function.__closure__ or ()
    filled = [(number, cell.cell_contents) for number, cell in enumerate(cells) if _is_full(cell)]
    names = {name for name in _global_names(function.__code__) if name in function.__globals__}
    reached = {name: function.__globals__[name] for name in sorted(names)}
    writer.blob(b"P", marshal.dumps(function.__code__))
    parts = [function.__name__, function.__defaults__, function.__kwdefaults__, filled, reached]
    writer.items(b"l", parts)


def _is_full(cell: CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _global_names(code: CodeType) -> set[str]:
    """Return the global names that a function reads, with the functions that are written in it."""
    found = {
        step.argval
        for step in dis.get_instructions(code)
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return found.union(*(_global_names(one) for one in inner))


def read(reader: Any, letter: bytes) -> Any:
    """Return what `write` wrote, from a `wire.Reader` that reads the judge's bytes."""
    if letter == b"M":
        return importlib.import_module(reader.blob().decode())
    if letter == b"O":
        return _imported(*reader.items())
    if letter == b"R":
        return reader.codes[reader.read()]
    if letter == b"D":
        module, name, fields = reader.items()
        made = object.__new__(_imported(module, name))
        for field, value in fields.items():
            object.__setattr__(made, field, value)
        return made
    if letter == b"P":
        return _read_function(reader)
    raise WireError("not a message: an unknown type")


def _imported(module: str, name: str) -> Any:
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _read_function(reader: Any) -> FunctionType:
    code = marshal.loads(reader.blob())
    cells = tuple(CellType() for _ in code.co_freevars)
    function = FunctionType(code, {"__builtins__": builtins}, None, None, cells)
    reader.codes.append(function)  # before what it refers to, which may be itself
    name, defaults, keyword_defaults, filled, reached = reader.read()
    for number, content in filled:
        cells[number].cell_contents = content
    function.__globals__.update(reached)
    function.__name__ = name
    function.__defaults__, function.__kwdefaults__ = defaults, keyword_defaults
    return function
