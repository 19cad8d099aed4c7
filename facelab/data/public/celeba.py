"""CelebA: 202,599 pictures of 10,177 celebrities, with 40 attributes and 5 landmarks.

Liu, Luo, Wang and Tang (2015), Deep Learning Face Attributes in the Wild, ICCV. The layout:

    img_align_celeba/000001.jpg ...      178 x 218 pixels, eyes at the same place
    img_celeba/000001.jpg ...            in the wild: as they were found
    list_attr_celeba.txt                 number of rows | 40 names | FILE -1 1 ...
    list_landmarks_align_celeba.txt      number of rows | 10 names | FILE x y x y ... (aligned)
    list_landmarks_celeba.txt            the same in pixels of the pictures in the wild
    identity_CelebA.txt                  FILE NUMBER
    list_eval_partition.txt              FILE 0 | 1 | 2: train, validation, test

Sums and addresses are those of torchvision's reader (torchvision/datasets/celeba.py, 0.29), sizes
those that its progress bar shows. Nobody tried them from here.
"""

from pathlib import Path

import numpy as np

from facelab.data.public.pictures import Listing, require_files, seek
from facelab.data.public.table import PublicSet, Published
from facelab.errors import DatasetError

ATTRIBUTES, POINTS = 40, 5
ADDRESS = "https://drive.usercontent.google.com/download?id={}&export=download&confirm=t"
HOMEPAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
CITATION = "Liu, Luo, Wang and Tang (2015), Deep Learning Face Attributes in the Wild, ICCV"
LICENCE = "no licence to use beyond research; the pictures are not property of the authors"
TERMS = (
    "for non-commercial research only; no copy may be given on, published or sold, in whole or in "
    "part, but within your own site of your organisation; the agreement on the homepage holds"
)
_ATTRIBUTE_FILE, _PARTITION = "list_attr_celeba.txt", "list_eval_partition.txt"
_IDENTITY, _LANDMARKS = "identity_CelebA.txt", "list_landmarks_align_celeba.txt"
_WILD_LANDMARKS = "list_landmarks_celeba.txt"


def _published(name: str, drive: str, size_bytes: int, md5: str, kind: str = "file") -> Published:
    return Published(name, (ADDRESS.format(drive),), size_bytes, md5=md5, kind=kind)


CELEBA = PublicSet(
    name="celeba",
    title="CelebA, aligned and cropped",
    what="202,599 pictures of 10,177 celebrities, 178 x 218 pixels, eyes at the same place; 40 "
    "attributes, 5 landmarks, identities and splits that share nobody",
    licence=LICENCE,
    terms=TERMS,
    citation=CITATION,
    homepage=HOMEPAGE,
    files=(
        _published(
            "img_align_celeba.zip",
            "0B7EVK8r0v71pZjFTYXZWM3FlRnM",
            1_443_490_838,
            "00d2c5bc6d35e252742224ab0c1e8fcb",
            "zip",
        ),
        _published(
            _ATTRIBUTE_FILE,
            "0B7EVK8r0v71pblRyaVFSWGxPY0U",
            26_721_026,
            "75e246fa4810816ffd6ee81facbd244c",
        ),
        _published(
            _IDENTITY,
            "1_ee_0u7vcNLOfNLegJRHmolfH5ICW-XS",
            3_424_458,
            "32bd1bd63d3c78cd57e08160ec5ed1e2",
        ),
        _published(
            _LANDMARKS,
            "0B7EVK8r0v71pd0FJY3Blby1HUTQ",
            12_156_055,
            "cc24ecafdb5b50baae59b03474781f8c",
        ),
        _published(
            _PARTITION,
            "0B7EVK8r0v71pY0NSMzRuSXJEVkk",
            2_836_386,
            "d32c9cbf5e040fd4025c592c306e6668",
        ),
    ),
    framings=("centre", "book64", "arcface112", "facenet160"),
    splits=("train", "validation", "test"),
    people=10_177,
    pictures=202_599,
    by_hand="Google Drive refuses a file that too many asked for that day: try again a day later, "
    "or get the files in a browser and give their folder with --from",
)

