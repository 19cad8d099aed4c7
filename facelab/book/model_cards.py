"""The model cards: a card for each file of weights in the project and for each that is fetched.

Sums, sizes, trainings, licences and figures are read: from the file, its header, the table of
assets, the records. Use and limits are written in cards.toml.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelab.assets import ASSETS, Asset, File
from facelab.book import cards, checkpoints, manifest
from facelab.book.cards import Cards, ModelCard
from facelab.book.checkpoints import Checkpoint, Knowledge, Place
from facelab.book.evidence import EVIDENCE
from facelab.book.measured import number
from facelab.book.overview import table
from facelab.errors import BookError, CheckpointError, ManifestError
from facelab.verdicts import at

if TYPE_CHECKING:
    from facelab.book.checks import Problem
    from facelab.book.manifest import Manifest

DATA_PAGE = "data_cards.md"
LEDGER_PAGE = "ledger.md"
NO_HEAD = ("", "")  # a card's table has no headings

HEAD = """\
One card for each file of weights that comes with this project, and for each trained network that
it fetches. Sums, sizes, trainings and licences are read from the files, their headers, the table
of assets and the records; a figure is the record's, with its interval where it has one. Whose data
a network learned from is told by the [data cards]({data}). The form follows
{{cite:t}}`mitchell2019modelcards`.
"""


@dataclass(frozen=True)
class Book:
    """What cards are made from, read once."""

    root: Path
    manifest: Manifest
    cards: Cards
    knowledge: Knowledge
    checkpoints: Mapping[str, Checkpoint]

    @classmethod
    def read(cls, root: Path, found: Cards) -> Book:
        """Return all of it; raises `CheckpointError` for a damaged file of weights."""
        shipped = [checkpoints.read(path, root) for path in checkpoints.shipped(root)]
        book = manifest.load(root / manifest.FILE)
        return cls(root, book, found, Knowledge(root), {each.file: each for each in shipped})

    @property
    def fetched(self) -> dict[str, Asset]:
        """The assets that are models: neither data nor tools."""
        others = {card.asset for card in self.cards.data.values()} | {*self.cards.tools}
        return {name: asset for name, asset in ASSETS.items() if name not in others}

    @property
    def named(self) -> set[str]:
        """All that a card can be of."""
        return {*self.checkpoints, *self.fetched, *published()}

    def card(self, key: str) -> ModelCard:
        """Return the card of a model; raises `BookError` when it has none."""
        if key not in self.cards.models:
            raise BookError(f"{key} has no card; `facelab book check` lists all that is to correct")
        return self.cards.models[key]


def published() -> dict[str, Any]:
    """Return the checkpoints that no package index has, by name: readers fetch them."""
    from facelab.recognition.facenet import CHECKPOINTS

    return CHECKPOINTS


# --- the page ------------------------------------------------------------------------------------


def page(root: Path) -> str:
    """Return the model cards of the book at `root`, as MyST Markdown without a title.

    Raises `BookError` when a model has no card, and `CheckpointError` for a damaged file.
    """
    book = Book.read(root, cards.required(root))
    parts = [HEAD.format(data=DATA_PAGE), contents(book), "## Trained by this project\n"]
    shipped = book.checkpoints.items()
    parts += [_card(book, key, each.name, _shipped(book, each)) for key, each in shipped]
    parts.append("## Fetched\n")
    parts += [_card(book, name, name, _fetched(book, each)) for name, each in book.fetched.items()]
    parts.append("## On the open web\n")
    parts.append("No chapter needs these; `data_scripts/facenet.py` fetches and checks them.\n")
    parts += [_card(book, name, name, _published(each)) for name, each in published().items()]
    return "\n".join(parts)


def contents(book: Book) -> str:
    """Return the table of all models: what each is, its size, how many records measure it."""
    rows = []
    for key, each in book.checkpoints.items():
        measured = len([place for place in book.knowledge.of(each) if not place.made_in])
        count = f"{sum(each.numbers.values()):,}"
        rows.append((_link(each.name), book.card(key).what, count, measured))
    head = ("Shipped", "What it is", "Numbers", "Records that measure it")
    return table(head, rows) + "\n"


def _link(name: str) -> str:
    return f"[{name}](#{name.replace('.', '').lower()})"


def _card(book: Book, key: str, name: str, facts: Mapping[str, str]) -> str:
    card = book.card(key)
    figures = {meaning: _figure(book, *place) for meaning, place in card.figures}
    written = {"For": card.use, "Not for": card.limits}
    rows = table(NO_HEAD, cards.cells({**facts, **figures, **written}))
    return f"### {name}\n\n{card.what}\n\n{rows}\n"


def _shipped(book: Book, checkpoint: Checkpoint) -> dict[str, str]:
    places = book.knowledge.of(checkpoint)
    types = (f"{count:,} {kind}" for kind, count in sorted(checkpoint.numbers.items()))
    return {
        "File": f"`{checkpoint.file}`",
        "SHA-256": f"`{checkpoint.sha256}`",
        "Size": f"{checkpoint.size_bytes / 1e6:.2f} MB: {', '.join(types)}",
        "Method": _code(checkpoint.header.get("method", checkpoint.header.get("id"))),
        "Learned from": _data(book, checkpoint),
        "Training": _training(book, checkpoint, places),
        "Belongs to": _owner(book, checkpoint),
        "Licence": _licence(book, checkpoint),
        "Measured in": _places([place for place in places if not place.made_in]) or "no record yet",
    }


def _fetched(book: Book, asset: Asset) -> dict[str, str]:
    places = book.knowledge.with_sum(asset.sha256, *(file.sha256 for file in asset.files))
    known = [place for place in places if not place.made_in]
    chapters = [chapter for chapter in book.manifest.chapters if asset.name in chapter.assets]
    return {
        "Package": ", or ".join(f"`{source}`" for source in asset.sources),
        "Files": "<br>".join(map(_file, asset.files)),
        "Trained by": asset.provenance,
        "Licence": asset.licence,
        "Terms": asset.use,
        "Used in": ", ".join(f"[{_number(c.slug)}](../{c.slug}.ipynb)" for c in chapters),
        "Measured in": _places([*known, *_named(book, asset.name, known)]),
    }


def _published(checkpoint: Any) -> dict[str, str]:
    return {
        "Address": f"<{checkpoint.url}>",
        "Files": _file(checkpoint.file),
        "Learned from": f"{checkpoint.trained_on}; it tells {checkpoint.identities:,} people apart",
        "Licence": checkpoint.licence,
        "Terms": checkpoint.use,
        "Measured in": "no record: it was never run here",
    }


def _file(file: File) -> str:
    return f"`{file.name}`, {file.size_bytes / 1e6:.2f} MB, SHA-256 `{file.sha256}`"


def _code(text: str | None) -> str:
    return f"`{text}`" if text else ""


def _number(slug: str) -> str:
    return f"chapter {int(slug[:2])}" if slug[:2].isdigit() else slug


def _data(book: Book, checkpoint: Checkpoint) -> str:
    if heads := checkpoint.header.get("heads"):
        return f"{heads:,} heads that were sampled, seed {checkpoint.header['seed']}"
    if not checkpoint.data:
        return ""
    links = ", ".join(
        f"[{card.key}]({DATA_PAGE}#{card.key})" for card in book.cards.data_of(checkpoint.data)
    )
    return f"{links}: {checkpoint.data}"


def _training(book: Book, checkpoint: Checkpoint, places: list[Place]) -> str:
    """Return steps, pictures, seed and minutes, from the header and the training's own record."""
    own = checkpoint.header.get("record", {})
    header = {**checkpoint.header, **own, **_made(book, places)}
    numbers = [
        (header.get("step", header.get("steps")), "{:,} steps"),
        (header.get("images"), "{:,} pictures shown"),
        (own.get("faces"), "{:,} faces"),
        (header.get("minutes"), "{:.0f} minutes"),
    ]
    told = [text.format(value) for value, text in numbers if value is not None]
    if not told:
        return ""
    told += [f"seed {header['seed']}", *([header["machine"]] if header.get("machine") else [])]
    records = [f"`records/{place.record}.json`" for place in places if place.made_in]
    return "; ".join([*told, *records])


