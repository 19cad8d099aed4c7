"""The trained autoencoder as a file: encoder, branches, decoder and spreads, no classifier."""

import os
from pathlib import Path
from typing import Any

from facelab.assets import networks
from facelab.methods.d2ae.config import Config
from facelab.methods.d2ae.model import Disentangler
from facelab.methods.d2ae.training import METHOD

MODELS = Path(__file__).parent / "models"
WRITER = "facelab.engine.export.export_weights"


def load(path: str | os.PathLike, device: str = "cpu") -> Disentangler:
    """Return the autoencoder of a file, frozen, in evaluation mode, on `device`.

    `export_weights(run, path)` wrote the file. Raises `CheckpointError` when it is missing,
    damaged, or of another method or configuration than its header says. Runs no code.
    """
    found, _ = networks.load(path, METHOD, _build, WRITER)
    return found.to(device)


def _build(header: dict[str, Any]) -> Disentangler:
    return Disentangler(Config.from_json(header["config"]))


def read_header(path: str | os.PathLike) -> dict[str, Any]:
    """Return the header of a file that `load` reads. Raises `CheckpointError` as that does."""
    return networks.read_header(path, METHOD, WRITER)


def book_path() -> Path:
    """Return the shipped file. Raises `AssetError` while there is none."""
    training = f"facelab train {METHOD} --preset book --data anny-faces:64x2400x8 -o RUN"
    return networks.require_shipped(MODELS / f"{METHOD}.safetensors", training, WRITER)


def book(device: str = "cpu") -> Disentangler:
    """Return the shipped autoencoder. Raises `AssetError` while there is none."""
    return load(book_path(), device)
