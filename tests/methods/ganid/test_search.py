"""Searches from beginning to end: budgets, thresholds, curves, and who beats whom."""

import json

import pytest
import torch

from facelab.errors import CheckpointError, ParameterError
from facelab.methods.ganid import cmaes, gradient, greedy
from facelab.methods.ganid.bank import Bank
from facelab.methods.ganid.scoring import Scorer, Target
from facelab.methods.ganid.search import (
    STRATEGIES,
    Point,
    Settings,
    Trace,
    begin,
    passes,
    search,
    threshold_of,
)
from facelab.methods.ganid.strategy import Pass

# Small enough that every stage is reached within some hundred evaluations.
CONFIGS = {
    "greedy": greedy.Config(initial=60, per_pass=17, coarse_passes=5),
    "cmaes": cmaes.Config(initial=60, population=12),
    "gradient": gradient.Config(initial=60, starts=3, steps=20),
}
BY_BUDGET = {"threshold": 0.0}


def options(strategy: str) -> dict:
    return {"config": CONFIGS[strategy]} if strategy in CONFIGS else {}


@pytest.fixture
def hidden(random) -> torch.Tensor:
    """What is looked for."""
    return torch.randn(1, 6, generator=random)


@pytest.fixture
def target(scorer, hidden) -> Target:
    """A face of the generator itself: the best distance is 0."""
    return Target("hidden", scorer.embed(hidden), "patches")


# --- the trace -----------------------------------------------------------------------------------


@pytest.fixture
def trace() -> Trace:
    trace = Trace("random")
    for number, distances in enumerate(([0.9, 0.7, 0.8, 0.6], [0.65, 0.6], [0.5, 0.4, 0.4])):
        latents = torch.full((len(distances), 1), float(number))
        latents += torch.arange(len(distances))[:, None] / 10
        trace.add(Pass(latents, torch.tensor(distances), f"stage {number}"))
    return trace


def test_improvements_are_noted_where_they_happened(trace):
    assert trace.evaluations == 9
    assert [(p.evaluations, round(p.distance, 6), p.stage) for p in trace.curve] == [
        (1, 0.9, "stage 0"), (2, 0.7, "stage 0"), (4, 0.6, "stage 0"),
        (7, 0.5, "stage 2"), (8, 0.4, "stage 2"),
    ]  # fmt: skip
    assert torch.cat(trace.latents)[:, 0].tolist() == pytest.approx([0, 0.1, 0.3, 2, 2.1])
    assert torch.equal(trace.best, trace.latents[-1])
    assert trace.distance == trace.curve[-1].distance == pytest.approx(0.4)


def test_the_anytime_curve(trace):
    told = [trace.at(n) for n in range(11)]
    expected = [float("inf"), 0.9, 0.7, 0.7, 0.6, 0.6, 0.6, 0.5, 0.4, 0.4, 0.4]
    assert told == pytest.approx(expected)


def test_before_the_first_pass_nothing_is_near():
    assert Trace("random").distance == Trace("random").at(5) == float("inf")


def test_the_record_is_json(trace):
    trace.stopped_because = "budget"
    record = json.loads(json.dumps(trace.record(), allow_nan=False))
    assert record["strategy"] == "random"
    assert record["evaluations"] == 9
    assert record["best_distance"] == 0.4
    assert record["stopped_because"] == "budget"
    assert Point(**record["curve"][-1]) == trace.curve[-1]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_distance_that_is_no_number_is_an_error(trace, value):
    bad = Pass(torch.zeros(2, 1), torch.tensor([0.3, value]), "x")
    with pytest.raises(CheckpointError, match=f"is {value} away from the target after 11 evalua"):
        trace.add(bad)


# --- budgets and thresholds ----------------------------------------------------------------------


