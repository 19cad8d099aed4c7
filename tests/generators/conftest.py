"""A loop of ten lines: what a method needs to be trained, and nothing more."""

from collections import defaultdict

import pytest
import torch

from facelab.phases import Step
from facelab.types import Batch


def batch_of(images: torch.Tensor) -> Batch:
    return Batch(images=images, identity=torch.arange(len(images)))


def play(method, images, steps, seed=0):
    """Train on one batch; return each term's means, by "phase/term"."""
    random, history, adams = torch.Generator().manual_seed(seed), defaultdict(list), {}
    for number in range(steps):
        for phase in (p for p in method.phases() if number % p.every == 0):
            for network in method.networks.values():
                network.train().requires_grad_(False)
            moved = [p for n in phase.parameters for p in method.networks[n].parameters()]
            for parameter in moved:
                parameter.requires_grad_().grad = None
            settings, owner = phase.optimiser, phase.shares or phase.name
            make = torch.optim.Adam
            if owner not in adams:
                adams[owner] = make(moved, settings.learning_rate, betas=settings.betas)
            terms = phase.loss(batch_of(images), Step(number, random))
            sum(phase.weights.get(k, 1.0) * term.mean() for k, term in terms.items()).backward()
            adams[owner].step()
            means = {k: float(term.detach().mean()) for k, term in terms.items()}
            logged = phase.after(means) if phase.after else {}
            for name, value in (means | dict(logged)).items():
                history[f"{phase.name}/{name}"].append(value)
    return history


def moved(method, name, images, seed=0):
    """Return the names of the parameters to which a phase's loss gives a gradient.

    Nothing is frozen, so this is what the loss reaches by itself.
    """
    phase = {p.name: p for p in method.phases()}[name]
    for network in method.networks.values():
        network.train().zero_grad()
    terms = phase.loss(batch_of(images), Step(0, torch.Generator().manual_seed(seed)))
    sum(phase.weights.get(k, 1.0) * term.mean() for k, term in terms.items()).backward()
    return {
        f"{part}.{key}"
        for part, network in method.networks.items()
        for key, parameter in network.named_parameters()
        if parameter.grad is not None and parameter.grad.any()
    }


def names_of(method, *networks):
    return {f"{n}.{key}" for n in networks for key, _ in method.networks[n].named_parameters()}


@pytest.fixture
def training():
    """The loop, what a phase's loss reaches, and the parameters' names, as one object."""

    class Training:
        play, moved, names_of = staticmethod(play), staticmethod(moved), staticmethod(names_of)

    return Training


@pytest.fixture(autouse=True)
def weights():
    """The first weights of every test are the same, and not the numbers that `random` draws."""
    torch.manual_seed(1234)
