"""FFHQ: 70,000 portraits from Flickr, all aligned alike; nobody says who is who.

Karras, Laine and Aila (2019), A Style-Based Generator Architecture for Generative Adversarial
Networks, CVPR. The layout:

    thumbnails128x128/00000/00000.png ... 69000/69999.png   128 x 128 pixels, by thousands
    ffhq-dataset-v2.json   for each picture: licence, author and title of the photo, its address,
                           size and MD5 of the files, 68 landmarks

Copies of 256 x 256 pixels lie flat or by thousands, as PNG or JPEG; a number is the picture's, also
as StyleGAN's tools write it (img00000000.png). The faces lie as the template `ffhq256` says: the
framing "centre", which keeps the whole picture, is FFHQ's own.

The split is the authors': the first 60,000 to train, the other 10,000 to validate. Each picture
counts as a person of its own, though some people may be there several times.

With the JSON beside them, the thumbnails are compared with their MD5, every face has the label
`licence` (a place in `LICENCES`) and its 68 landmarks, and the file is kept beside the packed
faces: some of the licences ask for the author's name.

Facts are those of the authors' README and download_ffhq.py (github.com/NVlabs/ffhq-dataset, with
the JSON's address, size and MD5). They publish the thumbnails' zip without an address of its own;
the one here is of a copy at archive.org that other projects name (github.com/rvainshtein/unmaskme),
of which no sum is published: that is why its pictures are compared one by one. Nobody tried the
addresses from here.
"""

import json
import re
from pathlib import Path

import numpy as np

from facelab.assets import web
from facelab.data.public.folders import find_place, inner
from facelab.data.public.pictures import Listing
from facelab.data.public.table import PublicSet, Published
from facelab.errors import DatasetError
from facelab.progress import progress_bar

COUNT, TRAINING = 70_000, 60_000
THUMBNAILS, THUMBNAIL_PIXELS = "thumbnails128x128", 128
LEAST_PIXELS = 256  # of ffhq-256
METADATA = "ffhq-dataset-v2.json"
POINTS = 68
HOMEPAGE = "https://github.com/NVlabs/ffhq-dataset"
PICTURE = re.compile(r"(?:img)?(?P<number>[0-9]{1,8})\.(?:png|jpe?g)", re.IGNORECASE)
THOUSAND = re.compile(r"[0-9]{5}")
# The label `licence` is a place here; what comes after a name is in the licence's address.
LICENCES = (
    ("another one: see the JSON", ""),
    ("CC BY 2.0", "creativecommons.org/licenses/by/2.0"),
    ("CC BY-NC 2.0", "creativecommons.org/licenses/by-nc/2.0"),
    ("Public Domain Mark 1.0", "creativecommons.org/publicdomain/mark/1.0"),
    ("CC0 1.0", "creativecommons.org/publicdomain/zero/1.0"),
    ("U.S. Government Works", "usa.gov/copyright"),
)
LICENCE = (
    "each picture has its author's own: CC BY 2.0, CC BY-NC 2.0, Public Domain Mark 1.0, CC0 1.0 "
    f"or U.S. Government Works, as {METADATA} says; where that file lies beside this card, the "
    "label `licence` is "
    + ", ".join(f"{code} for {name}" for code, (name, _) in enumerate(LICENCES))
    + "; where it doesn't, it was not given, and licences and authors are unknown here. The set is "
    "NVIDIA's, under CC BY-NC-SA 4.0"
)
TERMS = (
    "not for commercial use, and not to develop or improve the recognition of faces; name the "
    "author of a picture that you show, where its licence asks for it, and say what you changed; "
    "cite the paper; what you make of the set has its licence. Whoever finds their own picture "
    "(https://nvlabs.github.io/ffhq-dataset/search/) may have it taken out"
)
CITATION = (
    "Karras, Laine and Aila (2019), A Style-Based Generator Architecture for Generative "
    "Adversarial Networks, CVPR"
)
CAUTION = (
    "These are real people, who were not asked; it was the photographers who gave the pictures "
    "free for some uses. Nobody published who is who: each picture counts as one person, and some "
    "people may be there several times. Don't identify, rank or watch anyone with what is trained "
    "here."
)


