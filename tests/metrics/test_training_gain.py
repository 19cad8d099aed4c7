"""What a dataset is worth: pairs, what a recogniser is judged by, and gains by hand."""

import dataclasses
import itertools
import math

import pytest
import torch
from torch import nn

from facelab.data.base import FaceDataset
from facelab.engine.settings import Settings
from facelab.errors import ParameterError, TrainingError
from facelab.metrics import training_gain
from facelab.phases import Method, Optimiser, Phase
from facelab.types import Batch


class Colours(FaceDataset):
    """Each person is a colour, each face that colour with a little noise."""

    id, size, split = "colours", 4, "all"

    def __init__(self, people=6, views=4, seed=0, noise=0.02):
        random = torch.Generator().manual_seed(seed)
        self.people = people
        self.identity = torch.arange(people).repeat_interleave(views)
        colours = torch.rand(people, 3, generator=random)[self.identity]
        self.colours = colours + noise * torch.randn(colours.shape, generator=random)

    def config(self):
        return {"id": self.id}

    def batch(self, indices):
        rows = self.resolve(indices)
        images = self.colours[rows][:, :, None, None].expand(-1, -1, 4, 4).contiguous()
        return Batch(images, self.identity[rows])


def test_there_are_as_many_pairs_of_one_person_as_of_two():
    dataset = Colours(people=6, views=4)
    pairs = training_gain.pair_list(dataset)
    same = pairs.identity[pairs.first] == pairs.identity[pairs.second]
    assert (len(pairs), int(same.sum())) == (72, 36)
    rows = torch.stack([pairs.first, pairs.second], dim=1)[same].tolist()
    wanted = [
        pair
        for person in range(6)
        for pair in itertools.combinations(dataset.of_person(person).tolist(), 2)
    ]
    assert sorted(map(tuple, rows)) == wanted
    again = training_gain.pair_list(dataset)
    assert torch.equal(pairs.first, again.first)
    assert not torch.equal(training_gain.pair_list(dataset, seed=1).second, pairs.second)


def test_nobody_with_many_pictures_decides_alone():
    dataset = Colours(people=3, views=4)
    dataset.identity = torch.tensor([0] * 10 + [1, 2])
    dataset.colours = torch.rand(12, 3)
    pairs = training_gain.pair_list(dataset)
    same = pairs.identity[pairs.first] == pairs.identity[pairs.second]
    assert int(same.sum()) == 28
    chosen = torch.stack([pairs.first, pairs.second], dim=1)[same]
    assert len({tuple(pair) for pair in chosen.tolist()}) == 28
    dataset.identity = torch.tensor([*range(12)])
    dataset.people = 12
    with pytest.raises(ParameterError, match="colours has no pairs to judge by"):
        training_gain.pair_list(dataset)
    with pytest.raises(ParameterError, match="no pairs to judge by"):
        training_gain.pair_list(Colours(people=1, views=4))


def test_a_known_zero_and_a_known_perfect_judgement(random):
    dataset = Colours(people=20, views=4)
    pairs = training_gain.pair_list(dataset)
    codes = nn.functional.normalize(torch.randn(20, 8, generator=random), dim=1)[dataset.identity]
    perfect = training_gain.judged(pairs.measured(codes))
    assert (perfect["auc"], perfect["accuracy"], perfect["one_minus_eer"]) == (1.0, 1.0, 1.0)
    assert perfect["fold_rule"] == "people"
    chance = nn.functional.normalize(torch.randn(80, 8, generator=random), dim=1)
    guessed = training_gain.judged(pairs.measured(chance))
    assert 0.35 < guessed["auc"] < 0.65
    low, high = guessed["intervals"]["auc"]
    assert low < guessed["auc"] < high
    apart = pairs.measured(chance).distances
    row = 5
    a, b = chance[pairs.first[row]].double(), chance[pairs.second[row]].double()
    assert float(apart[row]) == pytest.approx(2 - 2 * float(a @ b), abs=1e-6)


class Linear(Method):
    """A linear embedding that learns to classify colours."""

    id, config, averaged = "linear", dataclasses.make_dataclass("C", [])(), ()

    def __init__(self, people):
        self.networks = {
            "embedder": nn.Sequential(nn.Flatten(), nn.Linear(48, 8)),
            "classifier": nn.Linear(8, people),
        }

    def phases(self):
        return [Phase("identity", ("embedder", "classifier"), self.terms, Optimiser(0.02))]

    def terms(self, batch, step):
        logits = self.networks["classifier"](self.networks["embedder"](batch.images))
        return {"softmax": nn.functional.cross_entropy(logits, batch.identity, reduction="none")}

    def preview(self, networks, batch):
        return batch.images


