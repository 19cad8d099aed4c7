"""The ledger: a row for each claim, from records; and what the check must not let pass."""

import hashlib
import json
from pathlib import Path

import pytest

from facelab.book import evidence, ledger, manifest
from facelab.book.evidence import Evidence, Scale
from facelab.book.measured import Measured, Records, number
from facelab.errors import ManifestError
from facelab.verdicts import Verdict, said

ROOT = Path(__file__).parents[2]
CLAIMS = {
    "idmap.one": {"paper": "a | b_c $1 <i>", "show": "x"},
    "idmap.two": {"paper": "two", "show": "x"},
    "d2ae.none": {"paper": "none", "show": "x", "needs": "a set that nobody may ship"},
}
CHAPTER = """\
# %% [markdown]
# # One
#
# ## Before

# %%
print("verdict_table(")

# %% [markdown]
# ## The claims
#
# Told by code.

# %%
source(claims.verdicts)

# %%
overview.verdict_table(claims.verdicts(kept))
"""
WEIGHTS = b"weights"
SUM = hashlib.sha256(WEIGHTS).hexdigest()


def told(record):
    figure = record["share"]["value"]
    return [
        Verdict("idmap.one", {"share": figure, "twice": 2 * figure, "else": None}, said(True)),
        Verdict("idmap.other", {}, said(False)),
        Verdict("idmap.two", {str(n): 1234.5 for n in range(7)}, said(False, figure > 0)),
    ]


@pytest.fixture
def book(make_book, monkeypatch):
    """A tiny book with two claims of one paper in its chapter, a record, and shipped weights."""
    listed = {"01_one": 'claims = ["idmap.one", "idmap.two"]\n'}
    monkeypatch.setattr(manifest, "claims", lambda: CLAIMS)
    scale = Scale("training", "train", (("preset {}", "preset"), ("{} steps", "a/steps")))
    one = Evidence(("idmap.one", "idmap.two"), ("table",), told, (scale,))
    monkeypatch.setattr(ledger, "EVIDENCE", (one,))
    made = make_book({"index": "# %% [markdown]\n# # Start\n", "01_one": CHAPTER}, listed)
    models = made.root / "facelab/methods/idmap/models"
    models.mkdir(parents=True)
    (models / "idmap.safetensors").write_bytes(WEIGHTS)
    (made.root / "records").mkdir()
    record(made, "table", share={"value": 0.5, "interval": {"low": 0.25, "high": 0.75}})
    return made


def record(book, name, **content):
    (book.root / "records" / f"{name}.json").write_text(json.dumps(content))


def found(book):
    return [str(problem) for problem in ledger.problems(book.root)]


# --- rows ----------------------------------------------------------------------------------------


def test_there_is_a_row_for_each_claim_in_its_order(book):
    rows = ledger.rows(book.load())
    assert [row.claim for row in rows] == list(CLAIMS)
    assert [row.outcome for row in rows] == [
        "reproduced",
        "partly reproduced",
        "needs data that can't be shipped",
    ]
    assert rows[0].reported == "a | b_c $1 <i>"
    figure = rows[0].verdict.figures["share"]
    assert isinstance(figure, Measured)
    assert (figure, figure.low, figure.high) == (0.5, 0.25, 0.75)
    assert (rows[0].chapter.slug, rows[0].place) == ("01_one", ledger.Place(5, "the-claims"))
    assert (rows[2].chapter, rows[2].place, rows[2].command) == (None, None, "")


def test_the_page_holds_figures_intervals_and_the_way_to_the_cell(book):
    record(book, "train", preset="book")
    page = ledger.page(book.root)
    (one,) = [line for line in page.splitlines() if line.startswith("| `idmap.one`")]
    assert one == (
        "| `idmap.one`<br>**reproduced**<br>[chapter 1, cell 5](../01_one.ipynb#the-claims) "
        r"| a \| b_c \$1 &lt;i&gt; | share: 0.5 (0.25 to 0.75)<br>twice: 1<br>else: never<br>"
        "*training: preset book*<br>`benchmarks/table.py` |"
    )
    assert "<details><summary>7 figures</summary>0: 1,234<br>1: 1,234<br>" in page
    assert "| `d2ae.none`<br>**needs data that can't be shipped**<br>in no chapter yet |" in page


def test_counts_stand_at_the_top(book):
    page = ledger.page(book.root)
    assert page.startswith(
        "Of the 3 claims 1 are reproduced, 1 are partly reproduced, 0 are not reproduced, "
        "1 need data that can't be shipped, and 0 are not measured yet.\n"
    )
    assert "| [idmap](#idmap) | 1 | 1 | 0 | 0 | 0 |\n| [d2ae](#d2ae) | 0 | 0 | 0 | 1 | 0 |" in page
    assert "| all | 1 | 1 | 0 | 1 | 0 |" in page


