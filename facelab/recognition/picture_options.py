"""What verbs that change picture files have in common: options, lists of words, what is said."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from facelab.recognition.pictures import Report

SKIPPED = 3  # some pictures, or all, could not be used
FILE = click.Path(path_type=Path)
ALIGNED = click.option(
    "--aligned", is_flag=True, help="All pictures are faces, framed like book64."
)
CHECKPOINT = click.option(
    "--checkpoint",
    type=FILE,
    metavar="FILE",
    help="What export_weights wrote.  [the shipped one]",
)
RESULTS = (
    click.option("--policy", default="error", show_default=True, metavar="NAME",
                 help="Which of several faces: largest, central, or error: none."),
    click.option("--overwrite", is_flag=True, help="Replace files of an earlier call."),
    click.option("-o", "--output", type=FILE, required=True, metavar="DIR"),
    click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output."),
)  # fmt: skip

Option = Callable[[Callable], Callable]


def shared(*options: Option) -> Option:
    """Return a decorator that adds options to a command, in their order."""

    def add(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return add


class Lists(click.Command):
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


def tell(report: "Report", summary: str, record: Path, as_json: bool) -> None:
    """Say what came of it, and leave with 3 where pictures were skipped."""
    for doubt in report.about["warnings"]:
        click.echo(f"warning: {doubt}", err=True)
    for failure in report.failures:
        click.echo(f"skipped: {failure.reason}", err=True)
    told = summary if report.rows else f"no picture could be used; {record}"
    click.echo(json.dumps(report.facts()) if as_json else told)
    if report.failures:
        sys.exit(SKIPPED)
