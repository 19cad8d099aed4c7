"""A packed folder against torchvision's ImageFolder: pictures a second, the same pictures, one run.

Prints a record and writes it to runs/bench/loading.json. JPEGs of 178 x 218 pixels, the size of
CelebA's aligned pictures, are cut from renders and saved at quality 90, so many of each person in a
folder of its own. They are packed at 64 and at 128 pixels, in as many files as --shard says. Then
all are read in random order, in batches, as float32 in [-1, 1]:

- `ImageFolder` with a middle square, `Resize`, `ToTensor` and `Normalize`, and a `DataLoader` with
  0 and with 2 worker processes;
- the packed folder, with the same `DataLoader`, and as `facelab train` reads it: `batch` called.

Each process computes on one thread. A first pass is cold: files were written to the disk, and the
system was told to drop what it holds of them in memory (POSIX_FADV_DONTNEED); the record says which
share of their pages was still there. The disk's own cache, and that of the machine below a virtual
disk, can't be dropped. The second pass reads the same files again, in another order. To open
the dataset counts to the first. Competitors take turns, and of each the best pass counts. Before
all that, every picture of both is compared: they are the same to a level of 255.
"""

import argparse
import ctypes
import functools
import math
import mmap
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import recording
import torch
from recording import ROOT
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from facelab.data.anny_faces import AnnyFaces
from facelab.data.base import collate
from facelab.data.folder import Folder
from facelab.data.shards import Shards, write
from facelab.images import to_uint8
from facelab.progress import progress_bar

WIDTH, HEIGHT, DRAWN = 178, 218, 256
QUALITY = 90
VIEWS, CUTS = 4, 4  # of a person; of a render
# Pillow rounds to 8 bits after each of two directions, facelab once: three times half a level at
# most, which is less than two levels.
LEVELS = 1
SIZES = (64, 128)
LOADERS = ("ImageFolder, 0 workers", "ImageFolder, 2 workers")
PACKED = ("packed, 0 workers", "packed, 2 workers", "packed, batch() alone")


def draw(folder: Path, count: int) -> None:
    """Write so many JPEGs: four cuts, two of them mirrored, of four renders of each person."""
    import PIL.Image
    import PIL.ImageOps

    people = math.ceil(count / (VIEWS * CUTS))
    faces, random = AnnyFaces(DRAWN, people, VIEWS, seed=13), torch.Generator().manual_seed(0)
    written = 0
    with progress_bar("pictures", count, "picture") as bar:
        for number in range(len(faces)):
            picture = PIL.Image.fromarray(to_uint8(faces.batch([number]).images)[0].numpy())
            place = folder / f"{number // VIEWS:05d}"
            place.mkdir(parents=True, exist_ok=True)
            for cut in range(min(CUTS, count - written)):
                left = int(torch.randint(DRAWN - WIDTH, (1,), generator=random))
                top = int(torch.randint(DRAWN - HEIGHT, (1,), generator=random))
                part = picture.crop((left, top, left + WIDTH, top + HEIGHT))
                part = PIL.ImageOps.mirror(part) if cut % 2 else part
                part.save(place / f"{number % VIEWS}_{cut}.jpg", quality=QUALITY)
                written += 1
                bar.update(1)


def image_folder(folder: Path, size: int) -> ImageFolder:
    """The pictures as torchvision gives them."""
    steps = [
        transforms.CenterCrop(WIDTH),
        transforms.Resize(size),
        transforms.ToTensor(),
        transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ]
    return ImageFolder(folder, transforms.Compose(steps))


def compare(pictures: ImageFolder, packed: Shards) -> dict:
    """Compare every picture and label of both; what they differ by, in levels of 255."""
    most, total = 0, 0.0
    if len(pictures) != len(packed):
        raise AssertionError(f"{len(pictures)} pictures, {len(packed)} packed")
    for start in range(0, len(packed), 64):
        rows = range(start, min(start + 64, len(packed)))
        images, labels = zip(*(pictures[row] for row in rows), strict=True)
        batch = packed.batch(rows)
        if batch.identity.tolist() != list(labels):
            raise AssertionError(f"pictures {rows.start} to {rows.stop - 1} are of other people")
        off = (to_uint8(batch.images).int() - to_uint8(torch.stack(images)).int()).abs()
        most, total = max(most, int(off.max())), total + float(off.float().mean()) * len(rows)
    if most > LEVELS:
        raise AssertionError(f"pictures differ by {most} levels of 255, at most {LEVELS} expected")
    return {"at most": most, "on average": round(total / len(packed), 3)}


def loader(dataset: Dataset, order: list[int], batch: int, workers: int) -> Iterable:
    """The batches of a torch `DataLoader`."""
    joined = collate if isinstance(dataset, Shards) else None
    return DataLoader(dataset, batch, sampler=order, num_workers=workers, collate_fn=joined)


def called(dataset: Shards, order: list[int], batch: int) -> Iterator:
    """The batches as the engine asks for them."""
    return (dataset.batch(order[i : i + batch]) for i in range(0, len(order), batch))


