"""Algorithm 1 against a literal transcription, line by line, and what its readings do."""

import dataclasses
import itertools

import pytest
import torch

from facelab.data.seeding import stream
from facelab.errors import ParameterError
from facelab.methods.ganid import greedy
from facelab.methods.ganid.bank import Bank
from facelab.methods.ganid.greedy import CORRECTED, PRINTED, Config, Greedy
from facelab.methods.ganid.scoring import Target
from facelab.methods.ganid.search import Settings, search

SMALL = {"initial": 40, "per_pass": 15}


@pytest.fixture
def target(scorer, random) -> Target:
    return Target("somebody", scorer.embed(torch.randn(3, 6, generator=random)), "patches")


@pytest.fixture
def generated(scorer, random) -> Target:
    """A face of the generator itself: the distance can become 0."""
    return Target("found", scorer.embed(torch.randn(1, 6, generator=random)), "patches")


def algorithm1(scorer, bank, target, config, passes, threshold=0.0) -> list[dict]:
    """Algorithm 1 with the paper's line numbers, one vector at a time; I_opt after each pass.

    Where the print leaves something open, it is as `config` says.
    """

    def FaceNet(z):
        return float(scorer.distances(z[None], target))

    def Select_Optimal(V):  # lines 20-25
        I_opt = V[0]
        for z in V:
            if FaceNet(z) < FaceNet(I_opt):
                I_opt = z
        return I_opt

    random, told = stream("ganid-search", 7), []
    alpha, beta = config.alpha_start, config.beta_start
    V = list(bank.latents(0, config.initial))  # line 4
    I_opt = Select_Optimal(V)  # line 5
    told.append({"I_opt": I_opt, "alpha": alpha, "beta": beta, "stage": "random"})
    coarse = 0
    while FaceNet(I_opt) > threshold and len(told) <= passes:  # line 7
        if config.coarse_passes is not None and coarse == config.coarse_passes:
            break
        noise = scorer.generator.sample_latent(config.per_pass, random)
        V = [alpha * I_opt + n for n in noise]  # line 8
        I_opt = Select_Optimal([I_opt, *V] if config.keep_best else V)  # line 9
        if alpha < 1:  # lines 10-11
            alpha = alpha + config.alpha_step
        coarse += 1
        told.append({"I_opt": I_opt, "alpha": alpha, "beta": beta, "stage": "coarse"})
    while FaceNet(I_opt) > threshold and len(told) <= passes:  # line 13
        noise = scorer.generator.sample_latent(config.per_pass, random)
        if config.fine == "printed":  # line 14
            lower, upper = beta - I_opt, beta + I_opt
            V = [(lower + upper) / 2 + (upper - lower) / 2 * n for n in noise]
        else:
            V = [I_opt + beta * n for n in noise]
        before = I_opt
        I_opt = Select_Optimal([I_opt, *V] if config.keep_best else V)  # line 15
        if not FaceNet(I_opt) < FaceNet(before):
            beta = beta * config.beta_factor
        beta = min(1.0, max(config.beta_least, beta + config.beta_step))  # lines 16-17, for beta
        told.append({"I_opt": I_opt, "alpha": alpha, "beta": beta, "stage": "fine"})
    return told


@pytest.mark.parametrize(
    "config",
    [
        Config(**SMALL, coarse_passes=4),
        dataclasses.replace(PRINTED, **SMALL),
        Config(**SMALL, coarse_passes=2, fine="printed"),
        Config(**SMALL, coarse_passes=0, beta_start=0.9, beta_factor=0.5, beta_step=0.02),
        Config(**SMALL, coarse_passes=3, alpha_start=0.2, alpha_step=0.4, keep_best=False),
    ],
    ids=["corrected", "printed", "fine as printed", "beta moves", "forgets"],
)
def test_it_is_algorithm_1(config, scorer, target):
    bank, passes = Bank(scorer, 7), 11
    looking = Greedy(scorer, target, bank, 7, config)
    for line in algorithm1(scorer, bank, target, config, passes):
        tried = looking.next_pass(10_000)
        assert tried.stage == line["stage"]
        torch.testing.assert_close(looking.best[0], line["I_opt"], rtol=0, atol=1e-5)
        assert looking.alpha == pytest.approx(min(1.0, line["alpha"]))
        assert looking.beta == pytest.approx(line["beta"])
        assert looking.distance == pytest.approx(
            float(scorer.distances(looking.best, target)), abs=1e-6
        )


def test_both_readings_start_alike(scorer, target):
    bank = Bank(scorer, 7)
    readings = [dataclasses.replace(c, **SMALL) for c in (CORRECTED, PRINTED)]
    starts = [Greedy(scorer, target, bank, 7, c).next_pass(999) for c in readings]
    assert torch.equal(starts[0].latents, starts[1].latents)
    assert len(starts[0].latents) == 40


def test_the_printed_reading_never_reaches_its_fine_stage_and_gets_worse(scorer, target):
    config = dataclasses.replace(PRINTED, **SMALL)
    looking = Greedy(scorer, target, Bank(scorer, 7), 7, config)
    stages, distances = [], []
    for _ in range(40):
        stages.append(looking.next_pass(999).stage)
        distances.append(looking.distance)
    assert set(stages[1:]) == {"coarse"}
    assert sum(b > a for a, b in itertools.pairwise(distances)) > 5


