"""Find the 68 landmarks of 300-W on the mean head, as vertices.

All rules are about the mean head's geometry, in millimetres with the origin inside the head, and
are made for the right half; the left half is its mirror image. 300-W counts from the picture's
left, which is the person's right: there x is negative.
"""

import numpy as np

# Index i of the right half and the landmark that mirrors it; the others lie in the middle.
MIRROR = (
    {i: 16 - i for i in range(8)}
    | {i: 26 - (i - 17) for i in range(17, 22)}
    | {31: 35, 32: 34, 36: 45, 37: 44, 38: 43, 39: 42, 40: 47, 41: 46}
    | {48: 54, 49: 53, 50: 52, 59: 55, 58: 56, 60: 64, 61: 63, 67: 65}
)
# Brow points: millimetres from the eye's outer or inner corner, outwards and up.
BROW = {17: ("outer", 6, 14), 18: ("outer", -3, 20), 21: ("inner", -3, 19)}
BROW_BETWEEN = {19: (0.36, 4.0), 20: (0.70, 3.0)}  # share of the way from 18 to 21, and the arch


def find(points: np.ndarray, parts: dict[str, np.ndarray]) -> np.ndarray:
    """Return 68 vertex numbers for mean vertices (V, 3).

    `parts` are arrays of vertex numbers: `skin` (face and ears without cavities), `ears`, `lips`
    and of these `upper_lip` and `lower_lip`, `lid_rim` (the edges of both eye openings), `lip_seam`
    (where the lips end inside the mouth), and `all` that a landmark may be.
    """
    where: dict[int, int] = {}
    right = {name: ids[points[ids, 0] < 0.5] for name, ids in parts.items()}
    where |= _eye(points, right["lid_rim"], right["skin"])
    where |= _brow(points, right["skin"], where)
    where |= _mouth(points, right["lips"], right["lip_seam"])
    where |= _inner_mouth(points, right, where)
    where |= _nose(points, parts["skin"], where)
    face = np.setdiff1d(parts["skin"], parts["ears"])
    where |= _jaw(points, face, parts["ears"], where)
    for i, j in MIRROR.items():
        where[j] = _mirror(points, parts["all"], where[i])
    return np.array([where[i] for i in range(68)])


def _nearest(points: np.ndarray, ids: np.ndarray, target: list[float], axes: list[int]) -> int:
    distance = np.square(points[ids][:, axes] - np.asarray(target)).sum(axis=1)
    return int(ids[distance.argmin()])


def _mirror(points: np.ndarray, ids: np.ndarray, vertex: int) -> int:
    return _nearest(points, ids, points[vertex] * [-1, 1, 1], [0, 1, 2])


def _eye(points: np.ndarray, rim: np.ndarray, skin: np.ndarray) -> dict[int, int]:
    """Corners are the rim's ends; the lids' points lie above and below thirds of the line.

    The rim is where the lids end behind their edges; what can be seen are the edges in front of it.
    """
    x = points[rim, 0]
    outer, inner = int(rim[x.argmin()]), int(rim[x.argmax()])
    a, b = points[outer], points[inner]
    share = (points[rim, 0] - a[0]) / (b[0] - a[0])
    line = a[1] + share * (b[1] - a[1])
    upper, lower = rim[points[rim, 1] > line], rim[points[rim, 1] < line]
    found = {36: _edge(points, skin, outer, 0), 39: _edge(points, skin, inner, 0)}
    for number, side, third in ((37, 1, 1), (38, 1, 2), (41, -1, 1), (40, -1, 2)):
        behind = _nearest(
            points, upper if side > 0 else lower, [a[0] + third / 3 * (b[0] - a[0])], [0]
        )
        found[number] = _edge(points, skin, behind, side)
    return found


def _edge(points: np.ndarray, skin: np.ndarray, behind: int, side: int) -> int:
    """Return the edge in front of a vertex: of the upper lid (side 1), the lower, or a corner."""
    across, up = (points[skin] - points[behind])[:, :2].T
    upwards = side * up if side else np.abs(up)
    score = points[skin, 2] - 2 * np.abs(across) - 2 * upwards
    return int(skin[np.where(np.hypot(across, up) < 1.6, score, -np.inf).argmax()])


def _brow(points: np.ndarray, skin: np.ndarray, where: dict[int, int]) -> dict[int, int]:
    corner = {"outer": points[where[36]], "inner": points[where[39]]}
    front = skin[points[skin, 2] > 20]
    target = {
        number: np.array([corner[side][0] - outwards, corner[side][1] + up])
        for number, (side, outwards, up) in BROW.items()
    }
    for number, (share, arch) in BROW_BETWEEN.items():
        target[number] = (1 - share) * target[18] + share * target[21] + [0, arch]
    return {n: _nearest(points, front, list(xy), [0, 1]) for n, xy in target.items()}


