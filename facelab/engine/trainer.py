"""One step of training: it runs a method's phases, and knows no method.

Each phase whose turn it is freezes all parameters but its own, computes its loss on the step's
batch, and moves them; then the averages follow. All that a step draws comes from the seed and the
step's number, so a step can be taken again, in another process, to the same end.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from facelab.data.base import FaceDataset
from facelab.data.seeding import seed_of
from facelab.engine import optimisers, players
from facelab.engine.averages import Averages
from facelab.engine.batch_norm import span_processes
from facelab.engine.distribution import Processes
from facelab.engine.ledger import Ledger
from facelab.engine.players import Player, Turns
from facelab.engine.settings import Settings
from facelab.errors import ParameterError
from facelab.phases import Method, Step
from facelab.types import Batch


class Trainer:
    """A method, its data and its settings, ready to take steps.

    `networks` are the method's own, moved to the device; `step` is the number of steps that are
    done. `loop.train` is the whole run; this is what it is made of.
    """

    def __init__(self, method: Method, dataset: FaceDataset, settings: Settings):
        self.method, self.dataset, self.settings = method, dataset, settings
        self.processes = Processes(settings.device, settings.processes, settings.precision)
        _require_shares(settings, self.processes.world)
        self.networks = method.networks
        for network in self.networks.values():
            _place(network, self.processes, settings.channels_last)
        self.averages = Averages(_averaged(method), method.ema_decay)
        self.players = players.gather(method.phases(), self.networks)
        for player in self.players:  # a schedule that can't be is told before the first step
            optimisers.learning_rate(player.settings, 0, settings.steps)
        self.turns = Turns(self.players, self.networks)
        self.ledger = Ledger(self.processes)
        self.random = torch.Generator()
        self.step = 0

    @property
    def best_networks(self) -> dict[str, nn.Module]:
        """The networks to use: averages where they are kept, else the method's own."""
        return {**self.networks, **self.averages.networks}

    @property
    def kept_tensors(self) -> list[Tensor]:
        """All weights, statistics and averages: what every process has a copy of."""
        networks = (*self.networks.values(), *self.averages.networks.values())
        return [tensor for network in networks for tensor in network.state_dict().values()]

    @property
    def owner(self) -> dict[str, Any]:
        """What another run must have in common with this one to go on from its checkpoints."""
        settings = self.settings
        ending = any(p.settings.schedule in optimisers.ENDING for p in self.players)
        return {
            "method": self.method.id,
            "config": values_of(self.method.config),
            "data": {"id": self.dataset.id, "sha256": self.dataset.config_hash},
            **{name: getattr(settings, name) for name in ("seed", "batch", "precision")},
            **({"steps": settings.steps} if ending else {}),
        }

    def lay_out(self, batch: Batch) -> Batch:
        """Return a batch, on the CPU, as it goes to the device quickest: for a loader's threads."""
        if self.settings.channels_last:
            images = batch.images.contiguous(memory_format=torch.channels_last)
            batch = dataclasses.replace(batch, images=images)
        return batch.map(Tensor.pin_memory) if self.processes.device.type == "cuda" else batch

    def take(self, batch: Batch) -> None:
        """Take one step with a batch of `lay_out`'s.

        Raises `ledger.NotFinite` for a loss that is not finite; on a CPU before it moves anything.
        """
        batch = batch.to(self.processes.device)
        for player in self.players:
            if player.plays(self.step):
                self._play(player, batch)
        self.averages.update()
        self.step += 1

    def _play(self, player: Player, batch: Batch) -> None:
        self.turns.give(player)
        phase, rates = player.phase, player.optimiser.param_groups
        names, means = self._backward(player, batch)
        moved = list(player.parameters.values())
        self.processes.average_gradients(moved)
        if phase.clip_norm is not None:
            norm = nn.utils.clip_grad_norm_(moved, phase.clip_norm)
            names, means = (*names, "gradient norm"), torch.cat([means, norm.reshape(1)])
        self.ledger.add(self.step, phase.name, names, means)
        for group in rates:
            group["lr"] = self.learning_rate(player)
        player.optimiser.step()
        player.optimiser.zero_grad(set_to_none=True)
        if phase.after is not None:
            self._after(player)

    def _backward(self, player: Player, batch: Batch) -> tuple[tuple[str, ...], Tensor]:
        """Compute the gradients of a phase's loss; return the terms' names and means."""
        parts = self.settings.accumulate
        rows = len(batch) // parts
        total: Tensor | None = None
        for part in range(parts):
            own = batch if parts == 1 else batch.rows(_rows(batch, part * rows, rows))
            with self.processes.autocast():
                terms = player.phase.loss(own, self._step(player, part))
            loss, means = _reduce(player, terms)
            (loss / parts if parts > 1 else loss).backward()
            total = means if total is None else total + means
        return tuple(terms), total / parts if parts > 1 else total

    def _step(self, player: Player, part: int) -> Step:
        """Return what a loss is told, and seed everything that it may draw from.

        A part of a process's rows is to `Step.draw` what a process is to the whole batch.
        """
        words = (self.settings.seed, self.step, player.phase.name)
        rank = self.processes.rank * self.settings.accumulate + part
        world = self.processes.world * self.settings.accumulate
        self.random.manual_seed(seed_of("step", *words))
        hidden = seed_of("global", *words, rank)
        torch.default_generator.manual_seed(hidden)
        if self.processes.device.type == "cuda":
            torch.cuda.manual_seed(hidden)
        return Step(self.step, self.random, rank, world)

    def _after(self, player: Player) -> None:
        self.ledger.read()
        for name, value in player.phase.after(self.ledger.latest).items():
            self.ledger.note(f"{player.phase.name}/{name}", float(value))

    def learning_rate(self, player: Player) -> float:
        """Return a phase's learning rate at the present step."""
        return optimisers.learning_rate(player.settings, self.step, self.settings.steps)


