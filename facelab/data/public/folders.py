"""Find pictures in a folder that somebody unpacked: where they lie, and folders by number."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from facelab.errors import DatasetError

DEPTH = 3  # folders down that pictures are looked for
PICTURE = re.compile(r"[^.].*\.(?:png|jpe?g)", re.IGNORECASE)
NUMBER = re.compile(r"[0-9]{1,9}")


def inner(folder: Path) -> Iterator[Path]:
    """Yield the folders in a folder, but for hidden ones and what macOS adds to archives."""
    for path in folder.iterdir():
        if path.name != "__MACOSX" and not path.name.startswith(".") and path.is_dir():
            yield path


def numbered(folder: Path) -> dict[int, Path]:
    """Return the folders whose names are numbers, in the order of their numbers.

    Raises `DatasetError` when two have the same number, such as 7 and 007.
    """
    found: dict[int, Path] = {}
    for path in inner(folder):
        if NUMBER.fullmatch(path.name):
            other = found.setdefault(int(path.name), path)
            if other != path:
                raise DatasetError(f"{other} and {path} have one number; keep one of them")
    return dict(sorted(found.items()))


def find_place(
    folder: Path, holds: Callable[[Path], bool], expected: str, prefer: str = ""
) -> Path:
    """Return the folder for which `holds` is true: this one, or one at most `DEPTH` below it.

    Of several at the same depth, one called `prefer` is taken. Raises `DatasetError` when there is
    none, saying what was `expected`, and when there are several.
    """
    level = [folder]
    for _ in range(DEPTH + 1):
        found = [place for place in level if holds(place)]
        found = [place for place in found if place.name == prefer] or found
        if len(found) > 1:
            raise DatasetError(
                f"{found[0]} and {found[1]} both have pictures; give the folder that you mean"
            )
        if found:
            return found[0]
        level = [below for place in level for below in sorted(inner(place))]
    raise DatasetError(f"{folder} has no {expected}; give the folder as the set was published")
