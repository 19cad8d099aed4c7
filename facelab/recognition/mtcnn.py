"""Find faces and five points in each: the MTCNN cascade (Zhang et al. 2016).

Three small networks look at a picture one after the other. P-Net slides over copies of many sizes
and proposes boxes; R-Net looks at each proposal at 24 x 24 pixels, O-Net at 48 x 48, and O-Net also
says where the eyes, the nose and the corners of the mouth are. The networks and their weights are
facenet-pytorch's. The cascade around them is ours, for four reasons: a proposal that hangs over the
picture's edge is filled up with grey instead of being distorted (generated faces fill their
picture); boxes are cut at their exact place instead of the next whole pixel; points come in this
book's convention (the centre of the top left pixel is (0, 0)); and no face, or no room for one, is
an answer and not an exception.
"""

import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facelab.errors import ImageError
from facelab.recognition.sampling import warp
from facelab.types import Boxes, Image, Landmarks

POINTS = ("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")

# Thresholds on the probability after P-Net and R-Net, and the pyramid's step: as in the paper.
_PROPOSAL, _REFINED = 0.6, 0.7
_STEP = 0.709
# P-Net sees 12 x 12 pixels and moves by 2.
_CELL, _STRIDE = 12, 2
# The networks were trained on (level - 127.5) / 128; our images are (level - 127.5) / 127.5.
_RANGE = 127.5 / 128


@dataclass(frozen=True)
class Faces:
    """The faces of one picture, the largest first.

    `boxes` are (left, top, right, bottom) and `landmarks` (x, y) in pixels, in the order of
    `POINTS`, where left is left in the picture; `probabilities` are O-Net's.
    """

    boxes: Boxes
    landmarks: Landmarks
    probabilities: Float[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: Tensor | slice | list[int]) -> "Faces":
        return Faces(self.boxes[index], self.landmarks[index], self.probabilities[index])


