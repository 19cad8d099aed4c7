"""Where submissions run: isolation by bubblewrap, by Landlock, or by a guard in Python.

A sandboxed process can read Python, the facelab package, the book's records, the cache of assets
and the system's libraries. It can write to its workspace alone, a folder that is thrown away, where
its home and its temporary files are. It has no network and none of our environment's variables.
"""

import functools
import json
import os
import re
import shutil
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import filelock
import psutil

import facelab
from facelab.assets.cache import cache_dir
from facelab.course.limits import Limits, Watch
from facelab.errors import BookError

PACKAGE = Path(facelab.__file__).resolve().parent
LAUNCH = Path(__file__).resolve().with_name("launch.py")
SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store", "/gnu/store")
SETTINGS = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/localtime",
    "/etc/mime.types",
    "/sys/devices/system",
)
LINKS = ".path"  # in the workspace: what is imported from there
FONTS = "matplotlib"  # in the cache of assets
INLINE = "module://matplotlib_inline.backend_inline"
TRIAL_S = 30.0
# How many processes a sandbox consists of, above the command's and without the one that is started.
ABOVE = {"bubblewrap": 2, "landlock": 0, "guard": 0}


class Isolation(StrEnum):
    """What keeps a submission from the rest of the machine."""

    BUBBLEWRAP = "bubblewrap"
    LANDLOCK = "landlock"
    GUARD = "guard"


REMEDIES = {
    "bubblewrap": "install it (`apt install bubblewrap`) and allow user namespaces",
    "landlock": "use Linux 5.13 or later with Landlock switched on",
    "guard": "see that Python can write to the folder for temporary files",
}


@functools.cache
def choose(asked: str = "auto") -> Isolation:
    """Return the isolation that was asked for, or the best that works here for `auto`.

    Each is tried. Raises `BookError` for one that isn't there, or doesn't work.
    """
    if asked == "auto":
        return next((each for each in Isolation if not trouble(each)), Isolation.GUARD)
    if asked not in [*Isolation]:
        names = ", ".join(["auto", *Isolation])
        raise BookError(f"isolation: expected one of {names}, got {asked!r}")
    if why := trouble(asked):
        raise BookError(
            f"{asked} doesn't work here ({why}); {REMEDIES[asked]}, or choose another isolation"
        )
    return Isolation(asked)


@functools.cache
def trouble(isolation: str) -> str:
    """Run nothing in a sandbox and return what went wrong; empty when it worked."""
    if isolation == Isolation.BUBBLEWRAP and not shutil.which("bwrap"):
        return "the program bwrap isn't there"
    if isolation == Isolation.LANDLOCK and sys.platform != "linux":
        return "this isn't Linux"
    workspace = Path(tempfile.mkdtemp(prefix="facelab-"))
    command = [sys.executable, "-I", "-S", "-c", "pass"]
    process = start(command, workspace, isolation, Limits(), stderr=subprocess.PIPE, watched=False)
    try:
        _, told = process.communicate(timeout=TRIAL_S)
    except subprocess.TimeoutExpired:
        process.kill()
        told = b"no end"
    finally:
        remove(workspace)
    last = (told.decode(errors="replace").strip().splitlines() or ["it ended at once"])[-1]
    return last if process.returncode else ""


