"""What can be trained by name, and where it lives; nothing is imported before it is asked for."""

import difflib
import importlib
from typing import TYPE_CHECKING

from facelab.errors import ParameterError

if TYPE_CHECKING:
    from facelab.phases import Method

# name -> module:class; the class has a classmethod `preset(name)` that returns a `Method`.
METHODS = {
    "book-embedder": "facelab.recognition.book_training:Training",
    "dcgan": "facelab.generators.dcgan:Game",
    "began": "facelab.generators.began:Game",
    "stylegan2": "facelab.generators.stylegan2.training:Game",
    "stylegan2-distillation": "facelab.generators.stylegan2.distillation:Distillation",
    "ganfaces": "facelab.methods.ganfaces.training:Game",
}
PRESETS = ("tiny", "book", "paper")


def build(name: str, preset: str, seed: int = 0) -> "Method":
    """Return a method of a preset, whose first weights follow from the seed.

    Raises `ParameterError` for a name or a preset that there isn't.
    """
    import torch

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
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return found.preset(preset)
