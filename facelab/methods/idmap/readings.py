"""What the paper leaves unsaid, tried out: a critic of numbers, on logits and not on them.

On a line everything is known. Where true numbers come from N(0, 1) and made ones from N(m, 1), the
best critic's logit is log p(w) - log q(w) = m^2 / 2 - m w.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.generators import adversarial
from facelab.methods.idmap.networks import perceptron

Reading = Literal["logits", "clipped"]
CLIP = 1e-7  # where libraries cut a probability off before they take its logarithm
AT_ONCE, RATE = 256, 3e-3

Line = Float[Tensor, " points"]


@dataclass(frozen=True)
class Learned:
    """What a critic says along the line after training, and what the best one would say."""

    w: Line
    logit: Line
    best: Line
    losses: Float[Tensor, " steps"]


def best_logit(w: Line, shift: float) -> Line:
    """Return log N(w; 0, 1) - log N(w; shift, 1)."""
    return shift**2 / 2 - shift * w


def critic_loss(real: Line, fake: Line, reading: str) -> Float[Tensor, ""]:
    """Return the critic's mean loss on its outputs at true and made vectors.

    "logits" is equation 2 (without R1), the outputs being logits. "clipped" is what happens when
    the cross-entropy for probabilities is given raw outputs: they are cut to between 0 and 1, and
    where they are cut there is no slope. Raises `ParameterError` for another reading.
    """
    if reading == "logits":
        return adversarial.non_saturating_discriminator(real, fake).mean()
    if reading == "clipped":
        cut = (outputs.clamp(CLIP, 1 - CLIP) for outputs in (real, fake))
        true, made = cut
        return -(torch.log(true) + torch.log(1 - made)).mean()
    raise ParameterError(f"reading {reading!r} is unknown; choose one of: {', '.join(_readings())}")


def learn(reading: str, *, shift: float = 2.0, steps: int = 400, seed: int = 0) -> Learned:
    """Train a critic of numbers and return what it says from -3 to 3 + `shift`.

    Raises as `critic_loss` does.
    """
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = perceptron(1, (32, 32), 1)
    adam, told = torch.optim.Adam(network.parameters(), lr=RATE), []
    for _ in range(steps):
        real = torch.randn(AT_ONCE, 1, generator=random)
        fake = shift + torch.randn(AT_ONCE, 1, generator=random)
        loss = critic_loss(network(real)[:, 0], network(fake)[:, 0], reading)
        adam.zero_grad()
        loss.backward()
        adam.step()
        told.append(loss.detach())
    w = torch.linspace(-3, 3 + shift, 61)
    with torch.no_grad():
        logit = network(w[:, None])[:, 0]
    return Learned(w, logit, best_logit(w, shift), torch.stack(told))


def sure(outputs: Float[Tensor, " batch"], reading: str) -> Float[Tensor, " batch"]:
    """Return the slope that a made vector's output gets from the critic's loss."""
    outputs = outputs.detach().requires_grad_()
    loss = critic_loss(torch.full_like(outputs, 0.5), outputs, reading) * len(outputs)
    (slope,) = torch.autograd.grad(loss, outputs)
    return slope


def _readings() -> tuple[str, ...]:
    return get_args(Reading)
