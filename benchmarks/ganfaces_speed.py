"""A training step of GANFaces: the engine as it is used, and a plain loop by hand, one run.

Prints a record and writes it to runs/bench/ganfaces_speed.json. Both train the whole method at
BOOK's sizes (set-based loss included) on the same batches: "plain" is an eager loop in float32 with
torch's default layout, an Adam for each of the three players and an average of G and G'; "engine"
is facelab's with bfloat16 and channels last, as `facelab train ganfaces --precision bf16
--channels-last` runs it. They take turns, step by step, beginning with another one each time; the
medians are compared. Then the time of each phase is taken apart, and that of the embedder and of
the translators within it. The paper's rate is 248,000 steps of 16 faces in 70 hours on a GTX 1080
Ti, at 108 pixels.
"""

import argparse
import contextlib
import copy
import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from recording import best_seconds, record
from torch import nn

from facelab.data.base import FaceDataset
from facelab.data.sources import open_dataset
from facelab.engine.settings import Settings
from facelab.engine.trainer import Trainer
from facelab.methods.ganfaces import training
from facelab.phases import Phase, Step
from facelab.recognition.align import reframe
from facelab.types import Batch

ROOT = Path(__file__).parents[1]
DATA = "+".join(str(ROOT / f"runs/{name}.facepack") for name in ("renders", "samples", "pairs"))
PAPER = {"steps": 248_000, "batch": 16, "hours": 70, "pixels": 108, "on": "GTX 1080 Ti"}
PAPER_RATE = PAPER["steps"] * PAPER["batch"] / (PAPER["hours"] * 3600)
FAST = {"precision": "bf16", "channels_last": True}
WARM_UP = 2


def game(config: training.Config) -> training.Game:
    """The same first weights every time; everybody has been seen, as in most of a training."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = training.Game(config)
        if made.judge is not None:
            people = made.people
            people.centroids.copy_(nn.functional.normalize(torch.randn_like(people.centroids)))
            people.seen.fill_(True)
    return made


class Plain:
    """What one would write for this method alone, without an engine."""

    def __init__(self, method: training.Game):
        self.method, self.phases, self.number = method, method.phases(), 0
        self.moved, self.adams = {}, {}
        for phase in self.phases:
            networks = [method.networks[name] for name in phase.parameters]
            self.moved[phase.name] = [p for network in networks for p in network.parameters()]
            rate, betas = phase.optimiser.learning_rate, phase.optimiser.betas
            self.adams[phase.name] = torch.optim.Adam(self.moved[phase.name], rate, betas)
        self.averages = {
            name: copy.deepcopy(method.networks[name]).requires_grad_(False)
            for name in method.averaged
        }
        for network in method.networks.values():
            network.train()

    def play(self, phase: Phase, batch: Batch) -> None:
        """Take a phase's step."""
        for network in self.method.networks.values():
            network.requires_grad_(False)
        for parameter in self.moved[phase.name]:
            parameter.requires_grad_().grad = None
        terms = phase.loss(batch, Step(self.number, torch.Generator()))
        means = {name: term.mean() for name, term in terms.items()}
        sum(phase.weights.get(name, 1.0) * mean for name, mean in means.items()).backward()
        self.adams[phase.name].step()
        if phase.after:
            phase.after({name: float(mean) for name, mean in means.items()})

    def take(self, batch: Batch) -> None:
        """Take a step of all phases, and let the averages follow."""
        for phase in self.phases:
            self.play(phase, batch)
        with torch.no_grad():
            for name, average in self.averages.items():
                own = self.method.networks[name].parameters()
                for kept, new in zip(average.parameters(), own, strict=True):
                    kept.lerp_(new, 1 - self.method.ema_decay)
        self.number += 1


def batch_of(data: FaceDataset, number: int, size: int) -> Batch:
    """A batch of the data, like the loop's in number and kind."""
    return data.batch((torch.arange(size) * 101 + number * size) % len(data))


def contenders(
    config: training.Config, data: FaceDataset, batch: int
) -> dict[str, Callable[[Batch], None]]:
    """What takes a step with a batch, by name."""
    found: dict[str, Callable[[Batch], None]] = {"plain": Plain(game(config)).take}
    settings = {"engine, float32": {}, "engine": FAST}
    for name, own in settings.items():
        chosen = Settings(steps=1, batch=batch, device="cpu", **own)
        trainer = Trainer(game(config), data, chosen)
        found[name] = lambda given, t=trainer: t.take(t.lay_out(given))
    return found


