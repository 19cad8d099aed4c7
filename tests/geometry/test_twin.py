"""The rasteriser, cameras and light against slow obvious twins and closed forms."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from facelab.errors import GeometryError, ParameterError
from facelab.geometry import camera as cameras
from facelab.geometry import lighting, morphable, rasterize

PLATE = torch.tensor([[0, 1, 2], [0, 2, 3]])  # a square of corners in the picture's order


def slow(pixels_xy, depth, triangles, size, perspective):
    """One triangle and one pixel at a time, in float64."""
    shown = np.full((size, size), -1)
    nearest = np.full((size, size), np.inf)
    xy, z = pixels_xy.double().numpy(), depth.double().numpy()
    for number, corners in enumerate(triangles.tolist()):
        (ax, ay), (bx, by), (cx, cy) = xy[corners]
        whole = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if whole == 0 or (z[corners] <= 0).any():
            continue
        low_x, high_x = (
            max(0, math.floor(min(ax, bx, cx))),
            min(size - 1, math.ceil(max(ax, bx, cx))),
        )
        low_y, high_y = (
            max(0, math.floor(min(ay, by, cy))),
            min(size - 1, math.ceil(max(ay, by, cy))),
        )
        for y in range(low_y, high_y + 1):
            for x in range(low_x, high_x + 1):
                a = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / whole
                b = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / whole
                w = np.array([a, b, 1 - a - b])
                if (w < 0).any():
                    continue
                if perspective:
                    w = w / z[corners] / (w / z[corners]).sum()
                at = float(w @ z[corners])
                if at < nearest[y, x]:
                    shown[y, x], nearest[y, x] = number, at
    return shown, nearest


@pytest.mark.parametrize("kind", ["perspective", "orthographic"])
def test_a_head_is_drawn_as_the_slow_twin_draws_it(kind, random):
    model = morphable.anny_head()
    head = model.shape(model.sample_identity(1, random))
    shot = cameras.Camera.portrait(48, 800.0, 300.0, kind=kind)
    xy, depth = shot.project(head)
    found = rasterize.rasterize(
        xy, depth, model.triangles, (48, 48), perspective=kind == "perspective"
    )
    shown, nearest = slow(xy[0], depth[0], model.triangles, 48, kind == "perspective")
    same = found.triangle[0].numpy() == shown
    assert same.mean() >= 0.999
    inside = same & (shown >= 0)
    error = np.abs(found.depth_mm[0].numpy()[inside] / nearest[inside] - 1)
    assert error.max() < 1e-4


def test_a_batch_is_the_same_as_one_at_a_time(random):
    xy = torch.rand(3, 30, 2, generator=random) * 40
    depth = torch.rand(3, 30, generator=random) + 1
    triangles = torch.randint(0, 30, (40, 3), generator=random)
    whole = rasterize.rasterize(xy, depth, triangles, (40, 40))
    for row in range(3):
        one = rasterize.rasterize(xy[[row]], depth[[row]], triangles, (40, 40))
        assert torch.equal(one.triangle[0], whole.triangle[row])
        torch.testing.assert_close(one.barycentrics[0], whole.barycentrics[row])


def test_neighbours_leave_no_hole_and_share_no_pixel(random):
    """Two halves of a square whose edges run through pixels' centres cover each centre once."""
    corners = torch.tensor([[2.0, 2.0], [12.0, 2.0], [12.0, 12.0], [2.0, 12.0]])
    depth = torch.ones(1, 4)
    both = rasterize.rasterize(corners[None], depth, PLATE, (16, 16)).mask[0]
    parts = [
        rasterize.rasterize(corners[None], depth, half[None], (16, 16)).mask[0] for half in PLATE
    ]
    assert int(both.sum()) == 100
    assert not (parts[0] & parts[1]).any()
    assert torch.equal(parts[0] | parts[1], both)


def test_the_nearer_is_shown_and_a_tie_goes_to_the_first():
    corners = torch.tensor([[[0.0, 0], [20, 0], [0, 20]] * 3])
    triangles = torch.arange(9).view(3, 3)
    depth = torch.tensor([[3.0] * 3 + [2.0] * 3 + [2.0] * 3])
    assert rasterize.rasterize(corners, depth, triangles, (8, 8)).triangle[0, 2, 2] == 1


