"""A search's state in a file, so that one that was interrupted ends as if it had not been."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facelab.assets import networks
from facelab.assets.weights import load_weights
from facelab.errors import CheckpointError
from facelab.methods.ganid.latent_file import weights_sum
from facelab.methods.ganid.search import Point, Settings, Trace
from facelab.methods.ganid.strategy import Strategy

METHOD = "ganid-search"
WRITER = "facelab search"
SAME = 1e-3  # embeddings of the same pictures differ by less, on any machine


def description(looking: Strategy, settings: Settings) -> dict[str, Any]:
    """Return what the result of a search follows from, but for the target, as JSON values."""
    scorer = looking.scorer
    return {
        "strategy": looking.name,
        **asdict(settings),
        **(asdict(looking.config) if looking.config else {}),
        "generator": scorer.generator.id,
        "weights of the generator": weights_sum(scorer.generator)[:16],
        "alignment": scorer.alignment,
        "embedder": scorer.embedder.id,
        "half precision": scorer.half,
        "seed of the bank": looking.bank.seed,
    }


class Keeper:
    """Keeps a search in a file: `note` after every pass, `write` when it is to be on disk.

    What is written is the state after the last pass that was noted, whatever was going on since.
    """

    def __init__(self, path: str | os.PathLike, looking: Strategy, settings: Settings):
        self.path, self.looking = Path(path), looking
        self._about = description(looking, settings)
        self._noted: tuple[dict[str, Tensor], dict[str, Any]] | None = None

    def note(self, trace: Trace) -> None:
        """Take a copy of the state; at least one pass must have been made."""
        tensors = {f"state.{name}": value.clone() for name, value in self.looking.state().items()}
        tensors["latents"] = torch.cat(trace.latents)
        tensors["target"] = self.looking.target.embeddings
        points = [[p.evaluations, p.distance, p.stage] for p in trace.curve]
        self._noted = tensors, {"evaluations": trace.evaluations, "curve": points}

    def write(self) -> None:
        """Write what was noted, beside and renamed; nothing while nothing was.

        Raises `AssetError` when it can't be written; what was there before is kept.
        """
        if self._noted:
            tensors, facts = self._noted
            networks.save_tensors(self.path, METHOD, tensors, search=self._about, **facts)


def save(path: str | os.PathLike, looking: Strategy, trace: Trace, settings: Settings) -> None:
    """Write a search's state, beside and renamed. Raises `AssetError` when it can't be written."""
    keeper = Keeper(path, looking, settings)
    keeper.note(trace)
    keeper.write()


def load(path: str | os.PathLike, looking: Strategy, settings: Settings) -> Trace:
    """Put a strategy where a saved search was and return its trace.

    Raises `CheckpointError` when the file is missing, damaged or no search's, and when the search
    had other settings, naming the first that differs, or another target.
    """
    path = Path(path)
    tensors, header = load_weights(path), networks.read_header(path, METHOD, WRITER)
    _require_same_settings(path, header.get("search"), description(looking, settings))
    _require_same_target(path, tensors.get("target"), looking)
    own = {k.removeprefix("state."): t for k, t in tensors.items() if k.startswith("state.")}
    try:
        curve = [Point(int(n), float(d), str(stage)) for n, d, stage in header["curve"]]
        trace = Trace(
            looking.name, int(header["evaluations"]), curve, list(tensors["latents"].split(1))
        )
        looking.load_state(own)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} lacks part of the search's state ({error}); search into another folder"
        ) from error
    return trace


def _require_same_settings(path: Path, found: object, wanted: dict[str, Any]) -> None:
    found = found if isinstance(found, dict) else {}
    for name, value in wanted.items():
        if name not in found or found[name] != value:
            raise CheckpointError(
                f"{path} is of a search with {name} {found.get(name)}, not {value}; repeat the "
                "command as it was, or search into another folder"
            )


def _require_same_target(path: Path, found: Tensor | None, looking: Strategy) -> None:
    wanted = looking.target.embeddings
    same = found is not None and found.shape == wanted.shape
    if not same or not torch.allclose(found, wanted.to(found), rtol=0, atol=SAME):
        raise CheckpointError(
            f"{path} is of a search for other pictures than those of {looking.target.name}; repeat "
            "the command as it was, or search into another folder"
        )
