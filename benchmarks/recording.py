"""What benchmarks share: how competitors are timed, and what a record says of machine and run."""

import argparse
import datetime
import hashlib
import json
import math
import os
import re
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from facelab.engine.provenance import machine
from facelab.errors import UserError

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "facelab"


def best_seconds(competitors: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """The best time of each, who take turns after one that doesn't count."""
    best = dict.fromkeys(competitors, math.inf)
    for turn in range(turns + 1):
        for name, run in competitors.items():
            start = time.perf_counter()
            run()
            if turn:
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def record(kind: str, output: Path, threads: int, measure: Callable[[], dict], **more) -> None:
    """Measure with so many threads, write the record as JSON, beside and renamed, and print it."""
    torch.set_num_threads(threads)
    written = {
        "kind": kind,
        "date": datetime.date.today().isoformat(),
        "command": command(sys.argv),
        "machine": machine(),
        "threads": threads,
        "torch": torch.__version__,
        **more,
        "load before": os.getloadavg()[0],
        **measure(),
        "load after": os.getloadavg()[0],
    }
    text = json.dumps(written, indent=2)
    write(output, text + "\n")
    print(text)


def main(kind: str, options: argparse.Namespace, measure: Callable[..., dict], **more) -> int:
    """Record what `measure(options)` returns, as `record` does; return the exit code.

    What a user can mend is told in one line, with the code 2.
    """
    try:
        record(kind, options.output, options.threads, lambda: measure(options), **more)
    except UserError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return 0


@torch.no_grad()
def average(mean: nn.Module, learned: nn.Module, decay: float) -> None:
    """Move a network's averages towards what was learned; running statistics are the newest."""
    for before, new in zip(mean.parameters(), learned.parameters(), strict=True):
        before.lerp_(new, 1 - decay)
    for before, new in zip(mean.buffers(), learned.buffers(), strict=True):
        before.copy_(new)


def command(words: list[str]) -> str:
    """The command line of a benchmark, with places outside the clone cut to their last name."""
    within = [word.replace(f"{ROOT}/", "") for word in words[1:]]
    named = [re.sub(r"(^|[=:+,])/(?:[^/=:+,]+/)*", r"\1", word) for word in within]
    return shlex.join(["python", f"benchmarks/{Path(words[0]).name}", *named])


def digest(*words: object) -> str:
    """Sixteen letters that stand for these words."""
    text = json.dumps(words, default=str, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code(*modules: str) -> str:
    """What the code of these modules is, so that nothing is kept of another."""
    return digest(*[(PACKAGE / f"{name}.py").read_text() for name in modules])


def kept(place: Path, make: Callable[[], dict]) -> dict:
    """What `make` returns, made once and kept as JSON: a second call of a benchmark goes on.

    The name of `place` has to follow from everything that the result does, code included.
    """
    if not place.exists():
        write(place, json.dumps(make()))
    return json.loads(place.read_text())


def write(path: Path, text: str) -> None:
    """Write a file whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text)
    os.replace(beside, path)
