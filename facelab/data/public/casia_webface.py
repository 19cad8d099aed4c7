"""CASIA-WebFace, as a reader has it: 494,414 pictures of 10,575 people from IMDb.

Yi, Lei, Liao and Li (2014), Learning Face Representation from Scratch, arXiv:1411.7923. Layouts:

    0000045/001.jpg ...        a folder a person, as it was published
    0000000/00000001.jpg ...   112 x 112 pixels, aligned like `arcface112`, unpacked from
    train.rec, train.idx       InsightFace's copy (10,572 people): see `recordio`

The official address has stopped answering, and readers pass copies on to each other (say those of
github.com/happynear/AMSoftmax, issue 14): there is no address here, and no sum. Some of its people
are in LFW too (github.com/MuggleWang/CosFace_pytorch, issue 6): what was trained on all of it and
is reported on LFW has seen some of those who are compared.
"""

from pathlib import Path

import numpy as np

from facelab.data.public import recordio
from facelab.data.public.folders import DEPTH, PICTURE, find_place, inner, numbered
from facelab.data.public.pictures import Listing
from facelab.data.public.table import PublicSet
from facelab.errors import DatasetError

CASIA = PublicSet(
    name="casia-webface",
    title="CASIA-WebFace",
    what="494,414 pictures of 10,575 people from IMDb, or the copy that is aligned to 112 x 112 "
    "pixels; some of them are in LFW too",
    licence="for non-commercial research, on request to its makers, who no longer give it out; the "
    "pictures belong to those who took them",
    terms="for non-commercial research only; that you may have your copy is yours to know; don't "
    "give it on",
    citation="Yi, Lei, Liao and Li (2014), Learning Face Representation from Scratch, "
    "arXiv:1411.7923",
    homepage="https://arxiv.org/abs/1411.7923",
    framings=("centre", "book64", "arcface112", "facenet160"),
    people=10_575,
    pictures=494_414,
    by_hand="its official address has stopped answering: if you have it, give the folder with "
    "--from; a copy in train.rec and train.idx is unpacked first, with --unpack. digiface-1m is an "
    "alternative whose people do not exist",
)


def listing(folder: Path) -> Listing:
    """Read the layout, a folder a person. Raises `DatasetError` for what doesn't fit."""
    records = _records(folder)
    if records:
        raise DatasetError(
            f"{records} is in one piece; unpack it first: python data_scripts/casia_webface.py "
            f"--unpack {records.parent} -o PICTURES, and then give --from PICTURES"
        )
    place = find_place(folder, lambda where: bool(numbered(where)), "0000045/001.jpg")
    files, identity = [], []
    for number, person in enumerate(numbered(place).values()):
        names = sorted(path.name for path in person.iterdir() if PICTURE.fullmatch(path.name))
        if not names:
            raise DatasetError(f"{person} has no picture; unpack the set again, or delete it")
        files += [f"{person.name}/{name}" for name in names]
        identity += [number] * len(names)
    return Listing(
        place, tuple(files), np.array(identity, np.int64), np.zeros(len(files), np.uint8)
    )


def _records(folder: Path) -> Path | None:
    """Return a file of records in a folder or below it, unless people's folders come first."""
    level = [folder]
    for _ in range(DEPTH):
        for place in level:
            if numbered(place):
                return None
            if (place / recordio.RECORDS).is_file():
                return place / recordio.RECORDS
        level = [below for place in level for below in sorted(inner(place))]
    return None
