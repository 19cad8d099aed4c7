"""Divide the bust's surface: triangles, texture coordinates, named regions.

Texture coordinates are (u, v) in [0, 1] of a square picture, u to the right and v DOWN, as pixels
are counted. Skin is unrolled from a cylinder around the head, cut at the back; eyes, mouth cavity,
tongue and teeth have places of their own in the strip below it.
"""

import numpy as np

from head_parts import landmarks
from head_parts.source import Bust

REGIONS = (
    "skin",
    "lips",
    "brows",
    "eyes",
    "iris",
    "scalp",
    "ears",
    "neck",
    "mouth_cavity",
    "teeth",
    "tongue",
    "shoulders",
)
FRONT = 0.7  # the share of the picture's width that shows the front half of the head
HEAD, BOTTOM = 0.74, 0.85  # where the unrolled head ends, and where the shoulders do
EYE = (0.09, 0.925, 0.065)  # centre and radius of the eyes' disc; both eyes share it
EYE_MM = 16.5  # radius of an eyeball
IRIS_MM = 5.9
SWATCHES = {"mouth_cavity": 0.30, "tongue": 0.42, "teeth": 0.54}
SWATCH = (0.03, 0.925)  # half width, and the middle's height
BROW_MM = 4.5
NECK_MM = 62.0  # below the chin
JAW_TAKES_MM = -15.0
# The hairline: degrees around the head from its front, and millimetres above the eyes there.
HAIRLINE = ((0, 72), (35, 66), (58, 40), (75, 14), (95, 22), (115, -15), (180, -55))