def start(
    command: list[str],
    workspace: Path,
    isolation: str,
    limits: Limits,
    *,
    hidden: Iterable[Path] = (),
    threads: int | None = None,
    stderr: int | Any = subprocess.DEVNULL,
    watched: bool = True,
) -> subprocess.Popen:
    """Start a command in a sandbox, in `workspace`, with binary pipes for its input and output.

    `hidden` folders must not be readable there, nor the book's chapters: raises `BookError` when
    they lie in one that is. `threads` is for numerical libraries. `watched`: all is killed when a
    limit of memory, disk or processes is passed; otherwise that is the caller's to see to, with
    `watch`. Everything is killed as well when the thread that started it ends.
    """
    workspace = workspace.resolve()
    places = readable()
    for folder in (*hidden, PACKAGE.parent / "chapters"):
        _require_unreadable(folder.resolve(), places)
    _furnish(workspace, isolation, places)
    spec = {
        "isolation": str(isolation),
        "workspace": str(workspace),
        "readable": [str(place) for place in places],
        "limits": limits.of_a_process(),
        "starter": os.getpid(),
    }
    python = [sys.executable, "-I", "-S", str(LAUNCH)]
    inner = [*python, json.dumps(spec), *command]
    if isolation == Isolation.BUBBLEWRAP:
        # bwrap ties itself to its parent late: a starter that was killed before would leave it.
        kept = [*python, json.dumps({"starter": os.getpid()})]
        inner = [*kept, *_bubblewrap(workspace, places, limits), "--", *inner]
    process = subprocess.Popen(
        inner,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=_environment(workspace, threads),
        cwd=workspace,
        start_new_session=True,  # a Ctrl-C is ours to pass on
    )
    if watched:
        watch(process, workspace, isolation, limits).follow()
    return process


def watch(process: subprocess.Popen, workspace: Path, isolation: str, limits: Limits) -> Watch:
    """Return the eye on a sandbox that was started."""
    above = ABOVE[isolation] + (sys.platform == "linux")
    return Watch(psutil.Process(process.pid), workspace.resolve(), limits, spared=above)


def readable() -> list[Path]:
    """Return the files and folders that may be read, as they are named and as they really lie."""
    named = [Path(place) for place in (*SYSTEM, *SETTINGS, sys.prefix, sys.base_prefix)]
    if site.ENABLE_USER_SITE:
        named.append(Path(site.getusersitepackages()))
    link = Path(sys.executable)
    while link.is_symlink():  # an environment may name its Python by way of several others
        link = link.parent / link.readlink()
        named.append(link.parent.parent)
    named += [PACKAGE, PACKAGE.parent / "records", cache_dir()]
    found: dict[Path, None] = {}
    for place in named:
        if place.exists() and place != Path("/"):
            found |= {Path(os.path.abspath(place)): None, place.resolve(): None}
    return list(found)


def _require_unreadable(folder: Path, places: Iterable[Path]) -> None:
    for place in places:
        if folder.exists() and folder.is_relative_to(place):
            raise BookError(
                f"{folder} lies in {place}, which every submission may read; move it elsewhere, or "
                "use a Python environment in a folder of its own"
            )


def _furnish(workspace: Path, isolation: str, places: Iterable[Path]) -> None:
    """Make the folders and links that a sandboxed process expects in its workspace."""
    for name in ("home", "tmp", "runtime", "ipython", "matplotlib", "runs", LINKS):
        (workspace / name).mkdir(parents=True, exist_ok=True)
    links = workspace / LINKS
    _link(links / "facelab", PACKAGE)
    for folder in (links, workspace):
        _link(folder / "records", PACKAGE.parent / "records")
    _describe_book(workspace / "book.toml")
    _mirror(cache_dir(), workspace / "cache")
    for known in (cache_dir() / FONTS).glob("fontlist*.json"):
        shutil.copyfile(known, workspace / "matplotlib" / known.name)
    if isolation == Isolation.GUARD:
        guard = str(PACKAGE / "course" / "guard.py")
        paths = [str(place) for place in places]
        text = "import runpy\n\n"
        text += f"runpy.run_path({guard!r})['install']({str(workspace)!r}, {paths!r})\n"
        (links / "sitecustomize.py").write_text(text, encoding="utf-8")


def prepare_fonts() -> None:
    """Have matplotlib look for fonts once for all sandboxes, as that takes seconds."""
    folder = cache_dir() / FONTS
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / "facelab.lock"):
        if not any(folder.glob("fontlist*.json")):
            command = [sys.executable, "-c", "import matplotlib.font_manager"]
            variables = dict(os.environ) | {"MPLCONFIGDIR": str(folder)}
            subprocess.run(command, env=variables, check=False, capture_output=True)


