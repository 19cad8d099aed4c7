"""Picture files to embeddings: each file is read, searched and embedded once, and none is lost.

Pictures are searched side by side, one thread each, because MTCNN's networks are too small to gain
from more; faces are embedded in batches. At most a few pictures are in memory at any time. A file
that gives no embedding ends up in `failures` with the reason.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError, UserError
from facelab.images import load_image
from facelab.recognition import align
from facelab.recognition.align import Aligned, Policy, Template
from facelab.recognition.embedder import Embedder
from facelab.recognition.mtcnn import detect
from facelab.recognition.search import find_faces
from facelab.types import Boxes, Embedding, Image, Landmarks

# What counts as a picture in a folder.
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
BATCH = 32
MAXIMUM_WORKERS = 4
# Pictures that are being searched, or wait for their turn in the order.
MAXIMUM_AHEAD = 6

Progress = Callable[[int, int], None]  # (pictures done, of which failed)


@dataclass(frozen=True)
class Failure:
    """A picture that gave no embedding, and why; `error` is the name of a class of `errors`."""

    path: str
    error: str
    reason: str


@dataclass(frozen=True)
class Gallery:
    """The embedded faces, in the order of the pictures, and the pictures that gave none.

    Row i of `embeddings` (length one) and `raw` is a face on `paths[i]`; `boxes`, `landmarks` and
    `probabilities` are the detector's, in pixels of that picture (for aligned crops: the whole
    crop, the points of its framing, NaN). `seen[i]` faces were found on the picture, before the
    policy chose. `seconds` is the time from the first file to the last embedding.
    """

    paths: tuple[str, ...]
    embeddings: Embedding
    raw: Embedding
    boxes: Boxes
    landmarks: Landmarks
    probabilities: Float[Tensor, " batch"]
    seen: tuple[int, ...]
    failures: tuple[Failure, ...]
    pictures: int
    seconds: float
    embedder: str
    policy: str

    @property
    def images_per_second(self) -> float:
        """Pictures read, searched and embedded per second, failures included."""
        return self.pictures / self.seconds if self.seconds else 0.0

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything as plain arrays with text of fixed width: nothing to unpickle."""
        return {
            "paths": np.array(self.paths, dtype=np.str_),
            "embeddings": self.embeddings.numpy(),
            "raw": self.raw.numpy(),
            "boxes": self.boxes.numpy(),
            "landmarks": self.landmarks.numpy(),
            "probabilities": self.probabilities.numpy(),
            "seen": np.array(self.seen, dtype=np.int64),
            "failed_paths": np.array([f.path for f in self.failures], dtype=np.str_),
            "failed_reasons": np.array([f.reason for f in self.failures], dtype=np.str_),
            "embedder": np.array(self.embedder),
            "policy": np.array(self.policy),
        }


