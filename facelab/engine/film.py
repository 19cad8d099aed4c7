"""The film of a training: the same faces at every preview that a run kept.

A run with `preview_every` leaves previews/step-NNNNNNNN.png, each a grid of what the method draws
of the same batch, without loss. Here the grids are taken apart again.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from facelab import images
from facelab.assets import cache
from facelab.engine.watchers import PREVIEWS
from facelab.errors import ParameterError, TrainingError
from facelab.types import Image

GAP = 2  # white pixels between the faces of a preview, as `images.grid` leaves them
NAME = re.compile(r"step-(\d+)\.png")


@dataclass(frozen=True)
class Film:
    """Faces (moments, faces, 3, side, side) in [-1, 1] of a training, after `steps` steps each."""

    steps: tuple[int, ...]
    faces: Float[Tensor, "moments faces 3 side side"]

    @property
    def strip(self) -> Image:
        """The faces row by row: a row a face, a column a moment.

        `figures.face_sheet(film.strip, columns=len(film.steps))` draws it.
        """
        return self.faces.transpose(0, 1).flatten(0, 1)

    def frames(self, columns: int) -> Image:
        """Return every moment as one picture, the faces in so many columns: what moves."""
        return torch.cat([images.grid(moment, columns, GAP) for moment in self.faces])


def read(run: str | Path, side: int, faces: Sequence[int], most: int | None = None) -> Film:
    """Return the film of some faces of a run's previews, which are `side` pixels each.

    `faces` are numbers of places in the previews' grid, row by row. Of more than `most` previews
    the first, the last and those between at equal distances are taken. Raises `TrainingError` when
    the run kept no previews, and `ParameterError` when they aren't of such faces.
    """
    folder = Path(run) / PREVIEWS
    found = {int(n[1]): path for path in folder.glob("*") if (n := NAME.fullmatch(path.name))}
    if not found:
        raise TrainingError(f"{folder} has no previews; train with --preview-every STEPS")
    steps = sorted(found)
    if most is not None and len(steps) > most:
        if most < 2:
            raise ParameterError(f"{most} moments are no film; give 2 or more")
        steps = [steps[round(place * (len(steps) - 1) / (most - 1))] for place in range(most)]
    moments = [_cells(found[step], side, faces) for step in steps]
    return Film(tuple(steps), torch.stack(moments))


def _cells(path: Path, side: int, faces: Sequence[int]) -> Image:
    """Cut some faces out of a preview."""
    sheet = images.load_image(path)
    height, width = sheet.shape[2:]
    rows, columns = (height + GAP) // (side + GAP), (width + GAP) // (side + GAP)
    if (rows * (side + GAP) - GAP, columns * (side + GAP) - GAP) != (height, width):
        raise ParameterError(
            f"{path} is {width} x {height} pixels, which is no grid of faces of {side} pixels; "
            "give the size that was trained at"
        )
    if not faces or not all(0 <= face < rows * columns for face in faces):
        raise ParameterError(
            f"{path} has the places 0 to {rows * columns - 1}, not all of {list(faces)}; give some "
            "of these"
        )
    cells = []
    for face in faces:
        top, left = (place * (side + GAP) for place in divmod(face, columns))
        cells.append(sheet[:, :, top : top + side, left : left + side])
    return torch.cat(cells)


def save(
    film: Film, path: str | Path, columns: int, *, seconds: float = 6.0, scale: int = 2
) -> Path:
    """Write a film as a picture that moves, .gif or .webp, beside and renamed.

    The faces lie in so many columns, every pixel `scale` times as large; it runs for `seconds`,
    rests on the last moment for two and starts again. Raises `ParameterError` for another ending.
    """
    import PIL.Image

    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("gif", "webp"):
        raise ParameterError(f"a film can't be written as {path.name}; give a .gif or .webp")
    levels = images.to_uint8(film.frames(columns)).numpy()
    levels = levels.repeat(scale, axis=1).repeat(scale, axis=2)
    first, *others = (PIL.Image.fromarray(frame) for frame in levels)
    duration = [max(20, round(1000 * seconds / len(levels)))] * (len(levels) - 1) + [2000]
    stream = io.BytesIO()
    words = {"lossless": True} if kind == "webp" else {}
    first.save(
        stream, format=kind, save_all=True, append_images=others, duration=duration, loop=0, **words
    )
    with cache.writing(path.name, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        cache.write_beside(path, stream.getvalue())
    return path
