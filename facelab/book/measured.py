"""Records whose numbers know their intervals: what is computed from a number no longer has one.

A verdict's figures are numbers of records, or are computed from several. Read through `read`, those
that a record holds bring along the interval that stands beside them there.
"""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Measured(float):
    """A number of a record: `low` and `high` are its interval, or the extremes of its `seeds`."""

    low: float
    high: float
    seeds: bool

    def __new__(cls, value: float, low: float, high: float, *, seeds: bool = False) -> "Measured":
        """Return the number with its bounds."""
        made = super().__new__(cls, value)
        made.low, made.high, made.seeds = low, high, seeds
        return made


def read(path: Path) -> dict[str, Any]:
    """Return a record; a number with an interval beside it is a `Measured`."""
    return json.loads(path.read_text(encoding="utf-8"), object_hook=_with_intervals)


def _with_intervals(table: dict[str, Any]) -> dict[str, Any]:
    names = [*table, ""]
    return {name: _measured(table, name, after) for name, after in itertools.pairwise(names)}


def _measured(table: Mapping[str, Any], name: str, following: str) -> Any:
    """Return an entry of a table, as `Measured` where the table has its interval.

    `following` is the next entry's name. Records call the interval of "mean" and of "value"
    "interval", that of "auc" "auc_interval" or an entry of "intervals", that of the entry before
    "interval of that". Few seeds have no interval but a least and a most, one seed neither.
    """
    value = table[name]
    if type(value) not in (int, float):
        return value
    places = [table.get(f"{name}_interval")]
    if isinstance(table.get("intervals"), dict):
        places.append(table["intervals"].get(name))
    if name in ("mean", "value"):
        places.append(table.get("interval"))
    if following == "interval of that":
        places.append(table[following])
    for place in places:
        if bounds := _bounds(place):
            return Measured(value, *bounds)
    least_and_most = [table.get("least"), table.get("most")]
    bounds = _bounds(least_and_most) if name == "mean" else None
    if bounds and bounds[0] < bounds[1]:
        return Measured(value, *bounds, seeds=True)
    return value


def _bounds(found: Any) -> tuple[float, float] | None:
    """Return the two ends of an interval: {"low": ..., "high": ...}, or [low, high]."""
    ends = [found.get("low"), found.get("high")] if isinstance(found, dict) else found
    if not isinstance(ends, list) or len(ends) != 2:
        return None
    low, high = ends
    numbers = all(isinstance(end, int | float) for end in ends)
    return (float(low), float(high)) if numbers else None


class Records:
    """The records of a project, each read once; None for one that was never made."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "records"
        self._read: dict[str, dict[str, Any] | None] = {}

    def get(self, name: str) -> dict[str, Any] | None:
        """Return the record called `name`, its numbers with their intervals."""
        if name not in self._read:
            path = self.folder / f"{name}.json"
            self._read[name] = read(path) if path.is_file() else None
        return self._read[name]


def number(value: float | None) -> str:
    """Return a figure with its interval as a page shows it; None was never reached."""
    if value is None:
        return "never"
    shown = _short(value)
    if not isinstance(value, Measured):
        return shown
    seeds = ", seeds" if value.seeds else ""
    return f"{shown} ({_short(value.low)} to {_short(value.high)}{seeds})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
