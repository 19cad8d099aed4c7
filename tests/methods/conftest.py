"""Photographs with faces, for what starts from picture files."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from facelab.images import save_image
from facelab.recognition import gallery
from facelab.recognition.align import TEMPLATES
from facelab.recognition.mtcnn import Faces

# Where the face of a photograph is: the template's points, 1.2 times as large, moved.
SCALE, SHIFT = 1.2, (20.0, 6.0)
HEIGHT, WIDTH = 96, 120


def found_faces(count: int) -> Faces:
    """What the detector says of so many faces."""
    points = TEMPLATES["book64"].points_xy * SCALE + torch.tensor(SHIFT)
    box = torch.tensor([30.0, 20.0, 85.0, 80.0])
    step = torch.tensor([2.0, -2.0])  # the further ones are nearer to the middle
    grown = [(box + n * step.repeat(2), points + n * step) for n in range(count)]
    boxes, landmarks = ([pair[k] for pair in grown] for k in (0, 1))
    none = not count
    return Faces(
        torch.zeros(0, 4) if none else torch.stack(boxes),
        torch.zeros(0, 5, 2) if none else torch.stack(landmarks),
        torch.full((count,), 0.999),
    )


@pytest.fixture
def photograph(tmp_path, monkeypatch) -> Callable[..., Path]:
    """Writes smooth photographs on which so many `faces` are found, without MTCNN.

    The red of the first pixel tells the detector how many.
    """

    def find(image: Tensor, *, every_face: bool) -> Faces:
        return found_faces(round(float((image[0, 0, 0, 0] + 1) * 127.5)))

    monkeypatch.setattr(gallery, "find_faces", find)

    def write(name: str, faces: int = 1, seed: int = 0) -> Path:
        random = torch.Generator().manual_seed(seed)
        coarse = torch.rand(1, 3, 6, 8, generator=random) * 1.6 - 0.8
        image = F.interpolate(coarse, (HEIGHT, WIDTH), mode="bicubic").clamp(-1, 1)
        image[0, 0, 0, 0] = faces / 127.5 - 1
        return save_image(image, tmp_path / "photographs" / name)

    return write
