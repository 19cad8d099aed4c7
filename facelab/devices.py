"""Where to compute: what the option --device means on this machine."""

import torch

from facelab.errors import ParameterError


def choose(wanted: str = "auto") -> str:
    """Return "cuda" or "cpu" for "auto", "cuda" or "cpu"; auto takes a GPU if there is one.

    Raises `ParameterError` for "cuda" where no GPU can be used.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ParameterError("--device cuda: no NVIDIA GPU can be used here; see `facelab doctor`")
    return "cuda" if available and wanted != "cpu" else "cpu"
