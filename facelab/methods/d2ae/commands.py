"""`facelab disentangle`: faces whose identity and whose all else are changed apart."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facelab.errors import ParameterError
from facelab.recognition.picture_options import (
    ALIGNED,
    CHECKPOINT,
    FILE,
    RESULTS,
    Lists,
    shared,
    tell,
)

if TYPE_CHECKING:
    from facelab.recognition.pictures import Report

SHARED = shared(ALIGNED, CHECKPOINT, *RESULTS)
IMAGES = click.argument("images", nargs=-1, required=True, type=FILE, metavar="IMG...")


@click.group()
def disentangle() -> None:
    """Change who a face shows, or all the rest, and put both together again.

    DIR gets the made faces at their own size, sheet.png with the first of them beside what was
    given, and disentangle.json: whom a recogniser that no loss saw takes each face for, and how far
    pose and landmarks moved. Pictures that can't be read, have no face, or several, are listed and
    left out; the exit code is 3 then.
    """


@disentangle.command(cls=Lists)
@click.option("--identity", multiple=True, required=True, type=FILE, metavar="IMG...",
              help="Whose identity; several pictures are of one person.")  # fmt: skip
@click.option("--attributes", multiple=True, required=True, type=FILE, metavar="IMG...",
              help="Pictures that give all else, or folders of them.")  # fmt: skip
@SHARED
def swap(
    identity: tuple[Path, ...], attributes: tuple[Path, ...], as_json: bool, **given: Any
) -> None:
    """Give faces the identity of another: f_T of one, f_P of the other.

    DIR gets NAME.png for each picture of --attributes.
    """
    from facelab.methods.d2ae import session

    report = session.swap(session.Order(**given), identity, attributes)
    _tell(report, "swapped", ("identity", "attributes"), given["output"], as_json)


@disentangle.command()
@IMAGES
@click.option("--attribute", "names", multiple=True, required=True, metavar="NAME",
              help="Such as Smiling; repeat it for several.")  # fmt: skip
@click.option("--strength", "strengths", type=float, multiple=True, metavar="X",
              help="One for each attribute, -1 to 1; below 0 takes it away.  [1]")  # fmt: skip
@click.option("--directions", type=FILE, metavar="FILE",
              help="Those of the checkpoint.  [the file beside it]")  # fmt: skip
@SHARED
def edit(
    images: tuple[Path, ...],
    names: tuple[str, ...],
    strengths: tuple[float, ...],
    directions: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Change attributes of faces, several at once.

    Each IMG is a picture or a folder of pictures; DIR gets NAME.png of each. A strength of 1 goes
    to the end of the interval that 95% of a feature's values lie in. The record also has what an
    attribute classifier sees before and after.
    """
    from facelab.methods.d2ae import session

    wanted = paired(names, strengths)
    report = session.edit(session.Order(**given), images, wanted, directions)
    _tell(report, "edited", ("input",), given["output"], as_json)


@disentangle.command()
@click.option("--start", required=True, type=FILE, metavar="IMG")
@click.option("--end", required=True, type=FILE, metavar="IMG")
@click.option("--branch", default="identity", show_default=True, metavar="NAME",
              help="What changes: identity, attributes (all the rest), or both.")  # fmt: skip
@click.option("--steps", default=7, show_default=True, metavar="N", help="Pictures, 2 or more.")
@SHARED
def interpolate(
    start: Path, end: Path, branch: str, steps: int, as_json: bool, **given: Any
) -> None:
    """Go from one face to another in even steps.

    DIR gets frame-00.png, rebuilt from the face of --start, to the last, where the branch is that
    of --end.
    """
    from facelab.methods.d2ae import session

    report = session.interpolate(session.Order(**given), start, end, branch, steps)
    _tell(report, "frames", ("start", "end"), given["output"], as_json)


@disentangle.command()
@IMAGES
@SHARED
def reconstruct(images: tuple[Path, ...], as_json: bool, **given: Any) -> None:
    """Rebuild faces from both codes: what the codes don't hold is lost.

    Each IMG is a picture or a folder of pictures; DIR gets NAME.png of each.
    """
    from facelab.methods.d2ae import session

    report = session.reconstruct(session.Order(**given), images)
    _tell(report, "rebuilt", ("input",), given["output"], as_json)


def paired(names: Sequence[str], strengths: Sequence[float]) -> dict[str, float]:
    """Return the strength of each attribute, 1 where none is given for any.

    Raises `ParameterError` when their numbers differ, or an attribute is named twice.
    """
    strengths = strengths or (1.0,) * len(names)
    if len(strengths) != len(names):
        raise ParameterError(
            f"attributes: {len(names)}, strengths: {len(strengths)}; give one strength for each "
            "attribute, or none, which stands for 1"
        )
    twice = {name for name in names if list(names).count(name) > 1}
    if twice:
        raise ParameterError(
            f"--attribute {min(twice)} is given more than once; give each attribute once"
        )
    return dict(zip(names, strengths, strict=True))


def _tell(report: "Report", done: str, whom: Sequence[str], output: Path, as_json: bool) -> None:
    """Say in a line how many pictures there are and for whom they are taken; exit 3 as `tell`."""
    rows, count, record = report.rows, len(report.rows), output / "disentangle.json"
    known = ", ".join(
        f"as {name}: {sum(row[f'verified_as_{name}'] for row in rows):,} of {count:,}"
        for name in whom
    )
    summary = (
        f"{count:,} {done}, {len(report.failures):,} skipped; by {report.about['judge']} the same "
        f"person {known}{_seen(rows)}; {record}"
    )
    tell(report, summary, record, as_json)


def _seen(rows: Sequence[dict[str, Any]]) -> str:
    """Say on how many faces the attribute judge sees each attribute, before and after."""
    told = ""
    for name in rows[0].get("judged", {}) if rows else ():
        found = [row["judged"][name] for row in rows]
        if None in found:
            told += f"; {name}: nobody to judge it"
            continue
        before, after = (sum(one[when] > 0 for one in found) for when in ("before", "after"))
        told += f"; {name}: {before:,} before, {after:,} after"
    return told
