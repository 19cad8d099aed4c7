"""Examine the environment: versions, device, assets, disk, kernel; each failure has its remedy.

Nothing is changed and nothing is fetched. torch is imported in another process, so that a broken
installation is a finding and not a crash.
"""

import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from facelab import assets

PYTHON = ((3, 11), (3, 14))
ROOM_BYTES = 2e9
TORCH_TIMEOUT_S = 300
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
LOCK = "requirements.lock"
INSTALL = "run `make install`, or `pip install -r requirements.lock`"

# Prints one line when torch works, and a second one when torchvision and facenet-pytorch work with
# it. torchvision's own operators are in a library that must fit torch's: nms is one of them.
TORCH_PROGRAM = """
import json, torch
found = {"version": torch.__version__, "cuda": torch.version.cuda, "device": None}
if torch.cuda.is_available():
    torch.ones(8, device="cuda").sum().item()
    gpu = torch.cuda.get_device_properties(0)
    found["device"] = f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB"
found["threads"] = torch.get_num_threads()
print(json.dumps(found), flush=True)
import torchvision, torchvision.ops
torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)
import facenet_pytorch
print(json.dumps(torchvision.__version__))
"""


@dataclass(frozen=True)
class Finding:
    """One examined thing; `optional` means that the book runs without it, only less of it."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    optional: bool = False

    @property
    def state(self) -> str:
        """Either "ok", "warning" or "failed"."""
        return "ok" if self.ok else "warning" if self.optional else "failed"


def examine() -> list[Finding]:
    """Examine everything, in the order in which it should be mended."""
    return [
        *_python(),
        *_packages(_find_lock()),
        *_torch(),
        *_assets(),
        *_room(),
        *_kernel(),
        *_browser(),
    ]


def render(findings: list[Finding], as_json: bool = False) -> str:
    """Return the findings as lines for people, or as a JSON array."""
    if as_json:
        rows = [dataclasses.asdict(finding) | {"state": finding.state} for finding in findings]
        return json.dumps(rows, indent=1)
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:8} {finding.name:18} {finding.detail}")
        if not finding.ok:
            lines.append(f"{'':8} {'':18} -> {finding.remedy}")
    failed = sum(finding.state == "failed" for finding in findings)
    warned = sum(finding.state == "warning" for finding in findings)
    lines.append(f"{len(findings)} examined, {failed} failed, {warned} to be warned of")
    return "\n".join(lines)


def exit_code(findings: list[Finding]) -> int:
    """Return 1 when something failed that the book can't do without, else 0."""
    return int(any(finding.state == "failed" for finding in findings))


def _python() -> list[Finding]:
    lowest, above = PYTHON
    fits = lowest <= sys.version_info[:2] < above
    wanted = f"{lowest[0]}.{lowest[1]} to {above[0]}.{above[1] - 1}"
    remedy = f"make the environment with Python {wanted}"
    has_pip = importlib.util.find_spec("pip") is not None
    return [
        Finding("python", fits, f"{platform.python_version()} ({sys.executable})", remedy),
        Finding(
            "pip",
            has_pip,
            importlib.metadata.version("pip") if has_pip else "missing: it fetches the assets",
            f"run `{sys.executable} -m ensurepip --upgrade`",
        ),
    ]


def _find_lock() -> Path | None:
    """Return the lock of the checkout that this is run in, or that facelab is imported from."""
    here = [Path.cwd(), *Path.cwd().parents, Path(__file__).parents[1]]
    return next((folder / LOCK for folder in here if (folder / LOCK).is_file()), None)


def _pins(lock: Path) -> dict[str, str]:
    """Return name -> version of all that the lock has for this Python and platform."""
    pins = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if not re.match(r"[A-Za-z0-9]", line):
            continue  # a hash, an option or a comment
        with suppress(InvalidRequirement):
            pin = Requirement(line.rstrip(" \\"))
            if pin.marker is None or pin.marker.evaluate():
                pins[_plain(pin.name)] = str(pin.specifier).removeprefix("==")
    return pins


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _packages(lock: Path | None) -> list[Finding]:
    """Compare what is installed with facelab's own requirements and with the lock."""
    if _installed("facelab") is None:
        return [Finding("packages", False, "facelab itself is not installed", INSTALL)]
    pins = _pins(lock) if lock else {}
    findings, good = [], []
    for text in importlib.metadata.requires("facelab") or []:
        wanted = Requirement(text)
        if not _is_extra(wanted) and wanted.marker and not wanted.marker.evaluate():
            continue
        finding = _package(wanted, pins.pop(_plain(wanted.name), None))
        (good if finding.ok else findings).append(finding)
    others = _others(pins)
    summary = f"{len(good)} of {len(good) + len(findings)} are as wanted"
    where = f"compared with {lock}" if lock else f"no {LOCK} to compare with"
    return [Finding("packages", True, f"{summary}; {where}"), *findings, *others]


def _is_extra(wanted: Requirement) -> bool:
    return "extra ==" in str(wanted.marker or "")