def pictures_in(folder: str | os.PathLike) -> list[Path]:
    """Return the picture files of a folder and of those below it, by their endings, sorted.

    Hidden files and folders are left out. Raises `UserError` when there is no picture.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the folder of the pictures")
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(parent, name)
            for name in sorted(files)
            if name.lower().endswith(ENDINGS) and not name.startswith(".")
        ]
    if not found:
        raise UserError(
            f"{folder} has no pictures; give a folder with files that end on {', '.join(ENDINGS)}"
        )
    return found


def faces_of(
    path: str | os.PathLike,
    template: str | Template,
    policy: Policy = "largest",
    *,
    aligned: bool = False,
    device: str = "cpu",
) -> tuple[Aligned, int]:
    """Return the aligned faces of one picture file that the policy chooses, and how many there are.

    The search is `search.find_faces`. With `aligned` the file is a square crop that is aligned
    already, as `align.crop_faces` takes it. Raises `ImageError` for a file that can't be used and
    `FaceCountError` when there is no face, or several under the policy "error".
    """
    image = load_image(path).to(device)
    if aligned:
        return align.crop_faces(image, template, aligned=True, source=str(path)), 1
    faces = find_faces(image, every_face=policy in ("error", "all"))
    chosen = align.choose(faces, (image.shape[3], image.shape[2]), policy, str(path))
    transforms = align.template_transform(chosen.landmarks, template)
    crops = align.align(image, chosen.landmarks, template)
    found = Aligned(crops, chosen.landmarks, chosen.boxes, transforms, chosen.probabilities)
    return found, len(faces)


def faces_of_files(
    paths: Sequence[str | os.PathLike],
    template: str | Template,
    policy: Policy = "largest",
    *,
    aligned: bool = False,
    device: str = "cpu",
) -> Iterator[tuple[str, "tuple[Aligned, int] | Failure"]]:
    """Yield each path with what `faces_of` returns for it, or with its failure, in order.

    Raises `ParameterError` for an unknown policy.
    """
    with _workers() as pool:
        yield from _searched(pool, paths, template, policy, aligned, device)


def embed_files(
    paths: Sequence[str | os.PathLike],
    embedder: Embedder,
    *,
    policy: Policy = "largest",
    aligned: bool = False,
    batch: int = BATCH,
    progress: Progress | None = None,
) -> Gallery:
    """Read, search, align and embed picture files, on the device of the embedder's weights.

    A picture that is damaged or has no (single) face is a failure, not an error. `progress` is
    called after each picture. Raises `ParameterError` for an unknown policy.
    """
    device = str(next(embedder.parameters()).device)
    if not aligned:
        detect(torch.zeros(1, 3, 16, 16, device=device))  # loads the detector, off the clock
    start = time.perf_counter()
    with _workers() as pool:
        rows = _Rows(embedder, pool, batch)
        results = _searched(pool, paths, embedder.template, policy, aligned, device)
        for done, (path, found) in enumerate(results, start=1):
            rows.add(path, found)
            if progress:
                progress(done, len(rows.failures))
        raw = rows.finish()
    return Gallery(
        paths=tuple(rows.paths),
        embeddings=F.normalize(raw, dim=1),
        raw=raw,
        boxes=_joined(rows.boxes, (4,)),
        landmarks=_joined(rows.landmarks, (5, 2)),
        probabilities=_joined(rows.probabilities, ()),
        seen=tuple(rows.seen),
        failures=tuple(rows.failures),
        pictures=len(paths),
        seconds=time.perf_counter() - start,
        embedder=embedder.id,
        policy="aligned" if aligned else policy,
    )


class _Rows:
    """What has been collected so far, and the faces that wait for a full batch."""

    def __init__(self, embedder: Embedder, pool: ThreadPoolExecutor, batch: int):
        self.embedder, self.pool, self.batch = embedder, pool, batch
        self.paths: list[str] = []
        self.seen: list[int] = []
        self.failures: list[Failure] = []
        self.boxes: list[Tensor] = []
        self.landmarks: list[Tensor] = []
        self.probabilities: list[Tensor] = []
        self._crops: list[Tensor] = []
        self._raw: list[Tensor] = []
        self._pending: Future | None = None

    def add(self, path: str, found: tuple[Aligned, int] | Failure) -> None:
        """Take the outcome for one picture; embed when a batch is full."""
        if isinstance(found, Failure):
            self.failures.append(found)
            return
        faces, seen = found
        self.paths += [path] * len(faces)
        self.seen += [seen] * len(faces)
        self.boxes.append(faces.boxes.cpu())
        self.landmarks.append(faces.landmarks.cpu())
        self.probabilities.append(faces.probabilities.cpu())
        self._crops += faces.images.split(1)
        while len(self._crops) >= self.batch:
            self._embed(self._crops[: self.batch])
            self._crops = self._crops[self.batch :]

    def finish(self) -> Embedding:
        """Embed the rest and return the raw embeddings of all faces."""
        if self._crops:
            self._embed(self._crops)
        self._settle()
        return torch.cat(self._raw) if self._raw else torch.zeros((0, 0))

    def _embed(self, crops: list[Tensor]) -> None:
        """Give a batch to the workers, so that it takes its turn with the searches."""
        self._settle()  # one batch at a time: a slow recogniser must not pile them up
        self._pending = self.pool.submit(_raw_embeddings, self.embedder, torch.cat(crops))

    def _settle(self) -> None:
        if self._pending:
            self._raw.append(self._pending.result())
            self._pending = None


@torch.no_grad()
def _raw_embeddings(embedder: Embedder, crops: Image) -> Embedding:
    return embedder(crops).float().cpu()


def _joined(parts: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    return torch.cat(parts) if parts else torch.zeros((0, *shape))


@contextmanager
def _workers() -> Iterator[ThreadPoolExecutor]:
    """Yield as many threads as torch would use, each of which computes on one processor."""
    before = torch.get_num_threads()
    count = min(MAXIMUM_WORKERS, before)
    pool = ThreadPoolExecutor(count, "gallery", initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # the workers' setting is also that of later threads


def _searched(
    pool: ThreadPoolExecutor,
    paths: Sequence[str | os.PathLike],
    template: str | Template,
    policy: Policy,
    aligned: bool,
    device: str,
) -> Iterator[tuple[str, tuple[Aligned, int] | Failure]]:
    if policy not in get_args(Policy):
        raise ParameterError(
            f"there is no policy {policy!r}; choose one of: {', '.join(get_args(Policy))}"
        )

    def attempt(path: str | os.PathLike) -> tuple[Aligned, int] | Failure:
        try:
            return faces_of(path, template, policy, aligned=aligned, device=device)
        except UserError as error:
            return Failure(str(path), type(error).__name__, str(error))

    for path, found in _in_order(pool, attempt, paths, MAXIMUM_AHEAD):
        yield str(path), found


def _in_order(
    pool: ThreadPoolExecutor, function: Callable, items: Sequence, most: int
) -> Iterator[tuple[object, object]]:
    """Yield (item, function(item)) in order, with at most `most` under way.

    `pool.map` would start them all, and keep every result that is not fetched yet.
    """
    ahead: deque[tuple[object, Future]] = deque()
    for item in items:
        ahead.append((item, pool.submit(function, item)))
        if len(ahead) >= most:
            first, future = ahead.popleft()
            yield first, future.result()
    for first, future in ahead:
        yield first, future.result()