def test_the_scale_and_the_command_are_the_records(book):
    record(book, "train", preset="book", a={"steps": 12_000})
    record(book, "table", share={"value": 0.5}, command="python benchmarks/table.py --steps 3")
    row = ledger.rows(book.load())[0]
    assert row.scales == ("training: preset book, 12,000 steps",)
    assert row.command == "python benchmarks/table.py --steps 3"
    record(book, "train", preset="book")
    assert ledger.rows(book.load())[0].scales == ("training: preset book",)


def test_without_its_record_a_claim_is_not_measured_yet(book):
    (book.root / "records/table.json").unlink()
    rows = ledger.rows(book.load())
    assert [(row.outcome, row.verdict, row.command) for row in rows[:2]] == [
        ("not measured yet", None, "")
    ] * 2
    assert "2 are not measured yet." in ledger.page(book.root)


def test_extremes_over_seeds_are_named():
    assert number(Measured(0.5, 0.4, 0.7, seeds=True)) == "0.5 (0.4 to 0.7, seeds)"


def test_people_are_counted_through_mixtures_of_data():
    parts = [{"people": {"count": 800}}, {"renders": {"people": {"count": 700}}}, {"n": 3}]
    assert evidence.people({"data": {"config": {"of": {"parts": parts}}}}) == 1500
    assert evidence.people({"data": {"config": {"count": 12_000}}}) is None
    assert evidence.people({}) is None


# --- the check -----------------------------------------------------------------------------------


def test_a_whole_ledger_has_no_problem_but_the_claim_in_no_chapter(book):
    assert found(book) == [
        "book.toml: ledger: d2ae.none: no chapter lists it; put it into the claims of one "
        "[[chapter]]"
    ]


def test_a_claim_that_two_chapters_list_is_found(book):
    twice = book.load().chapters[1]
    two = manifest.Manifest(book.load().path, book.load().book, {}, (twice, twice))
    messages = [problem.message for problem in ledger.unlisted(two)]
    assert messages[0].startswith("idmap.one: 2 chapters list it; put it into the claims of one")


def test_a_listed_claim_that_is_in_no_ledger_is_refused(book):
    path = book.root / "book.toml"
    path.write_text(path.read_text().replace("idmap.two", "idmap.tow"))
    with pytest.raises(ManifestError, match=r"claims: 'idmap\.tow' is unknown; did you mean"):
        found(book)


def test_a_missing_record_is_named_with_its_claims_and_its_benchmark(book):
    (book.root / "records/table.json").unlink()
    assert found(book)[1:] == [
        "records/table.json: ledger: missing, so idmap.one, idmap.two can't be told; make it with "
        "benchmarks/table.py"
    ]


def test_a_verdict_that_nothing_tells_is_found(book, monkeypatch):
    entry = Evidence(("idmap.one", "idmap.two"), ("table",), lambda record: told(record)[:2], ())
    monkeypatch.setattr(ledger, "EVIDENCE", (entry,))
    assert found(book)[1:] == [
        "records/table.json: ledger: no verdict on idmap.two is told from it; correct "
        "facelab/book/evidence.py"
    ]
    assert ledger.rows(book.load())[1].outcome == "not measured yet"


def test_a_claim_without_an_entry_and_an_entry_without_a_claim_are_found():
    one = Evidence(("idmap.one", "idmap.gone", "d2ae.none"), ("table",), told, ())
    messages = [problem.message for problem in ledger.unproved((one,), CLAIMS)]
    assert [message.partition(";")[0] for message in messages] == [
        "idmap.two: 0 entries, expected 1",
        "d2ae.none: 1 entries, expected 0",
        "idmap.gone: 1 entries, expected 0",
    ]


def test_a_chapter_that_does_not_tell_its_verdicts_is_found(book):
    book.edit("01_one", "## The claims", "## What came out")
    assert "01_one.py: ledger: it lists claims; tell their verdicts" in found(book)[1]
    assert "[chapter 1](../01_one.ipynb)" in ledger.page(book.root)


# Where a record has the sum of the shipped weights: by rule, or as its entry says.
SUMS = {
    "the checkpoint": {"checkpoint": {"sha256": SUM}},
    "a file's name": {"checkpoints": {"idmap.safetensors": {"sha256": SUM}}},
    "a file's stem": {"shipped": {"idmap": {"sha256": SUM}}},
    "a place that its entry names": {"generator": SUM},
}


