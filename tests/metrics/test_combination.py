"""Combined faces in numbers: known values come out, copies are trivial, people are drawn."""

import json
import math

import pytest
import torch
from torch import nn

from facelab.errors import ParameterError
from facelab.methods.idmap.evaluation import Faces, combine, copy_attributes, copy_identity
from facelab.metrics import combination
from facelab.metrics.combination import (
    Reader,
    columns,
    paired,
    per_pair,
    set_distance,
    table1,
    table2,
)
from facelab.metrics.extractors import Extractor
from facelab.metrics.frechet import frechet_distance
from facelab.metrics.kernel import kernel_distance
from facelab.recognition.embedder import Embedder

PEOPLE, VIEWS = 12, 2
COUNT = PEOPLE * VIEWS
WHO = torch.arange(PEOPLE).repeat_interleave(VIEWS)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class Judge(Embedder):
    """Forty-eight numbers: a picture of 4 x 4. It counts the faces that it sees."""

    id, size, template, threshold, threshold_squared = "judge", 64, "book64", 1.0, 0.5

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()), requires_grad=False)
        self.faces = 0

    def forward(self, images):
        self.faces += len(images)
        return self.scale * nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)


class Means(Extractor):
    """The means of the colours."""

    id, features = "means", 3

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, images):
        return self.scale * images.mean((2, 3))


SHAPE = 32 + 10 * torch.randn(68, 2, generator=seeded(5))


def points(images):
    """A face whose landmarks go to the right by the mean of red, in sides of the picture."""
    shift = 64 * images[:, 0].mean((1, 2))
    return SHAPE + torch.stack([shift, torch.zeros_like(shift)], dim=1)[:, None]


def pictures(seed, people=COUNT, views=1):
    """Coarse patterns, one a person, in [-0.5, 0.5]."""
    who = torch.rand(people, 3, 4, 4, generator=seeded(seed)) - 0.5
    return nn.functional.interpolate(who.repeat_interleave(views, 0), (64, 64))


IDENTITY, ATTRIBUTES, REFERENCES = pictures(1, PEOPLE, VIEWS), pictures(2), pictures(3)
BETWEEN = (IDENTITY + ATTRIBUTES) / 2


def redder(images, by):
    changed = images.clone()
    changed[:, 0] += by
    return changed


def row(made):
    return Faces(IDENTITY, ATTRIBUTES, made, WHO)


ROWS = {
    "between": row(BETWEEN),
    "copy identity": row(combine(copy_identity, IDENTITY, ATTRIBUTES)),
    "copy attributes": row(combine(copy_attributes, IDENTITY, ATTRIBUTES)),
}


def first_table(rows=None, judge=None, **how):
    how = {"references": REFERENCES, "seen": ("dlib",), "replicates": 100, "points": points} | how
    return table1(rows or ROWS, judge or Judge(), Means(), seeded(), **how)


@pytest.fixture(scope="module")
def told():
    """Table 1 of all rows, each compared with the copies of attributes."""
    return first_table(against="copy attributes")


# --- table 1 -------------------------------------------------------------------------------------


def test_trivial_answers_are_trivial(told):
    same, copied = told["rows"]["copy identity"], told["rows"]["copy attributes"]
    for name in ("identity", "verified as identity"):
        assert same[name]["mean"] == pytest.approx(1, abs=1e-6)
        assert same[name]["interval"]["low"] == pytest.approx(1, abs=1e-6)
    for name in ("expression", "expression norm", "pose", "expression shape"):
        assert copied[name]["mean"] == pytest.approx(0, abs=1e-6)
    assert copied["verified as attributes"]["mean"] == 1
    assert copied["verified as identity"]["mean"] < 0.2
    assert abs(copied["identity"]["mean"]) < 0.2
    assert same["expression"]["mean"] > 0.02
    assert 0.3 < told["rows"]["between"]["identity"]["mean"] < 0.95
    assert told["rows"]["between"]["pairs"] == COUNT
    assert told["rows"]["between"]["people"] == PEOPLE


