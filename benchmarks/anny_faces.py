"""AnnyFaces: faces drawn a second, and read a second from a packed file, at 64 and 128 pixels.

Prints a record and writes it to runs/bench/anny_faces.json. The packed file is read in batches of
64 random faces, after a first pass (its pages are in memory then, as in the second epoch of a
training). With a GPU, drawing there is measured as well.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from recording import record

from facelab.data.anny_faces import AnnyFaces
from facelab.data.packed import Packed, pack

ROOT = Path(__file__).parents[1]
BATCH = 64


def drawn_per_second(dataset: AnnyFaces, count: int) -> dict[str, float]:
    """Faces a second: labels alone, and with pictures; the first batch does not count."""
    dataset.batch(range(8))
    rates = {}
    for name, get in (("labels alone", dataset.labels), ("drawn", dataset.batch)):
        start = time.perf_counter()
        for first in range(0, count, BATCH):
            get(range(first, min(first + BATCH, count)))
        rates[name] = count / (time.perf_counter() - start)
    return rates


def read_per_second(packed: Packed, batches: int) -> float:
    """Faces a second from a file, in random order, ready for a network."""
    random = torch.Generator().manual_seed(0)
    packed.verify()
    start = time.perf_counter()
    for _ in range(batches):
        packed.batch(torch.randint(0, len(packed), (BATCH,), generator=random))
    return batches * BATCH / (time.perf_counter() - start)


def measure(count: int, folder: Path) -> dict:
    """Measure both sizes."""
    results = {}
    for size in (64, 128):
        dataset = AnnyFaces(size, count, 1)
        result = drawn_per_second(dataset, count)
        without = AnnyFaces(size, count, 1, shadows=False)
        result["drawn without cast shadows"] = drawn_per_second(without, count)["drawn"]
        start = time.perf_counter()
        packed = pack(dataset, folder / f"{size}.facepack")
        result["packed"] = count / (time.perf_counter() - start)
        result["read from the packed file"] = read_per_second(packed, 40)
        result["bytes a face"] = packed.path.stat().st_size / count
        if torch.cuda.is_available():
            gpu = AnnyFaces(size, 8 * count, 1, device="cuda")
            result["drawn on a GPU"] = drawn_per_second(gpu, 8 * count)["drawn"]
        results[f"{size} px"] = result
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/anny_faces.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        record(
            "AnnyFaces drawn on the fly and read from a packed file, faces a second, one run",
            options.output,
            options.threads,
            lambda: {"faces per second": measure(options.faces, Path(folder))},
            faces=options.faces,
        )


if __name__ == "__main__":
    main()
