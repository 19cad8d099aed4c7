"""The claims ledger: each claim of claims.toml, what was measured, and what is wrong with that.

Verdicts are told anew from the records (`facelab.book.evidence`) whenever the page is made. What
the check finds: a claim that no chapter lists, a verdict without its record, and a record of
weights that are no longer the shipped ones.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from facelab.book import manifest, pairing
from facelab.book.checks import Problem
from facelab.book.evidence import EVIDENCE, Evidence
from facelab.book.fingerprint import file_sum
from facelab.book.manifest import Chapter, Manifest
from facelab.book.measured import Records, number
from facelab.book.overview import folded, table
from facelab.verdicts import Said, Verdict

COMPARISON = "compare"  # the record of all methods on the same faces
RULE = "ledger"
UNSHIPPABLE = "needs data that can't be shipped"
UNMEASURED = "not measured yet"
OUTCOMES = (*get_args(Said), UNSHIPPABLE, UNMEASURED)
# Three columns fit beside the two sidebars; one for each part would be a word wide.
HEAD = ("Claim, verdict, told in", "The paper reports", "Measured here, preset, made by")
TOLD_UNDER = re.compile(r"^## (The claims?)\s*$", re.MULTILINE)
TELLS = re.compile(r"verdict_table\(|[\"']verdict ")
HEX = re.compile(r"[0-9a-f]{64}")
SHIPPED = (("checkpoints",), ("shipped",))  # below these a record names weights by their files
MORPHABLE_HEAD = "geometry/models/anny_head.safetensors"

INTRODUCTION = """\
Each row is one claim of a paper. What was measured, and the verdict, are computed from the records
in `records/` when this page is made. In brackets stands a figure's interval where the record has
one, or the least and the most over seeds; a figure that is computed from several has none here,
though its verdict may rest on theirs. *Never* is what was not reached, or not tried. The rule of a
verdict is in `facelab/methods/PAPER/claims.py`. Where a record does not carry the command that made
it, the program is named alone."""


@dataclass(frozen=True)
class Place:
    """Where a chapter tells its verdicts: the cell's number, from 1, and the anchor above it."""

    cell: int
    anchor: str


@dataclass(frozen=True)
class Row:
    """One claim as the ledger shows it; `chapter` and `place` say where its verdict is told."""

    claim: str
    reported: str
    verdict: Verdict | None
    outcome: str
    scales: tuple[str, ...]
    command: str
    chapter: Chapter | None
    place: Place | None


@dataclass(frozen=True)
class Weights:
    """A SHA-256 that a record has at `place`, and the file below the root that should have it."""

    record: str
    place: str
    sha256: str
    file: Path


def missing_records(evidence: Evidence, records: Records) -> list[str]:
    """Return the records that the verdicts need and that are not there."""
    return [name for name in evidence.records if records.get(name) is None]


def rows(book: Manifest) -> list[Row]:
    """Return a row for each claim of claims.toml, in its order."""
    records = Records(book.root)
    verdicts = {v.claim: v for evidence in EVIDENCE for v in verdicts_of(evidence, records)}
    by_claim = {claim: evidence for evidence in EVIDENCE for claim in evidence.claims}
    told_in = {claim: chapter for chapter in book.chapters for claim in chapter.claims}
    places = {chapter.slug: telling_place(chapter) for chapter in book.chapters if chapter.claims}
    found = []
    for claim, text in manifest.claims().items():
        verdict, evidence, chapter = (of.get(claim) for of in (verdicts, by_claim, told_in))
        scales = evidence.scales if evidence else ()
        shown = [scale.told(records.get(scale.record)) for scale in scales]
        found.append(
            Row(
                claim,
                text["paper"],
                verdict,
                outcome(text, verdict),
                tuple(filter(None, shown)),
                command(evidence, records) if evidence else "",
                chapter,
                places[chapter.slug] if chapter else None,
            )
        )
    return found


def verdicts_of(evidence: Evidence, records: Records) -> list[Verdict]:
    """Return the verdicts on the claims of an entry; none when one of its records is missing."""
    if missing_records(evidence, records):
        return []
    told = evidence.tell(*map(records.get, evidence.records))
    return [verdict for verdict in told if verdict.claim in evidence.claims]


def outcome(claim: Mapping[str, str], verdict: Verdict | None) -> str:
    """Return one of `OUTCOMES`: the verdict, or why there is none."""
    if verdict is not None:
        return verdict.said
    return UNSHIPPABLE if "needs" in claim else UNMEASURED


def command(evidence: Evidence, records: Records) -> str:
    """Return the command that made the first record, or its benchmark's file name alone.

    Empty when there is no such record.
    """
    name = evidence.records[0]
    record = records.get(name)
    return "" if record is None else record.get("command", f"benchmarks/{name}.py")


