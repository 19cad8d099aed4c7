"""Where an attribute may change a face: hulls of landmarks, widened (Li et al. 2016, section 3.2).

"Each local attribute is associated with certain landmarks and a convex hull is generated based on
these landmarks. By expanding the convex hull with a certain margin, we define the attribute mask m
by setting the value of 1 to the pixels in the convex hull and 0 to the others."  (DIAT)

The paper names neither the landmarks nor the margins; these are ours. A margin is a share of the
face's size, the root mean square distance of the 68 landmarks from their mean.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.types import Landmarks

# In how many directions the corners of a widened hull are bounded, beside those of its edges: it is
# too large by at most 1/200 of the margin there.
DIRECTIONS = 32


class Mask(NamedTuple):
    """The landmarks of a hull, numbered as in 300-W from 0, and how far it is widened."""

    landmarks: tuple[int, ...]
    margin: float


MASKS = {
    "mouth": Mask(tuple(range(48, 68)), 0.16),
    "eyes": Mask(tuple(range(36, 48)), 0.12),
    # The rims reach from the brows to the middle of the nose, the temples to the ears; on a head
    # that is turned, the farther rim stands out over the cheek.
    "eyeglasses": Mask((0, 1, 15, 16, *range(17, 30), *range(36, 48)), 0.30),
    "brows": Mask(tuple(range(17, 27)), 0.14),
    "nose": Mask(tuple(range(27, 36)), 0.14),
    # Moustache, goatee and beard: from below the nose to the chin and up to the ears.
    "beard": Mask((*range(1, 16), *range(31, 36), *range(48, 60)), 0.08),
    "face": Mask(tuple(range(27)), 0.10),
}


def attribute_mask(
    landmarks: Landmarks, size: int, name: str
) -> Float[Tensor, "batch 1 size size"]:
    """Return 1 where an attribute may change a face, 0 elsewhere, (batch, 1, size, size).

    `landmarks` (batch, 68, 2) are in pixels of a picture of `size` x `size`; `name` is one of
    `MASKS`. A pixel belongs to the mask when its centre does. Raises `ParameterError` for another
    name or another number of landmarks.
    """
    if name not in MASKS:
        raise ParameterError(f"there is no mask {name!r}; choose one of: {', '.join(MASKS)}")
    if landmarks.shape[1] != 68:
        raise ParameterError(
            f"masks need the 68 landmarks of 300-W, got {landmarks.shape[1]}; give those"
        )
    mask = MASKS[name]
    spread = (landmarks - landmarks.mean(1, keepdim=True)).square().sum(2).mean(1).sqrt()
    chosen = landmarks[:, list(mask.landmarks)]
    drawn = [
        _widened_hull(points, mask.margin * margin, size)
        for points, margin in zip(chosen, spread, strict=True)
    ]
    return torch.stack(drawn)[:, None].to(landmarks)


def _widened_hull(
    points: Float[Tensor, "points 2"], margin: Float[Tensor, ""], size: int
) -> Bool[Tensor, "size size"]:
    """Return which pixels lie in the hull of some points or at most `margin` outside it.

    A pixel does when in no direction it is farther than the farthest point and the margin; the
    directions that bound the hull itself are those across its edges.
    """
    corners = _hull(points.detach())
    along = corners.roll(-1, 0) - corners
    across = F.normalize(torch.stack([along[:, 1], -along[:, 0]], dim=1), dim=1)
    angle = torch.arange(DIRECTIONS, device=points.device) * (2 * math.pi / DIRECTIONS)
    ways = torch.cat([across, torch.stack([angle.cos(), angle.sin()], dim=1).to(points)])
    limit = (points @ ways.T).amax(0) + margin
    line = torch.arange(size, device=points.device).to(points)
    reach = (line[None] * ways[:, :1])[:, None] + (line[None] * ways[:, 1:])[:, :, None]
    return (reach <= limit[:, None, None]).all(0)


def _hull(points: Float[Tensor, "points 2"]) -> Float[Tensor, "corners 2"]:
    """Return the corners of the convex hull, in order (Andrew 1979: two chains, left to right)."""
    ordered = sorted(map(tuple, points.tolist()))
    chains = []
    for direction in (ordered, ordered[::-1]):
        chain: list[tuple[float, float]] = []
        for x, y in direction:
            while len(chain) > 1:
                (ax, ay), (bx, by) = chain[-2:]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                    break
                chain.pop()
            chain.append((x, y))
        chains += chain[:-1]
    return points.new_tensor(chains)


def attribute_masks(
    landmarks: Landmarks, size: int, names: tuple[str, ...]
) -> dict[str, Float[Tensor, "batch 1 size size"]]:
    """Return several masks by name."""
    return {name: attribute_mask(landmarks, size, name) for name in names}
