"""A transfer in numbers: known values come out as they are, and people are what is drawn."""

import dataclasses
import json
import math

import pytest
import torch
from torch import nn

from facelab.errors import ParameterError
from facelab.methods.diat.evaluation import Faces, Seen
from facelab.metrics import pixels, transfer
from facelab.metrics.extractors import Extractor
from facelab.metrics.kernel import kernel_distance

PEOPLE, VIEWS = 12, 5
COUNT = PEOPLE * VIEWS
WHO = torch.arange(PEOPLE).repeat_interleave(VIEWS)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(seed=0, size=16):
    return torch.rand(COUNT, 3, size, size, generator=seeded(seed)) * 2 - 1


def seen(**changed):
    """Readings of faces of which nothing changed: twelve people who have a direction each."""
    directions = nn.functional.normalize(torch.randn(PEOPLE, 16, generator=seeded(2)), dim=1)
    zero = torch.zeros(COUNT)
    known = dict.fromkeys(("change", "squared_change", "colour", "artefacts"), zero)
    embeddings = directions[WHO]
    known |= {"embeddings_before": embeddings, "embeddings_after": embeddings}
    return Seen(**{"before": zero - 1, "after": zero - 1, "embedder": "judge", **known, **changed})


def faces(made=None, masks=None):
    return Faces(pictures(), pictures() if made is None else made, WHO, masks)


class Means(Extractor):
    """The means of the colours."""

    id, features = "means", 3

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, images):
        return self.scale * images.mean((2, 3))


GUIDED = torch.rand(50, 3, generator=seeded(4)) - 0.5


def report(given, readings, **how):
    how = {"seen": ("dlib",), "random": seeded(), "replicates": 100, **how}
    return transfer.report(given, readings, GUIDED, Means(), **how)


def estimates(values, people=WHO):
    return transfer.estimates(values, people, random=seeded(), replicates=200)


# --- one transfer --------------------------------------------------------------------------------


def test_nothing_changed_is_nothing_lost():
    told = report(faces(), seen())
    for name in ("accepted", "accepted before", "identity distance", "change outside",
                 "artefact energy", "colour error", "share of a stranger's distance"):  # fmt: skip
        assert told[name]["value"] == 0
        assert (told[name]["interval"]["low"], told[name]["interval"]["high"]) == (0, 0)
    assert told["SSIM outside"]["value"] == pytest.approx(1)
    assert (told["PSNR outside"]["value"], told["PSNR outside"]["interval"]) == (None, None)
    assert told["stranger's distance"]["value"] > 1
    assert json.loads(json.dumps(told, allow_nan=False))["faces"] == COUNT


def test_known_values():
    """Every fifth face was accepted as it came, three of five are now."""
    fifths = torch.arange(COUNT) % 5
    turned = nn.functional.normalize(torch.randn(COUNT, 16, generator=seeded(3)), dim=1)
    given = seen(
        before=torch.where(fifths == 0, 1.0, -1.0),
        after=torch.where(fifths < 3, 0.01, -5.0),
        change=torch.full((COUNT,), 0.1),
        squared_change=torch.where(fifths < 2, 0.04, 0.0004),
        colour=fifths.float(),
        artefacts=torch.full((COUNT,), -0.25),
        embeddings_after=turned,
    )
    told = report(faces(), given)
    value = {name: told[name]["value"] for name in transfer.UNITS}
    assert value["accepted before"] == pytest.approx(0.2)
    assert value["accepted"] == pytest.approx(0.6)
    assert value["change outside"] == pytest.approx(0.1)
    assert value["PSNR outside"] == pytest.approx((2 * 20 + 3 * 40) / 5, abs=1e-4)
    assert value["colour error"] == pytest.approx(2.0)
    assert value["artefact energy"] == pytest.approx(-0.25)
    twin = sum(float((a - b) @ (a - b))
               for a, b in zip(given.embeddings_before, turned, strict=True)) / COUNT  # fmt: skip
    assert value["identity distance"] == pytest.approx(twin, rel=1e-5)
    assert {name: told[name]["unit"] for name in transfer.UNITS} == dict(transfer.UNITS)
    assert (told["people"], told["embedder"], told["extractor"]) == (PEOPLE, "judge", "means")
    assert told["embedders seen in training"] == ["dlib"]


def test_people_are_drawn_and_not_faces():
    """All faces of a person alike: twelve things, not sixty; the interval is that of twelve."""
    values = {"accepted": (WHO % 2).double()}
    of_people = estimates(values)["accepted"]
    of_faces = estimates(values, torch.arange(COUNT))["accepted"]
    assert of_people.value == of_faces.value == 0.5
    assert of_people.interval.low < 0.5 < of_people.interval.high
    wide, narrow = (found.interval.high - found.interval.low for found in (of_people, of_faces))
    assert wide / narrow == pytest.approx(math.sqrt(VIEWS), rel=0.25)
    few = estimates({"accepted": values["accepted"][:20]}, WHO[:20])["accepted"]
    assert (few.value, few.interval) == (0.5, None), "four people are too few"


