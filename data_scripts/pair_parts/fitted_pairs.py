"""Pairs as a dataset: photographs, and beside each the render of the head that others fitted to it.

Shape, expression, pose, colours and light are those that 300W-LP and AFLW2000-3D publish for each
picture; the head is drawn over the photograph's own place, in the frame of the packed picture.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from data_scripts.pair_parts.basel import Head
from data_scripts.pair_parts.light import to_linear
from facelab.data.base import FaceDataset, Indices
from facelab.data.domains import RENDER
from facelab.data.public import fitted, mat
from facelab.data.public.pictures import Listing, Pictures
from facelab.data.views import backgrounds
from facelab.errors import ParameterError
from facelab.geometry.rasterize import supersample, vertex_normals
from facelab.geometry.render import compress, to_srgb
from facelab.images import to_uint8
from facelab.types import Batch, Image, Landmarks, Vertices

RECIPE = "fitted-pairs-1"  # changes whenever the same files give other pairs
AT_ONCE, SAMPLES = 8, 2
CELLS = 4  # of a background, a side
GREY = (0.30, 0.59, 0.11)  # what red, green and blue give to grey
INNER = 17  # landmarks before are the outline, which is marked where it is seen, not on the head
ROW = "row"  # the label of a picture's place in the whole set


def chosen(listing: Listing, count: int | None) -> Listing:
    """Return so many pictures, spread evenly over the set, or all; the label "row" says which.

    Raises `ParameterError` for fewer than one, or more than there are.
    """
    total = len(listing)
    if count is None:
        count = total
    if not 1 <= count <= total:
        raise ParameterError(
            f"{count:,} pairs can't be made of {total:,} pictures; give 1 to those"
        )
    rows = np.arange(count, dtype=np.int64) * total // count
    some = listing.rows(rows)
    return dataclasses.replace(some, labels={**some.labels, ROW: rows})


class FittedPairs(FaceDataset):
    """Photographs whose label "render" is the fitted head, uint8 (pictures, size, size, 3).

    `photos` are of a listing that `chosen` made. `landmarks` and `euler_rad` are the head's;
    "landmark_error" says how far its landmarks are from the published ones, as a mean over all but
    the outline and as a share of their spread. `sums` are the SHA-256 of the model's files.
    """

    def __init__(self, photos: Pictures, head: Head, sums: Mapping[str, str]):
        self.photos, self.head, self._sums = photos, head, dict(sums)
        self.id = f"{photos.name}-pairs"
        self.size, self.split = photos.size, photos.split
        self.people, self.identity = photos.people, photos.identity

    def config(self) -> dict:
        """Return everything that the pairs follow from, as JSON values."""
        return {"recipe": RECIPE, "photos": self.photos.config(), "model": self._sums}

    @torch.no_grad()
    def batch(self, indices: Indices) -> Batch:
        """Return these pairs. Raises `ImageError` or `DatasetError` for a file that isn't one."""
        found = self.resolve(indices)
        parts = [self._pairs(found[i : i + AT_ONCE]) for i in range(0, len(found), AT_ONCE)]
        images, renders, points, errors, angles, rows = map(torch.cat, zip(*parts, strict=True))
        labels = {RENDER: to_uint8(renders), "photo": rows, "landmark_error": errors}
        return Batch(images, self.identity[found], None, points, angles, labels=labels)

    def _pairs(self, rows: list[int]) -> tuple[Tensor, ...]:
        photos, listing = self.photos.batch(rows), self.photos.listing
        labels = photos.labels
        looks = read_looks(listing.folder, [listing.files[row] for row in rows])
        renders, points = drawn(self.head, photos, looks)
        off = (points - photos.landmarks)[:, INNER:].norm(dim=2).mean(1)
        apart = photos.landmarks - photos.landmarks.mean(1, keepdim=True)
        spread = apart.square().sum(2).mean(1).sqrt()
        return photos.images, renders, points, off / spread, labels["euler_rad"], labels[ROW]


