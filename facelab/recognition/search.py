"""Look for faces as a careful person would: quickly first, then harder, before giving up.

One search at 640 pixels finds the face of nearly every portrait, several times faster than a
search at 1600. Where it finds none that is sure, the picture is searched in further ways, each for
a kind of picture that the ways before it miss:

1. at 640 pixels, for faces that have 40 there: portraits;
2. at 1600 pixels: small faces in large pictures;
3. with a margin around it: tight crops, where the face touches the edges;
4. with its levels stretched: too dark, too bright, pale;
5. turned by 90, 270 and 180 degrees and by 30 either way: photographs whose rotation was lost, and
   heads that lie on a shoulder;
6. what 1 to 4 had found but were not sure of: profiles, blur.

Turned pictures come before unsure faces, because MTCNN "finds" faces that lie on their side or
stand upside down, with probabilities up to 0.99 and the points in the wrong places. One sure face
makes a search count; its other faces only have to be probable (0.9), so that the largest face is
not passed over for a surer bystander.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facelab.recognition.mtcnn import Faces, detect
from facelab.recognition.sampling import warp
from facelab.types import Image, Picture

SURE, PROBABLE, POSSIBLE = 0.99, 0.9, 0.75
QUICK_SIDE_PX, FULL_SIDE_PX = 640, 1600
# O-Net looks at 48 x 48 pixels: the points of smaller faces are coarse.
FINE_PX = 40
TILT_RAD = math.radians(30)

Points = Float[Tensor, "... 2"]


def find_faces(image: Image, *, every_face: bool = False) -> Faces:
    """Return the faces of one picture (1, 3, height, width), the largest first.

    Boxes and landmarks are in pixels of the picture as it was given, also when it had to be turned.
    `every_face` leaves out the quick way, which overlooks small faces beside a large one. Length 0
    when no way finds a face.
    """
    unsure = []
    for search in _searches(image, every_face):
        faces = search(image)
        if _best(faces) >= SURE:
            break
        if search is not _turned:
            unsure.append(faces)
    else:
        faces = max(unsure, key=_best)
    return faces[faces.probabilities >= min(PROBABLE, _best(faces))]


def _searches(image: Image, every_face: bool) -> tuple[Callable[[Image], Faces], ...]:
    quick = () if every_face else (_quick_search,)
    return (*quick, _full_search, _with_margin, _levelled, _turned)


def _best(faces: Faces) -> float:
    return float(faces.probabilities.max()) if len(faces) else 0.0


def _quick_search(image: Image) -> Faces:
    """Search at 640 pixels for faces that are large enough there to be located well."""
    return detect(
        image,
        minimum_probability=POSSIBLE,
        minimum_size_px=FINE_PX,
        maximum_side_px=QUICK_SIDE_PX,
    )


def _full_search(image: Image) -> Faces:
    return _search(image, FULL_SIDE_PX)


def _search(image: Image, side_px: int) -> Faces:
    return detect(image, minimum_probability=POSSIBLE, maximum_side_px=side_px)


def _with_margin(image: Image) -> Faces:
    """Search the picture with half its height and width of grey on each side, at 640 pixels."""
    small, back = _small(image)  # before the margin, which makes it four times as large
    rows, columns = small.shape[2:]
    left, top = columns // 2, rows // 2
    faces = _search(F.pad(small, (left, left, top, top), value=0.0), 2 * QUICK_SIDE_PX)
    shift = image.new_tensor([left, top])
    return _moved(faces, lambda points: back(points - shift))


def _levelled(image: Image) -> Faces:
    """Search the picture at 640 pixels with its light corrected.

    The levels between the first and the last hundredth of the brightness are stretched to all that
    there are, and bent so that their mean is as bright as that of a photograph, 0.45 of white.
    """
    small, back = _small(image)
    levels = (small + 1) / 2
    low, high = torch.quantile(levels.mean(dim=1), levels.new_tensor([0.01, 0.99]))
    levels = ((levels - low) / (high - low).clamp(min=1 / 255)).clamp(0, 1)
    exponent = math.log(0.45) / math.log(float(levels.mean().clamp(0.02, 0.98)))
    return _moved(_search(levels.pow(exponent) * 2 - 1, QUICK_SIDE_PX), back)


def _small(image: Image) -> tuple[Picture, Callable[[Points], Points]]:
    """Return the picture at 640 pixels at most, and what takes its points to the original."""
    height, width = image.shape[2:]
    scale = min(1.0, QUICK_SIDE_PX / max(height, width))
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    factors = image.new_tensor([width / columns, height / rows])
    small = F.interpolate(image, (rows, columns), mode="area") if scale < 1 else image
    return small, lambda points: (points + 0.5) * factors - 0.5


def _turned(image: Image) -> Faces:
    """Search the picture turned five ways; take the way with the most probable face."""
    height, width = image.shape[2:]
    extent = image.new_tensor([width, height]) - 1
    ways = []
    for quarters in (1, 3, 2):
        found = _search(torch.rot90(image, quarters, (2, 3)), QUICK_SIDE_PX)
        ways.append(_moved(found, lambda points, q=quarters: _turn_back(points, q, extent)))
    return max((*ways, *(_tilted(image, sign * TILT_RAD) for sign in (1, -1))), key=_best)


def _tilted(image: Image, angle_rad: float) -> Faces:
    """Search the picture turned clockwise by a small angle, on grey, all of it visible."""
    small, back = _small(image)
    rows, columns = small.shape[2:]
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    size = math.ceil(rows * cos + columns * abs(sin)), math.ceil(columns * cos + rows * abs(sin))
    turn = small.new_tensor([[cos, -sin], [sin, cos]])
    before, after = (small.new_tensor([w - 1, h - 1]) / 2 for h, w in ((rows, columns), size))
    shift = after - turn @ before
    turned = warp(small, torch.cat([turn, shift[:, None]], dim=1)[None], size, fill=0.0)
    return _moved(_search(turned, 2 * QUICK_SIDE_PX), lambda p: back((p - shift) @ turn))


def _turn_back(points: Points, quarters: int, extent: Float[Tensor, " 2"]) -> Points:
    """Return where points of a picture that was turned anticlockwise lie in the original.

    `extent` is the largest x and y of the original.
    """
    x, y = points.unbind(-1)
    if quarters == 1:
        return torch.stack([extent[0] - y, x], dim=-1)
    if quarters == 2:
        return extent - points
    return torch.stack([y, extent[1] - x], dim=-1)


def _moved(faces: Faces, move: Callable[[Points], Points]) -> Faces:
    """Apply `move` to the landmarks and to the corners of the boxes, which stay upright."""
    left, top, right, bottom = faces.boxes[:, None].unbind(2)
    corners = torch.cat([left, top, right, top, left, bottom, right, bottom], dim=1)
    corners = move(corners.unflatten(1, (4, 2)))
    boxes = torch.cat([corners.amin(dim=1), corners.amax(dim=1)], dim=1)
    return Faces(boxes, move(faces.landmarks), faces.probabilities)
