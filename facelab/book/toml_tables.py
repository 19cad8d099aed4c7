"""Tables of a TOML file whose every mistake is reported with the line and the field.

tomllib says nothing of lines once a file is read, so `located` finds them in the text.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from facelab.errors import ManifestError

NAME = r"""(?:"[^"]*"|'[^']*'|[\w-]+)"""
DOTTED = rf"{NAME}(?:\s*\.\s*{NAME})*"
HEADER = re.compile(rf"\s*(\[\[?)\s*({DOTTED})\s*\]\]?\s*(?:#.*)?")
KEY = re.compile(rf"\s*({DOTTED})\s*=")
REQUIRED: Any = object()

Place = tuple[str | int, ...]


def located(text: str) -> dict[Place, int]:
    """Return the line (from 1) of every header and key of a TOML text, by its path.

    An entry of an array of tables has its number (from 0) in the path: ("chapter", 1, "slug").
    """
    lines: dict[Place, int] = {(): 1}
    entries: dict[Place, int] = {}
    table: Place = ()
    for number, line in _outside_strings(text):
        if header := HEADER.fullmatch(line):
            names = _names(header[2])
            table = _resolved(names[:-1], entries) + tuple(names[-1:])
            if header[1] == "[[":
                entries[table] = entries.get(table, -1) + 1
            table = _resolved(names, entries)
            _mark(lines, table, number)
        elif key := KEY.match(line):
            _mark(lines, table + tuple(_names(key[1])), number)
    return lines


def _mark(lines: dict[Place, int], place: Place, number: int) -> None:
    """Note a line for a place, and for the tables above that have no line of their own."""
    for length in range(1, len(place) + 1):
        lines.setdefault(place[:length], number)


def _outside_strings(text: str) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines that don't begin inside a multi-line string."""
    inside = None
    for number, line in enumerate(text.splitlines(), 1):
        if inside is None:
            yield number, line
        for quotes in re.findall(r'"{3}|\'{3}', line):
            if inside is None or inside == quotes:
                inside = quotes if inside is None else None


def _names(dotted: str) -> list[str]:
    return [name.strip("\"'") for name in re.findall(NAME, dotted)]


def _resolved(names: list[str], entries: Mapping[Place, int]) -> Place:
    place: Place = ()
    for name in names:
        place += (name,)
        if place in entries:
            place += (entries[place],)
    return place


def syntax_error(file: str, text: str, error: tomllib.TOMLDecodeError) -> ManifestError:
    """Return the error for a text that isn't TOML, with the line and its column."""
    found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", str(error), re.DOTALL)
    lines = text.splitlines() or [""]
    reason, line, column = found.groups() if found else (str(error), len(lines), 1)
    wrong = lines[min(int(line), len(lines)) - 1].strip()
    return ManifestError(
        f"{file}:{line}: column {column}: expected TOML, got {wrong!r} ({reason}); "
        'write key = value, with text in "quotes" and lists in [brackets]'
    )


def shown(value: object) -> str:
    """Return a value as TOML spells it, for a message."""
    return json.dumps(value, ensure_ascii=False, default=str)


class Table:
    """A table of the file: `key` is its own name, `where` what a message calls it."""

    def __init__(
        self,
        data: Mapping[str, Any],
        where: str,
        file: str,
        lines: Mapping[Place, int],
        place: Place = (),
    ) -> None:
        self.data = data
        self.where = where
        self.file = file
        self.lines = lines
        self.place = place

    @property
    def key(self) -> str:
        """The table's own name."""
        return str(self.place[-1])

    def renamed(self, where: str) -> Table:
        """Return the same table under another name for messages."""
        return Table(self.data, where, self.file, self.lines, self.place)

    def error(self, key: str, problem: str) -> ManifestError:
        """Return the error for the field `key`: file, line, table, field, problem."""
        place = (*self.place, key)
        while place not in self.lines:
            place = place[:-1]
        where = f"{self.where}: " if self.where else ""
        return ManifestError(f"{self.file}:{self.lines[place]}: {where}{key}: {problem}")

    def only(self, *known: str) -> Table:
        """Return self when it has no key but `known` ones; raises `ManifestError`."""
        for key in self.data:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                remedy = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                raise self.error(key, f"unknown key; {remedy}")
        return self

    def take(
        self,
        key: str,
        expected: str,
        example: str,
        valid: Callable[[Any], object],
        default: Any = REQUIRED,
    ) -> Any:
        """Return the value of `key` when `valid` accepts it; raises `ManifestError`."""
        if key not in self.data:
            if default is not REQUIRED:
                return default
            raise self.error(key, f"missing, expected {expected}; write {key} = {example}")
        value = self.data[key]
        if not valid(value):
            got = f"expected {expected}, got {shown(value)}"
            raise self.error(key, f"{got}; write {key} = {example}")
        return value

    def text(self, key: str, example: str = '"..."', default: Any = REQUIRED) -> str:
        """Return a text that isn't blank."""
        return self.take(
            key, "text", example, lambda value: isinstance(value, str) and value.strip(), default
        )

    def texts(self, key: str, example: str, default: Any = REQUIRED) -> tuple[str, ...]:
        """Return a list of texts, none of them twice."""
        value = self.take(key, "a list of different texts", example, _different_texts, default)
        return tuple(value)

    def seconds(self, key: str, default: Any = REQUIRED) -> float:
        """Return a number of seconds above 0."""
        return float(self.take(key, "a number of seconds above 0", "60", _positive, default))

    def tables(self, key: str, what: str, default: Any = REQUIRED) -> list[Table]:
        """Return the tables inside the table `key`; `what` names one of them."""
        inner = self.table(key, default)
        return [inner.table(name).renamed(f'{what} "{name}"') for name in inner.data]

    def table(self, key: str, default: Any = REQUIRED) -> Table:
        """Return the table `key`."""
        path = ".".join(str(part) for part in (*self.place, key) if isinstance(part, str))
        if key not in self.data and default is REQUIRED:
            raise self.error(key, f"missing, expected a table; write [{path}]")
        data = self.data.get(key, default)
        if not isinstance(data, dict):
            problem = f"expected a table, got {shown(data)}; write [{path}] on a line of its own"
            raise self.error(key, problem)
        return Table(data, self.where, self.file, self.lines, (*self.place, key))

    def array(self, key: str, default: Any = REQUIRED) -> list[Table]:
        """Return the tables of the array of tables `key`: one or more, or none by `default`."""
        data = self.data.get(key, [])
        if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
            raise self.error(key, f"expected entries, got {shown(data)}; write [[{key}]]")
        if not data and default is REQUIRED:
            raise self.error(key, f"missing, expected one entry or more; write [[{key}]]")
        return [
            Table(entry, f"{key} {number + 1}", self.file, self.lines, (*self.place, key, number))
            for number, entry in enumerate(data)
        ]


def _different_texts(value: Any) -> bool:
    return (
        isinstance(value, list)
        and all(isinstance(item, str) and item for item in value)
        and len(set(value)) == len(value)
    )


def _positive(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value > 0