Looks = tuple[
    Float[Tensor, "batch 199"], Float[Tensor, "batch 10"], Float[Tensor, "batch 7"]
]  # texture, illumination, colour


def read_looks(folder: Path, pictures: Sequence[str]) -> Looks:
    """Return the colours and the light that were fitted to some pictures of a folder."""
    read = [mat.read((folder / name).with_suffix(".mat"), fitted.LOOKS) for name in pictures]
    columns = (np.stack([arrays[name] for arrays in read]) for name in fitted.LOOKS)
    texture, illumination, colour = (torch.from_numpy(np.float32(column)) for column in columns)
    return texture, illumination, colour


def drawn(head: Head, photos: Batch, looks: Looks) -> tuple[Image, Landmarks]:
    """Return renders of the heads that were fitted to photographs, and their 68 landmarks.

    `photos` are of `Pictures`, with the labels of `fitted.Fits` and the frame.
    """
    labels, size = photos.labels, photos.images.shape[2:]
    texture, illumination, colour = looks
    rest = head.vertices(labels["shape_para"], labels["expression_para"])
    turned = rest @ fitted.rotation(labels["pose_para"]).mT
    camera = fitted.camera(labels["pose_para"], labels["frame"])
    normals = vertex_normals(rest, head.triangles)
    shaded = lit(head.colours(texture), normals, illumination, colour)
    linear = to_linear(shaded.mT[..., None] * 2 - 1)[..., 0].mT
    rgb, coverage = supersample(
        camera, turned, head.triangles, linear, size=tuple(size), samples=SAMPLES, cull=True
    )
    whole = rgb + (1 - coverage) * backdrop(photos.images, coverage)
    points, _ = camera.project(turned[:, head.landmarks])
    return 2 * to_srgb(compress(whole)) - 1, points


def lit(
    texture: Vertices,
    normals: Vertices,
    illumination: Float[Tensor, "batch 10"],
    colour: Float[Tensor, "batch 7"],
) -> Vertices:
    """Return what vertices of some colours, 0 to 255, look like, 0 to 1, sRGB as it is shown.

    Blanz and Vetter (1999), with the numbers of Illum_Para and Color_Para as main_show_with_BFM.m
    takes them: the lamp turns with the head, whose `normals` are those at rest.
    """
    ambient, lamp = illumination[:, None, :3], illumination[:, None, 3:6]
    high, around, gloss, exponent = (illumination[:, i, None, None] for i in range(6, 10))
    towards = torch.cat([high.cos() * around.sin(), high.sin(), high.cos() * around.cos()], dim=1)
    half = F.normalize(towards + towards.new_tensor([[0.0], [0.0], [1.0]]), dim=1)
    facing, shine = (normals @ towards).clamp_min(0), (normals @ half).clamp_min(0).pow(exponent)
    light = ambient * texture + lamp * (facing * texture + gloss * shine)
    grey = light @ light.new_tensor(GREY)[:, None]
    gain, offset, contrast = colour[:, None, :3], colour[:, None, 3:6], colour[:, None, 6:]
    return ((gain * (contrast * light + (1 - contrast) * grey) + offset) / 255).clamp(0, 1)


def backdrop(
    photos: Image, coverage: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, "batch 3 height width"]:
    """Return backgrounds of the photographs' colours beside the heads: a few cells, blurred."""
    free, linear = 1 - coverage, to_linear(photos).clamp(0, 1)
    amount, cells = (F.adaptive_avg_pool2d(pixels, CELLS) for pixels in (free, linear * free))
    mean = cells.sum((2, 3), keepdim=True) / amount.sum((2, 3), keepdim=True).clamp_min(1e-3)
    # A cell that the head hides has the mean colour.
    coarse = (cells + 0.05 * mean) / (amount + 0.05)
    return backgrounds((coarse, torch.zeros_like(coarse)), photos.shape[3])
