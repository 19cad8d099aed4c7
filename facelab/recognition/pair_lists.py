"""Lists of pairs of pictures: who is to be compared with whom, and what the right answer is.

Two formats are read, and told apart by the first line:

LFW's pairs.txt (Huang et al. 2007). A first line `10 300` (folds, pairs of a kind per fold) or
`300` (one fold); then per fold the pairs of one person, `NAME 1 2`, and those of two people,
`NAME 1 OTHER 2`. Picture 1 of NAME is NAME/NAME_0001.jpg. Fields are separated by tabs or spaces.

CSV with the columns `a`, `b` (paths, relative to the folder of pictures) and `same` (1 or 0, true
or false), in any order, separated by commas or semicolons; other columns are ignored. Who is on a
picture is not said, so people are inferred: pictures that are linked by pairs of the same person
are of one person, all others of different people.
"""

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from facelab.errors import ImageError, UserError

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_COLUMNS = ("a", "b", "same")
_TRUTH = {"1": True, "true": True, "0": False, "false": False}


class _Line(NamedTuple):
    """One pair as it stands in the file; people only where the file names them."""

    number: int
    a: Path
    b: Path
    same: bool
    people: tuple[str, str] | None = None
    fold: int | None = None


@dataclass(frozen=True)
class PairList:
    """Pairs of pictures by their place in `paths`, which has every picture once.

    `people[i]` numbers who is on picture i. `folds` numbers each pair's fold, None when the list
    has at most one. `contradictions` counts pairs that are said to be of two people although other
    pairs link both pictures to one person.
    """

    paths: tuple[Path, ...]
    pictures: tuple[tuple[int, int], ...]
    same: tuple[bool, ...]
    people: tuple[int, ...]
    folds: tuple[int, ...] | None
    contradictions: int


def read_pairs(file: str | os.PathLike, folder: str | os.PathLike | None = None) -> PairList:
    """Read a list of pairs; its pictures lie in `folder` (the list's own when not given).

    Raises `UserError`, with the line, for a list that is missing, empty or malformed, for a picture
    that is paired with itself and for a pair that is said to be both; `ImageError` for a picture
    that does not exist.
    """
    file = Path(file).expanduser()
    folder = file.parent if folder is None else Path(folder).expanduser()
    text = _text(file)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the folder of the pictures with --images")
    first = text.lstrip().split("\n", 1)[0].split()
    is_lfw = all(field.isdecimal() for field in first)
    lines = list(_lfw_lines(file, text, folder) if is_lfw else _csv_lines(file, text, folder))
    if not lines:
        raise UserError(f"{file} has no pairs; give at least one line with two pictures")
    _require_pictures(file, folder, lines)
    return _pair_list(file, lines)


def _text(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(
            f"{file} can't be read ({error.strerror or error}); give LFW's pairs.txt or a CSV"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file} is not text in UTF-8; give LFW's pairs.txt, or a CSV saved as UTF-8"
        ) from error
    if not text.strip():
        raise UserError(f"{file} is empty; expected LFW's pairs.txt, or a CSV: a,b,same")
    return text


# --- CSV -----------------------------------------------------------------------------------------


def _csv_lines(file: Path, text: str, folder: Path) -> Iterator[_Line]:
    rows = _csv_rows(file, text)
    first, header = next(rows)
    names = [name.strip().lower() for name in header]
    missing = [name for name in _COLUMNS if name not in names]
    if missing:
        raise UserError(
            f"{file}, line {first}: no column {' and '.join(map(repr, missing))} among "
            f"{', '.join(names)[:120]!r}; the first line has to be: a,b,same"
        )
    places = [names.index(name) for name in _COLUMNS]
    for number, row in rows:
        if len(row) <= max(places):
            raise UserError(
                f"{file}, line {number}: {len(row)} fields where the first line has {len(names)}; "
                "give a, b and same"
            )
        a, b, same = (row[place].strip() for place in places)
        if not a or not b:
            raise UserError(f"{file}, line {number}: a path is empty; give two pictures")
        if same.lower() not in _TRUTH:
            raise UserError(
                f"{file}, line {number}: same is {same!r}; expected 1 or true for one person, 0 or "
                "false for two"
            )
        yield _Line(number, _picture(folder, a), _picture(folder, b), _TRUTH[same.lower()])


