"""The rasteriser's rules, bounds and channels; `test_twin.py` has its slow twin."""

import math

import pytest
import torch
import torch.nn.functional as F

from facelab.errors import GeometryError, ParameterError
from facelab.geometry import rasterize as rasters
from facelab.geometry import zbuffer
from facelab.geometry.camera import Camera
from facelab.geometry.rasterize import (
    downsample,
    draw,
    interpolate,
    rasterize,
    region_map,
    render_channels,
    supersample,
    vertex_normals,
)

BLADE = torch.tensor([[0, 1, 2]])


def carpet(side: int, random: torch.Generator, step: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A jagged sheet of 2 side^2 triangles over a picture's middle, corners on multiples of `step`.

    The border is straight, from 2 to 30; nothing of it folds over.
    """
    line = torch.linspace(2, 30, side + 1)
    y, x = torch.meshgrid(line, line, indexing="ij")
    inner = F.pad(torch.ones(side - 1, side - 1), (1, 1, 1, 1))
    jitter = (torch.rand(2, side + 1, side + 1, generator=random) - 0.5) * 12 / side * inner
    points = torch.stack([x + jitter[0], y + jitter[1]], -1).flatten(0, 1)
    corner = (torch.arange(side)[:, None] * (side + 1) + torch.arange(side)).flatten()
    right, below, across = corner + 1, corner + side + 1, corner + side + 2
    halves = [torch.stack(t, 1) for t in ((corner, right, across), (corner, across, below))]
    return (points / step).round() * step, torch.cat(halves)


@pytest.mark.parametrize(
    ("side", "step"),
    [(3, 1.0), (9, 1.0), (3, 0.5), (9, 0.5), (40, 0.5), (9, 1 / 64), (40, 1 / 64), (40, 1e-4)],
)
def test_a_sheet_covers_each_centre_once(random, side, step):
    """Corners and edges through pixel centres included: each triangle alone, then added up."""
    points, triangles = carpet(side, random, step)
    alone = points[triangles].flatten(1, 2)  # one image for each triangle
    alone = alone.view(len(triangles), 3, 2)
    depth = torch.ones(len(triangles), 3)
    times = rasterize(alone, depth, BLADE, (33, 33)).mask.sum(0)
    # The top and left border belong to the sheet, the bottom and right one do not.
    expected = torch.zeros(33, 33, dtype=times.dtype)
    expected[2:30, 2:30] = 1
    assert torch.equal(times, expected)


def test_the_picture_is_a_window_on_a_larger_one(ball, random):
    """What leaves the picture, on all four sides, changes nothing inside it."""
    vertices, triangles = ball
    camera = Camera.portrait(96, 500.0, 230.0)
    xy, depth = camera.project(vertices.float()[None])
    whole = rasterize(xy, depth, triangles, (96, 96))
    part = rasterize(xy - torch.tensor([30.0, 41.0]), depth, triangles, (20, 33))
    assert part.mask.any()
    assert torch.equal(part.triangle, whole.triangle[:, 41:61, 30:63])
    torch.testing.assert_close(part.depth_mm, whole.depth_mm[:, 41:61, 30:63])


def test_culling_a_closed_surface_changes_nothing_else(ball):
    vertices, triangles = ball
    camera = Camera.portrait(64)
    vertices = vertices.float()[None]
    shown = draw(camera, vertices, triangles, (64, 64), cull=True)
    assert torch.equal(shown.triangle, draw(camera, vertices, triangles, (64, 64)).triangle)
    inside_out = draw(camera, vertices, triangles.flip(1), (64, 64), cull=True)
    assert (inside_out.depth_mm > shown.depth_mm)[shown.mask].all()


def test_memory_in_slices_changes_nothing(ball, random, monkeypatch):
    vertices, triangles = ball
    heads = vertices.float() * (1 + 0.3 * torch.rand(5, 1, 3, generator=random))
    camera = Camera.portrait(60, batch=5)
    whole = draw(camera, heads, triangles, (60, 60))
    monkeypatch.setitem(zbuffer.AT_ONCE, "cpu", 50)
    monkeypatch.setitem(rasters.TRIANGLES_AT_ONCE, "cpu", 2 * len(triangles))
    parts = draw(camera, heads, triangles, (60, 60))
    assert torch.equal(whole.triangle, parts.triangle)
    assert torch.equal(whole.barycentrics, parts.barycentrics)


def test_many_huge_triangles_are_drawn_in_slices():
    """400 triangles that each fill 64 x 64 pixels: 1.6 million, the last of them in front."""
    depth = torch.arange(1, 1201, dtype=torch.float32).flip(0)[None]
    corners = torch.tensor([[-600.0, -600], [2000, -600], [-600, 2000]]).repeat(400, 1)[None]
    triangles = torch.arange(1200).view(-1, 3)
    assert 10 * zbuffer.AT_ONCE["cpu"] < 400 * 64 * 64
    assert (rasterize(corners, depth, triangles, (64, 64)).triangle == 399).all()


def test_what_is_too_far_off_is_dropped():
    corners = torch.tensor([[[0.0, 0], [2e6, 0], [0, 20]]])
    assert not rasterize(corners, torch.ones(1, 3), BLADE, (8, 8)).mask.any()
    assert rasterize(corners.clamp(max=9e5), torch.ones(1, 3), BLADE, (8, 8)).mask.any()


def test_other_triangles_stay_when_one_reaches_behind(ball):
    """With the camera inside the ball the front half of it is seen, and no half is an error."""
    vertices, triangles = ball
    camera = Camera.portrait(32, 10.0, 20.0)
    shown = draw(camera, vertices.float()[None], triangles, (32, 32))
    assert shown.mask.all()
    assert (shown.depth_mm > 50).all()


def test_a_sliver_keeps_to_its_corners_depths(random):
    """However thin, a triangle never shows a depth that it does not have."""
    for _ in range(50):
        way = F.normalize(torch.randn(2, generator=random), dim=0)
        start = torch.rand(2, generator=random) * 4 + 14
        ends = torch.stack([start - 9 * way, start + 9 * way])
        thin = ends.mean(0) + torch.stack([-way[1], way[0]]) * 10 ** -(3 + 3 * torch.rand(1))
        depth = torch.tensor([[1.0, 100.0, 10.0]])
        shown = rasterize(torch.cat([ends, thin[None]])[None], depth, BLADE, (33, 33))
        found = shown.depth_mm[shown.mask]
        assert ((found >= 0.999) & (found <= 100.1)).all()


def test_a_sliver_behind_a_plate_stays_behind(random):
    """The plane of a thin triangle's depth is steep, and its rounding errors are large."""
    plate = torch.tensor([[-90.0, -90], [200, -90], [-90, 200]])
    way = F.normalize(torch.randn(500, 2, generator=random), dim=1)
    middle = torch.full((500, 2), 15.0)  # a pixel's centre
    across = torch.stack([-way[:, 1], way[:, 0]], 1) * 2e-7
    thin = torch.stack([middle - 9 * way - across, middle + 9 * way, middle + across], 1)
    corners = torch.cat([plate.expand(500, 3, 2), thin], 1)
    depth = torch.tensor([[40.0, 40, 40, 50, 900, 60]]).expand(500, 6)
    triangles = torch.tensor([[0, 1, 2], [3, 4, 5]])
    assert rasterize(corners[:, 3:], depth[:, 3:], BLADE, (33, 33)).mask.any()
    assert (rasterize(corners, depth, triangles, (33, 33)).triangle == 0).all()


def test_nothing_gives_nothing():
    no_triangle = rasterize(torch.rand(2, 3, 2), torch.ones(2, 3), BLADE[:0], (5, 4))
    assert no_triangle.triangle.shape == (2, 5, 4)
    assert not no_triangle.mask.any()
    assert torch.isinf(no_triangle.depth_mm).all()
    assert interpolate(no_triangle, BLADE[:0], torch.ones(1, 3, 2)).abs().max() == 0
    none = rasterize(torch.zeros(0, 3, 2), torch.ones(0, 3), BLADE, (5, 4))
    assert none.barycentrics.shape == (0, 5, 4, 3)


def test_whole_numbers_of_32_bits_name_corners_too(ball):
    vertices, triangles = ball
    camera, vertices = Camera.portrait(40), vertices.float()[None]
    channels = [
        render_channels(camera, vertices, t, vertices, size=(40, 40))
        for t in (triangles, triangles.int())
    ]
    assert torch.equal(channels[0].rgb, channels[1].rgb)
    assert torch.equal(channels[0].normals, channels[1].normals)


def test_attributes_of_all_meshes_or_of_each(ball, random):
    vertices, triangles = ball
    camera = Camera.portrait(24, batch=2)
    shown = draw(camera, vertices.float().expand(2, -1, -1), triangles, (24, 24))
    colours = torch.rand(2, len(vertices), 3, generator=random)
    each = interpolate(shown, triangles, colours)
    for row in range(2):
        assert torch.equal(interpolate(shown, triangles, colours[[row]])[row], each[row])
    with pytest.raises(GeometryError, match="attributes of 3 meshes for 2 pictures"):
        interpolate(shown, triangles, torch.rand(3, len(vertices), 3))


def test_a_white_square_is_covered_by_its_share_of_each_pixel():
    """From 2 to 6.5 pixels: the pixels at its edges are covered in quarters."""
    camera = Camera.portrait(9, 10.0, 9.0, kind="orthographic")
    places = torch.tensor([[2.0, 2], [6.5, 2], [6.5, 6.5], [2, 6.5]]) - 4.0
    plate = torch.stack([places[:, 0], -places[:, 1], torch.zeros(4)], 1)[None]
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3]])
    white, coverage = supersample(
        camera, plate, triangles, torch.ones(1, 4, 3), size=(9, 9), samples=4
    )
    line = torch.tensor([0, 0, 0.5, 1, 1, 1, 1, 0, 0])  # pixel 6 ends at 6.5, pixel 2 begins at 1.5
    torch.testing.assert_close(coverage[0, 0], line[:, None] * line)
    torch.testing.assert_close(white, coverage.expand(-1, 3, -1, -1))
    with pytest.raises(ParameterError, match="0 samples"):
        supersample(camera, plate, triangles, torch.ones(1, 4, 3), size=(9, 9), samples=0)


