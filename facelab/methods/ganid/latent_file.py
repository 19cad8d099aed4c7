"""A latent vector in a file, with the generator that it belongs to: 100 numbers say nothing alone.

It is safetensors with a JSON header, as every file of the book (`assets.networks`). The header
names the generator and has the sum of its weights: another training of the same network has other
faces.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import torch

from facelab.assets import networks
from facelab.assets.weights import load_weights
from facelab.errors import CheckpointError
from facelab.generators.generator import Generator
from facelab.types import Latent

METHOD = "ganid-latent"
WRITER = "facelab search or facelab edit"


def weights_sum(generator: Generator) -> str:
    """Return the SHA-256 of a generator's tensors, wherever they are and however they lie."""
    found = hashlib.sha256()
    for name, tensor in sorted(generator.state_dict().items()):
        values = tensor.detach().cpu().contiguous().reshape(-1)
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(values.view(torch.uint8).numpy())
    return found.hexdigest()


def save_latent(path: str | os.PathLike, latent: Latent, generator: Generator, **facts: Any) -> str:
    """Write one latent vector (1, latents), beside and renamed; return the file's SHA-256.

    `facts` are JSON values for the header, such as the distance that was reached. Raises
    `CheckpointError` when the vector is not one of the generator's, or not finite, and `AssetError`
    when the file can't be written; what was there before is kept.
    """
    _require(Path(path), latent, generator)
    return networks.save_tensors(
        path,
        METHOD,
        {"latent": latent.float()},
        **{**facts, "generator": generator.id, "weights": weights_sum(generator)},
    )


def load_latent(path: str | os.PathLike, generator: Generator) -> Latent:
    """Return the latent vector of a file, (1, latents), float32, on the CPU.

    Raises `CheckpointError` when the file is missing, damaged or holds code, when it is of another
    generator, or when the vector has another length or isn't finite.
    """
    path = Path(path)
    tensors, header = load_weights(path), _header(path)
    owner = str(header["generator"])
    if owner != generator.id:
        raise CheckpointError(
            f"{path} is a latent vector of the generator {owner}, not of {generator.id}; edit it "
            f"with its own (--generator {_name(owner)})"
        )
    if header.get("weights") != weights_sum(generator):
        raise CheckpointError(
            f"{path} was made with other weights of the generator {owner}; give the file of these "
            "weights (--generator FILE), or search again"
        )
    latent = tensors.get("latent")
    if latent is None:
        raise CheckpointError(f"{path} has no latent vector; give a file that {WRITER} wrote")
    _require(path, latent, generator)
    return latent.float().clone()  # what is read is the file itself, mapped into memory


def saved_generator(path: str | os.PathLike) -> str:
    """Return the id of the generator that a file's latent vector belongs to.

    Raises `CheckpointError` when the file is missing, damaged or of another kind.
    """
    path = Path(path)
    load_weights(path)  # so that code is refused as code
    return str(_header(path)["generator"])


def _header(path: Path) -> dict[str, Any]:
    header = networks.read_header(path, METHOD, WRITER)
    if not isinstance(header.get("generator"), str):
        raise CheckpointError(
            f"{path} does not say whose latent vector it holds; give a file that {WRITER} wrote"
        )
    return header


def _name(owner: str) -> str:
    """Return what the catalogue calls a generator: its id, but for the pre-trained one."""
    return "digiface-dcgan" if owner == "gan-face-generate" else owner


def _require(path: Path, latent: torch.Tensor, generator: Generator) -> None:
    """Raise `CheckpointError` unless it is one finite vector of the generator's length."""
    if tuple(latent.shape) != (1, generator.latents):
        raise CheckpointError(
            f"{path}: a latent vector of {generator.id} is 1 x {generator.latents} numbers, this "
            f"is {' x '.join(map(str, latent.shape)) or 'a single one'}; search again"
        )
    if not latent.is_floating_point() or not torch.isfinite(latent).all():
        raise CheckpointError(
            f"{path}: the latent vector has values that are not finite numbers; search again"
        )