def test_training_is_judged_by_people_it_never_saw():
    training, held_out = Colours(30, 4, seed=1), Colours(20, 4, seed=2)
    pairs = training_gain.pair_list(held_out)
    before, after = (
        training_gain.train_and_judge(
            training_gain.seeded(lambda: Linear(30), 0),
            training,
            held_out,
            pairs,
            Settings(steps=steps, batch=20, workers=0),
        )
        for steps in (1, 60)
    )
    assert (after["people"], after["faces"], after["steps"]) == (30, 120, 60)
    assert after["auc"] > 0.9
    assert after["loss"] < before["loss"]
    assert after["minutes"] > 0


def test_a_training_that_was_cut_short_is_not_judged():
    dataset = Colours(6, 4)
    pairs, short = training_gain.pair_list(dataset), Settings(steps=9, minutes=1e-9, workers=0)
    with pytest.raises(TrainingError, match=r"ended after \d of 9 steps \(out of time\)"):
        training_gain.train_and_judge(Linear(6), dataset, dataset, pairs, short)


def test_first_weights_follow_from_the_seed_and_nothing_else_moves():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, again, other = (
        training_gain.seeded(lambda: Linear(3), seed).networks["embedder"][1].weight
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_students_interval_by_the_table():
    # t = 4.3027 for two degrees of freedom; deviation 1, root of three.
    low, high = training_gain.student_interval(torch.tensor([1.0, 2.0, 3.0]))
    assert low == pytest.approx(2 - 4.30265 / math.sqrt(3), abs=1e-4)
    assert high == pytest.approx(2 + 4.30265 / math.sqrt(3), abs=1e-4)
    assert training_gain.student_interval(torch.tensor([1.0])) is None


def rows(**figures):
    """Rows whose AUC is a base value of the seed and of the fraction, plus what is added."""
    added = {"none": 0.0, "renders": 0.01, "generated": 0.03}
    return [
        {
            "fraction": fraction,
            "added": kind,
            "seed": seed,
            "auc": 0.7 + 0.1 * fraction + 0.05 * seed + more * (2 - fraction),
            **figures,
        }
        for fraction in (0.2, 0.5, 1.0)
        for kind, more in added.items()
        for seed in range(3)
    ]


def test_gains_are_paired_within_a_seed():
    told = training_gain.gains(rows())
    assert told["seeds"] == [0, 1, 2]
    for fraction in (0.2, 0.5, 1.0):
        here = told["fractions"][str(fraction)]
        assert here["generated"]["mean"] == pytest.approx(0.03 * (2 - fraction), abs=1e-5)
        assert here["renders"]["mean"] == pytest.approx(0.01 * (2 - fraction), abs=1e-5)
        difference = here["generated - renders"]
        assert difference["mean"] == pytest.approx(0.02 * (2 - fraction), abs=1e-5)
        # Seeds differ by far more than the gain, and take nothing from its interval.
        low, high = here["generated"]["interval"]
        assert high - low < 1e-4
        assert low <= here["generated"]["mean"] <= high
        assert here["generated"]["p"] == pytest.approx(1 / 8)
        assert here["generated"]["bootstrap"] is None
    assert told["less real data"]["generated"]["mean"] == pytest.approx(0.03 * 0.8, abs=1e-5)
    assert told["less real data"]["renders"]["mean"] == pytest.approx(0.01 * 0.8, abs=1e-5)


def test_no_gain_is_no_gain_and_a_loss_is_below_zero():
    same = [row | {"auc": 0.8} for row in rows()]
    told = training_gain.gains(same)["fractions"]["0.2"]["generated"]
    assert (told["mean"], told["p"], told["interval"]) == (0.0, 1.0, [0.0, 0.0])
    worse = [row | {"auc": 0.8 - 0.1 * (row["added"] == "generated")} for row in rows()]
    told = training_gain.gains(worse)["fractions"]["0.2"]["generated"]
    assert told["mean"] == pytest.approx(-0.1, abs=1e-6)
    assert told["p"] == 1.0


def test_from_five_seeds_on_there_is_a_bootstrap(random):
    better, worse = torch.tensor([0.5, 0.6, 0.7, 0.8, 0.95]), torch.full((5,), 0.5)
    told = training_gain.gain(better, worse, random)
    low, high = told["bootstrap"]
    assert 0 < low < told["mean"] < high
    assert told["mean"] == pytest.approx(0.21, abs=1e-6)


def test_seeds_without_all_rows_are_left_out():
    some = [row for row in rows() if not (row["seed"] == 1 and row["added"] == "generated")]
    assert training_gain.gains(some)["seeds"] == [0, 2]
    few = [row for row in rows() if row["seed"] == 0]
    with pytest.raises(ParameterError, match="1 seeds have every fraction"):
        training_gain.gains(few)
    alone = [row for row in rows() if row["added"] == "none"]
    with pytest.raises(ParameterError, match="gains need two or more"):
        training_gain.gains(alone)
