"""Winning an identity back: never worse, the attribute's part held fixed, known answers."""

import pytest
import torch

from facelab.errors import ParameterError
from facelab.methods.ganid.winning_back import Settings, holding, win_back

LONG = Settings(steps=80, rate=0.05, prior=0.0, reach=5.0)


@pytest.fixture
def latents(random) -> torch.Tensor:
    return torch.randn(7, 6, generator=random)


@pytest.fixture
def identity(scorer, latents) -> torch.Tensor:
    return scorer.embed(latents)


@pytest.fixture
def axes() -> torch.Tensor:
    return torch.eye(6)


def test_what_was_not_asked_for_is_taken_back(scorer, latents, identity, axes):
    """The edit moved number 1 as well; only number 0 is held."""
    edited = latents + axes[0] + 1.5 * axes[1]
    found = win_back(scorer, edited, identity, axes[:1], LONG)
    asked_for = 2 - 2 * (scorer.embed(latents + axes[0]) * identity).sum(1)
    assert (found.distance < 0.5 * found.start).all()
    assert (found.distance <= asked_for + 1e-3).all()
    torch.testing.assert_close(found.latents[:, 0], edited[:, 0])


def test_it_says_what_it_did(scorer, latents, identity, axes):
    edited = latents + axes[0] + axes[1]
    scorer.evaluations = 0
    found = win_back(scorer, edited, identity, axes[:1], Settings(steps=5))
    assert found.evaluations == scorer.evaluations == 6 * 7
    for vectors, said in ((edited, found.start), (found.latents, found.distance)):
        told = 2 - 2 * (scorer.embed(vectors) * identity).sum(1)
        torch.testing.assert_close(said, told)


@pytest.mark.parametrize("rate", [0.01, 0.3, 10.0])
def test_it_is_never_worse(scorer, latents, identity, axes, rate):
    edited = latents + axes[0]
    found = win_back(scorer, edited, identity, axes[:1], Settings(steps=4, rate=rate))
    assert (found.distance <= found.start).all()


def test_the_part_along_several_vectors_is_kept(scorer, latents, identity, random):
    vectors = torch.randn(2, 6, generator=random)  # not at right angles
    edited = latents + vectors.sum(0)
    found = win_back(scorer, edited, identity, vectors, LONG)
    torch.testing.assert_close(found.latents @ vectors.mT, edited @ vectors.mT, rtol=0, atol=1e-4)
    assert not torch.equal(found.latents, edited)


def test_with_all_directions_held_nothing_moves(scorer, latents, identity, axes):
    edited = latents + axes[0]
    found = win_back(scorer, edited, identity, axes, LONG)
    torch.testing.assert_close(found.latents, edited, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.distance, found.start)


def test_it_stays_in_reach(scorer, latents, identity, axes):
    edited = latents + 3 * axes[1]
    near = Settings(steps=30, rate=0.3, prior=0.0, reach=0.1)
    found = win_back(scorer, edited, identity, axes[:1], near)
    moved = (found.latents - edited).norm(dim=1)
    assert (moved <= 0.1 * edited.norm(dim=1) + 1e-5).all()
    assert float(moved.max()) > 0


def test_only_what_holds_counts(scorer, latents, identity, axes):
    edited = latents + axes[0] + axes[1]
    never = win_back(
        scorer, edited, identity, axes[:1], LONG,
        holds=lambda faces: torch.zeros(len(faces), dtype=torch.bool),
    )  # fmt: skip
    assert torch.equal(never.latents, edited)
    assert torch.equal(never.distance, never.start)


def test_the_label_may_not_fall(scorer, latents, identity, axes, first):
    """Nothing is held but the label: without the test the edit would be taken back."""
    edited = latents + 2 * axes[0]
    nothing = torch.zeros(1, 6)
    with torch.no_grad():
        holds = holding([first], scorer.faces(edited))
    free = win_back(scorer, edited, identity, nothing, LONG)
    held = win_back(scorer, edited, identity, nothing, LONG, holds=holds)
    least = edited[:, 0] - 0.1 * edited[:, 0].abs()
    assert (held.latents[:, 0] >= least - 1e-4).all()
    assert (free.latents[:, 0] < least).all()
    assert (held.distance >= free.distance).all()


def test_labels_by_hand(scorer, axes, first):
    def shown(*levels: float) -> torch.Tensor:
        return scorer.faces(torch.tensor(levels)[:, None] * axes[:1])

    holds = holding([first], shown(1.0, -1.0))
    assert holds(shown(0.95, -1.05)).tolist() == [True, True]
    assert holds(shown(0.85, -0.5)).tolist() == [False, True]
    assert holds(shown(2.0, -1.15)).tolist() == [True, False]
    both = holding([first, first.reversed()], shown(1.0, -1.0))
    assert both(shown(1.05, -1.05)).tolist() == [True, True]
    assert both(shown(1.2, -1.2)).tolist() == [False, False]


def test_gradients_are_found_inside_no_grad(scorer, latents, identity, axes):
    with torch.no_grad():
        found = win_back(scorer, latents + axes[1], identity, axes[:1], LONG)
    assert (found.distance < found.start).all()
    assert not found.latents.requires_grad


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"rate": 0.0}, {"rate": float("nan")}, {"prior": -1.0}, {"reach": 0.0}]
)
def test_settings_that_can_not_be_used(wrong):
    with pytest.raises(ParameterError, match="can't be made; give numbers above 0"):
        Settings(**wrong)
