"""What a translation keeps: known errors come out as they are, and a lost render as a stranger."""

import dataclasses
import json
import math

import pytest
import torch
from torch import nn

from facelab.errors import ParameterError
from facelab.methods.ganfaces.evaluation import Faces, Seen
from facelab.metrics.extractors import Extractor
from facelab.metrics.translation import control, light_correlation, translation_report
from facelab.recognition.embedder import Embedder

PEOPLE, VIEWS = 12, 5
COUNT = PEOPLE * VIEWS


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def seen(seed=0):
    random = seeded(seed)
    points = torch.rand(COUNT, 68, 2, generator=random) * torch.tensor([40.0, 10.0])
    points[:, 0], points[:, 1] = torch.tensor([0.0, 0.0]), torch.tensor([40.0, 10.0])
    return Seen(
        torch.randn(COUNT, 8, generator=random),
        torch.randn(COUNT, 3, generator=random) / 4,
        points,
        torch.randn(COUNT, 16, generator=random),
        "judge",
    )


def faces(truth=None):
    pictures = torch.zeros(COUNT, 3, 16, 16)
    people = torch.arange(PEOPLE).repeat_interleave(VIEWS)
    angles, points = (None, None) if truth is None else (truth.angles_rad, truth.landmarks)
    return Faces(pictures, pictures, people, angles, points)


def rows(found, index):
    """The same readings in another order."""
    names = ("embeddings", "angles_rad", "landmarks", "light")
    return dataclasses.replace(found, **{name: getattr(found, name)[index] for name in names})


NAMES = ["pose", "yaw", "pitch", "roll", "landmarks", "light"]


def test_nothing_changed_is_nothing_lost():
    told = control(seen(), seen(), faces(seen()), random=seeded())
    assert list(told) == NAMES
    for found in told.values():
        assert (found.error, found.ratio) == (0.0, 0.0)
        assert found.shuffled > 0
        assert found.ratio_interval.high == 0
        assert found.of_truth in (None, 0.0)
    assert told["light"].of_truth is None, "there is no label of the light's cells"


def test_faces_of_strangers_are_strangers():
    """Made faces that belong to the next person's renders are as far off as shuffled ones."""
    moved = rows(seen(), torch.arange(COUNT).roll(VIEWS))
    for found in control(seen(), moved, faces(), random=seeded()).values():
        assert found.ratio_interval.low < 1 < found.ratio_interval.high
        assert found.ratio == pytest.approx(found.error / found.shuffled)


def test_known_errors():
    """A quarter of a radian more yaw, every landmark 2 pixels to the right in a box of 40 x 10."""
    before, after = seen(), seen()
    after.angles_rad[:, 0] += 0.25
    after.landmarks[..., 0] += 2
    after.light[: COUNT // 2] += 1  # on half of the faces, so half a stop off the mean each
    told = control(before, after, faces(before), random=seeded())
    degrees = math.degrees(0.25)
    assert told["pose"].error == told["yaw"].error == pytest.approx(degrees, rel=1e-4)
    assert told["pitch"].error == 0
    assert told["landmarks"].error == pytest.approx(0.1, rel=1e-4)
    assert told["light"].error == pytest.approx(0.5, rel=1e-4)
    assert told["yaw"].of_truth == pytest.approx(degrees, rel=1e-4)
    assert told["yaw"].of_render == 0
    assert told["yaw"].of_truth_interval.low == pytest.approx(degrees, rel=1e-4)


def test_what_all_faces_share_is_no_light():
    before, after = seen(), seen()
    after.light[:, :8] += 3
    assert control(before, after, faces(), random=seeded())["light"].error < 1e-5
    assert light_correlation(before.light, after.light) == pytest.approx(1)


def test_the_light_that_goes_along():
    light = seen().light
    assert light_correlation(light, -2 * light) == pytest.approx(-1)
    assert abs(light_correlation(light, seen(1).light)) < 0.15
    with pytest.raises(ParameterError, match="the light is the same on all faces"):
        light_correlation(light, light[:1].expand_as(light))


def test_one_person_has_no_strangers():
    alone = dataclasses.replace(faces(), people=torch.zeros(COUNT, dtype=torch.long))
    with pytest.raises(ParameterError, match="all 60 faces are one person's"):
        control(seen(), seen(), alone, random=seeded())


# --- the report ----------------------------------------------------------------------------------


class Judge(Embedder):
    """Forty-eight numbers: a picture of 4 x 4."""

    id, size, template, threshold, threshold_squared = "judge", 64, "book64", 1.0, 1.0

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, images):
        return self.scale * nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)


class Means(Extractor):
    """The means of the colours."""

    id, features = "means", 3

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, images):
        return self.scale * images.mean((2, 3))


def pictures():
    """Twelve people of five pictures, each a pattern and noise; made faces are darker."""
    random = seeded(3)
    who = torch.rand(PEOPLE, 1, 3, 8, 8, generator=random).expand(-1, VIEWS, -1, -1, -1)
    small = (who + 0.2 * torch.rand(who.shape, generator=random)).flatten(0, 1) - 0.6
    renders = nn.functional.interpolate(small, size=(64, 64), mode="bilinear")
    return dataclasses.replace(faces(), renders=renders, made=renders - 0.3)


def report(given, **how):
    photos = torch.rand(50, 3, generator=seeded(4)) - 0.5
    how = {"seen": ("dlib",), "random": seeded(), "replicates": 100, **how}
    return translation_report(given, photos, how.pop("judge", Judge()), Means(), **how)


def test_a_report_has_everything_and_is_json():
    given = pictures()
    told = report(given)
    assert json.loads(json.dumps(told))["faces"] == 60
    assert (told["judge"], told["extractor"], told["people"]) == ("judge", "means", 12)
    assert told["embedders seen in training"] == ["dlib"]
    assert told["separation"]["one_minus_eer"] > 0.95
    assert told["coherence"]["ratio"] < 0.3
    assert told["realism"]["counts"] == (50, 60)
    assert list(told["control"]) == NAMES
    assert told["light correlation"] > 0.8
    brighter = dataclasses.replace(given, made=given.renders + 0.1)
    assert report(brighter)["realism"]["value"] < told["realism"]["value"]


def test_people_of_one_face_are_not_told_apart():
    given = dataclasses.replace(pictures(), people=torch.arange(COUNT))
    told = report(given)
    assert (told["separation"], told["coherence"]) == (None, None)
    assert told["control"]["pose"]["error"] >= 0


def test_a_judge_that_trained_it_is_refused():
    with pytest.raises(ParameterError, match="judge can't judge a network whose loss"):
        report(pictures(), seen=("judge",))
    with pytest.raises(ParameterError, match="means can't judge a network"):
        report(pictures(), seen=("means",))
