"""From picture files to a folder with a result for each, a sheet and a record; nothing is lost.

Pictures stream: one after the other is changed and written, and no more than a few are in memory.
One that can't be used is listed and left out. What was there before is kept, and no result lies on
a picture that was given.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.assets import cache
from facelab.errors import ImageError, ParameterError
from facelab.images import grid, save_image
from facelab.progress import progress_bar
from facelab.recognition.align import Aligned, Template, find_template
from facelab.recognition.gallery import Failure, pictures_in
from facelab.recognition.sampling import move_points, resize_transform
from facelab.types import Picture

SHEET = "sheet.png"
SHOWN = 48  # rows of the sheet: the first faces
SHEET_SIDE_PX = 192  # a face on the sheet is at least about as large
DIGITS = 6  # of a number in a record
POLICIES = ("error", "largest", "central")  # those that take one face of a picture

Row = Float[Tensor, "columns 3 side side"]


@dataclass(frozen=True)
class Result:
    """A finished picture, the faces of its row on the sheet, and what is to be said of it."""

    picture: Picture
    row: Row
    facts: dict[str, Any]


@dataclass
class Report:
    """What became of pictures: a row of facts for each that was written, and the failures.

    `about` is what holds for all of them, and `sheet` the rows that are shown.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    sheet: list[Row] = field(default_factory=list, repr=False)

    def facts(self) -> dict[str, Any]:
        """Return the report as its file has it."""
        skipped = [vars(failure) for failure in self.failures]
        return {**self.about, "pictures": self.rows, "skipped": skipped}


@dataclass(frozen=True)
class Folder:
    """A folder for results. `record` is its JSON file and `use` what messages say pictures are for.

    `sheet` says whether there is one, and `overwrite` allows to replace results of an earlier call.
    """

    path: Path
    record: str
    use: str
    sheet: bool = True
    overwrite: bool = False

    def targets(self, pictures: Sequence[Path], others: Sequence[Path] = ()) -> list[Path]:
        """Return where each result goes: NAME.png, and NAME-2.png where that is taken by another.

        `others` are pictures that were given and have no result. Raises `ParameterError` when one
        of the files is a picture that was given, or is there already.
        """
        return self.named([picture.stem for picture in pictures], (*pictures, *others))

    def named(self, names: Sequence[str], given: Sequence[Path]) -> list[Path]:
        """Return where results of these names go, as `targets` does; `given` are all pictures."""
        if self.path.exists() and not self.path.is_dir():
            raise ParameterError(f"{self.path} is a file; give a folder for the results")
        taken = {Path(SHEET).stem}  # a picture may have the sheet's name
        targets = []
        for name in names:
            stem, number = name, 1
            while stem.casefold() in taken:  # some file systems don't tell upper from lower case
                number += 1
                stem = f"{name}-{number}"
            taken.add(stem.casefold())
            targets.append(self.path / f"{stem}.png")
        self._require_free(targets, given)
        return targets

    def _require_free(self, targets: list[Path], given: Sequence[Path]) -> None:
        given = {identity for path in given if (identity := _identity(path))}
        sheet = [self.path / SHEET] if self.sheet else []
        for target in (*targets, *sheet, self.path / self.record):
            if _identity(target) in given:
                raise ParameterError(
                    f"{target} is one of the pictures to be {self.use}; give another folder"
                )
            if os.path.lexists(target) and not self.overwrite:
                raise ParameterError(
                    f"{target} exists; give another folder, or --overwrite to replace it"
                )

    def write(
        self,
        targets: Sequence[Path],
        outcomes: Iterable[tuple[str, Result | Failure]],
        shown: int = SHOWN,
    ) -> Report:
        """Write one picture after the other, with a progress bar; the first `shown` make the sheet.

        Raises `AssetError` or `ImageError` when a result can't be written.
        """
        with cache.writing(self.path.name, self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        report = Report()
        with progress_bar("faces", len(targets), "picture") as bar:
            for target, (path, outcome) in zip(targets, outcomes, strict=True):
                if isinstance(outcome, Failure):
                    report.failures.append(outcome)
                    bar.set_postfix(skipped=len(report.failures), refresh=False)
                else:
                    save_image(outcome.picture, target)
                    report.rows.append({"source": path, "file": str(target), **outcome.facts})
                    report.sheet += [outcome.row] if len(report.sheet) < shown else []
                bar.update(1)
        return report

    def finish(self, report: Report) -> None:
        """Write the sheet, where there is a face for it, and the record."""
        if self.sheet and report.sheet:
            faces = torch.cat(report.sheet)
            times = max(1, round(SHEET_SIDE_PX / faces.shape[-1]))
            large = faces.repeat_interleave(times, 2).repeat_interleave(times, 3)
            columns = len(report.sheet[0])
            save_image(grid(large, columns, gap=2 * times), self.path / SHEET)
        record = self.path / self.record
        with cache.writing(record.name, record):
            text = json.dumps(report.facts(), indent=1, allow_nan=False)
            cache.write_beside(record, (text + "\n").encode())


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what a file is, whatever it is called; None where there is none."""
    with suppress(OSError, ValueError):
        found = path.stat()
        return found.st_dev, found.st_ino
    return None


def pictures_of(given: Sequence[Path]) -> list[Path]:
    """Return all picture files, folders searched. Raises `UserError` for one without pictures."""
    nested = (pictures_in(path) if path.is_dir() else [path] for path in expanded(given))
    return [picture for found in nested for picture in found]


def expanded(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return paths with the home folder's name in place of ~."""
    return tuple(path.expanduser() for path in paths)


def rounded(value: Tensor | float) -> float:
    """Return a number as records have it."""
    return round(float(value), DIGITS)


def require_policy(policy: str) -> None:
    """Raise `ParameterError` unless the policy is one of `POLICIES`."""
    if policy not in POLICIES:
        raise ParameterError(
            f"there is no policy {policy!r} here; choose one of: {', '.join(POLICIES)}"
        )


def outcomes(
    found: Iterable[tuple[str, tuple[Aligned, int] | Failure]],
    change: Callable[[str, Aligned], Result],
) -> Iterator[tuple[str, Result | Failure]]:
    """Yield each of `gallery.faces_of_files` with what becomes of it, or why nothing, in order."""
    for path, faces in found:
        if isinstance(faces, Failure):
            yield path, faces
            continue
        try:
            yield path, change(path, faces[0])
        except ImageError as error:
            yield path, Failure(path, type(error).__name__, str(error))


def template_of_size(name: str, side: int) -> Template:
    """Return where the points of a face lie in pictures of `side` pixels framed like a template."""
    template = find_template(name)
    if side == template.size:
        return template
    scale = resize_transform((template.size, template.size), (side, side))
    points = move_points(template.points_xy[None], scale)[0].tolist()
    return dataclasses.replace(template, size=side, points=tuple(map(tuple, points)))
