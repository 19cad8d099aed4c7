"""The generators' speed: DCGAN's training step and sampling, StyleGAN2's two forms, BOOK's rates.

Prints a record and writes it to runs/bench/generators.json. What is compared runs in one process on
the same networks and takes turns; the best turn of each counts, so that a machine with other work
to do is fair to all. "plain" is an eager loop in float32 with torch's default layout; "bf16" is the
same under autocast to bfloat16 with channels last, which is what `--precision bf16
--channels-last` of `facelab train` does.
"""

import argparse
import contextlib
from pathlib import Path

import torch
from recording import best_seconds, record

from facelab.engine.methods import build
from facelab.generators import dcgan
from facelab.generators.stylegan2 import config as sizes
from facelab.generators.stylegan2.networks import StyleGAN2
from facelab.phases import Method, Step
from facelab.types import Batch

ROOT = Path(__file__).parents[1]
GOALS = {"DCGAN-64 training step": 1.4, "DCGAN-64 sampling": 1.6, "StyleGAN2-64 synthesis": 1.5}
METHODS = ("dcgan", "began", "stylegan2", "stylegan2-distillation")


def precision(bf16: bool):
    return torch.autocast("cpu", torch.bfloat16) if bf16 else contextlib.nullcontext()


class Training:
    """A method under a plain loop: phases in their order, an optimiser each, nothing else."""

    def __init__(self, method: Method, batch: int, *, bf16: bool):
        layout = torch.channels_last if bf16 else torch.contiguous_format
        images = torch.rand(batch, 3, 64, 64) * 2 - 1
        images = images.contiguous(memory_format=layout)
        self.batch = Batch(images=images, identity=torch.arange(batch))
        self.method, self.phases, self.bf16 = method, method.phases(), bf16
        self.random, self.moved, self.adams = torch.Generator().manual_seed(0), {}, {}
        for network in method.networks.values():
            network.train().to(memory_format=layout)
        for phase in self.phases:
            networks = [method.networks[name] for name in phase.parameters]
            self.moved[phase.name] = [p for n in networks for p in n.parameters()]
            if phase.shares is None:
                rate, betas = phase.optimiser.learning_rate, phase.optimiser.betas
                self.adams[phase.name] = torch.optim.Adam(self.moved[phase.name], rate, betas)

    def play(self, phase) -> None:
        """Take a phase's step."""
        for network in self.method.networks.values():
            network.requires_grad_(False)
        for parameter in self.moved[phase.name]:
            parameter.requires_grad_().grad = None
        with precision(self.bf16):
            terms = phase.loss(self.batch, Step(0, self.random))
        sum(phase.weights.get(k, 1.0) * term.mean() for k, term in terms.items()).backward()
        self.adams[phase.shares or phase.name].step()

    def step(self) -> None:
        """Take a step of each phase that runs at every step."""
        for phase in self.phases:
            if phase.every == 1:
                self.play(phase)


def compare_training(turns: int, batch: int) -> dict[str, float]:
    """Images a second of a step of DCGAN at BOOK."""
    loops = {
        name: Training(build("dcgan", "book"), batch, bf16=name == "bf16")
        for name in ("plain", "bf16")
    }
    seconds = best_seconds({name: loop.step for name, loop in loops.items()}, turns)
    return {name: batch / value for name, value in seconds.items()}


def compare_sampling(turns: int, batch: int) -> dict[str, float]:
    """Images a second of the pre-trained DCGAN's network, in evaluation mode."""
    networks = {name: dcgan.DCGAN().eval() for name in ("plain", "bf16")}
    networks["bf16"].to(memory_format=torch.channels_last)
    z = torch.randn(batch, 100)

    def sample(name: str) -> torch.Tensor:
        with torch.inference_mode(), precision(name == "bf16"):
            return networks[name](z).float()

    seconds = best_seconds({name: lambda n=name: sample(n) for name in networks}, turns)
    return {name: batch / value for name, value in seconds.items()}


def compare_synthesis(turns: int, batch: int) -> dict[str, float]:
    """Images a second of StyleGAN2 at BOOK: weights for each image, or scaled inputs."""
    network = StyleGAN2(sizes.BOOK).eval()
    w = network.mapping(torch.randn(batch, sizes.BOOK.latents)).detach()

    def draw(fused: bool) -> torch.Tensor:
        network.synthesis_network.fused = fused
        with torch.inference_mode():
            return network.synthesis(w)

    forms = {"grouped": lambda: draw(True), "unfused": lambda: draw(False)}
    seconds = best_seconds(forms, turns)
    return {name: batch / value for name, value in seconds.items()}


def book_rates(turns: int) -> dict[str, dict[str, float]]:
    """Images a second of each method's training at BOOK, its lazy phases counted by their share."""
    rates = {}
    for name in METHODS:
        rates[name] = {}
        for form in ("plain", "bf16"):
            method = build(name, "book")
            batch = method.config.batch_size
            loop = Training(method, batch, bf16=form == "bf16")
            plays = {p.name: lambda p=p, loop=loop: loop.play(p) for p in loop.phases}
            seconds = best_seconds(plays, turns)
            step = sum(seconds[p.name] / p.every for p in loop.phases)
            rates[name][form] = batch / step
    return rates


def measure(turns: int, batch: int) -> dict:
    """Measure all of it, with the goals that it is held to."""
    rates = {
        "DCGAN-64 training step": compare_training(turns, batch),
        "DCGAN-64 sampling": compare_sampling(turns, batch),
        "StyleGAN2-64 synthesis": compare_synthesis(turns, min(batch, 16)),
    }
    times = {}
    for name, found in rates.items():
        slow, fast = found.values()
        times[name] = {"times": fast / slow, "goal": GOALS[name]}
    return {
        "batch": batch,
        "images per second": rates,
        "second against first": times,
        "images per second, training at BOOK": book_rates(max(1, turns // 2)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/generators.json")
    options = parser.parse_args()
    torch.manual_seed(0)
    record(
        "speed of the generators",
        options.output,
        options.threads,
        lambda: measure(options.turns, options.batch),
    )


if __name__ == "__main__":
    main()