def test_downsampling_takes_means(random):
    pixels = torch.rand(2, 3, 6, 9, generator=random)
    means = pixels.unflatten(2, (2, 3)).unflatten(4, (3, 3)).mean((3, 5))
    torch.testing.assert_close(downsample(pixels, 3), means)
    assert downsample(pixels, 1) is pixels


def test_every_channel_says_what_is_there(ball):
    vertices, triangles = ball
    camera, vertices = Camera.portrait(48), vertices.float()[None]
    regions = (vertices[0, triangles, 1].mean(1) > 0).int() + 3
    uv = vertices[0, :, :2].flip(0) / 100
    flipped = len(uv) - 1 - triangles  # the same corners in the other order of the coordinates
    found = render_channels(
        camera, vertices, triangles, torch.full_like(vertices, 0.25), size=(48, 48),
        regions=regions, uv=uv, uv_triangles=flipped,
    )  # fmt: skip
    mask = found.mask[0]
    places = interpolate(found.fragments, triangles, vertices)[0]
    torch.testing.assert_close(found.uv[0], places[:2] / 100, rtol=1e-4, atol=1e-5)
    assert torch.equal(found.regions == -1, ~found.mask)
    inner = mask & (places[1].abs() > 20)  # further from the border of both than a triangle's side
    assert torch.equal((found.regions[0] == 4)[inner], (places[1] > 0)[inner])
    torch.testing.assert_close(found.normals[0].norm(dim=0), mask.float())
    assert torch.isinf(found.depth_mm[~found.mask]).all()
    torch.testing.assert_close(found.rgb, 0.25 * found.coverage.expand(-1, 3, -1, -1))
    over = found.over(torch.ones(1, 3, 1, 1))
    torch.testing.assert_close(over, 1 - 0.75 * found.coverage.expand(-1, 3, -1, -1))
    assert region_map(found.fragments, regions).unique().tolist() == [-1, 3, 4]


