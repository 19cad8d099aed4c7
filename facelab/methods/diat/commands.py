"""`facelab transfer`: an attribute of the faces on pictures, changed in one pass."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facelab.methods.diat.tasks import TASKS

if TYPE_CHECKING:
    from facelab.methods.diat.session import Report

SKIPPED = 3  # some pictures, or all, could not be used
FILE = click.Path(path_type=Path)


@click.command()
@click.argument("images", nargs=-1, required=True, type=FILE, metavar="IMG...")
@click.option("--task", required=True, metavar="NAME", help=f"One of: {', '.join(TASKS)}.")
@click.option("--aligned", is_flag=True, help="The pictures are faces, framed like book64.")
@click.option("--checkpoint", type=FILE, metavar="FILE",
              help="What export_weights wrote.  [the shipped one]")  # fmt: skip
@click.option("--policy", default="error", show_default=True, metavar="NAME",
              help="Which of several faces: largest, central, or error: none.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace files of an earlier call.")
@click.option("-o", "--output", type=FILE, required=True, metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def transfer(
    images: tuple[Path, ...],
    task: str,
    aligned: bool,
    checkpoint: Path | None,
    policy: str,
    overwrite: bool,
    output: Path,
    as_json: bool,
) -> None:
    """Change an attribute of faces and keep whose faces they are.

    Each IMG is a picture or a folder of pictures. DIR gets NAME.png of each, the face changed in
    its place (with --aligned the face itself), sheet.png (input, transformed, enhanced; the first
    faces) and transfer.json. Pictures that can't be read, have no face, or several, are listed and
    left out; the exit code is 3 then.
    """
    from facelab.methods.diat import session

    report = session.run(
        session.Order(
            task,
            images,
            output,
            aligned=aligned,
            checkpoint=checkpoint,
            policy=policy,
            overwrite=overwrite,
        )
    )
    for failure in report.failures:
        click.echo(f"skipped: {failure.reason}", err=True)
    record = output / session.RECORD
    click.echo(json.dumps(report.facts()) if as_json else _summary(report, record))
    if report.failures:
        sys.exit(SKIPPED)


def _summary(report: "Report", record: Path) -> str:
    """Say in a line how many pictures there are, what the judge sees, and who is still known."""
    rows, count = report.rows, len(report.rows)
    if not rows:
        return f"no picture could be used; {record}"
    before, after = (sum(row[f"judge_{when}"] > 0 for row in rows) for when in ("before", "after"))
    known = sum(row["identity_distance"] < row["threshold_same_person"] for row in rows)
    return (
        f"{count:,} transferred, {len(report.failures):,} skipped; {rows[0]['judge']}: {before:,} "
        f"before, {after:,} after; same person by {rows[0]['embedder']}: {known:,} of {count:,}; "
        f"{record}"
    )