@pytest.mark.parametrize("content", SUMS.values(), ids=SUMS)
def test_weights_that_changed_since_are_found(book, monkeypatch, content):
    weights = {"generator": "methods/idmap/models/idmap.safetensors"}
    entry = Evidence(("idmap.one", "idmap.two"), ("table",), told, (), weights)
    monkeypatch.setattr(ledger, "EVIDENCE", (entry,))
    record(book, "table", share={"value": 0.5}, **content)
    assert len(found(book)) == 1
    path = book.root / "facelab/methods/idmap/models/idmap.safetensors"
    path.write_bytes(b"others")
    (problem,) = found(book)[1:]
    assert problem.startswith("records/table.json: ledger: ")
    assert f"idmap.safetensors has the SHA-256 {hashlib.sha256(b'others').hexdigest()[:12]}" in (
        problem
    )
    assert f"measured was {SUM[:12]}...; make the record again with benchmarks/table.py" in problem
    path.unlink()
    (problem,) = found(book)[1:]
    assert "idmap.safetensors was measured and is missing; put the file back" in problem


def test_a_file_by_its_name_alone_and_the_morphable_head_are_compared(book):
    head = {"data": [{"head": "0" * 64}]}
    record(book, "table", share={"value": 0.5}, row=[{"idmap": {"sha256": "0" * 64}}], **head)
    (book.root / "facelab/geometry/models").mkdir(parents=True)
    (book.root / "facelab/geometry/models/anny_head.safetensors").write_bytes(WEIGHTS)
    messages = [each.removeprefix("records/table.json: ledger: ") for each in found(book)[1:]]
    assert [message.partition(" has the SHA-256")[0] for message in messages] == [
        "row/0/idmap/sha256: facelab/methods/idmap/models/idmap.safetensors",
        "data/0/head: facelab/geometry/models/anny_head.safetensors",
    ]


def test_sums_of_data_are_passed_by(book):
    others = {"data": {"sha256": "0" * 64}, "LORD": {"sha256": "1" * 64}, "moments": ["2" * 64]}
    others["shipped"] = {"idmap": {"header": {"data": {"sha256": "3" * 64}}}}
    record(book, "table", share={"value": 0.5}, **others)
    assert len(found(book)) == 1


# --- the real one --------------------------------------------------------------------------------


def test_every_record_of_the_book_holds():
    """The fifth paper's record and chapter may be still to come; nothing else may be wrong."""
    problems = [str(each) for each in ledger.problems(ROOT) if "d2ae" not in str(each)]
    assert problems == []


def test_every_claim_of_the_book_has_a_whole_row():
    rows = ledger.rows(manifest.load(ROOT / "book.toml"))
    assert [row.claim for row in rows] == list(manifest.claims())
    for row in rows:
        if not row.claim.startswith("d2ae."):
            assert None not in (row.verdict, row.place), row.claim
            assert "" not in (row.command, *row.scales), row.claim
            assert row.scales, row.claim


def test_figures_of_real_records_have_their_intervals():
    records = Records(ROOT)
    (separation, _) = ledger.verdicts_of(evidence.GANFACES[0], records)
    kept = separation.figures["d-prime of renders"]
    plain = json.loads((ROOT / "records/ganfaces.json").read_text())
    row = plain["references"]["renders"]["separation"]
    assert (kept.low, kept.high) == tuple(row["d_prime_interval"][end] for end in ("low", "high"))
    assert kept == row["d_prime"]


def test_a_benchmark_notes_its_command_without_places_of_the_machine(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import recording

    words = [f"{ROOT}/benchmarks/a.py", "--run", "/home/me/runs/x.st", f"--out={ROOT}/records/a"]
    words += ["--data", "packed:/tmp/a/b.facepack+anny", "--rate", "1/2", "two words"]
    assert recording.command(words) == (
        "python benchmarks/a.py --run x.st --out=records/a --data packed:b.facepack+anny "
        "--rate 1/2 'two words'"
    )


def test_weights_of_the_comparison_that_changed_since_are_found(book):
    weights = {"idmap.safetensors": {"sha256": SUM}}
    record(book, "compare", methods={"idmap": {"person": {"trained": 3, "weights": weights}}})
    before = found(book)
    (book.root / "facelab/methods/idmap/models/idmap.safetensors").write_bytes(b"others")
    (problem,) = [each for each in found(book) if each not in before]
    assert problem.startswith("records/compare.json: ledger: methods/idmap/person/weights/")
    assert "make the record again with benchmarks/compare.py" in problem
