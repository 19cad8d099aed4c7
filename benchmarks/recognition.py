"""The recogniser against dlib itself, in one run: the same 32 chips, the same machine, two threads.

Prints a record and writes it to runs/bench/recognition.json: chips a second at batch 1 and 32 for
dlib and for the torch module in each data type and memory format, the ratio, and the agreement.
Needs the extra `test` (dlib-bin).
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from recording import record

from facelab import assets
from facelab.generators import dcgan
from facelab.images import from_uint8, load_image, to_uint8
from facelab.recognition import align, embedder, mtcnn

ROOT = Path(__file__).parents[1]
FORMATS = {
    "float32": (torch.float32, torch.contiguous_format),
    "float32, channels last": (torch.float32, torch.channels_last),
    "bfloat16": (torch.bfloat16, torch.contiguous_format),
    "bfloat16, channels last": (torch.bfloat16, torch.channels_last),
}


def photographs() -> dict[str, torch.Tensor]:
    """The five photographs of the assets."""
    files = {path.stem: path for path in sorted(assets.path("portraits").glob("*.jpg"))}
    files["astronaut"] = assets.path("astronaut")
    return {name: load_image(path) for name, path in files.items()}


def real_chips(count: int) -> torch.Tensor:
    """Aligned photographs and generated faces, uint8, shape (count, 150, 150, 3)."""
    chips = [align.crop_faces(photo, policy="largest").images for photo in photographs().values()]
    drawn = dcgan.pretrained().sample(2 * count, torch.Generator().manual_seed(0))
    for face in drawn.split(1):
        faces = mtcnn.detect(face)
        if len(faces):
            chips.append(align.align(face, faces.landmarks[:1]))
    return to_uint8(torch.cat(chips)[:count])


def seconds(run: Callable[[], object], repeats: int) -> float:
    """The median time of `repeats` runs, after one that does not count."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(repeats: int) -> dict:
    """Measure dlib and every format of ours, and compare the embeddings."""
    import dlib

    levels = real_chips(32)
    theirs = dlib.face_recognition_model_v1(str(assets.path("dlib-resnet")))
    arrays = [chip.numpy() for chip in levels]
    rates = {
        "dlib": {
            "batch 1": 1 / seconds(lambda: theirs.compute_face_descriptor(arrays[0]), repeats),
            "batch 32": 32 / seconds(lambda: theirs.compute_face_descriptor(arrays), 3),
        }
    }
    chips = from_uint8(levels)
    expected = torch.tensor([list(vector) for vector in theirs.compute_face_descriptor(arrays)])
    agreement = {}
    for name, (dtype, memory) in FORMATS.items():
        ours = copy.deepcopy(embedder.embedder("dlib")).to(dtype, memory_format=memory)
        batch = chips.to(memory_format=memory)
        with torch.inference_mode():
            rates[name] = {
                "batch 1": 1 / seconds(lambda m=ours, x=batch[:1]: m(x), 10 * repeats),
                "batch 32": 32 / seconds(lambda m=ours, x=batch: m(x), 3 * repeats),
            }
            raw = ours(batch).float()
        agreement[name] = {
            "largest difference": float((raw - expected).abs().max()),
            "smallest cosine": float(F.cosine_similarity(raw, expected).min()),
        }
    best = {size: max(rates[name][size] for name in FORMATS) for size in rates["dlib"]}
    return {
        "chips per second": rates,
        "times dlib, float32": {k: rates["float32"][k] / rates["dlib"][k] for k in best},
        "times dlib, fastest": {k: best[k] / rates["dlib"][k] for k in best},
        "agreement with dlib": agreement,
        "length of raw embeddings": _spread(expected.norm(dim=1)),
    }


def _spread(values: torch.Tensor) -> dict[str, float]:
    rms = float(values.square().mean().sqrt())
    return {"least": float(values.min()), "rms": rms, "most": float(values.max())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/recognition.json")
    options = parser.parse_args()
    record(
        "dlib's recogniser in torch and dlib itself, same chips, one run",
        options.output,
        options.threads,
        lambda: measure(options.repeats),
    )


if __name__ == "__main__":
    main()
