"""A batched z-buffer in plain PyTorch: which triangle each pixel shows, and where in it.

A mesh of a head has thousands of triangles of a pixel or two each. So nothing walks over triangles
or over pixels of the picture: triangles that cover no pixel's centre are dropped first, the others
are put in groups by the size of their bounding box, and each group tests its few pixels in one go.
Depth is settled by a minimum over whole numbers: the bits of a positive float have its order, and
the triangle's index below them breaks ties.

Finding the triangles has no gradient. What follows has: the barycentric coordinates of each pixel
are computed anew from its triangle's corners, and attributes are interpolated with them.

Rules. A pixel shows a triangle when its centre, at whole (x, y), is inside; a centre on an edge
belongs to the triangle on its right, or below a level one (the top-left rule), so that neighbours
leave no hole and share no pixel. Of triangles at the same depth the one with the smaller index is
shown. Nothing is clipped: a triangle is dropped as a whole when a corner is at or behind the camera
or more than `FARTHEST_PX` from the picture's corner, and so is one without an area.
"""

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from facelab.errors import GeometryError, ParameterError
from facelab.geometry.camera import Camera
from facelab.geometry.zbuffer import Rules, corners_of, true_places, visible
from facelab.types import Triangles, Vertices

# How many triangles and pixels, of all images together, are in memory at once.
TRIANGLES_AT_ONCE = {"cpu": 120_000, "cuda": 16_000_000}
PIXELS_AT_ONCE = {"cpu": 4_000_000, "cuda": 256_000_000}


@dataclass(frozen=True)
class Fragments:
    """What each pixel shows: a triangle (-1: nothing), where in it, and how deep.

    `barycentrics` (batch, height, width, 3) are the weights of the triangle's corners on the
    surface itself, perspective undone, and zero where nothing is; `depth_mm` is infinite there.
    """

    triangle: Int[Tensor, "batch height width"]
    barycentrics: Float[Tensor, "batch height width 3"]
    depth_mm: Float[Tensor, "batch height width"]

    @property
    def mask(self) -> Bool[Tensor, "batch height width"]:
        """Where there is something."""
        return self.triangle >= 0


def rasterize(
    pixels_xy: Float[Tensor, "batch vertices 2"],
    depth_mm: Float[Tensor, "batch vertices"],
    triangles: Triangles,
    size: tuple[int, int],
    *,
    perspective: bool = True,
    cull: bool = False,
) -> Fragments:
    """Draw meshes of one topology: what `Camera.project` gives, on pictures of (height, width).

    `perspective` says which camera it was, so that places on a triangle are found as that camera
    sees them. `cull` leaves out triangles that show their back, clockwise in the picture: for a
    closed surface nothing changes but the time. Barycentrics and depth are differentiable in the
    pixels and depths of the vertices; the outline is not.

    Raises `GeometryError` when vertices aren't finite or triangles name none of them, and
    `ParameterError` for a picture without pixels.
    """
    _require_mesh(pixels_xy, depth_mm, triangles)
    if min(size) < 1:
        raise ParameterError(
            f"a picture of {size[1]} x {size[0]} pixels is impossible; give (height, width) of at "
            "least 1"
        )
    rules = Rules(size, perspective, cull)
    at_once = _images_at_once(pixels_xy.device.type, len(triangles), size)
    parts = [
        _fragments(
            visible(xy.detach(), depth.detach(), triangles, rules),
            xy,
            depth,
            triangles,
            perspective,
        )
        for xy, depth in zip(pixels_xy.split(at_once), depth_mm.split(at_once), strict=True)
    ]
    if len(parts) == 1:
        return parts[0]
    return Fragments(
        *(torch.cat([getattr(p, field.name) for p in parts]) for field in fields(Fragments))
    )


