"""What the verbs on identity share: options, the progress bar, failures, JSON."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facelab import errors
from facelab.errors import UserError
from facelab.progress import progress_bar

if TYPE_CHECKING:
    from facelab.recognition.embedder import Embedder
    from facelab.recognition.gallery import Failure, Gallery

FILE = click.Path(path_type=Path)

Option = Callable[[Callable], Callable]

EMBEDDER: Option = click.option(
    "--embedder",
    default="dlib",
    show_default=True,
    metavar="NAME",
    help="Or faceres; facenet-vggface2, facenet-casia: see data_scripts/facenet.py.",
)
DEVICE: Option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    help="[a GPU if there is one]",
)
ALIGNED: Option = click.option(
    "--aligned",
    is_flag=True,
    help="The pictures are square crops, aligned already: to the recogniser's template where they "
    "have its size, else framed like the book's faces (book64).",
)
JSON: Option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object on standard output."
)


def policy_option(*further: str) -> Option:
    """Return the option that says which face of a picture counts; `further` are more choices."""
    return click.option(
        "--policy",
        type=click.Choice(["largest", "central", "error", *further]),
        default="largest",
        show_default=True,
        help="Which face of a picture with several.",
    )


def is_same_file(a: Path, b: Path) -> bool:
    """Tell whether both exist and are one file, whatever they are called."""
    return a.exists() and b.exists() and a.samefile(b)


def load_embedder(name: str, device: str) -> "Embedder":
    """Return the recogniser; raises `ParameterError` for an unknown one, or without the GPU."""
    from facelab import devices
    from facelab.recognition.embedder import embedder

    return embedder(name, devices.choose(device))


def embed_with_progress(
    paths: list[Path], network: "Embedder", policy: str, aligned: bool
) -> "Gallery":
    """Embed files with a progress bar on standard error; on a terminal often, in a log seldom.

    Raises the first picture's error when no picture gives a face.
    """
    from facelab.recognition.gallery import embed_files

    with progress_bar("faces", len(paths), "picture") as bar:

        def progress(done: int, failed: int) -> None:
            if failed:
                bar.set_postfix(failed=failed, refresh=False)
            bar.update(done - bar.n)

        gallery = embed_files(paths, network, policy=policy, aligned=aligned, progress=progress)
    if not gallery.paths:
        raise_first(gallery.failures)
    return gallery


def raise_first(failures: "tuple[Failure, ...]", prefix: str = "") -> None:
    """Raise the first failure as what it was, and say how many more there are."""
    others = len(failures) - 1
    also = f" ({others:,} more failed)" if others else ""
    kind = errors.by_name(failures[0].error) or UserError
    raise kind(f"{prefix}{failures[0].reason}{also}")


def list_failures(failures: "tuple[Failure, ...]") -> None:
    """Print why each picture failed, on standard error."""
    for failure in failures:
        click.echo(f"failed: {failure.reason}", err=True)


def record(gallery: "Gallery") -> dict:
    """Return what every JSON object says about the pictures."""
    return {
        "failures": len(gallery.failures),
        "failed_images": [vars(failure) for failure in gallery.failures],
        "images_per_second": gallery.images_per_second,
        "seconds": gallery.seconds,
        "embedder": gallery.embedder,
        "policy": gallery.policy,
    }


def number(value: float) -> float | None:
    """Return the value, or None for NaN, which JSON does not have."""
    return None if math.isnan(value) else value


def print_json(**values: object) -> None:
    """Print the values as one JSON object."""
    click.echo(json.dumps(values, allow_nan=False))