def _described(name: str, title: str, what: str, by_hand: str, **changes) -> PublicSet:
    return PublicSet(
        name, title, what, LICENCE, TERMS, CITATION, HOMEPAGE,
        framings=("centre", "book64", "arcface112", "facenet160"), splits=("train", "validation"),
        pictures=COUNT, by_hand=by_hand, caution=CAUTION, **changes,
    )  # fmt: skip


FFHQ = _described(
    "ffhq",
    "Flickr-Faces-HQ, thumbnails",
    "70,000 aligned portraits from Flickr, 128 x 128 pixels; licence, author and 68 landmarks of "
    "each picture; no identities",
    "the homepage's Google Drive has the thumbnails' zip in its folder zips; or run the authors' "
    "download_ffhq.py --json --thumbs; then give the folder with --from",
    files=(
        # 1.95 GB, says the authors' table.
        Published(
            f"{THUMBNAILS}.zip",
            (f"https://archive.org/download/ffhq-dataset/{THUMBNAILS}.zip",),
            kind="zip",
        ),
        Published(
            METADATA,
            (
                "https://drive.usercontent.google.com/download?id=16N0RV4fHI6joBuKbQAoG34V_cQk7vxSA"
                "&export=download&confirm=t",
            ),
            267_793_842,
            md5="425ae20f06a4da1d4dc0f46d40ba5fd6",
        ),
    ),
)
LARGE = _described(
    "ffhq-256",
    "Flickr-Faces-HQ, 256 x 256 or larger",
    "the same 70,000 portraits in a copy of 256 x 256 pixels or more that you have",
    "its authors publish 1024 x 1024 pixels (89.1 GB) and 128 x 128, and readers have scaled the "
    "first ones down to 256: give the folder of your copy with --from, and lay "
    f"{METADATA} (255 MB, from the homepage) beside the pictures for their licences and authors",
)


def listing(folder: Path) -> Listing:
    """Read the layout of the thumbnails. Raises `DatasetError` for what doesn't fit."""
    place, numbers, files = _pictures(folder, THUMBNAILS)
    side = _side(place / files[0])
    if side != THUMBNAIL_PIXELS:
        raise DatasetError(
            f"{place / files[0]} has {side} pixels a side, a thumbnail {THUMBNAIL_PIXELS}; take "
            "the set ffhq-256 for larger ones"
        )
    metadata = _metadata(folder, place)
    entries = _entries(metadata, numbers) if metadata else []
    if entries:
        _require_published(place, files, entries)
    return _labelled(place, files, numbers, metadata, _landmarks(metadata, entries, side), entries)


def large_listing(folder: Path) -> Listing:
    """Read a copy of larger pictures. Raises `DatasetError` for what doesn't fit."""
    place, numbers, files = _pictures(folder)
    side = _side(place / files[0])
    if side < LEAST_PIXELS:
        raise DatasetError(
            f"{place / files[0]} has {side} pixels a side, expected at least {LEAST_PIXELS}; take "
            "the set ffhq for thumbnails"
        )
    metadata = _metadata(folder, place)
    entries = _entries(metadata, numbers) if metadata else []
    return _labelled(place, files, numbers, metadata, _landmarks(metadata, entries, side), entries)


def _labelled(place, files, numbers, metadata, landmarks, entries: list[dict]) -> Listing:
    licences = np.array([_licence(entry) for entry in entries], np.uint8)
    return Listing(
        place,
        files,
        np.arange(len(files)),
        (np.array(numbers) >= TRAINING).astype(np.uint8),
        landmarks=landmarks,
        labels={"licence": licences} if entries else {},
        beside=((METADATA, metadata),) if metadata else (),
    )


# --- the pictures --------------------------------------------------------------------------------


def _pictures(folder: Path, prefer: str = "") -> tuple[Path, list[int], tuple[str, ...]]:
    """Return where the pictures lie, their numbers in order, and their names."""
    place = find_place(folder, _holds_pictures, "00000.png and no folder 00000", prefer)
    found: dict[int, str] = {}
    for path in _files(place):
        match = PICTURE.fullmatch(path.name)
        if not match:
            continue
        number, name = int(match["number"]), path.relative_to(place).as_posix()
        if number >= COUNT:
            raise DatasetError(f"{path} is no picture of FFHQ: its numbers are 0 to {COUNT - 1:,}")
        if number in found:
            raise DatasetError(f"{place} has {found[number]} and {name}; keep one of them")
        found[number] = name
    if not found:
        raise DatasetError(f"{place} has no picture such as 00000/00000.png; unpack it again")
    numbers = sorted(found)
    return place, numbers, tuple(found[number] for number in numbers)