def telling_place(chapter: Chapter) -> Place | None:
    """Return where a chapter tells its verdicts: in a code cell below "The claims"."""
    if not chapter.source.is_file():
        return None
    anchor = ""
    for place, cell in enumerate(pairing.read_script(chapter).cells, 1):
        if cell.cell_type == "markdown":
            heading = TOLD_UNDER.search(cell.source)
            anchor = heading[1].lower().replace(" ", "-") if heading else anchor
        elif anchor and TELLS.search(cell.source):
            return Place(place, anchor)
    return None


# --- the page ------------------------------------------------------------------------------------


def page(root: Path) -> str:
    """Return the ledger as Markdown, without its title."""
    book = manifest.load(root / manifest.FILE)
    found = rows(book)
    parts = [summary(found), INTRODUCTION, count_table(found)]
    for paper in manifest.papers():
        of_paper = [row for row in found if row.claim.startswith(f"{paper}.")]
        parts += [f"## {paper}", table(HEAD, [_cells(row) for row in of_paper])]
    return "\n\n".join(parts) + "\n"


def summary(found: list[Row]) -> str:
    """Return in one sentence how many claims came to what."""
    count = Counter(row.outcome for row in found)
    told = [f"{count[each]} {'are ' if 'reproduced' in each else ''}{each}" for each in OUTCOMES]
    told = [text.replace("needs", "need").replace("not measured", "are not measured")
            for text in told]  # fmt: skip
    return f"Of the {len(found)} claims {', '.join(told[:-1])}, and {told[-1]}."


def count_table(found: list[Row]) -> str:
    """Return how many claims of each paper came to what."""
    count = Counter((row.claim.partition(".")[0], row.outcome) for row in found)
    lines = [
        (f"[{paper}](#{paper})", *(count[paper, each] for each in OUTCOMES))
        for paper in manifest.papers()
    ]
    total = ("all", *(sum(count[paper, each] for paper in manifest.papers()) for each in OUTCOMES))
    return table(("Paper", *(f"{each[0].upper()}{each[1:]}" for each in OUTCOMES)), [*lines, total])


def _cells(row: Row) -> tuple[str, ...]:
    claim = f"`{row.claim}`<br>**{row.outcome}**<br>{_link(row)}"
    how = [
        *(f"*{_text(scale)}*" for scale in row.scales),
        *([f"`{row.command}`"] if row.command else []),
    ]
    figures = [_figures(row.verdict)] if row.verdict else []
    return (
        claim,
        _text(row.reported),
        "<br>".join([*figures, *how]).replace("</details><br>", "</details>"),
    )


def _link(row: Row) -> str:
    if row.chapter is None:
        return "in no chapter yet"
    number, address = int(row.chapter.slug[:2]), f"../{row.chapter.slug}.ipynb"
    if row.place is None:
        return f"[chapter {number}]({address})"
    return f"[chapter {number}, cell {row.place.cell}]({address}#{row.place.anchor})"


def _figures(verdict: Verdict) -> str:
    lines = [f"{_text(name)}: {number(value)}" for name, value in verdict.figures.items()]
    return folded("<br>".join(lines), len(lines))


def _text(text: str) -> str:
    """Return text as a cell of a table can hold it; `table` sees to its pipes."""
    return re.sub(r"([*$\\])", r"\\\1", html.escape(text, quote=False))


# --- the check -----------------------------------------------------------------------------------


def problems(root: Path) -> Iterator[Problem]:
    """Yield what the ledger lacks: rows, verdicts, records, and weights as they were measured."""
    book, records = manifest.load(root / manifest.FILE), Records(root)
    yield from unlisted(book)
    yield from untold(book)
    yield from unproved(EVIDENCE, manifest.claims())
    for evidence in EVIDENCE:
        yield from unmeasured(evidence, records)
    measured = [each for e in EVIDENCE for each in checkpoints(e, records, root)]
    for weights in dict.fromkeys([*measured, *compared(records, root)]):
        yield from changed(weights, root)


def unlisted(book: Manifest) -> Iterator[Problem]:
    """Yield claims that no chapter lists, or two; an unknown one does not pass the manifest."""
    count = Counter(claim for chapter in book.chapters for claim in chapter.claims)
    for claim in manifest.claims():
        if count[claim] != 1:
            how = f"{count[claim]} chapters list it" if count[claim] else "no chapter lists it"
            message = f"{claim}: {how}; put it into the claims of one [[chapter]]"
            yield Problem(manifest.FILE, None, None, RULE, message)


