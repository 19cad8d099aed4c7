"""The record of a run: what was trained, on what, where, for how long, and what came out.

A chapter quotes numbers from records, so a record says everything that they depend on, the ids of
the embedders that a loss saw and of those that scored among it. No embedder may be both: a network
that was trained against an embedder pleases it whether or not the identity is kept.
"""

import datetime
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from facelab.assets import cache
from facelab.engine import provenance
from facelab.engine.trainer import Trainer, values_of
from facelab.errors import ParameterError, TrainingError

FILE = "record.json"
ROOT = Path(__file__).parents[2]


def require_unseen(seen: Iterable[str], scoring: Iterable[str]) -> None:
    """Raise `ParameterError` when an embedder that a loss saw is to score the result."""
    both = sorted(set(seen) & set(scoring))
    if both:
        raise ParameterError(
            f"the loss was computed with the embedder {both[0]!r}, so it can't score the result; "
            "score with another one"
        )


def describe(trainer: Trainer, scoring: Iterable[str] = (), **results: Any) -> dict[str, Any]:
    """Return the record of a trainer's run: JSON values; `results` are put at its end.

    Raises `ParameterError` when an embedder of `scoring` was seen by a loss.
    """
    method, settings, processes = trainer.method, trainer.settings, trainer.processes
    require_unseen(method.embedders, scoring)
    device = processes.device
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "kind": f"training of {method.id}",
        "date": datetime.date.today().isoformat(),
        "method": method.id,
        "config": values_of(method.config),
        "seed": settings.seed,
        "data": {
            "id": trainer.dataset.id,
            "faces": len(trainer.dataset),
            "sha256": trainer.dataset.config_hash,
            "config": trainer.dataset.config(),
        },
        "settings": values_of(settings),
        "commit": provenance.commit(ROOT),
        "assets": provenance.asset_sums(method.assets),
        "embedders": {"training": list(method.embedders), "scoring": list(scoring)},
        "machine": provenance.machine(),
        "device": gpu or "cpu",
        "processes": processes.world,
        "threads": torch.get_num_threads(),
        "versions": provenance.versions(),
        "steps": trainer.step,
        "images": trainer.step * settings.batch,
        **results,
    }


def write(run: Path, record: Mapping[str, Any]) -> Path:
    """Write a record, with the SHA-256 of the run's other files, to its folder; return its path.

    Raises `AssetError` when it can't be written.
    """
    files = provenance.file_sums(run, leave_out=[FILE])
    text = json.dumps({**record, "files": files}, indent=1)
    with cache.writing(FILE, run / FILE):
        cache.write_beside(run / FILE, (text + "\n").encode())
    return run / FILE


def read(run: Path) -> dict[str, Any]:
    """Return a run's record. Raises `TrainingError` when it has none, or none that can be read."""
    try:
        return json.loads((run / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{run / FILE} is no record of a run ({error}); give the folder of a run that ended"
        ) from error