def _describe_book(copy: Path) -> None:
    """Give the sandbox a book.toml, by which records are found, without what questions expect."""
    ours = PACKAGE.parent / "book.toml"
    text = ours.read_text(encoding="utf-8") if ours.is_file() else ""
    copy.write_text(re.sub(r"(?m)^value *=.*$", 'value = "0"', text), encoding="utf-8")


def _link(link: Path, target: Path) -> None:
    if target.exists() and not link.is_symlink():
        link.symlink_to(target)


def _mirror(cache: Path, mirror: Path) -> None:
    """Make a cache whose files are links to ours: locks and new files stay in the workspace.

    The sums that are known of files hold for the links, once they are written with their names.
    """
    mirror.mkdir(exist_ok=True)
    for place in sorted(cache.glob("*/*")):
        mine = mirror / place.relative_to(cache)
        mine.parent.mkdir(exist_ok=True)
        if place.name.endswith(".sums.json"):
            known = place.read_text(encoding="utf-8").replace(str(cache), str(mirror))
            mine.write_text(known, encoding="utf-8")
        elif not place.name.endswith(".lock") and not place.name.startswith("."):
            _link(mine, place)


def _environment(workspace: Path, threads: int | None) -> dict[str, str]:
    """Return the variables of a sandboxed process: these, and none of ours."""
    folders = {
        "HOME": "home",
        "TMPDIR": "tmp",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
        "MPLCONFIGDIR": "matplotlib",
        "FACELAB_RUNS": "runs",
        "FACELAB_CACHE": "cache",
        "PYTHONPATH": LINKS,
    }
    variables = {name: str(workspace / folder) for name, folder in folders.items()}
    programs = [str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]
    variables |= {
        "PATH": os.pathsep.join(programs),
        "LANG": "C.UTF-8",
        "USER": "student",
        "LOGNAME": "student",
        "MPLBACKEND": INLINE,
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if site.ENABLE_USER_SITE:
        variables["PYTHONUSERBASE"] = site.getuserbase()
    return variables | _numbers_of_threads(os.environ, threads)


def _numbers_of_threads(outer: Mapping[str, str], threads: int | None) -> dict[str, str]:
    asked = outer.get("OMP_NUM_THREADS", "")
    known = [int(asked)] if asked.isdigit() else []
    known += [threads] if threads is not None else []
    return {"OMP_NUM_THREADS": str(min(known))} if known else {}


def _bubblewrap(workspace: Path, places: Iterable[Path], limits: Limits) -> list[str]:
    """Return bubblewrap's command, to which the one to run is to be added."""
    own = ("--unshare-user", "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL")
    size = str(int(limits.disk_mb * 1e6))
    return [
        *(shutil.which("bwrap") or "bwrap", "--die-with-parent", "--new-session"),
        *("--unshare-all", *own, "--hostname", "facelab"),
        *("--proc", "/proc", "--dev", "/dev"),
        *("--size", size, "--tmpfs", "/dev/shm", "--bind", str(workspace / "tmp"), "/tmp"),
        *_bound(places),
        *("--bind", str(workspace), str(workspace)),
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", str(workspace)),
    ]


def _bound(places: Iterable[Path]) -> Iterator[str]:
    for place in sorted(places):
        if place.is_symlink() and place.parent == Path("/"):
            yield from ("--symlink", str(place.readlink()), str(place))  # /lib is usr/lib
        else:
            yield from ("--ro-bind", str(place), str(place))


def remove(workspace: Path) -> None:
    """Remove a workspace, whatever a submission made of it."""
    try:
        shutil.rmtree(workspace)
    except FileNotFoundError:
        return
    except (OSError, RecursionError):  # unreadable folders, or deeper ones than Python goes
        for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            subprocess.run([*command, "--", str(workspace)], check=False, capture_output=True)