def test_the_printed_loop_ends_where_its_fine_stage_would_begin(scorer, generated):
    config = dataclasses.replace(PRINTED, **SMALL)
    trace = search("greedy", scorer, generated, Settings(3000, threshold=0.01), config=config)
    assert trace.stopped_because == "threshold"
    assert {point.stage for point in trace.curve} == {"random", "coarse"}


def test_the_corrected_reading_never_gets_worse(scorer, generated):
    config = dataclasses.replace(CORRECTED, **SMALL)
    looking = Greedy(scorer, generated, Bank(scorer, 7), 7, config)
    stages, distances = [], []
    for _ in range(40):
        stages.append(looking.next_pass(999).stage)
        distances.append(looking.distance)
    assert stages == ["random"] + 10 * ["coarse"] + 29 * ["fine"]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.2 * distances[0]


def test_alpha_grows_by_a_tenth_to_one(scorer, target):
    looking = Greedy(scorer, target, Bank(scorer), 0, Config(5, 1, coarse_passes=None))
    found = []
    for _ in range(14):
        looking.next_pass(99)
        found.append(looking.alpha)
    assert found == pytest.approx([0, *(k / 10 for k in range(1, 11)), 1, 1, 1])
    assert max(found) == 1


def test_beta_shrinks_only_after_a_pass_in_vain(scorer, target):
    config = Config(40, 15, coarse_passes=0, beta_start=1.0, beta_factor=0.5, beta_least=0.1)
    looking = Greedy(scorer, target, Bank(scorer), 0, config)
    looking.next_pass(99)
    beta, seen = 1.0, set()
    for _ in range(30):
        before = looking.distance
        looking.next_pass(99)
        better = looking.distance < before
        seen.add(better)
        beta = beta if better else max(0.1, 0.5 * beta)
        assert looking.beta == beta
    assert seen == {True, False}
    assert beta == 0.1


def test_beta_grows_to_one(scorer, target):
    config = Config(5, 2, coarse_passes=0, beta_start=0.7, beta_factor=1.0, beta_step=0.2)
    looking = Greedy(scorer, target, Bank(scorer), 0, config)
    found = []
    for _ in range(4):
        looking.next_pass(99)
        found.append(looking.beta)
    assert found == pytest.approx([0.7, 0.9, 1.0, 1.0])


# --- candidates ----------------------------------------------------------------------------------


@pytest.fixture
def cube(random) -> tuple[torch.Tensor, torch.Tensor]:
    """I_opt with numbers of both signs, and noise of the uniform prior with its corners."""
    best = torch.tensor([[0.8, -0.5, 0.1, -0.9]])
    noise = torch.rand(4000, 4, generator=random) * 2 - 1
    return best, torch.cat([noise, torch.ones(1, 4), -torch.ones(1, 4)])


@pytest.mark.parametrize(
    ("draw", "amount", "interval"),
    [
        (greedy.coarse_candidates, 0.3, lambda b: (-1 + 0.3 * b, 1 + 0.3 * b)),
        (greedy.fine_candidates, 0.2, lambda b: (b - 0.2, b + 0.2)),
        (greedy.fine_candidates_printed, 0.2, lambda b: (0.2 - b.abs(), 0.2 + b.abs())),
    ],
)
def test_candidates_fill_their_interval(draw, amount, interval, cube):
    """Uniform on it: its ends, its mean and its variance."""
    best, noise = cube
    found, (low, high) = draw(best, amount, noise), interval(best[0])
    torch.testing.assert_close(found.amin(0), low)
    torch.testing.assert_close(found.amax(0), high)
    torch.testing.assert_close(found.mean(0), (low + high) / 2, rtol=0, atol=0.05)
    torch.testing.assert_close(found.var(0), (high - low).square() / 12, rtol=0.1, atol=0)


def test_noise_of_nothing_is_the_best_itself(cube):
    best, noise = cube
    assert torch.equal(greedy.fine_candidates(best, 0.0, noise[:3]), best.expand(3, -1))
    assert torch.equal(greedy.coarse_candidates(best, 0.0, noise), noise)


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"initial": 0}, "0 vectors first and 100 a pass find nothing; give at least 1"),
        ({"per_pass": 0}, "1000 vectors first and 0 a pass"),
        ({"coarse_passes": -1}, "-1 coarse passes can't be made; give 0 or more, or None"),
        ({"fine": "exact"}, "no fine stage 'exact'; choose one of: noise, printed"),
        ({"beta_start": 1.5}, "can't start at 0.0 and 1.5"),
        ({"alpha_start": float("nan")}, "alpha and beta can't start at nan"),
        ({"alpha_step": -0.1}, "give steps of 0 or more, and 0 to 1 for the others"),
    ],
)
def test_what_cannot_be_used_is_refused(wrong, message):
    with pytest.raises(ParameterError, match=message):
        Config(**wrong)
