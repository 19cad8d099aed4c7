"""The trained G as a file: what `facelab generate` and the chapter load."""

import os
from pathlib import Path

from facelab.assets import networks
from facelab.methods.ganfaces.networks import Shape, Translator
from facelab.methods.ganfaces.training import METHOD

MODELS = Path(__file__).parent / "models"
WRITER = "facelab.engine.export.export_weights"


def load(path: str | os.PathLike, device: str = "cpu") -> Translator:
    """Return a G that `export_weights(run, path, ("generator",))` wrote, frozen, on `device`.

    In evaluation mode, so without dropout. Raises `CheckpointError` when the file is missing,
    damaged, or of another method or configuration than its header says. Runs no code of the file.
    """
    network, _ = networks.load(path, METHOD, _build, WRITER)
    return network.to(device)


def _build(header: dict) -> Translator:
    return Translator(Shape(**header["config"]["translator"]))


def book_path() -> Path:
    """Return the shipped checkpoint. Raises `AssetError` while there is none."""
    training = f"facelab train {METHOD}"
    return networks.require_shipped(MODELS / f"{METHOD}.safetensors", training, WRITER)


def book(device: str = "cpu") -> Translator:
    """Return the shipped G. Raises `AssetError` while there is none."""
    return load(book_path(), device)