def _files(place: Path):
    """Yield what lies in a folder, and in its folders of a thousand."""
    yield from place.iterdir()
    for thousand in inner(place):
        if THOUSAND.fullmatch(thousand.name):
            yield from thousand.iterdir()


def _holds_pictures(place: Path) -> bool:
    return any(
        THOUSAND.fullmatch(path.name) if path.is_dir() else PICTURE.fullmatch(path.name)
        for path in place.iterdir()
    )


def _side(path: Path) -> int:
    """Return how many pixels wide and high a picture is."""
    import PIL.Image

    try:
        with PIL.Image.open(path) as opened:
            width, height = opened.size
    except (OSError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise DatasetError(f"{path} can't be read as a picture ({error}); get it again") from error
    if width != height:
        raise DatasetError(f"{path} has {width} x {height} pixels; FFHQ's pictures are square")
    return width


# --- what the authors say of them ----------------------------------------------------------------


def _metadata(folder: Path, place: Path) -> Path | None:
    """Return the JSON, in the given folder, beside the pictures' or above it, where it is."""
    for where in (folder, place, place.parent, folder.parent):
        if (where / METADATA).is_file():
            return where / METADATA
    return None


def _entries(path: Path, numbers: list[int]) -> list[dict]:
    """Return what the JSON says of these pictures. Raises `DatasetError` for another file."""
    try:
        found = json.loads(path.read_bytes(), object_hook=_reduced)
        entries = [found[str(number)] for number in numbers]
        categories = [entry["category"] for entry in entries]
    except KeyError as error:
        raise DatasetError(f"{path} has no {error}; get the file again, whole") from error
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise DatasetError(f"{path} can't be read ({error}); get it again") from error
    for number, category in zip(numbers, categories, strict=True):
        if category != ("training" if number < TRAINING else "validation"):
            raise DatasetError(f"{path}: picture {number} is in {category!r}; get the file again")
    return entries


def _reduced(found: dict) -> dict | None:
    """Keep of an object in the JSON what is used: its points alone are 272 numbers a picture."""
    if "face_quad" in found:  # of the photograph that the face was cut out of
        return None
    if "face_landmarks" in found:
        return {**found, "face_landmarks": np.array(found["face_landmarks"], np.float32)}
    return found


def _require_published(place: Path, files: tuple[str, ...], entries: list[dict]) -> None:
    """Raise `DatasetError` for a thumbnail that isn't the one of which the JSON has the MD5."""
    with progress_bar("comparing", len(files), "pictures") as bar:
        for name, entry in zip(files, entries, strict=True):
            path, thumbnail = place / name, _object(entry, "thumbnail")
            found = path.stat().st_size, web.file_sum(path, "MD5")
            if found != (thumbnail.get("file_size"), thumbnail.get("file_md5")):
                raise DatasetError(
                    f"{path} is not the picture that was published: MD5 {found[1]}, expected "
                    f"{thumbnail.get('file_md5')}; get the archive again, or give a folder without "
                    f"{METADATA}"
                )
            bar.update(1)


def _landmarks(path: Path | None, entries: list[dict], side: int) -> np.ndarray | None:
    """Return the 68 points in pixels of pictures of this side, (rows, 68, 2)."""
    if path is None:
        return None
    try:
        points = np.stack([entry["image"]["face_landmarks"] for entry in entries])
        published = np.array([entry["image"]["pixel_size"][0] for entry in entries], np.float32)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DatasetError(
            f"{path}: landmarks are missing ({error}); get the file again"
        ) from error
    if points.shape[1:] != (POINTS, 2) or not np.isfinite(points).all() or published.min() < 1:
        raise DatasetError(f"{path}: {points.shape[1:]} landmarks, expected {POINTS} points")
    # Scaled about the corner of the top left pixel, whose centre is (0, 0).
    return (points + 0.5) * (side / published)[:, None, None] - np.float32(0.5)


def _licence(entry: dict) -> int:
    """Return the place of a picture's licence in `LICENCES`."""
    address = str(_object(entry, "metadata").get("license_url", ""))
    known = (code for code, (_, part) in enumerate(LICENCES) if part and part in address)
    return next(known, 0)


def _object(entry: dict, name: str) -> dict:
    found = entry.get(name)
    return found if isinstance(found, dict) else {}
