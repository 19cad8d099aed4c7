"""300W-LP: 122,450 faces in all poses with the heads that were fitted to them.

Zhu, Lei, Liu, Shi and Li (2016), Face Alignment Across Large Poses: A 3D Solution, CVPR. Faces of
300-W were turned further and further by their fitted heads, 61,225 pictures, and each was mirrored.
The layout, 450 x 450 pixels each:

    300W_LP/AFW/AFW_134212_1_0.jpg ...       5,207; photograph 134212, face 1, turn 0
    300W_LP/HELEN/..., IBUG/..., LFPW/...    37,676, 1,786 and 16,556
    300W_LP/AFW_Flip/AFW_134212_1_0.jpg ...  the same, mirrored
    300W_LP/.../NAME.mat                     the fit beside each picture: see `fitted`
    300W_LP/landmarks/, Code/                not read: further landmarks, and MATLAB code

Who is on a picture was never published. Here all turns of a face, and its mirror images, are one
person: AFW/AFW_134212_1. All is for training; AFLW2000-3D is what its readers test on.

Counts, address, size and SHA-256 are those of TensorFlow Datasets (the300w_lp, which leaves the
mirrored ones out); names of mirrored pictures are as the lists of several public readers of Hopenet
have them. Nobody tried the address from here.
"""

import re
from pathlib import Path

import numpy as np

from facelab.data.public import fitted
from facelab.data.public.pictures import Listing, seek
from facelab.data.public.table import PublicSet, Published
from facelab.errors import DatasetError

HOMEPAGE = "http://www.cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/main.htm"
FRAMINGS = ("book64", "centre", "arcface112", "ffhq256")
PARTS = tuple(f"{name}{mirrored}" for name in ("AFW", "HELEN", "IBUG", "LFPW") for mirrored in
              ("", "_Flip"))  # fmt: skip
PICTURE = re.compile(r"(?P<face>.+)_(?P<turn>\d+)\.jpg")
TERMS = (
    "none are published; for research only, as its photographs are: those of 300-W (AFW, HELEN, "
    "IBUG, LFPW) may not be used commercially"
)
W300_LP = PublicSet(
    name="300w-lp",
    title="300W-LP, faces in large poses with fitted heads",
    what="122,450 pictures, 450 x 450 pixels, made of 61,225 by mirroring, and these of the "
    "photographs of 300-W by turning their faces; 68 landmarks and a fitted head each. Turned "
    "faces are drawn, and look it",
    licence="none stated; the photographs belong to those who took them",
    terms=TERMS,
    citation="Zhu, Lei, Liu, Shi and Li (2016), Face Alignment Across Large Poses: A 3D Solution, "
    "CVPR",
    homepage=HOMEPAGE,
    files=(
        Published(
            "300W-LP.zip",
            (
                "https://drive.usercontent.google.com/download?"
                "id=0B7OEHD3T4eCkVGs0TkhUWFN6N1k&export=download&confirm=t",
                "https://drive.usercontent.google.com/download?id=0B7OEHD3T4eCkVGs0TkhUWFN6N1k"
                "&resourcekey=0-WT5tO4TOCbNZY6r6z6WmOA&export=download&confirm=t",
            ),
            2_828_125_606,
            "250c366c417ad48f72522b629ff83dbb2b2a57945803ad4a530a696bb6b13ee7",
            kind="zip",
        ),
    ),
    framings=FRAMINGS,
    # The archive has more than two files a picture, which is what the number of pictures allows.
    pictures=None,
    by_hand="Google Drive refuses a file that too many asked for that day: try again a day later, "
    "or get 300W-LP.zip in a browser and give its folder with --from",
)


def listing(folder: Path) -> Listing:
    """Read the layout and all fits. Raises `DatasetError` for what doesn't fit."""
    root = seek(folder, PARTS[0]).parent
    pictures, faces = [], []
    for part in PARTS:
        if not (root / part).is_dir():
            raise DatasetError(f"{root} has no {part}; unpack the archive again, whole")
        for path in sorted((root / part).glob("[!._]*.jpg")):
            found = PICTURE.fullmatch(path.name)
            if not found:
                raise DatasetError(f"{path} is no picture of 300W-LP: expected NAME_0.jpg")
            pictures.append(f"{part}/{path.name}")
            faces.append(f"{part.removesuffix('_Flip')}/{found['face']}")
    if not pictures:
        raise DatasetError(f"{root} has no {PARTS[0]}/NAME_0.jpg; unpack the archive again, whole")
    fits = fitted.read(root, pictures)
    _, identity = np.unique(faces, return_inverse=True)
    return Listing(
        root,
        tuple(pictures),
        identity.astype(np.int64),
        np.zeros(len(pictures), np.uint8),
        landmarks=fits.points,
        labels=fits.labels(),
        keep_frame=True,
    )
