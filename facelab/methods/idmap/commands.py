"""`facelab swap` and `facelab deidentify`: faces with the identity of another."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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

GENERATOR = click.option(
    "--generator",
    type=FILE,
    metavar="FILE",
    help="That of the checkpoint, where its file is elsewhere now.",
)
SHARED = (ALIGNED, CHECKPOINT, GENERATOR, *RESULTS)


@click.command(cls=Lists)
@click.option("--identity", multiple=True, required=True, type=FILE, metavar="IMG...",
              help="Whose identity; several pictures are of one person.")  # fmt: skip
@click.option("--attributes", multiple=True, required=True, type=FILE, metavar="IMG...",
              help="Pictures that give all else, or folders of them.")  # fmt: skip
@click.option("--paste", is_flag=True, help="Put each face back into its photograph.")
@shared(*SHARED)
def swap(
    identity: tuple[Path, ...],
    attributes: tuple[Path, ...],
    output: Path,
    as_json: bool,
    **given: Any,
) -> None:
    """Give faces the identity of another: pose, expression and the rest stay.

    DIR gets NAME.png for each picture of --attributes, the generated face at its own size (with
    --paste the photograph with that face in it), sheet.png (identity, attributes, result; the first
    faces) and swap.json: who a recogniser takes each face for that no loss saw, and how far pose
    and landmarks moved. Pictures of --attributes that can't be read, have no face, or several, are
    listed and left out; the exit code is 3 then.
    """
    from facelab.methods.idmap import session

    report = session.run(session.Order(identity, attributes, output, **given))
    record = output / session.RECORD
    tell(report, _swapped(report, record), record, as_json)


@click.command()
@click.argument("frames", nargs=-1, required=True, type=FILE, metavar="FRAMES_OR_IMAGES...")
@click.option("--seed", type=int, metavar="N",
              help="Draws the donor, somebody who does not exist.  [0]")  # fmt: skip
@click.option("--identity", multiple=True, type=FILE, metavar="IMG",
              help="The donor, in place of --seed; repeat it for several pictures.")  # fmt: skip
@click.option("--show-originals", is_flag=True,
              help="Write sheet.png: original, donor, result. It shows the person.")  # fmt: skip
@shared(*SHARED)
def deidentify(frames: tuple[Path, ...], output: Path, as_json: bool, **given: Any) -> None:
    """Give one person's pictures or frames the identity of somebody else: one donor for all.

    FRAMES_OR_IMAGES is a folder of frames, in the order of their numbers, or files. DIR gets
    NAME.png for each, the generated face alone: nothing of an original is in it. deidentify.json
    has for each frame, and as a rate, whether a recogniser that no loss saw still takes it for the
    person, before and after, and how steady identity is over the frames. No sheet is written
    without --show-originals. Frames that can't be read, have no face, or several, are listed and
    left out; the exit code is 3 then.

    Whoever knows the person may still know them, by what the face does and wears.
    """
    from facelab.methods.idmap import deidentification

    report = deidentification.run(deidentification.Order(frames, output, **given))
    record = output / deidentification.RECORD
    tell(report, _hidden(report, record), record, as_json)


def _swapped(report: "Report", record: Path) -> str:
    """Say in a line how many pictures there are, and for whom they are taken."""
    rows, count = report.rows, len(report.rows)
    who, how = (sum(row[f"verified_as_{p}"] for row in rows) for p in ("identity", "attributes"))
    return (
        f"{count:,} swapped, {len(report.failures):,} skipped; by {report.about['judge']} the same "
        f"person as identity: {who:,} of {count:,}, as attributes: {how:,} of {count:,}; {record}"
    )


def _hidden(report: "Report", record: Path) -> str:
    """Say in a line how many frames there are, and on how many the person is still known."""
    rows, count = report.rows, len(report.rows)
    before, after = (sum(bool(row[f"verified_{w}"]) for row in rows) for w in ("before", "after"))
    first = f"{before:,} of {count:,} before, " if count > 1 else ""
    return (
        f"{count:,} de-identified, {len(report.failures):,} skipped; the person is verified by "
        f"{report.about['judge']} on {first}{after:,} of {count:,} after; {record}"
    )
