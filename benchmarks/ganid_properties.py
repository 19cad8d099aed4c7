"""The three properties of Li & Luo on two generators, by two embedders, over many faces.

Prints a record and writes it to runs/bench/ganid_properties.json: the mean identity distance, with
intervals, against the amplitude of added noise and against the scale of the latent vector, and of
the sign; beside it random pairs, the embedder's threshold, the share below it, and the amplitude of
noise at which the mean reaches it.
"""

import argparse
import itertools
from pathlib import Path

import torch
from recording import record

from facelab.generators.catalogue import generator
from facelab.methods.ganid import properties
from facelab.methods.ganid.properties import Response
from facelab.methods.ganid.scoring import Scorer, half_is_quicker
from facelab.metrics.paired import mean_interval
from facelab.recognition.embedder import embedder

ROOT = Path(__file__).parents[1]
GENERATORS, EMBEDDERS = ("digiface-dcgan", "dcgan"), ("dlib", "faceres")


def told(response: Response, threshold: float, random: torch.Generator) -> dict:
    """A response as JSON values, with intervals over faces."""
    intervals = [mean_interval(row, random) for row in response.distances]
    return {
        "amounts": list(response.amounts),
        "mean": response.mean.tolist(),
        "interval": [interval and [interval.low, interval.high] for interval in intervals],
        "share same person": response.share_below(threshold).tolist(),
    }


def crossing_interval(response: Response, threshold: float, random: torch.Generator) -> list:
    """The interval of the crossing, over faces drawn anew; None where a draw never crosses."""
    faces, found = response.distances.shape[1], []
    for _ in range(500):
        rows = torch.randint(faces, (faces,), generator=random)
        drawn = Response(response.amounts, response.distances[:, rows])
        found.append(properties.crossing(drawn, threshold))
    reached = sorted(f for f in found if f is not None)
    if len(reached) < len(found):
        return [reached[0] if reached else None, None]
    return [reached[len(reached) // 40], reached[-(len(reached) // 40) - 1]]


def measure(faces: int) -> dict:
    """All properties for every generator and embedder."""
    rows = []
    for name, judge in itertools.product(GENERATORS, EMBEDDERS):
        scorer = Scorer(generator(name), embedder(judge), half=half_is_quicker())
        random = torch.Generator().manual_seed(5)
        latents = scorer.generator.sample_latent(faces, random)
        limit = scorer.embedder.threshold_squared
        with torch.no_grad():
            pairs = properties.random_pairs(scorer.embed(latents).cpu())
        noise = properties.noise_response(scorer, latents, random)
        scale = properties.amplitude_response(scorer, latents)
        sign = properties.sign_response(scorer, latents)
        below = float((pairs < limit).float().mean())
        rows.append(
            {
                "generator": scorer.generator.id,
                "prior": scorer.generator.prior,
                "embedder": judge,
                "threshold": limit,
                "random pairs": {
                    "mean": float(pairs.mean()),
                    "q05": float(pairs.quantile(0.05)),
                    "share same person": below,
                    "pairs": len(pairs),
                },
                "noise": told(noise, limit, random),
                "noise reaches the threshold at": properties.crossing(noise, limit),
                "interval of that": crossing_interval(noise, limit, random),
                "amplitude": told(scale, limit, random),
                "sign": told(sign, limit, random),
            }
        )
        print(name, judge, rows[-1]["noise"]["mean"], flush=True)
    return {"rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/ganid_properties.json")
    options = parser.parse_args()
    record(
        "three properties of generators",
        options.output,
        options.threads,
        lambda: measure(options.faces),
        faces=options.faces,
    )


if __name__ == "__main__":
    main()