def competitors(files: Path, packed: Path, size: int, batch: int) -> dict[str, Callable]:
    """What opens a dataset and returns what gives its batches in an order, by name."""

    def opened(make: Callable[[], Dataset], read: Callable, **options: int) -> Callable:
        return lambda: functools.partial(read, make(), batch=batch, **options)

    def folder() -> ImageFolder:
        return image_folder(files, size)

    def shards() -> Shards:
        return Shards(packed)

    makers = [opened(folder, loader, workers=n) for n in (0, 2)]
    makers += [opened(shards, loader, workers=n) for n in (0, 2)]
    return dict(zip((*LOADERS, *PACKED), [*makers, opened(shards, called)], strict=True))


def passes(open_: Callable[[], Callable], orders: list[list[int]]) -> Iterator[float]:
    """Pictures a second of one pass after the other; to open the dataset counts to the first."""
    start = time.perf_counter()
    read = open_()
    for order in orders:
        seen = 0
        for batch in read(order=order):
            seen += len(batch if not isinstance(batch, list) else batch[1])
        if seen != len(order):
            raise AssertionError(f"{seen} pictures came, {len(order)} were asked for")
        yield seen / (time.perf_counter() - start)
        start = time.perf_counter()


def dropped(paths: list[Path]) -> float:
    """Let the system drop these files from its memory; the share of their pages that it kept."""
    kept = total = 0
    for path in paths:
        with path.open("r+b") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            pages = -(-path.stat().st_size // mmap.PAGESIZE)
            kept, total = kept + _resident(file.fileno(), pages), total + pages
    return kept / total


def _resident(file: int, pages: int) -> int:
    """How many of a file's pages are in memory."""
    libc, states = ctypes.CDLL(None, use_errno=True), (ctypes.c_ubyte * pages)()
    size = ctypes.c_size_t(pages * mmap.PAGESIZE)
    with mmap.mmap(file, 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as mapped:
        first = ctypes.c_char.from_buffer(mapped)
        failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(first)), size, states)
        del first  # a map that is looked at can't be closed
    if failed:
        raise OSError(ctypes.get_errno(), "mincore")
    return sum(state & 1 for state in states)


def race(files: Path, packed: Path, size: int, options: argparse.Namespace) -> dict:
    """The best first and second pass of each, who take turns."""
    random, best = torch.Generator().manual_seed(1), {}
    stored = [*files.rglob("*.jpg"), *packed.glob("*.facepack")]
    kept = 0.0
    for _ in range(options.turns):
        orders = [torch.randperm(options.files, generator=random).tolist() for _ in range(2)]
        for name, open_ in competitors(files, packed, size, options.batch).items():
            kept = max(kept, dropped(stored))
            found = best.setdefault(name, {"first": 0.0, "second": 0.0})
            for which, rate in zip(found, passes(open_, orders), strict=True):
                found[which] = max(found[which], round(rate, 1))
    return {"pictures a second": best, "share of pages kept before a first pass": round(kept, 4)}


def times(rates: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """How many times as fast the packed folder is, against as many workers and best against best.

    `batch()` alone has no worker, and is compared with the `ImageFolder` that has none.
    """
    found: dict[str, dict[str, float]] = {}
    for which in ("first", "second"):
        rate = {name: passes[which] for name, passes in rates.items()}
        none, two = (rate[name] for name in LOADERS)
        ratios = zip(PACKED, (none, two, none), strict=True)
        values = {name: rate[name] / other for name, other in ratios}
        values["the best of each"] = max(rate[n] for n in PACKED) / max(none, two)
        found[which] = {name: round(value, 2) for name, value in values.items()}
    return found


def pack(files: Path, target: Path, size: int, shard: int) -> dict:
    """Pack the pictures, compare them, and tell what that took."""
    start = time.perf_counter()
    packed = write(Folder(files, size), target, shard=shard)
    seconds = time.perf_counter() - start
    stored = sum(file.size_bytes for file in packed.index.files)
    return {
        "packed, bytes a picture": round(stored / len(packed)),
        "packed in files": packed.index.shards,
        "packed, pictures a second": round(len(packed) / seconds, 1),
        "difference in levels of 255": compare(image_folder(files, size), packed),
    }


def measure(options: argparse.Namespace) -> dict:
    """Draw, pack, compare and race."""
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        files = Path(place) / "jpeg"
        draw(files, options.files)
        jpegs = sum(path.stat().st_size for path in files.rglob("*.jpg"))
        result: dict = {"bytes a JPEG": round(jpegs / options.files)}
        for size in options.sizes:
            target = Path(place) / f"packed-{size}"
            # What is mapped can't be dropped: nothing that was opened stays open before the race.
            facts = pack(files, target, size, options.shard)
            raced = race(files, target, size, options)
            ratios = times(raced["pictures a second"])
            result[f"{size} pixels"] = {**facts, **raced, "times ImageFolder": ratios}
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=4096)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--shard", type=int, default=512, help="faces of a packed file")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="on the disk to measure  [the temporary one]")
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/loading.json")
    options = parser.parse_args()
    return recording.main(
        "a packed folder and torchvision's ImageFolder, pictures a second, one run",
        options,
        measure,
        files=options.files,
        batch=options.batch,
        turns=options.turns,
    )


if __name__ == "__main__":
    sys.exit(main())