def step_times(config: training.Config, data: FaceDataset, batch: int, steps: int) -> dict:
    """Time steps of all in turn, beginning with another one each time."""
    takers = contenders(config, data, batch)
    times: dict[str, list[float]] = {name: [] for name in takers}
    for number in range(steps + WARM_UP):
        given, names = batch_of(data, number, batch), list(takers)
        first = number % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            takers[name](given)
            times[name].append(time.perf_counter() - start)
    median = {name: statistics.median(values[WARM_UP:]) for name, values in times.items()}
    rates = {name: batch / seconds for name, seconds in median.items()}
    return {
        "median step, s": median,
        "images per second": rates,
        "times the plain loop": {name: median["plain"] / s for name, s in median.items()},
        "times the paper's rate": {name: rate / PAPER_RATE for name, rate in rates.items()},
    }


@contextlib.contextmanager
def watched(trainer: Trainer, spent: dict[str, float]) -> Iterator[None]:
    """Add up the seconds of each phase."""
    play = trainer._play

    def timed(player, batch) -> None:
        start = time.perf_counter()
        play(player, batch)
        name = player.phase.name
        spent[name] = spent.get(name, 0.0) + time.perf_counter() - start

    trainer._play = timed
    try:
        yield
    finally:
        trainer._play = play


def shares(config: training.Config, data: FaceDataset, batch: int, steps: int) -> dict:
    """Which part of a step of the engine each phase takes, and what is left for the averages."""
    settings = Settings(steps=1, batch=batch, device="cpu", **FAST)
    trainer, spent = Trainer(game(config), data, settings), {}
    for number in range(WARM_UP):
        trainer.take(trainer.lay_out(batch_of(data, number, batch)))
    with watched(trainer, spent):
        start, fetched = time.perf_counter(), 0.0
        for number in range(steps):
            before = time.perf_counter()
            given = trainer.lay_out(batch_of(data, number, batch))
            fetched += time.perf_counter() - before
            trainer.take(given)
        whole = time.perf_counter() - start
    told = {name: seconds / whole for name, seconds in spent.items()}
    return told | {"data": fetched / whole, "averages and the rest": 1 - sum(told.values())
                   - fetched / whole}  # fmt: skip


def parts(config: training.Config, data: FaceDataset, batch: int, turns: int) -> dict:
    """Seconds of what a phase is made of, forward and backward, alone, as the engine runs them."""
    method = game(config)
    settings = Settings(steps=1, batch=batch, device="cpu", **FAST)
    trainer = Trainer(method, data, settings)
    given = trainer.lay_out(batch_of(data, 0, batch)).images
    networks: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "G": method.generator,
        "G'": method.inverse,
        "a critic": method.photo_critic.error,
    }
    if method.judge is not None:
        judge = method.judge
        networks["embedder"] = lambda x: judge.embed(reframe(x, training.FRAMING, judge.template))

    def both(network: Callable[[torch.Tensor], torch.Tensor]) -> None:
        faces = given.clone().requires_grad_()
        with trainer.processes.autocast():
            out = network(faces)
        out.float().sum().backward()

    runs = {name: lambda n=network: both(n) for name, network in networks.items()}
    return best_seconds(runs, turns)


def measure(options: argparse.Namespace) -> dict:
    """Measure it all in one run."""
    data = open_dataset(options.data)
    config = dataclasses.replace(
        training.PRESETS[options.preset],
        size=data.size,
        people=data.people,
        embedder=options.embedder,
    )
    batch = options.batch or config.batch_size
    sizes = {"pixels": config.size, "width": config.translator.width, "batch": batch}
    steps = step_times(config, data, batch, options.steps)
    phases = shares(config, data, batch, options.steps)
    alone = parts(config, data, batch, max(2, options.steps // 2))
    seconds = steps["median step, s"]["engine"]
    return {
        "sizes": sizes | {"critic's width": config.critic_width, "people": config.people},
        "paper": PAPER | {"images per second": PAPER_RATE},
        "step": steps,
        "share of the engine's step": phases,
        "seconds of a network alone, forward and backward": alone,
        "share of a step, the embedder alone": alone.get("embedder", 0.0) / seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=DATA, help="RENDERS+PHOTOS+PAIRS")
    parser.add_argument("--preset", choices=sorted(training.PRESETS), default="book")
    parser.add_argument("--embedder", default="dlib")
    parser.add_argument("--batch", type=int, help="[the preset's]")
    parser.add_argument("--steps", type=int, default=12, help="that count, of each")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/ganfaces_speed.json")
    options = parser.parse_args()
    record(
        "a training step of GANFaces, the engine and a plain loop, one run",
        options.output,
        options.threads,
        lambda: measure(options),
        preset=options.preset,
        steps=options.steps,
    )


if __name__ == "__main__":
    main()
