"""Pictures of a published set, listed with their labels and read one by one into one framing.

A layout module makes a `Listing`: which files there are, who is on them, which split they are of,
and what else was published. `Pictures` reads a row's file, brings the face to the framing and size,
and moves its landmarks along.
"""

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from facelab.data.base import FaceDataset, Indices
from facelab.data.folder import square
from facelab.data.public.table import SPLITS
from facelab.errors import DatasetError, ParameterError
from facelab.images import load_image
from facelab.recognition.align import TEMPLATES, Template, template_transform
from facelab.recognition.sampling import move_points, warp
from facelab.types import Batch, Landmarks, Picture, Similarity

THREADS = min(8, os.cpu_count() or 1)  # that read pictures
CENTRE = "centre"  # the framing of a picture's middle square
RECIPE = "public-1"  # changes whenever the same files give other pictures
# The 68 points of 300-W as five: both eyes, the tip of the nose, the corners of the mouth.
EYES_68, NOSE_68, MOUTH_68 = ((36, 42), (42, 48)), 30, (48, 54)


@dataclass(frozen=True)
class Listing:
    """What a published folder holds, a row a picture.

    `folder` is where `files` (relative, with forward slashes) lie. `identity` numbers the people
    from 0 without a gap, int64; `split` is the place in `table.SPLITS`, uint8. `attributes` are
    bool (rows, names). `landmarks` are float32 (rows, points, 2) in the file's pixels, the centre
    of the top left one being (0, 0): five as MTCNN has them (left eye, right eye, nose, left and
    right corner of the mouth, left being left in the picture), or the 68 of 300-W. `labels` are
    further arrays, one row a picture. `keep_frame` adds the label "frame", the (2, 3) transform
    from the file's pixels to the packed picture's, for labels that are in the file's pixels.
    `beside` are files that are kept beside the packed faces, such as lists of pairs: (name, path).
    `one_face` says that a picture with several faces is left out: nobody knows which one is meant.
    """

    folder: Path
    files: tuple[str, ...]
    identity: np.ndarray
    split: np.ndarray
    attributes: np.ndarray | None = None
    attribute_names: tuple[str, ...] = ()
    landmarks: np.ndarray | None = None
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    keep_frame: bool = False
    beside: tuple[tuple[str, Path], ...] = ()
    one_face: bool = False

    def __post_init__(self):
        _require_rows(self)

    def __len__(self) -> int:
        return len(self.files)

    @property
    def people(self) -> int:
        """How many people there are."""
        return int(self.identity.max()) + 1

    def with_landmarks(self, landmarks: np.ndarray) -> "Listing":
        """Return the same pictures with these landmarks, (rows, points, 2)."""
        return dataclasses.replace(self, landmarks=landmarks)

    def with_attributes(self, names: tuple[str, ...], values: np.ndarray) -> "Listing":
        """Return the same pictures with these attributes, bool (rows, names)."""
        return dataclasses.replace(self, attribute_names=names, attributes=values)

    def rows(self, index: np.ndarray) -> "Listing":
        """Return these rows, people numbered anew in the order of their numbers."""
        _, identity = np.unique(self.identity[index], return_inverse=True)
        return dataclasses.replace(
            self,
            files=tuple(self.files[row] for row in np.arange(len(self))[index]),
            identity=identity.astype(np.int64),
            split=self.split[index],
            attributes=None if self.attributes is None else self.attributes[index],
            landmarks=None if self.landmarks is None else self.landmarks[index],
            labels={name: value[index] for name, value in self.labels.items()},
        )


