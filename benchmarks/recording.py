"""What every benchmark's record says of the machine and the run, and how it is written."""

import datetime
import json
import os
from collections.abc import Callable
from pathlib import Path

import torch

from facelab.engine.provenance import machine


def record(kind: str, output: Path, threads: int, measure: Callable[[], dict], **more) -> None:
    """Measure with so many threads, write the record as JSON, beside and renamed, and print it."""
    torch.set_num_threads(threads)
    written = {
        "kind": kind,
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "threads": threads,
        "torch": torch.__version__,
        **more,
        "load before": os.getloadavg()[0],
        **measure(),
        "load after": os.getloadavg()[0],
    }
    text = json.dumps(written, indent=2)
    output.parent.mkdir(parents=True, exist_ok=True)
    beside = output.with_name(f".{output.name}.part")
    beside.write_text(text + "\n")
    os.replace(beside, output)
    print(text)