def untold(book: Manifest) -> Iterator[Problem]:
    """Yield chapters that list claims and have no cell to tell their verdicts."""
    for chapter in book.chapters:
        if chapter.claims and chapter.source.is_file() and telling_place(chapter) is None:
            message = 'it lists claims; tell their verdicts in a code cell below "## The claims"'
            yield Problem(f"chapters/{chapter.source.name}", None, None, RULE, message)


def unproved(
    evidence: Sequence[Evidence], claims: Mapping[str, Mapping[str, str]]
) -> Iterator[Problem]:
    """Yield claims for which no record is named, but for those that say which data they need."""
    count = Counter(claim for each in evidence for claim in each.claims)
    wanted = {claim: int("needs" not in text) for claim, text in claims.items()}
    for claim in {**wanted, **count}:
        if count[claim] != wanted.get(claim, 0):
            message = (
                f"{claim}: {count[claim]} entries, expected {wanted.get(claim, 0)}; correct it"
            )
            yield Problem("facelab/book/evidence.py", None, None, RULE, message)


def unmeasured(evidence: Evidence, records: Records) -> Iterator[Problem]:
    """Yield records that are missing, with the claims that then have no verdict."""
    missing = missing_records(evidence, records)
    for name in missing:
        claims = ", ".join(evidence.claims)
        message = f"missing, so {claims} can't be told; make it with benchmarks/{name}.py"
        yield Problem(f"records/{name}.json", None, None, RULE, message)
    told = {verdict.claim for verdict in verdicts_of(evidence, records)}
    for claim in evidence.claims:
        if not missing and claim not in told:
            message = f"no verdict on {claim} is told from it; correct facelab/book/evidence.py"
            yield Problem(f"records/{evidence.records[0]}.json", None, None, RULE, message)


def checkpoints(evidence: Evidence, records: Records, root: Path) -> Iterator[Weights]:
    """Yield the shipped weights whose SHA-256 the records of an entry have.

    They stand at `checkpoint`, below `checkpoints` or `shipped`, or at the name of one of the
    method's files; `head` is the morphable head's. Other sums, of data and of stages that are not
    shipped, are passed by.
    """
    package = root / "facelab"
    models = package / "methods" / evidence.paper / "models"
    shipped = {path.stem: path for path in sorted(models.glob("*.safetensors"))}
    named = {"checkpoint": models / f"{evidence.paper}.safetensors", **shipped}
    for name in evidence.records:
        for place, key, value in sums(records.get(name), ()):
            owner = str(place[-1]).removesuffix(".safetensors") if place else ""
            where = "/".join(map(str, (*place, key)))
            if key == "head":
                yield Weights(name, where, value, package / MORPHABLE_HEAD)
            elif key == "sha256" and (owner in named or place[:-1] in SHIPPED):
                file = named.get(owner, models / f"{owner}.safetensors")
                yield Weights(name, where, value, file)
            elif name == evidence.records[0] and where in evidence.weights:
                yield Weights(name, where, value, package / evidence.weights[where])


def compared(records: Records, root: Path) -> Iterator[Weights]:
    """Yield the shipped weights that the comparison of all methods was made with."""
    for place, key, value in sums((records.get(COMPARISON) or {}).get("methods"), ()):
        match place, key:
            case (str(method), str(_), "weights", str(name)), "sha256":
                file = root / "facelab" / "methods" / method / "models" / name
                yield Weights(COMPARISON, "/".join(("methods", *map(str, place))), value, file)


def sums(value: Any, place: tuple[str | int, ...]) -> Iterator[tuple[tuple, str, str]]:
    """Yield every SHA-256 below a value: where its table stands, its key, the sum."""
    entries = value.items() if isinstance(value, dict) else ()
    for key, inner in enumerate(value) if isinstance(value, list) else entries:
        if isinstance(inner, str) and HEX.fullmatch(inner):
            yield place, str(key), inner
        else:
            yield from sums(inner, (*place, key))


def changed(weights: Weights, root: Path) -> Iterator[Problem]:
    """Yield a problem when the shipped file is gone, or is not the one that was measured."""
    file, shipped = f"records/{weights.record}.json", weights.file.relative_to(root).as_posix()
    again = f"make the record again with benchmarks/{weights.record}.py, or put the file back"
    if not weights.file.is_file():
        message = f"{weights.place}: {shipped} was measured and is missing; put the file back"
        yield Problem(file, None, None, RULE, message)
    elif (found := file_sum(weights.file)) != weights.sha256:
        sums = f"{shipped} has the SHA-256 {found[:12]}..., measured was {weights.sha256[:12]}..."
        yield Problem(file, None, None, RULE, f"{weights.place}: {sums}; {again}")
