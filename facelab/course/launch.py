"""The first program in a sandbox: `python -I -S launch.py SPEC COMMAND...`.

It confines itself as SPEC says and becomes COMMAND. SPEC is JSON: `isolation`, `workspace`,
`readable` (files and folders), `limits` by the name of their RLIMIT, `starter` (the process that
started it). A SPEC of `starter` alone confines nothing: all ends when that process does. Run by
its path, without facelab and without site-packages, as it has to be quick.
"""

import ctypes
import json
import os
import resource
import runpy
import signal
import sys
from contextlib import suppress

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
STOPPED = 128  # a shell's way to tell that a signal ended a process


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _children() -> list[int]:
    """Return this process's own children: all that is left of the sandbox ends up among them."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError), open(f"/proc/{name}/stat", encoding="latin-1") as file:
            if file.read().rpartition(")")[2].split()[1] == str(os.getpid()):
                found.append(int(name))
    return found


def _end_all() -> None:
    while found := _children():
        for pid in found:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(-1, 0)


def _keep(starter: int) -> None:
    """Fork: the child goes on; the parent outlives it and leaves nothing of it behind.

    Processes whose parents ended become the keeper's. It ends them all when the command ends, and
    when the process that started the sandbox is gone.
    """
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    command = os.fork()
    if command == 0:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        return

    def end(*_: object) -> None:
        _end_all()
        os._exit(STOPPED + signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != starter:  # it was gone before that
        end()
    for descriptor in (0, 1, 2):
        os.close(descriptor)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == command:
            _end_all()
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else STOPPED - code)


def _limit(limits: dict[str, int]) -> None:
    for name, most in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with suppress(ValueError, OSError):  # macOS has some of them in name only
            resource.setrlimit(kind, (most, most))


def main() -> None:
    """Confine this process and become the command."""
    spec, command = json.loads(sys.argv[1]), sys.argv[2:]
    if "isolation" not in spec:
        _keep(spec["starter"])
        os.execv(command[0], command)
    limits, own_users = dict(spec["limits"]), spec["isolation"] == "bubblewrap"
    if spec["isolation"] != "bubblewrap" and sys.platform == "linux":
        _keep(spec["starter"])
    os.chdir(spec["workspace"])
    if spec["isolation"] == "landlock":
        beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "landlock.py")
        confine = runpy.run_path(beside)["confine"]
        own_users = confine(spec["workspace"], spec["readable"])
    if not own_users:  # the kernel would count all processes of whoever runs this
        del limits["NPROC"]
    _limit(limits)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
