"""The smallest GAN, of two numbers, whose whole game fits on a page.

All real data are the point 0. The generator puts its samples at theta, the discriminator's logit
is D(x) = psi x. The only equilibrium is (0, 0). What training does from anywhere is an arrow in the
plane, so that one sees at once whether the arrows lead home, and to which game they belong.

Source: Mescheder, Geiger & Nowozin, "Which Training Methods for GANs do actually Converge?", ICML
2018, section 2, the Dirac-GAN.
"""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.generators import adversarial

Players = Float[Tensor, "points 2"]  # theta and psi

GAMES: Mapping[str, tuple[Callable, Callable]] = {
    "minimax": (adversarial.minimax_generator, adversarial.minimax_discriminator),
    "non-saturating": (
        adversarial.non_saturating_generator,
        adversarial.non_saturating_discriminator,
    ),
    "least squares": (
        adversarial.least_squares_generator,
        adversarial.least_squares_discriminator,
    ),
}


def velocity(players: Players, game: str = "minimax", *, gamma: float = 0.0) -> Players:
    """Return where gradient descent moves both players, (points, 2): -d L_G/d theta, -d L_D/d psi.

    `gamma` adds R1: gamma / 2 times the squared slope of D at real data, which is psi. Raises
    `ParameterError` for a game that is not in `GAMES`.
    """
    if game not in GAMES:
        raise ParameterError(f"game {game!r} is unknown; choose one of {', '.join(GAMES)}")
    generator, discriminator = GAMES[game]
    with torch.enable_grad():
        theta, psi = (value.detach().requires_grad_() for value in players.unbind(1))
        loss_g = generator(psi * theta)
        loss_d = discriminator(psi * 0, psi * theta) + gamma / 2 * psi.square()
        (down_g,) = torch.autograd.grad(loss_g.sum(), theta, retain_graph=True)
        (down_d,) = torch.autograd.grad(loss_d.sum(), psi)
    return -torch.stack([down_g, down_d], dim=1)


def play(
    start: Players,
    game: str = "minimax",
    *,
    steps: int,
    rate: float,
    gamma: float = 0.0,
    alternate: bool = False,
) -> Float[Tensor, "moments points 2"]:
    """Return the players after 0, 1, ... `steps` steps of gradient descent of length `rate`.

    Both move at once, or with `alternate` the discriminator first and the generator in answer.
    """
    path, now = [start], start
    first, second = now.new_tensor([0.0, rate]), now.new_tensor([rate, 0.0])
    for _ in range(steps):
        if alternate:
            now = now + first * velocity(now, game, gamma=gamma)
            now = now + second * velocity(now, game, gamma=gamma)
        else:
            now = now + rate * velocity(now, game, gamma=gamma)
        path.append(now)
    return torch.stack(path)
