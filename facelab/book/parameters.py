"""A chapter's parameters: what its `parameters` cell declares, and what a profile or `-p` sets.

The cell holds lines `name = literal  # what it is for`. The literal's type is the parameter's type;
an annotation (`rate: float = 1`) states it where the literal would say something else.
"""

from __future__ import annotations

import ast
import difflib
import io
import math
import re
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facelab.book.manifest import Value
from facelab.errors import ParameterError

if TYPE_CHECKING:
    from facelab.book.manifest import Chapter

EXPECTED = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list such as 1,2,3",
}
TRUTHS = {"true": True, "yes": True, "false": False, "no": False}


@dataclass(frozen=True)
class Parameter:
    """One line of a `parameters` cell: its name, default, type and trailing comment."""

    name: str
    default: Value
    kind: type
    help: str = ""


def declared(source: str) -> dict[str, Parameter]:
    """Return the parameters that a cell's source declares, in its order.

    Raises `ParameterError` for anything but `name = literal`, with the line within the cell.
    """
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise ParameterError(
            f"line {error.lineno} of the parameters cell is not Python: {error.msg}"
        ) from None
    comments = _comments(source)
    found = {}
    for statement in statements:
        parameter = _parameter(statement, comments.get(statement.end_lineno or 0, ""))
        if parameter.name in found:
            raise ParameterError(
                f"line {statement.lineno} of the parameters cell assigns {parameter.name!r} "
                "a second time; keep one of the two"
            )
        found[parameter.name] = parameter
    return found


def _comments(source: str) -> dict[int, str]:
    """Return the trailing comment of each line that has one, by line number from 1."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: token.string.lstrip("#").strip()
        for token in tokens
        if token.type == tokenize.COMMENT
    }


def _parameter(statement: ast.stmt, comment: str) -> Parameter:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=node):
            annotation = None
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=ast.expr()):
            node = statement.value
        case _:
            raise ParameterError(
                f"line {statement.lineno} of the parameters cell is not `name = literal`; "
                "move it to another cell"
            )
    try:
        default = ast.literal_eval(node)
    except ValueError:
        default = None
    kinds = {kind.__name__: kind for kind in EXPECTED}
    kind = type(default) if annotation is None else kinds.get(ast.unparse(annotation))
    if kind not in EXPECTED or not isinstance(default, (bool, int, float, str, list)):
        raise ParameterError(
            f"line {statement.lineno} of the parameters cell: {name}: expected true or false, a "
            f"number, text or a list, got {ast.unparse(node)}; write the value out"
        )
    blank = Parameter(name, default, kind, comment)
    return Parameter(name, accept(blank, default), kind, comment)


def accept(parameter: Parameter, value: object) -> Value:
    """Return `value` if it has the parameter's type (a whole number passes for a number).

    The values of a list must have the type of the default's first one, if it has any. Raises
    `ParameterError`.
    """
    if parameter.kind is float and type(value) is int:
        return float(value)
    if type(value) is not parameter.kind:
        raise _unexpected(parameter, value)
    if isinstance(value, list) and isinstance(parameter.default, list) and parameter.default:
        item = _item(parameter)
        return [accept(item, each) for each in value]
    return value


def convert(parameter: Parameter, text: str) -> Value:
    """Return the value that `text`, from a command line, stands for.

    A list is written `1,2,3`, with or without brackets. Raises `ParameterError` with the type that
    was expected.
    """
    stripped = text.strip()
    if parameter.kind is str:
        return text
    if parameter.kind is bool and stripped.lower() in TRUTHS:
        return TRUTHS[stripped.lower()]
    if parameter.kind is int and re.fullmatch(r"[+-]?\d+(_\d+)*", stripped):
        return int(stripped)
    if parameter.kind is float and (number := _number(stripped)) is not None:
        return number
    if parameter.kind is list:
        return _convert_list(parameter, stripped)
    raise _unexpected(parameter, text)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _convert_list(parameter: Parameter, text: str) -> list:
    if text.startswith("["):
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            raise _unexpected(parameter, text) from None
        return accept(parameter, value)
    item = _item(parameter)
    return [convert(item, part.strip()) for part in text.split(",")] if text else []


def _item(parameter: Parameter) -> Parameter:
    """Return the parameter that one value of a list is; values of an empty default are text."""
    first = parameter.default[0] if parameter.default else ""
    return Parameter(parameter.name, first, type(first))


def _unexpected(parameter: Parameter, value: object) -> ParameterError:
    expected = EXPECTED.get(parameter.kind, f"a {parameter.kind.__name__}")
    example = f"; for example {parameter.name}={_spelled(parameter.default)}"
    return ParameterError(f"{parameter.name}: expected {expected}, got {value!r}{example}")


def _spelled(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(_spelled, value)) if isinstance(value, list) else str(value)


def resolve(chapter: Chapter, profile: str, overrides: Mapping[str, str]) -> dict[str, Value]:
    """Return the parameters to set in `chapter`: the profile's, then `overrides` (raw text).

    What neither sets keeps the default of the `parameters` cell and is not in the result. Raises
    `ParameterError` for an unknown name or a value of the wrong type.
    """
    from facelab.book import pairing

    known = declared(pairing.parameters_source(chapter))
    values: dict[str, Value] = {}
    for name, value in chapter.parameters.get(profile, {}).items():
        values[name] = accept(_known(name, known, chapter), value)
    for name, text in overrides.items():
        values[name] = convert(_known(name, known, chapter), text)
    return values


def _known(name: str, known: Mapping[str, Parameter], chapter: Chapter) -> Parameter:
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    names = ", ".join(known) or "none"
    raise ParameterError(f"{chapter.slug} has no parameter {name!r}; {hint}it declares: {names}")