def _require_rows(listing: Listing) -> None:
    """Raise `DatasetError` when the columns don't fit each other: a layout was read wrongly."""
    rows, folder = len(listing.files), listing.folder
    if not rows:
        raise DatasetError(f"{folder} has no picture; give the folder as it was published")
    columns = {"identity": listing.identity, "split": listing.split, **listing.labels}
    for name in ("attributes", "landmarks"):
        if getattr(listing, name) is not None:
            columns[name] = getattr(listing, name)
    for name, value in columns.items():
        if len(value) != rows:
            raise DatasetError(f"{folder}: {len(value):,} rows of {name} for {rows:,} pictures")
    present = np.unique(listing.identity)
    if present[0] != 0 or present[-1] != len(present) - 1:
        raise DatasetError(f"{folder}: people have to be numbered from 0 without a gap")
    if listing.split.max() >= len(SPLITS):
        raise DatasetError(f"{folder}: a split is above {len(SPLITS) - 1}")


def seek(folder: Path, name: str, depth: int = 2) -> Path:
    """Return the file or folder called `name` in `folder` or at most `depth` folders below it.

    The same name inside itself (img/img, as some copies have it) counts as the inner one. Raises
    `DatasetError` when there is none, or several at the same depth.
    """
    level = [folder]
    for _ in range(depth + 1):
        found = [place / name for place in level if (place / name).exists()]
        if len(found) > 1:
            raise DatasetError(f"{found[0]} and {found[1]} are both there; keep one of them")
        if found:
            inner = found[0] / name
            return inner if inner.is_dir() else found[0]
        level = [
            inner
            for place in level
            for inner in sorted(place.iterdir())[:1000]
            if inner.is_dir() and not inner.name.startswith(".")
        ]
    raise DatasetError(f"{folder} has no {name}; give the folder as the set was published")


def require_files(folder: Path, files: tuple[str, ...]) -> None:
    """Raise `DatasetError`, with the first and the number, when pictures are missing."""
    absent = [name for name in files if not (folder / name).is_file()]
    if absent:
        raise DatasetError(
            f"{folder}: {absent[0]} is missing, one of {len(absent):,} of {len(files):,} pictures "
            "that are not there; unpack the archive again, whole"
        )


def five_points(landmarks: Landmarks) -> Float[Tensor, "batch 5 2"]:
    """Return the five points that align a face, (batch, 5, 2), of 5 or of 300-W's 68.

    Raises `DatasetError` for another number of points.
    """
    if landmarks.shape[1] == 5:
        return landmarks
    if landmarks.shape[1] != 68:
        raise DatasetError(f"{landmarks.shape[1]} landmarks can't align a face; give 5 or 68")
    eyes = [landmarks[:, first:end].mean(1) for first, end in EYES_68]
    rest = [landmarks[:, point] for point in (NOSE_68, *MOUTH_68)]
    return torch.stack([*eyes, *rest], dim=1)


