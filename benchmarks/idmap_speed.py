"""idmap's speed: a step of the training, vectors of the map, and faces that are swapped, one run.

Prints a record and writes it to runs/bench/idmap_speed.json. A step at BOOK is D_W, M against D_W
and all other losses, without the pre-training. "by hand" is an eager loop in float32, with torch's
default layout and Adam, that has no stored codes: E_id reads each batch once a step. "engine" is
facelab's trainer in float32 on the same faces, "engine, stored codes" reads the codes from the
training set, and "engine, as trained" has bfloat16 and channels last besides. They take turns,
a cycle of steps each, in which every kind of step comes as often as it should; beginning with
another one each time. The first cycle does not count. "by hand" and "engine" do the same sums: how
far apart their gradients are is in the record.

Then the map: vectors a second of E_attr and M, whose identities are known, and of E_id beside;
faces a second of a whole swap in batches; and one pair of photographs, the search for faces
included, and apart.
"""

import argparse
import copy
import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from recording import average, best_seconds, record
from torch import nn

from facelab import assets
from facelab.data.latents import W_LABEL, DrawnFaces
from facelab.devices import choose
from facelab.engine.settings import Settings
from facelab.engine.trainer import Trainer
from facelab.generators import adversarial
from facelab.methods.idmap import checkpoint, losses, training
from facelab.methods.idmap.identity_encoder import identity_encoder
from facelab.methods.idmap.model import Encoders, IdentityMap
from facelab.phases import Step
from facelab.recognition import pictures
from facelab.recognition.embedder import embedder
from facelab.recognition.face_points import SIZE
from facelab.recognition.gallery import faces_of
from facelab.types import Batch

ROOT = Path(__file__).parents[1]
TARGET = 1.4  # times as fast as by hand, on a CPU
BETAS = (0.9, 0.999)
FAST = {"precision": "bf16", "channels_last": True}


def config_of_steps() -> training.Config:
    """BOOK once its pre-training is over."""
    return dataclasses.replace(training.BOOK, pretrain_steps=0)


