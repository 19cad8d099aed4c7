"""The generators by name, and from files: nothing is imported before it is asked for."""

import difflib
import importlib
import json
import os
from pathlib import Path
from typing import Any

from facelab.assets import read_source
from facelab.errors import CheckpointError, ParameterError
from facelab.generators.generator import Generator

# name -> module:function of the device.
GENERATORS = {
    "digiface-dcgan": "facelab.generators.dcgan:pretrained",
    "dcgan": "facelab.generators.dcgan:book",
    "began": "facelab.generators.began:book",
    "stylegan2": "facelab.generators.stylegan2.training:book",
    "stylegan2-distillation": "facelab.generators.stylegan2.distillation:book",
}
# What `engine.export` wrote says in its header which method it is of; each has its reader.
READERS = {
    "dcgan": "facelab.generators.dcgan:load",
    "began": "facelab.generators.began:load",
    "stylegan2": "facelab.generators.stylegan2.training:load",
    "stylegan2-distillation": "facelab.generators.stylegan2.distillation:load",
}


def generator(name: str | os.PathLike = "digiface-dcgan", device: str = "cpu") -> Generator:
    """Return a generator, frozen, in evaluation mode: a name of `GENERATORS` or a file of weights.

    "digiface-dcgan" is the pre-trained one; the others are what the book trained. A file is one
    that `engine.export` wrote (.safetensors). Raises `ParameterError` for an unknown name,
    `AssetError` when a generator's weights are not here and can't be fetched, and `CheckpointError`
    for a file that holds no generator.
    """
    name = os.fspath(name)
    if name in GENERATORS:
        return _call(GENERATORS[name], device)
    if name.endswith(".safetensors"):
        return _call(READERS[_method(Path(name))], name, device)
    close = difflib.get_close_matches(name, GENERATORS, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise ParameterError(
        f"there is no generator {name!r}; {hint}choose one of: {', '.join(GENERATORS)}, or give a "
        ".safetensors file of one"
    )


def _method(path: Path) -> str:
    """Return the method, one of `READERS`, that a file's header names."""
    source = read_source(path)
    try:
        header = json.loads(source)
    except ValueError:
        header = None
    method = header.get("method") if isinstance(header, dict) else None
    if method not in READERS:
        raise CheckpointError(
            f"{path} holds {method or 'nothing that facelab knows'}, not a generator; give a file "
            f"of one of: {', '.join(READERS)}"
        )
    return method


def _call(place: str, *given: Any) -> Generator:
    module, _, function = place.partition(":")
    return getattr(importlib.import_module(module), function)(*given)