def test_known_values():
    """Attributes' red up by 0.1 on even rows, 0.3 on odd ones: landmarks move as many sides."""
    by = torch.tensor([0.1, 0.3]).repeat(PEOPLE)[:, None, None]
    found = first_table({"red": row(redder(ATTRIBUTES, by))})["rows"]["red"]
    assert found["expression"]["mean"] == pytest.approx(0.2, rel=1e-4)
    assert found["expression"]["deviation"] == pytest.approx(0.1 * (24 / 23) ** 0.5, rel=1e-4)
    assert found["expression norm"]["mean"] == pytest.approx(0.2 * 68**0.5, rel=1e-4)
    assert found["expression shape"]["mean"] < 1e-4, "a shift is no shape"
    interval = found["expression"]["interval"]
    assert interval["low"] == pytest.approx(0.2, rel=1e-4), "every person has one of each"
    assert interval["high"] == pytest.approx(0.2, rel=1e-4)
    assert found["expression"]["unit"] == "sides of the picture"


def test_identity_is_a_cosine_and_judged_by_its_threshold():
    """Verified where the squared distance of unit embeddings, 2 - 2 cosine, is below 0.5."""
    values = per_pair(ROWS["between"], Reader(Judge(), points))
    cosine = values["identity"]
    twin = nn.functional.cosine_similarity(
        nn.functional.adaptive_avg_pool2d(IDENTITY, 4).flatten(1),
        nn.functional.adaptive_avg_pool2d(BETWEEN, 4).flatten(1),
    )
    torch.testing.assert_close(cosine, twin.double(), atol=1e-5, rtol=0)
    assert values["verified as identity"].tolist() == (cosine > 0.75).double().tolist()
    assert 0 < float(values["verified as identity"].mean()) < 1
    assert all(one.dtype == torch.float64 for one in values.values())


def test_people_are_drawn_and_not_pairs():
    values = {"identity": (WHO % 2).double()}
    wide = columns(values, WHO, random=seeded(), replicates=300)["identity"]
    narrow = columns(values, torch.arange(COUNT), random=seeded(), replicates=300)["identity"]
    assert wide.mean == narrow.mean == 0.5
    widths = [found.interval.high - found.interval.low for found in (wide, narrow)]
    assert widths[0] / widths[1] == pytest.approx(math.sqrt(VIEWS), rel=0.25)
    few = columns({"pose": torch.ones(4).double()}, WHO[:4], random=seeded())["pose"]
    assert (few.mean, few.deviation, few.interval, few.pairs) == (1.0, 0.0, None, 4)
    one = columns({"pose": torch.ones(1).double()}, WHO[:1], random=seeded())["pose"]
    assert (one.mean, one.deviation) == (1.0, None)


def test_a_pair_without_a_value_is_left_out_and_counted():
    values = torch.arange(COUNT).double()
    values[3] = math.nan
    found = columns({"five points": values}, WHO, random=seeded(), replicates=50)["five points"]
    assert found.pairs == COUNT - 1
    assert found.mean == pytest.approx((sum(range(COUNT)) - 3) / (COUNT - 1))
    infinite = values.clone()
    infinite[5] = math.inf  # it is a value, so leaving it out would flatter
    for worse in (infinite, values * math.nan):
        none = columns({"PSNR": worse}, WHO, random=seeded(), replicates=5)["PSNR"]
        assert (none.mean, none.deviation, none.interval) == (None, None, None)


def test_inputs_that_rows_share_are_read_once():
    read = Reader(Judge(), points)
    for faces in ROWS.values():
        per_pair(faces, read)
    assert read.judge.faces == 5 * COUNT, "two inputs and three rows"


def test_everything_is_json_and_names_who_judged(told):
    again = json.loads(json.dumps(told, allow_nan=False))
    assert (again["judge"], again["extractor"], again["references"]) == ("judge", "means", COUNT)
    assert again["embedders seen in training"] == ["dlib"]
    assert list(again["rows"]) == list(ROWS)


@pytest.mark.parametrize("seen", ["judge", "means", "landmark_judge", "pose_regressor"])
def test_a_network_that_a_loss_saw_does_not_judge(seen):
    with pytest.raises(ParameterError, match=f"{seen} can't judge a network whose loss"):
        first_table(seen=("dlib", seen))
    if seen != "means":
        with pytest.raises(ParameterError, match=f"{seen} can't judge a network whose loss"):
            table2({"one": row(BETWEEN)}, Judge(), seeded(), seen=(seen,), points=points)


def test_rows_that_there_are_not():
    with pytest.raises(ParameterError, match="no row 'copies' to compare with; rows are: between"):
        first_table(against="copies")
    with pytest.raises(ParameterError, match="there is no row to measure"):
        table1({}, Judge(), Means(), seeded(), references=REFERENCES, seen=())


# --- how far from real pictures ------------------------------------------------------------------


