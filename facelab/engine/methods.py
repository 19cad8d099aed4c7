"""What can be trained by name, and where it lives; nothing is imported before it is asked for."""

import difflib
import importlib
import os
from typing import TYPE_CHECKING

from facelab.errors import ParameterError

if TYPE_CHECKING:
    from facelab.data.base import FaceDataset
    from facelab.phases import Method

# name -> module:class; the class has a classmethod `preset(name)` that returns a `Method`. One that
# does several tasks has `for_task(preset, task)` too, and is asked for as NAME:TASK. One that goes
# on from what another has trained has `after(preset, path)` instead, and `follows`, its name. What
# the presets "paper" take is in `engine.plans`.
METHODS = {
    "book-embedder": "facelab.recognition.book_training:Training",
    "dcgan": "facelab.generators.dcgan:Game",
    "began": "facelab.generators.began:Game",
    "stylegan2": "facelab.generators.stylegan2.training:Game",
    "stylegan2-distillation": "facelab.generators.stylegan2.distillation:Distillation",
    "ganfaces": "facelab.methods.ganfaces.training:Game",
    "diat": "facelab.methods.diat.training:Game",
    "diat-enhancement": "facelab.methods.diat.enhancement:Enhancement",
    "idmap": "facelab.methods.idmap.training:Game",
    "lord": "facelab.methods.idmap.lord:Latents",
    "lord-encoders": "facelab.methods.idmap.lord:Encoders",
    "d2ae": "facelab.methods.d2ae.training:Disentangling",
}
PRESETS = ("tiny", "book", "paper")


def build(
    name: str, preset: str, seed: int = 0, after: str | os.PathLike | None = None
) -> "Method":
    """Return a method of a preset, whose first weights follow from the seed.

    `name` is one of `METHODS`, or "diat:mouth_open", a method and one of its tasks. `after` is the
    file of another method's network, for a method that goes on from one. Raises `ParameterError`
    for a name, a task or a preset that there isn't, for a file too many or one too few, and
    `CheckpointError` for a file that can't be used.
    """
    import torch

    name, _, task = name.partition(":")
    if name not in METHODS:
        close = difflib.get_close_matches(name, METHODS, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ParameterError(
            f"there is no method {name!r}; {hint}choose one of: {', '.join(METHODS)}"
        )
    if preset not in PRESETS:
        raise ParameterError(f"there is no preset {preset!r}; choose from: {', '.join(PRESETS)}")
    module, _, attribute = METHODS[name].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    if task and not hasattr(found, "for_task"):
        raise ParameterError(f"{name} does one thing, there is no {name}:{task}; leave out :{task}")
    _require_start(name, found, after)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if after is not None:
            return found.after(preset, after)
        return found.for_task(preset, task) if task else found.preset(preset)


def _require_start(name: str, found: type, after: str | os.PathLike | None) -> None:
    """Raise `ParameterError` unless a file was given exactly where a method goes on from one."""
    goes_on = hasattr(found, "after")
    if after is not None and not goes_on:
        raise ParameterError(
            f"{name} begins with random weights and goes on from no other method; leave out "
            f"--after {os.fspath(after)}"
        )
    if goes_on and after is None:
        raise ParameterError(
            f"{name} goes on from a network of {found.follows}; train that first, export it with "
            "facelab.engine.export.export_weights, and give the file with --after FILE"
        )


def supplied(method: "Method", dataset: "FaceDataset") -> "FaceDataset":
    """Return data as a method needs them: numbered, or without people of whom nothing is learned.

    A method that needs more than faces has `material(dataset)`; for all others the data are
    returned as they are. Raises `DatasetError` for data that the method can't learn from.
    """
    return method.material(dataset) if hasattr(method, "material") else dataset


def fitted(method: "Method", dataset: "FaceDataset", seed: int = 0) -> "Method":
    """Return a method as data need it: with classifiers of as many people, where it has those.

    A method that depends on its data has `fitted(dataset)`, which returns a new one; all others are
    returned as they are. The first weights follow from the seed. Raises `DatasetError` for data
    that the method can't learn from.
    """
    import torch

    if not hasattr(method, "fitted"):
        return method
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return method.fitted(dataset)
