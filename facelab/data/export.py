"""A dataset as a folder of PNG files and one labels.csv, for other programs.

The folder can be written in several goes: a picture that is there, and of the right size, is kept.
`labels.csv` appears when all pictures are there. Both are written beside and renamed.
"""

import contextlib
import csv
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from facelab.data.anny_faces import AnnyFaces
from facelab.errors import DatasetError, ImageError
from facelab.images import save_image
from facelab.types import Batch

LABELS, CONFIG = "labels.csv", "dataset.json"
# Pictures are written here and moved, so that a killed run leaves nothing among the finished ones.
UNFINISHED = ".unfinished"
AT_ONCE = 32
FULL = {errno.ENOSPC, errno.EDQUOT}

Progress = Callable[[int], None]  # pictures that are there so far


def file_name(dataset: AnnyFaces, index: int) -> str:
    """Return the name of a face's picture: the numbers of person and view."""
    person, view = divmod(index, dataset.views)
    widths = [max(5, len(str(dataset.people - 1))), max(3, len(str(dataset.views - 1)))]
    return f"{person:0{widths[0]}d}_{view:0{widths[1]}d}.png"


def export(dataset: AnnyFaces, folder: Path, progress: Progress | None = None) -> tuple[int, int]:
    """Write a dataset to a folder; returns how many pictures were drawn and how many were kept.

    Raises `DatasetError` when the folder holds another dataset or can't be written, and on a full
    disk.
    """
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _claim(dataset, folder)
        drawn = 0
        # Always the same groups, so that a picture is the same to the last bit however often the
        # work was interrupted.
        for start in range(0, len(dataset), AT_ONCE):
            group = range(start, min(start + AT_ONCE, len(dataset)))
            drawn += _draw_missing(dataset, folder, group)
            if progress:
                progress(group.stop)
        _write_labels(dataset, folder / LABELS)
        shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    return drawn, len(dataset) - drawn


def _claim(dataset: AnnyFaces, folder: Path) -> None:
    """Note in the folder which dataset it is for, or check that it is for this one."""
    note, config = folder / CONFIG, dataset.config()
    if note.exists():
        try:
            known = json.loads(note.read_text(encoding="utf-8"))
        except ValueError:
            known = None
        if known != config:
            raise DatasetError(
                f"{folder} holds faces that were drawn with other settings; give another folder, "
                f"or the settings in {note}"
            )
        return
    if any(folder.glob("*.png")) or (folder / LABELS).exists():
        raise DatasetError(f"{folder} holds other pictures already; give an empty or new folder")
    _write_text(note, json.dumps(config, indent=1))


def _draw_missing(dataset: AnnyFaces, folder: Path, group: range) -> int:
    missing = [
        index
        for index in group
        if not _is_finished(folder / file_name(dataset, index), dataset.size)
    ]
    if missing:
        batch = dataset.batch(group)
        for index in missing:
            row = index - group.start
            name = file_name(dataset, index)
            beside = save_image(batch.images[row : row + 1], folder / UNFINISHED / name)
            os.replace(beside, folder / name)
    return len(missing)


def _is_finished(path: Path, size: int) -> bool:
    """Tell whether a picture is there: it was renamed when it was whole."""
    import PIL.Image

    if not path.is_file():
        return False
    try:
        with PIL.Image.open(path) as picture:
            return picture.size == (size, size)
    except (OSError, ValueError):
        return False


def _write_labels(dataset: AnnyFaces, path: Path) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            for start in range(0, len(dataset), 256):
                group = range(start, min(start + 256, len(dataset)))
                columns = columns_of(dataset, group)
                if start == 0:
                    writer.writerow(columns)
                writer.writerows(zip(*columns.values(), strict=True))
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def columns_of(dataset: AnnyFaces, group: range) -> dict[str, list]:
    """Return the columns of labels.csv for some faces, `file` and `identity` first.

    Attributes are 0 or 1; landmark i is at `landmark_i_x` and `landmark_i_y`, in pixels; a label of
    several values has a column each, counted from 0.
    """
    batch: Batch = dataset.labels(group)
    columns: dict[str, list] = {
        "file": [file_name(dataset, index) for index in group],
        "identity": batch.identity.tolist(),
        "identity_seed": batch.labels["identity_seed"].tolist(),
        "view_seed": batch.labels["view_seed"].tolist(),
    }
    columns |= _numbered(("yaw_rad", "pitch_rad", "roll_rad"), batch.euler_rad)
    columns |= _numbered(dataset.attribute_names, batch.attributes.int())
    for axis, name in enumerate("xy"):
        points = batch.landmarks[..., axis]
        columns |= _numbered([f"landmark_{i}_{name}" for i in range(points.shape[1])], points)
    names = {
        "phenotype": [f"phenotype_{name}" for name in dataset.model.phenotype_names],
        "expression_weights": [f"expression_{n}" for n in dataset.model.expression_names],
    }
    for name, values in batch.labels.items():
        if name in columns:
            continue
        flat = values.flatten(1) if values.ndim > 1 else values[:, None]
        several = [f"{name}_{i}" for i in range(flat.shape[1])] if values.ndim > 1 else [name]
        columns |= _numbered(names.get(name, several), flat)
    return columns


def _numbered(names: list[str] | tuple[str, ...], values: Tensor) -> dict[str, list]:
    if values.dtype == torch.bool:
        values = values.int()
    rounded = values.double().mul(1e6).round().div(1e6) if values.is_floating_point() else values
    return dict(zip(names, rounded.T.tolist(), strict=True))


def _write_text(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn a failure to write into a `DatasetError` that says what to do."""
    try:
        yield
    except (OSError, ImageError) as error:
        cause = error.__cause__ if isinstance(error, ImageError) else error
        if isinstance(cause, OSError) and cause.errno in FULL:
            raise DatasetError(
                f"{folder}: no space is left on the disk; free some and call again, what is done "
                "is kept"
            ) from error
        if isinstance(cause, FileExistsError | NotADirectoryError):
            raise DatasetError(f"{folder} is not a folder; give the folder with -o") from error
        reason = getattr(cause, "strerror", None) or error
        raise DatasetError(
            f"{folder} can't be written ({reason}); make it writable, or give another folder"
        ) from error
