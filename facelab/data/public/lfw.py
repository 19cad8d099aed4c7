"""Labeled Faces in the Wild: 13,233 pictures of 5,749 people, and the pairs to verify faces by.

Huang, Ramesh, Berg and Learned-Miller (2007), UMass Amherst, Technical Report 07-49. The layout,
250 x 250 pixels each:

    lfw/NAME/NAME_0001.jpg                as they were found by a face detector
    lfw_funneled/..., lfw-deepfunneled/...  turned upright (Huang et al. 2007 and 2012)
    pairs.txt                             6,000 pairs in ten folds (view 2: to report by)
    pairsDevTrain.txt, pairsDevTest.txt   2,200 and 1,000 pairs (view 1: to choose by)
    lfw_attributes.txt                    73 scores a picture (Kumar et al. 2009), for LFWA

The split: whoever is in a pair of pairsDevTest.txt is in "test", everyone else in "train"; nobody
is in both. The ten folds of view 2 take people from both, so that what was trained on "train" must
not be reported on pairs.txt.

Sums are those of scikit-learn's reader (sklearn/datasets/_lfw.py, SHA-256, with the mirrors) and of
torchvision's (torchvision/datasets/lfw.py, MD5). The university's own server had stopped serving
the files when torchvision 0.29 came out. Nobody tried the addresses from here.
"""

import math
import re
from pathlib import Path

import numpy as np

from facelab.data.public.pictures import Listing, seek
from facelab.data.public.table import PublicSet, Published
from facelab.errors import DatasetError

HOMEPAGE = "https://vis-www.cs.umass.edu/lfw/"
MIRROR = "https://ndownloader.figshare.com/files/"
PAIRS = ("pairs.txt", "pairsDevTrain.txt", "pairsDevTest.txt")
FOLDERS = ("lfw", "lfw_funneled", "lfw-deepfunneled")
SCORES = "lfw_attributes.txt"
SCORE_COUNT = 73
TEST = 2
FEW = 0.01  # of the scored pictures may be missing: names were corrected since
PICTURE = re.compile(r"(?P<name>.+)_(?P<number>\d{4})\.jpg")
CITATION = (
    "Huang, Ramesh, Berg and Learned-Miller (2007), Labeled Faces in the Wild, UMass Amherst "
    "Technical Report 07-49"
)
WHAT = "13,233 pictures of 5,749 people from news sites, 250 x 250 pixels, with lists of pairs"
LICENCE = "none stated; the pictures belong to those who took them"
TERMS = (
    "for research on the verification of faces; its authors say that it shows few children, women, "
    "old people and minorities, and proves no system fit for use"
)
FRAMINGS = ("centre", "book64", "arcface112", "facenet160", "dlib150")
BY_HAND = (
    "where no address answers, get the files in a browser from a copy that you trust and give "
    "their folder with --from: their sums are checked"
)

_PAIR_FILES = tuple(
    Published(name, (MIRROR + number, HOMEPAGE + name), sha256=sha256, md5=md5)
    for name, number, sha256, md5 in (
        (
            "pairs.txt",
            "5976006",
            "ea42330c62c92989f9d7c03237ed5d591365e89b3e649747777b70e692dc1592",
            "9f1ba174e4e1c508ff7cdf10ac338a7d",
        ),
        (
            "pairsDevTrain.txt",
            "5976012",
            "1d454dada7dfeca0e7eab6f65dc4e97a6312d44cf142207be28d688be92aabfa",
            "4f27cbf15b2da4a85c1907eb4181ad21",
        ),
        (
            "pairsDevTest.txt",
            "5976009",
            "7cb06600ea8b2814ac26e946201cdb304296262aad67d046a16a7ec85d0ff87c",
            "5132f7440eb68cf58910c8a45a2ac10b",
        ),
    )
)
_FUNNELED_FILE = Published(
    "lfw-funneled.tgz",
    (MIRROR + "5976015", HOMEPAGE + "lfw-funneled.tgz"),
    243_346_528,
    "b47c8422c8cded889dc5a13418c4bc2abbda121092b3533a83306f90d900100a",
    "1b42dfed7d15c9b2dd63d5e5840c86ad",
    "tar",
)


def _described(
    name: str, title: str, archive: Published, more: tuple[Published, ...] = (), **changes
) -> PublicSet:
    values = {
        "what": WHAT, "licence": LICENCE, "terms": TERMS, "citation": CITATION,
        "homepage": HOMEPAGE, "framings": FRAMINGS, "splits": ("train", "test"), "people": 5749,
        "pictures": 13_233, "by_hand": BY_HAND,
    }  # fmt: skip
    return PublicSet(name, title, files=(archive, *_PAIR_FILES, *more), **values | changes)


