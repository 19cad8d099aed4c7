"""The data cards: one for each set that facelab reads or makes, or that its models come from.

Of an asset, source, licence and sums are read from the table of assets; all else is written in
cards.toml. Every class that is a dataset has to be named by a card.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from facelab.assets import ASSETS
from facelab.book import cards
from facelab.book.cards import PLACES, WITHDRAWN, Cards, DataCard
from facelab.book.overview import table
from facelab.errors import ManifestError

if TYPE_CHECKING:
    from facelab.book.checks import Problem

BASE = "FaceDataset"
HEAD = """\
One card for each dataset that facelab makes or reads, and for each that a network of the
[model cards](model_cards.md) learned from. The form follows {cite:t}`gebru2021datasheets`. That a
set is public does not mean that the people in it agreed to anything; each card says what is known
of that.
"""
SECTIONS = (
    ("Made here", ("made",)),
    ("Fetched", ("fetched",)),
    ("Yours", ("yours",)),
    ("Prepared by a script", ("script",)),
    ("Not here", ("asked",)),
    ("Withdrawn", (WITHDRAWN,)),
)


def page(root: Path) -> str:
    """Return the data cards of the book at `root`, as MyST Markdown without a title.

    Raises `BookError` when they can't be read.
    """
    found = cards.required(root)
    parts = [HEAD, contents(found)]
    for title, places in SECTIONS:
        chosen = [card for card in found.data.values() if card.place in places]
        if chosen:
            parts += [f"## {title}\n", *map(_card, chosen)]
    return "\n".join(parts)


def contents(found: Cards) -> str:
    """Return the table of all sets: whether a fresh machine has them, and whose faces they are."""
    rows = [
        (f"[{card.key}](#{card.key})", PLACES[card.place], card.people)
        for card in found.data.values()
    ]
    return table(("Set", "Where it is", "People and consent"), rows) + "\n"


def _card(card: DataCard) -> str:
    asset = ASSETS.get(card.asset)
    files = asset.files if asset else ()
    facts = {
        "In it": card.what,
        "Source": asset.provenance if asset else card.source,
        "Licence and terms": f"{asset.licence}; {asset.use}" if asset else card.licence,
        "People and consent": card.people,
        "Must not be used": card.never,
        "On a fresh machine": PLACES[card.place],
        "Withdrawn": card.withdrawn,
        "Files": "<br>".join(f"`{file.name}`, SHA-256 `{file.sha256}`" for file in files),
        "In facelab": ", ".join(f"`{name}`" for name in card.classes),
        "Published in": "; ".join(f"{{cite:t}}`{key}`" for key in card.cites),
    }
    return f"### {card.key}\n\n{table(('', ''), cards.cells(facts))}\n"


def problems(root: Path) -> Iterator[Problem]:
    """Yield datasets without a card, and cards of nothing."""
    try:
        found = cards.read(root)
    except ManifestError as error:
        yield cards.problem(str(error))
        return
    told = {name: card for card in found.data.values() for name in card.classes}
    told |= dict.fromkeys(found.combining)
    there = set(datasets(root))
    for name in sorted(there - {*told}):
        message = f"{name} is a dataset without a card; name it in classes of a [data] card"
        yield cards.problem(f"{message}, or in combining if its faces are other sets'")
    for name, card in told.items():
        if name not in there:
            message = f"{name} is no dataset; correct the name, or take it out"
            yield cards.problem(message, card.line if card else None)
    for card in found.data.values():
        if card.asset and card.asset not in ASSETS:
            message = f"{card.key}: no asset is called {card.asset}; `facelab assets list` has all"
            yield cards.problem(message, card.line)


def datasets(root: Path) -> Iterator[str]:
    """Yield the full names of the classes below facelab/ that derive from `FaceDataset`.

    Bases are followed by their names, wherever they are defined.
    """
    bases: dict[str, set[str]] = {}
    for path in sorted((root / "facelab").rglob("*.py")):
        module = path.relative_to(root).with_suffix("").as_posix().replace("/", ".")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                named = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
                bases[f"{module.removesuffix('.__init__')}.{node.name}"] = named
    derived, found = {BASE}, set()
    while new := {name for name in bases.keys() - found if bases[name] & derived}:
        found |= new
        derived |= {name.rpartition(".")[2] for name in new}
    yield from (name for name in bases if name in found)
