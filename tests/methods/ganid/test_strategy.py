"""What all strategies share: passes, the prior's noise, scores; and random search."""

import pytest
import torch

from facelab.methods.ganid.bank import Bank
from facelab.methods.ganid.scoring import Target
from facelab.methods.ganid.strategy import AT_ONCE, Pass, RandomSearch


@pytest.fixture
def target(scorer, random) -> Target:
    return Target("somebody", scorer.embed(torch.randn(3, 6, generator=random)), "patches")


@pytest.fixture
def looking(scorer, target) -> RandomSearch:
    return RandomSearch(scorer, target, Bank(scorer, 5), seed=5)


def test_the_best_of_a_pass():
    latents = torch.arange(8.0).view(4, 2)
    tried = Pass(latents, torch.tensor([0.5, 0.25, 0.75, 0.25]), "any")
    latent, distance = tried.best()
    assert (latent.tolist(), distance) == ([[2.0, 3.0]], 0.25)


def test_random_search_takes_the_bank_in_order(looking, target):
    passes = [looking.next_pass(allowed) for allowed in (1000, 1000, 70, 1)]
    assert [len(p.latents) for p in passes] == [AT_ONCE, AT_ONCE, 70, 1]
    taken = torch.cat([p.latents for p in passes])
    assert torch.equal(taken, looking.bank.latents(0, 2 * AT_ONCE + 71))
    distances = torch.cat([p.distances for p in passes])
    whole = looking.bank.distances(target, 0, len(taken))
    torch.testing.assert_close(distances, whole, rtol=0, atol=1e-6)
    assert {p.stage for p in passes} == {"random"}


def test_noise_is_of_the_prior_and_of_the_seed(scorer, target):
    def noise(seed, count=500):
        return RandomSearch(scorer, target, Bank(scorer), seed).noise(count)

    assert torch.equal(noise(3), noise(3))
    assert not torch.equal(noise(3), noise(4))
    assert noise(3).std() == pytest.approx(1, abs=0.1)
    assert noise(-1, 2).shape == noise(2**70, 2).shape == (2, 6)  # any whole number is a seed


def test_scores_are_distances_on_the_cpu_without_a_graph(looking, random):
    latents = torch.randn(4, 6, generator=random).requires_grad_()
    found = looking.score(latents)
    assert not found.requires_grad
    torch.testing.assert_close(found, looking.scorer.distances(latents, looking.target).detach())
