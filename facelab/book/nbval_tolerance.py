"""Lets nbval compare numbers of checked outputs by tolerance, not as text: a pytest plugin.

Use it beside nbval, on cells tagged `nbval-check-output`:

    pytest -p nbval -p facelab.book.nbval_tolerance --nbval-lax --nbval-sanitize-with FILE NOTEBOOK

Two outputs agree when their text between the numbers is the same (white space counts as one blank)
and each number agrees with its twin:

    written with a point or an exponent    |stored - computed| <= 1e-6 + 1e-3 |stored|
    whole numbers, without either          equal

This holds for streams, text/plain, text/markdown and text/html; any other kind is left to nbval.
The rules of the sanitising file are applied first. A checked cell should print four significant
digits or more: 0.1234 may become 0.1235 on another processor, and 0.12 may become 0.13.

The book's notebooks are stored without execution counts, which nbval takes for never executed; here
every stored output is compared.
"""

import copy
import math
import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any

TOLERANCE = {"relative": 1e-3, "absolute": 1e-6}
OUTPUT_S = 60  # how long an output may take to arrive; nbval's 5 s are few on a busy machine
KINDS = ("text/plain", "text/markdown", "text/html")

# A number stands alone: `conv2`, `0x7f` and `v2.15.0` are text. The group is atomic, so that the
# first part of 2.15.0 isn't taken for a number.
NUMBER = re.compile(
    r"(?<![\w.])[-+]?(?>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)(?!\.\d|[xX][\da-fA-F])"
)

Compare = Callable[..., bool]
_original: list[Compare] = []


def disagreements(stored: str, computed: str) -> list[str]:
    """Return what sets two texts apart, one line for each number, empty when they agree."""
    if _between(stored) != _between(computed):
        return ["the text between the numbers differs"]
    pairs = zip(NUMBER.findall(stored), NUMBER.findall(computed), strict=True)
    return [
        f"number {place}: stored {old}, computed {new}, {_apart(old, new)}"
        for place, (old, new) in enumerate(pairs, start=1)
        if not agree(old, new)
    ]


def agree(stored: str, computed: str) -> bool:
    """Tell whether two numbers, as they are written, are equal within `TOLERANCE`."""
    if _whole(stored) and _whole(computed):
        return int(stored) == int(computed)
    old, new = float(stored), float(computed)
    room = TOLERANCE["absolute"] + TOLERANCE["relative"] * abs(old)
    return old == new or abs(old - new) <= (room if math.isfinite(old) else 0)


def _between(text: str) -> list[str]:
    return [" ".join(part.split()) for part in NUMBER.split(text)]


def _whole(number: str) -> bool:
    return number.lstrip("+-").isdigit()


def _apart(stored: str, computed: str) -> str:
    if _whole(stored) and _whole(computed):
        return "and whole numbers must be equal"
    old, new = float(stored), float(computed)
    share = f"{abs(new - old) / abs(old):.2%}" if old else f"{abs(new - old):g}"
    return f"{share} apart (allowed {TOLERANCE['relative']:.1%} or {TOLERANCE['absolute']:g})"


def _texts(outputs: list) -> dict[str, list[tuple[dict, str]]]:
    """Return where the comparable texts lie, under the keys and in the order that nbval uses."""
    found = defaultdict(list)
    for output in outputs:
        if output["output_type"] == "stream":
            found[output["name"]].append((output, "text"))
        for kind in KINDS:
            if kind in output.get("data", {}):
                found[kind].append((output["data"], kind))
    return found


def _settle(computed: list, stored: list, sanitize: Callable[[str], str]) -> list[str]:
    """Replace each computed text that agrees with its stored twin by it; return what doesn't."""
    complaints = []
    old_texts, new_texts = _texts(stored), _texts(computed)
    for key in old_texts.keys() & new_texts.keys():
        if len(old_texts[key]) != len(new_texts[key]):
            continue
        for (old, at), (new, where) in zip(old_texts[key], new_texts[key], strict=True):
            found = disagreements(sanitize(old[at]), sanitize(new[where]))
            complaints += [f"{key}: {line}" for line in found]
            if not found:
                new[where] = old[at]
    return complaints


def compare_outputs(cell: Any, test: list, ref: list, skip_compare: Any = None) -> bool:
    """Stand in for `IPyNbCell.compare_outputs`: equal up to the tolerance, else with both values.

    `test` holds what the cell gave just now, `ref` what the notebook stores.
    """
    test = copy.deepcopy(test)
    complaints = _settle(test, ref, cell.sanitize)
    same = _original[0](cell, test, ref, skip_compare)
    if not same:
        cell.comparison_traceback += complaints
    return same


def pytest_configure(config: Any) -> None:
    """Put the comparison in place (a hook of pytest)."""
    from nbval.plugin import IPyNbCell

    _original.append(IPyNbCell.compare_outputs)
    IPyNbCell.compare_outputs = compare_outputs


def pytest_itemcollected(item: Any) -> None:
    """Let nbval compare a cell that is stored without a count (a hook of pytest)."""
    from nbval.plugin import IPyNbCell

    if isinstance(item, IPyNbCell):
        item.output_timeout = OUTPUT_S
        if item.cell.execution_count is None:
            item.cell.execution_count = 0


def pytest_unconfigure(config: Any) -> None:
    """Give nbval its own comparison back (a hook of pytest)."""
    from nbval.plugin import IPyNbCell

    IPyNbCell.compare_outputs = _original.pop()
