"""Pigments against their formula, zones where they belong, and what a seed decides."""

import dataclasses
import math

import pytest
import torch

from facelab.geometry import appearance as looks
from facelab.geometry import atlas, morphable, painting


@pytest.fixture(scope="module")
def maps():
    return atlas.head_atlas()


def texel(mark: int) -> tuple[int, int]:
    """Return the row and column of the atlas that shows a landmark."""
    model = morphable.anny_head()
    vertex = model.landmarks[mark]
    place = model.uv_triangles[model.triangles == vertex][0]
    u, v = (model.uv[place] * atlas.SIZE).long().tolist()
    return v, u


def test_skin_is_bare_skin_without_pigment_and_darkens_exponentially():
    zero = torch.zeros(1)
    torch.testing.assert_close(
        painting.skin_colour(zero, zero)[0], torch.tensor(painting.BARE_SKIN)
    )
    bare = torch.tensor(painting.BARE_SKIN)
    half, whole = (painting.skin_colour(torch.tensor([m]), zero)[0] for m in (0.5, 1.0))
    torch.testing.assert_close(half / bare, (whole / bare).sqrt())
    assert whole[0] / bare[0] == pytest.approx(math.exp(-painting.SKIN_MELANIN[0]), rel=1e-5)


def test_blood_reddens():
    pale, red = painting.skin_colour(torch.tensor([0.2, 0.2]), torch.tensor([0.1, 0.9]))
    assert red[0] / red[1] > 1.3 * pale[0] / pale[1]


def test_hair_greys_to_grey():
    colour = painting.hair_colour(looks.plain(2, hair_grey=1.0))[0]
    assert colour.max() - colour.min() < 0.02


def test_a_place_of_the_atlas_is_where_its_vertex_is(maps):
    model = morphable.anny_head()
    for mark in (8, 19, 30, 33, 48):
        row, column = texel(mark)
        place = model.mean_mm[model.landmarks[mark]]
        assert (maps.positions[row, column] - place).norm() < 4, mark


@pytest.mark.parametrize(
    ("zone", "inside", "outside"),
    [
        ("lips", 51, 30),
        ("moustache", 51, 8),
        ("beard", 6, 30),
        ("goatee", 8, 3),
        ("any_skin", 30, 62),
    ],
)
def test_zones_lie_where_they_should(maps, zone, inside, outside):
    rows, columns = texel(inside)
    near = maps.zones[zone][rows - 6 : rows + 7, columns - 6 : columns + 7]
    assert near.max() > 0.5
    rows, columns = texel(outside)
    assert maps.zones[zone][rows, columns] < 0.1


def test_zones_are_shares(maps):
    for name, zone in maps.zones.items():
        assert 0 <= zone.min() <= zone.max() <= 1, name
        assert zone.max() > 0.4, name


def test_hollows_see_less_of_the_sky(maps):
    def at(mark: int) -> float:
        row, column = texel(mark)
        return float(maps.occlusion[row, column])

    assert at(30) > 0.9  # the tip of the nose
    assert at(33) < at(30) - 0.1  # below it


@pytest.mark.parametrize(
    ("changed", "mark", "channel", "sign"),
    [
        ({"melanin": 0.8}, 29, 0, -1),
        ({"lipstick": 1.0}, 51, 1, -1),
        ({"beard": 1.0}, 7, 0, -1),
        ({"brow_density": 0.1}, 24, 0, 1),
    ],
)
def test_a_parameter_changes_its_place(changed, mark, channel, sign):
    before = painting.textures(looks.plain(hair_eumelanin=1.0))
    after = painting.textures(looks.plain(hair_eumelanin=1.0, **changed))
    row, column = texel(mark)
    window = (0, channel, slice(row - 2, row + 3), slice(column - 2, column + 3))
    assert sign * (after[window] - before[window]).mean() > 0.02


def test_a_local_parameter_leaves_the_rest_alone(maps):
    before, after = painting.textures(looks.plain()), painting.textures(looks.plain(lipstick=1.0))
    changed = (after - before).abs().amax((0, 1)) > 1e-6
    assert changed.any()
    assert not (changed & (maps.zones["lips"] == 0)).any()


def test_textures_follow_from_the_seed_and_not_from_the_batch():
    one = looks.plain(1, noise=4)
    pair = looks.plain(2, noise=4)
    pair = dataclasses.replace(pair, noise=torch.tensor([9, 4]))
    both = painting.textures(pair)
    torch.testing.assert_close(painting.textures(one)[0], both[1])
    assert (both[0] - both[1]).abs().max() > 0.02


def test_textures_are_differentiable_in_the_pigments():
    melanin = torch.tensor([0.3], requires_grad=True)
    painting.textures(dataclasses.replace(looks.plain(), melanin=melanin))[:, :3].mean().backward()
    assert melanin.grad < 0


def test_textures_stay_in_range():
    extreme = painting.textures(
        looks.plain(1, melanin=1.0, haemoglobin=1.0, freckles=1.0, blotches=1.0)
    )
    assert 0 <= extreme.min() <= extreme.max() <= 1


def test_a_box_holds_all_of_its_zone(maps):
    for name, zone in maps.zones.items():
        outside = zone.clone()
        outside[maps.boxes[name]] = 0
        assert outside.abs().max() == 0, name
        rows, columns = maps.boxes[name]
        edges = (zone[rows.start], zone[rows.stop - 1])
        sides = (zone[:, columns.start], zone[:, columns.stop - 1])
        assert all(line.max() > 0 for line in (*edges, *sides)), name


def test_a_rectangle_has_its_texels_and_a_margin():
    rows, columns = atlas.box_of((0.25, 0.5, 0.75, 1.0), 0.0)
    assert (rows, columns) == (slice(192, 256), slice(64, 128))
    assert atlas.box_of((0.25, 0.5, 0.75, 1.0), 2 / atlas.SIZE)[1] == slice(62, 130)
