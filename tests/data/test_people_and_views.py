import math

import pytest
import torch

from facelab.data.people import Phenotypes, age_of_years, draw_people
from facelab.data.seeding import identity_seeds, stream
from facelab.data.views import EYES, MOUTHS, backgrounds, draw_views, dress_for_the_day
from facelab.errors import ParameterError
from facelab.geometry.morphable import anny_head

# What a day may change about a person's looks.
OF_THE_DAY = {
    "stubble", "lipstick", "eye_shadow", "blush", "eyeglasses", "clothing_hue",
    "clothing_lightness",
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return anny_head()


@pytest.fixture(scope="module")
def crowd(model):
    """300 people and 300 views."""
    return draw_people(model, identity_seeds(300, 8)), draw_views(model, range(300))


def test_a_head_has_the_phenotype_it_was_drawn_for(model, crowd):
    people, _ = crowd
    found = model.phenotype(people.identity)
    for name, value in people.phenotype.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=5e-3)


def test_coefficients_are_normal_given_the_phenotype(model):
    """Drawn with phenotypes that are normal as the map would have them, they are N(0, 1)."""
    given = Phenotypes.of(model)
    random = stream("prior", 0)
    rows = []
    for _ in range(1500):
        prior = torch.randn(model.components, generator=random, dtype=torch.float64)
        rows.append(given.fit(given.weights @ prior + given.constant, random))
    rows = torch.stack(rows)
    assert rows.mean(0).abs().max() < 4 / math.sqrt(1500)
    # Clipping at 2.5 takes a little.
    assert 0.93 < rows.std(0).mean() < 1.0


def test_people_are_adults_of_both_camps(crowd):
    people, _ = crowd
    age, gender = people.phenotype["age"], people.phenotype["gender"]
    assert age_of_years(19.0) - 1e-6 <= age.min()
    assert age.max() <= age_of_years(75.0) + 1e-6
    assert 0.4 < (gender < 0.5).float().mean() < 0.6
    assert ((gender - 0.5).abs() > 0.2).float().mean() > 0.9


def test_nobody_looks_like_somebody_else(crowd):
    people, _ = crowd
    apart = torch.cdist(people.identity, people.identity) + 99 * torch.eye(len(people))
    assert apart.min() > 5
    assert len(set(people.appearance.noise.tolist())) == len(people)
    skin = torch.stack([people.appearance.melanin, people.appearance.haemoglobin], dim=1)
    assert (torch.cdist(skin, skin) + torch.eye(len(people))).min() > 0


def test_a_person_is_the_same_in_any_company(model, crowd):
    people, views = crowd
    order = [7, 3, 250]
    some = draw_people(model, [people.seeds[i] for i in order])
    assert torch.equal(some.identity, people.identity[order])
    for name, value in people.appearance.values().items():
        assert torch.equal(getattr(some.appearance, name), value[order]), name
    seen = draw_views(model, order)
    assert torch.equal(seen.expression, views.expression[order])
    assert torch.equal(seen.light.harmonics, views.light.harmonics[order])


def test_within_a_person_only_the_day_varies(model, crowd):
    people, _ = crowd
    alone = draw_people(model, [people.seeds[5]] * 60)
    worn = dress_for_the_day(alone, draw_views(model, range(60)))
    for name, value in worn.values().items():
        varies = len(value.unique()) > 1
        assert not varies or name in OF_THE_DAY, name
    assert {"clothing_hue", "clothing_lightness"} <= {
        name for name, value in worn.values().items() if len(value.unique()) > 1
    }


def test_eyeglasses_are_a_habit(model, crowd):
    people, views = crowd
    habit = people.eyeglasses_habit
    worn = dress_for_the_day(people, views).eyeglasses > 0
    assert not worn[habit == 0].any()
    assert worn[habit > 0.9].float().mean() > 0.8
    assert 0.1 < worn[(habit > 0) & (habit < 0.9)].float().mean() < 0.6
    assert set(people.eyeglasses.tolist()) == {1, 2, 3}


def test_poses_are_within_their_limits_and_as_wide_as_stated(crowd):
    degrees = torch.rad2deg(crowd[1].euler_rad)
    assert (degrees.abs().amax(0) <= torch.tensor([60.0, 22.0, 12.0]) + 1e-4).all()
    assert 17 < degrees[:, 0].std() < 23
    assert 5 < degrees[:, 1].std() < 8
    assert 3 < degrees[:, 2].std() < 5


def test_expressions_are_what_a_face_can_do(model, crowd):
    weights = dict(zip(model.expression_names, crowd[1].expression.T, strict=True))
    assert all(((w >= 0) & (w <= 1)).all() for w in weights.values())
    assert weights["jawOpen"].max() <= 0.65
    assert weights["tongueOut"].max() == weights["mouthClose"].max() == 0
    for side in ("Left", "Right"):
        assert (weights[f"eyeBlink{side}"] * weights[f"eyeSquint{side}"]).max() < 0.1
        assert (weights[f"mouth{side}"] * weights[f"mouth{'Right' if side == 'Left' else 'Left'}"]
                ).max() == 0  # fmt: skip
    # Both eyes look the same way.
    assert torch.equal(weights["eyeLookOutLeft"], weights["eyeLookInRight"])
    uneven = (weights["mouthSmileLeft"] - weights["mouthSmileRight"]).abs()
    assert 0 < uneven.max() < 0.11
    assert all(len(row.unique()) > 30 for name, row in weights.items() if name.startswith("brow"))


def test_archetypes_name_actions_of_the_head_and_their_shares_are_whole(model):
    for table in (MOUTHS, EYES):
        assert sum(share for share, _ in table.values()) == pytest.approx(1)
        for _, actions in table.values():
            for stem in actions:
                assert {stem, f"{stem}Left"} & set(model.expression_names), stem


def test_backgrounds_are_never_one_colour_and_alike_at_every_size(crowd):
    backdrop = tuple(cells[:50] for cells in crowd[1].backdrop)
    small, large = (backgrounds(backdrop, size) for size in (32, 96))
    assert small.flatten(2).std(2).min() > 1e-3
    assert small.min() >= 0
    assert small.max() <= 1
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(large, 3), small, rtol=0.1, atol=0.03)
    assert torch.cdist(small.flatten(1), small.flatten(1)).add(torch.eye(50)).min() > 0.1


def test_light_is_exposed_and_varied(crowd):
    light = crowd[1].light
    assert light.direction[:, 0].std() > 0.4
    assert (light.direction[:, 1] > -0.4).all()
    assert light.intensity.std(0).min() > 0.1
    assert 0.25 < crowd[1].shadows.float().mean() < 0.55


def test_people_and_views_go_in_pairs(crowd, model):
    with pytest.raises(ParameterError, match="300 people for 2 views"):
        dress_for_the_day(crowd[0], draw_views(model, [1, 2]))