def test_normals_of_a_corner_are_weighted_by_area():
    """Three faces of a box of 1 x 2 x 4 meet in the origin."""
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 4], [9, 9, 9]])
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1]])
    normals = vertex_normals(corners[None], triangles)[0]
    expected = F.normalize(torch.tensor([8.0, 4.0, 2.0]), dim=0)
    torch.testing.assert_close(normals[0], expected)
    assert torch.equal(normals[4], torch.zeros(3))  # no triangle has this one


def test_gradients_of_normals(random):
    corners = torch.rand(2, 5, 3, generator=random, dtype=torch.float64, requires_grad=True)
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3]])  # vertex 4 is in none
    normals = vertex_normals(corners, triangles)
    assert torch.autograd.gradcheck(lambda c: vertex_normals(c, triangles), corners)
    normals.sum().backward()
    assert torch.isfinite(corners.grad).all()


def test_gradients_through_the_whole_picture(random):
    """Vertices, camera and colours, through several triangles and samples."""
    points = torch.tensor([[-20.0, -17, 3], [22, -15, -4], [19, 23, 8], [-21, 18, -2]])
    points = points.double()[None].requires_grad_()
    colours = torch.rand(1, 4, 3, generator=random, dtype=torch.float64, requires_grad=True)
    focal = torch.tensor([60.0], dtype=torch.float64, requires_grad=True)
    start = Camera.portrait(7, torch.tensor([90.0], dtype=torch.float64), 60.0)

    def picture(points, colours, focal):
        camera = Camera("perspective", focal / 10, *list(vars(start).values())[2:])
        size = {"size": (7, 7), "samples": 2}
        return supersample(camera, points, torch.tensor([[0, 1, 2], [0, 2, 3]]), colours, **size)[0]

    assert picture(points, colours, focal).abs().sum() > 1
    assert torch.autograd.gradcheck(picture, (points, colours, focal), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("kind", ["perspective", "orthographic"])
def test_depth_of_a_ball_in_closed_form(ball, kind):
    """The ray through each pixel meets the sphere, to within the triangles' own flatness."""
    vertices, triangles = ball
    camera = Camera.portrait(50, 600.0, 260.0, kind=kind)
    shown = draw(camera, vertices.float()[None], triangles, (50, 50), cull=True)
    y, x = (shown.mask[0].nonzero().T - 24.5) / camera.focal_px
    depth = shown.depth_mm[shown.mask]
    x, y = (x * 600, y * 600) if kind == "orthographic" else (x * depth, y * depth)
    radius = (x.square() + y.square() + (600 - depth).square()).sqrt()
    flat = 100 * math.cos(math.pi / 40) ** 2  # a triangle's middle lies this deep inside the ball
    assert ((radius > flat - 0.1) & (radius < 100.01)).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here")
def test_the_gpu_gives_the_same(ball, random):
    vertices, triangles = ball
    heads = vertices.float() * (1 + 0.3 * torch.rand(3, 1, 3, generator=random))
    xy, depth = Camera.portrait(64, batch=3).project(heads)
    here = rasterize(xy, depth, triangles, (64, 64))
    there = rasterize(xy.cuda(), depth.cuda(), triangles.cuda(), (64, 64))
    assert (here.triangle == there.triangle.cpu()).float().mean() > 0.9999
    normals = [vertex_normals(heads.to(d), triangles.to(d)).cpu() for d in ("cpu", "cuda")]
    torch.testing.assert_close(*normals, rtol=1e-4, atol=1e-5)
