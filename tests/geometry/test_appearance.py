"""People are given looks within their ranges, and no two the same."""

import pytest
import torch

from facelab.geometry import appearance as looks
from facelab.geometry import morphable


@pytest.fixture(scope="module")
def people():
    random = torch.Generator().manual_seed(5)
    model = morphable.anny_head()
    return looks.sample(model.phenotype(model.sample_identity(400, random)), random)


def test_unknown_parameters_are_named():
    with pytest.raises(TypeError, match="horns"):
        looks.plain(horns=1.0)


def test_rows_repeat_people(people):
    twice = people.rows(torch.tensor([3, 3, 0]))
    assert len(twice) == 3
    assert twice.melanin[0] == twice.melanin[1] == people.melanin[3]
    assert twice.noise[2] == people.noise[0]


def test_people_are_all_different_and_within_their_ranges(people):
    assert len(people.noise.unique()) == 400
    assert len(people.melanin.unique()) > 380
    for name, value in people.values().items():
        if name not in looks.WHOLE:
            assert -1e-6 <= value.min() <= value.max() <= 1.41, name
    assert set(people.hair_style.tolist()) == set(range(len(looks.HAIR_STYLES)))


def test_tendencies():
    def draw(**changed: float) -> looks.Appearance:
        start = {"gender": 0.0, "age": 0.7, "african": 0.1, "asian": 0.1, "caucasian": 0.8}
        phenotype = {k: torch.full((300,), v) for k, v in (start | changed).items()}
        return looks.sample(phenotype, torch.Generator().manual_seed(1))

    young, old = draw(), draw(age=1.0)
    assert old.hair_grey.mean() > young.hair_grey.mean() + 0.5
    assert (old.hair_style == 0).float().mean() > (young.hair_style == 0).float().mean() + 0.1
    women = draw(gender=1.0)
    assert women.beard.max() == women.moustache.max() == women.stubble.max() == 0
    assert young.beard.max() > 0
    assert women.lipstick.max() > 0.5
    assert young.lipstick.max() == 0
    assert draw(african=1.0, caucasian=0.0).melanin.mean() > young.melanin.mean() + 0.3