@pytest.mark.parametrize("depth", [[1.0, 1.0, 0.0], [1.0, -2.0, 1.0]])
def test_a_triangle_that_reaches_behind_the_camera_is_dropped(depth):
    corners = torch.tensor([[[0.0, 0], [20, 0], [0, 20]]])
    found = rasterize.rasterize(corners, torch.tensor([depth]), torch.tensor([[0, 1, 2]]), (8, 8))
    assert not found.mask.any()


def test_degenerate_tiny_and_huge_triangles():
    def drawn(points):
        xy = torch.tensor([points])
        return int(
            rasterize.rasterize(xy, torch.ones(1, 3), torch.tensor([[0, 1, 2]]), (9, 9)).mask.sum()
        )

    assert drawn([[1.0, 1], [5, 5], [3, 3]]) == 0  # a line
    assert drawn([[4.0, 4], [4, 4], [4, 4]]) == 0  # a point
    assert drawn([[3.7, 3.7], [4.4, 3.8], [3.9, 4.5]]) == 1  # about the centre of one pixel
    assert drawn([[3.2, 3.2], [3.8, 3.2], [3.5, 3.8]]) == 0  # between the centres
    assert drawn([[-900.0, -900], [2000, -900], [-900, 2000]]) == 81


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_vertices_must_be_finite(bad):
    xy = torch.tensor([[[0.0, 0], [bad, 0], [0, 2]]])
    with pytest.raises(GeometryError, match="finite"):
        rasterize.rasterize(xy, torch.ones(1, 3), torch.tensor([[0, 1, 2]]), (4, 4))


def test_triangles_must_name_vertices_and_pictures_have_pixels():
    xy = torch.zeros(1, 3, 2)
    with pytest.raises(GeometryError, match="name vertices 0 to 7"):
        rasterize.rasterize(xy, torch.ones(1, 3), torch.tensor([[0, 1, 7]]), (4, 4))
    with pytest.raises(ParameterError, match="impossible"):
        rasterize.rasterize(xy, torch.ones(1, 3), torch.tensor([[0, 1, 2]]), (0, 4))


def sphere(steps: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """A sphere of radius 100 mm: vertices (V, 3) and triangles."""
    polar = torch.linspace(0.001, math.pi - 0.001, steps)[:, None]
    turn = torch.linspace(0, 2 * math.pi, 2 * steps)[None]
    flat = polar.sin()
    points = torch.stack(
        [flat * turn.sin(), polar.cos().expand(-1, 2 * steps), flat * turn.cos()], 2
    )
    corner = (torch.arange(steps - 1)[:, None] * 2 * steps + torch.arange(2 * steps - 1)).flatten()
    right, below = corner + 1, corner + 2 * steps
    triangles = torch.cat(
        [torch.stack([corner, below, right], 1), torch.stack([right, below, below + 1], 1)]
    )
    return 100 * points.flatten(0, 1), triangles


def test_a_spheres_normals_are_its_places():
    points, triangles = sphere()
    shot = cameras.Camera.portrait(64, 5000.0, 240.0)
    xy, depth = shot.project(points[None])
    found = rasterize.rasterize(xy, depth, triangles, (64, 64))
    normals = rasterize.interpolate(
        found, triangles, rasterize.vertex_normals(points[None], triangles)
    )
    places = rasterize.interpolate(found, triangles, points[None])
    inner = found.mask[0] & (places[0, :2].norm(dim=0) < 90)
    cosine = F.cosine_similarity(normals[0], places[0], dim=0)[inner]
    assert inner.sum() > 1000
    assert cosine.min() > 0.999


def test_a_texture_is_seen_in_perspective():
    """On a plane that leans back, the place at each pixel is known in closed form."""
    plate = torch.tensor([[-100.0, -60, 80], [100, -60, 80], [100, 60, -80], [-100, 60, -80]])
    shot = cameras.Camera.portrait(50, 400.0, 300.0)
    xy, depth = shot.project(plate[None])
    found = rasterize.rasterize(xy, depth, PLATE, (50, 50))
    places = rasterize.interpolate(found, PLATE, plate[None])[0]
    rows, columns = found.mask[0].nonzero().T
    again = shot.project(places[:, rows, columns].T[None])[0][0]
    torch.testing.assert_close(again, torch.stack([columns, rows], 1).float(), rtol=0, atol=1e-3)


def test_gradients_of_attributes_and_vertices():
    xy = torch.tensor(
        [[[0.3, 0.4], [8.2, 0.7], [1.1, 7.9]]], dtype=torch.float64, requires_grad=True
    )
    depth = torch.tensor([[1.0, 1.5, 2.0]], dtype=torch.float64, requires_grad=True)
    colour = torch.rand(1, 3, 2, dtype=torch.float64, requires_grad=True)
    triangle = torch.tensor([[0, 1, 2]])

    def picture(xy, depth, colour):
        found = rasterize.rasterize(xy, depth, triangle, (6, 6))
        return rasterize.interpolate(found, triangle, colour), found.depth_mm[found.mask]

    assert torch.autograd.gradcheck(picture, (xy, depth, colour), eps=1e-7)


def test_gradients_of_camera_and_light():
    points = torch.rand(1, 4, 3, dtype=torch.float64, requires_grad=True)
    shot = cameras.Camera.portrait(20, torch.tensor([50.0], dtype=torch.float64), 30.0)
    assert torch.autograd.gradcheck(lambda p: shot.project(p), (points,))
    normals = F.normalize(torch.randn(1, 5, 3, dtype=torch.float64), dim=2).requires_grad_()
    harmonics = torch.rand(1, 9, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lighting.irradiance, (normals, harmonics))


def test_irradiance_against_monte_carlo(random):
    """Radiance that is itself of second order, integrated over the hemisphere by sampling."""
    harmonics = torch.rand(1, 9, 3, generator=random, dtype=torch.float64)
    ways = F.normalize(torch.randn(400_000, 3, generator=random, dtype=torch.float64), dim=1)
    radiance = lighting.spherical_harmonics(ways) @ harmonics[0]
    normal = F.normalize(torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64), dim=0)
    facing = (ways @ normal).clamp_min(0)
    sampled = 4 * math.pi * (radiance * facing[:, None]).mean(0)
    exact = lighting.irradiance(normal[None, None], harmonics)[0, 0]
    torch.testing.assert_close(exact, sampled, rtol=0.02, atol=0.02)


