"""Make labelled faces harder than they were drawn, and move their labels along.

A network that is trained on renders and used on generated faces or photographs must not lean on
what only renders have: clean edges, exact colours, no noise. So faces are mirrored, moved, turned
and scaled (`mirror`, `move`), and their colours, sharpness and parts are disturbed (`disturb`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from facelab.recognition.sampling import inverse, move_points
from facelab.types import Image, Landmarks, Similarity

# Landmark i of 300-W lies, in a mirrored picture, where MIRRORED[i] was.
MIRRORED = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
)  # fmt: skip

Chosen = Bool[Tensor, " batch"]
Pose = Float[Tensor, "batch 3"]


@dataclass(frozen=True)
class Labelled:
    """Faces with 68 landmarks in pixels (x, y) and with yaw, pitch and roll in radians."""

    images: Image
    landmarks: Landmarks
    euler_rad: Pose


def augment(faces: Labelled, random: torch.Generator) -> Labelled:
    """Return the faces mirrored or not, moved and disturbed, all at random."""
    chosen = torch.rand(len(faces.images), generator=random) < 0.5
    moved = move(mirror(faces, chosen), random_transforms(len(faces.images), faces.images, random))
    return Labelled(disturb(moved.images, random), moved.landmarks, moved.euler_rad)


def mirror(faces: Labelled, chosen: Chosen) -> Labelled:
    """Return the faces with left and right swapped where `chosen`.

    The landmarks keep their meaning: the left eye is the one on the picture's left.
    """
    pick = chosen[:, None, None]
    across = faces.images.shape[3] - 1 - faces.landmarks[:, list(MIRRORED), :1]
    mirrored = torch.cat([across, faces.landmarks[:, list(MIRRORED), 1:]], dim=2)
    return Labelled(
        torch.where(pick[..., None], faces.images.flip(3), faces.images),
        torch.where(pick, mirrored, faces.landmarks),
        torch.where(pick[..., 0], faces.euler_rad * torch.tensor([-1, 1, -1]), faces.euler_rad),
    )


def random_transforms(count: int, images: Image, random: torch.Generator) -> Similarity:
    """Draw turns of 9 degrees, scales of 8 % and shifts of 4 % of the side (deviations)."""
    turn, zoom, *shift = torch.randn(4, count, generator=random).clamp(-2.5, 2.5)
    angle, scale = math.radians(9) * turn, (0.08 * zoom).exp()
    a, b = scale * angle.cos(), scale * angle.sin()
    matrix = torch.stack([torch.stack([a, -b], 1), torch.stack([b, a], 1)], 1)
    centre = torch.tensor([images.shape[3] - 1, images.shape[2] - 1]) / 2
    goal = centre + 0.04 * images.shape[3] * torch.stack(shift, dim=1)
    return torch.cat([matrix, (goal - matrix @ centre)[:, :, None]], dim=2)


def move(faces: Labelled, transforms: Similarity) -> Labelled:
    """Return the faces along transforms of their pixels; what comes in repeats the border.

    A turn of the picture is a roll of the head: clockwise, as `transforms` count with y down, it is
    taken off.
    """
    size = torch.tensor([faces.images.shape[3], faces.images.shape[2]])
    lines = [torch.arange(int(n), dtype=torch.float32) for n in size]
    pixels = torch.stack(torch.meshgrid(*lines, indexing="xy"), dim=-1)
    points = pixels.flatten(0, 1)[None].expand(len(transforms), -1, -1)
    grid = ((move_points(points, inverse(transforms)) + 0.5) * (2 / size) - 1).unflatten(
        1, pixels.shape[:2]
    )
    images = F.grid_sample(faces.images, grid, padding_mode="border", align_corners=False)
    turn = torch.atan2(transforms[:, 1, 0], transforms[:, 0, 0])
    none = torch.zeros_like(turn)
    return Labelled(
        images,
        move_points(faces.landmarks, transforms),
        faces.euler_rad - torch.stack([none, none, turn], dim=1),
    )


# --- disturbances: each takes images and a random stream, and keeps all labels -------------------


def disturb(images: Image, random: torch.Generator) -> Image:
    """Return images with each disturbance on a random share of them, within [-1, 1]."""
    images = images.clone()
    for share, change in DISTURBANCES:
        rows = torch.nonzero(torch.rand(len(images), generator=random) < share)[:, 0]
        if len(rows):
            images[rows] = change(images[rows], random).clamp(-1, 1)
    return images


def recolour(images: Image, random: torch.Generator) -> Image:
    """Change brightness, contrast, gamma, saturation and the balance of the colours."""
    light, contrast, gamma, colour = torch.randn(4, len(images), 1, 1, 1, generator=random)
    balance = torch.randn(len(images), 3, 1, 1, generator=random)
    unit = ((images + 1) / 2).clamp_min(1e-4).pow((0.3 * gamma).exp())
    grey = unit.mean(1, keepdim=True)
    unit = grey + (unit - grey) * (0.4 * colour).exp()
    middle = unit.mean((1, 2, 3), keepdim=True)
    unit = middle + (unit - middle) * (0.25 * contrast).exp()
    return 2 * unit * (0.2 * light + 0.08 * balance).exp() - 1


def grey(images: Image, random: torch.Generator) -> Image:
    """Take the colours away."""
    return images.mean(1, keepdim=True).expand_as(images)


def shade(images: Image, random: torch.Generator) -> Image:
    """Add light and dark blobs of any colour, larger and smaller ones."""
    cells = int(torch.randint(3, 12, (1,), generator=random))
    blobs = torch.randn(len(images), 3, cells, cells, generator=random)
    strength = 0.3 * torch.rand(len(images), 1, 1, 1, generator=random)
    size = images.shape[2:]
    return images + strength * F.interpolate(blobs, size, mode="bicubic", align_corners=False)


def blur(images: Image, random: torch.Generator) -> Image:
    """Blur by a Gaussian of 0.4 to 1.4 pixels, one for all the images."""
    sigma = 0.4 + float(torch.rand(1, generator=random))
    weights = torch.exp(-0.5 * (torch.arange(-3.0, 4.0) / sigma).square())
    kernel = (weights / weights.sum()).expand(3, 1, 1, 7)
    rows = F.conv2d(F.pad(images, (3, 3, 3, 3), mode="replicate"), kernel, groups=3)
    return F.conv2d(rows, kernel.mT, groups=3)


def shrink(images: Image, random: torch.Generator) -> Image:
    """Scale down to between a third and three quarters of the side, and up again."""
    side = images.shape[3]
    small = int(torch.randint(side // 3, 3 * side // 4, (1,), generator=random))
    smaller = F.interpolate(images, (small, small), mode="area")
    return F.interpolate(smaller, (side, side), mode="bilinear", align_corners=False)


def noise(images: Image, random: torch.Generator) -> Image:
    """Add noise of up to 8 % of the range to every value."""
    strength = 0.16 * torch.rand(len(images), 1, 1, 1, generator=random)
    return images + strength * torch.randn(images.shape, generator=random)


def quantise(images: Image, random: torch.Generator) -> Image:
    """Round the cosine coefficients of 8 x 8 blocks, high ones more coarsely, as JPEG does.

    The sides must be multiples of 8. Without JPEG's change of colours.
    """
    place = torch.arange(8.0)
    cosine = torch.cos(math.pi / 8 * (place[None] + 0.5) * place[:, None]) / 2
    cosine[0] /= math.sqrt(2)  # orthonormal rows
    strength = 0.25 * torch.rand(len(images), 1, 1, 1, 1, 1, generator=random).square() + 0.01
    step = strength * (1 + 0.5 * (place[:, None, None] + place))  # (8, 1, 8)
    blocks = images.unflatten(3, (-1, 8)).unflatten(2, (-1, 8))
    waves = torch.einsum("ui,bcrisj,vj->bcrusv", cosine, blocks, cosine)
    waves = (waves / step).round() * step
    back = torch.einsum("ui,bcrusv,vj->bcrisj", cosine, waves, cosine)
    return back.flatten(4, 5).flatten(2, 3)


def cover(images: Image, random: torch.Generator) -> Image:
    """Hide a rectangle of a tenth to two fifths of the side under one colour."""
    side = images.shape[3]
    across, down, width, height = torch.rand(4, len(images), 1, 1, 1, generator=random) * side
    colour = torch.rand(len(images), 3, 1, 1, generator=random) * 2 - 1
    line = torch.arange(side)
    inside = ((line - across).abs() < 0.05 * side + 0.15 * width) & (
        (line[:, None] - down).abs() < 0.05 * side + 0.15 * height
    )
    return torch.where(inside, colour, images)


Change = Callable[[Image, torch.Generator], Image]
# Shares of the images, in the order in which a camera would do it.
DISTURBANCES: tuple[tuple[float, Change], ...] = (
    (0.30, shade), (0.85, recolour), (0.10, grey), (0.30, cover), (0.30, blur), (0.25, shrink),
    (0.40, noise), (0.30, quantise),
)  # fmt: skip
