"""Players: phases with the parameters that they move and the optimiser that moves them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from facelab.engine import optimisers
from facelab.errors import ParameterError
from facelab.phases import Optimiser, Phase


@dataclass(frozen=True)
class Player:
    """A phase at work. `parameters` has the names that checkpoints know the parameters by.

    `owner` is the name of the phase whose optimiser it uses, its own or that which it shares;
    `settings` are the optimiser's.
    """

    phase: Phase
    owner: str
    settings: Optimiser
    parameters: Mapping[str, nn.Parameter]
    optimiser: torch.optim.Optimizer

    def plays(self, step: int) -> bool:
        """Tell whether the phase runs at a step, counted from 0."""
        phase, past = self.phase, step - self.phase.offset
        over = phase.until is not None and step >= phase.until
        return not over and past >= 0 and past % phase.every == 0


def gather(phases: Sequence[Phase], networks: Mapping[str, nn.Module]) -> list[Player]:
    """Return the players of a method's phases, in their order.

    A parameter that was frozen before is nobody's. Raises `ParameterError` when a phase names
    something that there isn't, or shares the optimiser of a phase that doesn't move what it moves.
    """
    names = [phase.name for phase in phases]
    if not names or len(set(names)) < len(names):
        raise ParameterError(f"phases need names that differ; got: {', '.join(names) or 'none'}")
    players: dict[str, Player] = {}
    for phase in sorted(phases, key=lambda phase: phase.shares is not None):
        found = _parameters(phase, networks)
        if phase.shares is None:
            optimiser = optimisers.build(phase.optimiser, found.values())
            players[phase.name] = Player(phase, phase.name, phase.optimiser, found, optimiser)
        else:
            players[phase.name] = _sharing(phase, found, players.get(phase.shares))
    return [players[name] for name in names]


def _sharing(phase: Phase, found: Mapping[str, nn.Parameter], other: Player | None) -> Player:
    if other is None or other.owner != phase.shares:
        raise ParameterError(
            f"phase {phase.name!r} shares the optimiser of {phase.shares!r}, which has none of its "
            "own; name a phase that has"
        )
    beyond = sorted(found.keys() - other.parameters.keys())
    if beyond:
        raise ParameterError(
            f"phase {phase.name!r} moves {beyond[0]}, which the optimiser of {phase.shares!r} "
            "doesn't; give it an optimiser of its own, or name the parameter there too"
        )
    return Player(phase, other.owner, other.settings, found, other.optimiser)


def _parameters(phase: Phase, networks: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    """Return the parameters that a phase moves, by their full names."""
    found, seen = {}, set()
    for name in phase.parameters:
        for full, parameter in _named(phase, name, networks):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                found[full] = parameter
    if not found:
        raise ParameterError(
            f"phase {phase.name!r} moves nothing; name networks with parameters that aren't frozen"
        )
    return found


def _named(
    phase: Phase, name: str, networks: Mapping[str, nn.Module]
) -> list[tuple[str, nn.Parameter]]:
    network, _, inner = name.partition(".")
    if network in networks:
        try:
            part = networks[network].get_submodule(inner)
            return [(f"{name}.{key}", value) for key, value in part.named_parameters()]
        except AttributeError:
            pass
        try:
            return [(name, networks[network].get_parameter(inner))]
        except AttributeError:
            pass
    raise ParameterError(
        f"phase {phase.name!r} moves {name!r}, which there isn't; the networks are: "
        f"{', '.join(networks)}"
    )


class Turns:
    """Lets one player's parameters have gradients at a time, and gives all of them back at last."""

    def __init__(self, players: Sequence[Player], networks: Mapping[str, nn.Module]):
        every = [p for network in networks.values() for p in network.parameters()]
        self._free = list({id(p): p for p in every if p.requires_grad}.values())
        self._moves = {
            player.phase.name: {id(p) for p in player.parameters.values()} for player in players
        }
        self._turn: str | None = None

    def give(self, player: Player) -> None:
        """Freeze all but what this player moves."""
        if self._turn == player.phase.name:
            return
        self._turn, moves = player.phase.name, self._moves[player.phase.name]
        for parameter in self._free:
            parameter.requires_grad = id(parameter) in moves

    def end(self) -> None:
        """Unfreeze everything that was free at the beginning."""
        self._turn = None
        for parameter in self._free:
            parameter.requires_grad = True
            parameter.grad = None