def centre_transform(height: int, width: int, size: int) -> Similarity:
    """Return the transform (1, 2, 3) from a picture's pixels to those of its middle square."""
    side = min(height, width)
    corner_xy = ((width - side) // 2, (height - side) // 2)
    scale = size / side
    # The edges of the square are at -0.5 in both: (x - corner + 0.5) scale - 0.5.
    shift = [(0.5 - corner) * scale - 0.5 for corner in corner_xy]
    return torch.tensor([[[scale, 0.0, shift[0]], [0.0, scale, shift[1]]]])


def framing_transform(landmarks: Landmarks, template: Template, size: int) -> Similarity:
    """Return the transforms that lay landmarks on a template that is scaled to `size` pixels."""
    transform = template_transform(five_points(landmarks), template)
    scale = size / template.size
    shift = (scale - 1) / 2  # the centre of the top left pixel, once the picture is scaled
    moved = transform * scale
    moved[:, :, 2] += shift
    return moved


class Pictures(FaceDataset):
    """The pictures of a listing, `size` x `size` pixels in a framing, read when asked for.

    The framing "centre" is the middle square; any other is a template of
    `facelab.recognition.align`, scaled to the size, for which the listing needs landmarks. A
    batch has the label "split"; 68 landmarks are its `landmarks`, others a label such as
    "landmarks5", in the picture's own pixels. Raises `ParameterError` for a framing that there
    isn't and `DatasetError` for one that needs landmarks where there are none.
    """

    split = "all"

    def __init__(self, name: str, listing: Listing, size: int, framing: str = CENTRE):
        if size < 1:
            raise ParameterError(f"pictures of {size} pixels can't be; give a size of at least 1")
        require_framing(framing)
        if framing != CENTRE and listing.landmarks is None:
            raise DatasetError(f"{name} has no landmarks, which the framing {framing!r} needs")
        self.name, self.listing, self.size, self.framing = name, listing, size, framing
        self.id = f"{name}-{size}-{framing}"
        self.people = listing.people
        self.identity = torch.from_numpy(listing.identity.astype(np.int64))
        self.attribute_names = tuple(listing.attribute_names)
        self._config = _config(self)

    def config(self) -> dict:
        """Return the name, size and framing, and SHA-256 of the files' names and of all labels."""
        return self._config

    def batch(self, indices: Indices) -> Batch:
        """Return these pictures. Raises `ImageError` for a file that can't be read."""
        found = self.resolve(indices)
        if len(found) < 2 * THREADS:
            framed = [self._framed(row) for row in found]
        else:  # decoding a file leaves the interpreter to others
            with ThreadPoolExecutor(THREADS) as pool:
                framed = list(pool.map(self._framed, found))
        images = torch.cat([image for image, _ in framed])
        transforms = torch.cat([transform for _, transform in framed])
        listing, labels = self.listing, {}
        labels["split"] = torch.from_numpy(listing.split[found].astype(np.uint8))
        for name, value in listing.labels.items():
            labels[name] = torch.from_numpy(np.array(value[found]))
        landmarks = None
        if listing.landmarks is not None:
            landmarks = move_points(self._points(found), transforms)
            if landmarks.shape[1] != 68:
                labels[f"landmarks{landmarks.shape[1]}"], landmarks = landmarks, None
        if listing.keep_frame:
            labels["frame"] = transforms
        attributes = None
        if listing.attributes is not None:
            attributes = torch.from_numpy(listing.attributes[found].astype(bool))
        return Batch(images, self.identity[found], attributes, landmarks, labels=labels)

    def _points(self, rows: list[int]) -> Tensor:
        return torch.from_numpy(self.listing.landmarks[rows].astype(np.float32))

    def _framed(self, row: int) -> tuple[Picture, Similarity]:
        """Return a row's picture in the framing, and the transform that took it there."""
        picture = load_image(self.listing.folder / self.listing.files[row])
        if self.framing == CENTRE:
            transform = centre_transform(*picture.shape[2:], self.size)
            return square(picture, self.size), transform
        template = TEMPLATES[self.framing]
        transform = framing_transform(self._points([row]), template, self.size)
        return warp(picture, transform, (self.size, self.size)), transform


def require_framing(framing: str) -> None:
    """Raise `ParameterError` for a framing that there isn't."""
    if framing != CENTRE and framing not in TEMPLATES:
        known = ", ".join((CENTRE, *TEMPLATES))
        raise ParameterError(f"there is no framing {framing!r}; choose one of: {known}")


def _config(pictures: Pictures) -> dict:
    listing, digest = pictures.listing, hashlib.sha256()
    for name in listing.files:
        length = (listing.folder / name).stat().st_size
        digest.update(f"{name} {length}\n".encode())
    columns = {"identity": listing.identity, "split": listing.split, **listing.labels}
    columns |= {"attributes": listing.attributes, "landmarks": listing.landmarks}
    for name in sorted(columns):
        if columns[name] is not None:
            value = np.ascontiguousarray(columns[name])
            digest.update(f"{name} {value.dtype.str} {value.shape}\n".encode())
            digest.update(value.tobytes())
    return {
        "recipe": RECIPE,
        "set": pictures.name,
        "size": pictures.size,
        "framing": pictures.framing,
        "count": len(listing),
        "people": pictures.people,
        "attributes": list(listing.attribute_names),
        "content": digest.hexdigest(),
    }
