"""`facelab train`: a method by name, on data by name, into a folder."""

import sys
from pathlib import Path
from typing import Any

import click

from facelab.engine.methods import METHODS, PRESETS

INTERRUPTED = 130  # what a shell gives for Ctrl-C


@click.command(epilog=f"METHOD is one of: {', '.join(METHODS)}.")
@click.argument("method", metavar="METHOD")
@click.option("--preset", type=click.Choice(PRESETS), default="tiny", show_default=True)
@click.option(
    "--data",
    default="anny-faces",
    show_default=True,
    help="anny-faces:SIZExPEOPLExVIEWS, samples:COUNT, a .facepack file, a folder of pictures, or "
    "a public set that a script in data_scripts/ prepared: NAME[/FRAMING][:SPLIT][@SIZE], such as "
    "celeba, celeba:test or celeba/book64@128 (a folder of that name is ./celeba); A,B for "
    "several; for diat DATA:to:NAME or DATA:to:no-NAME, an attribute to gain or to lose.",
)
@click.option(
    "--after",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="What export_weights wrote of another method, for one that goes on from its network.",
)
@click.option("--steps", type=int, help="Stop after so many steps.")
@click.option("--minutes", type=float, help="Stop after so many minutes, earlier parts included.")
@click.option("--batch", type=int, help="Faces a step, over all processes.  [the preset's, or 64]")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="RUNDIR")
@click.option("--explain", is_flag=True, help="Say what the paper preset takes, and train nothing.")
@click.option("--resume", is_flag=True, help="Go on from RUNDIR's last checkpoint, if it has one.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto")
@click.option("--processes", type=int, default=1, show_default=True, help="One a GPU, here.")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True)
@click.option("--channels-last", is_flag=True, help="Quicker for most convolutions.")
@click.option("--accumulate", type=int, default=1, help="Compute a batch in parts.")
@click.option(
    "--workers", type=int, default=1, show_default=True, help="Threads that make batches."
)
@click.option("--log-every", type=int, default=20, show_default=True, help="In steps.")
@click.option("--preview-every", type=int, default=0, help="In steps; 0: none.")
@click.option("--preview-faces", type=int, default=16, show_default=True, help="To draw from.")
@click.option("--checkpoint-minutes", type=float, default=5.0, show_default=True)
@click.option("--tensorboard", is_flag=True, help="Also write TensorBoard's events to RUNDIR.")
def train(
    method: str,
    preset: str,
    data: str,
    output: Path | None,
    resume: bool,
    tensorboard: bool,
    explain: bool,
    **given: Any,
) -> None:
    """Train METHOD and leave checkpoints, log, previews and record in RUNDIR.

    With --preset paper it is the paper's own network; --explain says what data, memory and hours
    that takes.

    A run that was interrupted or killed goes on with the same command and --resume, from its last
    checkpoint, as if nothing had happened.

    Several machines: the same command on each through torchrun, for example

    \b
      torchrun --nnodes 2 --node-rank 0 --nproc-per-node 4 \\
          --master-addr FIRST --master-port 29500 -m facelab train METHOD ... -o RUNDIR

    with --node-rank 1 on the second; RUNDIR must be on a disk that they share. When one is lost the
    others end with a message; the same command on all of them with --resume goes on.
    facelab.engine.distribution has a file for Slurm, and how long that takes.
    """
    if explain:
        _explain(method, preset)
        return
    if output is None:
        raise click.UsageError("Missing option '-o' / '--output'.")
    from facelab.data.sources import open_dataset
    from facelab.engine import loop, methods
    from facelab.engine.settings import Settings
    from facelab.engine.watchers import TensorBoard

    chosen = methods.build(method, preset, given["seed"], given.pop("after"))
    batch = given.pop("batch") or getattr(chosen.config, "batch_size", 64)
    settings = Settings(batch=batch, **given)
    dataset = open_dataset(data, size=getattr(chosen.config, "size", 64), seed=settings.seed)
    dataset, whole = methods.supplied(chosen, dataset), dataset
    if dataset.people < whole.people:
        few = whole.people - dataset.people
        click.echo(f"{few:,} of {whole.people:,} people have a single picture: left out", err=True)
    chosen = methods.fitted(chosen, dataset, settings.seed)
    watchers = [TensorBoard(output / "tensorboard")] if tensorboard else []
    result = loop.train(
        chosen, dataset, settings, output, resume=resume, watchers=watchers, preset=preset
    )
    if result.rank == 0:
        _tell(result, output, resume)
    if result.outcome == "interrupted":
        sys.exit(INTERRUPTED)


def _explain(method: str, preset: str) -> None:
    """Print what a method's paper preset takes. Raises `ParameterError` for another preset."""
    from facelab.engine import plans
    from facelab.errors import ParameterError

    if preset != "paper":
        raise ParameterError(f"preset {preset!r} has no plan; give --preset paper with --explain")
    click.echo(plans.find(method).explain())


def _tell(result: Any, output: Path, resumed: bool) -> None:
    """Say in a line how a run ended and what comes next."""
    if result.outcome == "interrupted":
        how = "the same command" if resumed else "the same command with --resume"
        click.echo(f"interrupted after {result.step:,} steps; {how} goes on", err=True)
        return
    losses = result.history[-1].losses if result.history else {}
    said = ", ".join(f"{name} {value:.3g}" for name, value in {**losses, **result.metrics}.items())
    click.echo(
        f"{result.outcome} after {result.step:,} steps, {result.minutes:.1f} minutes; {said}; "
        f"record: {output / 'record.json'}"
    )