def game(config: training.Config, frozen: training.Frozen) -> training.Game:
    """The same first weights every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return training.Game(config, copy.deepcopy(frozen))


# --- a step --------------------------------------------------------------------------------------


class ByHand:
    """What one would write for this method alone."""

    def __init__(self, method: training.Game, device: str):
        self.config, self.frozen, self.number = method.config, method.frozen, 0
        self.frozen.to(torch.device(device))
        networks = {name: net.to(device).train() for name, net in method.networks.items()}
        self.attributes, self.mapping, self.critic = (
            networks[name] for name in ("attributes", "mapping", "critic")
        )
        self.both = [*self.attributes.parameters(), *self.mapping.parameters()]
        moved = {"critic": (self.critic.parameters(), self.config.critic_rate),
                 "adversarial": (self.mapping.parameters(), self.config.adversarial_rate),
                 "other": (self.both, self.config.learning_rate)}  # fmt: skip
        self.adams = {
            name: torch.optim.Adam(parameters, lr=rate, betas=BETAS)
            for name, (parameters, rate) in moved.items()
        }
        learned = nn.ModuleList([self.attributes, self.mapping])
        self.learned, self.average = learned, copy.deepcopy(learned).requires_grad_(False)

    def take(self, batch: Batch) -> None:
        """Take a step."""
        given = self.given(batch)
        for name, adam in self.adams.items():
            if name == "adversarial" and self.number % self.config.adversarial_every:
                continue
            self.critic.requires_grad_(name == "critic")
            adam.zero_grad()
            self.loss(name, batch, *given).backward()
            adam.step()
            for parameter in self.both:  # what a loss leaves on networks that it doesn't move
                parameter.grad = None
        average(self.average, self.learned, self.config.ema_decay)
        self.number += 1

    def given(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, bool]:
        """E_id's codes, the true vectors, and whether two faces are combined."""
        cross = training.is_cross(self.number, self.config)
        with torch.no_grad():
            own = self.frozen.identity(batch.images, self.config.framing)
        return own.roll(-1, 0) if cross else own, batch.labels[W_LABEL].float(), cross

    def loss(
        self, name: str, batch: Batch, codes: torch.Tensor, real: torch.Tensor, cross: bool
    ) -> torch.Tensor:
        """One player's loss."""
        if name == "critic":
            return self.critic_loss(batch, codes, real)
        if name == "other":
            return self.other_loss(batch, codes, real, cross)
        w = self.mapping(codes, self.attributes(batch.images))
        fooled = adversarial.non_saturating_generator(self.critic(w)).mean()
        return self.config.weights.adversarial * fooled

    def critic_loss(self, batch: Batch, codes: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            made = self.mapping(codes, self.attributes(batch.images))
        real = real.clone().requires_grad_()
        logits = self.critic(real)
        told = adversarial.non_saturating_discriminator(logits, self.critic(made)).mean()
        penalty = adversarial.r1_penalty(logits, real).mean()
        return told + self.config.gamma / 2 * penalty

    def other_loss(
        self, batch: Batch, codes: torch.Tensor, real: torch.Tensor, cross: bool
    ) -> torch.Tensor:
        config, weights, frozen = self.config, self.config.weights, self.frozen
        w = self.mapping(codes, self.attributes(batch.images))
        made = frozen.generator.synthesis(w)
        seen = frozen.identity(made, config.framing)
        with torch.no_grad():
            wanted = frozen.landmarks(batch.images)
        points = losses.landmark_loss(
            frozen.landmarks(made), wanted, side_px=SIZE, reading=config.landmarks
        )
        total = weights.identity * losses.identity_loss(seen, codes).mean()
        total = total + weights.landmarks * points.mean()
        if cross:
            return total
        mix = losses.mix_loss(made, batch.images, alpha=config.alpha)
        total = total + weights.reconstruction * mix.mean()
        if weights.latent:
            total = total + weights.latent * losses.latent_loss(w, real).mean()
        return total


def batches(config: training.Config, frozen: training.Frozen, count: int) -> list[Batch]:
    """Batches of the training set with what is stored in it."""
    size = config.batch_size
    drawn = DrawnFaces(frozen.generator, size * count, embedder=embedder(config.embedder))
    whole = drawn.batch(range(len(drawn)))
    return [whole.rows(torch.arange(n * size, (n + 1) * size)) for n in range(count)]


def without_codes(batch: Batch) -> Batch:
    return dataclasses.replace(batch, labels={W_LABEL: batch.labels[W_LABEL]})


class Contenders:
    """What takes a step with a batch, by name."""

    def __init__(self, config: training.Config, frozen: training.Frozen, device: str):
        self.by_hand, self.device = ByHand(game(config, frozen), device), device
        data = DrawnFaces(frozen.generator, 2 * config.batch_size)
        settings = Settings(steps=1000, batch=config.batch_size, device=device)
        made = {"engine": {}, "engine, stored codes": {}, "engine, as trained": FAST}
        self.trainers = {
            name: Trainer(game(config, frozen), data, dataclasses.replace(settings, **own))
            for name, own in made.items()
        }

    def all(self) -> dict[str, Callable[[Batch], None]]:
        """The contenders, each with the faces as it takes them."""
        found: dict[str, Callable[[Batch], None]] = {
            "by hand": lambda batch: self.by_hand.take(without_codes(batch).to(self.device))
        }
        for name, trainer in self.trainers.items():
            stored = name != "engine"
            found[name] = lambda batch, t=trainer, stored=stored: t.take(
                t.lay_out(batch if stored else without_codes(batch))
            )
        return found


def gradients_apart(config: training.Config, frozen: training.Frozen, batch: Batch) -> dict:
    """The largest difference of the gradients by hand and by the method, over their largest."""
    hand, method = ByHand(game(config, frozen), "cpu"), game(config, frozen)
    batch, told = without_codes(batch), {}
    given = hand.given(batch)
    for phase in method.phases():
        theirs = hand.adams[phase.name].param_groups[0]["params"]
        ours = [p for name in phase.parameters for p in method.networks[name].parameters()]
        terms = phase.loss(batch, Step(0, torch.Generator()))
        loss = sum(term.mean() * phase.weights.get(name, 1) for name, term in terms.items())
        found = torch.autograd.grad(loss, ours)
        expected = torch.autograd.grad(hand.loss(phase.name, batch, *given), theirs)
        pairs = list(zip(found, expected, strict=True))
        off = max(float((a - b).abs().max()) for a, b in pairs)
        told[phase.name] = off / max(float(b.abs().max()) for _, b in pairs)
    return told


def step_times(options: argparse.Namespace, frozen: training.Frozen, device: str) -> dict:
    """Seconds a step of all in turn: medians over cycles."""
    config = config_of_steps()
    cycle = math.lcm(config.period, config.adversarial_every)
    contenders, given = Contenders(config, frozen, device), batches(config, frozen, cycle)
    takers = contenders.all()
    times: dict[str, list[float]] = {name: [] for name in takers}
    for number in range(options.cycles + 1):
        for name in rotated(list(takers), number):
            start = time.perf_counter()
            for batch in given:
                takers[name](batch)
            finish(device)
            times[name].append((time.perf_counter() - start) / cycle)
    seconds = {name: statistics.median(values[1:]) for name, values in times.items()}
    plain = seconds["by hand"]
    return {
        "batch": config.batch_size,
        "steps of a cycle": cycle,
        "cycles": options.cycles,
        "median step, s": seconds,
        "times the loop by hand": {name: plain / value for name, value in seconds.items()},
        "target": TARGET if device == "cpu" else None,
        "gradients apart": gradients_apart(config, frozen, given[0]),
    }


def rotated(names: list[str], by: int) -> Iterator[str]:
    first = by % len(names)
    yield from names[first:] + names[:first]


def finish(device: str) -> None:
    """Wait for what a GPU has still to do."""
    if device == "cuda":
        torch.cuda.synchronize()


# --- the map -------------------------------------------------------------------------------------


def new_map(path: Path | None, frozen: training.Frozen, device: str) -> IdentityMap:
    """The map of a file, or one of random weights, which costs the same."""
    if path is not None:
        return checkpoint.load(path, device)
    parts = Encoders(training.BOOK), identity_encoder(training.BOOK.embedder)
    return IdentityMap(*parts, copy.deepcopy(frozen.generator)).to(device)


@torch.inference_mode()
def of_map(options: argparse.Namespace, model: IdentityMap, device: str) -> dict:
    """Rates of the map, from faces that are aligned."""
    faces = (torch.rand(options.batch, 3, model.size, model.size) * 2 - 1).to(device)
    one = faces[:1]
    codes = model.identity_code(faces)
    looks = model.attribute_code(faces)
    w = model.w(codes, looks)
    runs = {
        "E_attr and M": lambda: model.w(codes, model.attribute_code(faces)),
        "M": lambda: model.w(codes, looks),
        "E_id": lambda: model.identity_code(faces),
        "G": lambda: model.draw(w),
        "swap": lambda: model(faces, faces),
        "swap of one pair": lambda: model(one, one),
    }
    seconds = best_seconds({name: done(run, device) for name, run in runs.items()}, options.turns)
    alone = seconds.pop("swap of one pair")
    return {
        "batch": options.batch,
        "a second": {name: options.batch / value for name, value in seconds.items()},
        "milliseconds, one pair of aligned faces": 1000 * alone,
    }


def done(run: Callable[[], object], device: str) -> Callable[[], object]:
    """Return what is over when it returns."""

    def whole() -> None:
        run()
        finish(device)

    return whole


def of_photographs(options: argparse.Namespace, model: IdentityMap) -> dict:
    """One pair of photographs, from their files to a face: all of it, and its parts."""
    portraits = sorted(assets.path("portraits").glob("*.jpg"))
    paths = options.photographs or [portraits[0], assets.path("astronaut")]
    template = pictures.template_of_size(model.framing, model.size)
    faces = [faces_of(path, template)[0].images for path in paths]

    def whole() -> None:
        model(*(faces_of(path, template)[0].images for path in paths))

    runs = {
        "whole": whole,
        "reading, search and alignment of both": lambda: [faces_of(p, template) for p in paths],
        "E_id, E_attr, M and G": lambda: model(*faces),
    }
    seconds = best_seconds(runs, options.turns)
    return {
        "photographs": [path.name for path in paths],
        "milliseconds": {name: 1000 * value for name, value in seconds.items()},
    }


def measure(options: argparse.Namespace) -> dict:
    """Everything, on the CPU and on a GPU where there is one."""
    frozen = training.frozen_of(config_of_steps())
    told: dict = {}
    devices = ["cpu"] + (["cuda"] if choose(options.device) == "cuda" else [])
    for device in devices:
        model = new_map(options.checkpoint, frozen, device)
        row = {
            "training step": step_times(options, frozen, device),
            "map": of_map(options, model, device),
        }
        if device == "cpu":
            row["one pair of photographs"] = of_photographs(options, model)
        told["CPU" if device == "cpu" else torch.cuda.get_device_name()] = row
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="of the map  [random weights, as costly]")
    parser.add_argument("--cycles", type=int, default=6, help="of steps, that count")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64, help="of the map's faces")
    parser.add_argument("--photographs", type=Path, nargs=2, help="a pair  [of the assets]")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/idmap_speed.json")
    options = parser.parse_args()
    record(
        "idmap: a step of the training, vectors and swaps, one run",
        options.output,
        options.threads,
        lambda: measure(options),
        batch=options.batch,
        turns=options.turns,
    )


if __name__ == "__main__":
    main()
