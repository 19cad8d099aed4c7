"""Light in closed form: ambient, directional, broad, and the shadows."""

import math

import pytest
import torch
import torch.nn.functional as F

from facelab.errors import ParameterError
from facelab.geometry.camera import Camera
from facelab.geometry.lighting import (
    PRESETS,
    Light,
    cast_shadows,
    irradiance,
    shade,
    spherical_harmonics,
)
from facelab.geometry.rasterize import draw, interpolate


@pytest.fixture
def normals(random):
    """Unit vectors, (2, 7, 3), float64."""
    return F.normalize(torch.randn(2, 7, 3, generator=random, dtype=torch.float64), dim=2)


def test_the_papers_constants_and_their_order():
    """Equation 3 of Ramamoorthi and Hanrahan, at a vector where no two terms are alike."""
    x, y, z = 0.6, 0.48, 0.64
    expected = [
        0.282095,
        0.488603 * y,
        0.488603 * z,
        0.488603 * x,
        1.092548 * x * y,
        1.092548 * y * z,
        0.315392 * (3 * z * z - 1),
        1.092548 * x * z,
        0.546274 * (x * x - y * y),
    ]
    found = spherical_harmonics(torch.tensor([x, y, z]))
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_light_from_everywhere_shows_the_albedo(normals):
    albedo = torch.rand(1, 7, 3)
    lit = shade(albedo, normals.float(), Light.ambient(0.8, batch=2))
    torch.testing.assert_close(lit, (0.8 * albedo).expand(2, -1, -1))


