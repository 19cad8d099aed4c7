"""AFLW2000-3D: 2,000 photographs in all poses with the heads that were fitted to them.

Zhu, Lei, Liu, Shi and Li (2016), Face Alignment Across Large Poses: A 3D Solution, CVPR: the first
2,000 faces of AFLW. The layout, 450 x 450 pixels each:

    AFLW2000/image00002.jpg ...  photographs; numbers are AFLW's, with gaps
    AFLW2000/image00002.mat ...  the fit beside each: see `fitted`; pt3d_68 are its landmarks
    AFLW2000/Code/               not read: MATLAB code

Landmarks are pt3d_68, those of the fitted head, also where hair or the head itself hides them: pt2d
has 21, not all of them there. Each photograph counts as a person of its own, and all are for
testing. Readers who measure poses leave out angles above 99 degrees (Ruiz et al. 2018, Hopenet).

Address, size and SHA-256 are those of TensorFlow Datasets (aflw2k3d), which has the address with
http; the sum is checked either way. Nobody tried it from here, and some say that it is gone.
"""

import re
from pathlib import Path

import numpy as np

from facelab.data.public import fitted
from facelab.data.public.pictures import Listing, seek
from facelab.data.public.table import PublicSet, Published
from facelab.data.public.w300_lp import FRAMINGS, HOMEPAGE, W300_LP
from facelab.errors import DatasetError

FOLDER = "AFLW2000"
PICTURE = re.compile(r"image\d{5}\.jpg")
TEST = 2
AFLW2000 = PublicSet(
    name="aflw2000-3d",
    title="AFLW2000-3D, photographs in all poses with fitted heads",
    what="2,000 photographs, 450 x 450 pixels, with 68 landmarks and a fitted head each",
    licence="none stated; the photographs are those of AFLW, from Flickr, and belong to those who "
    "took them",
    terms="none are published with it; AFLW's are research only, without giving the photographs on",
    citation=W300_LP.citation,
    homepage=HOMEPAGE,
    files=(
        Published(
            "AFLW2000-3D.zip",
            ("https://www.cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/Database/AFLW2000-3D.zip",),
            87_413_900,
            "252bc35274d65ff27b6e573aa96c2f4c116ad88452cc984fb882258c0ed6e2d8",
            kind="zip",
        ),
    ),
    framings=FRAMINGS,
    splits=("test",),
    people=2000,
    pictures=2000,
    by_hand="where the address doesn't answer, get AFLW2000-3D.zip in a browser from the homepage "
    "(http, not https) or from a copy that you trust, and give its folder with --from: its sum is "
    "checked",
)


def listing(folder: Path) -> Listing:
    """Read the layout and all fits. Raises `DatasetError` for what doesn't fit."""
    root = folder if any(folder.glob("image*.jpg")) else seek(folder, FOLDER)
    pictures = tuple(path.name for path in sorted(root.glob("[!._]*.jpg")))
    for name in pictures:
        if not PICTURE.fullmatch(name):
            raise DatasetError(f"{root / name} is no picture of {FOLDER}: expected image00002.jpg")
    if not pictures:
        raise DatasetError(f"{root} has no image00002.jpg; unpack the archive again, whole")
    fits = fitted.read(root, pictures, points="pt3d_68")
    return Listing(
        root,
        pictures,
        np.arange(len(pictures), dtype=np.int64),
        np.full(len(pictures), TEST, np.uint8),
        landmarks=fits.points,
        labels=fits.labels(),
        keep_frame=True,
    )
