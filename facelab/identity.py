"""The verbs on identity: `facelab embed`, `facelab verify`, `facelab align`.

They find faces, hand them to a recogniser and print what came out; everything else is in
`recognition` and `metrics`. What they need is imported when they run.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facelab import errors
from facelab.errors import ParameterError, UserError

if TYPE_CHECKING:
    from facelab.metrics.verification import Verification
    from facelab.recognition.align import Template
    from facelab.recognition.embedder import Embedder
    from facelab.recognition.gallery import Failure, Gallery
    from facelab.recognition.pair_lists import PairList

POLICIES = ("largest", "central", "error", "all")
FOLD_RULES = {
    "given": "the list's own folds",
    "people": "folds of people: each pair's threshold comes from pairs without its people",
    "pairs": "folds of pairs, with people on both sides: too few people for more",
    "none": "no folds, the recogniser's own threshold: too few pairs to choose one",
}

_file = click.Path(path_type=Path)


def _options(*names: str) -> Callable[[Callable], Callable]:
    """Add the options that several verbs share, in this order."""
    shared = {
        "embedder": click.option("--embedder", default="dlib", show_default=True, metavar="NAME"),
        "device": click.option(
            "--device",
            type=click.Choice(["auto", "cpu", "cuda"]),
            default="auto",
            help="[a GPU if there is one]",
        ),
        "aligned": click.option(
            "--aligned", is_flag=True, help="The pictures are square crops, aligned already."
        ),
        "policy": click.option(
            "--policy",
            type=click.Choice(POLICIES),
            default="largest",
            show_default=True,
            help="Which face of a picture with several.",
        ),
        "one face": click.option(
            "--policy",
            type=click.Choice(POLICIES[:3]),
            default="largest",
            show_default=True,
            help="Which face of a picture with several.",
        ),
        "json": click.option(
            "--json", "as_json", is_flag=True, help="One JSON object on standard output."
        ),
    }

    def add(function: Callable) -> Callable:
        for name in reversed(names):
            function = shared[name](function)
        return function

    return add


# --- embed ---------------------------------------------------------------------------------------


@click.command()
@click.argument("images", nargs=-1, type=_file, metavar="[IMAGE]...")
@click.option("--folder", type=_file, help="All pictures of a folder; those without a face count.")
@click.option("-o", "--output", type=_file, required=True, metavar="FILE.npz")
@_options("policy", "aligned", "embedder", "device", "json")
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
    network = _network(embedder, device)
    gallery = _embed(paths, network, policy, aligned)
    if images and gallery.failures:
        _raise(gallery.failures)
    if not gallery.paths:
        _raise(gallery.failures, f"none of {len(paths):,} pictures gave a face; the first: ")
    _write_arrays(output, gallery)
    _print_embedded(output, gallery, as_json)


def _print_embedded(output: Path, gallery: "Gallery", as_json: bool) -> None:
    if as_json:
        _print_json(
            output=str(output),
            images=gallery.pictures,
            faces=len(gallery.paths),
            features=gallery.embeddings.shape[1],
            **_common(gallery),
        )
        return
    _list_failures(gallery.failures)
    click.echo(
        f"wrote {output}: {len(gallery.paths):,} faces of {gallery.pictures:,} pictures, "
        f"{len(gallery.failures):,} failed, {gallery.images_per_second:.1f} pictures a second"
    )


def _require_output(output: Path, inputs: list[Path]) -> None:
    """Refuse before the work what could not be written after it."""
    if output.is_dir():
        raise UserError(f"{output} is a folder; give the name of a file, such as faces.npz")
    if any(_is_same_file(output, path) for path in inputs):
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
            np.savez_compressed(stream, allow_pickle=False, **gallery.arrays())
        os.replace(beside, output)
    except OSError as error:
        raise UserError(f"{output} could not be written: {error}") from error
    finally:
        beside.unlink(missing_ok=True)


# --- verify --------------------------------------------------------------------------------------


@click.command()
@click.argument("images", nargs=-1, type=_file, metavar="[A B]")
@click.option("--pairs", type=_file, help="LFW's pairs.txt, or a CSV with the columns a,b,same.")
@click.option("--images", "folder", type=_file, help="The folder of its pictures [the file's own].")
@_options("one face", "aligned", "embedder", "device", "json")
def verify(
    images: tuple[Path, ...],
    pairs: Path | None,
    folder: Path | None,
    policy: str,
    aligned: bool,
    embedder: str,
    device: str,
    as_json: bool,
) -> None:
    """Say whether two pictures show one person, or measure it on a list of pairs.

    Distances are squared Euclidean ones between embeddings of length one: 0 for the same face,
    and below the threshold for the same person. With --pairs, a picture without a face counts
    against the result: all its pairs are wrong.
    """
    if len(images) != (0 if pairs else 2) or (folder and not pairs):
        raise ParameterError("give either two pictures, or --pairs FILE with --images DIR")
    if pairs is None:
        gallery, network = _two(images, policy, aligned, embedder, device)
        _print_verdict(gallery, network, as_json)
        return
    from facelab.recognition.pair_lists import read_pairs

    listed = read_pairs(pairs, folder)
    network = _network(embedder, device)
    gallery = _embed(list(listed.paths), network, policy, aligned)
    if not gallery.paths:
        _raise(gallery.failures, f"none of {gallery.pictures:,} pictures gave a face; the first: ")
    result = _measure(listed, gallery, network)
    if as_json:
        _print_json(
            **{**result.as_dict(), "images": gallery.pictures},
            contradictions=listed.contradictions,
            **_common(gallery),
        )
    else:
        _list_failures(gallery.failures)
        _print_measured(result, gallery, listed.contradictions)


def _two(
    images: tuple[Path, ...], policy: str, aligned: bool, embedder: str, device: str
) -> "tuple[Gallery, Embedder]":
    network = _network(embedder, device)
    gallery = _embed(list(images), network, policy, aligned)
    if gallery.failures:
        _raise(gallery.failures)
    return gallery, network


def _print_verdict(gallery: "Gallery", network: "Embedder", as_json: bool) -> None:
    distance = float(network.distance(gallery.embeddings[:1], gallery.embeddings[1:]))
    threshold = network.threshold_squared
    verdict = "same" if distance < threshold else "different"
    if as_json:
        _print_json(
            distance=distance,
            threshold=threshold,
            verdict=verdict,
            same=verdict == "same",
            images=[
                {"path": path, "faces": seen, "box": box, "probability": _number(probability)}
                for path, seen, box, probability in zip(
                    gallery.paths,
                    gallery.seen,
                    gallery.boxes.tolist(),
                    gallery.probabilities.tolist(),
                    strict=True,
                )
            ],
            embedder=gallery.embedder,
            policy=gallery.policy,
        )
        return
    for path, seen in zip(gallery.paths, gallery.seen, strict=True):
        if seen > 1:
            click.echo(f"{path}: took the {gallery.policy} of {seen} faces", err=True)
    click.echo(f"distance   {distance:.3f}  squared, of embeddings of length one; 0: the same")
    click.echo(f"threshold  {threshold:.3f}  below it: one person ({gallery.embedder})")
    click.echo(f"verdict    {verdict}")


def _measure(listed: "PairList", gallery: "Gallery", network: "Embedder") -> "Verification":
    import torch

    from facelab.metrics import verification

    row = {path: index for index, path in enumerate(gallery.paths)}
    rows = torch.tensor([row.get(str(path), -1) for path in listed.paths])
    pictures = torch.tensor(listed.pictures)
    first, second = rows[pictures].T
    pairs = verification.Pairs(
        distances=network.distance(gallery.embeddings[first], gallery.embeddings[second]),
        same=torch.tensor(listed.same),
        pictures=pictures,
        people=torch.tensor(listed.people),
        failed=(first < 0) | (second < 0),
        folds=None if listed.folds is None else torch.tensor(listed.folds),
    )
    return verification.measure(pairs, default_threshold=network.threshold_squared)


def _print_measured(result: "Verification", gallery: "Gallery", contradictions: int) -> None:
    rows = [
        ("pairs", f"{result.pairs:,}: {result.same_pairs:,} of one person, "
         f"{result.different_pairs:,} of two; {result.failed_pairs:,} without a face (wrong)"),
        ("images", f"{gallery.pictures:,}, {len(gallery.failures):,} without a face; policy "
         f"{gallery.policy}, recogniser {gallery.embedder}"),
        ("accuracy", f"{result.accuracy:.4f}{_spread(result, 'accuracy')}"),
        ("threshold", f"{result.threshold:.3f} ({result.threshold_range[0]:.3f} to "
         f"{result.threshold_range[1]:.3f}), {result.folds} folds: {FOLD_RULES[result.fold_rule]}"),
        ("AUC", f"{_rate(result.auc)}{_spread(result, 'auc')}"),
        ("1 - EER", _rate(result.one_minus_eer)),
        *((f"TPR, FPR {rate}", _rate(value)) for rate, value in result.tpr_at_fpr.items()),
        ("d'", _rate(result.d_prime)),
        ("speed", f"{gallery.images_per_second:.1f} pictures a second"),
    ]  # fmt: skip
    for name, text in rows:
        click.echo(f"{name:<16}{text}")
    if contradictions:
        click.echo(
            f"{contradictions:,} pairs are said to be of two people, but other pairs link both "
            "pictures to one person; check the list",
            err=True,
        )


def _rate(value: float | None) -> str:
    return "-  (too few pairs)" if value is None else f"{value:.4f}"


def _spread(result: "Verification", name: str) -> str:
    interval = result.intervals[name]
    if interval is None:
        return "  (too few people for an interval)"
    return f"  ({interval.confidence:.0%} interval over people {interval.low:.4f} to {interval.high:.4f})"


# --- align ---------------------------------------------------------------------------------------


@click.command()
@click.argument("images", nargs=-1, required=True, type=_file, metavar="IMAGE...")
@click.option("-o", "--output", type=_file, required=True, metavar="DIR")
@click.option("--template", default="dlib150", show_default=True, help="Where the points go.")
@click.option("--size", type=click.IntRange(16, 2048), help="Side in pixels [the template's].")
@click.option("--overwrite", is_flag=True, help="Replace files of an earlier run.")
@_options("policy", "json")
def align(
    images: tuple[Path, ...],
    output: Path,
    template: str,
    size: int | None,
    overwrite: bool,
    policy: str,
    as_json: bool,
) -> None:
    """Cut faces out, upright and at one size, as PNG files in a folder.

    photo.jpg becomes photo.png; further faces, and further pictures of that name, photo-2.png and
    so on. No picture that was given is ever overwritten.
    """
    from facelab.images import save_image
    from facelab.recognition.gallery import faces_of

    place = _scaled(template, size)
    names = _Names(output, images, overwrite)
    first_names = [names.take(path) for path in images]
    written = []
    for path, first in zip(images, first_names, strict=True):
        faces, _ = faces_of(path, place, policy)
        for index, crop in enumerate(faces.images.split(1)):
            target = save_image(crop, first if index == 0 else names.take(path))
            written.append({"source": str(path), "file": str(target),
                            "box": faces.boxes[index].tolist(),
                            "probability": float(faces.probabilities[index])})  # fmt: skip
            if not as_json:
                click.echo(f"wrote {target}")
    if as_json:
        _print_json(files=written, template=place.name, size=place.size, policy=policy)


def _scaled(name: str, size: int | None) -> "Template":
    """Return the template, its points moved to a picture of another size."""
    import dataclasses

    from facelab.recognition.align import find_template

    template = find_template(name)
    if size is None:
        return template
    scale = size / template.size
    points = tuple(tuple((v + 0.5) * scale - 0.5 for v in point) for point in template.points)
    return dataclasses.replace(template, size=size, points=points)


class _Names:
    """Hands out names of files to write: none twice, and never that of a picture that was given."""

    def __init__(self, folder: Path, inputs: tuple[Path, ...], overwrite: bool):
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is not a folder; give the folder for the faces with -o")
        self.folder, self.inputs, self.overwrite = folder, inputs, overwrite
        self.taken: set[str] = set()

    def take(self, source: Path) -> Path:
        """Return a name for a face of `source`. Raises `UserError` when such a file exists."""
        number = 1
        while True:
            stem = source.stem if number == 1 else f"{source.stem}-{number}"
            path = self.folder / f"{stem}.png"
            # Some file systems don't tell upper from lower case.
            key = path.name.casefold()
            if key not in self.taken and not any(_is_same_file(path, i) for i in self.inputs):
                break
            number += 1
        if path.exists() and not self.overwrite:
            raise UserError(f"{path} exists; give another folder, or --overwrite to replace it")
        self.taken.add(key)
        return path


# --- shared --------------------------------------------------------------------------------------


def _is_same_file(a: Path, b: Path) -> bool:
    return a.exists() and b.exists() and a.samefile(b)


def _network(name: str, device: str) -> "Embedder":
    import torch

    from facelab.recognition.embedder import embedder

    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise ParameterError("--device cuda: no NVIDIA GPU can be used here; see `facelab doctor`")
    return embedder(name, "cuda" if available and device != "cpu" else "cpu")


def _embed(paths: list[Path], network: "Embedder", policy: str, aligned: bool) -> "Gallery":
    """Embed files with a progress bar on standard error; on a terminal often, in a log seldom."""
    from tqdm import tqdm

    from facelab.recognition.gallery import embed_files

    every_s = 0.1 if sys.stderr.isatty() else 10
    with tqdm(
        desc="faces", total=len(paths), unit="picture", leave=False, mininterval=every_s
    ) as bar:

        def progress(done: int, failed: int) -> None:
            if failed:
                bar.set_postfix(failed=failed, refresh=False)
            bar.update(done - bar.n)

        return embed_files(paths, network, policy=policy, aligned=aligned, progress=progress)


def _raise(failures: "tuple[Failure, ...]", prefix: str = "") -> None:
    """Raise the first failure as what it was, and say how many more there are."""
    others = len(failures) - 1
    also = f" ({others:,} more failed)" if others else ""
    kind = errors.by_name(failures[0].error) or UserError
    raise kind(f"{prefix}{failures[0].reason}{also}")


def _list_failures(failures: "tuple[Failure, ...]") -> None:
    for failure in failures:
        click.echo(f"failed: {failure.reason}", err=True)


def _common(gallery: "Gallery") -> dict:
    return {
        "failures": len(gallery.failures),
        "failed_images": [vars(failure) for failure in gallery.failures],
        "images_per_second": gallery.images_per_second,
        "seconds": gallery.seconds,
        "embedder": gallery.embedder,
        "policy": gallery.policy,
    }


def _number(value: float) -> float | None:
    return None if value != value else value  # NaN: nothing was detected


def _print_json(**values: object) -> None:
    click.echo(json.dumps(values, allow_nan=False))
