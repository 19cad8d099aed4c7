"""Copy the book's photographs to a folder, with a data card.

The assets `astronaut` and `portraits` are fetched and verified (SHA-256). README.md says of each
picture where it comes from, its licence, and what it may be used for.
"""

import sys
from pathlib import Path

from facelab import assets
from facelab.assets import cache, script
from facelab.errors import AssetError

NAMES = ("astronaut", "portraits")
CARD = "README.md"
HEADING = """# Photographs

Real people who did not ask to be in this book. Find, align and compare their faces; make no altered
portrait of them, and suggest no endorsement.
"""


def card() -> str:
    """Return the data card: one section an asset, one row a file."""
    sections = [HEADING]
    for asset in map(assets.find, NAMES):
        sources = ", or ".join(map(str, asset.sources))
        facts = {
            "Provenance": asset.provenance,
            "Licence": asset.licence,
            "Use": asset.use,
            "Taken from": sources,
        }
        lines = [f"- {name}: {text}" for name, text in facts.items()]
        rows = [f"| {file.name} | {file.size_bytes} | `{file.sha256}` |" for file in asset.files]
        table = ["| file | bytes | SHA-256 |", "|---|---|---|", *rows]
        sections.append("\n".join([f"## {asset.title}", "", *lines, "", *table, ""]))
    return "\n".join(sections)


def contents() -> dict[str, bytes]:
    """Return name -> bytes of all that the folder should have; fetches what is not here."""
    found = {CARD: card().encode()}
    for asset in map(assets.find, NAMES):
        place = assets.path(asset.name)
        folder = place.parent if place.is_file() else place
        found |= {file.name: (folder / file.name).read_bytes() for file in asset.files}
    return found


def make(folder: Path) -> None:
    """Write every file beside and rename it."""
    found = contents()
    with cache.writing("photographs", folder):
        for name, data in found.items():
            cache.write_beside(folder / name, data)


def verify(folder: Path) -> None:
    """Raise `AssetError` that names the files which are missing or different."""
    wrong = []
    for name, data in contents().items():
        place = folder / name
        if not place.is_file():
            wrong.append(f"{name} is missing")
        elif place.read_bytes() != data:
            wrong.append(f"{name} is not as it should be")
    if wrong:
        raise AssetError(f"{folder}: {', '.join(wrong)}; run this again without --verify")


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return 0, or 2 after one line on standard error."""
    options = script.parser(__doc__, "FOLDER", Path("photographs")).parse_args(arguments)

    def act() -> Path:
        (verify if options.verify else make)(options.output)
        return options.output

    return script.attempt("photographs", act)


if __name__ == "__main__":
    sys.exit(main())
