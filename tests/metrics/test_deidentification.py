"""Recognised before and after: angles whose distances are known, rates that are counted by hand."""

import dataclasses
import math

import pytest
import torch

from facelab.errors import ParameterError
from facelab.metrics.deidentification import Case, deidentification, verified


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def how():
    return {"random": seeded(), "replicates": 200}


def at(*degrees, person=0, people=6):
    """Embeddings in a plane of the person's own, turned by so many degrees from its first axis."""
    rows = torch.zeros(len(degrees), 2 * people)
    turned = torch.tensor(degrees).deg2rad()
    rows[:, 2 * person], rows[:, 2 * person + 1] = turned.cos(), turned.sin()
    return rows


# Squared distances of unit vectors are 2 - 2 cos: 1 at 60 degrees.
THRESHOLD = 1.0


def test_a_frame_is_verified_below_the_threshold():
    frames, enrolled = at(0, 59, 61, 90, -59), at(0)
    assert verified(frames, enrolled, THRESHOLD).tolist() == [1, 1, 0, 0, 1]
    assert verified(3 * frames, 5 * enrolled, THRESHOLD).tolist() == [1, 1, 0, 0, 1]
    squared = 2 - 2 * math.cos(math.radians(30))
    for factor, expected in ((0.999, 0), (1.001, 1)):
        assert verified(at(30), enrolled, squared * factor).tolist() == [expected]


def test_what_counts_of_several_pictures():
    """Pictures at 0 and 80 degrees, whose mean is at 40."""
    frames, enrolled = at(-50, -24, 10, 40, 110), at(0, 80)
    assert verified(frames, enrolled, THRESHOLD, "closest").tolist() == [1, 1, 1, 1, 1]
    assert verified(frames, enrolled, THRESHOLD, "mean").tolist() == [0, 0, 1, 1, 0]
    assert verified(frames, enrolled, THRESHOLD, "pairs").tolist() == [0.5, 0.5, 0.5, 1, 0.5]


def case(person, before, after, donor=None, **lost):
    turned = [at(*degrees, person=person) for degrees in ((0, 20), before, after)]
    return Case(*turned, None if donor is None else at(0, person=donor), **lost)


def cases():
    """Six people: before 3 of 4 frames are verified; after it half of each of the first three's.

    The pictures of the donor are those of the next person.
    """
    found = []
    for person in range(6):
        one = case(person, (0, 10, 20, 100), (), (person + 1) % 6)
        still = at(0, 10, person=person) if person < 3 else at(120, 130, person=person)
        given = at(0, 90, person=(person + 1) % 6)
        found.append(dataclasses.replace(one, after=torch.cat([still, given])))
    return found


def rates(given, **words):
    told = deidentification(given, THRESHOLD, **how(), **words).rates
    return {name: estimate.value for name, estimate in told.items()}


def test_rates_before_and_after():
    told = deidentification(cases(), THRESHOLD, **how())
    assert (told.people, told.gallery_people, told.rule) == (6, 6, "closest")
    assert told.threshold_squared == THRESHOLD
    values = {name: estimate.value for name, estimate in told.rates.items()}
    assert values["verified before"] == 0.75
    assert values["verified after"] == 0.25
    assert values["verified drop"] == 0.5
    assert values["stranger verified"] == 0, "planes are at right angles"
    assert values["donor verified before"] == 0
    assert values["donor verified after"] == 0.25
    # At 100 degrees a frame is 80 from its person's second picture and 90 from all others.
    assert values["rank-1 before"] == 1
    # Of those after it, 120 and 130 are nearer to anybody than 90 to the donor's own first axis.
    assert 0 < values["rank-1 after"] < 0.5


def test_intervals_are_over_people():
    told = deidentification(cases(), THRESHOLD, **how()).rates
    before, after = told["verified before"].interval, told["verified after"].interval
    assert before.low == before.high == 0.75
    assert 0 <= after.low < 0.25 < after.high <= 0.5
    # The drop of each person is 0.25 or 0.75.
    drop = told["verified drop"].interval
    assert 0.25 <= drop.low < 0.5 < drop.high <= 0.75
    few = deidentification(cases()[:4], THRESHOLD, **how()).rates
    assert few["verified before"].interval is None
    assert {estimate.drawn for estimate in told.values()} == {"people"}


def test_nothing_done_is_no_drop_and_a_donor_is_whom_one_sees():
    same = [dataclasses.replace(one, after=one.before) for one in cases()]
    told = rates(same)
    assert told["verified after"] == told["verified before"] == 0.75
    assert told["verified drop"] == 0
    assert told["rank-1 after"] == told["rank-1 before"]
    given = [dataclasses.replace(one, after=one.donor) for one in cases()]
    told = rates(given)
    assert (told["verified after"], told["donor verified after"]) == (0, 1)
    assert told["rank-1 after"] == 0


