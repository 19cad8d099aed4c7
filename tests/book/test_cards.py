"""Cards of models and data: what is read, what is written, and what the check must not let pass."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from facelab.assets import save_weights
from facelab.assets.table import Asset, File, Source
from facelab.book import cards, data_cards, model_cards
from facelab.errors import BookError, ManifestError

ROOT = Path(__file__).parents[2]
INDEX = "# %% [markdown]\n# # Start\n"
FILE = "facelab/methods/one/models/one.safetensors"
DATA = {"id": "drawn-64:to:Young", "sha256": "d" * 64}
HEADER = {"method": "one", "step": 7000, "images": 28_000, "seed": 3, "data": DATA}
TRAINED = {
    "kind": "training of one",
    **{"steps": 7000, "images": 28_000, "seed": 3, "data": DATA, "minutes": 12.4},
    **{"machine": "a machine", "settings": {}, "outcome": "finished"},
}
SHARE = {"value": 0.5, "interval": {"low": 0.25, "high": 0.75}}
MODELS = f"""
tools = ["script"]
combining = ["facelab.data.two.Both"]

[model."{FILE}"]
what = "A network of one."
use = "Chapter 1."
limits = "All | else."
[model."{FILE}".figures]
"Share kept" = "bench: rows/share/value"

[model.reader]
what = "A reader."
use = "Reading."
limits = "Writing."
records = ["bench"]
"""
DRAWN = """
[data.drawn]
what = "Circles."
source = "Drawn."
licence = "Any."
people = "Nobody."
never = "As squares."
place = "made"
ids = ["drawn"]
classes = ["facelab.data.two.Drawn"]
cites = ["ada1843"]

[data.picture]
what = "A picture."
people = "One."
never = "Twice."
place = "fetched"
asset = "picture"