def _mouth(points: np.ndarray, lips: np.ndarray, seam: np.ndarray) -> dict[int, int]:
    """The outer contour is the farthest lip vertex in directions from the mouth's middle.

    The lips roll inwards: at the height of their seam's end, the corner is what can be seen.
    """
    end = points[seam[points[seam, 0].argmin()]]
    level = lips[np.abs(points[lips, 1] - end[1]) < 0.8]
    corner = int(level[(0.3 * points[level, 2] - points[level, 0]).argmax()])
    half = -end[0]
    middle = lips[np.abs(points[lips, 0]) < 0.5]
    middle = middle[points[middle, 2] > points[middle, 2].max() - 12]
    found = {48: corner}
    front = lips[points[lips, 2] > end[2] - 2]
    for number, share, sign in ((49, 0.55, 1), (50, 0.24, 1), (59, 0.58, -1), (58, 0.28, -1)):
        near = front[np.abs(points[front, 0] + share * half) < 2.2]
        found[number] = int(near[(sign * points[near, 1]).argmax()])
    found[51] = int(middle[points[middle, 1].argmax()])
    found[57] = int(middle[points[middle, 1].argmin()])
    return found


def _inner_mouth(
    points: np.ndarray, parts: dict[str, np.ndarray], where: dict[int, int]
) -> dict[int, int]:
    """The inner contour is where the lips touch, and its end is just inside the corner."""
    corner = points[where[48]]
    lips = parts["lips"]
    level = lips[np.abs(points[lips, 1] - corner[1]) < 1]
    level = level[np.abs(points[level, 0] - 0.93 * corner[0]) < 0.6]
    found = {60: int(level[points[level, 2].argmax()])}
    for name, sign, numbers in (("upper_lip", -1, (62, 61)), ("lower_lip", 1, (66, 67))):
        for number, x, reach in zip(numbers, (0.0, corner[0] / 2), (0.5, 1.2), strict=True):
            near = parts[name][np.abs(points[parts[name], 0] - x) < reach]
            score = sign * points[near, 1] + 0.4 * points[near, 2]
            found[number] = int(near[score.argmax()])
    return found


def _nose(points: np.ndarray, skin: np.ndarray, where: dict[int, int]) -> dict[int, int]:
    """The bridge runs down the middle to the tip; the base is where the nose meets the lip."""
    eye_y = points[[where[36], where[39]], 1].mean()
    mouth_y = points[where[51], 1]
    middle = skin[(np.abs(points[skin, 0]) < 0.5) & (points[skin, 2] > 20)]
    middle = middle[(points[middle, 1] > mouth_y) & (points[middle, 1] < eye_y + 15)]
    tip = int(middle[points[middle, 2].argmax()])
    below = middle[np.abs(points[middle, 1] - points[tip, 1] + 7) < 5]
    base = int(below[points[below, 2].argmin()])
    found = {30: tip, 33: base}
    heights = np.linspace(eye_y + 2, points[tip, 1], 4)
    bridge = middle[points[middle, 1] >= points[tip, 1]]
    for number, height in zip((27, 28, 29), heights[:3], strict=True):
        found[number] = _nearest(points, bridge, [height], [1])
    near = skin[(points[skin, 0] < 0) & (points[skin, 0] > points[where[39], 0] - 4)]
    over_base = points[near, 1] - points[base, 1]
    wing = near[(over_base > 3) & (over_base < 12) & (points[near, 2] > points[base, 2])]
    width = -points[wing, 0].min()
    front = near[points[near, 2] > points[base, 2] - 9]
    for number, share, up in ((31, 0.82, 2.0), (32, 0.42, 1.0)):
        found[number] = _nearest(points, front, [-share * width, points[base, 1] + up], [0, 1])
    return found


def _jaw(
    points: np.ndarray, skin: np.ndarray, ears: np.ndarray, where: dict[int, int]
) -> dict[int, int]:
    """The face's outline seen from the front, from the eyes' height to the chin, evenly spaced."""
    eye_y = points[[where[36], where[39]], 1].mean()
    middle = skin[(np.abs(points[skin, 0]) < 0.5) & (points[skin, 2] > 20)]
    middle = middle[points[middle, 1] < points[where[57], 1]]
    chin = points[middle[(0.9 * points[middle, 2] - points[middle, 1]).argmax()]]
    lobe = points[ears[points[ears, 1].argmin()]]
    # Seen from the side, the jaw runs from the chin to the lobe of the ear; the neck is below it.
    rise = (lobe[1] - chin[1]) / (chin[2] - lobe[2])
    above = points[skin, 1] > chin[1] + rise * (chin[2] - points[skin, 2]) - 2
    face = skin[above & (points[skin, 0] < 0.5) & (points[skin, 1] < eye_y + 5)]
    face = face[points[face, 2] > points[ears, 2].max() - 12]
    directions = np.deg2rad(np.linspace(0, 90, 181))
    hull = [int(face[(-np.cos(a) * points[face, 0] - np.sin(a) * points[face, 1]).argmax()])
            for a in directions]  # fmt: skip
    outline = points[list(dict.fromkeys(hull))][:, :2]
    outline = np.concatenate([[[outline[0, 0], eye_y]], outline])
    steps = np.linalg.norm(np.diff(outline, axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(steps)])
    found = {}
    for number in range(9):
        at = number / 8 * along[-1]
        xy = [np.interp(at, along, outline[:, axis]) for axis in (0, 1)]
        found[number] = _nearest(points, face, xy, [0, 1])
    return found
