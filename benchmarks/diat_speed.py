"""DIAT's speed: one pass through T and E, and optimising every picture by itself, one run.

Prints a record and writes it to runs/bench/diat_speed.json. The networks have the sizes of PAPER
(128 pixels) and BOOK (64 pixels) and random weights, which cost the same. Measured are the latency
of one face and faces a second in batches, T alone and with the second stage of a local and of a
global task, in float32 and under bfloat16 with channels last, on one and on two threads, and on a
GPU where there is one. Beside them, the same size and the same threads: a step of
`diat.optimisation.optimise`, with the identity loss of D's maps and with that of a face network.
All competitors of a size take turns, so that a busy moment hits all of them.

A picture that is optimised takes as many steps as one has patience for. What it takes is
extrapolated: seconds a step, measured, times the steps that `--baseline-steps` says. With --run,
the folder of a training of diat, faces are optimised for its D and its config, for more and more
steps: how many have a loss as low as that of its T, and on how many does the judge see the
attribute? The two differ, for a D is pleased by a few steps that nobody sees. Where the judge sees
it as often as on T's faces, those steps are the ones that are counted.
"""

import argparse
import contextlib
import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch
from recording import best_seconds, record

from facelab.data.packed import Packed
from facelab.devices import choose
from facelab.engine import checkpoints
from facelab.engine.state import AVERAGE, NETWORK, tensors_below
from facelab.methods.diat import enhancement, evaluation, training
from facelab.methods.diat.features import FRAMING, face_layers
from facelab.methods.diat.networks import Discriminator, TransformNetwork
from facelab.methods.diat.optimisation import Objective, optimise
from facelab.methods.diat.tasks import find_task
from facelab.methods.diat.transfer import Transfer
from facelab.recognition.align import reframe
from facelab.recognition.face_readers import attribute_judge
from facelab.types import Image

ROOT = Path(__file__).parents[1]
PAPER = {"seconds per image": 0.0045, "optimisation (CNIA), s": 30.0, "on": "GTX Titan X",
         "pixels": 128, "source": "section 5.2"}  # fmt: skip
SIZES = {"PAPER": (training.PAPER, enhancement.PAPER), "BOOK": (training.BOOK, enhancement.BOOK)}
STAGES = {"T": None, "T and E, local": "mouth_open", "T and E, global": "male_to_female"}
PRECISIONS = ("float32", "bfloat16, channels last")

Run = Callable[[], object]


# --- feed-forward --------------------------------------------------------------------------------


def transfers(sizes: tuple[training.Config, enhancement.Config], device: str) -> dict:
    """Return a transfer of each kind by name, all with the same T."""
    game, stage = sizes
    transform, found = TransformNetwork(game.transform), {}
    for name, task in STAGES.items():
        enhancer = None
        if task is not None:
            own = dataclasses.replace(game, task=task)
            enhancer = enhancement.new_enhancer(dataclasses.replace(stage, game=own))
        made = Transfer(find_task(task or game.task), game.size, transform, enhancer)
        found[name] = made.eval().requires_grad_(False).to(device)
    return found


def passing(transfer: Transfer, faces: Image, precision: str) -> Run:
    """Return what takes faces through a transfer, done when it returns."""
    half, device = precision != "float32", faces.device.type
    layout = torch.channels_last if half else torch.contiguous_format
    own, given = copy.deepcopy(transfer).to(memory_format=layout), faces.to(memory_format=layout)

    def run() -> None:
        with torch.inference_mode(), autocast(device, half):
            own(given)
        finish(device)

    return run


def autocast(device: str, half: bool) -> contextlib.AbstractContextManager:
    return torch.autocast(device, torch.bfloat16) if half else contextlib.nullcontext()


def finish(device: str) -> None:
    """Wait for what a GPU has still to do."""
    if device == "cuda":
        torch.cuda.synchronize()


# --- the baseline --------------------------------------------------------------------------------


def optimising(config: training.Config, identity: str, face: Image, steps: int) -> Run:
    """Return what takes so many steps of the baseline, on one face."""
    config = dataclasses.replace(config, identity=identity)
    network = Discriminator(config.size, config.discriminator_width, config.hidden)
    network = network.eval().requires_grad_(False).to(face.device)
    layers = None if config.adaptive else face_layers(identity, str(face.device))

    def run() -> None:
        optimise(face, network, config, steps=steps, learning_rate=0.01, layers=layers)
        finish(face.device.type)

    return run


def trained(run: Path) -> tuple[training.Config, TransformNetwork, Discriminator, int]:
    """Return the config of a training, its T, its D and its steps."""
    found = checkpoints.newest(run)
    config = training.Config.from_json(found.state["run"]["config"])
    transform = TransformNetwork(config.transform)
    transform.load_state_dict(tensors_below(found.tensors, f"{AVERAGE}/transform/"))
    network = Discriminator(config.size, config.discriminator_width, config.hidden)
    network.load_state_dict(tensors_below(found.tensors, f"{NETWORK}/discriminator/"))
    transform, network = (n.eval().requires_grad_(False) for n in (transform, network))
    return config, transform, network, found.state["step"]


