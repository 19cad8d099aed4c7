"""Landlock: this process gives up all files but some, for good, with all that it starts.

The kernel does the refusing (Linux 5.13 or later). Where it lets a user have a network and a view
of the disk of their own, these are taken too: no network, and nothing but the workspace can be
changed in any way, which Landlock alone doesn't see to (modes and times of files). Imports nothing
but the standard library: launch.py runs it by its path.
"""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from contextlib import suppress

MOUNT_SETATTR, CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 442, 444, 445, 446  # system calls
VERSION = 1  # the flag that asks for it
PATH_BENEATH = 1
PR_SET_NO_NEW_PRIVS = 38

# Rights to a file, then those to what is in a folder; later kernels know more of them.
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
ALL = (1 << 13) - 1
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
SINCE = {2: REFER, 3: TRUNCATE, 5: IOCTL_DEV}
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
TCP = 0b11  # bind and connect, since version 4
ABSTRACT_SOCKETS_AND_SIGNALS = 0b11  # to processes outside, since version 6

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
READ_ONLY = 1
NOBODY = 65534
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """Return the kernel's version of Landlock; 0 without one."""
    return max(0, _libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION))


def confine(workspace: str, readable: Iterable[str]) -> bool:
    """Confine this process; return whether it has users, a network and mounts of its own.

    Raises `OSError` when the kernel has no Landlock.
    """
    known = version()
    if not known:
        raise OSError("no Landlock in this kernel")
    alone = _leave(workspace)
    rights = ALL
    for since, right in SINCE.items():
        rights |= right if known >= since else 0
    words = [rights]
    if known >= 4:
        words.append(TCP)
    if known >= 6:
        words.append(ABSTRACT_SOCKETS_AND_SIGNALS)
    attributes = struct.pack(f"={len(words)}Q", *words)
    rules = _call(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    _allow(rules, workspace, rights)
    for path in (*readable, "/proc"):
        _allow(rules, path, EXECUTE | READ_FILE | READ_DIR)
    for path in DEVICES:
        _allow(rules, path, rights & (READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV))
    if _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    _call(RESTRICT_SELF, rules, 0)
    os.close(rules)
    return alone


def _call(number: int, *arguments: object) -> int:
    result = _libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}")
    return result


def _allow(rules: int, path: str, rights: int) -> None:
    """Add a rule for a path, and all below it; one that isn't there needs none."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= OF_FILES
        rule = struct.pack("=Qi", rights, place)
        _call(ADD_RULE, rules, PATH_BENEATH, rule, 0)
    finally:
        os.close(place)


def _leave(workspace: str) -> bool:
    """Take users, a network and mounts of this process's own; return whether that was allowed."""
    user, group = os.getuid(), os.getgid()
    if _libc.unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS):
        return False
    maps = {"setgroups": "deny", "uid_map": f"{NOBODY} {user} 1", "gid_map": f"{NOBODY} {group} 1"}
    for name, text in maps.items():
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
    with suppress(OSError):  # Landlock's own rules hold without it
        _mount(None, "/", MS_REC | MS_PRIVATE)
        _mount(workspace, workspace, MS_BIND)
        _set_mount("/", struct.pack("=4Q", READ_ONLY, 0, 0, 0), AT_RECURSIVE)
        _set_mount(workspace, struct.pack("=4Q", 0, READ_ONLY, 0, 0), 0)
    os.chdir(workspace)  # as it is mounted now
    return True


def _mount(source: str | None, target: str, flags: int) -> None:
    source = source and os.fsencode(source)
    if _libc.mount(source, os.fsencode(target), None, ctypes.c_ulong(flags), None):
        raise OSError(ctypes.get_errno(), f"mounting {target}")


def _set_mount(target: str, attributes: bytes, flags: int) -> None:
    path = os.fsencode(target)
    _call(MOUNT_SETATTR, AT_FDCWD, path, flags, attributes, ctypes.c_size_t(len(attributes)))
