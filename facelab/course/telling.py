"""The values that a student's kernel reports, as JSON. Run there by its path, after the last cell.

Imports nothing but the standard library.
"""

import json
import math
from collections.abc import Callable
from typing import Any

LONGEST_TEXT = 300


def tell(value: Callable[[], Any]) -> str:
    """Return JSON for a finite number, a truth value or a text, or for what has one `item()`.

    So do arrays and tensors of one element. Raises whatever making the value does, `TypeError` for
    anything else, and `ValueError` for a number that isn't finite.
    """
    found = value()
    if not isinstance(found, bool | int | float | str):
        found = found.item() if hasattr(found, "item") else found
    if isinstance(found, bool | str):
        return json.dumps(found)
    if not isinstance(found, int | float):
        raise TypeError(f"expected a number, got {type(found).__name__}")
    if not math.isfinite(found):
        raise ValueError("not a finite number")
    return json.dumps(int(found) if isinstance(found, int) else float(found))


def acceptable(value: Any) -> bool:
    """Tell whether a value may cross: a finite number, a truth value, a short printable text."""
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT and value.isprintable()
    if isinstance(value, int):
        return abs(value) < 2**63
    return isinstance(value, float) and math.isfinite(value)
