"""`facelab swap` and `facelab deidentify`: faces with the identity of another."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from facelab.recognition.pictures import Report

SKIPPED = 3  # some pictures, or all, could not be used
FILE = click.Path(path_type=Path)
SHARED = (
    click.option("--aligned", is_flag=True, help="All pictures are faces, framed like book64."),
    click.option("--checkpoint", type=FILE, metavar="FILE",
                 help="What export_weights wrote.  [the shipped one]"),
    click.option("--generator", type=FILE, metavar="FILE",
                 help="That of the checkpoint, where its file is elsewhere now."),
    click.option("--policy", default="error", show_default=True, metavar="NAME",
                 help="Which of several faces: largest, central, or error: none."),
    click.option("--overwrite", is_flag=True, help="Replace files of an earlier call."),
    click.option("-o", "--output", type=FILE, required=True, metavar="DIR"),
    click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output."),
)  # fmt: skip


def _shared(command: Callable) -> Callable:
    """Add the options that both verbs have."""
    for option in reversed(SHARED):
        command = option(command)
    return command


class _Lists(click.Command):
    """Options in `LISTED` take all words up to the next option, as arguments do."""

    LISTED = ("--identity", "--attributes")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat a listed option before each of its words, for click."""
        words, listed = [], None
        for word in args:
            if word in self.LISTED:
                listed = word
            elif word.startswith("-"):
                listed = None
                words.append(word)
            else:
                words += [listed, word] if listed else [word]
        return super().parse_args(ctx, words)


@click.command(cls=_Lists)
@click.option("--identity", multiple=True, required=True, type=FILE, metavar="IMG...",
              help="Whose identity; several pictures are of one person.")  # fmt: skip
@click.option("--attributes", multiple=True, required=True, type=FILE, metavar="IMG...",
              help="Pictures that give all else, or folders of them.")  # fmt: skip
@click.option("--paste", is_flag=True, help="Put each face back into its photograph.")
@_shared
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
    _tell(report, _swapped(report, record), record, as_json)


@click.command()
@click.argument("frames", nargs=-1, required=True, type=FILE, metavar="FRAMES_OR_IMAGES...")
@click.option("--seed", type=int, metavar="N",
              help="Draws the donor, somebody who does not exist.  [0]")  # fmt: skip
@click.option("--identity", multiple=True, type=FILE, metavar="IMG",
              help="The donor, in place of --seed; repeat it for several pictures.")  # fmt: skip
@click.option("--show-originals", is_flag=True,
              help="Write sheet.png: original, donor, result. It shows the person.")  # fmt: skip
@_shared
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
    _tell(report, _hidden(report, record), record, as_json)


def _tell(report: "Report", summary: str, record: Path, as_json: bool) -> None:
    """Say what came of it, and leave with 3 where pictures were skipped."""
    for doubt in report.about["warnings"]:
        click.echo(f"warning: {doubt}", err=True)
    for failure in report.failures:
        click.echo(f"skipped: {failure.reason}", err=True)
    told = summary if report.rows else f"no picture could be used; {record}"
    click.echo(json.dumps(report.facts()) if as_json else told)
    if report.failures:
        sys.exit(SKIPPED)


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