@pytest.mark.parametrize("budget", [1, 59, 60, 61, 137, 333])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_budget_is_met_exactly(strategy, budget, scorer, target):
    settings = Settings(budget, **BY_BUDGET)
    looking = begin(strategy, scorer, target, seed=settings.seed, **options(strategy))
    trace, made = Trace(strategy), []
    for _ in passes(looking, settings, trace):
        made.append(trace.evaluations)
    assert trace.stopped_because == "budget"
    assert made[-1] == trace.evaluations == budget
    assert made == sorted(set(made))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_curve_only_falls(strategy, scorer, target):
    trace = search(strategy, scorer, target, Settings(300, **BY_BUDGET), **options(strategy))
    distances, places = zip(*((p.distance, p.evaluations) for p in trace.curve), strict=True)
    assert list(distances) == sorted(set(distances), reverse=True)
    assert list(places) == sorted(set(places))
    told = scorer.distances(torch.cat(trace.latents), target)
    torch.testing.assert_close(told, torch.tensor(distances), rtol=0, atol=1e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_search_ends_at_the_threshold(strategy, scorer, target):
    whole = search(strategy, scorer, target, Settings(300, **BY_BUDGET), **options(strategy))
    aim = whole.curve[len(whole.curve) // 2]
    settings = Settings(300, threshold=aim.distance)
    trace = search(strategy, scorer, target, settings, **options(strategy))
    assert trace.stopped_because == "threshold"
    assert trace.distance <= aim.distance
    assert aim.evaluations <= trace.evaluations < 300
    assert trace.curve == whole.curve[: len(trace.curve)]


@pytest.mark.parametrize("distance", [0.0, -1e-7])
def test_at_0_the_budget_alone_ends_a_search(distance, scorer, target):
    trace = Trace("random")
    trace.add(Pass(torch.zeros(1, 6), torch.tensor([distance]), "random"))
    looking = begin("random", scorer, target)
    list(passes(looking, Settings(30, **BY_BUDGET), trace))
    assert (trace.evaluations, trace.stopped_because) == (30, "budget")


def test_a_finished_search_makes_no_further_pass(scorer, target):
    settings = Settings(20, **BY_BUDGET)
    looking, trace = begin("random", scorer, target), Trace("random")
    assert len(list(passes(looking, settings, trace))) == 1
    trace.stopped_because = None  # as it is read from a file
    assert list(passes(looking, settings, trace)) == []
    assert trace.stopped_because == "budget"


def test_the_papers_threshold_on_another_scale(patches):
    assert threshold_of(Settings(), patches) == pytest.approx(0.04 * 0.4 / 1.1)
    assert threshold_of(Settings(threshold=0.0), patches) == 0
    assert threshold_of(Settings(threshold=0.3), patches) == 0.3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"budget": 0}, "a budget of 0 evaluations finds nothing; give at least 1"),
        ({"budget": -5}, "a budget of -5"),
        ({"threshold": -0.1}, "a threshold of -0.1 is no squared distance; give 0 to 4"),
        ({"threshold": float("nan")}, "a threshold of nan"),
    ],
)
def test_what_cannot_be_used_is_refused(wrong, message):
    with pytest.raises(ParameterError, match=message):
        Settings(**wrong)


# --- who finds more ------------------------------------------------------------------------------


def test_every_strategy_beats_random_search(scorer, random):
    """Over five hidden faces, at the same budget; gradient at a tenth of it."""
    bank, ends = Bank(scorer), {name: [] for name in STRATEGIES}
    for hidden in torch.randn(5, 6, generator=random).split(1):
        target = Target("hidden", scorer.embed(hidden), "patches")
        for name in STRATEGIES:
            budget = 60 if name == "gradient" else 600
            config = {"gradient": {"config": gradient.Config(12, 2, 24, prior=0.0)}}
            chosen = config.get(name, options(name))
            trace = search(name, scorer, target, Settings(budget, **BY_BUDGET), bank, **chosen)
            ends[name].append(trace.distance)
    means = {name: sum(found) / 5 for name, found in ends.items()}
    assert means["greedy"] < 0.5 * means["random"]
    assert means["cmaes"] < 0.1 * means["random"]
    assert means["gradient"] < 0.5 * means["random"]


def test_the_best_face_is_the_hidden_one(scorer, hidden, target):
    """Not the latent vector: a recogniser of unit embeddings is blind to some changes."""
    trace = search("cmaes", scorer, target, Settings(2000, **BY_BUDGET), **options("cmaes"))
    assert trace.distance < 1e-5
    torch.testing.assert_close(scorer.embed(trace.best), target.embeddings, rtol=0, atol=3e-3)


# --- banks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_empty_bank_that_is_shared_gets_filled(strategy, scorer, target):
    """An empty bank is falsy; it is still the one to use."""
    bank = Bank(scorer, seed=9)
    trace = search(strategy, scorer, target, Settings(30, **BY_BUDGET), bank, **options(strategy))
    assert len(bank) == 50
    assert torch.equal(trace.best, bank.latents(int(trace.curve[-1].evaluations) - 1, 1))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_seed_is_a_search(strategy, scorer, target):
    def run(seed):
        settings = Settings(150, threshold=0.0, seed=seed)
        return search(strategy, scorer, target, settings, **options(strategy))

    first, again, other = run(3), run(3), run(4)
    assert first.curve == again.curve
    assert torch.equal(first.best, again.best)
    assert first.curve != other.curve


def test_a_bank_of_other_networks_is_refused(scorer, unseen, target):
    with pytest.raises(ParameterError, match="the bank is of stripes > fixed > others, the search"):
        search("random", scorer, target, Settings(5), Bank(unseen))


def test_an_unknown_strategy_is_refused(scorer, target):
    with pytest.raises(ParameterError, match="no strategy 'annealing'; choose one of: greedy, ran"):
        search("annealing", scorer, target)


def test_a_target_of_another_embedder_is_refused(scorer: Scorer):
    other = Target("x", torch.eye(64)[:1], "dlib")
    with pytest.raises(ParameterError, match="embedded by dlib, the search uses patches"):
        begin("greedy", scorer, other)  # before anything is drawn
    assert scorer.evaluations == 0
