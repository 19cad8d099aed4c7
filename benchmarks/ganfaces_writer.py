"""The GANFaces dataset writer: faces a second, bytes a face, 500,000 extrapolated, and a kill.

Prints a record and writes it to runs/bench/ganfaces_writer.json. Drawing, G and the whole writer
are timed apart, then the writer with a process for each thread. A writer is killed (SIGKILL) half
way and called again; the faces must be those of one that nobody killed, byte by byte. Speed does
not depend on the weights: without a checkpoint, G is the book's size and untrained, and the record
says so.
"""

import argparse
import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from recording import best_seconds, record

from facelab.assets import networks
from facelab.data.ganfaces import GanFaces
from facelab.methods.ganfaces import checkpoint, training
from facelab.methods.ganfaces.networks import Translator, initialise
from facelab.methods.ganfaces.writer import Order, write

ROOT = Path(__file__).parents[1]
WANTED = 500_000
BATCH = 64
KILLED = """
import sys
from pathlib import Path
from facelab.methods.ganfaces.writer import Order, write

people, views, size, weights, folder, shard = sys.argv[1:]
order = Order(int(people), int(views), int(size), 0, Path(weights))
write(order, folder, shard=int(shard), progress=lambda done: print(done, flush=True))
"""


def weights(given: Path | None, folder: Path) -> tuple[Path, str]:
    """The file of G, and what the record says of it."""
    if given:
        return given, "trained"
    path = folder / "untrained.safetensors"
    torch.manual_seed(0)
    network = Translator(training.BOOK.translator)
    initialise(network)
    config = dataclasses.asdict(training.BOOK)
    networks.save(path, training.METHOD, network, half=True, config=config)
    return path, "untrained, of the book's size"


def apart(order: Order, device: str) -> dict[str, float]:
    """Faces a second: drawn alone, and made by G alone."""
    source, network = order.renders(device), checkpoint.load(order.weights, device)
    faces = source.batch(range(BATCH)).images.to(device)

    def make() -> None:
        with torch.no_grad():
            network(faces)
        if device == "cuda":
            torch.cuda.synchronize()

    best = best_seconds({"drawn": lambda: source.batch(range(BATCH)), "G": make}, 3)
    return {name: round(BATCH / seconds, 1) for name, seconds in best.items()}


def written(order: Order, folder: Path, jobs: int, shard: int, device: str = "cpu") -> dict:
    """Faces a second of the whole writer, processes and networks started, and what it takes."""
    start = time.perf_counter()
    dataset = write(order, folder, jobs=jobs, shard=shard, device=device)
    seconds = time.perf_counter() - start
    size = sum(file.stat().st_size for file in folder.iterdir()) / len(dataset)
    return {
        "faces a second": round(len(dataset) / seconds, 1),
        "bytes a face": round(size),
        f"hours for {WANTED:,}": round(WANTED / (len(dataset) / seconds) / 3600, 2),
        f"GB for {WANTED:,}": round(WANTED * size / 1e9, 2),
    }


def killed(order: Order, whole: GanFaces, folder: Path) -> dict:
    """What a writer that was killed half way has after another call."""
    shard = whole.index.shard
    given = (order.identities, order.views, order.size, order.weights, folder, shard)
    command = [sys.executable, "-c", KILLED, *map(str, given)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        struck = next(int(line) for line in process.stdout if int(line) >= len(whole) // 2)
        process.send_signal(signal.SIGKILL)
    told: list[int] = []
    again = write(order, folder, shard=shard, progress=told.append)
    same = all(
        (again.folder / whole.index.name(n)).read_bytes()
        == (whole.folder / whole.index.name(n)).read_bytes()
        for n in range(whole.index.shards)
    )
    return {
        "killed after so many faces": struck,
        "of": len(whole),
        "kept in finished files": told[0],
        "the same bytes as without a kill": same and again.index == whole.index,
    }


def measure(options: argparse.Namespace, folder: Path) -> dict:
    """Measure everything in one run."""
    path, kind = weights(options.checkpoint, folder)
    order = Order(options.faces // 8, 8, options.size, checkpoint=path)
    result = {"one after the other": {"G's weights": kind, **apart(order, "cpu")}}
    for jobs in sorted({1, options.jobs}):
        place = folder / f"jobs-{jobs}"
        result[f"written, --jobs {jobs}"] = written(order, place, jobs, options.shard)
    result["SIGKILL"] = killed(order, GanFaces(folder / "jobs-1"), folder / "killed")
    if torch.cuda.is_available():
        large = dataclasses.replace(order, identities=8 * order.identities)
        result["on a GPU"] = apart(large, "cuda") | written(
            large, folder / "gpu", 1, options.shard, "cuda"
        )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=1024)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--shard", type=int, default=256, help="faces of a file")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/ganfaces_writer.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        record(
            "GANFaces' dataset writer: faces a second on one thread each, and after a kill",
            options.output,
            1,
            lambda: measure(options, Path(folder)),
            faces=options.faces,
            size=options.size,
            shard=options.shard,
        )


if __name__ == "__main__":
    main()
