"""Probes: known structure, scikit-learn's own pipeline as a twin, and closed forms."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from facelab.errors import ParameterError
from facelab.metrics import probes
from facelab.metrics.probes import attribute_probe, compare_attributes, leakage_probe, split_faces

FACES = 200
PEOPLE = torch.arange(FACES) // 5


def half(random, count=FACES):
    """A label for each face, true for every second one in a random order."""
    return torch.randperm(count, generator=random) % 2 == 0


def features_of(labels, random, channel=2, width=5):
    """Noise, and one channel that is the label: 4 where it is true, 2 where it is not."""
    rows = torch.randn(len(labels), width, generator=random)
    rows[:, channel] = 3 + labels.float().mul(2).sub(1) + 0.05 * rows[:, channel]
    return rows


def probe(train, seen, test, truth, random, **how):
    names = how.pop("names", [f"a{k}" for k in range(seen.shape[1])])
    people = how.pop("people", torch.arange(len(test)) // 5)
    return attribute_probe(
        train, seen, test, truth, names=names, people=people, random=random, **{**QUICK, **how}
    )


QUICK = {"replicates": 100}


# --- attributes ----------------------------------------------------------------------------------


def test_an_attribute_that_is_a_channel_is_found_with_its_direction(random):
    seen, truth = half(random), half(random)
    train, test = features_of(seen, random), features_of(truth, random)
    found = probe(train, seen[:, None], test, truth[:, None], random, names=["smile"])
    one = found.attributes["smile"]
    assert one.accuracy.value == one.balanced_accuracy.value == 1.0
    assert (one.accuracy.interval.low, one.accuracy.interval.high) == (1.0, 1.0)
    assert one.boundary.normal[2] > 0.95, "it points to faces that have it"
    assert np.linalg.norm(one.boundary.normal) == pytest.approx(1)
    assert one.boundary.direction[2] > 0.99
    assert np.linalg.norm(one.boundary.direction) == pytest.approx(1)
    assert one.boundary.offset / one.boundary.normal[2] == pytest.approx(3, abs=0.2)
    assert one.boundary.converged
    assert (found.test_people, found.test_faces, found.train_faces) == (40, 200, 200)
    assert json.loads(json.dumps(dataclasses.asdict(found)))["attributes"]["smile"]["share"] == 0.5


def test_an_edit_moves_each_channel_by_its_own_spread(random):
    """Two channels say the same as loudly, one in thousandths: along the normal of the plane in
    feature space that one would be thrown a thousand of its deviations away."""
    seen, truth = half(random), half(random)
    scale = torch.tensor([1.0, 0.001])

    def rows(labels):
        noise = torch.randn(len(labels), 2, generator=random)
        return (labels.float()[:, None] * 2 - 1 + 0.5 * noise) * scale

    test = rows(truth)
    found = probe(rows(seen), seen[:, None], test, truth[:, None], random)
    boundary = found.attributes["a0"].boundary
    assert boundary.direction[0] > 0.99
    assert boundary.direction[1] == pytest.approx(0.001, rel=0.6)
    assert boundary.normal[1] > 0.99
    step = 10 * torch.tensor(boundary.direction)
    assert boundary.decide(test + step).all()
    assert not boundary.decide(test - step).any()


def test_the_scaler_sees_the_training_part_alone(random):
    """scikit-learn's own pipeline decides alike, on a test part that lies elsewhere."""
    seen, truth = half(random), half(random)
    train = features_of(seen, random) * torch.tensor([1.0, 10, 2, 0.5, 5])
    test = features_of(truth, random, channel=0) * 3 + 4
    found = probe(train, seen[:, None], test, truth[:, None], random)
    twin = make_pipeline(StandardScaler(), LinearSVC(dual=False))
    twin.fit(train.double().numpy(), seen.numpy())
    expected = twin.predict(test.double().numpy())
    assert 20 < expected.sum() < 180
    one = found.attributes["a0"]
    assert one.boundary.decide(test).tolist() == expected.tolist()
    assert one.accuracy.value == pytest.approx(float((expected == truth.numpy()).mean()))


