"""Times the two commands the way a newcomer meets them: fresh clone, no venv, empty caches.

Writes records/fresh_clone.json, from which the README takes its minutes. The last commit is what is
measured; uncommitted changes are not in it.
"""

import argparse
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from facelab.engine.provenance import machine

ROOT = Path(__file__).parents[1]
STEP = re.compile(r"^(?P<step>[a-z]+): done in (?P<seconds>\d+) s$", re.MULTILINE)


def newcomer(folder: Path) -> dict[str, str]:
    """The environment of somebody who has never run this: empty caches, no virtual environment."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in {"VIRTUAL_ENV", "PYTHONPATH"} and not name.startswith("FACELAB_")
    }
    caches = {"PIP_CACHE_DIR": folder / "pip", "FACELAB_CACHE": folder / "cache"}
    return kept | {name: str(path) for name, path in caches.items()}


def measure(command: str, clone: Path, environment: dict[str, str]) -> list[dict]:
    """Run one command in the clone; return its steps and their seconds, and the whole."""
    started = time.perf_counter()
    run = subprocess.run(
        command.split(), cwd=clone, env=environment, text=True, stdout=subprocess.PIPE
    )
    whole = time.perf_counter() - started
    print(run.stdout, flush=True)
    if run.returncode:
        raise SystemExit(f"`{command}` failed with exit code {run.returncode} in {clone}")
    steps = [
        {"command": command, "step": found["step"], "seconds": int(found["seconds"])}
        for found in STEP.finditer(run.stdout)
    ]
    return [*steps, {"command": command, "step": "in all", "seconds": round(whole, 1)}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "records/fresh_clone.json")
    parser.add_argument("--keep", action="store_true", help="keep the clone and say where it is")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="facelab-fresh-"))
    clone = folder / "facelab"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=clone, text=True).strip()
    environment = newcomer(folder)
    steps = [
        step for verb in ("book", "test") for step in measure(f"make {verb}", clone, environment)
    ]
    record = {
        "kind": "fresh clone, fresh virtual environment, empty caches",
        "date": datetime.date.today().isoformat(),
        "commit": commit,
        "machine": machine(),
        "steps": steps,
    }
    options.output.parent.mkdir(exist_ok=True)
    beside = options.output.with_suffix(".new")
    beside.write_text(json.dumps(record, indent=1) + "\n")
    os.replace(beside, options.output)
    if options.keep:
        print(f"kept: {clone}")
    else:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
