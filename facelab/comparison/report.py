"""A comparison as text, and its curves as a figure; both draw on what `measure` returned."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from facelab import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = {
    "same person dlib": "same person, dlib",
    "same person faceres": "same person, faceres",
    "identity dlib": "identity, dlib",
    "identity faceres": "identity, faceres",
    "attribute": "attribute",
    "landmarks": "landmarks",
    "pose": "pose",
    "distance to the inputs' kind": "distance to inputs' kind",
    "distance to photo-like faces": "to photo-like",
    "diversity": "diversity",
    "milliseconds": "ms",
}
SEEN = "*"
RATES = {
    "attribute": "share of results on which the judge sees what was asked for",
    "person": "share of attributes of the picture that are as on the input",
}
Told = Mapping[str, Any]


def text(told: Told) -> str:
    """Return the tables and the costs as Markdown; `*` marks a judge that the method saw."""
    parts = [_table(task) for task in told["tasks"].values()]
    return "\n\n".join([*parts, _costs(told["methods"])])


def _table(task: Told) -> str:
    names = [name for name in COLUMNS if any(name in row for row in task["rows"].values())]
    title = task["change"] or "another person"
    lines = [f"{title}: {task['faces']} faces of {task['people']} people", ""]
    lines += _row(["", *(COLUMNS[name] for name in names)])
    lines += _row(["---"] * (len(names) + 1))
    for name, row in task["rows"].items():
        lines += _row([name, *(_cell(row.get(column)) for column in names)])
    reasons = [f"{name} can't: {row['cannot']}." for name, row in task["rows"].items()
               if "cannot" in row]  # fmt: skip
    return "\n".join([*lines, "", *reasons]).rstrip()


def _row(cells: list[str]) -> list[str]:
    return [f"| {' | '.join(cells)} |"]


def _cell(value: Any) -> str:
    """Return a number with its interval; nothing for a column that a row lacks."""
    if value is None or isinstance(value, float):
        return "" if value is None else f"{value:.3g}"
    mark = SEEN if value.get("seen") else ""
    shown = f"{value['value']:.3g}{mark}"
    interval = value["interval"]
    return f"{shown} ({interval['low']:.3g} to {interval['high']:.3g})" if interval else shown


def _costs(methods: Told) -> str:
    lines = _row(["", "parameters trained", "needed", "training images", "minutes", "saw"])
    lines += _row(["---"] * 6)
    for name, tasks in methods.items():
        for facts in [f for f in tasks.values() if "trained" in f][:1]:
            minutes = facts["training_minutes"]
            lines += _row([
                name, f"{facts['trained']:,}", f"{facts['needed']:,}",
                f"{facts['training_images']:,}" if facts["training_images"] is not None else "",
                f"{minutes:.0f}" if minutes is not None else "",
                ", ".join(facts["embedders seen"]) or "nobody",
            ])  # fmt: skip
    return "\n".join(lines)


def trade_off(told: Told, name: str, embedder: str = "faceres") -> "Figure":
    """Draw a task's attribute rate against identity: a line a method, a grey point a fixed row.

    `embedder` says whose identity. A line begins hollow, at strength 0; what has one answer is a
    point. A method has the same colour in all tasks.
    """
    task, columns = told["tasks"][name], ("attribute", f"identity {embedder}")
    places = {row: _places(task, row, columns) for row in task["rows"]}
    moving = [row for row in places if row in told["methods"] or row in task["curves"]]
    return figures.paths(
        {row: places[row] for row in moving},
        {row: found[0] for row, found in places.items() if found and row not in moving},
        x_axis=RATES[name],
        y_axis=f"identity: cosine, {embedder}",
    )


def _places(task: Told, row: str, columns: tuple[str, str]) -> list[tuple[float, float]]:
    """Return where a row is at each strength; nowhere, where it can't do the task."""
    if "cannot" in task["rows"][row]:
        return []
    own = {name: [task["rows"][row][name]] for name in columns}
    found = task["curves"].get(row, own)
    pairs = zip(*(found[name] for name in columns), strict=True)
    return [(x["value"], y["value"]) for x, y in pairs]


def as_png(figure: "Figure") -> bytes:
    """Return a figure as a PNG file's bytes."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=figures.DOTS_PER_INCH, facecolor="white")
    return stream.getvalue()
