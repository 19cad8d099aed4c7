"""`facelab embed`: pictures to embeddings, in one file."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facelab.errors import ParameterError, UserError
from facelab.identity.console import (
    ALIGNED,
    DEVICE,
    EMBEDDER,
    FILE,
    JSON,
    embed_with_progress,
    is_same_file,
    list_failures,
    load_embedder,
    policy_option,
    print_json,
    raise_first,
    record,
)

if TYPE_CHECKING:
    from facelab.recognition.gallery import Gallery


@click.command()
@click.argument("images", nargs=-1, type=FILE, metavar="[IMAGE]...")
@click.option("--folder", type=FILE, help="All pictures of a folder; those without a face count.")
@click.option("-o", "--output", type=FILE, required=True, metavar="FILE.npz")
@policy_option("all")
@ALIGNED
@EMBEDDER
@DEVICE
@JSON
def embed(
    images: tuple[Path, ...],
    folder: Path | None,
    output: Path,
    policy: str,
    aligned: bool,
    embedder: str,
    device: str,
    as_json: bool,
) -> None:
    """Turn the faces of pictures into embeddings, in one .npz file.

    Row i of `embeddings` (length one) and of `raw` is a face on `paths[i]`; `boxes`, `landmarks`
    and `probabilities` are the detector's. Among pictures that are named, one without a face is an
    error; in a folder it is counted and listed.
    """
    if bool(images) == (folder is not None):
        raise ParameterError("give either pictures or --folder DIR")
    from facelab.recognition.gallery import pictures_in

    paths = list(images) or pictures_in(folder)
    _require_output(output, paths)
    network = load_embedder(embedder, device)
    gallery = embed_with_progress(paths, network, policy, aligned)
    if images and gallery.failures:
        raise_first(gallery.failures)
    _write_arrays(output, gallery)
    _print_embedded(output, gallery, as_json)


def _print_embedded(output: Path, gallery: "Gallery", as_json: bool) -> None:
    if as_json:
        print_json(
            output=str(output),
            images=gallery.pictures,
            faces=len(gallery.paths),
            features=gallery.embeddings.shape[1],
            **record(gallery),
        )
        return
    list_failures(gallery.failures)
    click.echo(
        f"wrote {output}: {len(gallery.paths):,} faces of {gallery.pictures:,} pictures, "
        f"{len(gallery.failures):,} failed, {gallery.images_per_second:.1f} pictures a second"
    )


def _require_output(output: Path, inputs: list[Path]) -> None:
    """Refuse before the work what could not be written after it."""
    if output.is_dir():
        raise UserError(f"{output} is a folder; give the name of a file, such as faces.npz")
    if any(is_same_file(output, path) for path in inputs):
        raise UserError(f"{output} is one of the pictures; give another name with -o")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder of {output} could not be made: {error}") from error


def _write_arrays(output: Path, gallery: "Gallery") -> None:
    import numpy as np

    beside = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with open(beside, "xb") as stream:
            np.savez_compressed(stream, **gallery.arrays())
        os.replace(beside, output)
    except OSError as error:
        raise UserError(f"{output} could not be written: {error}") from error
    finally:
        beside.unlink(missing_ok=True)