def test_a_direction_follows_the_cosine_and_stops_at_the_back(normals):
    direction = torch.tensor([[0.0, 3.0, 4.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    light = Light.from_direction(direction, intensity=0.5, ambient=0.0)
    towards = torch.tensor([[0.0, 0.6, 0.8], [1.0, 0.0, 0.0]], dtype=torch.float64)
    cosine = (normals * towards[:, None]).sum(2, keepdim=True)
    assert (cosine < 0).any()
    albedo = torch.full((1, 7, 3), 0.9, dtype=torch.float64)
    expected = (0.45 * cosine.clamp_min(0)).expand(-1, -1, 3)
    torch.testing.assert_close(shade(albedo, normals, light), expected)
    dark = shade(albedo, normals, light, visibility=torch.zeros(2, 7, dtype=torch.float64))
    assert dark.abs().max() == 0


def test_a_glow_has_its_level_where_it_is_faced():
    direction = F.normalize(torch.tensor([[0.3, -0.5, 0.8]]), dim=1)
    light = Light.from_direction(direction, intensity=0.0, ambient=0.0, glow=0.4)
    facing = irradiance(direction[:, None], light.harmonics) / math.pi
    torch.testing.assert_close(facing, torch.full((1, 1, 3), 0.4))
    across = F.normalize(torch.tensor([[[0.5, 0.3, 0.0]]]), dim=2)
    assert (irradiance(across, light.harmonics) < 0.4 * facing * math.pi).all()


def test_a_lamp_far_away_is_as_the_paper_says():
    """E(n) of a distant lamp is 1/4 + c/2 + 5 (3 c^2 - 1) / 32, c the cosine: A_l (2 l + 1) / 4 pi.

    Against max(c, 0), the truth, that is off by at most 9 % of its largest value.
    """
    cosine = torch.linspace(-1, 1, 201, dtype=torch.float64)
    sine = (1 - cosine.square()).sqrt()
    normals = torch.stack([sine, 0 * cosine, cosine], dim=1)[None]
    lamp = spherical_harmonics(torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    found = irradiance(normals, lamp[None, :, None].expand(1, 9, 3))[0, :, 0]
    closed = 1 / 4 + cosine / 2 + 5 * (3 * cosine.square() - 1) / 32
    torch.testing.assert_close(found, closed)
    assert (found - cosine.clamp_min(0)).abs().max() < 0.095


def test_gradients_of_shading(normals):
    albedo = torch.rand(1, 7, 3, dtype=torch.float64, requires_grad=True)
    harmonics = torch.rand(2, 9, 3, dtype=torch.float64, requires_grad=True)
    intensity = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
    turned = torch.tensor([0.4, 1.1], dtype=torch.float64, requires_grad=True)

    def lit(albedo, normals, harmonics, intensity, turned):
        direction = torch.stack([turned.sin(), 0 * turned, turned.cos()], dim=1)
        return shade(albedo, normals, Light(harmonics, direction, intensity))

    inputs = (albedo, normals.requires_grad_(), harmonics, intensity, turned)
    assert torch.autograd.gradcheck(lit, inputs)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_lights_where_it_stands(name):
    light = Light.preset(name, batch=3)
    assert light.harmonics.shape == (3, 9, 3)
    facing = shade(torch.ones(1, 1, 3), light.direction[:, None], light)
    away = shade(torch.ones(1, 1, 3), -light.direction[:, None], light)
    assert (facing > away).all()
    assert ((facing > 0.7) & (facing < 1.5)).all()


def test_left_is_the_heads_own():
    assert Light.preset("left").direction[0, 0] > 0.5  # +x, the right of a frontal picture
    assert Light.preset("right").direction[0, 0] < -0.5
    assert Light.preset("backlit").direction[0, 2] < -0.5


def test_impossible_lights():
    good = {
        "harmonics": torch.zeros(1, 9, 3),
        "direction": torch.tensor([[0.0, 0.0, 1.0]]),
        "intensity": torch.ones(1, 3),
    }
    for changes, match in (
        ({"harmonics": torch.full((1, 9, 3), torch.nan)}, "harmonics has a value"),
        ({"direction": torch.tensor([[0.0, 0.0, 2.0]])}, "unit vector"),
        ({"intensity": torch.tensor([[0.1, -0.1, 0.1]])}, "negative intensity"),
    ):
        with pytest.raises(ParameterError, match=match):
            Light(**good | changes)
    with pytest.raises(ParameterError, match="no direction of length 0"):
        Light.from_direction(torch.zeros(1, 3))
    with pytest.raises(ParameterError, match="no light called 'moon'; choose one of: frontal"):
        Light.preset("moon")


@pytest.mark.parametrize("direction", [(0.0, 0.0, 1.0), (1.0, 0.3, 0.5), (0.2, 1.0, 0.1)])
def test_a_ball_shadows_its_back_and_not_its_front(ball, direction):
    """No false shadow on what faces the light, however coarse the triangles."""
    vertices, triangles = ball
    vertices = vertices.float()[None]
    shown = draw(Camera.portrait(64), vertices, triangles, (64, 64))
    places = interpolate(shown, triangles, vertices).permute(0, 2, 3, 1)
    outward = F.normalize(places, dim=3)
    towards = F.normalize(torch.tensor([direction]), dim=1)
    seen = cast_shadows(vertices, triangles, places, outward, towards)
    cosine = outward @ towards[0]
    assert seen.shape == shown.mask.shape
    assert seen[shown.mask & (cosine > 0.15)].min() > 0.99
    back = shown.mask & (cosine < -0.15)
    assert direction == (0.0, 0.0, 1.0) or back.any()
    assert seen[back].sum() == 0


def test_a_shadows_edge_is_where_the_light_passes_the_plates():
    """A slanting light moves the shadow by the plate's height, to within two of its pixels."""
    square = torch.tensor([[-1.0, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]])
    scene = torch.cat([100 * square, 30 * square + torch.tensor([0.0, 50, 0])])[None]
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    x = torch.linspace(-95, 95, 191)
    places = F.pad(x[None, :, None], (0, 2))
    up = torch.tensor([0.0, 1.0, 0.0]).expand_as(places)
    towards = F.normalize(torch.tensor([[1.0, 2.0, 0.0]]), dim=1)
    seen = cast_shadows(scene, triangles, places, up, towards, size_px=512)[0]
    inside = (x > -30 - 25) & (x < 30 - 25)  # 50 mm high, half as far to the side
    border = ((x + 55).abs() < 2) | ((x - 5).abs() < 2)
    assert torch.equal((seen < 0.5)[~border], inside[~border])


@pytest.mark.parametrize("axis", [0, 2])
def test_a_shadows_edge_is_a_slope_and_not_a_stair(axis):
    """From dark to light over one pixel of the light's picture, here 4 mm, evenly."""
    square = torch.tensor([[-1.0, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]])
    scene = torch.cat([100 * square, 30 * square + torch.tensor([0.0, 50, 0])])[None]
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    places = torch.zeros(1, 401, 3)
    places[..., axis] = torch.linspace(20, 40, 401)
    up = torch.tensor([0.0, 1.0, 0.0]).expand_as(places)
    towards = torch.tensor([[0.0, 1.0, 0.0]])
    seen = cast_shadows(scene, triangles, places, up, towards, size_px=75)[0]
    steps = seen.diff()
    assert seen[0] == 0
    assert seen[-1] == 1
    assert steps.min() >= -1e-5
    assert steps.max() < 0.02
