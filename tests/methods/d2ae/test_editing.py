"""Codes are moved within their interval, along the branch that is meant, and no other."""

import math

import pytest
import torch
import torch.nn.functional as F

from facelab.errors import ParameterError
from facelab.methods.d2ae import editing
from facelab.methods.d2ae.editing import Direction
from facelab.methods.d2ae.model import Features


def direction(name="Smiling", branch="p", seed=0, features=5, intercept=0.0):
    vector = torch.randn(features, generator=torch.Generator().manual_seed(seed))
    return Direction(name, branch, F.normalize(vector, dim=0), intercept)


@pytest.fixture
def model(vivid):
    return vivid


@pytest.fixture
def ways():
    found = [direction(), direction("Bangs", "p", 1), direction("Male", "t", 2)]
    return {one.name: one for one in found}


@pytest.fixture
def pair(batch):
    return batch.images[:1], batch.images[1:2]


# --- directions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"branch": "x"}, r"branch 'x' of direction 'a' can't be used; give one of: t, p"),
        ({"vector": torch.ones(4)}, "'a' of length 2 can't be used; give a vector of length one"),
        ({"vector": torch.tensor([math.nan, 1])}, "'a' of length nan can't"),
        ({"intercept": math.inf}, "the intercept inf of direction 'a' can't"),
    ],
)
def test_what_is_no_direction(changes, message):
    good = {"name": "a", "branch": "p", "vector": torch.tensor([0.6, 0.8])}
    assert Direction(**good).intercept == 0
    with pytest.raises(ParameterError, match=message):
        Direction(**good | changes)


def test_a_pattern_leaves_out_what_the_normal_only_cancels():
    """One channel is signal and noise, another the noise alone: reading needs both, writing one."""
    random = torch.Generator().manual_seed(1)
    signal, noise = torch.randn(2, 4000, generator=random)
    codes = torch.stack([signal + noise, noise, 0.1 * torch.randn(4000, generator=random)], 1)
    found = editing.pattern(torch.tensor([1.0, -1.0, 0.0]) / 2**0.5, codes + 7)
    assert float(found.norm()) == pytest.approx(1)
    assert found.tolist() == pytest.approx([1, 0, 0], abs=0.05)
    axes = torch.tensor([3.0, 1.0]) * torch.randn(4000, 2, generator=random)
    normal = torch.tensor([0.6, 0.8])
    seen = editing.pattern(normal, axes)
    assert float(seen[1] / seen[0]) == pytest.approx(0.8 / 0.6 / 9, rel=0.1), "of channels apart"


@pytest.mark.parametrize(
    ("normal", "codes", "message"),
    [
        (
            torch.ones(3),
            torch.ones(8, 2),
            r"a normal of \(3,\) does not fit codes of \(8, 2\); give",
        ),
        (torch.ones(2), torch.ones(8, 2), "codes that do not vary along w can't be used; give"),
        (torch.ones(2), torch.full((8, 2), math.nan), "do not vary"),
    ],
)
def test_what_has_no_pattern(normal, codes, message):
    with pytest.raises(ParameterError, match=message):
        editing.pattern(normal, codes)


def test_no_channel_leaves_its_interval_and_one_comes_to_its_end():
    way, deviation = direction(), torch.tensor([0.5, 1.0, 2.0, 3.0, 0.1])
    ends = (editing.reach(way, deviation) * way.vector / deviation).abs()
    assert float(ends.max()) == pytest.approx(1.96)
    assert (ends < 1.959).sum() == 4
    axis = Direction("a", "p", torch.eye(5)[2])  # channels that stay where they are end no way
    assert editing.reach(axis, deviation) == pytest.approx(1.96 * 2)
    with pytest.raises(ParameterError, match="'a' has 5 numbers and the code of branch 'p' 4; "):
        editing.reach(axis, deviation[:4])


def test_each_branch_has_its_own_deviation(model):
    assert editing.along(model, Direction("a", "t", torch.eye(5)[0])) == pytest.approx(1.96)
    assert editing.along(model, Direction("a", "p", torch.eye(5)[0])) == pytest.approx(1.96 * 2)


# --- edits ---------------------------------------------------------------------------------------


def test_a_strength_of_one_goes_to_the_end_of_the_interval(model, ways):
    codes = Features(torch.zeros(2, 5), torch.ones(2, 5))
    for strength in (1.0, -1.0, 0.25):
        moved = editing.moved(model, codes, {"Smiling": strength}, ways)
        assert torch.equal(moved.t, codes.t)
        vector = ways["Smiling"].vector
        wanted = strength * 1.96 * 2 * vector / vector.abs().max()
        torch.testing.assert_close(moved.p - codes.p, wanted.expand(2, -1))
    moved = editing.moved(model, codes, {"Male": 1}, ways)
    assert torch.equal(moved.p, codes.p)
    vector = ways["Male"].vector
    torch.testing.assert_close(moved.t, (1.96 * vector / vector.abs().max()).expand(2, -1))


