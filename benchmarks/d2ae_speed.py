"""d2ae's speed: a step of the training, codes of faces, and faces that are swapped, one run.

Prints a record and writes it to runs/bench/d2ae_speed.json. A step at BOOK, with the classifiers of
its people, is L_I, L_I^adv, L_H and L_X of plain and of augmented features, on rendered faces of
few people, from random weights. "by hand" is an eager loop in float32, with torch's default layout
and its SGD, that decodes plain and augmented features in one pass, as the method does; "by hand,
two passes" decodes them one after the other, so that each is normalised by itself. "engine" is
facelab's trainer in float32 on the same faces, "engine, as trained" has bfloat16 and channels last
besides. They take turns, a cycle of steps each, beginning with another one each time. The first
cycle does not count. "by hand" and "engine" do the same sums: how far apart their gradients are is
in the record, and beside it those of two passes and of bfloat16, which do others.

Then the autoencoder, of a checkpoint or, where that is asked for, of random weights: codes a second
and swaps a second for batches of several sizes, in float32 and under bfloat16 with channels last,
and how far apart what comes out is. Each batch is done before the next one begins.
"""

import argparse
import copy
import dataclasses
import functools
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import recording
import torch
import torch.nn.functional as F
from recording import average, best_seconds
from torch import Tensor, nn

from facelab.assets import cache
from facelab.data.anny_faces import AnnyFaces
from facelab.devices import choose
from facelab.engine.settings import Settings
from facelab.engine.trainer import Trainer
from facelab.errors import AssetError
from facelab.methods.d2ae import checkpoint, training
from facelab.methods.d2ae.model import AT_ONCE, Disentangler
from facelab.phases import Step
from facelab.types import Batch, Image

ROOT = Path(__file__).parents[1]
TARGET = 1.5  # times as fast as by hand, on a CPU
PASSES = {"by hand": 1, "by hand, two passes": 2}
TRAINERS = {"engine": {}, "engine, as trained": {"precision": "bf16", "channels_last": True}}
PRECISIONS = ("float32", "bfloat16, channels last")
VIEWS = 8  # of each person of the training's faces
KEPT = ("encoder", "distilling", "dispelling", "decoder")  # in averages, by hand