def test_shuffled_labels_are_at_chance_beside_the_majority(random):
    shares = torch.tensor([0.5, 0.3, 0.7])
    seen, truth = (torch.rand(FACES, 3, generator=random) < shares for _ in range(2))
    train, test = (torch.randn(FACES, 5, generator=random) for _ in range(2))
    fair, rare, usual = probe(train, seen, test, truth, random).attributes.values()
    assert fair.balanced_accuracy.value == pytest.approx(0.5, abs=0.1)
    assert fair.balanced_accuracy.interval.low < 0.5 < fair.balanced_accuracy.interval.high
    assert rare.balanced_accuracy.value == pytest.approx(0.5, abs=0.1)
    assert rare.accuracy.value == pytest.approx(rare.majority, abs=0.1)
    assert rare.majority == pytest.approx(1 - rare.share)
    assert rare.share == pytest.approx(float(truth[:, 1].double().mean()))
    assert usual.majority == pytest.approx(usual.share)


def test_the_majority_is_that_of_the_training_part(random):
    seen, truth = (torch.rand(FACES, 1, generator=random) < share for share in (0.3, 0.8))
    train, test = (torch.randn(FACES, 5, generator=random) for _ in range(2))
    one = probe(train, seen, test, truth, random).attributes["a0"]
    assert one.majority == pytest.approx(float((~truth).double().mean()))
    assert one.majority < 0.3


def test_attributes_with_too_few_faces_or_people_are_left_out(random):
    first = torch.arange(FACES)
    usual = half(random)
    columns = {
        "usual": (usual, usual),
        "rare": (first < 3, usual),
        "everybody": (usual, first >= 0),
        "family": (usual, first < 15),  # three people of five faces each
    }
    seen, truth = (torch.stack([pair[k] for pair in columns.values()], dim=1) for k in range(2))
    rows = torch.randn(FACES, 4, generator=random)
    found = probe(rows, seen, rows, truth, random, names=list(columns))
    assert list(found.attributes) == ["usual"]
    assert found.left_out == {
        "rare": "3 faces of the training part are with it; 10 are needed",
        "everybody": "0 faces of the test part are without it; 10 are needed",
        "family": "3 people of the test part are with it; 5 are needed",
    }
    assert found.accuracy.value == found.attributes["usual"].accuracy.value
    none = probe(rows, seen[:, 1:], rows, truth[:, 1:], random)
    assert (none.accuracy, none.balanced_accuracy, none.majority) == (None, None, None)
    assert len(none.left_out) == 3


def test_means_are_over_attributes(random):
    seen, truth = (torch.stack([half(random), half(random)], dim=1) for _ in range(2))
    train, test = features_of(seen[:, 0], random), features_of(truth[:, 0], random)
    found = probe(train, seen, test, truth, random)
    values = [one.accuracy.value for one in found.attributes.values()]
    assert found.accuracy.value == pytest.approx(sum(values) / 2)
    assert 0.65 < found.accuracy.interval.low < found.accuracy.interval.high < 0.85


def test_scores_weigh_faces_by_how_often_they_are_drawn(random):
    answers, truth = (torch.rand(30, generator=random) < 0.6 for _ in range(2))
    times = torch.randint(0, 4, (30,), generator=random)
    weighted = probes._scores(answers, truth)
    again = probes._scores(answers.repeat_interleave(times), truth.repeat_interleave(times))
    weights, ones = times.double().numpy(), np.ones(int(times.sum()))
    for figure in probes.FIGURES:
        assert weighted[figure](weights) == pytest.approx(again[figure](ones), abs=1e-12)
    right = answers == truth
    by_hand = (right[truth].double().mean() + right[~truth].double().mean()) / 2
    assert weighted["balanced_accuracy"](np.ones(30)) == pytest.approx(float(by_hand))
    assert np.isnan(weighted["balanced_accuracy"]((~truth).double().numpy())), "no face has it"