def reached(options: argparse.Namespace) -> dict:
    """What more and more steps of the baseline reach, beside what T of the same training does."""
    config, transform, network, steps = trained(options.run)
    task, data = find_task(config.task), Packed(options.faces)
    images = data.batch(evaluation.choose_inputs(data, task, options.count)).images
    judge, objective = attribute_judge(), Objective(images, network, config)
    column = judge.names.index(task.attribute)

    def seen(made: Image) -> float:
        faces = reframe(made, FRAMING, FRAMING)
        return float((judge.decide(faces)[:, column] == task.to).double().mean())

    with torch.no_grad():
        made = transform(images).clamp(-1, 1)
        wanted = objective(made)
    told: dict = {"task": task.name, "training's steps": steps, "faces": len(images),
                  "learning rate": options.learning_rate, "accepted, T": seen(made),
                  "accepted, inputs": seen(images), "optimised": []}  # fmt: skip
    for count in options.steps:
        rate = options.learning_rate
        found = optimise(images, network, config, steps=count, learning_rate=rate)
        low = float((found.losses[-1] <= wanted).double().mean())
        row = {"steps": count, "accepted": seen(found.images), "loss as low as T's": low}
        told["optimised"].append(row)
    enough = (r["steps"] for r in told["optimised"] if r["accepted"] >= told["accepted, T"])
    return told | {"steps until accepted as often as T's": next(enough, None)}


# --- everything ----------------------------------------------------------------------------------


def of_size(name: str, device: str, options: argparse.Namespace, patience: int) -> dict:
    """All numbers of one size on a device, from one run."""
    game = SIZES[name][0]
    faces = torch.rand(options.batch, 3, game.size, game.size) * 2 - 1
    faces, runs = faces.to(device), {}
    for stage, transfer in transfers(SIZES[name], device).items():
        for precision in PRECISIONS:
            for given in (faces[:1], faces):
                runs[stage, precision, len(given)] = passing(transfer, given, precision)
    few, more = options.baseline, 3 * options.baseline
    identities = ("adaptive", options.face_network)
    for identity in identities:
        for steps in (few, more):
            runs[identity, steps] = optimising(game, identity, faces[:1], steps)
    seconds = best_seconds(runs, options.turns)
    told = {
        "pixels": game.size,
        "width": game.transform.width,
        "blocks": game.transform.blocks,
        "feed-forward": {s: feed_forward(s, seconds, options.batch) for s in STAGES},
    }
    told["optimisation"] = {}
    alone = {stage: seconds[stage, "float32", 1] for stage in STAGES}
    for identity in identities:
        step = (seconds[identity, more] - seconds[identity, few]) / (more - few)
        whole = step * patience
        told["optimisation"][identity] = {
            "seconds per step, measured": step,
            "steps": patience,
            "seconds per picture, extrapolated": whole,
            "times one pass in float32": {stage: whole / spent for stage, spent in alone.items()},
        }
    return told


def feed_forward(stage: str, seconds: dict, batch: int) -> dict:
    """Latency and rate of one kind of transfer, by precision."""
    return {
        precision: {
            "milliseconds, one face": 1000 * seconds[stage, precision, 1],
            f"milliseconds per face, batch of {batch}": 1000
            * seconds[stage, precision, batch]
            / batch,
            f"faces per second, batch of {batch}": batch / seconds[stage, precision, batch],
        }
        for precision in PRECISIONS
    }


def measure(options: argparse.Namespace) -> dict:
    """Every device and every number of threads."""
    counted = reached(options) if options.run else None
    needed = counted and counted["steps until accepted as often as T's"]
    whence = "counted" if needed else "assumed: the paper does not say CNIA's"
    steps = needed or options.baseline_steps
    told: dict = {
        "paper": PAPER | {"ratio": PAPER["optimisation (CNIA), s"] / PAPER["seconds per image"]},
        "steps of a picture": {"steps": steps, "whence": whence, "counted": counted},
    }
    for threads in options.thread_counts:
        torch.set_num_threads(threads)
        name = f"{threads} thread{'s' if threads > 1 else ''}"
        told[name] = {size: of_size(size, "cpu", options, steps) for size in options.sizes}
    if choose(options.device) == "cuda":
        name = torch.cuda.get_device_name()
        told[name] = {size: of_size(size, "cuda", options, steps) for size in options.sizes}
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--thread-counts", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--face-network", default="dlib-stages", help="of the second baseline")
    parser.add_argument("--baseline", type=int, default=3, help="steps of a short measurement")
    parser.add_argument("--baseline-steps", type=int, default=500, help="that a picture takes")
    parser.add_argument("--run", type=Path, help="a training of diat, to count these steps")
    parser.add_argument("--faces", type=Path, help=".facepack of test faces, with --run")
    parser.add_argument("--count", type=int, default=16, help="of these faces")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 10, 100, 500])
    parser.add_argument("--learning-rate", type=float, default=0.01, help="of these steps")
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/diat_speed.json")
    options = parser.parse_args()
    if options.run and not options.faces:
        parser.error("--run needs --faces, a .facepack of test faces")
    record(
        "a face through DIAT, and the optimisation of a picture, one run",
        options.output,
        max([1, *options.thread_counts]),
        lambda: measure(options),
        batch=options.batch,
        turns=options.turns,
    )


if __name__ == "__main__":
    main()
