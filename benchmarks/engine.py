"""The engine against a loop by hand: DCGAN-64's training step, same networks, same data, one run.

Prints a record and writes it to runs/bench/engine.json. A step of each contender is taken in turn,
so that all meet the same machine. The overhead is the median of the differences between the engine
and the loop by hand that does the same work (two phases, fused Adam, the generator's average), over
the latter's median step; in time by the clock, and in time of the processor, which other programs
disturb less. The plain loop has Adam as torch gives it; the engine's other settings are compared
with that.

Then both loops run as they are used, from a packed file of the pre-trained generator's faces: the
engine with its thread for batches, log and progress, the loop by hand with neither.
"""

import argparse
import copy
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from recording import record

from facelab.data.packed import Packed, pack
from facelab.data.samples import Samples
from facelab.engine.loop import train
from facelab.engine.settings import Settings
from facelab.engine.trainer import Trainer
from facelab.generators import adversarial, dcgan
from facelab.types import Batch, Image

ROOT = Path(__file__).parents[1]
PRESETS = {"tiny": dcgan.TINY, "book": dcgan.BOOK}


def game(preset: str) -> dcgan.Game:
    """The same first weights every time."""
    torch.manual_seed(0)
    return dcgan.Game(PRESETS[preset])


class ByHand:
    """What one would write for this game alone."""

    def __init__(self, method: dcgan.Game, fused: bool):
        self.generator, self.discriminator = method.generator, method.discriminator
        self.config = config = method.config
        options = {"lr": config.learning_rate, "betas": (config.beta1, 0.999)}
        self.adams = [
            torch.optim.Adam(network.parameters(), fused=fused or None, **options)
            for network in (self.discriminator, self.generator)
        ]
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.random = torch.Generator().manual_seed(0)

    def take(self, batch: Batch) -> None:
        """Take a step."""
        images = batch.images
        for adam, loss in zip(self.adams, (self.real_or_fake, self.fool), strict=True):
            adam.zero_grad()
            loss(images).backward()
            adam.step()
        pairs = list(zip(self.average.parameters(), self.generator.parameters(), strict=True))
        with torch.no_grad():
            torch._foreach_lerp_(*map(list, zip(*pairs, strict=True)), 1 - self.config.ema_decay)
            for kept, new in zip(self.average.buffers(), self.generator.buffers(), strict=True):
                kept.copy_(new)

    def latents(self, count: int) -> torch.Tensor:
        return self.generator.sample_latent(count, self.random)

    def real_or_fake(self, images: Image) -> torch.Tensor:
        with torch.no_grad():
            fakes = self.generator(self.latents(len(images)))
        real, fake = self.discriminator(images), self.discriminator(fakes)
        return adversarial.non_saturating_discriminator(real, fake).mean()

    def fool(self, images: Image) -> torch.Tensor:
        self.discriminator.requires_grad_(False)
        fake = self.discriminator(self.generator(self.latents(len(images))))
        self.discriminator.requires_grad_(True)
        return adversarial.non_saturating_generator(fake).mean()


def seconds(run: Callable[[], object]) -> tuple[float, float]:
    """The time of one call, by the clock and of the processor."""
    start = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start[0], time.process_time() - start[1]


SETTINGS = {
    "engine": {},
    "engine, channels last": {"channels_last": True},
    "engine, channels last, bfloat16": {"channels_last": True, "precision": "bf16"},
}


def contenders(preset: str, packed: Packed, settings: Settings) -> dict[str, Callable]:
    """What takes a step with a batch, by name."""
    found: dict[str, Callable] = {
        name: ByHand(game(preset), fused).take
        for name, fused in (("by hand", True), ("by hand, plain", False))
    }
    for name, own in SETTINGS.items():
        trainer = Trainer(game(preset), packed, dataclasses.replace(settings, **own))
        found[name] = lambda batch, t=trainer: t.take(t.lay_out(batch))
    return found


def step_times(preset: str, packed: Packed, settings: Settings) -> dict:
    """Time steps of all in turn, beginning with another one each time."""
    takers = contenders(preset, packed, settings)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in takers}
    for number in range(settings.steps):
        rows = torch.arange(settings.batch) + number * settings.batch
        batch, names = packed.batch(rows % len(packed)), list(takers)
        first = number % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(seconds(lambda take=takers[name], batch=batch: take(batch)))
    kept = {name: values[2:] for name, values in times.items()}  # the first two warm up
    clock = {name: statistics.median(t for t, _ in values) for name, values in kept.items()}
    plain = clock["by hand, plain"]
    return {
        "median step, s": clock,
        "overhead of the engine, share of a step": {
            "by the clock": overhead(kept, 0),
            "of the processor": overhead(kept, 1),
        },
        "times the plain loop": {name: plain / value for name, value in clock.items()},
    }


def overhead(times: dict[str, list[tuple[float, float]]], kind: int) -> float:
    """The median of the engine's extra time, over the median step by hand."""
    pairs = zip(times["engine"], times["by hand"], strict=True)
    extra = statistics.median(ours[kind] - theirs[kind] for ours, theirs in pairs)
    return extra / statistics.median(theirs[kind] for theirs in times["by hand"])


def loop_rates(preset: str, packed: Packed, settings: Settings) -> dict:
    """Faces a second of both loops as they are used, data included, one after the other."""
    faces = settings.steps * settings.batch
    hand = ByHand(game(preset), fused=True)

    def by_hand() -> None:
        for number in range(settings.steps):
            rows = torch.arange(settings.batch) + number * settings.batch
            hand.take(packed.batch(rows % len(packed)))

    rates = {}
    for turn in ("first", "second"):
        rates[f"by hand, {turn}"] = faces / seconds(by_hand)[0]
        run = seconds(lambda: train(game(preset), packed, settings, progress=False))
        rates[f"engine, {turn}"] = faces / run[0]
    return rates


def measure(preset: str, steps: int, batch: int, folder: Path) -> dict:
    """Measure both ways."""
    packed = pack(Samples(1024), folder / "samples.facepack")
    settings = Settings(steps=steps, batch=batch, device="cpu")
    return {
        "step": step_times(preset, packed, settings),
        "loop, faces per second": loop_rates(preset, packed, settings),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="book")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/engine.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        record(
            "the training engine and a loop by hand, DCGAN-64, one run",
            options.output,
            options.threads,
            lambda: measure(options.preset, options.steps, options.batch, Path(folder)),
            preset=options.preset,
            steps=options.steps,
            batch=options.batch,
        )


if __name__ == "__main__":
    main()