def test_intervals_are_over_people(random):
    """Half of the people are right on every face and half on none: their faces tell the same."""
    seen, truth = half(random), half(random)
    train = features_of(seen, random)
    test = features_of(truth ^ (PEOPLE % 2 == 0), random)
    widths = []
    for people in (PEOPLE, torch.arange(FACES)):
        found = probe(train, seen[:, None], test, truth[:, None], random, people=people)
        interval = found.attributes["a0"].accuracy.interval
        assert interval.low < 0.5 < interval.high
        widths.append(interval.high - interval.low)
    assert 1.5 < widths[0] / widths[1] < 3.2, "about the root of five"


# --- two features --------------------------------------------------------------------------------


def two_branches(random):
    """The first holds attribute 0, the second attribute 1, both of them 2; labels of the test."""
    seen, truth = (torch.stack([half(random) for _ in range(3)], dim=1) for _ in range(2))
    sides = []
    for own in (0, 1):
        train, test = (
            torch.cat([features_of(x[:, own], random), features_of(x[:, 2], random)], dim=1)
            for x in (seen, truth)
        )
        sides.append((probe(train, seen, test, truth, random), test))
    return *sides, truth


@pytest.mark.parametrize("figure", probes.FIGURES)
def test_each_branch_is_better_on_what_it_holds(random, figure):
    first, second, truth = two_branches(random)
    how = {"people": PEOPLE, "random": random, "figure": figure, **QUICK}
    found = compare_attributes(first, second, truth, **how)
    assert (found.better, found.worse, found.equal) == (1, 1, 1)
    assert (found.clearly_better, found.clearly_worse) == (1, 1)
    apart = [one.value for one in found.attributes.values()]
    values = [
        [getattr(one, figure).value for one in side[0].attributes.values()]
        for side in (first, second)
    ]
    assert apart == pytest.approx([a - b for a, b in zip(*values, strict=True)])
    assert apart[0] > 0.3
    assert found.difference.value == pytest.approx(sum(apart) / 3)
    back = compare_attributes(second, first, truth, **how)
    assert [one.value for one in back.attributes.values()] == pytest.approx([-a for a in apart])
    assert json.loads(json.dumps(dataclasses.asdict(found)))["figure"] == figure


def test_what_can_not_be_compared(random):
    first, second, truth = two_branches(random)
    how = {"people": PEOPLE, "random": random, **QUICK}
    with pytest.raises(ParameterError, match="can't be compared by 'auc'"):
        compare_attributes(first, second, truth, figure="auc", **how)
    with pytest.raises(ParameterError, match="with labels of 2"):
        compare_attributes(first, second, truth[:, :2], **how)
    other = (dataclasses.replace(second[0], names=("b0", "b1", "b2"), attributes={}), second[1])
    with pytest.raises(ParameterError, match="0 attributes were probed by both"):
        compare_attributes(first, other, truth, **how)
    with pytest.raises(ParameterError, match="has 199 faces and labels of 200"):
        compare_attributes(first, (second[0], second[1][1:]), truth, **how)
    with pytest.raises(ParameterError, match="given features have 9 numbers a face"):
        compare_attributes(first, (first[0], first[1][:, :9]), truth, **how)


def test_bad_input_of_attributes(random):
    rows, labels = torch.randn(FACES, 3, generator=random), half(random)[:, None]
    with pytest.raises(ParameterError, match="2 numbers a face and those that the probe"):
        probe(rows, labels, rows[:, :2], labels, random)
    with pytest.raises(ParameterError, match="training part has 200 faces and labels of 199"):
        probe(rows, labels[1:], rows, labels, random)
    with pytest.raises(ParameterError, match="test part has 200 faces and labels of 3"):
        probe(rows, labels, rows, labels, random, people=torch.arange(3))
    with pytest.raises(ParameterError, match="2 names for 1 attributes"):
        probe(rows, labels, rows, labels, random, names=["a", "b"])
    with pytest.raises(ParameterError, match="not finite"):
        probe(rows / 0, labels, rows, labels, random)
    with pytest.raises(ParameterError, match="no feature of the training part varies"):
        probe(torch.ones(FACES, 3), labels, rows, labels, random)


# --- identity ------------------------------------------------------------------------------------


def leak(features, people, random, **how):
    train, test = split_faces(people, random=random)
    return leakage_probe(
        features[train],
        people[train],
        features[test],
        people[test],
        random=random,
        **{**QUICK, "hidden": 16, **how},
    )