def test_everybody_counts_the_same():
    many = case(0, (0,) * 9, (0,) * 9)
    few = case(1, (100,), (100,))
    assert rates([many, few])["verified before"] == 0.5


def test_strangers_that_look_alike_are_verified_too():
    """Two people of one plane, 30 degrees apart, and one of another."""
    one, twin, other = case(0, (0, 120), (0,)), case(0, (30,), (0,)), case(1, (0,), (0,))
    # As the first: all of the twin's, none of the other's; as the twin: half of the first's.
    expected = (0.5 + 0.25 + 0) / 3
    assert rates([one, twin, other])["stranger verified"] == pytest.approx(expected)


def test_lost_frames_are_nobodys():
    whole = case(0, (0, 0, 0), (0,), 0)
    lost = dataclasses.replace(whole, lost_before=1, lost_after=4)
    told = rates([lost])
    assert (told["verified before"], told["verified after"]) == (0.75, 0.2)
    assert (told["donor verified before"], told["donor verified after"]) == (0.75, 0.2)
    assert (told["rank-1 before"], told["rank-1 after"]) == (0.75, 0.2)
    nothing = dataclasses.replace(whole, after=whole.after[:0], lost_after=5)
    told = rates([nothing])
    assert (told["verified after"], told["rank-1 after"]) == (0, 0)
    strangers = rates([lost, dataclasses.replace(lost, lost_before=0)])
    assert strangers["stranger verified"] == pytest.approx((1 + 0.75) / 2)


def test_nobody_to_ask_has_no_rate():
    told = rates([case(0, (0,), (0,))])
    for name in ("stranger verified", "donor verified before", "donor verified after"):
        assert told[name] is None
    some = rates([case(0, (0,), (0,)), case(1, (0,), (5,), 1)])
    assert some["donor verified after"] == 1


def test_distractors_make_the_gallery_larger():
    """A stranger at 100 degrees takes the frames there: 80 degrees from the person's pictures."""
    alone = rates(cases())
    crowd = deidentification(
        cases(), THRESHOLD, **how(), distractors=torch.cat([at(100), at(100, person=1)])
    )
    assert crowd.gallery_people == 8
    assert crowd.rates["rank-1 before"].value == pytest.approx(1 - 2 / 6 / 4)
    assert crowd.rates["verified before"].value == alone["verified before"]
    none = deidentification(cases(), THRESHOLD, **how(), distractors=at())
    assert none.gallery_people == 6


def test_the_rule_is_used_for_all():
    given = [case(0, (-50, 10), (110,), 0)]
    given = [dataclasses.replace(given[0], enrolled=at(0, 80), donor=at(0, 80))]
    for rule, before, after in (("closest", 1, 1), ("mean", 0.5, 0), ("pairs", 0.5, 0.5)):
        told = rates(given, rule=rule)
        assert (told["verified before"], told["verified after"]) == (before, after)
        assert told["donor verified after"] == after


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"before": at()}, "a person has no frames before it"),
        ({"after": at()}, "a person has no frames after it"),
        ({"lost_after": -1}, "a negative number of frames"),
        ({"enrolled": at()}, "a person has 0 enrolled pictures"),
        ({"before": at(0) / 0}, "frames have embeddings that are not finite or zero in 1 of 1"),
        ({"after": torch.cat([at(0), at(0) * 0])}, "zero in 1 of 2 rows; count those as lost"),
        ({"after": torch.ones(1, 3)}, "the frames have 3 features and the enrolled pictures 12"),
    ],
)
def test_a_case_that_can_not_be_is_named(change, message):
    with pytest.raises(ParameterError, match=message):
        rates([dataclasses.replace(case(0, (0,), (0,)), **change)])


def test_what_else_can_not_be_is_named():
    with pytest.raises(ParameterError, match="nobody to recognise"):
        rates([])
    for threshold in (0.0, 4.0, math.nan):
        with pytest.raises(ParameterError, match=r"the threshold .* parts no squared distances"):
            deidentification(cases(), threshold, **how())
    with pytest.raises(ParameterError, match="no rule 'best'; choose one of: closest, mean, pairs"):
        verified(at(0), at(0), 1.0, "best")
    with pytest.raises(ParameterError, match="pictures have 3 and 12 features"):
        rates(cases(), distractors=torch.ones(2, 3))