def test_few_pictures_have_a_kernel_distance(told):
    found = told["rows"]["between"]["distance"]
    pair = (REFERENCES.mean((2, 3)), BETWEEN.mean((2, 3)))
    twin = kernel_distance(*pair, extractor="means", random=seeded())
    assert (found["kind"], found["name"]) == ("kernel", "means-kd")
    assert found["counts"] == (COUNT, COUNT)
    assert found["value"] == pytest.approx(twin.value)


def test_many_pictures_have_a_frechet_distance(monkeypatch):
    monkeypatch.setattr(combination, "ENOUGH", COUNT)
    pair, how = (REFERENCES.mean((2, 3)), BETWEEN.mean((2, 3))), {"extractor": "means"}
    found = set_distance(*pair, random=seeded(), **how)
    assert (found["kind"], found["name"]) == ("frechet", "means-fd")
    assert found["value"] == pytest.approx(frechet_distance(*pair, **how).value)
    for few in ((pair[0][1:], pair[1]), (pair[0], pair[1][1:])):
        assert set_distance(*few, random=seeded(), **how)["kind"] == "kernel"


# --- differences ---------------------------------------------------------------------------------


def test_differences_are_of_people_and_first_less_second():
    first = {"pose": WHO.double() + 1, "identity": torch.ones(COUNT).double()}
    second = {"pose": WHO.double() * 0.5, "identity": torch.ones(COUNT).double() / 0}
    told = paired(first, second, WHO, random=seeded())
    pose = told["pose"]
    assert pose["things"] == PEOPLE
    assert pose["difference"] == pytest.approx(1 + 0.5 * (PEOPLE - 1) / 2)
    assert 1 < pose["interval"]["low"] < pose["difference"] < pose["interval"]["high"]
    assert pose["p_less"] == pytest.approx(1)
    assert pose["unit"] == "degrees"
    assert told["identity"] is None
    with pytest.raises(ParameterError, match="rows of 24 and 20 pairs, of 24 people"):
        paired(first, {"pose": second["pose"][:20]}, WHO, random=seeded())


def test_a_table_has_the_differences_to_one_row(told):
    assert list(told["differences"]) == ["between", "copy identity"]
    rows = told["rows"]
    for name, found in told["differences"].items():
        expected = rows[name]["identity"]["mean"] - rows["copy attributes"]["identity"]["mean"]
        assert found["identity"]["difference"] == pytest.approx(expected, abs=1e-6)
        assert found["identity"]["interval"]["low"] > 0
        assert found["expression"]["interval"]["low"] > 0, "copies keep the expression"


def test_without_a_row_to_compare_with_there_are_no_differences():
    one = {"between": ROWS["between"]}
    told = first_table(one)
    assert told["differences"] == {}
    assert told == first_table(one), "the same stream, the same intervals"


# --- table 2 -------------------------------------------------------------------------------------


def rebuilt(made):
    return Faces(IDENTITY, IDENTITY.clone(), made, WHO)


def test_a_known_reconstruction():
    """A tenth of the way from black to white: RMSE 0.1, 20 dB, and red moves the landmarks."""
    rows = {"brighter": rebuilt(IDENTITY + 0.2), "equal": rebuilt(IDENTITY)}
    told = table2(rows, Judge(), seeded(), seen=("dlib",), replicates=50, points=points)
    found = told["rows"]["brighter"]
    assert found["RMSE"]["mean"] == pytest.approx(0.1, rel=1e-5)
    assert found["PSNR"]["mean"] == pytest.approx(20, rel=1e-5)
    assert found["expression"]["mean"] == pytest.approx(0.2, rel=1e-4)
    assert found["identity"]["mean"] < 1
    equal = told["rows"]["equal"]
    assert (equal["RMSE"]["mean"], equal["PSNR"]["mean"]) == (0, None)
    assert equal["pose"]["mean"] == pytest.approx(0, abs=1e-5)
    assert "verified as attributes" not in equal
    assert json.loads(json.dumps(told, allow_nan=False))["judge"] == "judge"


def test_two_faces_are_no_reconstruction():
    with pytest.raises(ParameterError, match="a reconstruction is of one face"):
        table2({"row": row(BETWEEN)}, Judge(), seeded(), seen=(), points=points)
    small = Faces(IDENTITY, IDENTITY, IDENTITY[:, :, ::2, ::2], WHO)
    with pytest.raises(ParameterError, match="are compared with"):
        table2({"row": small}, Judge(), seeded(), seen=(), points=points)