def test_harmonics_are_orthonormal(random):
    ways = F.normalize(torch.randn(400_000, 3, generator=random), dim=1)
    basis = lighting.spherical_harmonics(ways)
    gram = 4 * math.pi * basis.T @ basis / len(ways)
    assert (gram - torch.eye(9)).abs().max() < 0.03


def test_a_plate_throws_its_shadow_on_the_plane_below():
    plane = torch.tensor([[-100.0, 0, -100], [100, 0, -100], [100, 0, 100], [-100, 0, 100]])
    plate = torch.tensor([[-30.0, 50, -30], [30, 50, -30], [30, 50, 30], [-30, 50, 30]])
    scene = torch.cat([plane, plate])[None]
    triangles = torch.cat([PLATE, PLATE + 4])
    places = torch.tensor([[[0.0, 0, 0], [25, 0, 25], [60, 0, 0], [0, 0, 80]]])
    up = torch.tensor([0.0, 1.0, 0.0]).expand_as(places)
    light = F.normalize(torch.tensor([[0.0, 1.0, 0.001]]), dim=1)
    seen = lighting.cast_shadows(scene, triangles, places, up, light)
    torch.testing.assert_close(seen, torch.tensor([[0.0, 0, 1, 1]]))


def test_euler_angles_go_there_and_back(random):
    angles = (torch.rand(50, 3, generator=random, dtype=torch.float64) - 0.5) * 2.6
    rotation = cameras.rotation_from_euler(*angles.unbind(1))
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).double().expand(50, 3, 3))
    torch.testing.assert_close(torch.stack(cameras.euler_from_rotation(rotation), 1), angles)


def test_a_positive_yaw_turns_to_the_heads_left():
    zero, turn = torch.zeros(1), torch.full((1,), 0.5)
    ahead = torch.tensor([0.0, 0.0, 1.0])
    assert (cameras.rotation_from_euler(turn, zero, zero)[0] @ ahead)[0] > 0.4
    assert (cameras.rotation_from_euler(zero, turn, zero)[0] @ ahead)[1] > 0.4


def test_a_scaled_camera_sees_the_same(random):
    points = torch.randn(1, 9, 3, generator=random) * 60
    shot = cameras.Camera.portrait(40, 700.0, 300.0)
    small, large = shot.project(points)[0], shot.scaled(3).project(points)[0]
    torch.testing.assert_close((small + 0.5) * 3 - 0.5, large, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("values", [(0, 800.0, 300.0), (64, -1.0, 300.0), (64, 800.0, 0.0)])
def test_impossible_cameras(values):
    with pytest.raises(ParameterError):
        cameras.Camera.portrait(*values)
