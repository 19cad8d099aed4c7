"""DigiFace-1M: 1.22 million rendered pictures of people who do not exist.

Bae, de La Gorce, Baltrusaitis, Hewitt, Chen, Valentin, Cipolla and Shen (2023), DigiFace-1M: 1
Million Digital Face Images for Face Recognition, WACV. Eight zips; in each a folder a person:

    subjects_0-1999_72_imgs.zip         0/0.png ... 0/71.png, 1/0.png ...    112 x 112 pixels
    subjects_100000-133332_5_imgs.zip   100000/0.png ... 100000/4.png ...

10,000 people have 72 pictures each, and by the archives' names 99,999 have 5: 720,000 + 499,995.
All of them are to train with: nobody published a split.

Names, licence and layout are those of the authors' README (github.com/microsoft/DigiFace1M), which
has the second of the two servers; later projects fetch the same names from the first one. Neither
sizes nor sums are published. Nobody tried the addresses from here.
"""

import os
import re
from pathlib import Path

import numpy as np

from facelab.assets import cache
from facelab.data.public.folders import inner, numbered
from facelab.data.public.pictures import Listing
from facelab.data.public.table import PublicSet, Published
from facelab.errors import DatasetError

SERVERS = tuple(
    f"https://facesyntheticspubwedata.{place}.core.windows.net/wacv-2023/"
    for place in ("z6.web", "blob")
)
HOMEPAGE = "https://github.com/microsoft/DigiFace1M"
DEEP = 10_000  # people below this number have 72 pictures
DEEP_PARTS = tuple(f"subjects_{first}-{first + 1999}_72_imgs.zip" for first in range(0, DEEP, 2000))
BROAD_PARTS = tuple(
    f"subjects_{first}-{first + 33_332}_5_imgs.zip" for first in (100_000, 133_333, 166_666)
)
PEOPLE = "people"
PICTURE = re.compile(r"(?P<number>[0-9]{1,4})\.png")
CAUTION = (
    "Nobody here exists: the faces are rendered, from scans of a few people who agreed to it. One "
    "may look like somebody all the same. What learns from them works on real people: don't "
    "identify, rank or watch anyone with it."
)


def _described(name: str, title: str, what: str, parts: tuple[str, ...], **numbers) -> PublicSet:
    return PublicSet(
        name,
        title,
        what,
        licence="Microsoft's own, for non-commercial research: LICENSE on the homepage",
        terms="for non-commercial research; read LICENSE on the homepage, which holds",
        citation="Bae et al. (2023), DigiFace-1M: 1 Million Digital Face Images for Face "
        "Recognition, WACV",
        homepage=HOMEPAGE,
        files=tuple(
            Published(part, tuple(server + part for server in SERVERS), kind="zip")
            for part in parts
        ),
        framings=("centre", "book64", "arcface112", "facenet160"),
        by_hand="get the archives in a browser from the homepage and give their folder with "
        "--from; a part of them is taken too, if it is unpacked",
        caution=CAUTION,
        **numbers,
    )


DIGIFACE = _described(
    "digiface-1m",
    "DigiFace-1M",
    "1,219,995 rendered pictures of 109,999 people who do not exist, 112 x 112 pixels",
    DEEP_PARTS + BROAD_PARTS,
    people=109_999,
    pictures=1_219_995,
)
DEEP_SET = _described(
    "digiface-1m-72",
    "DigiFace-1M, the people with 72 pictures",
    "720,000 rendered pictures of 10,000 people who do not exist, 112 x 112 pixels",
    DEEP_PARTS,
    people=DEEP,
    pictures=72 * DEEP,
)


def listing(folder: Path) -> Listing:
    """Read the layout of all parts that are there. Raises `DatasetError` for what doesn't fit."""
    return _listing(folder, None)


def deep_listing(folder: Path) -> Listing:
    """Read the people with 72 pictures. Raises `DatasetError` for what doesn't fit."""
    return _listing(folder, DEEP)


def _listing(folder: Path, end: int | None) -> Listing:
    place = _joined(folder)
    people = {n: path for n, path in _people(place).items() if end is None or n < end}
    if not people:
        raise DatasetError(f"{folder} has no 0/0.png; give the folder of the unpacked archives")
    files, identity = [], []
    for identity_number, path in enumerate(people.values()):
        own = path.relative_to(place).as_posix()
        names = [f"{own}/{number}.png" for number in range(_count(path))]
        files += names
        identity += [identity_number] * len(names)
    return Listing(
        place, tuple(files), np.array(identity, np.int64), np.zeros(len(files), np.uint8)
    )


def _people(folder: Path) -> dict[int, Path]:
    """Return the people's folders by number, in a folder and in those in it."""
    found = numbered(folder)
    for part in sorted(path for path in inner(folder) if not path.name.isdigit()):
        for number, path in numbered(part).items():
            if number in found:
                raise DatasetError(f"{found[number]} and {path} are one person; keep one of them")
            found[number] = path
    return dict(sorted(found.items()))


def _count(person: Path) -> int:
    """Return how many pictures a person has. Raises `DatasetError` when one is missing."""
    found = [PICTURE.fullmatch(path.name) for path in person.iterdir()]
    numbers = {int(match["number"]) for match in found if match}
    if not numbers or max(numbers) != len(numbers) - 1:
        absent = min(set(range(len(numbers) + 1)) - numbers)
        raise DatasetError(
            f"{person / f'{absent}.png'} is missing; unpack the archive again, whole"
        )
    return len(numbers)


def _joined(folder: Path) -> Path:
    """Return one folder with the people of all archives that were unpacked.

    Their folders are moved there one by one; what was interrupted goes on where it was. A folder
    that the reader unpacked is returned as it is.
    """
    parts = [path for path in sorted(inner(folder)) if path.name.endswith("_imgs.zip.d")]
    if not parts:
        return folder
    together = folder / PEOPLE
    with cache.lock(together), cache.writing("the people of all parts", together):
        together.mkdir(exist_ok=True)
        for part in parts:
            for path in _people(part).values():
                if (together / path.name).exists():
                    raise DatasetError(
                        f"{path} is there twice: these are not the archives that were published; "
                        f"delete {folder} and get them again"
                    )
                os.replace(path, together / path.name)
    return together
