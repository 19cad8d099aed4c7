"""The trained map as a file: what `facelab swap` and the chapter load."""

import copy
import os
from pathlib import Path
from typing import Any

from facelab.assets import networks
from facelab.methods.idmap.config import Config
from facelab.methods.idmap.identity_encoder import identity_encoder
from facelab.methods.idmap.latent_space import find_generator
from facelab.methods.idmap.model import Encoders, IdentityMap
from facelab.methods.idmap.training import METHOD

MODELS = Path(__file__).parent / "models"
WRITER = "facelab.engine.export.export_weights"


def load(
    path: str | os.PathLike, device: str = "cpu", *, generator: str | os.PathLike | None = None
) -> IdentityMap:
    """Return the map of a file, with its recogniser and generator, frozen, on `device`.

    `export_weights(run, path)` wrote the file. `generator` stands for the one of its header, whose
    name may be a file that is elsewhere now. Raises `CheckpointError` when the file is missing,
    damaged, or of another method or configuration than its header says, or when the generator's
    latent vectors have another length; and what `recognition.embedder` raises. Runs no code.
    """
    encoders, _ = networks.load(path, METHOD, _build, WRITER)
    config = encoders.config
    found = find_generator(generator or config.generator, config.w, config.size, device)
    encoders = encoders.to(device)
    # A copy, as nobody else's generator may be moved by who has this map.
    return IdentityMap(encoders, identity_encoder(config.embedder, device), copy.deepcopy(found))


def _build(header: dict[str, Any]) -> Encoders:
    return Encoders(Config.from_json(header["config"]))


def read_header(path: str | os.PathLike) -> dict[str, Any]:
    """Return the header of a file that `load` reads. Raises `CheckpointError` as that does."""
    return networks.read_header(path, METHOD, WRITER)


def book_path() -> Path:
    """Return the shipped file. Raises `AssetError` while there is none."""
    training = f"facelab train {METHOD} --preset book --data samples:20000 -o RUN"
    return networks.require_shipped(MODELS / f"{METHOD}.safetensors", training, WRITER)


def book(device: str = "cpu") -> IdentityMap:
    """Return the shipped map. Raises `AssetError` while there is none."""
    return load(book_path(), device)