def game() -> training.Disentangling:
    """BOOK's training, with the same first weights every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return training.Disentangling(training.BOOK)


def finish(device: str) -> None:
    """Wait for what a GPU has still to do."""
    if device == "cuda":
        torch.cuda.synchronize()


# --- a step --------------------------------------------------------------------------------------


class ByHand:
    """What one would write for this method alone."""

    def __init__(self, method: training.Disentangling, device: str, passes: int):
        self.config, self.passes = method.config, passes
        self.nets = {name: net.to(device).train() for name, net in method.networks.items()}
        del self.nets["spread"]  # its numbers are `means` and `variances` here
        moved = [p for net in self.nets.values() for p in net.parameters()]
        self.sgd = torch.optim.SGD(
            moved,
            lr=self.config.learning_rate,
            momentum=self.config.momentum,
            weight_decay=self.config.weight_decay,
        )
        self.schedule = torch.optim.lr_scheduler.MultiStepLR(self.sgd, self.config.milestones)
        self.means = [torch.zeros(self.config.features, device=device) for _ in "tp"]
        self.variances = [torch.zeros_like(mean) for mean in self.means]
        self.learned = nn.ModuleList([self.nets[name] for name in KEPT])
        self.average = copy.deepcopy(self.learned).requires_grad_(False)

    def take(self, batch: Batch) -> None:
        """Take a step."""
        noise = torch.randn(2, len(batch), self.config.features, device=batch.images.device)
        self.sgd.zero_grad()
        self.loss(batch, noise).backward()
        self.sgd.step()
        self.schedule.step()
        average(self.average, self.learned, self.config.ema_decay)

    def loss(self, batch: Batch, noise: Tensor) -> Tensor:
        """Equation 6; `noise` (2, batch, features) is that of f_T and of f_P."""
        nets, weights = self.nets, self.config.weights
        maps = nets["encoder"](batch.images)
        plain = [nets["distilling"](maps), nets["dispelling"](maps)]
        self.observe(plain)
        t, p = (f + n * v.sqrt() for f, n, v in zip(plain, noise, self.variances, strict=True))
        identity = F.cross_entropy(nets["identity"](t), batch.identity)
        hidden = nets["hidden"]
        classified = F.cross_entropy(hidden(p.detach()), batch.identity)
        logits = F.linear(p, hidden.weight.detach(), hidden.bias.detach())
        dispelled = -logits.log_softmax(dim=1).mean()
        total = weights.identity * identity + weights.dispelling * (classified + dispelled)
        for made in self.decoded(plain, (t, p)):
            # Half the sum of squares of three channels.
            total = total + weights.reconstruction * 1.5 * F.mse_loss(made, batch.images)
        return total

    @torch.no_grad()
    def observe(self, codes: list[Tensor]) -> None:
        for mean, variance, code in zip(self.means, self.variances, codes, strict=True):
            mean.lerp_(code.mean(0), self.config.spread_momentum)
            variance.lerp_(code.var(0), self.config.spread_momentum)

    def decoded(self, plain: list[Tensor], augmented: tuple[Tensor, Tensor]) -> list[Image]:
        decoder = self.nets["decoder"]
        if self.passes == 2:
            return [decoder(*plain), decoder(*augmented)]
        both = [torch.cat(pair) for pair in zip(plain, augmented, strict=True)]
        return list(decoder(*both).chunk(2))


def faces_of_training(steps: int) -> AnnyFaces:
    """As many faces as so many steps see, each once, of as few people as have them."""
    people = -(-steps * training.BOOK.batch_size // VIEWS)
    return AnnyFaces(training.BOOK.size, people, VIEWS, split="train")


def batches(data: AnnyFaces, steps: int) -> list[Batch]:
    """Batches of a shuffled training set: pictures and who is in them."""
    whole, size = data.batch(range(len(data))), training.BOOK.batch_size
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    chosen = [order[n * size : (n + 1) * size] for n in range(steps)]
    return [Batch(whole.images[rows], whole.identity[rows]) for rows in chosen]


def contenders(data: AnnyFaces, device: str) -> dict[str, Callable[[Batch], None]]:
    """What takes a step with a batch on the CPU, by name."""
    found: dict[str, Callable[[Batch], None]] = {}
    for name, passes in PASSES.items():
        hand = ByHand(game(), device, passes)
        found[name] = lambda batch, hand=hand: hand.take(batch.to(device))
    settings = Settings(steps=1000, batch=training.BOOK.batch_size, device=device)
    for name, own in TRAINERS.items():
        trainer = Trainer(game(), data, dataclasses.replace(settings, **own))
        found[name] = lambda batch, trainer=trainer: trainer.take(trainer.lay_out(batch))
    return found


def step_times(
    options: argparse.Namespace, data: AnnyFaces, given: list[Batch], device: str
) -> dict:
    """Seconds a step of all in turn: medians over cycles."""
    takers = contenders(data, device)
    times: dict[str, list[float]] = {name: [] for name in takers}
    for number in range(options.cycles + 1):
        for name in rotated(list(takers), number):
            start = time.perf_counter()
            for batch in given:
                takers[name](batch)
            finish(device)
            times[name].append((time.perf_counter() - start) / len(given))
    counted = {name: values[1:] for name, values in times.items()}
    seconds = {name: statistics.median(values) for name, values in counted.items()}
    return {
        "batch": training.BOOK.batch_size,
        "people": {"of the classifiers": training.BOOK.people, "of the faces": data.people},
        "decoder passes": PASSES | dict.fromkeys(TRAINERS, 1),
        "steps of a cycle": len(given),
        "cycles": options.cycles,
        "median step, s": seconds,
        "shortest and longest, s": {n: [min(v), max(v)] for n, v in counted.items()},
        "times the loop by hand": {n: seconds["by hand"] / s for n, s in seconds.items()},
        "target": TARGET if device == "cpu" else None,
    }


def rotated(names: list[str], by: int) -> Iterator[str]:
    first = by % len(names)
    yield from names[first:] + names[:first]


# --- gradients -----------------------------------------------------------------------------------

Gradients = Mapping[str, list[Tensor]]  # by the network's name


def gradients_by_hand(batch: Batch, passes: int) -> Gradients:
    hand, features = ByHand(game(), "cpu", passes), training.BOOK.features
    # As the method's step draws it: a row has the noise of both codes.
    drawn = torch.randn(len(batch), 2 * features, generator=torch.Generator().manual_seed(0))
    loss = hand.loss(batch, torch.stack(drawn.split(features, dim=1)))
    return gradients(loss, hand.nets)


def gradients_by_method(batch: Batch, half: bool) -> Gradients:
    method = game()
    (phase,) = method.phases()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        terms = phase.loss(batch, Step(0, torch.Generator().manual_seed(0)))
    loss = sum(term.mean() * phase.weights[name] for name, term in terms.items())
    return gradients(loss, {name: method.networks[name] for name in phase.parameters})


def gradients(loss: Tensor, networks: Mapping[str, nn.Module]) -> Gradients:
    parameters = {name: list(net.parameters()) for name, net in networks.items()}
    found = iter(torch.autograd.grad(loss, [p for some in parameters.values() for p in some]))
    return {name: [next(found) for _ in some] for name, some in parameters.items()}


def gradients_apart(batch: Batch) -> dict:
    """How far gradients of the first step are from those by hand, network by network.

    "largest" is the largest difference over the largest gradient by hand.
    """
    plain = gradients_by_hand(batch, passes=1)
    others = {
        "engine": gradients_by_method(batch, half=False),
        "by hand, two passes": gradients_by_hand(batch, passes=2),
        "engine, bfloat16": gradients_by_method(batch, half=True),
    }
    return {name: apart(found, plain) for name, found in others.items()}


def apart(found: Gradients, expected: Gradients) -> dict:
    told: dict = {"largest": {}, "cosine": {}}
    if found.keys() != expected.keys():
        raise RuntimeError(f"gradients of {[*found]} can't be compared with {[*expected]}")
    for name in expected:
        ours, theirs = (torch.cat([g.double().flatten() for g in x[name]])
                        for x in (found, expected))  # fmt: skip
        told["largest"][name] = float((ours - theirs).abs().max() / theirs.abs().max())
        told["cosine"][name] = float(F.cosine_similarity(ours, theirs, dim=0))
    return told


# --- the autoencoder -----------------------------------------------------------------------------

Act = Callable[..., tuple[Tensor, ...]]  # an autoencoder and faces to what comes out


def autoencoder(options: argparse.Namespace) -> tuple[Disentangler, str]:
    """The autoencoder on the CPU, and its file's SHA-256 or "random".

    Raises `AssetError` while no checkpoint is shipped, and `CheckpointError` for a file that is
    none.
    """
    if options.random_weights:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return Disentangler(training.BOOK), "random"
    try:
        path = options.checkpoint or checkpoint.book_path()
    except AssetError as error:
        raise AssetError(f"{error} as --checkpoint, or give --random-weights") from error
    return checkpoint.load(path), cache.sha256(path)


class Passing:
    """An autoencoder in one precision and the layout that goes with it."""

    def __init__(self, model: Disentangler, precision: str, device: str):
        self.half, self.device = precision != "float32", device
        self.layout = torch.channels_last if self.half else torch.contiguous_format
        self.model = copy.deepcopy(model).to(device).to(memory_format=self.layout)

    def batches(self, size: int, *faces: Image) -> list[tuple[Image, ...]]:
        """Pictures in batches of so many, on the device."""
        laid = (x.to(self.device).contiguous(memory_format=self.layout) for x in faces)
        return list(zip(*(x.split(size) for x in laid), strict=True))

    @torch.inference_mode()
    def run(self, act: Act, given: list[tuple[Image, ...]]) -> list[tuple[Tensor, ...]]:
        """What comes out of the batches, each done before the next one begins."""
        made = []
        with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
            for faces in given:
                made.append(act(self.model, *faces))
                finish(self.device)
        return made


def codes(model: Disentangler, faces: Image) -> tuple[Tensor, Tensor]:
    return model.features(faces)


def swaps(model: Disentangler, identity: Image, attributes: Image) -> tuple[Image]:
    return (model.swap(identity, attributes),)


def of_autoencoder(
    options: argparse.Namespace, model: Disentangler, faces: Image, device: str
) -> dict:
    """Codes and swaps a second by precision and size of batch, and what precision does to both."""
    passing = {precision: Passing(model, precision, device) for precision in PRECISIONS}
    runs: dict = {}
    for precision, one in passing.items():
        for size in options.batches:
            alone, pairs = one.batches(size, faces), one.batches(size, faces, faces.roll(1, 0))
            runs["codes", precision, size] = functools.partial(one.run, codes, alone)
            runs["swaps", precision, size] = functools.partial(one.run, swaps, pairs)
    seconds = best_seconds(runs, options.turns)
    rates: dict = {what: {precision: {} for precision in PRECISIONS} for what in ("codes", "swaps")}
    for (what, precision, size), spent in seconds.items():
        rates[what][precision][f"batches of {size}"] = len(faces) / spent
    return {
        "faces": len(faces),
        "pixels": model.size,
        "convolutions may use TF32": device == "cuda" and torch.backends.cudnn.allow_tf32,
        "codes of faces a second": rates["codes"],
        "swaps of a pair a second": rates["swaps"],
        "precisions apart": precisions_apart(passing, faces),
    }


def precisions_apart(passing: Mapping[str, Passing], faces: Image) -> dict:
    """How far what bfloat16 makes is from what float32 makes of the same faces.

    Codes have much in common, whoever is seen, so that any two of them may have a high cosine.
    "cosine about the mean" takes the mean of float32's codes away from both first.
    """
    whole, told = len(faces), {}
    found = {name: one.run(codes, one.batches(whole, faces))[0] for name, one in passing.items()}
    for name, exact, other in zip(("f_T", "f_P"), *found.values(), strict=True):
        middle = exact.mean(0)
        told[name] = {
            "cosine": least_and_mean(exact, other),
            "cosine about the mean": least_and_mean(exact - middle, other - middle),
            "cosine of neighbours, both float32": least_and_mean(exact, exact.roll(1, 0)),
        }
    made = [one.run(swaps, one.batches(whole, faces, faces.roll(1, 0))) for one in passing.values()]
    exact, other = (found[0][0] for found in made)
    told["swaps, root mean square of [-1, 1]"] = float((exact - other).square().mean().sqrt())
    return told


def least_and_mean(a: Tensor, b: Tensor) -> dict:
    found = F.cosine_similarity(a.double(), b.double())
    return {"least": float(found.min()), "mean": float(found.mean())}


# --- everything ----------------------------------------------------------------------------------


def measure(options: argparse.Namespace) -> dict:
    """Everything, on the CPU and on a GPU where there is one."""
    devices = ["cpu"] + (["cuda"] if choose(options.device) == "cuda" else [])
    model, weights = autoencoder(options)
    data = faces_of_training(options.steps)
    given, count = batches(data, options.steps), max(options.batches)
    seen = AnnyFaces(model.size, count, 1, split="test").batch(range(count)).images
    told: dict = {"weights": weights, "gradients apart": gradients_apart(given[0])}
    for device in devices:
        told["CPU" if device == "cpu" else torch.cuda.get_device_name()] = {
            "training step": step_times(options, data, given, device),
            "autoencoder": of_autoencoder(options, model, seen, device),
        }
    return told


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--checkpoint", type=Path, help="of the autoencoder  [the shipped one]")
    weights.add_argument("--random-weights", action="store_true", help="none, as costly")
    parser.add_argument("--steps", type=int, default=8, help="of a cycle")
    parser.add_argument("--cycles", type=int, default=6, help="of steps, that count")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64], help="of faces")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/d2ae_speed.json")
    options = parser.parse_args()
    for name in ("steps", "cycles", "turns", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} {getattr(options, name)}: give 1 or more")
    largest = max(options.batches)
    if not 2 <= largest <= AT_ONCE or any(size < 1 or largest % size for size in options.batches):
        parser.error(f"--batches: give sizes that divide the largest, which is 2 to {AT_ONCE}")
    return options


if __name__ == "__main__":
    given = parsed()
    kind = "d2ae: a step of the training, codes and swaps, one run"
    sys.exit(recording.main(kind, given, measure, turns=given.turns))
