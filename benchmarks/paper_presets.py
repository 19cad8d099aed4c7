"""Fifty steps of each method's PAPER preset on noise: images a second, memory, share of the peak.

    python benchmarks/paper_presets.py --device cuda --precision bf16 --card H200
    python benchmarks/paper_presets.py --device cpu --precision fp32 --steps 1 --batch 2 \\
        --methods dcgan book-embedder

Prints a record and writes it to runs/bench/paper_presets.json. Weights that a reader has to get
(FaceNet, StyleGAN2-FFHQ) are random here: what a step costs doesn't depend on them. DIAT begins
with its game. The first steps, `--warm` of them, don't count. The share of the peak is the counted
operations (engine.plans) over time and the data sheet's peak; the peak memory is that of torch's
allocator, without CUDA's own context.
"""

import argparse
import contextlib
import dataclasses
import math
import resource
import sys
import time
from pathlib import Path

import torch
from recording import ROOT, main

from facelab.engine import costs, methods, plans
from facelab.engine.rehearsal import Rehearsal
from facelab.engine.settings import Settings
from facelab.engine.trainer import Trainer
from facelab.phases import Method
from facelab.types import Batch


def build(name: str) -> Method:
    """Return a PAPER training; what it goes on from or looks through is random where it must be."""
    torch.manual_seed(0)
    if name == "diat-enhancement":
        return enhancement()
    if name == "lord-encoders":
        return encoders()
    if name == "diat":
        from facelab.methods.diat.training import PAPER, Game

        return Game(dataclasses.replace(PAPER, pretrain_steps=0))
    return idmap() if name == "idmap" else methods.build(name, "paper")


def enhancement() -> Method:
    from facelab.methods.diat.enhancement import PAPER, Enhancement
    from facelab.methods.diat.networks import TransformNetwork

    return Enhancement(PAPER, TransformNetwork(PAPER.game.transform))


def encoders() -> Method:
    from facelab.methods.idmap.lord import ENCODERS, PAPER, Encoders, Latents

    first = Latents(PAPER)
    return Encoders(ENCODERS["paper"], first.generator, first.codes)


def idmap() -> Method:
    from facelab.generators.stylegan2 import config as sizes
    from facelab.generators.stylegan2.networks import StyleGAN2
    from facelab.methods.idmap.identity_encoder import IdentityEncoder
    from facelab.methods.idmap.training import PAPER, Frozen, Game
    from facelab.recognition import facenet
    from facelab.recognition.face_points import landmark_regressor

    embedder = facenet.FaceNet(facenet.build_network(), "random").eval().requires_grad_(False)
    generator = StyleGAN2(sizes.paper(256)).eval().requires_grad_(False)
    return Game(PAPER, Frozen(IdentityEncoder(embedder), generator, landmark_regressor()))


def measured(name: str, options: argparse.Namespace) -> dict:
    """Take the steps of one method and return what they took."""
    method = build(name)
    batch = options.batch or method.config.batch_size
    data, plan = Rehearsal(method, batch), plans.find(name)
    settings = Settings(
        steps=options.warm + options.steps,
        batch=batch,
        device=options.device,
        precision=options.precision,
        channels_last=True,
        accumulate=options.accumulate,
    )
    trainer = Trainer(method, data, settings)
    faces = trainer.lay_out(data.batch(range(batch)))
    try:
        return {
            "batch": batch,
            "operations an image": plan.gflop * 1e9,
            "counted memory in float32, bytes": 1e9 * plan.fixed_gb + 1e6 * batch * plan.saved_mb,
            **timed(trainer, faces, plan.gflop * 1e9, options),
        }
    finally:
        trainer.turns.end()


def timed(trainer: Trainer, faces: Batch, operations: float, options: argparse.Namespace) -> dict:
    """Take the steps, by the clock, from the first that counts to the end of the last."""
    on_gpu = trainer.processes.device.type == "cuda"
    settle = torch.cuda.synchronize if on_gpu else contextlib.nullcontext
    for _ in range(options.warm):
        trainer.take(faces)
    settle()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    for _ in range(options.steps):
        trainer.take(faces)
    settle()
    taken_s = time.perf_counter() - start
    losses = trainer.ledger.take()
    rate = options.steps * len(faces) / taken_s
    peak = costs.PEAKS[options.card][options.precision] if options.card else None
    return {
        "seconds": taken_s,
        "images a second": rate,
        "operations a second": rate * operations,
        "share of the peak": peak and rate * operations / peak,
        "peak memory, bytes": memory(on_gpu),
        "losses": losses,
        "losses finite": all(math.isfinite(value) for value in losses.values()),
    }


def memory(on_gpu: bool) -> int:
    """The allocator's peak on a GPU; on a CPU that of the process since it began."""
    if on_gpu:
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(options: argparse.Namespace) -> dict:
    """Measure one method after the other; a GPU's memory is given back between them."""
    found = {}
    for name in options.methods:
        found[name] = measured(name, options)
        print(f"{name}: {found[name]['images a second']:.1f} images/s", file=sys.stderr)
        if options.device == "cuda":
            torch.cuda.empty_cache()
    name = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    return {"device": name, "presets": found}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=methods.METHODS, default=[*methods.METHODS])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--card", choices=costs.PEAKS, help="whose peak to compare with")
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--warm", type=int, default=5)
    parser.add_argument("--batch", type=int, help="images a step; default: the preset's")
    parser.add_argument("--accumulate", type=int, default=1, help="compute a batch in parts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/paper_presets.json")
    return parser.parse_args()


if __name__ == "__main__":
    chosen = arguments()
    kind = f"{chosen.steps} steps of each PAPER preset on noise, one run"
    sys.exit(main(kind, chosen, measure, precision=chosen.precision, card=chosen.card))
