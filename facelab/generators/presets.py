"""What the trainable generators share: presets by name, checked settings, files of weights."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from facelab.assets import networks
from facelab.errors import AssetError, ParameterError
from facelab.generators.generator import Generator
from facelab.types import Image

Config = TypeVar("Config")
Network = TypeVar("Network", bound=Generator)

MODELS = Path(__file__).parent / "models"  # the checkpoints that the book ships
LARGEST = 4096  # of a network's widths; a file's header can't ask for more


def choose(presets: Mapping[str, Config], name: str, what: str = "preset") -> Config:
    """Return the preset, or whatever else it is, of this name.

    Raises `ParameterError` when there is none.
    """
    if name not in presets:
        raise ParameterError(f"{what} {name!r} is unknown; choose one of {', '.join(presets)}")
    return presets[name]


def require(right: bool, what: str, expected: str) -> None:
    """Raise `ParameterError` unless a setting is right."""
    if not right:
        raise ParameterError(f"{what} can't be used; give {expected}")


def require_whole(values: Mapping[str, Any], least: int = 1, most: int = LARGEST) -> None:
    """Raise `ParameterError` unless every value is a whole number between least and most."""
    for name, value in values.items():
        right = type(value) is int and least <= value <= most
        require(right, f"{name} = {value!r}", f"a whole number from {least} to {most:,}")


def require_share(values: Mapping[str, Any]) -> None:
    """Raise `ParameterError` unless every value is a number between 0 and 1."""
    for name, value in values.items():
        right = isinstance(value, int | float) and 0 <= value <= 1
        require(right, f"{name} = {value!r}", "a number from 0 to 1")


def require_positive(values: Mapping[str, Any], *, zero: bool = False) -> None:
    """Raise `ParameterError` unless every value is a finite number above 0, or 0 where allowed."""
    for name, value in values.items():
        number = isinstance(value, int | float) and value < float("inf")
        right = number and (value > 0 or (zero and value == 0))
        require(right, f"{name} = {value!r}", f"a number {'from 0 on' if zero else 'above 0'}")


def require_size(images: Image, size: int) -> None:
    """Raise `ParameterError` unless images have `size` pixels a side."""
    shape = tuple(images.shape[2:])
    found = f"faces of {shape[1]} x {shape[0]} pixels"
    require(shape == (size, size), found, f"faces of {size} x {size}, or choose another preset")


def from_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as a configuration takes them: JSON has lists where it has tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}


# --- files ---------------------------------------------------------------------------------------


def load(
    path: str | os.PathLike,
    method: str,
    build: Callable[[dict[str, Any]], Network],
    device: str = "cpu",
) -> Network:
    """Return a generator that `engine.export` wrote, frozen, in evaluation mode, on `device`.

    Raises `CheckpointError` when the file is missing, damaged, or of another method or
    configuration than its header says. Runs no code of the file.
    """
    network, header = networks.load(path, method, build, "facelab.engine.export.export_weights")
    network.id = str(header.get("id", method))
    return network.to(device, memory_format=torch.channels_last)


def book(method: str, read: Callable[[Path], Network], command: str) -> Network:
    """Return the shipped generator of a method. Raises `AssetError` while there is none."""
    path = MODELS / f"{method}.safetensors"
    if not path.exists():
        raise AssetError(
            f"no checkpoint of {method} is shipped yet; train one with `{command}`, or use the "
            "pre-trained generator, facelab.generators.dcgan.pretrained()"
        )
    return read(path)