[data.gone]
what = "Faces."
source = "The web."
licence = "None."
people = "Not asked."
never = "At all."
place = "withdrawn"
withdrawn = "For a reason."
"""
CODE = """
class Drawn(FaceDataset): pass
class Both(FaceDataset, Other): pass
class Batch(Dataset): pass
"""


def asset(name):
    content = hashlib.sha256(name.encode()).hexdigest()
    source, file = Source("pack", "1.0", "folder"), File("a.bin", content, 2_000_000)
    return Asset(name, f"The {name}", (source,), "MIT", "any use", "made by Ada", (file,))


ASSETS = {name: asset(name) for name in ("reader", "picture", "script")}


@pytest.fixture
def book(make_book, monkeypatch):
    """A tiny book with one shipped checkpoint, three assets, three datasets and their cards."""
    for module in (model_cards, data_cards):
        monkeypatch.setattr(module, "ASSETS", ASSETS)
    monkeypatch.setattr(model_cards, "published", dict)
    made = make_book({"index": INDEX, "01_one": INDEX})
    ship(made, FILE, HEADER)
    record(made, "train_one", **TRAINED)
    record(made, "bench", rows={"share": SHARE}, shipped=[{"sha256": sum_of(made)}])
    write(made, "facelab/data/two.py", CODE)
    write(made, cards.FILE, MODELS + DRAWN)
    return made


def write(book, name, text):
    path = book.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def record(book, name, **content):
    write(book, f"records/{name}.json", json.dumps(content))


def ship(book, name, header):
    path = book.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"weight": torch.zeros(3, 4).half(), "count": torch.zeros((), dtype=torch.int64)}
    save_weights(path, tensors, json.dumps(header))


def sum_of(book, name=FILE):
    return hashlib.sha256((book.root / name).read_bytes()).hexdigest()


def edit(book, old, new):
    path = book.root / cards.FILE
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def found(book):
    """The problems of both pages, as they are printed."""
    both = (*model_cards.problems(book.root), *data_cards.problems(book.root))
    return [str(problem) for problem in both]


# --- pages ---------------------------------------------------------------------------------------


def rows(page, title):
    """The table of a card as fact -> text."""
    section = page.partition(f"### {title}\n")[2].partition("\n##")[0]
    lines = [line for line in section.splitlines() if line.startswith("| **")]
    return dict(line.strip("| ").split(" | ", 1) for line in lines)


def test_a_model_card_has_what_its_file_header_and_records_say(book):
    page = model_cards.page(book.root)
    told = {name.strip("*"): text for name, text in rows(page, "one").items()}
    size = (book.root / FILE).stat().st_size
    assert told == {
        "File": f"`{FILE}`",
        "SHA-256": f"`{sum_of(book)}`",
        "Size": f"{size / 1e6:.2f} MB: 12 F16, 1 I64",
        "Method": "`one`",
        "Learned from": "[drawn](data_cards.md#drawn): drawn-64:to:Young",
        "Training": "7,000 steps; 28,000 pictures shown; 12 minutes; seed 3; a machine; "
        "`records/train_one.json`",
        "Licence": "Apache-2.0; the terms of its data hold as well: [drawn](data_cards.md#drawn)",
        "Measured in": "`records/bench.json`, at `shipped/0/sha256`",
        "Share kept": "0.5 (0.25 to 0.75)",
        "For": "Chapter 1.",
        "Not for": r"All \| else.",
    }
    assert "| [one](#one) | A network of one. | 13 | 1 |" in page


def test_a_fetched_model_has_what_the_table_of_assets_says(book):
    page = model_cards.page(book.root)
    told = rows(page, "reader")
    assert told["**Package**"] == "`pack==1.0 (wheel)`"
    assert told["**Files**"] == f"`a.bin`, 2.00 MB, SHA-256 `{ASSETS['reader'].sha256}`"
    assert told["**Trained by**"] == "made by Ada"
    assert told["**Measured in**"] == "`records/bench.json`"
    for other in ("picture", "script"):
        assert f"### {other}" not in page


def test_a_training_that_a_record_tells_of_is_known_by_it(book):
    """As when a benchmark names what was trained, and not the file."""
    training = {"step": 7000, "images": 28_000, "seed": 3, "data": DATA}
    record(book, "bench", rows={"share": SHARE}, training={"One": training})
    assert found(book) == []
    told = rows(model_cards.page(book.root), "one")
    assert told["**Measured in**"] == "`records/bench.json`, at `training/One`"
    record(book, "bench", rows={"share": SHARE}, training={"One": {**training, "seed": 4}})
    assert "no record measures it" in found(book)[0]


def test_a_record_that_a_header_keeps_is_its_own(book):
    own = {"metrics": {"error": 0.1}, "trained_on": "drawn-64 train", "steps": 5, "seed": 1}
    ship(book, FILE, {"method": "one", "record": own})
    record(book, "bench", rows={"share": SHARE})
    assert "no record measures it" in found(book)[0]
    record(book, "reader_one", **own)
    assert found(book) == []
    assert (
        "`records/reader_one.json`" in rows(model_cards.page(book.root), "one")["**Measured in**"]
    )


def test_a_data_card_has_what_is_written_and_what_an_asset_says(book):
    page = data_cards.page(book.root)
    told = rows(page, "drawn")
    assert told["**Source**"] == "Drawn."
    assert told["**In facelab**"] == "`facelab.data.two.Drawn`"
    assert told["**Published in**"] == "{cite:t}`ada1843`"
    assert "**Withdrawn**" not in told
    assert rows(page, "picture")["**Licence and terms**"] == "MIT; any use"
    assert rows(page, "picture")["**Files**"] == f"`a.bin`, SHA-256 `{ASSETS['picture'].sha256}`"
    assert page.index("## Made here") < page.index("## Fetched") < page.index("## Withdrawn")
    assert rows(page, "gone")["**Withdrawn**"] == "For a reason."


@pytest.mark.parametrize("names", ["drawn-64+other-1", "some,drawn", "500 faces of drawn, seed 1"])
def test_data_are_known_by_how_their_names_begin(book, names):
    assert [card.key for card in cards.read(book.root).data_of(names)] == ["drawn"]


def test_the_longest_beginning_that_fits_is_the_set(book):
    edit(book, 'ids = ["drawn"]', 'ids = ["drawn", "other"]')
    edit(book, 'asset = "picture"', 'asset = "picture"\nids = ["drawn-pairs"]')
    known = cards.read(book.root)
    assert [card.key for card in known.data_of("drawn-pairs-3+other-1")] == ["picture", "drawn"]
    assert known.data_of("nothing-64") == ()


# --- the check -----------------------------------------------------------------------------------


def test_a_whole_book_has_no_problem(book):
    assert found(book) == []


def test_a_checkpoint_without_a_card_or_a_record_is_found(book):
    other = "facelab/generators/models/two.safetensors"
    ship(book, other, {**HEADER, "seed": 4})
    missing, unmeasured = found(book)
    assert missing == (
        f'facelab/book/cards.toml: card: {other} has no card; add [model."{other}"], '
        "or say what else it is"
    )
    assert unmeasured == (
        f"{other}: card: {sum_of(book, other)[:12]}...: no record measures it; "
        "make one that names its SHA-256"
    )
    with pytest.raises(BookError, match=r"two\.safetensors has no card"):
        model_cards.page(book.root)


def test_the_training_s_own_record_measures_nothing(book):
    record(book, "bench", rows={"share": SHARE})
    (unmeasured,) = found(book)
    assert "no record measures it" in unmeasured
    assert rows(model_cards.page(book.root), "one")["**Measured in**"] == "no record yet"


def test_a_model_that_changed_since_is_not_the_one_that_was_measured(book):
    ship(book, FILE, {**HEADER, "seed": 5})
    assert "no record measures it" in found(book)[0]


def test_an_asset_without_a_card_is_found(book, monkeypatch):
    monkeypatch.setattr(model_cards, "ASSETS", {**ASSETS, "new": asset("new")})
    (problem,) = found(book)
    assert "new has no card" in problem


def test_a_card_of_nothing_is_found_on_its_line(book):
    (book.root / FILE).unlink()
    line = (book.root / cards.FILE).read_text().splitlines().index(f'[model."{FILE}"]') + 1
    (problem,) = found(book)
    assert problem == (
        f"facelab/book/cards.toml: line {line}: card: {FILE}: there is no such model; "
        "take the card out, or put the file back"
    )


def test_data_that_no_card_has_is_found(book):
    edit(book, 'ids = ["drawn"]', 'ids = ["painted"]')
    (problem,) = found(book)
    assert "no data card has what it learned from (drawn-64:to:Young)" in problem


def test_weights_that_belong_to_others_are_found(book):
    added = "facelab/methods/one/models/one.ways.safetensors"
    ship(book, added, {"method": "ways", "checkpoint_sha256": sum_of(book)})
    card = '[model."{}"]\nwhat = "a"\nuse = "b"\nlimits = "c"\n'
    write(book, cards.FILE, MODELS + card.format(added) + DRAWN)
    record(book, "ways", sha256=sum_of(book, added))
    assert found(book) == []
    belongs = rows(model_cards.page(book.root), "one.ways")["**Belongs to**"]
    assert belongs == f"[one](#one), SHA-256 `{sum_of(book)}`"
    ship(book, added, {"method": "ways", "checkpoint_sha256": "0" * 64})
    record(book, "ways", sha256=sum_of(book, added))
    assert "belongs to weights that are not shipped" in found(book)[0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rows/share/value", "rows/share", "Share kept: no number at rows/share of records/bench"),
        ('records = ["bench"]', 'records = ["bank"]', "reader: records/bank.json is missing"),
        ("two.Drawn", "two.Batch", "facelab.data.two.Batch is no dataset"),
        ("two.Both", "two.Neither", "facelab.data.two.Both is a dataset without a card"),
        ('asset = "picture"', 'asset = "photo"', "picture: no asset is called photo"),
        ('place = "made"', 'place = "lost"', "place: expected one of made, fetched, yours"),
        ('withdrawn = "For a reason."\n', "", "withdrawn: missing, expected text"),
        ('licence = "Any."\n', "", "licence: missing, expected text"),
        ('"bench: rows/share/value"', '"rows"', "expected a record and the way to a number"),
        ('"facelab.data.two.Both"', '"Both"', "expected full names of classes, got 'Both'"),
        ("[data.drawn]", "[data.drawn", "expected TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_found(book, old, new, message):
    edit(book, old, new)
    assert any(message in problem for problem in found(book)), found(book)


def test_a_damaged_file_of_weights_is_found(book):
    write(book, FILE, "not weights")
    assert "is no file of weights" in found(book)[0]


def test_a_file_of_cards_that_is_missing_is_told(book):
    (book.root / cards.FILE).unlink()
    with pytest.raises(ManifestError, match=r"cards.toml: can't be read"):
        cards.read(book.root)
    with pytest.raises(BookError, match="can't be read"):
        data_cards.page(book.root)
    assert len(found(book)) == 2


# --- this book -----------------------------------------------------------------------------------


def test_every_dataset_of_facelab_has_a_card():
    assert list(data_cards.problems(ROOT)) == []
    names = set(data_cards.datasets(ROOT))
    assert {"facelab.data.anny_faces.AnnyFaces", "facelab.data.samples.Samples"} < names


def test_withdrawn_sets_say_why():
    withdrawn = [c for c in cards.read(ROOT).data.values() if c.place == cards.WITHDRAWN]
    assert {card.key for card in withdrawn} >= {"ms-celeb-1m", "vggface2"}
    assert all(card.withdrawn for card in withdrawn)
