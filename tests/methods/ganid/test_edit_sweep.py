"""Sweeps of edits with a judge whose answer is known, and what averaging does."""

import json

import pytest
import torch

from facelab.errors import ParameterError
from facelab.methods.ganid.arithmetic import attribute_vector, sample_labels
from facelab.methods.ganid.edit_sweep import Sweep, averaging, sweep
from facelab.recognition.embedder import Embedder


@pytest.fixture
def latents(random) -> torch.Tensor:
    return torch.randn(40, 6, generator=random)


@pytest.fixture
def axis() -> torch.Tensor:
    return torch.eye(6)[0]


def test_a_judge_whose_answer_is_known(scorer, latents, axis, first):
    found = sweep(scorer, latents, axis, first, (0.5, 1.0, 3.0))
    assert torch.equal(found.before, latents[:, 0] > 1)
    for row, strength in enumerate((0.5, 1.0, 3.0)):
        expected = latents[:, 0] + strength > 1
        assert torch.equal(found.has[row], expected)
        assert float(found.accepted[row]) == pytest.approx(float(expected.float().mean()))
        others = expected[latents[:, 0] <= 1]
        assert float(found.changed[row]) == pytest.approx(float(others.float().mean()))
    assert (found.attribute, found.embedder, found.unseen) == ("first", "patches", None)


def test_the_other_way(scorer, latents, axis, first):
    found = sweep(scorer, latents, -axis, first.reversed(), (2.0,))
    assert torch.equal(found.before, latents[:, 0] < 1)
    assert torch.equal(found.has[0], latents[:, 0] - 2 < 1)


def test_identity_is_compared_with_the_unedited_face(scorer, unseen, latents, axis, first):
    found = sweep(scorer, latents, axis, first, (0.5, 2.0), unseen=unseen)
    for row, strength in enumerate((0.5, 2.0)):
        before, after = scorer.embed(latents), scorer.embed(latents + strength * axis)
        torch.testing.assert_close(found.distance[row], Embedder.distance(after, before))
    # The other embedder is the same network, so it must say the same.
    torch.testing.assert_close(found.distance_unseen, found.distance)
    assert found.unseen == "others"
    assert (found.distance[1] > found.distance[0]).all()


def test_a_vector_of_zeros_changes_nothing(scorer, latents, first):
    found = sweep(scorer, latents, torch.zeros(6), first, (1.0,))
    assert torch.equal(found.has[0], found.before)
    assert float(found.changed[0]) == 0
    assert float(found.distance.abs().max()) < 1e-6
    assert found.strength_at() is None


@pytest.mark.parametrize("strengths", [(), (0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (float("nan"),)])
def test_strengths_have_to_rise(scorer, latents, axis, first, strengths):
    with pytest.raises(ParameterError, match="above 0 in rising order"):
        sweep(scorer, latents, axis, first, strengths)


@pytest.fixture
def known() -> Sweep:
    """Five faces, of which one had the attribute; one, three and all four others follow."""
    has = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]], dtype=torch.bool)
    distance = torch.tensor([[0.1], [0.3], [0.4]]).expand(3, 5)
    before = torch.tensor([True, False, False, False, False])
    steps = torch.tensor([1.0, 2.0, 4.0])
    return Sweep("a", "a judge", "e", steps, before, has, distance, "u", 2 * distance)


def test_the_strength_of_a_share_by_hand(known):
    torch.testing.assert_close(known.accepted, torch.tensor([0.4, 0.8, 1.0]))
    torch.testing.assert_close(known.changed, torch.tensor([0.25, 0.75, 1.0]))
    assert known.strength_at(0.75) == pytest.approx(2.0)
    assert known.strength_at(0.8) == pytest.approx(2 + 2 * 0.05 / 0.25)
    assert known.strength_at(0.1) == pytest.approx(0.4)
    assert known.strength_at(0.5) == pytest.approx(1.5)


