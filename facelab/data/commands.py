"""`facelab render`: labelled faces as PNG files and a table."""

import json
from pathlib import Path

import click

from facelab.progress import progress_bar


@click.command()
@click.option("--identities", type=int, default=8, show_default=True, help="How many people.")
@click.option("--views", type=int, default=8, show_default=True, help="Pictures of each.")
@click.option("--size", type=int, default=128, show_default=True, help="Side in pixels.")
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses people and views.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="DIR")
@click.option(
    "--framing",
    type=click.Choice(["book", "portrait"]),
    default="book",
    show_default=True,
    help="The face as generated faces are framed, or head and shoulders.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test", "all"]),
    default="all",
    show_default=True,
    help="Which part of the people; no two share a person.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def render(
    identities: int,
    views: int,
    size: int,
    seed: int,
    output: Path,
    framing: str,
    split: str,
    as_json: bool,
) -> None:
    """Draw people who do not exist, with everything known about each picture.

    Writes PNG files and labels.csv, whose first columns are `file` and `identity`, to a folder. The
    same options give the same faces. What an interrupted run has drawn is kept when it is called
    again.
    """
    from facelab.data.anny_faces import AnnyFaces
    from facelab.data.export import LABELS, export

    dataset = AnnyFaces(size, identities, views, seed=seed, split=split, framing=framing)
    with progress_bar("faces", len(dataset), "picture") as bar:
        drawn, kept = export(dataset, output, lambda done: bar.update(done - bar.n))
    if as_json:
        click.echo(
            json.dumps(
                {
                    "output": str(output),
                    "labels": str(output / LABELS),
                    "pictures": len(dataset),
                    "drawn": drawn,
                    "kept": kept,
                    "attributes": list(dataset.attribute_names),
                    "config": dataset.config(),
                }
            )
        )
        return
    click.echo(
        f"wrote {output / LABELS}: {identities:,} people, {len(dataset):,} pictures of {size} x "
        f"{size} pixels, {drawn:,} drawn, {kept:,} kept from before"
    )