LFW = _described(
    "lfw",
    "Labeled Faces in the Wild",
    Published(
        "lfw.tgz",
        (MIRROR + "5976018", HOMEPAGE + "lfw.tgz"),
        None,
        "055f7d9c632d7370e6fb4afc7468d40f970c34a80d4c6f50ffec63f5a8d536c0",
        "a17d05bd522c52d84eca14327a23d494",
        "tar",
    ),
)
FUNNELED = _described("lfw-funneled", "Labeled Faces in the Wild, funneled", _FUNNELED_FILE)
DEEPFUNNELED = _described(
    "lfw-deepfunneled",
    "Labeled Faces in the Wild, deep funneled",
    Published(
        "lfw-deepfunneled.tgz",
        (HOMEPAGE + "lfw-deepfunneled.tgz",),
        108_761_145,
        md5="68331da3eb755a505a502b5aacb3c201",
        kind="tar",
    ),
)
LFWA = _described(
    "lfwa",
    "Labeled Faces in the Wild with 73 attributes",
    _FUNNELED_FILE,
    (
        Published(
            SCORES,
            ("https://www.cs.columbia.edu/CAVE/databases/pubfig/download/lfw_attributes.txt",),
        ),
    ),
    what=f"{WHAT}; and 73 scores a picture that classifiers gave, as attributes by their sign "
    "(13,143 pictures have them). The attributes were not given by people",
    citation=f"{CITATION}; Kumar, Berg, Belhumeur and Nayar (2009), Attribute and Simile "
    "Classifiers for Face Verification, ICCV",
    pictures=13_143,
    people=None,
)


def listing(folder: Path) -> Listing:
    """Read the layout. Raises `DatasetError` for what doesn't fit."""
    place, paths = _pictures(folder)
    beside = tuple((name, seek(folder, name)) for name in PAIRS)
    in_test = _people(beside[-1][1])
    people = [path.split("/")[0] for path in paths]
    absent = sorted(in_test - set(people))
    if absent:
        raise DatasetError(
            f"{place} has no {absent[0]}, one of {len(absent):,} people of pairsDevTest.txt that "
            "are missing; unpack the archive again, whole"
        )
    _, identity = np.unique(people, return_inverse=True)
    split = np.array([TEST * (person in in_test) for person in people], np.uint8)
    return Listing(place, paths, identity.astype(np.int64), split, beside=beside)


def attributes_listing(folder: Path) -> Listing:
    """Read the pictures that have attributes. Raises `DatasetError` for what doesn't fit."""
    whole = listing(folder)
    names, scores = _scores(seek(folder, SCORES))
    absent = set(scores) - set(whole.files)
    if len(absent) > FEW * len(scores):
        raise DatasetError(
            f"{whole.folder} lacks {len(absent):,} of the {len(scores):,} pictures of {SCORES}, "
            f"such as {min(absent)}; unpack the archive again, whole"
        )
    rows = np.array([row for row, path in enumerate(whole.files) if path in scores], np.int64)
    chosen = whole.rows(rows)
    values = np.array([scores[path] for path in chosen.files], np.float32)
    return chosen.with_attributes(names, values > 0)


def _pictures(folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the folder of pictures and their paths in it, by name."""
    present = []
    for name in FOLDERS:
        try:
            present.append(seek(folder, name))
        except DatasetError:
            continue
    if len(present) != 1:
        raise DatasetError(
            f"{folder} has {len(present)} of the folders {', '.join(FOLDERS)}, expected one; give "
            "the folder that the archive was unpacked in"
        )
    place = present[0]
    paths = []
    for path in sorted(place.glob("*/*.jpg")):
        found = PICTURE.fullmatch(path.name)
        if not found or found["name"] != path.parent.name:
            raise DatasetError(f"{path} is no picture of LFW: expected NAME/NAME_0001.jpg")
        paths.append(path.relative_to(place).as_posix())
    if not paths:
        raise DatasetError(f"{place} has no NAME/NAME_0001.jpg; unpack the archive again")
    return place, tuple(paths)


def _people(path: Path) -> set[str]:
    """Return everyone in a list of pairs. Raises `DatasetError` for another file."""
    people = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], start=2):
        fields = line.split("\t")
        if len(fields) not in (3, 4):
            raise DatasetError(f"{path}, line {number}: {line[:60]!r}; expected NAME 1 [OTHER] 2")
        people |= {fields[0]} if len(fields) == 3 else {fields[0], fields[2]}
    if not people:
        raise DatasetError(f"{path} has no pairs; get it again")
    return people


def _scores(path: Path) -> tuple[tuple[str, ...], dict[str, list[float]]]:
    """Return the attributes' names, and the scores of each picture by its path."""
    lines = path.read_text(encoding="utf-8").splitlines()
    header = lines[1].lstrip("#").strip("\t ").split("\t") if len(lines) > 2 else []
    if header[:2] != ["person", "imagenum"] or len(header) != 2 + SCORE_COUNT:
        raise DatasetError(
            f"{path}, line 2: {max(0, len(header) - 2)} attributes, expected person, imagenum and "
            f"{SCORE_COUNT} names; get the file again"
        )
    scores = {}
    for number, line in enumerate(lines[2:], start=3):
        person, picture, *fields = [*line.split("\t"), "", ""]
        try:
            values = [float(field) for field in fields if field]
            name = person.strip().replace(" ", "_")
            key = f"{name}/{name}_{int(picture):04d}.jpg"
        except ValueError:
            values = []
        if len(values) != SCORE_COUNT or not all(map(math.isfinite, values)):
            raise DatasetError(
                f"{path}, line {number}: {line[:60]!r}; expected a name, a number and "
                f"{SCORE_COUNT} scores; get the file again"
            )
        scores[key] = values
    return tuple(header[2:]), scores