def _require_shares(settings: Settings, world: int) -> None:
    shares = world * settings.accumulate
    if settings.batch % shares:
        raise ParameterError(
            f"a batch of {settings.batch} can't be divided among {world} processes in "
            f"{settings.accumulate} parts each; give a multiple of {shares}"
        )


def _place(network: nn.Module, processes: Processes, channels_last: bool) -> None:
    if processes.world > 1:
        span_processes(network)
    network.to(processes.device).train()
    if channels_last:
        for parameter in network.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    processes.share([*network.parameters(), *network.buffers()])


def _averaged(method: Method) -> dict[str, nn.Module]:
    unknown = [name for name in method.averaged if name not in method.networks]
    if unknown:
        raise ParameterError(
            f"{method.id} averages {unknown[0]!r}, which there isn't; its networks are: "
            f"{', '.join(method.networks)}"
        )
    return {name: method.networks[name] for name in method.averaged}


def _rows(batch: Batch, start: int, count: int) -> Tensor:
    return torch.arange(start, start + count, device=batch.identity.device)


def _reduce(player: Player, terms: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the weighted sum of the terms' means, and the means."""
    phase, means, loss = player.phase, [], None
    for name, term in terms.items():
        if term.ndim != 1:
            raise ParameterError(
                f"phase {phase.name!r}: term {name!r} has the shape {tuple(term.shape)}, expected "
                "one value per sample; leave the mean to the loop"
            )
        mean = term.float().mean()
        weighted = mean * phase.weights[name] if name in phase.weights else mean
        loss = weighted if loss is None else loss + weighted
        means.append(mean.detach())
    unknown = phase.weights.keys() - terms.keys()
    if unknown or loss is None:
        raise ParameterError(
            f"phase {phase.name!r} weights {', '.join(sorted(unknown)) or 'nothing'}, its loss has "
            f"the terms: {', '.join(terms) or 'none'}"
        )
    return loss, torch.stack(means)


def values_of(config: Any) -> Any:
    """Return a method's config as JSON values, tuples as lists."""
    if dataclasses.is_dataclass(config):
        config = dataclasses.asdict(config)
    if isinstance(config, Mapping):
        return {str(name): values_of(value) for name, value in config.items()}
    if isinstance(config, list | tuple):
        return [values_of(value) for value in config]
    return config
