"""`facelab compare`: the methods on the same faces, before the same judges."""

import json
from pathlib import Path
from typing import Any

import click

# Written out, because looking them up would import torch for `facelab --help`.
METHODS = "ganid,ganfaces,diat,idmap,d2ae"
TASKS = ("attribute", "person")


@click.command()
@click.option("--methods", default=METHODS, show_default=True, metavar="NAME,...")
@click.option("--task", "tasks", multiple=True, type=click.Choice(TASKS),
              help="Repeat it for several.  [both]")  # fmt: skip
@click.option("--change", default="mouth_open", show_default=True, metavar="NAME",
              help="Which attribute, as a task of `facelab transfer`.")  # fmt: skip
@click.option("--data", metavar="WORD", help="Faces framed like book64, as `facelab train` takes "
              "them.  [drawn people whom no training has]")  # fmt: skip
@click.option("--people", type=int, metavar="N", help="On how many.  [48, or a quarter of WORD's]")
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses people and faces.")
@click.option("--figures", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Write TASK.png, identity against attribute.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace a file of an earlier call.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write all numbers as JSON.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def compare(
    methods: str,
    tasks: tuple[str, ...],
    output: Path | None,
    figures: Path | None,
    overwrite: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Compare methods that change faces: the same held-out faces, framing and judges.

    Two tasks: the same person with an attribute changed, and another person with all else kept.
    Prints a table for each, with intervals over people; * marks a judge that the method's training
    or search saw. Rows that are no method say what a number is worth.
    """
    from facelab.comparison import report, session

    names = tuple(name.strip() for name in methods.split(","))
    order = session.Order(names, tasks or TASKS, **given)
    files = [figures / f"{task}.png" for task in order.tasks] if figures else []
    _require_free([*files, *([output] if output else [])], overwrite)
    told = _run(order)
    if output:
        _write(output, (json.dumps(told, indent=1) + "\n").encode())
    for file in files:
        _write(file, report.as_png(report.trade_off(told, file.stem)))
    click.echo(json.dumps(told) if as_json else report.text(told))


def _require_free(files: list[Path], overwrite: bool) -> None:
    from facelab.errors import ParameterError

    for file in files:
        if file.exists() and not overwrite:
            raise ParameterError(f"{file} exists; give another name, or --overwrite to replace it")


def _run(order: Any) -> dict[str, Any]:
    from facelab.comparison import session
    from facelab.comparison.baselines import ROWS
    from facelab.progress import progress_bar

    total = len(order.tasks) * (len(order.methods) + ROWS)
    with progress_bar("compare", total, "row") as bar:

        def progress(name: str) -> None:
            bar.set_postfix(row=name, refresh=False)
            bar.update(1)

        return session.run(order, progress)


def _write(file: Path, content: bytes) -> None:
    from facelab.assets import cache

    with cache.writing(file.name, file):
        cache.write_beside(file, content)
