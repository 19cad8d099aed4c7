"""The guard: Python itself refuses what a submission should not do.

An audit hook sees files being opened or changed, addresses and other programs. It stops mistakes,
and not somebody who means harm: code outside Python never asks it. Each Python process in the
sandbox installs it as it starts (sandbox.py sees to that). Imports nothing but the standard
library.
"""

import errno
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
SYSTEM = ("/proc", "/dev", "/sys")
DEVICES = ("/dev/null", "/dev/tty", "/dev/zero", "/dev/full")
# Which of an event's arguments are paths that it changes, or reads.
CHANGES = {
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.rmdir": (0,),
    "os.mkdir": (0,),
    "os.link": (0, 1),
    "os.symlink": (1,),
    "os.chmod": (0,),
    "os.chown": (0,),
    "os.chflags": (0,),
    "os.truncate": (0,),
    "os.utime": (0,),
    "os.setxattr": (0,),
}
READS = {"os.listdir": (0,), "os.scandir": (0,), "os.getxattr": (0,)}
NETWORK = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg")
NAMES = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
PROGRAMS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "pty.spawn")


def install(workspace: str, readable: Iterable[str]) -> None:
    """Refuse from now on what isn't for the workspace; can't be undone."""
    sys.addaudithook(hook(workspace, readable))


def hook(workspace: str, readable: Iterable[str]) -> Callable[[str, tuple], None]:
    """Return the audit hook for a workspace and what may be read besides."""
    own = (os.path.realpath(workspace),)
    known = (*own, *map(os.path.realpath, readable), *SYSTEM)

    def inside(path: Any, folders: tuple[str, ...]) -> bool:
        if path is None or isinstance(path, int):
            return True  # the folder we are in, or what was opened before
        real = os.path.realpath(os.fsdecode(path))
        return any(real == folder or real.startswith(folder + os.sep) for folder in folders)

    def changed(path: Any) -> None:
        if not inside(path, own) and path not in DEVICES:
            raise refused(f"{path!r} is outside the folder that may be written to")

    def read(path: Any) -> None:
        if not inside(path, known):
            raise refused(f"{path!r} may not be read here")

    def check(event: str, values: tuple) -> None:
        if event == "open":
            path, _, flags = values
            (changed if isinstance(flags, int) and flags & WRITING else read)(path)
        elif event in CHANGES:
            for place in CHANGES[event]:
                changed(values[place])
        elif event in READS:
            read(values[0])
        elif event in NETWORK:
            if not isinstance(values[1], str | bytes):
                raise refused("there is no network here")
            changed(values[1])
        elif event in NAMES:
            raise refused("there is no network here")
        elif event in PROGRAMS or (event == "subprocess.Popen" and not _ours(values)):
            raise refused("no program but Python may be started here")

    return check


def refused(why: str) -> PermissionError:
    """Return the error that a submission sees, an `OSError` as from a system that refuses."""
    return PermissionError(errno.EACCES, why)


def _ours(values: tuple) -> bool:
    """Tell whether a process that is to start is this Python, with this guard in it."""
    program, arguments = values[0], values[1]
    if program is None:
        program = arguments if isinstance(arguments, str | bytes) else arguments[0]
    flags = {"-I", "-E", "-S", "-s", "-P"}
    listed = [] if isinstance(arguments, str | bytes) else [os.fsdecode(one) for one in arguments]
    return os.path.realpath(os.fsdecode(program)) == os.path.realpath(sys.executable) and not (
        flags & set(listed[1:2])
    )