def _package(wanted: Requirement, pin: str | None) -> Finding:
    """Judge one requirement; those of the extras (build, test, dev) are optional."""
    extra = _is_extra(wanted)
    found = _installed(wanted.name)
    remedy = f"run `pip install {wanted.name}=={pin}`" if pin else INSTALL
    if found is None or not wanted.specifier.contains(found, prereleases=True):
        detail = f"{found or 'missing'}; {wanted.specifier or 'any version'} wanted"
        return Finding(wanted.name, False, detail, remedy, extra)
    if pin and Version(found).public != Version(pin).public:
        return Finding(wanted.name, False, f"{found}; the lock has {pin}", remedy, optional=True)
    return Finding(wanted.name, True, found)


def _others(pins: dict[str, str]) -> list[Finding]:
    """Compare what the requirements bring along; a difference there is worth one line."""
    found = {name: _installed(name) for name in pins}
    changed = [
        f"{name} {version} (lock: {pins[name]})"
        for name, version in sorted(found.items())
        if version and Version(version).public != Version(pins[name]).public
    ]
    if not changed:
        return []
    more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
    detail = f"not as in the lock: {', '.join(changed[:5])}{more}"
    return [Finding("other packages", False, detail, INSTALL, optional=True)]


def _torch() -> list[Finding]:
    try:
        out = subprocess.run(
            [sys.executable, "-c", TORCH_PROGRAM],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TORCH_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        detail = f"importing it took more than {TORCH_TIMEOUT_S} s"
        return [Finding("torch", False, detail, "try again; the disk may be slow")]
    said = [json.loads(line) for line in out.stdout.splitlines() if line.startswith(("{", '"'))]
    reason = (out.stderr.strip().splitlines() or [f"it ended with code {out.returncode}"])[-1]
    if not said:
        return [Finding("torch", False, f"torch fails: {reason}", INSTALL)]
    torch = said[0]
    if len(said) < 2:
        detail = f"torch {torch['version']} works, but not together with the others: {reason}"
        remedy = (
            "torch and torchvision must come from the same build (a CPU-only torch needs its own "
            f"torchvision): {INSTALL}"
        )
        return [_device(torch), Finding("torch stack", False, detail, remedy)]
    detail = f"torch {torch['version']}, torchvision {said[1]} and facenet-pytorch work together"
    return [_device(torch), Finding("torch stack", True, detail)]


def _device(torch: dict) -> Finding:
    if torch["device"]:
        return Finding("device", True, f"CUDA {torch['cuda']}: {torch['device']}")
    detail = f"CPU, {torch['threads']} threads"
    if shutil.which("nvidia-smi") is None:
        return Finding("device", True, f"{detail}; no NVIDIA GPU found")
    why = "its driver is too old or not loaded" if torch["cuda"] else "torch is built without CUDA"
    remedy = f"update the driver for CUDA {torch['cuda']}" if torch["cuda"] else INSTALL
    return Finding("device", False, f"{detail}; nvidia-smi is here, but {why}", remedy, True)


def _assets() -> list[Finding]:
    findings = []
    for row in assets.listing():
        detail = row["path"] if row["state"] == "ready" else f"{row['state']}: {row['path']}"
        remedy = f"run `facelab assets fetch {row['name']}`"
        findings.append(Finding(row["name"], row["state"] == "ready", detail, remedy))
    return findings


def _room() -> list[Finding]:
    findings = []
    places = {"disk: cache": assets.cache_dir(), "disk: here": Path.cwd()}
    for name, folder in places.items():
        existing = next(place for place in (folder, *folder.parents) if place.exists())
        free = shutil.disk_usage(existing).free
        detail = f"{free / 1e9:.1f} GB free for {folder}"
        remedy = f"free {(ROOM_BYTES - free) / 1e9:.1f} GB"
        if name == "disk: cache":
            remedy += ", or let FACELAB_CACHE name a folder on another disk"
        findings.append(Finding(name, free >= ROOM_BYTES, detail, remedy))
    return findings


def _kernel() -> list[Finding]:
    """The chapters name the kernel `python3`: Jupyter must start this very interpreter for it."""
    remedy = f"run `{sys.executable} -m ipykernel install --sys-prefix --name python3`"
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError as error:
        return [Finding("kernel", False, f"Jupyter can't be imported ({error})", INSTALL)]
    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return [Finding("kernel", False, "there is no kernel called python3", remedy)]
    program = spec.argv[0]
    # Jupyter itself puts this interpreter for a bare name.
    if program in ("python", "python3", f"python3.{sys.version_info[1]}"):
        program = sys.executable
    same = os.path.normcase(program) == os.path.normcase(sys.executable) or (
        Path(program).exists() and Path(program).parent.samefile(Path(sys.executable).parent)
    )
    return [Finding("kernel", same, f"python3 runs {program}", remedy)]


def _browser() -> list[Finding]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    detail = found or "no Chromium: the tests of the rendered pages are skipped"
    remedy = "install Chromium (Debian: `apt install chromium`)"
    return [Finding("browser", found is not None, detail, remedy, optional=True)]
