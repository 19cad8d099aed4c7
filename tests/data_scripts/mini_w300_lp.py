"""300W-LP and AFLW2000-3D in their real layout: pictures of 450 x 450 pixels and MATLAB files."""

import io
import sys

import numpy as np
import scipy.io

mini = sys.modules["loaded_data_scripts_mini"]

# Face 134212_1 in two turns, and one of each other part; all are there mirrored as well.
W300_LP_NAMES = {
    "AFW": ("AFW_134212_1_0", "AFW_134212_1_1"),
    "HELEN": ("HELEN_1269874180_1_0",),
    "IBUG": ("IBUG_image_003_1_4",),
    "LFPW": ("LFPW_image_train_0737_13",),
}
W300_LP_PARTS = ("AFW", "AFW_Flip", "HELEN", "HELEN_Flip", "IBUG", "IBUG_Flip", "LFPW", "LFPW_Flip")
AFLW2000_NAMES = ("image00002", "image00004", "image00006")


def matlab(arrays: dict[str, np.ndarray]) -> bytes:
    """Return a file of MATLAB's level 5, the same bytes each time."""
    stream = io.BytesIO()
    scipy.io.savemat(stream, arrays, do_compression=True)
    text = b"MATLAB 5.0 MAT-file, made by a test".ljust(116)  # the time is in it otherwise
    return text + stream.getvalue()[116:]


def landmarks(seed: int) -> np.ndarray:
    """Return 68 landmarks of a face that is turned a little to a side, as the files count."""
    points = np.full((68, 2), (226.0, 226.0))
    points[36:42], points[42:48] = (191, 201), (261, 201)
    points[30], points[48], points[54] = (226, 241), (198, 281), (254, 281)
    return points + np.array([3 * seed, seed])


def fit(seed: int) -> dict[str, np.ndarray]:
    """Return the arrays of a file, without landmarks."""
    random = np.random.default_rng(seed)
    turn = random.uniform(-0.5, 0.5, 3)
    return {
        "Pose_Para": np.array([[*turn, 226.0 + seed, 220.0, -60.0, 0.001]]),
        "Shape_Para": random.normal(0, 1e5, (199, 1)),
        "Exp_Para": random.uniform(-1, 1, (29, 1)),
        "Tex_Para": random.normal(0, 10, (199, 1)),
        "Illum_Para": np.array([[0.6, 0.6, 0.6, 0.5, 0.5, 0.5, 0.1, 0.2, 10.0, 20.0]]),
        "Color_Para": np.array([[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0]]),
        "roi": np.array([[10, 20, 459, 469]], np.int16),
    }


def w300_lp() -> dict[str, bytes]:
    """Ten pictures of four faces."""
    members: dict[str, bytes] = {"300W_LP/Code/main_show_with_BFM.m": b"load('Model_Shape.mat');"}
    for part in W300_LP_PARTS:
        for name in W300_LP_NAMES[part.removesuffix("_Flip")]:
            seed = len(members)
            arrays = fit(seed) | {"pt2d": landmarks(seed).T}
            members[f"300W_LP/{part}/{name}.jpg"] = mini.jpeg(450, 450, seed)
            members[f"300W_LP/{part}/{name}.mat"] = matlab(arrays)
            points = {"pts_2d": landmarks(seed), "pts_3d": landmarks(seed)}
            if not part.endswith("_Flip"):
                members[f"300W_LP/landmarks/{part}/{name}_pts.mat"] = matlab(points)
    return {"300W-LP.zip": mini.zipped(members)}


def aflw2000() -> dict[str, bytes]:
    """Three photographs."""
    members: dict[str, bytes] = {"AFLW2000/Code/Model_Exp.mat": b"not read"}
    for seed, name in enumerate(AFLW2000_NAMES, start=50):
        deep = np.vstack([landmarks(seed - 50).T, np.full((1, 68), 30.0)])
        arrays = fit(seed) | {"pt2d": np.full((2, 21), -1.0), "pt3d_68": deep}
        members[f"AFLW2000/{name}.jpg"] = mini.jpeg(450, 450, seed)
        members[f"AFLW2000/{name}.mat"] = matlab(arrays)
    return {"AFLW2000-3D.zip": mini.zipped(members)}


MINIS = {
    one.name: one
    for one in (
        mini.Mini("300w-lp", "w300_lp", w300_lp, 10, 4, (0,) * 10),
        mini.Mini("aflw2000-3d", "aflw2000", aflw2000, 3, 3, (2,) * 3),
    )
}
