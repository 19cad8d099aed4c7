"""Where a result comes from: the commit, the machine, the versions, the assets. No torch needed."""

import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

DISTRIBUTIONS = ("torch", "torchvision", "facenet-pytorch", "numpy", "facelab")


def versions() -> dict[str, str]:
    """Return the versions of Python and of what a result's numbers depend on."""
    found = {"python": sys.version.split()[0]}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def commit(root: Path) -> dict[str, Any]:
    """Return the commit of the clone at `root` and whether files differ from it; empty without git.

    Files that git doesn't know don't count.
    """
    try:
        sha = _git(root, "rev-parse", "HEAD").strip()
        dirty = bool(_git(root, "status", "--porcelain", "--untracked-files=no").strip())
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"sha": sha, "dirty": dirty}


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout


def asset_sums(names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of each named asset, from the table of assets."""
    names = tuple(names)
    if not names:
        return {}
    from facelab.assets import ASSETS

    return {name: ASSETS[name].sha256 for name in names}


def machine() -> str:
    """Return processor, cores, memory and Python, in one line."""
    model = platform.processor() or platform.machine()
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        found = re.search(r"^model name\s*: (.+)$", facts.read_text(), re.MULTILINE)
        model = found[1] if found else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = platform.python_version()
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GB of memory, Python {python}"


def file_sums(folder: Path, leave_out: Iterable[str] = ()) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder by its name from there, in order."""
    left_out = set(leave_out)
    files = (path for path in folder.rglob("*") if path.is_file())
    names = sorted(path.relative_to(folder).as_posix() for path in files)
    return {
        name: _sha256(folder / name)
        for name in names
        if name not in left_out and not any(part.startswith(".") for part in Path(name).parts)
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
