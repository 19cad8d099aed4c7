"""CMA-ES behind our interface: what the package does by itself, and generations in full."""

import cma
import numpy as np
import pytest
import torch

from facelab.data.seeding import seed_of
from facelab.errors import ParameterError
from facelab.methods.ganid.bank import Bank
from facelab.methods.ganid.cmaes import CmaEs, Config
from facelab.methods.ganid.scoring import Target

FEW = Config(initial=20, population=8)


@pytest.fixture
def target(scorer, random) -> Target:
    return Target("somebody", scorer.embed(torch.randn(3, 6, generator=random)), "patches")


@pytest.mark.parametrize("diagonal", [True, False])
def test_it_is_the_package_on_its_own(diagonal, scorer, target):
    config = Config(initial=20, population=8, diagonal=diagonal)
    bank = Bank(scorer, 3)
    looking = CmaEs(scorer, target, bank, 3, config)
    tried = [looking.next_pass(999) for _ in range(12)]
    start = bank.latents(0, 20)[bank.distances(target, 0, 20).argmin()]
    draws = np.random.default_rng(seed_of("ganid-cmaes", 3))
    options = {"popsize": 8, "CMA_diagonal": diagonal, "verbose": -9, "seed": np.nan}
    alone = cma.CMAEvolutionStrategy(
        start.double().numpy(),
        0.3,
        {**options, "randn": lambda *size: draws.standard_normal(size)},
    )
    assert torch.equal(tried[0].latents, bank.latents(0, 20))
    for one in tried[1:]:
        asked = alone.ask()
        latents = torch.tensor(np.stack(asked), dtype=torch.float32)
        assert torch.equal(one.latents, latents)
        alone.tell(asked, [float(d) for d in scorer.distances(latents, target)])


def test_it_gets_to_the_optimum(scorer, random):
    """A face of the generator itself can be found exactly."""
    target = Target("found", scorer.embed(torch.randn(1, 6, generator=random)), "patches")
    looking = CmaEs(scorer, target, Bank(scorer), config=Config(initial=50, population=12))
    best = min(looking.next_pass(999).best()[1] for _ in range(120))
    assert best < 1e-5


def test_numpys_own_stream_is_left_alone(scorer, target):
    np.random.seed(1)  # noqa: NPY002
    looking = CmaEs(scorer, target, Bank(scorer), config=FEW)
    for _ in range(4):
        looking.next_pass(999)
    moved = np.random.random()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert moved == np.random.random()  # noqa: NPY002


def test_any_whole_number_is_a_seed(scorer, target):
    found = []
    for seed in (-1, 2**70, 0, 0):
        looking = CmaEs(scorer, target, Bank(scorer), seed, FEW)
        looking.next_pass(999)
        found.append(looking.next_pass(999).latents)
    assert torch.equal(found[2], found[3])
    assert not torch.equal(found[0], found[2])


def test_a_generation_that_was_cut_teaches_nothing(scorer, target):
    looking = CmaEs(scorer, target, Bank(scorer), config=FEW)
    looking.next_pass(999)
    looking.next_pass(999)
    cut = looking.next_pass(3)
    assert len(cut.latents) == 3
    assert looking.state()["told"].shape == (1, 8)


def test_told_the_same_it_is_where_it_was(scorer, target):
    bank = Bank(scorer)
    first, second = (CmaEs(scorer, target, bank, 5, FEW) for _ in range(2))
    for _ in range(5):
        first.next_pass(999)
    second.load_state(first.state())
    assert torch.equal(first.next_pass(999).latents, second.next_pass(999).latents)
    assert torch.equal(first.state()["told"], second.state()["told"])


@pytest.mark.parametrize("wrong", [{"initial": 0}, {"population": 3}, {"sigma": 0.0}])
def test_what_cannot_be_used_is_refused(wrong):
    with pytest.raises(ParameterError, match="give at least 1, at least 4, and a sigma above 0"):
        Config(**wrong)
