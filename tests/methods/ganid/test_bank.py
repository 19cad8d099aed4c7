"""Random candidates: the same whatever was asked before, and embedded once for everybody."""

import pytest
import torch

from facelab.errors import ParameterError
from facelab.methods.ganid.bank import BLOCK, Bank
from facelab.methods.ganid.scoring import Scorer, Target


@pytest.fixture
def targets(scorer, random) -> list[Target]:
    codes = scorer.embed(torch.randn(6, 6, generator=random)).split(2)
    scorer.evaluations = 0
    return [Target(f"person {i}", rows, "patches") for i, rows in enumerate(codes)]


def test_each_candidate_is_embedded_once_for_all_targets(scorer, targets):
    bank = Bank(scorer, seed=4)
    compared = bank.compare(targets, 120)
    assert compared.shape == (3, 120)
    assert scorer.evaluations == len(bank) == 3 * BLOCK
    for row, target in zip(compared, targets, strict=True):
        assert torch.equal(bank.distances(target, 0, 120), row)
        part = bank.distances(target, 30, 40)
        torch.testing.assert_close(part, row[30:70], rtol=0, atol=1e-6)
    assert scorer.evaluations == 3 * BLOCK
    bank.draw(150)
    assert scorer.evaluations == 3 * BLOCK


def test_distances_are_the_scorers(scorer, targets):
    bank = Bank(scorer, seed=4)
    direct = scorer.distances(bank.latents(40, 30), targets[1])
    torch.testing.assert_close(bank.distances(targets[1], 40, 30), direct, rtol=0, atol=1e-6)


def test_a_candidate_follows_from_the_seed_and_its_number(scorer, targets):
    """In whatever order, and whatever was asked before."""
    first, second = Bank(scorer, seed=4), Bank(scorer, seed=4)
    whole = first.latents(0, 170)
    late = second.latents(160, 10)
    assert torch.equal(late, whole[160:])
    assert len(second) == BLOCK  # the ones before were not needed
    distances = second.distances(targets[0], 60, 110)
    assert torch.equal(second.latents(60, 110), whole[60:])
    assert torch.equal(distances, first.distances(targets[0], 60, 110))
    assert whole.unique(dim=0).shape == (170, 6)


def test_another_seed_is_another_bank(scorer):
    assert not torch.equal(Bank(scorer, 0).latents(0, 3), Bank(scorer, 1).latents(0, 3))
    rows = Bank(scorer, -3).latents(0, 400)  # of the prior: N(0, 1)
    assert rows.mean().abs() < 0.1
    assert rows.std() == pytest.approx(1, abs=0.1)


def test_the_batch_of_the_scorer_changes_only_rounding(stripes, patches, targets):
    banks = [Bank(Scorer(stripes, patches, "fixed", batch=size)) for size in (7, 50)]
    found = [bank.distances(targets[0], 0, 60) for bank in banks]
    torch.testing.assert_close(*found, rtol=0, atol=1e-6)


def test_a_bank_keeps_no_graph(scorer, targets):
    for network in (scorer.generator, scorer.embedder):
        network.requires_grad_(True)
    assert not Bank(scorer).distances(targets[0], 0, 3).requires_grad


def test_a_target_of_another_embedder_is_refused(scorer):
    other = Target("x", torch.eye(64)[:1], "dlib")
    with pytest.raises(ParameterError, match="embedded by dlib, the search uses patches"):
        Bank(scorer).distances(other, 0, 3)
