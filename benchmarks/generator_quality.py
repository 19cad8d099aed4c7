"""How good the book's generators are: random weights, trained, distilled and pre-trained, one run.

Prints a record and writes it to runs/bench/generators.json: for each generator the Fréchet and
kernel distance, precision and recall, density and coverage and the diversity of its faces, with
intervals, against faces that the pre-trained generator drew from other latents. With them, from
each checkpoint's header and the record of its training, what it was trained on and for how long.
"""

import argparse
import json
from pathlib import Path

import torch
from recording import record

from facelab.assets import read_source
from facelab.data.samples import Samples
from facelab.generators import began, dcgan, presets
from facelab.generators.generator import Generator
from facelab.generators.stylegan2 import distillation, training
from facelab.metrics.extractors import extractor
from facelab.metrics.generator_report import describe, generator_report

ROOT = Path(__file__).parents[1]
SHIPPED = {
    "DCGAN": ("dcgan", dcgan.book),
    "BEGAN": ("began", began.book),
    "StyleGAN2": ("stylegan2", training.book),
    "StyleGAN2, distilled": ("stylegan2-distillation", distillation.book),
}
AT_ONCE = 256


def generators() -> dict[str, Generator]:
    """The rows, from nothing to the best; what isn't shipped is left out and named."""
    torch.manual_seed(0)
    rows: dict[str, Generator] = {
        "random weights": dcgan.Game.preset("book").networks["generator"].eval()
    }
    for name, (method, book) in SHIPPED.items():
        if (presets.MODELS / f"{method}.safetensors").exists():
            rows[name] = book()
        else:
            print(f"{name} is not shipped; its row is left out")
    return rows | {"pre-trained DCGAN": dcgan.pretrained()}


def training_of(method: str) -> dict:
    """What the checkpoint's header and its run's record say of how it was trained."""
    header = json.loads(read_source(presets.MODELS / f"{method}.safetensors"))
    path = ROOT / f"records/train_{method}.json"
    run = json.loads(path.read_text()) if path.exists() else {}
    wanted = ("step", "images", "seed", "data")
    return {name: header.get(name) for name in wanted} | {
        name: run.get(name) for name in ("minutes", "machine", "threads", "commit")
    }


def measure(faces: int) -> dict:
    """Measure every row on as many faces, against as many others."""
    judge = extractor("dlib-stage4")
    others = Samples(faces, seed=90, split="test")
    batches = (
        others.batch(range(start, min(start + AT_ONCE, faces))).images
        for start in range(0, faces, AT_ONCE)
    )
    reference = describe(batches, judge)
    rows, trained = {}, {}
    for name, network in generators().items():
        random = torch.Generator().manual_seed(91)
        rows[name] = generator_report(
            network, reference, judge, random=random, count=faces, paths=0
        )
        print(name, rows[name]["frechet"]["value"], flush=True)
        if name in SHIPPED:
            trained[name] = training_of(SHIPPED[name][0])
    return {"rows": rows, "training": trained}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/generators.json")
    options = parser.parse_args()
    record(
        "the book's generators, measured alike",
        options.output,
        options.threads,
        lambda: measure(options.faces),
        faces=options.faces,
        reference="gan-face-generate, test split of seed 90",
    )


if __name__ == "__main__":
    main()
