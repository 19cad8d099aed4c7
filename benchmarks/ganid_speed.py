"""Search evaluations a second, where the time goes, and how that compares with calling dlib itself.

Prints a record and writes it to runs/bench/ganid_speed.json: the loop that any user of the package
`dlib` would write (a face is drawn, aligned and embedded, one at a time) against the library's, in
float32 and bfloat16 and at several batch sizes, the same latent vectors and the same alignment; the
share of generator, alignment and embedder; what each strategy manages; what one target more costs.
Competitors take turns, so that a busy moment hits all of them. Needs the extra `test` (dlib-bin).
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from recording import best_seconds, record

from facelab.assets import path as asset_path
from facelab.generators.catalogue import generator
from facelab.images import to_uint8
from facelab.methods.ganid import gradient
from facelab.methods.ganid.bank import Bank
from facelab.methods.ganid.scoring import Scorer, Target
from facelab.methods.ganid.search import STRATEGIES, Settings, search
from facelab.recognition.embedder import embedder

ROOT = Path(__file__).parents[1]
BATCHES = (10, 25, 50, 100)
LOOPED = 10  # faces of a turn of the loop that takes them one by one
TARGETS = 25


def dlib_loop() -> Callable[[torch.Tensor], torch.Tensor]:
    """Latent vectors to unit embeddings with the package `dlib`, one by one."""
    import dlib

    theirs = dlib.face_recognition_model_v1(str(asset_path("dlib-resnet")))
    scorer = Scorer(generator(), embedder("dlib"))  # for the generator and the same alignment

    @torch.inference_mode()
    def embed(latents: torch.Tensor) -> torch.Tensor:
        rows = []
        for latent in latents.split(1):
            (chip,) = to_uint8(scorer.crops(scorer.faces(latent))).numpy()
            rows.append(list(theirs.compute_face_descriptor(chip)))
        return torch.nn.functional.normalize(torch.tensor(rows), dim=1)

    return embed


def loops(latents: torch.Tensor, turns: int) -> dict:
    """Evaluations a second of dlib's loop and of the scorer, with how far they agree."""
    theirs, parts = dlib_loop(), (generator(), embedder("dlib"))
    scorers = {
        f"{kind}, batch {size}": Scorer(*parts, half=kind == "bfloat16", batch=size)
        for kind in ("float32", "bfloat16")
        for size in BATCHES
    }
    few = latents[:LOOPED]
    with torch.inference_mode():
        runs = {name: lambda s=s: s.embed(latents) for name, s in scorers.items()}
        seconds = best_seconds({"dlib loop": lambda: theirs(few), **runs}, turns)
        expected = theirs(few)
        agreement = {
            name: float((s.embed(few) - expected).square().sum(1).max())
            for name, s in scorers.items()
            if s.batch == 50
        }
    rates = {
        name: (LOOPED if name == "dlib loop" else len(latents)) / spent
        for name, spent in seconds.items()
    }
    own = rates["dlib loop"]
    return {
        "evaluations per second": rates,
        "times the dlib loop": {n: r / own for n, r in rates.items() if n != "dlib loop"},
        "largest squared distance to dlib's embeddings": agreement,
    }


def shares(latents: torch.Tensor, turns: int, half: bool) -> dict:
    """Milliseconds a face of each part at batch 50, and its share."""
    scorer = Scorer(generator(), embedder("dlib"), half=half)
    latents = latents[: scorer.batch]
    with torch.inference_mode():
        faces = scorer.faces(latents)
        crops = scorer.crops(faces)

        def embed() -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                return scorer.embedder.embed(crops)

        spent = best_seconds(
            {
                "generator": lambda: scorer.faces(latents),
                "alignment": lambda: scorer.crops(faces),
                "embedder": embed,
            },
            turns,
        )
    whole = sum(spent.values())
    return {
        "milliseconds per face": {name: 1000 * t / len(latents) for name, t in spent.items()},
        "share": {name: t / whole for name, t in spent.items()},
    }


def strategies(budget: int) -> dict[str, float]:
    """Evaluations a second of a search by each strategy, random start included."""
    scorer = Scorer(generator(), embedder("dlib"), half=True)
    random, rates = torch.Generator().manual_seed(1), {}
    with torch.no_grad():
        wanted = scorer.embed(scorer.generator.sample_latent(5, random))
    target = Target("somebody", wanted, "dlib")
    for name in STRATEGIES:
        config = {"config": gradient.Config()} if name == "gradient" else {}
        start = time.perf_counter()
        search(name, scorer, target, Settings(budget, threshold=0.0), **config)
        rates[name] = budget / (time.perf_counter() - start)
    return rates


def one_target_more(count: int, turns: int) -> dict[str, float]:
    """Seconds to draw and embed candidates once, and to compare all of them with one target."""
    scorer = Scorer(generator(), embedder("dlib"), half=True)
    bank = Bank(scorer)
    start = time.perf_counter()
    bank.draw(count)
    drawn = time.perf_counter() - start
    codes = bank.compare([Target("x", torch.eye(128)[:5], "dlib")], count)
    targets = [Target("x", torch.eye(128)[i : i + 5], "dlib") for i in range(TARGETS)]
    spent = best_seconds({"compare": lambda: bank.compare(targets, count)}, turns)
    return {
        "candidates": codes.shape[1],
        "seconds to embed them": drawn,
        "seconds to compare them with a target": spent["compare"] / TARGETS,
    }


def measure(options: argparse.Namespace) -> dict:
    random = torch.Generator().manual_seed(0)
    latents = generator().sample_latent(options.faces, random)
    return {
        **loops(latents, options.turns),
        "parts, bfloat16": shares(latents, options.turns, half=True),
        "parts, float32": shares(latents, options.turns, half=False),
        "evaluations per second of a search": strategies(options.budget),
        "one target more": one_target_more(options.budget, options.turns),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=200)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--budget", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/ganid_speed.json")
    options = parser.parse_args()
    record(
        "search evaluations a second, and dlib itself in a loop",
        options.output,
        options.threads,
        lambda: measure(options),
        generator="gan-face-generate",
        embedder="dlib",
        alignment="landmarks",
    )


if __name__ == "__main__":
    main()
