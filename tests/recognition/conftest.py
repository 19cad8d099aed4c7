"""Photographs, generated faces and the recogniser, loaded once for the tests of this folder."""

import pytest
import torch
import torch.nn.functional as F

from facelab import assets
from facelab.generators import dcgan
from facelab.images import load_image
from facelab.recognition import align, embedder, mtcnn

PORTRAITS = ("obama", "obama2", "obama3", "biden")


@pytest.fixture(scope="session")
def photographs():
    """Five photographs of three people, at most 512 pixels a side."""
    files = {name: assets.path("portraits") / f"{name}.jpg" for name in PORTRAITS}
    files["astronaut"] = assets.path("astronaut")
    loaded = {}
    for name, file in files.items():
        image = load_image(file)
        scale = min(1, 512 / max(image.shape[2:]))
        sizes = [round(side * scale) for side in image.shape[2:]]
        loaded[name] = F.interpolate(image, sizes, mode="area")
    return loaded


@pytest.fixture(scope="session")
def two_faces(photographs):
    """The astronaut beside a portrait that is half as large; the larger face is on the left."""
    large, small = photographs["astronaut"], photographs["biden"]
    small = F.interpolate(small, scale_factor=0.5, mode="area")
    small = F.pad(small, (0, 0, 0, large.shape[2] - small.shape[2]), value=-1.0)
    return torch.cat([large, small], dim=3)


@pytest.fixture(scope="session")
def generated():
    """32 faces of the pre-trained generator."""
    return dcgan.pretrained().sample(32, torch.Generator().manual_seed(0))


@pytest.fixture(scope="session")
def faces(photographs):
    """What the detector finds in each photograph."""
    return {name: mtcnn.detect(photograph) for name, photograph in photographs.items()}


@pytest.fixture(scope="session")
def chips(photographs, faces):
    """The photographs' faces, aligned for the recogniser, shape (5, 3, 150, 150)."""
    return torch.cat([align.align(p, faces[n].landmarks) for n, p in photographs.items()])


@pytest.fixture(scope="session")
def recogniser():
    return embedder.embedder("dlib")
