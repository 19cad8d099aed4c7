"""AnnyFaces drawn once and kept in small files, so that a killed run draws no picture twice."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from facelab import images
from facelab.assets import cache
from facelab.data.anny_faces import AnnyFaces
from facelab.generators import dcgan
from facelab.recognition.mtcnn import detect
from facelab.types import Image

SIZE = 64
AT_ONCE = 250
# People and pictures of each: one split to learn from, the other to report.
PARTS = {"train": (3000, 5), "test": (200, 3)}


@dataclass(frozen=True)
class Pictures:
    """Faces with the labels that readers learn; `levels` are uint8, channels last."""

    levels: Tensor
    identity: Tensor
    landmarks: Tensor
    euler_rad: Tensor
    attributes: Tensor

    def __len__(self) -> int:
        return len(self.levels)

    def images(self, rows: Tensor | slice) -> Image:
        """Return these pictures (batch, 3, 64, 64) in [-1, 1]."""
        return images.from_uint8(self.levels[rows])

    def rows(self, rows: Tensor | slice) -> "Pictures":
        """Return some of the faces."""
        return Pictures(**{name: value[rows] for name, value in vars(self).items()})


def dataset(split: str, seed: int = 0) -> AnnyFaces:
    """Return the dataset of a split, of the size that the readers are trained with."""
    people, views = PARTS[split]
    return AnnyFaces(SIZE, people, views, seed=seed, split=split)


def folder(faces: AnnyFaces) -> Path:
    """Return where the pictures of a dataset are kept: another configuration, another folder."""
    return cache.cache_dir() / "readers" / f"{faces.split}-{faces.config_hash[:16]}"


def draw(faces: AnnyFaces, most: int) -> Path:
    """Draw what isn't there yet of the first `most` faces, and return the folder.

    Each file is written beside and renamed: after kill -9 the next run goes on with the next file.
    """
    target, start = folder(faces), time.time()
    for first in range(0, min(most, len(faces)), AT_ONCE):
        path = target / f"{first:06d}.safetensors"
        if path.exists():
            continue
        rows = range(first, min(first + AT_ONCE, len(faces)))
        batch = faces.batch(rows)
        tensors = {
            "levels": images.to_uint8(batch.images),
            "identity": batch.identity,
            "landmarks": batch.landmarks,
            "euler_rad": batch.euler_rad,
            "attributes": batch.attributes,
        }
        with cache.writing(path.name, path):
            cache.write_beside(path, safetensors.torch.save(tensors))
        minutes = (time.time() - start) / 60
        print(
            f"{faces.split}: {rows.stop:,} of {len(faces):,} faces, {minutes:.1f} min", flush=True
        )
    return target


def load(faces: AnnyFaces, most: int = 15_000) -> Pictures:
    """Return the first faces, about `most`, drawn now or earlier; a damaged file is drawn again."""
    parts = []
    for path in sorted(draw(faces, most).glob("*.safetensors"))[: -(-most // AT_ONCE)]:
        try:
            parts.append(safetensors.torch.load_file(path))
        except SafetensorError:
            print(f"{path} is damaged and is drawn again", file=sys.stderr)
            path.unlink()
            return load(faces, most)
    return Pictures(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})


def generated(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return generated faces, levels (faces, 64, 64, 3), and MTCNN's five points (faces, 5, 2).

    Of `count` faces of the pre-trained generator those in which MTCNN finds one. Kept in a file.
    """
    path = cache.cache_dir() / "readers" / f"generated-{seed}-{count}.safetensors"
    if not path.exists():
        random = torch.Generator().manual_seed(seed)
        generator = dcgan.pretrained()
        with torch.no_grad():
            drawn = generator(generator.sample_latent(count, random))
        found = [(number, detect(drawn[[number]])) for number in range(count)]
        kept = [(number, faces.landmarks[0]) for number, faces in found if len(faces)]
        tensors = {
            "levels": images.to_uint8(drawn[[number for number, _ in kept]]),
            "points": torch.stack([points for _, points in kept]),
        }
        with cache.writing(path.name, path):
            cache.write_beside(path, safetensors.torch.save(tensors))
    tensors = safetensors.torch.load_file(path)
    return tensors["levels"], tensors["points"]