def test_what_is_inside_the_mask_does_not_count():
    masks = torch.zeros(COUNT, 1, 16, 16)
    masks[..., :8] = 1
    made = torch.where(masks == 1, pictures(1), pictures())
    inside = transfer.per_face(faces(made, masks), seen())["SSIM outside"]
    torch.testing.assert_close(inside, torch.ones(COUNT, dtype=torch.float64))
    whole = transfer.per_face(faces(made), seen())["SSIM outside"]
    torch.testing.assert_close(whole, pixels.ssim(made, pictures(), data_range=(-1, 1)))
    assert whole.max() < 0.9
    outside = torch.where(masks == 1, pictures(), pictures(1))
    assert transfer.per_face(faces(outside, masks), seen())["SSIM outside"].max() < 0.9


def test_a_stranger_is_a_stranger():
    """Made faces that are the next person's are about as far off as anybody's."""
    moved = seen(embeddings_after=seen().embeddings_before.roll(VIEWS, 0))
    found = transfer.against_strangers(moved, WHO, random=seeded(), replicates=200)
    share = found["share of a stranger's distance"]
    assert share.interval.low < 1.1
    assert share.interval.high > 0.9
    assert share.value == pytest.approx(
        float(moved.identity.mean()) / found["stranger's distance"].value, rel=1e-5
    )
    half = dataclasses.replace(moved, embeddings_after=seen().embeddings_before)
    own = torch.arange(COUNT) < COUNT // 2
    half = dataclasses.replace(
        moved,
        embeddings_after=torch.where(own[:, None], half.embeddings_after, moved.embeddings_after),
    )
    told = transfer.against_strangers(half, WHO, random=seeded(), replicates=200)
    assert 0.3 < told["share of a stranger's distance"].value < 0.7
    with pytest.raises(ParameterError, match="all 60 faces are one person's, so none is"):
        transfer.against_strangers(moved, torch.zeros_like(WHO), random=seeded(), replicates=2)


def test_strangers_are_other_people():
    """Two people of opposite directions: a made face of one is 4 from the other, never 0."""
    directions = torch.stack([torch.ones(16), -torch.ones(16)]) / 4
    two = torch.arange(COUNT) % 2
    both = seen(embeddings_before=directions[two], embeddings_after=directions[two])
    told = transfer.against_strangers(both, two, random=seeded(), replicates=2)
    assert told["stranger's distance"].value == pytest.approx(4)
    assert told["share of a stranger's distance"].value == 0
    one = dataclasses.replace(both, embeddings_after=directions[torch.ones_like(two)])
    told = transfer.against_strangers(one, two, random=seeded(), replicates=2)
    assert 1 < told["stranger's distance"].value < 3, "a made face, all alike, and an input"


def test_made_faces_are_compared_with_the_guided_set():
    told = report(faces(pictures(1) / 2), seen())["kernel distance"]
    features = (pictures(1) / 2).mean((2, 3))
    twin = kernel_distance(GUIDED, features, extractor="means", random=seeded())
    assert told["value"] == pytest.approx(twin.value)
    assert (told["name"], told["counts"]) == (twin.name, (50, COUNT))


def test_a_judge_that_trained_it_is_refused():
    with pytest.raises(ParameterError, match="judge can't judge a network whose loss"):
        report(faces(), seen(), seen=("judge",))
    with pytest.raises(ParameterError, match="means can't judge a network whose loss"):
        report(faces(), seen(), seen=("means",))


# --- before and after the enhancement ------------------------------------------------------------


def test_differences_are_after_less_before_and_of_people():
    """Person p has VIEWS faces but the last, who has one: each counts once."""
    who = WHO[: COUNT - VIEWS + 1]
    numbers = who.double()
    before = {"colour error": numbers + 1, "PSNR outside": numbers + 20}
    after = {"colour error": numbers * 0.5, "PSNR outside": numbers.clone()}
    after["PSNR outside"][3] = math.inf
    told = transfer.enhancement_report(before, after, who, random=seeded())
    colour = told["colour error"]
    assert colour["things"] == PEOPLE
    assert colour["difference"] == pytest.approx(-(1 + 0.5 * (PEOPLE - 1) / 2))
    assert colour["interval"]["high"] < 0
    assert colour["p_less"] == pytest.approx(2**-PEOPLE)
    assert colour["unit"] == "Delta E 1976"
    assert told["PSNR outside"] is None
    assert json.loads(json.dumps(told, allow_nan=False))["colour error"]["things"] == PEOPLE


def test_an_enhancement_that_does_nothing_is_no_difference():
    values = transfer.per_face(faces(pictures(1)), seen(squared_change=torch.ones(COUNT)))
    told = transfer.enhancement_report(values, values, WHO, random=seeded())
    assert list(told) == list(transfer.UNITS)
    assert all((one["difference"], one["p_less"]) == (0, 1) for one in told.values())
    with pytest.raises(ParameterError, match="1 and 1 values can't be paired"):
        transfer.enhancement_report(values, values, torch.zeros_like(WHO), random=seeded())
