"""Numbers of records in written pages: nobody types a measured number into prose.

{record}`idmap: de-identification/closest/rates/rank-1 before/value` in a page of chapters/pages
becomes that number of records/idmap.json, with its interval where the record has one.
"""

import re
from pathlib import Path

from facelab.book.measured import Records, number
from facelab.errors import BookError
from facelab.verdicts import at

QUOTED = re.compile(r"\{record\}`([\w-]+):\s([^`]+)`")
ANY = re.compile(r"\{record\}`[^`]*`")


def quoted(text: str, root: Path, place: str) -> str:
    """Return a page's text with its numbers; `place` names the page in messages.

    Raises `BookError` for a number that the records of the project at `root` don't have.
    """
    records = Records(root)

    def told(found: re.Match[str]) -> str:
        line = text.count("\n", 0, found.start()) + 1
        parts = QUOTED.fullmatch(found[0])
        if parts is None:
            expected = "expected {record}`NAME: way/to/a/number`"
            raise BookError(f"{place}, line {line}: {expected}, got {found[0]}; correct it")
        name, way = parts[1], " ".join(parts[2].split())
        value = at(records.get(name), *way.split("/"))
        if not isinstance(value, int | float):
            missing = f"records/{name}.json has no number at {way}"
            raise BookError(f"{place}, line {line}: {missing}; correct the way, or make the record")
        return number(value)

    return ANY.sub(told, text)
