"""What cards.toml says of models and data: what can't be read from a file, a header or a record.

After Mitchell et al. (2019), Model Cards for Model Reporting, and Gebru et al. (2021), Datasheets
for Datasets. `model_cards` and `data_cards` join it with what can be read, and make the pages.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facelab.book.toml_tables import Table, located, syntax_error
from facelab.errors import BookError, ManifestError

if TYPE_CHECKING:
    from facelab.book.checks import Problem

FILE = "facelab/book/cards.toml"
RULE = "card"
WITHDRAWN = "withdrawn"
# Whether a fresh machine has a dataset, as data cards say it.
PLACES = {
    "made": "made by facelab on any machine, from seeds",
    "fetched": "fetched and verified by facelab: `facelab assets fetch`",
    "yours": "yours: facelab reads a folder or a file that you give",
    "script": "not on a fresh machine: a script in `data_scripts/` prepares it, under its terms",
    "asked": "not on a fresh machine, and nothing fetches it: ask its owner, then give the folder",
    WITHDRAWN: "withdrawn: facelab neither fetches nor needs it",
}
FIGURE = re.compile(r"(\w[\w-]*): (\S.*)")
CLASS = re.compile(r"\w+(\.\w+)+")


@dataclass(frozen=True)
class ModelCard:
    """Of a model: `key` is its file below the root, or the name of what is fetched.

    `figures` are pairs of what a figure means and where it stands, (record, path); `records` are
    those that measure it without naming its SHA-256. `line` is the card's in the file.
    """

    key: str
    what: str
    use: str
    limits: str
    records: tuple[str, ...]
    figures: tuple[tuple[str, tuple[str, str]], ...]
    line: int


@dataclass(frozen=True)
class DataCard:
    """Of a dataset: `place` is a key of `PLACES`, `withdrawn` why it is gone.

    `asset` names the asset that it is, which has its source and licence; `ids` are how names of it
    in headers begin, `classes` what reads or makes it, `cites` its publications.
    """

    key: str
    what: str
    people: str
    never: str
    place: str
    source: str
    licence: str
    withdrawn: str
    asset: str
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    cites: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Cards:
    """All of the file: `combining` are classes that hold faces of other datasets, `tools` assets
    that are neither model nor data.
    """

    models: Mapping[str, ModelCard]
    data: Mapping[str, DataCard]
    combining: tuple[str, ...]
    tools: tuple[str, ...]

    def data_of(self, names: str) -> tuple[DataCard, ...]:
        """Return the cards of the datasets that a header's text names, each once, in its order."""
        stems = {stem: card for card in self.data.values() for stem in card.ids}
        found = []
        for name in re.findall(r"[\w-]+", names):
            fitting = [stem for stem in stems if name.startswith(stem)]
            found += [stems[max(fitting, key=len)]] if fitting else []
        return tuple(dict.fromkeys(found))


def read(root: Path) -> Cards:
    """Return the cards of the book at `root`; raises `ManifestError`, with the line."""
    path = root / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ManifestError(f"{FILE}: can't be read: {error.strerror}; put it back") from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise syntax_error(path.name, text, error) from None
    top = Table(data, "", path.name, located(text)).only("model", "data", "combining", "tools")
    return Cards(
        {table.key: _model(table) for table in top.tables("model", "model", default={})},
        {table.key: _data(table) for table in top.tables("data", "data", default={})},
        _classes(top, "combining"),
        top.texts("tools", '["mathjax"]', default=()),
    )


def required(root: Path) -> Cards:
    """Return the cards for a page; raises `BookError` when they can't be read."""
    try:
        return read(root)
    except ManifestError as error:
        raise BookError(f"{error}; `facelab book check` lists all that is to correct") from None


def problem(message: str, line: int | None = None, file: str = FILE) -> Problem:
    """Return a problem of a card."""
    from facelab.book.checks import Problem

    return Problem(file, None, line, RULE, message)


def cells(facts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the rows of a card's table: those facts that there are."""
    yield from ((f"**{name}**", text) for name, text in facts.items() if text)


def _model(table: Table) -> ModelCard:
    table = table.only("what", "use", "limits", "records", "figures")
    return ModelCard(
        table.key,
        *(table.text(name) for name in ("what", "use", "limits")),
        table.texts("records", '["recognition"]', default=()),
        tuple(_figures(table.table("figures", default={}))),
        table.lines[table.place],
    )


def _figures(table: Table) -> Iterator[tuple[str, tuple[str, str]]]:
    for meaning in table.data:
        expected = "a record and the way to a number in it"
        place = table.take(meaning, expected, '"diat: shipped/mouth_open/value"', _is_figure)
        yield meaning, FIGURE.fullmatch(place).groups()


def _is_figure(value: object) -> bool:
    return isinstance(value, str) and FIGURE.fullmatch(value) is not None


def _data(table: Table) -> DataCard:
    table = table.only(*DataCard.__dataclass_fields__)
    place = table.take("place", f"one of {', '.join(PLACES)}", '"made"', PLACES.__contains__)
    asset = table.text("asset", default="")
    # An asset's own entry says where it comes from and under which licence.
    missing = {"default": ""} if asset else {}
    gone = {} if place == WITHDRAWN else {"default": ""}
    return DataCard(
        table.key,
        *(table.text(name) for name in ("what", "people", "never")),
        place,
        table.text("source", **missing),
        table.text("licence", **missing),
        table.text("withdrawn", **gone),
        asset,
        table.texts("ids", '["anny-faces"]', default=()),
        _classes(table, "classes"),
        table.texts("cites", '["gebru2021datasheets"]', default=()),
        table.lines[table.place],
    )


def _classes(table: Table, key: str) -> tuple[str, ...]:
    example = '["facelab.data.folder.Folder"]'
    names = table.texts(key, example, default=())
    for name in names:
        if not CLASS.fullmatch(name):
            raise table.error(key, f"expected full names of classes, got {name!r}; write {example}")
    return names