@torch.no_grad()
def detect(
    image: Image,
    *,
    minimum_probability: float = 0.9,
    minimum_size_px: float = 20,
    maximum_side_px: int = 1600,
    upscale_to: int = 160,
) -> Faces:
    """Find the faces of one picture (1, 3, height, width) in [-1, 1], the largest first.

    A picture whose longer side is above `maximum_side_px` is scaled down for the search. One whose
    shorter side is below `upscale_to` is scaled up to it, and if no face is found, to 1.6 times it:
    of 512 generated faces 95.5 % are found so, 94.9 % without the second look. What is returned is
    in the pixels of the picture as it was given. `minimum_size_px` is the side of the smallest face
    to look for, in the picture that is searched. Runs where the image is, without gradients; no
    face gives `Faces` of length 0.

    Raises `ImageError` for a batch or for values that are not finite.
    """
    if len(image) != 1:
        raise ImageError(f"detect takes one picture at a time, got a batch of {len(image)}")
    if not torch.isfinite(image).all():
        raise ImageError("the picture has values that are not finite; look at what computed it")
    sides = [upscale_to]
    if min(image.shape[2:]) < upscale_to:
        sides.append(round(1.6 * upscale_to))
    for side in sides:
        faces = _search(*_search_size(image, maximum_side_px, side), minimum_size_px)
        faces = faces[faces.probabilities >= minimum_probability]
        if len(faces):
            break
    areas = (faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(dim=1)
    return faces[torch.argsort(areas, descending=True, stable=True)]


def _search(image: Image, scale: Float[Tensor, " 4"], minimum_size_px: float) -> Faces:
    """Run the cascade on a picture that was scaled by `scale`; answer in the original's pixels."""
    networks = _networks(str(image.device))
    image = image.float() * _RANGE
    boxes = _propose(image, networks["propose"], minimum_size_px)
    boxes = _refine(image, boxes, networks["refine"])
    faces = _locate(image, boxes, networks["locate"])
    # From edges (a pixel spans 0 to 1) to centres (the first pixel's is 0).
    return Faces(faces.boxes / scale - 0.5, faces.landmarks / scale[:2] - 0.5, faces.probabilities)


@functools.cache
def _networks(device: str) -> dict[str, nn.Module]:
    """Load the three networks once per device."""
    from facenet_pytorch.models.mtcnn import ONet, PNet, RNet

    networks = {"propose": PNet(), "refine": RNet(), "locate": ONet()}
    return {k: n.to(device).eval().requires_grad_(False) for k, n in networks.items()}


def _search_size(
    image: Image, maximum_side_px: int, upscale_to: int
) -> tuple[Float[Tensor, "1 3 rows columns"], Float[Tensor, " 4"]]:
    """Scale the picture for the search; also return the scale of x, y, x and y.

    Enlarging is bilinear and stops at `maximum_side_px` on the longer side; shrinking takes means.
    """
    height, width = image.shape[2:]
    scale = min(maximum_side_px / max(height, width), max(1.0, upscale_to / min(height, width)))
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    factors = torch.tensor([columns / width, rows / height] * 2, device=image.device)
    if scale > 1:
        image = F.interpolate(image, (rows, columns), mode="bilinear", align_corners=False)
    elif scale < 1:
        image = F.interpolate(image, (rows, columns), mode="area")
    return image, factors


def _propose(image: Image, network: nn.Module, minimum_size_px: float) -> Float[Tensor, "boxes 4"]:
    """Slide P-Net over copies of the picture, from the smallest face to the largest."""
    from torchvision.ops import nms

    height, width = image.shape[2:]
    found = [image.new_zeros((0, 9))]
    scale = _CELL / minimum_size_px
    while min(height, width) * scale >= _CELL:
        rows, columns = int(height * scale), int(width * scale)
        copy = F.interpolate(image, (rows, columns), mode="area")
        shifts, probabilities = network(copy)
        cells = (probabilities[0, 1] >= _PROPOSAL).nonzero()  # (found, 2): row, column
        y, x = cells.T
        corner = _STRIDE * cells.flip(1)
        factors = image.new_tensor([width / columns, height / rows] * 2)
        boxes = torch.cat([corner, corner + _CELL], dim=1) * factors
        values = torch.cat([boxes, probabilities[0, 1, y, x][:, None], shifts[0, :, y, x].T], dim=1)
        found.append(values[nms(values[:, :4], values[:, 4], 0.5)])
        scale *= _STEP
    values = torch.cat(found)
    values = values[nms(values[:, :4], values[:, 4], 0.7)]
    return _square(_shifted(values[:, :4], values[:, 5:]))


def _refine(image: Image, boxes: Tensor, network: nn.Module) -> Float[Tensor, "boxes 4"]:
    """Look at each proposal at 24 x 24 pixels; keep, move and merge."""
    from torchvision.ops import nms

    boxes = _visible(image, boxes)
    if not len(boxes):
        return boxes
    shifts, probabilities = network(_cut(image, boxes, 24))
    kept = probabilities[:, 1] > _REFINED
    boxes, shifts, probabilities = boxes[kept], shifts[kept], probabilities[kept, 1]
    kept = nms(boxes, probabilities, 0.7)
    return _square(_shifted(boxes[kept], shifts[kept]))


def _locate(image: Image, boxes: Tensor, network: nn.Module) -> Faces:
    """Look at each box at 48 x 48 pixels: is it a face, where exactly, and where are its points.

    What remains is looked at once more, in the box that the first look found: that and the mirror
    image halve the points' jitter when the picture is moved or scaled a little.
    """
    boxes = _visible(image, boxes)
    if not len(boxes):
        return Faces(boxes, boxes.new_zeros((0, 5, 2)), boxes.new_zeros(0))
    faces = _look(image, boxes, network)
    faces = faces[_largest_overlap(faces)]
    if not len(faces):
        return faces
    again = _look(image, _square(faces.boxes), network)
    return Faces(again.boxes, again.landmarks, faces.probabilities)


def _look(image: Image, boxes: Tensor, network: nn.Module) -> Faces:
    """Take O-Net's mean answer for each box and its mirror image."""
    cut = _cut(image, boxes, 48)
    answers = zip(network(cut), _mirrored(network, cut), strict=True)
    shifts, points, probabilities = ((a + b) / 2 for a, b in answers)
    points = points.unflatten(1, (2, 5)).transpose(1, 2)  # five x, five y -> five (x, y)
    sides = boxes[:, None, 2:] - boxes[:, None, :2]
    return Faces(
        _shifted(boxes, shifts),
        boxes[:, None, :2] + points * sides,
        probabilities[:, 1],
    )


def _mirrored(network: nn.Module, cut: Image) -> tuple[Tensor, Tensor, Tensor]:
    """Ask O-Net about the mirror images, and mirror its answers back."""
    shifts, points, probabilities = network(cut.flip(3))
    left, top, right, bottom = shifts.T
    x, y = points.unflatten(1, (2, 5)).unbind(1)
    order = [1, 0, 2, 4, 3]  # the left eye is the right one in the mirror
    points = torch.cat([1 - x[:, order], y[:, order]], dim=1)
    return torch.stack([-right, top, -left, bottom], dim=1), points, probabilities


def _cut(image: Image, boxes: Tensor, side: int) -> Float[Tensor, "boxes 3 {side} {side}"]:
    """Cut boxes out of the picture at side x side pixels; what is outside is grey."""
    scale = side / (boxes[:, 2] - boxes[:, 0])
    zero = torch.zeros_like(scale)
    # From the centre of a pixel to its edge (+ 0.5), to the box, to the centre again (- 0.5).
    shift_x, shift_y = ((0.5 - boxes[:, i]) * scale - 0.5 for i in (0, 1))
    rows = [torch.stack([scale, zero, shift_x], 1), torch.stack([zero, scale, shift_y], 1)]
    return warp(image, torch.stack(rows, dim=1), (side, side), fill=0.0)


def _shifted(boxes: Tensor, shifts: Tensor) -> Tensor:
    """Move each edge by a share of the box's side."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return boxes + shifts * sides.repeat(1, 2)


def _square(boxes: Tensor) -> Tensor:
    """Make boxes square about their centre, with the longer side."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1, keepdim=True) / 2
    return torch.cat([centre - half, centre + half], dim=1)


def _visible(image: Image, boxes: Tensor) -> Tensor:
    """Keep the boxes that have a size and overlap the picture."""
    extent = boxes.new_tensor([image.shape[3], image.shape[2]])
    inside = (boxes[:, 2:] > 0) & (boxes[:, :2] < extent) & (boxes[:, 2:] - boxes[:, :2] >= 1)
    return boxes[inside.all(dim=1)]


def _largest_overlap(faces: Faces) -> list[int]:
    """Drop each box that shares over 0.7 of the smaller one's area with a more probable box."""
    from torchvision.ops import box_area

    areas = box_area(faces.boxes)
    kept: list[int] = []
    for index in torch.argsort(faces.probabilities, descending=True, stable=True).tolist():
        if faces.probabilities[index] <= _REFINED:
            break
        corner = torch.maximum(faces.boxes[kept, :2], faces.boxes[index, :2])
        opposite = torch.minimum(faces.boxes[kept, 2:], faces.boxes[index, 2:])
        shared = (opposite - corner).clamp(min=0).prod(dim=1)
        if not (shared > 0.7 * torch.minimum(areas[kept], areas[index])).any():
            kept.append(index)
    return kept