def triangulate(points: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """Cut quads (F, 4) along their shorter diagonal; returns triangles (2 F, 3)."""
    diagonal = [np.linalg.norm(points[quads[:, a]] - points[quads[:, b]], axis=1)
                for a, b in ((0, 2), (1, 3))]  # fmt: skip
    first = (diagonal[0] <= diagonal[1])[:, None]
    one = np.where(first, quads[:, [0, 1, 2]], quads[:, [0, 1, 3]])
    two = np.where(first, quads[:, [0, 2, 3]], quads[:, [1, 2, 3]])
    return np.stack([one, two], axis=1).reshape(-1, 3)


def find_landmarks(points: np.ndarray, bust: Bust) -> np.ndarray:
    """Return the 68 landmarks' vertices."""
    corners = {part: np.unique(bust.quads[bust.parts == part]) for part in np.unique(bust.parts)}
    cavities = np.union1d(corners["eye_cavity.L"], corners["eye_cavity.R"])
    head = corners["head"]
    lips = np.flatnonzero(bust.is_lip)
    inner = np.union1d(lips, head)
    # Opening the jaw takes one lip along.
    lowered = bust.shapes[bust.labels.index("facial_action:jawOpen"), lips, 1] < JAW_TAKES_MM
    return landmarks.find(
        points,
        {
            "all": np.union1d(inner, np.union1d(cavities, corners["mouth_cavity"])),
            "skin": np.setdiff1d(head, np.intersect1d(head, corners["mouth_cavity"])),
            "ears": np.flatnonzero(bust.is_ear),
            "lips": lips,
            "upper_lip": lips[~lowered],
            "lower_lip": lips[lowered],
            "lid_rim": np.intersect1d(head, cavities),
            "lip_seam": np.intersect1d(inner, corners["mouth_cavity"]),
        },
    )


def regions(points: np.ndarray, bust: Bust, triangles: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Return the number of each triangle's region in `REGIONS`; two triangles a quad, in order."""
    parts = np.repeat(bust.parts, 2).astype(str)
    centre = points[triangles].mean(axis=1)
    found = np.zeros(len(triangles), dtype=np.uint8)

    def label(name: str, where: np.ndarray) -> None:
        found[where] = REGIONS.index(name)

    skin = parts == "head"
    throat = centre[:, 1] > points[marks[8], 1] - NECK_MM
    neck = (parts == "body") & (np.abs(centre[:, 0]) < 75) & throat
    label("shoulders", parts == "body")
    label("neck", neck)
    label("scalp", skin & (above_hairline(centre, points, marks) > 0))
    label("ears", skin & bust.is_ear[triangles].all(axis=1))
    label("brows", skin & (brow_distance(centre, points, marks) < BROW_MM))
    label("lips", np.repeat(bust.is_lip[bust.quads].sum(axis=1) >= 3, 2))
    eyes = np.char.startswith(parts, "eye_front") | np.char.startswith(parts, "eye_back")
    label("eyes", eyes)
    radius, front = from_gaze(centre, points, bust)
    label("iris", eyes & front & (radius < IRIS_MM))
    for name in ("mouth_cavity", "teeth", "tongue"):
        label(name, (parts == name) & (found != REGIONS.index("lips")))
    return found


def above_hairline(places: np.ndarray, points: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Return how many millimetres places (N, 3) of the mean head lie above the hairline."""
    eyes_y = points[marks[36:48], 1].mean()
    around = np.rad2deg(np.abs(np.arctan2(places[:, 0], places[:, 2])))
    return places[:, 1] - eyes_y - np.interp(around, *np.array(HAIRLINE).T)


def brow_distance(places: np.ndarray, points: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Return the distance in millimetres of places (N, 3) from the nearer brow's middle line."""
    best = np.full(len(places), np.inf)
    for side in (marks[17:22], marks[22:27]):
        for a, b in zip(points[side[:-1]], points[side[1:]], strict=True):
            along = ((places - a) @ (b - a) / ((b - a) @ (b - a))).clip(0, 1)[:, None]
            best = np.minimum(best, np.linalg.norm(places - a - along * (b - a), axis=1))
    return best


def from_gaze(places: np.ndarray, points: np.ndarray, bust: Bust) -> tuple[np.ndarray, np.ndarray]:
    """Return the millimetres from the nearer eye's axis, and whether a place is in front of it."""
    radius, front = np.full(len(places), np.inf), np.zeros(len(places), dtype=bool)
    for centre in eye_centres(points, bust):
        here = np.hypot(*(places[:, :2] - centre[:2]).T)
        nearer = here < radius
        radius = np.where(nearer, here, radius)
        front = np.where(nearer, places[:, 2] > centre[2], front)
    return radius, front


def eye_centres(points: np.ndarray, bust: Bust) -> np.ndarray:
    """Return the centres (2, 3) of the eyeballs, the person's left one first."""
    found = []
    for side in "LR":
        front, back = (points[np.unique(bust.quads[bust.parts == f"eye_{half}.{side}"])]
                       for half in ("front", "back"))  # fmt: skip
        both = np.concatenate([front, back])
        found.append((both.min(axis=0) + both.max(axis=0)) / 2)
    return np.array(found)


def unwrap(
    points: np.ndarray, bust: Bust, triangles: np.ndarray, found: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return texture coordinates (U, 2) and each triangle's three (T, 3).

    `found` are the triangles' regions. A vertex at a seam has several texture coordinates.
    """
    corners = points[triangles]
    uv = _cylinder(corners, points, bust)
    names = np.array(REGIONS)[found]
    eyes = np.isin(names, ["eyes", "iris"])
    uv[eyes] = _eye_disc(corners[eyes], points, bust)
    for name, u in SWATCHES.items():
        here = names == name
        low, high = corners[here].min(axis=(0, 1)), corners[here].max(axis=(0, 1))
        share = (corners[here] - low) / (high - low) - 0.5
        uv[here] = [u, SWATCH[1]] + 2 * SWATCH[0] * share[..., [0, 1]] * [1, -1]
    rounded = np.round(uv.reshape(-1, 2), 6)
    places, numbers = np.unique(rounded, axis=0, return_inverse=True)
    return places.astype(np.float32), numbers.reshape(-1, 3)


def _cylinder(corners: np.ndarray, points: np.ndarray, bust: Bust) -> np.ndarray:
    around = np.arctan2(corners[..., 0], corners[..., 2])
    # A triangle over the cut at the back gets both ends on one side of it.
    over = around.max(axis=1) - around.min(axis=1) > np.pi
    side = np.sign(around.sum(axis=1, keepdims=True))
    turned = np.where(around * side < -np.pi / 2, around + 2 * np.pi * side, around)
    around = np.where(over[:, None], turned, around)
    half, share = np.pi / 2, np.abs(around)
    reach = np.where(share < half, FRONT / 2 * share / half,
                     FRONT / 2 + (1 - FRONT) / 2 * (share - half) / half)  # fmt: skip
    u = (0.5 + np.sign(around) * reach).clip(0, 1)
    heads = np.unique(bust.quads[bust.parts == "head"])
    top, chin, bottom = points[:, 1].max(), points[heads, 1].min(), points[:, 1].min()
    v = np.interp(-corners[..., 1], [-top, -chin, -bottom], [0.005, HEAD, BOTTOM])
    return np.stack([u, v], axis=-1)


def _eye_disc(corners: np.ndarray, points: np.ndarray, bust: Bust) -> np.ndarray:
    """Lay eyes flat: the gaze's axis is the disc's middle, the angle from it the radius."""
    flat = corners.reshape(-1, 3)
    centres = eye_centres(points, bust)
    which = (flat[:, 0] < 0).astype(int)
    offset = flat - centres[which]
    angle = np.arctan2(np.hypot(offset[:, 0], offset[:, 1]), offset[:, 2])
    turn = np.arctan2(-offset[:, 1], offset[:, 0])
    radius = EYE[2] * (angle / (np.pi / 2)).clip(0, 1)
    disc = np.array(EYE[:2]) + radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return disc.reshape(*corners.shape[:2], 2)
