"""Find the five points of faces that nobody published points for, a few hundred pictures at a time.

What was found is kept in small files, so that a search of hours goes on where it was, and several
processes on one disk share it.
"""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from facelab.assets import cache
from facelab.data.public.pictures import Listing
from facelab.errors import DatasetError

CHUNK = 256  # pictures of a file
SEVERAL = np.float32(np.inf)  # in place of points, where one face is wanted and there are more
SEVERAL_FACES = "\tseveral faces"  # behind the name of a picture that is left out for that

Progress = Callable[[int], None]  # pictures done so far
Part = tuple[int, int]  # (1, 4) is the first of four


def with_landmarks(
    listing: Listing, folder: Path, part: Part = (1, 1), progress: Progress | None = None
) -> tuple[Listing, tuple[str, ...]]:
    """Return the listing with the points that MTCNN finds, and the names of what it leaves out.

    Of several faces the one nearest the middle counts; where the listing wants one face, such a
    picture is left out, and its name ends in `SEVERAL_FACES`. A picture without a face is left out.
    `folder` collects what was found; a part finds its share there and needs that of the others.
    Raises `DatasetError` while theirs is missing, or when no picture is left, and `ImageError` for
    a picture that can't be read.
    """
    place = folder / f"landmarks-{_key(listing)}"
    starts = range(0, len(listing), CHUNK)
    own = starts[part[0] - 1 :: part[1]]
    for done, start in enumerate(own, start=1):
        path = place / f"{start:08d}.npy"
        if not path.is_file():
            _write(path, _found(listing, range(start, min(start + CHUNK, len(listing)))))
        if progress:
            progress(min(done * CHUNK, len(listing)))
    landmarks = np.concatenate([_read(place / f"{start:08d}.npy", part) for start in starts])
    there, several = np.isfinite(landmarks).all((1, 2)), np.isinf(landmarks).any((1, 2))
    if not there.any():
        what = (
            "no picture has just one face" if several.any() else "no face was found in any picture"
        )
        raise DatasetError(f"{listing.folder}: {what}; frame by centre")
    left_out = tuple(
        listing.files[row] + SEVERAL_FACES * bool(several[row]) for row in np.flatnonzero(~there)
    )
    return listing.with_landmarks(landmarks).rows(np.flatnonzero(there)), left_out


def _key(listing: Listing) -> str:
    """Return a name for the files of a listing: what was found of others is of no use."""
    rows = [f"{name} {(listing.folder / name).stat().st_size}" for name in listing.files]
    kind = "-one" if listing.one_face else ""
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16] + kind


def _found(listing: Listing, rows: range) -> np.ndarray:
    """Return five points of each picture, (pictures, 5, 2) float32; NaN where there is no face.

    `SEVERAL` where there are more than the listing wants.
    """
    from facelab.images import load_image
    from facelab.recognition.align import choose
    from facelab.recognition.mtcnn import detect

    points = np.full((len(rows), 5, 2), np.nan, np.float32)
    for place, row in enumerate(rows):
        image = load_image(listing.folder / listing.files[row])
        faces = detect(image)
        if len(faces) > 1 and listing.one_face:
            points[place] = SEVERAL
        elif len(faces):
            extent = (image.shape[3], image.shape[2])
            one = choose(faces, extent, "central", listing.files[row])
            points[place] = one.landmarks[0].numpy()
    return points


def _write(path: Path, points: np.ndarray) -> None:
    stream = io.BytesIO()
    np.save(stream, points, allow_pickle=False)
    with cache.writing("found faces", path.parent):
        cache.write_beside(path, stream.getvalue())


def _read(path: Path, part: Part) -> np.ndarray:
    if not path.is_file():
        raise DatasetError(
            f"the other parts of {part[1]} are still looking for faces; call this once more when "
            "they are through, with the same FACELAB_CACHE on a disk that all of them see"
        )
    return np.load(path, allow_pickle=False)
