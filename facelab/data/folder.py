"""A folder of pictures as a dataset: cut to squares, scaled to one size, read when asked for.

Who is who comes from where the pictures lie. With a labels.csv (what `facelab render` writes) it is
its column `identity`; else the pictures of each folder below are one person, the layout of most
public datasets; pictures in the folder itself are each a person of their own.
"""

import csv
import hashlib
from pathlib import Path

import torch
import torch.nn.functional as F

from facelab.data.base import FaceDataset, Indices
from facelab.data.export import LABELS
from facelab.errors import DatasetError, ParameterError
from facelab.images import load_image
from facelab.types import Batch, Picture

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}


class Folder(FaceDataset):
    """The pictures of a folder and of those below it, by name, `size` x `size` pixels.

    A picture is cut to its middle square; align faces before (`facelab align`) where they lie
    anywhere. Raises `DatasetError` when there is no picture, and `ImageError` when one that is
    asked for can't be read.
    """

    split = "all"

    def __init__(self, path: str | Path, size: int = 64):
        self.path, self.size = Path(path), size
        if size < 1:
            raise ParameterError(f"pictures of {size} pixels can't be; give a size of at least 1")
        if not self.path.is_dir():
            raise DatasetError(f"{self.path} is no folder; give a folder of pictures")
        found = (p for p in self.path.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())
        self.files = sorted(found, key=lambda p: p.relative_to(self.path).as_posix())
        if not self.files:
            known = ", ".join(sorted(ENDINGS))
            raise DatasetError(f"{self.path} has no picture; it should have files like {known}")
        self.id = f"folder-{self.path.resolve().name}-{size}"
        names = self._names()
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        self.people = len(numbers)
        self.identity = torch.tensor([numbers[name] for name in names])

    def _names(self) -> list[str]:
        """Return whose each picture is, by a name."""
        labelled = {}
        if (self.path / LABELS).is_file():
            with (self.path / LABELS).open(encoding="utf-8", newline="") as file:
                labelled = {row["file"]: f"{row['identity']}" for row in csv.DictReader(file)}
        inner = [path.relative_to(self.path) for path in self.files]
        own = [p.parent.as_posix() if p.parent != Path() else p.as_posix() for p in inner]
        return [labelled.get(p.as_posix(), name) for p, name in zip(inner, own, strict=True)]

    def config(self) -> dict:
        """Return the size, and a SHA-256 of the files' names and lengths."""
        rows = [f"{p.relative_to(self.path).as_posix()} {p.stat().st_size}" for p in self.files]
        digest = hashlib.sha256("\n".join(rows).encode()).hexdigest()
        return {"recipe": "folder-1", "size": self.size, "count": len(rows), "files": digest}

    def batch(self, indices: Indices) -> Batch:
        """Return these pictures."""
        found = self.resolve(indices)
        pictures = [square(load_image(self.files[index]), self.size) for index in found]
        return Batch(torch.cat(pictures), self.identity[found])


def square(picture: Picture, size: int) -> Picture:
    """Return the middle square of a picture, (1, 3, size, size), scaled without aliasing."""
    height, width = picture.shape[2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = picture[:, :, top : top + side, left : left + side]
    if side == size:
        return middle
    scaled = F.interpolate(
        middle, (size, size), mode="bilinear", antialias=True, align_corners=False
    )
    return scaled.clamp(-1, 1)