def test_a_share_that_is_not_reached(known):
    fewer = Sweep(**{**vars(known), "has": known.has & known.before})
    assert fewer.strength_at(0.8) is None
    all_had_it = Sweep(**{**vars(known), "before": torch.ones(5, dtype=torch.bool)})
    assert all_had_it.strength_at(0.8) is None
    assert all_had_it.record()["changed"] == [None] * 3


@pytest.mark.parametrize(
    ("strength", "expected"),
    [(0.0, 0.0), (0.5, 0.05), (1.0, 0.1), (1.5, 0.2), (3.0, 0.35), (4.0, 0.4)],
)
def test_distances_between_two_strengths(known, strength, expected):
    torch.testing.assert_close(known.distance_at(strength), torch.full((5,), expected))
    torch.testing.assert_close(known.distance_at(strength, unseen=True),
                               torch.full((5,), 2 * expected))  # fmt: skip


def test_distances_that_were_not_measured(known):
    with pytest.raises(ParameterError, match="at strength 5; take 0 to 4"):
        known.distance_at(5)
    alone = Sweep(**{**vars(known), "unseen": None, "distance_unseen": None})
    with pytest.raises(ParameterError, match="a sweep with that embedder"):
        alone.distance_at(1.0, unseen=True)


def test_the_record_is_json(known):
    found = json.loads(json.dumps(known.record(), allow_nan=False))
    assert (found["faces"], found["had it before"]) == (5, 1)
    assert found["changed"] == [0.25, 0.75, 1.0]
    assert found["distance, e"] == [0.1, 0.3, 0.4]
    assert found["distance, u"] == [0.2, 0.6, 0.8]


def test_more_samples_give_a_steadier_vector(scorer, stripes, latents, first):
    labelled = sample_labels(stripes, 2000, attributes=[first])
    found = averaging(
        scorer, latents, labelled, first, (1, 10, 100),
        repeats=8, strength=0.3, random=torch.Generator().manual_seed(1),
    )  # fmt: skip
    assert found.changed.shape == (3, 8)
    cosine, length = found.cosine.mean(1), found.length.mean(1)
    assert cosine[0] < cosine[1] < cosine[2] <= 1
    assert float(cosine[2]) > 0.98
    # Of n samples a side the noise is about sqrt(2 / n) in each of 5 numbers, the signal 3.5.
    assert float(length[0]) == pytest.approx((1 + 5 * 2 / 3.51**2) ** 0.5, abs=0.2)
    assert float(length[2]) == pytest.approx(1, abs=0.03)
    assert found.changed[0].std() > found.changed[2].std()
    assert found.distance[0].mean() > found.distance[2].mean()
    rows = json.loads(json.dumps(found.record(), allow_nan=False))
    assert [row["averaged"] for row in rows] == [1, 10, 100]
    assert rows[2]["changed"] == pytest.approx(float(found.changed[2].mean()), abs=1e-4)


def test_the_mean_of_all_is_the_vector_itself(scorer, stripes, latents, first, random):
    labelled = sample_labels(stripes, 500, attributes=[first])
    found = averaging(
        scorer, latents, labelled, first, (50,), repeats=2, strength=0.2, random=random
    )
    vector = attribute_vector(labelled.latents, labelled.scores["first"])
    whole = sweep(scorer, latents, vector, first, (0.2,))
    torch.testing.assert_close(found.changed[0], whole.changed.expand(2))
    torch.testing.assert_close(found.distance[0], whole.distance.mean().expand(2))
    assert 0 < float(whole.changed) < float(whole.accepted) < 1


def test_repeats_follow_from_the_stream(scorer, stripes, latents, first):
    labelled = sample_labels(stripes, 200, attributes=[first])
    drawn = [
        averaging(scorer, latents[:5], labelled, first, (1, 3), repeats=2,
                  random=torch.Generator().manual_seed(seed)).cosine
        for seed in (0, 0, 1)
    ]  # fmt: skip
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
