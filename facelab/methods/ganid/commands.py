"""`facelab search`: a face of the generator that is closest to a person in identity."""

import sys
from pathlib import Path
from typing import Any

import click

INTERRUPTED = 130  # what a shell gives for Ctrl-C
# Written out, because looking them up would import torch for `facelab --help`.
STRATEGIES = ("greedy", "random", "cmaes", "gradient")
READINGS = ("corrected", "printed")


@click.command(name="search")
@click.option(
    "--target",
    "pictures",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    metavar="IMG",
    help="A picture of the person; repeat it for several.",
)
@click.option("--generator", default="digiface-dcgan", show_default=True, metavar="NAME|FILE")
@click.option("--embedder", default="dlib", show_default=True, metavar="NAME")
@click.option("--judge", metavar="NAME", help="Another embedder.  [faceres; for faceres, dlib]")
@click.option("--strategy", type=click.Choice(STRATEGIES), default="greedy", show_default=True)
@click.option(
    "--reading", type=click.Choice(READINGS), help="Of Algorithm 1, for greedy.  [corrected]"
)
@click.option("--budget", type=int, default=20_000, show_default=True, help="In evaluations.")
@click.option("--threshold", type=float, help="Stop there.  [the paper's T, on this scale]")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--alignment", type=click.Choice(["landmarks", "fixed"]), default="landmarks", show_default=True
)
@click.option(
    "--policy",
    type=click.Choice(["error", "largest", "central"]),
    default="error",
    show_default=True,
    help="Which face of a picture with several.",
)
@click.option("--aligned", is_flag=True, help="The pictures are crops framed like the book's.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto")
@click.option("--resume", is_flag=True, help="Go on with the search that DIR has.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="DIR")
def search_command(
    pictures: tuple[Path, ...],
    output: Path,
    budget: int,
    threshold: float | None,
    seed: int,
    **given: Any,
) -> None:
    """Search a generator's latent space for a face of the same identity as the target's.

    Writes best.png, sheet.png, latent.safetensors and trace.json to DIR. A search that was
    interrupted or killed goes on with the same command and --resume.
    """
    from facelab.methods.ganid import session
    from facelab.methods.ganid.search import Settings

    order = session.Order(pictures, output, Settings(budget, threshold, seed), **given)
    trace, facts = session.run(order, lambda doubt: click.echo(f"warning: {doubt}", err=True))
    if facts is None:
        click.echo(
            f"interrupted after {trace.evaluations:,} evaluations; the same command with --resume "
            "goes on",
            err=True,
        )
        sys.exit(INTERRUPTED)
    _tell(facts, output / "trace.json")


def _tell(facts: dict[str, Any], path: Path) -> None:
    """Say in a line what was found."""
    unseen = facts["distance_unseen_embedder"]
    said = "MTCNN finds no face" if unseen is None else f"{unseen:.3f}"
    click.echo(
        f"{facts['strategy']}: {facts['best_distance']:.3f} by {facts['embedder']} after "
        f"{facts['evaluations']:,} evaluations ({facts['stopped_because']}); "
        f"{facts['unseen_embedder']}, which the search never asked: {said} (same person below "
        f"{facts['unseen_threshold_same_person']:.3f}); {path}"
    )
