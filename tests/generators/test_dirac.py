"""The smallest GAN against its closed forms."""

import pytest
import torch

from facelab.errors import ParameterError
from facelab.generators import dirac

PLAYERS = torch.tensor([[1.0, 0.5], [-0.3, 2.0], [0.0, 1.0], [0.7, -0.7]])


def closed_form(game: str, gamma: float) -> torch.Tensor:
    theta, psi = PLAYERS.unbind(1)
    seen = torch.sigmoid(theta * psi)
    up, down = {
        "minimax": (psi * seen, -theta * seen),
        "non-saturating": (psi * (1 - seen), -theta * seen),
        "least squares": (psi * (1 - theta * psi), -theta * theta * psi),
    }[game]
    return torch.stack([up, down - gamma * psi], dim=1)


@pytest.mark.parametrize("game", dirac.GAMES)
@pytest.mark.parametrize("gamma", [0.0, 0.8])
def test_both_players_follow_their_gradients(game, gamma):
    found = dirac.velocity(PLAYERS, game, gamma=gamma)
    torch.testing.assert_close(found, closed_form(game, gamma))


def test_the_equilibrium_stays():
    home = torch.zeros(1, 2)
    assert torch.equal(dirac.play(home, "non-saturating", steps=5, rate=0.5)[-1], home)


def test_minimax_runs_in_circles_and_steps_lead_outwards():
    """Along the arrows theta^2 + psi^2 stays; steps along the tangent leave the circle."""
    arrows = dirac.velocity(PLAYERS, "minimax")
    torch.testing.assert_close((arrows * PLAYERS).sum(1), torch.zeros(4), rtol=0, atol=1e-6)
    start = torch.tensor([[1.0, 0.0]])
    path = dirac.play(start, "minimax", steps=200, rate=0.1)
    assert path.shape == (201, 1, 2)
    assert path[-1].norm() > 1.2
    small = dirac.play(start, "minimax", steps=2000, rate=0.01)
    assert 1.0 < small[-1].norm() < 1.1


def test_a_gradient_penalty_leads_home():
    start = torch.tensor([[1.0, 0.0], [-1.5, 1.0]])
    path = dirac.play(start, "non-saturating", steps=400, rate=0.1, gamma=1.0)
    assert (path[-1].norm(dim=1) < 1e-3).all()
    without = dirac.play(start, "non-saturating", steps=400, rate=0.1)
    assert (without[-1].norm(dim=1) > 0.5).all()


def test_taking_turns_is_not_moving_at_once():
    start = torch.tensor([[1.0, 0.2]])
    together = dirac.play(start, "minimax", steps=1, rate=0.5)[-1]
    turns = dirac.play(start, "minimax", steps=1, rate=0.5, alternate=True)[-1]
    torch.testing.assert_close(turns[0, 1], together[0, 1])
    assert turns[0, 0] != together[0, 0]


def test_an_unknown_game_is_named():
    with pytest.raises(ParameterError, match="game 'chess' is unknown; choose one of minimax"):
        dirac.velocity(PLAYERS, "chess")
