"""What a method costs: parameters, and the images and minutes of its training.

Numbers are those of the shipped files' headers and of the trainings' records.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from facelab.assets import cache
from facelab.assets.weights import read_source

# Beside the package, where a clone has them; an installed package has none.
RECORDS = Path(__file__).parents[2] / "records"


@dataclass(frozen=True)
class Cost:
    """Parameters that the training moved, those of all networks that a face needs, the training.

    `training_images` counts an image as often as a step saw it, `different_images` once. What no
    header or record says is None. `weights` has the SHA-256 of the file by its name.
    """

    trained: int
    needed: int
    training_images: int | None = None
    training_minutes: float | None = None
    different_images: int | None = None
    weights: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def of_files(
        cls, file: Path | None, *, trained: nn.Module, needed: tuple[nn.Module, ...]
    ) -> "Cost":
        """Return the cost of a file that `export_weights` wrote, None for one that is not shipped.

        Raises `CheckpointError` when it can't be read.
        """
        counts = (parameters(trained), parameters(*needed))
        if file is None:
            return cls(*counts)
        stages = list(stages_of(json.loads(read_source(file))))
        found = [record_of(stage) for stage in stages]
        known = None not in found
        return cls(
            *counts,
            training_images=sum(stage["images"] for stage in stages),
            training_minutes=sum(one["minutes"] for one in found) if known else None,
            different_images=max(one["data"]["faces"] for one in found) if known else None,
            weights={file.name: {"sha256": cache.sha256(file)}},
        )


def parameters(*networks: nn.Module | None) -> int:
    """Return how many numbers networks have, each parameter once; None has none."""
    found = {id(p): p.numel() for network in networks if network for p in network.parameters()}
    return sum(found.values())


def stages_of(header: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what a header says of each training behind it: that of a first stage, then its own."""
    if "trained" in header["config"]:
        yield header["config"]["trained"]
    yield header


def record_of(stage: dict[str, Any]) -> dict[str, Any] | None:
    """Return the record of a training: the same data, images and seed. None where there is none."""
    for path in sorted(RECORDS.glob("train_*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        own = (record["data"]["sha256"], record["images"], record["seed"])
        if own == (stage["data"]["sha256"], stage["images"], stage["seed"]):
            return record
    return None