def _made(book: Book, places: list[Place]) -> dict[str, Any]:
    """Return minutes and machine of the training, from its record, where there is one."""
    for place in places:
        if place.made_in and not place.where:
            record = book.knowledge.records.get(place.record)
            return {key: record[key] for key in ("minutes", "machine")}
    return {}


def _owner(book: Book, checkpoint: Checkpoint) -> str:
    wanted = checkpoint.header.get("checkpoint_sha256")
    owners = [each for each in book.checkpoints.values() if each.sha256 == wanted]
    return ", ".join(f"{_link(each.name)}, SHA-256 `{each.sha256}`" for each in owners)


def _licence(book: Book, checkpoint: Checkpoint) -> str:
    if notice := checkpoint.header.get("notice"):
        return f"{book.manifest.book.licence}. {notice}"
    data = book.cards.data_of(checkpoint.data)
    terms = ", ".join(f"[{card.key}]({DATA_PAGE}#{card.key})" for card in data)
    also = f"; the terms of its data hold as well: {terms}" if terms else ""
    return f"{book.manifest.book.licence}{also}"


def _named(book: Book, key: str, known: Iterable[Place]) -> list[Place]:
    """Return the records of a card that measure without naming the sum."""
    told = {place.record for place in known}
    return [Place(name, "", False) for name in book.card(key).records if name not in told]