def _images_at_once(device: str, triangles: int, size: tuple[int, int]) -> int:
    most = TRIANGLES_AT_ONCE[device] // max(1, triangles)
    return max(1, min(most, PIXELS_AT_ONCE[device] // (size[0] * size[1])))


def draw(
    camera: Camera,
    vertices_mm: Vertices,
    triangles: Triangles,
    size: tuple[int, int],
    *,
    cull: bool = False,
) -> Fragments:
    """Project vertices of the world, (batch, vertices, 3) in mm, and `rasterize` them."""
    pixels_xy, depth_mm = camera.project(vertices_mm)
    perspective = camera.kind == "perspective"
    return rasterize(pixels_xy, depth_mm, triangles, size, perspective=perspective, cull=cull)


def _require_mesh(pixels_xy: Tensor, depth_mm: Tensor, triangles: Tensor) -> None:
    ends = [end for v in (pixels_xy, depth_mm) if v.numel() for end in v.detach().aminmax()]
    if ends and not torch.stack(ends).isfinite().all():
        raise GeometryError(
            "the mesh has vertices that aren't finite (NaN or infinity); look at what computed them"
        )
    if len(triangles) and not (triangles.min() >= 0 and triangles.max() < pixels_xy.shape[1]):
        raise GeometryError(
            f"the triangles name vertices {int(triangles.min())} to {int(triangles.max())}, but "
            f"the mesh has 0 to {pixels_xy.shape[1] - 1}; give the triangles of this mesh"
        )


def _fragments(
    triangle: Tensor,
    pixels_xy: Tensor,
    depth_mm: Tensor,
    triangles: Tensor,
    perspective: bool,
) -> Fragments:
    """Compute where in its triangle each pixel lies, differentiably."""
    at, image, corners = _shown(triangle, triangles)
    corners = [image * pixels_xy.shape[1] + corner for corner in corners]
    pixel_x, pixel_y = _columns_and_rows(triangle, at, depth_mm)
    x, y, depth = (v.flatten() for v in (pixels_xy[..., 0], pixels_xy[..., 1], depth_mm))
    ax, bx, cx = (x.index_select(0, corner) - pixel_x for corner in corners)
    ay, by, cy = (y.index_select(0, corner) - pixel_y for corner in corners)
    depths = [depth.index_select(0, corner) for corner in corners]
    areas = (bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx)
    turned = (areas[0] + areas[1] + areas[2]).detach().sign()
    # A rounding error may put a centre that lies on an edge a hair outside.
    weights = [(area * turned).clamp_min(0) for area in areas]
    if perspective:
        weights = [weight / depth for weight, depth in zip(weights, depths, strict=True)]
    whole = weights[0] + weights[1] + weights[2]
    weights = [weight / whole for weight in weights]
    at_centre = sum(weight * depth for weight, depth in zip(weights, depths, strict=True))
    planes = depth.new_zeros(3, triangle.numel())
    everywhere = depth.new_full((triangle.numel(),), torch.inf)
    return Fragments(
        triangle,
        planes.scatter_(1, at.expand(3, -1), torch.stack(weights))
        .view(3, *triangle.shape)
        .permute(1, 2, 3, 0),
        everywhere.scatter_(0, at, at_centre).view(triangle.shape),
    )


def _columns_and_rows(triangle: Tensor, at: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return (x, y) of pixels that are counted through the batch."""
    batch, height, width = triangle.shape
    x, y = (torch.arange(n, dtype=like.dtype, device=like.device) for n in (width, height))
    everywhere = (x.expand(batch, height, width), y[:, None].expand(batch, height, width))
    x, y = (v.reshape(-1).index_select(0, at) for v in everywhere)
    return x, y


def _shown(triangle: Tensor, triangles: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Return which pixels, counted through the batch, show something; their image and corners."""
    at = true_places((triangle >= 0).flatten()).long()
    pixels = triangle.shape[1] * triangle.shape[2]
    image = torch.div(at.int(), pixels, rounding_mode="floor")
    shown = triangle.flatten().index_select(0, at)
    return at, image, tuple(corner.index_select(0, shown) for corner in corners_of(triangles))


def interpolate(
    fragments: Fragments,
    triangles: Triangles,
    attributes: Float[Tensor, "_ vertices channels"],
) -> Float[Tensor, "batch channels height width"]:
    """Return attributes of the vertices, (batch or 1, vertices, channels), at every pixel.

    Zero where nothing is. Differentiable in the attributes, and through the barycentrics in the
    vertices.

    Raises `GeometryError` when the attributes are those of another number of meshes.
    """
    batch, height, width = fragments.triangle.shape
    if len(attributes) not in (1, batch):
        raise GeometryError(
            f"there are attributes of {len(attributes)} meshes for {batch} pictures; give one for "
            "each, or one for all"
        )
    at, image, corners = _shown(fragments.triangle, triangles)
    if len(attributes) > 1:
        corners = [image * attributes.shape[1] + corner for corner in corners]
    weights = [plane.reshape(-1).index_select(0, at) for plane in fragments.barycentrics.unbind(3)]
    mixed = [
        sum(v.index_select(0, c) * weight for c, weight in zip(corners, weights, strict=True))
        for v in attributes.flatten(0, 1).T.contiguous()
    ]
    pixels = weights[0].new_zeros(len(mixed), fragments.triangle.numel())
    pixels = pixels.scatter_(1, at.expand(len(mixed), -1), torch.stack(mixed))
    return pixels.view(-1, batch, height, width).transpose(0, 1)


def region_map(
    fragments: Fragments, regions: Int[Tensor, " triangles"]
) -> Int[Tensor, "batch height width"]:
    """Return at every pixel the region of the triangle that it shows, -1 where nothing is."""
    if not len(regions):
        return fragments.triangle
    shown = regions.long()[fragments.triangle.clamp_min(0)]
    return torch.where(fragments.mask, shown, -1)


def vertex_normals(vertices: Vertices, triangles: Triangles) -> Vertices:
    """Return unit normals of the vertices: the mean of the faces' around them, weighted by area.

    They point to where a triangle's corners run counter-clockwise. A vertex without a triangle of
    any area has the normal (0, 0, 0). Differentiable.
    """
    # Vertices first and the batch last: one index then copies or adds a row with all meshes.
    corners = corners_of(triangles)
    x, y, z = (
        [plane.index_select(0, corner) for corner in corners]
        for plane in (vertices.permute(2, 1, 0).contiguous())
    )
    (ux, vx), (uy, vy), (uz, vz) = ((b - a, c - a) for a, b, c in (x, y, z))
    faces = torch.cat([uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx], dim=1)
    sums = faces.new_zeros(vertices.shape[1], faces.shape[1])
    for corner in corners:
        sums = sums.index_add(0, corner, faces)
    nx, ny, nz = sums.split(len(vertices), dim=1)
    length = (nx.square() + ny.square() + nz.square()).clamp_min(1e-24).sqrt()
    return torch.stack([nx / length, ny / length, nz / length]).permute(2, 1, 0)


def downsample(
    pixels: Float[Tensor, "batch channels height width"], samples: int
) -> Float[Tensor, "batch channels rows columns"]:
    """Return the means of squares of `samples` x `samples` pixels."""
    return F.avg_pool2d(pixels, samples) if samples > 1 else pixels


def supersample(
    camera: Camera,
    vertices_mm: Vertices,
    triangles: Triangles,
    attributes: Float[Tensor, "_ vertices channels"],
    *,
    size: tuple[int, int],
    samples: int = 2,
    cull: bool = False,
) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, "batch 1 height width"]]:
    """Draw attributes of the vertices without jagged edges, and how much of each pixel is covered.

    Every pixel is the mean of `samples` x `samples`, nothing counting as zero: colours come out
    multiplied with their coverage, ready to be laid over a background. Takes and returns linear
    values; differentiable like `interpolate`.
    """
    if samples < 1:
        raise ParameterError(f"a pixel can't have {samples} samples a side; give at least 1")
    finer = (size[0] * samples, size[1] * samples)
    fragments = draw(camera.scaled(samples), vertices_mm, triangles, finer, cull=cull)
    mixed = interpolate(fragments, triangles, attributes)
    coverage = fragments.mask[:, None].to(mixed.dtype)
    return downsample(mixed, samples), downsample(coverage, samples)


@dataclass(frozen=True)
class Channels:
    """What a picture of meshes says at each pixel.

    `rgb` (batch, 3, height, width), multiplied with `coverage` (batch, 1, height, width), are means
    over the pixel. The others hold at its centre: `depth_mm` (infinite where nothing is), unit
    `normals` in world space (zero there), `regions` (-1 there) and `uv` (zero there).
    """

    rgb: Float[Tensor, "batch 3 height width"]
    coverage: Float[Tensor, "batch 1 height width"]
    fragments: Fragments
    normals: Float[Tensor, "batch 3 height width"]
    regions: Int[Tensor, "batch height width"] | None = None
    uv: Float[Tensor, "batch 2 height width"] | None = None

    @property
    def mask(self) -> Bool[Tensor, "batch height width"]:
        """Where a pixel's centre shows something."""
        return self.fragments.mask

    @property
    def depth_mm(self) -> Float[Tensor, "batch height width"]:
        """How deep it is, infinite where nothing is."""
        return self.fragments.depth_mm

    def over(
        self, background: Float[Tensor, "#batch 3 #height #width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return the picture on a background in the scale of its colours."""
        return self.rgb + (1 - self.coverage) * background


def render_channels(
    camera: Camera,
    vertices_mm: Vertices,
    triangles: Triangles,
    colours: Float[Tensor, "_ vertices 3"],
    *,
    size: tuple[int, int],
    regions: Int[Tensor, " triangles"] | None = None,
    uv: Float[Tensor, "coordinates 2"] | None = None,
    uv_triangles: Triangles | None = None,
    samples: int = 2,
    cull: bool = False,
) -> Channels:
    """Draw meshes in every channel: colour, coverage, depth, normals, regions and UV.

    Vertices are in world space (mm), `colours` theirs, linear and shaded already. `regions` (one
    for each triangle) and `uv` are drawn when given; `uv_triangles` name the corners of `triangles`
    in `uv` when it isn't one for each vertex. Only the colour and its coverage are averaged, over
    `samples` x `samples` to a pixel.
    """
    rgb, coverage = supersample(
        camera, vertices_mm, triangles, colours, size=size, samples=samples, cull=cull
    )
    fragments = draw(camera, vertices_mm, triangles, size, cull=cull)
    normals = interpolate(fragments, triangles, vertex_normals(vertices_mm, triangles))
    if uv is not None:
        corners = triangles if uv_triangles is None else uv_triangles
        uv = interpolate(fragments, corners, uv[None])
    return Channels(
        rgb=rgb,
        coverage=coverage,
        fragments=fragments,
        normals=F.normalize(normals, dim=1),
        regions=None if regions is None else region_map(fragments, regions),
        uv=uv,
    )