def test_several_attributes_add_up(model, batch, ways):
    codes = model.features(batch.images)
    strengths = {"Smiling": 0.5, "Bangs": -1.0, "Male": 0.75}
    most = {name: way.vector / way.vector.abs().max() for name, way in ways.items()}
    p = codes.p + 1.96 * 2 * (0.5 * most["Smiling"] - most["Bangs"])
    t = codes.t + 1.96 * 0.75 * most["Male"]
    made = editing.edited(model, batch.images, strengths, ways)
    torch.testing.assert_close(made, model.decode(t, p))
    torch.testing.assert_close(editing.edited(model, codes, strengths, ways), made)
    assert (made - model(batch.images)).abs().max() > 0.02
    torch.testing.assert_close(
        editing.edited(model, batch.images, {"Male": 0}, ways), model(batch.images)
    )
    assert not made.requires_grad


@pytest.mark.parametrize("strength", [1.01, -3, math.nan])
def test_a_strength_beyond_the_interval(model, batch, ways, strength):
    message = f"a strength of {strength:g} for Male leaves the confidence interval .* from -1 to 1"
    with pytest.raises(ParameterError, match=message):
        editing.edited(model, batch.images, {"Smiling": 0, "Male": strength}, ways)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("smilin", r"did you mean Smiling\? "), ("male", r"did you mean Male\? "), ("xxx", "")],
)
def test_an_unknown_attribute(model, batch, ways, name, hint):
    message = f"attribute '{name}'; {hint}choose one of: Bangs, Male, Smiling$"
    with pytest.raises(ParameterError, match=message):
        editing.edited(model, batch.images, {name: 0.5}, ways)


def test_where_a_direction_is_in_the_picture(model, batch, ways):
    mean = Features(*(code.mean(0, keepdim=True) for code in model.features(batch.images)))
    for name, add in (("Smiling", (0, 1)), ("Male", (1, 0))):
        vector = ways[name].vector
        moved = [code + part * vector for code, part in zip(mean, add, strict=True)]
        wanted = model.decode(*moved) - model.decode(*mean)
        found = editing.residual(model, ways[name], mean)
        torch.testing.assert_close(found, wanted)
        assert found.abs().max() > 1e-3
    with pytest.raises(ParameterError, match="has 6 numbers and the code of branch 'p' 5"):
        editing.residual(model, direction(features=6), mean)


# --- between two faces ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "both"), [("identity", (1, 0)), ("attributes", (0, 1)), ("both", (1, 1))]
)
def test_the_way_from_one_face_to_the_other(model, pair, way, both):
    a, b = (model.features(face) for face in pair)
    frames = editing.interpolated(model, *pair, 5, way)
    for k, frame in enumerate(frames.split(1)):
        share = [k / 4 * part for part in both]
        codes = [(1 - s) * x + s * y for s, x, y in zip(share, a, b, strict=True)]
        torch.testing.assert_close(frame, model.decode(*codes), rtol=1e-4, atol=1e-5)
    assert (frames[0] - frames[-1]).abs().max() > 1e-3
    torch.testing.assert_close(frames[:1], model(pair[0]))


def test_the_end_of_the_way_is_a_swap(model, pair):
    a, b = pair
    identity = editing.interpolated(model, a, b, 2)
    torch.testing.assert_close(identity[1:], model.swap(b, a))
    attributes = editing.interpolated(model, a, b, 2, "attributes")
    torch.testing.assert_close(attributes[1:], model.swap(a, b))


def test_a_grid_has_swaps_at_its_corners(model, pair):
    a, b = pair
    rows = editing.grid(model, a, b, 3).unflatten(0, (3, 3))
    corners = {(0, 0): (a, a), (0, 2): (b, a), (2, 0): (a, b), (2, 2): (b, b)}
    for (down, across), faces in corners.items():
        torch.testing.assert_close(rows[down, across][None], model.swap(*faces))
    codes = [(x + y) / 2 for x, y in zip(*(model.features(f) for f in pair), strict=True)]
    torch.testing.assert_close(rows[1, 1][None], model.decode(*codes), rtol=1e-4, atol=1e-5)


def test_a_table_of_identity_and_attributes(model, pair, ways):
    rows = editing.table(model, *pair, ways, 3).unflatten(0, (4, 3))
    torch.testing.assert_close(rows[0], editing.interpolated(model, *pair, 3))
    for row, name in zip(rows[1:], ways, strict=True):
        for picture, strength in zip(row.split(1), (-1, 0, 1), strict=True):
            wanted = editing.edited(model, pair[0], {name: strength}, ways)
            torch.testing.assert_close(picture, wanted)
    assert len(editing.table(model, *pair, {}, 3)) == 3


def test_ways_that_there_are_not(model, pair):
    with pytest.raises(ParameterError, match=r"branch 'x' can't .* identity, attributes, both"):
        editing.interpolated(model, *pair, 3, "x")
    for steps in (1, 49):
        with pytest.raises(ParameterError, match=f"steps = {steps} can't .* from 2 to 48"):
            editing.interpolated(model, *pair, steps)
        with pytest.raises(ParameterError, match=f"steps = {steps} can't"):
            editing.grid(model, *pair, steps)


def test_a_training_without_a_decoder_has_no_pictures(model_of, batch, ways):
    model = model_of(decode=False)
    with pytest.raises(ParameterError, match="no decoder"):
        editing.edited(model, batch.images, {"Smiling": 0.5}, ways)
    with pytest.raises(ParameterError, match="no decoder"):
        editing.grid(model, batch.images[:1], batch.images[:1])