def test_a_feature_that_is_the_identity_leaks_all(random):
    people = torch.arange(48) // 6 * 10 + 3  # any numbers
    found = leak(torch.eye(8)[people // 10] + 0.01, people, random)
    for reader in (found.linear, found.perceptron):
        assert (reader.accuracy.value, reader.top5.value) == (1.0, 1.0)
        assert reader.accuracy.interval.low == 1.0
    assert found.linear.strength == probes.LOGISTIC[0], "the most regularised of equals"
    assert (found.chance, found.chance_top5) == (1 / 8, 5 / 8)
    assert (found.people, found.train_faces, found.test_faces) == (8, 24, 24)
    assert json.loads(json.dumps(dataclasses.asdict(found)))["linear"]["accuracy"]["value"] == 1


def test_noise_leaks_nothing(random):
    people = torch.arange(200) // 20
    found = leak(torch.randn(200, 4, generator=random), people, random)
    for reader in (found.linear, found.perceptron):
        assert reader.accuracy.interval.low <= found.chance <= reader.accuracy.interval.high
        assert reader.top5.interval.low <= found.chance_top5 <= reader.top5.interval.high
        assert reader.top5.value > reader.accuracy.value


def test_the_perceptron_finds_what_no_plane_can(random):
    """Three people on three rings about one centre."""
    people = torch.arange(240) % 3
    angles = torch.rand(240, generator=random) * 2 * torch.pi
    rings = torch.stack([angles.cos(), angles.sin()], dim=1) * (1 + 2 * people)[:, None]
    found = leak(rings, people, random, hidden=32)
    assert found.linear.accuracy.value < 0.6
    assert found.perceptron.accuracy.value > 0.9
    assert found.perceptron.accuracy.interval is None, "three people are too few"


def test_the_same_random_gives_the_same_leak():
    people = torch.arange(40) // 8
    rows = torch.randn(40, 3, generator=torch.Generator().manual_seed(3))
    once, again, other = (leak(rows, people, torch.Generator().manual_seed(k)) for k in (4, 4, 5))
    assert once == again
    assert once != other


def test_the_strength_is_chosen_by_faces_set_aside(random):
    """With hardly any weight logistic regression only knows who has most faces."""
    people = torch.cat([torch.zeros(20), torch.arange(1, 6).repeat(4)]).long()
    rows = torch.eye(6, dtype=torch.float64)[people]

    def make(strength):
        return LogisticRegression(C=strength)

    assert probes._chosen(make, (1e-6, 100.0), rows, people) == 100.0
    assert probes._chosen(make, (100.0, 1e-6), rows, people) == 100.0
    alone = torch.arange(40)
    assert probes._chosen(make, (0.1, 0.2, 0.3), rows, alone) == 0.2, "nothing to set aside"


def test_faces_are_split_by_person(random):
    people = torch.tensor([7] * 8 + [1] * 5 + [4] * 2 + [9])[torch.randperm(16, generator=random)]
    train, test = split_faces(people, random=random)
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(16))
    assert people[test].bincount(minlength=10)[[7, 1, 4, 9]].tolist() == [4, 2, 1, 0]
    _, fewer = split_faces(people, random=random, share=0.25)
    assert people[fewer].bincount(minlength=10)[[7, 1, 4, 9]].tolist() == [2, 1, 1, 0]
    assert test.tolist() != split_faces(people, random=random)[1].tolist()


def test_bad_input_of_the_leak(random):
    rows, people = torch.randn(12, 3, generator=random), torch.arange(12) // 4
    with pytest.raises(ParameterError, match="has 2 people and lacks 1 of the test's"):
        leakage_probe(rows[:8], people[:8], rows, people, random=random)
    with pytest.raises(ParameterError, match="has 1 people"):
        leakage_probe(rows, people * 0, rows, people * 0, random=random)
    with pytest.raises(ParameterError, match="test part has 12 faces and labels of 11"):
        leakage_probe(rows, people, rows, people[1:], random=random)
    with pytest.raises(ParameterError, match="a share of 1 leaves"):
        split_faces(people, random=random, share=1.0)