def _csv_rows(file: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank with the number of the line that it ends on."""
    header = text.lstrip().split("\n", 1)[0]
    separator = ";" if header.count(";") > header.count(",") else ","
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    try:
        for row in reader:
            if any(field.strip() for field in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise UserError(
            f"{file}, line {reader.line_num}: not a line of a CSV ({error}); expected: a,b,same"
        ) from error


def _picture(folder: Path, name: str) -> Path:
    return Path(os.path.normpath(folder / name))


# --- LFW -----------------------------------------------------------------------------------------


def _lfw_lines(file: Path, text: str, folder: Path) -> Iterator[_Line]:
    numbered = [(n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]
    (_, header), *rest = numbered
    numbers = [int(field) for field in header.split()]
    folds, each = numbers if len(numbers) == 2 else (1, numbers[0])
    if len(numbers) > 2 or not folds or not each:
        raise UserError(
            f"{file}, line 1: {header.strip()!r}; expected the number of folds and of pairs of a "
            "kind per fold, such as 10 300"
        )
    if len(rest) != 2 * folds * each:
        raise UserError(
            f"{file} has {len(rest):,} pairs, but its first line says {folds} x 2 x {each} = "
            f"{2 * folds * each:,}; get the whole file"
        )
    for place, (number, line) in enumerate(rest):
        fold, within = divmod(place, 2 * each)
        same = within < each
        yield _lfw_line(file, folder, number, line, same, fold if folds > 1 else None)


def _lfw_line(
    file: Path, folder: Path, number: int, line: str, same: bool, fold: int | None
) -> _Line:
    fields = [field.strip() for field in (line.split("\t") if "\t" in line else line.split())]
    wanted = "NAME 1 2" if same else "NAME 1 OTHER 2"
    indices = (fields[1:] if same else fields[1::2]) if len(fields) == 4 - same else []
    if len(indices) != 2 or not all(index.isdecimal() for index in indices):
        raise UserError(f"{file}, line {number}: {line.strip()!r}; expected {wanted!r} here")
    people = (fields[0], fields[0] if same else fields[2])
    a, b = (_lfw_picture(folder, *of) for of in zip(people, map(int, indices), strict=True))
    if not same and people[0] == people[1]:
        raise UserError(
            f"{file}, line {number}: {people[0]!r} stands on both sides of a pair of two people; "
            f"expected {wanted!r}"
        )
    return _Line(number, a, b, same, people, fold)


def _lfw_picture(folder: Path, name: str, index: int) -> Path:
    """Return NAME/NAME_0001.jpg, or the same with another picture's ending if only that exists."""
    stem = folder / name / f"{name}_{index:04d}"
    for ending in ENDINGS:
        path = stem.with_name(stem.name + ending)
        if os.path.isfile(path):
            return path
    return stem.with_name(stem.name + ENDINGS[0])


# --- both ----------------------------------------------------------------------------------------


def _require_pictures(file: Path, folder: Path, lines: list[_Line]) -> None:
    first_line: dict[Path, int] = {}
    for line in lines:
        for path in (line.a, line.b):
            first_line.setdefault(path, line.number)
    absent = [path for path in first_line if not os.path.isfile(path)]
    if not absent:
        return
    others = len(absent) - 1
    raise ImageError(
        f"{file}, line {first_line[absent[0]]}: {absent[0]} does not exist"
        + (f", and neither do {others:,} more pictures of the list" if others else "")
        + f"; paths are relative to {folder} (set it with --images)"
    )


def _pair_list(file: Path, lines: list[_Line]) -> PairList:
    place: dict[Path, int] = {}
    answers: dict[frozenset[int], _Line] = {}
    for line in lines:
        a, b = (place.setdefault(path, len(place)) for path in (line.a, line.b))
        if a == b:
            raise UserError(
                f"{file}, line {line.number}: {line.a.name} is paired with itself, which proves "
                "nothing; give two different pictures"
            )
        earlier = answers.setdefault(frozenset((a, b)), line)
        if earlier.same != line.same:
            raise UserError(
                f"{file}, line {line.number}: {line.a.name} and {line.b.name} are said to be "
                f"{_said(line)} here but {_said(earlier)} in line {earlier.number}; correct one"
            )
    pictures = tuple((place[line.a], place[line.b]) for line in lines)
    people = _named_people(lines, place) or _linked_people(lines, place)
    return PairList(
        paths=tuple(place),
        pictures=pictures,
        same=tuple(line.same for line in lines),
        people=people,
        folds=None if lines[0].fold is None else tuple(line.fold for line in lines),
        contradictions=sum(
            not line.same and people[a] == people[b]
            for line, (a, b) in zip(lines, pictures, strict=True)
        ),
    )


def _said(line: _Line) -> str:
    return "of one person" if line.same else "of two people"


def _named_people(lines: list[_Line], place: dict[Path, int]) -> tuple[int, ...] | None:
    """Number the people whom the list names; None when it names nobody."""
    if lines[0].people is None:
        return None
    names = {}
    for line in lines:
        names.update({place[line.a]: line.people[0], place[line.b]: line.people[1]})
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names.values()))}
    return tuple(numbers[names[picture]] for picture in range(len(place)))


def _linked_people(lines: list[_Line], place: dict[Path, int]) -> tuple[int, ...]:
    """Number the groups of pictures that pairs of the same person link."""
    parent = list(range(len(place)))

    def root(picture: int) -> int:
        while parent[picture] != picture:
            parent[picture] = parent[parent[picture]]
            picture = parent[picture]
        return picture

    for line in lines:
        if line.same:
            a, b = sorted((root(place[line.a]), root(place[line.b])))
            parent[b] = a
    roots = [root(picture) for picture in range(len(place))]
    numbers = {first: number for number, first in enumerate(dict.fromkeys(roots))}
    return tuple(numbers[first] for first in roots)
