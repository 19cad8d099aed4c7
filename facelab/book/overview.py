"""The book seen from above: tables of chapters, profiles, assets and of the machine, as Markdown.

The index page and the README show the same tables; measured figures come from `records/`.
"""

import json
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

from facelab.book import report
from facelab.book.manifest import Manifest, claims, find_root
from facelab.book.pairing import replace_text
from facelab.errors import BookError
from facelab.verdicts import Verdict

CHAPTER_RECORD = "records/chapters_quick.json"
FRESH_RECORD = "records/fresh_clone.json"
FOLDED = 6  # more figures of a verdict than these are folded


def record(name: str, root: Path | None = None) -> dict | None:
    """Return a committed record, or None when none was made yet."""
    path = (root or find_root()) / name
    return json.loads(path.read_text()) if path.is_file() else None


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay out rows as a Markdown table; a pipe in a cell is escaped, or it would begin another."""
    lines = [head, ["---"] * len(head), *rows]
    cells = ([str(cell).replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def verdict_table(verdicts: Iterable[Verdict]) -> str:
    """Each claim with its verdict, what the paper says, and what was measured, a line a figure.

    More than `FOLDED` figures are behind their number, to be opened.
    """
    said, rows = claims(), []
    for each in verdicts:
        told = folded(each.told().replace("; ", "<br>"), len(each.figures))
        rows.append((f"`{each.claim}`<br>**{each.said}**", said[each.claim]["paper"], told))
    return table(("Claim", "The paper", "Measured here"), rows)


def folded(told: str, figures: int) -> str:
    """Return what is told of so many figures; of more than `FOLDED` their number, to be opened."""
    if figures <= FOLDED:
        return told
    return f"<details><summary>{figures} figures</summary>{told}</details>"


def chapter_table(manifest: Manifest, folder: str = "") -> str:
    """Chapter with its module, paper, minutes to read, seconds of `quick`, number of claims."""
    measured = record(CHAPTER_RECORD) or {"chapters": {}}
    rows, no_paper = [], "foundation"
    for chapter in manifest.chapters:
        minutes = measured["chapters"].get(chapter.slug, {}).get("minutes")
        ran = "not measured yet" if minutes is None else f"{minutes * 60:.0f} s"
        link = f"[{chapter.title}]({folder}{chapter.slug}.ipynb)<br>`{chapter.module}`"
        if chapter.paper:
            kind, no_paper = f"`{chapter.paper}`", "all of them"  # what comes after the papers
        else:
            kind = no_paper
        rows.append((link, kind, chapter.minutes, ran, len(chapter.claims)))
    head = ("Chapter", "Paper", "Minutes to read", "Runs at `quick` in", "Claims")
    return table(head, rows)


def profile_table(manifest: Manifest) -> str:
    """The profiles: what each is for, and its budget of seconds a chapter."""
    rows = [
        (f"`{profile.name}`", profile.purpose, f"{profile.budget_s:g} s")
        for profile in manifest.profiles.values()
    ]
    return table(("Profile", "For", "Budget a chapter"), rows)


def environment_table() -> str:
    """The machine and the versions that a notebook runs on, read while it runs."""
    from importlib.metadata import version

    import torch

    device = f"CPU, {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    rows = [("Python", platform.python_version()), ("device", device)]
    rows += [(name, version(name)) for name in ("torch", "torchvision", "facenet-pytorch")]
    return table(("Part", "This run"), rows)


def asset_table() -> str:
    """Every asset: what it is, its source, size and licence, and what it may be used for."""
    from facelab.assets import ASSETS

    rows = []
    for asset in ASSETS.values():
        source = asset.sources[0]
        where = f"`{source.distribution}` {source.version}"
        size = f"{asset.size_bytes / 1e6:.1f} MB"
        rows.append((f"`{asset.name}`", asset.title, where, size, asset.licence, asset.use))
    return table(("Asset", "What", "Package", "Size", "Licence", "May be used for"), rows)


def fresh_table() -> str:
    """How long the two commands took in a fresh clone with empty caches, from the record."""
    measured = record(FRESH_RECORD)
    if measured is None:
        return "Not measured yet: `make fresh` writes the record."
    rows = [
        (f"`{step['command']}`", step["step"], f"{step['seconds'] / 60:.1f}")
        for step in measured["steps"]
    ]
    told = table(("Command", "Step", "Minutes"), rows)
    return f"{told}\n\nMeasured on {measured['date']}: {measured['machine']}."


def write_chapter_record(manifest: Manifest, executed: Path) -> Path:
    """Carry the report of a run in the folder `executed` into the chapters' committed record.

    Chapters that the run did not execute keep what was recorded for them; chapters that the book no
    longer has are dropped. Returns the record's path.
    """
    path = manifest.root / CHAPTER_RECORD
    kept = (record(CHAPTER_RECORD, manifest.root) or {"chapters": {}})["chapters"]
    ran = json.loads((executed / report.FILE).read_text())["chapters"]
    entries = kept | {slug: entry for slug, entry in ran.items() if entry["outcome"] == report.OK}
    chapters = {
        chapter.slug: entries[chapter.slug]
        for chapter in manifest.chapters
        if chapter.slug in entries
    }
    content = {"kind": "every chapter executed at the profile quick", "chapters": chapters}
    path.parent.mkdir(exist_ok=True)
    replace_text(path, json.dumps(content, indent=1) + "\n")
    return path


def write_readme(manifest: Manifest) -> list[Path]:
    """Bring the README's tables up to date; return its path when something changed."""
    path = manifest.root / "README.md"
    if not path.is_file():
        return []
    text = path.read_text()
    filled = readme(text, manifest)
    if filled == text:
        return []
    replace_text(path, filled)
    return [path]


def readme(text: str, manifest: Manifest) -> str:
    """Return the README's text with its marked blocks made anew from the manifest and records.

    A block stands between `<!-- facelab:NAME -->` and `<!-- /facelab:NAME -->`. Raises `BookError`
    when one of the blocks is missing.
    """
    blocks = {
        "fresh": fresh_table(),
        "chapters": chapter_table(manifest, folder="chapters/"),
        "assets": asset_table(),
    }
    for name, content in blocks.items():
        start, end = f"<!-- facelab:{name} -->", f"<!-- /facelab:{name} -->"
        before, found, rest = text.partition(start)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise BookError(f"README.md has no block {start} ... {end}; put it back")
        text = f"{before}{start}\n{content}\n{end}{after}"
    return text
