"""The state of a training as tensors and JSON values, and back: what a checkpoint is made of.

What a step draws follows from the seed and the step's number, so the random states are not needed
to go on exactly; they are kept all the same, for a loss that draws where it should not.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from facelab.engine.averages import Averages
from facelab.engine.players import Player
from facelab.errors import CheckpointError

NETWORK, AVERAGE, OPTIMISER, RANDOM = "network", "average", "optimiser", "random"


def tensors_of(
    networks: Mapping[str, nn.Module], averages: Averages, players: Sequence[Player]
) -> dict[str, Tensor]:
    """Return all tensors that a run changes, by names such as "network/generator/main.0.weight"."""
    found = {}
    for kind, group in ((NETWORK, networks), (AVERAGE, averages.networks)):
        for name, network in group.items():
            for key, tensor in network.state_dict().items():
                found[f"{kind}/{name}/{key}"] = tensor
    for player in _owners(players):
        for name, parameter in player.parameters.items():
            for key, value in player.optimiser.state.get(parameter, {}).items():
                if value is not None:
                    found[f"{OPTIMISER}/{player.phase.name}/{name}/{key}"] = value
    return found


def restore(
    tensors: Mapping[str, Tensor],
    networks: Mapping[str, nn.Module],
    averages: Averages,
    players: Sequence[Player],
) -> None:
    """Put the tensors of `tensors_of` back. Raises `CheckpointError` when they don't fit."""
    for kind, group in ((NETWORK, networks), (AVERAGE, averages.networks)):
        for name, network in group.items():
            try:
                network.load_state_dict(tensors_below(tensors, f"{kind}/{name}/"))
            except RuntimeError as error:
                reason = str(error).splitlines()[-1].strip()
                raise CheckpointError(
                    f"the checkpoint doesn't fit the network {name!r}: {reason}"
                ) from error
    for player in _owners(players):
        _restore_optimiser(player, tensors_below(tensors, f"{OPTIMISER}/{player.phase.name}/"))


def _restore_optimiser(player: Player, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for number, (name, parameter) in enumerate(player.parameters.items()):
        own = tensors_below(tensors, f"{name}/")
        if own:
            state[number] = {key: _laid_out(key, own[key], parameter) for key in own}
    groups = player.optimiser.state_dict()["param_groups"]
    player.optimiser.load_state_dict({"state": state, "param_groups": groups})


def _laid_out(key: str, value: Tensor, parameter: nn.Parameter) -> Tensor:
    """Return a tensor in its parameter's memory format: a fused update reads both in that order."""
    if key == "step" or value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def _owners(players: Sequence[Player]) -> list[Player]:
    return [player for player in players if player.owner == player.phase.name]


def tensors_below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, by the rest of their names."""
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the states of all global random streams as JSON values."""
    version, numbers, gauss = random.getstate()
    name, keys, place, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    states = {
        "python": [version, list(numbers), gauss],
        "numpy": [name, keys.tolist(), place, has_gauss, cached],
        "torch": torch.get_rng_state().numpy().tobytes().hex(),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device).numpy().tobytes().hex()
    return states


def set_random_state(states: Mapping[str, Any], device: torch.device) -> None:
    """Put the streams back where `random_state` found them."""
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, place, has_gauss, cached = states["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), place, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(_bytes(states["torch"]))
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(_bytes(states["cuda"]), device)


def _bytes(text: str) -> Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)
