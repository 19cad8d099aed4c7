"""`facelab generate ganfaces`: a dataset of photo-like faces of new people."""

import json
import time
from pathlib import Path

import click

from facelab.progress import progress_bar


@click.group()
def generate() -> None:
    """Write datasets of generated faces, with labels."""


@generate.command()
@click.option("--identities", type=int, default=100, show_default=True, help="How many people.")
@click.option("--views", type=int, default=20, show_default=True, help="Pictures of each.")
@click.option("--size", type=int, default=64, show_default=True, help="Side in pixels.")
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses people and views.")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A generator that export_weights wrote.  [the shipped one]",
)
@click.option("--jobs", type=int, default=1, show_default=True, help="Processes, a thread each.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def ganfaces(
    identities: int,
    views: int,
    size: int,
    seed: int,
    checkpoint: Path | None,
    jobs: int,
    device: str,
    output: Path,
    as_json: bool,
) -> None:
    """Generate photo-like faces of people who do not exist, in many poses, expressions and lights.

    Heads are drawn and made photo-like by the generator of GANFaces. DIR gets checked files of
    pictures with labels, and an index; `--data DIR` trains on it. The same options give the same
    bytes, whatever --jobs is, but not on another device. A call that was interrupted or killed
    goes on when it is called again.
    """
    from facelab.data.ganfaces import INDEX
    from facelab.methods.ganfaces.writer import Order, write

    order, start = Order(identities, views, size, seed, checkpoint), time.perf_counter()
    told: list[int] = []  # the first is how many there were before
    with progress_bar("faces", identities * views, "face") as bar:

        def progress(done: int) -> None:
            told.append(done)
            bar.update(done - bar.n)

        dataset = write(order, output, jobs=jobs, device=device, progress=progress)
    seconds, made = time.perf_counter() - start, len(dataset) - told[0]
    bytes_each = sum(file.size_bytes for file in dataset.index.files) / len(dataset)
    if as_json:
        facts = {
            "output": str(output),
            "index": str(output / INDEX),
            "faces": len(dataset),
            "made": made,
            "seconds": round(seconds, 2),
            "bytes_a_face": round(bytes_each),
            "config": dataset.config(),
        }
        click.echo(json.dumps(facts))
        return
    click.echo(
        f"wrote {output / INDEX}: {identities:,} people, {len(dataset):,} faces of {size} x {size} "
        f"pixels, {made:,} made in {seconds:,.0f} s, {bytes_each:,.0f} bytes a face"
    )