def _places(places: Iterable[Place]) -> str:
    return "<br>".join(
        f"`records/{place.record}.json`"
        + (f", at `{place.where}`" if place.where else "")
        + _verdicts(place.record)
        for place in places
    )


def _verdicts(record: str) -> str:
    """Return links to the ledger's papers whose verdicts a record tells."""
    papers = dict.fromkeys(each.paper for each in EVIDENCE if record in each.records)
    return "".join(f"; [verdicts on {paper}]({LEDGER_PAGE}#{paper})" for paper in papers)


def _figure(book: Book, record: str, way: str) -> str:
    value = at(book.knowledge.records.get(record), *way.split("/"))
    return "not measured yet" if value is None else number(value)


# --- the check -----------------------------------------------------------------------------------


def problems(root: Path) -> Iterator[Problem]:
    """Yield models without a card, cards of nothing, and weights that no record measures."""
    try:
        found = cards.read(root)
        book = Book.read(root, found)
    except (ManifestError, CheckpointError) as error:
        yield cards.problem(str(error))
        return
    for key in sorted(book.named - {*found.models}):
        yield cards.problem(f'{key} has no card; add [model."{key}"], or say what else it is')
    for key, card in found.models.items():
        if key not in book.named:
            message = f"{key}: there is no such model; take the card out, or put the file back"
            yield cards.problem(message, card.line)
        yield from _misread(book, card)
    for checkpoint in book.checkpoints.values():
        yield from _unknown(book, checkpoint)


def _misread(book: Book, card: ModelCard) -> Iterator[Problem]:
    """Yield records that a card names and that are missing, and figures that are no numbers."""
    for name in card.records:
        if book.knowledge.records.get(name) is None:
            message = f"{card.key}: records/{name}.json is missing; make it, or name another"
            yield cards.problem(message, card.line)
    for meaning, (name, way) in card.figures:
        value = at(book.knowledge.records.get(name), *way.split("/"))
        if not isinstance(value, int | float):
            message = f"{card.key}: {meaning}: no number at {way} of records/{name}.json"
            yield cards.problem(f"{message}; correct the way", card.line)


def _unknown(book: Book, checkpoint: Checkpoint) -> Iterator[Problem]:
    """Yield what is not known of a file of weights: figures, data, the file it belongs to."""
    if not [place for place in book.knowledge.of(checkpoint) if not place.made_in]:
        message = "no record measures it; make one that names its SHA-256"
        yield cards.problem(f"{checkpoint.sha256[:12]}...: {message}", file=checkpoint.file)
    if checkpoint.data and not book.cards.data_of(checkpoint.data):
        message = f"no data card has what it learned from ({checkpoint.data}); give one its id"
        yield cards.problem(message, file=checkpoint.file)
    if "checkpoint_sha256" in checkpoint.header and not _owner(book, checkpoint):
        message = "it belongs to weights that are not shipped; make it again for those that are"
        yield cards.problem(message, file=checkpoint.file)
