"""The book seen from above: tables of chapters, profiles, assets and of the machine, as Markdown.

The index page and the README show the same tables; measured figures come from `records/`.
"""

import json
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

from facelab.book.manifest import Manifest, find_root
from facelab.errors import BookError

CHAPTER_RECORD = "records/chapters_quick.json"
FRESH_RECORD = "records/fresh_clone.json"


def record(name: str, root: Path | None = None) -> dict | None:
    """Return a committed record, or None when none was made yet."""
    path = (root or find_root()) / name
    return json.loads(path.read_text()) if path.is_file() else None


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay out rows as a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def chapter_table(manifest: Manifest, folder: str = "") -> str:
    """Chapter, paper, module, minutes to read, seconds that `quick` took, number of claims."""
    measured = record(CHAPTER_RECORD) or {"chapters": {}}
    rows = []
    for chapter in manifest.chapters:
        seconds = measured["chapters"].get(chapter.slug, {}).get("seconds")
        ran = "not measured yet" if seconds is None else f"{seconds:.0f} s"
        link = f"[{chapter.title}]({folder}{chapter.slug}.ipynb)"
        paper = f"`{chapter.paper}`" if chapter.paper else "foundation"
        rows.append((link, paper, f"`{chapter.module}`", chapter.minutes, ran, len(chapter.claims)))
    head = ("Chapter", "Paper", "Module", "Minutes to read", "Runs at `quick` in", "Claims")
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