WILD = PublicSet(
    name="celeba-wild",
    title="CelebA, in the wild",
    what="the same 202,599 pictures as they were found, of any size, with landmarks in their own "
    "pixels",
    licence=LICENCE,
    terms=TERMS,
    citation=CITATION,
    homepage=HOMEPAGE,
    framings=("book64", "arcface112", "facenet160", "centre"),
    splits=("train", "validation", "test"),
    people=10_177,
    pictures=202_599,
    by_hand="the pictures are published in parts of a 7z archive: get img_celeba.7z.001 to the "
    f"last one, and {_WILD_LANDMARKS}, {_ATTRIBUTE_FILE}, {_IDENTITY} and {_PARTITION}, from the "
    "homepage into one folder; unpack there with `7z x img_celeba.7z.001`; then give the folder "
    "with --from",
)


def listing(folder: Path) -> Listing:
    """Read the layout of the aligned pictures. Raises `DatasetError` for what doesn't fit."""
    return _listing(folder, "img_align_celeba", _LANDMARKS)


def wild_listing(folder: Path) -> Listing:
    """Read the layout of the pictures in the wild. Raises `DatasetError` for what doesn't fit."""
    return _listing(folder, "img_celeba", _WILD_LANDMARKS)


def _listing(folder: Path, pictures: str, landmarks: str) -> Listing:
    place = seek(folder, pictures)
    names, partition = _rows(seek(folder, _PARTITION), 1)
    columns = {}
    for name, width, header in (
        (_IDENTITY, 1, 0),
        (_ATTRIBUTE_FILE, ATTRIBUTES, 2),
        (landmarks, 2 * POINTS, 2),
    ):
        path = seek(folder, name)
        own, columns[name] = _rows(path, width, header)
        if own != names:
            raise DatasetError(
                f"{path} has {len(own):,} rows and {_PARTITION} {len(names):,}, or other names; "
                "get both again"
            )
    require_files(place, names)
    _, identity = np.unique(columns[_IDENTITY][:, 0], return_inverse=True)
    return Listing(
        place,
        names,
        identity.astype(np.int64),
        partition[:, 0].astype(np.uint8),
        attributes=columns[_ATTRIBUTE_FILE] > 0,
        attribute_names=_names(seek(folder, _ATTRIBUTE_FILE), ATTRIBUTES),
        landmarks=columns[landmarks].reshape(-1, POINTS, 2).astype(np.float32),
    )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} can't be read ({error}); get it again") from error


def _names(path: Path, count: int) -> tuple[str, ...]:
    names = tuple(_lines(path)[1].split())
    if len(set(names)) != count:
        raise DatasetError(f"{path}, line 2: {len(set(names))} names, expected {count}")
    return names


def _rows(path: Path, width: int, header: int = 0) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the first column, and the others as int64 (rows, width), after `header` lines.

    Raises `DatasetError`, with the line, for a row of another width or with something else than
    whole numbers, and for another number of rows than the header says.
    """
    lines = _lines(path)
    names, values = [], []
    for number, line in enumerate(lines[header:], start=header + 1):
        name, *fields = line.split() or [""]
        try:
            row = [int(field) for field in fields]
        except ValueError:
            row = []
        if len(row) != width or not name:
            raise DatasetError(
                f"{path}, line {number}: {line[:60]!r}; expected a file's name and {width} whole "
                "numbers; get the file again"
            )
        names.append(name)
        values.append(row)
    if not names or (header and lines[0].strip() != str(len(names))):
        raise DatasetError(
            f"{path} has {len(names):,} rows, its first line says "
            f"{lines[0][:20] if lines else ''!r}; it was cut short, get it again"
        )
    return tuple(names), np.array(values, np.int64)
