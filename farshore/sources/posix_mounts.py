"""Mounts as a directory source needs them: by which mount a file was opened, and which mounts are below a path."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from farshore.handles import Handle
from farshore.host_resources import check_host
from farshore.mountinfo import Mount, read_mounts

_MOUNT_ID = re.compile(rb"^mnt_id:\s*(\d+)$", re.MULTILINE)
_PATH_FLAGS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


def mount_id(fd: int) -> int | None:
    """Return the number of the mount that an open file was reached by; None where the system has none.

    Unlike the device, it differs between a bind mount and the rest of the same file system.
    """
    try:
        facts = Path(f"/proc/self/fdinfo/{fd}").read_bytes()
    except OSError as error:
        check_host(error, reading=True)
        return None
    found = _MOUNT_ID.search(facts)
    return int(found[1]) if found else None


def mount_of(fd: int) -> tuple[str, str]:
    """Return the type and the source of the mount that an open file was reached by; empty where they are not known."""
    own = mount_id(fd)
    return ("", "") if own is None else find_mount(_known_mounts(), own)


def find_mount(mounts: Iterable[Mount], number: int) -> tuple[str, str]:
    """Return the type and the source of the mount of a number; empty where there is none."""
    return next(((one.kind, one.source) for one in mounts if one.number == number and one.kind), ("", ""))


def mounted_below(root: int) -> frozenset[bytes]:
    """Return the mount points below an open directory, relative to it.

    Mounts inside such a mount are not among them, nor those that another mount hides.
    """
    own = mount_id(root)
    try:
        top = os.fsencode(os.readlink(f"/proc/self/fd/{root}"))
    except OSError as error:
        check_host(error, reading=True)
        return frozenset()
    return frozenset() if own is None else frozenset(_below(top, (one for one in _known_mounts() if one.parent == own)))


def is_mount_point(fd: int) -> bool:
    """Return whether something is mounted at the open directory."""
    here = os.fstat(fd)
    try:
        above = Handle(os.open("..", _PATH_FLAGS, dir_fd=fd))
        status = os.fstat(above.fd)
    except OSError as error:  # it may be listed and not passed
        check_host(error, reading=True)
        return False
    if here.st_dev != status.st_dev or here.st_ino == status.st_ino:
        return True
    return mount_id(fd) != mount_id(above.fd)


def file_system_type(path: bytes) -> str:
    """Return the type of the file system that holds the absolute `path`; empty where it is not known."""
    return find_type(_known_mounts(), path)


def find_type(mounts: Iterable[Mount], path: bytes) -> str:
    """Return the type of the mount that holds `path`: the innermost, the last one mounted there."""
    found, length = "", -1
    for one in mounts:
        point = one.point.rstrip(b"/")
        if one.kind and len(point) >= length and (path + b"/").startswith(point + b"/"):
            found, length = one.kind, len(point)
    return found


def mounts_below(path: bytes) -> list[bytes]:
    """Return the mount points below the absolute `path`, bind mounts too, relative to it; none where none is known."""
    return sorted(set(_below(path, _known_mounts())))


def _below(path: bytes, mounts: Iterable[Mount]) -> Iterator[bytes]:
    above = path.rstrip(b"/") + b"/"
    return (one.point[len(above) :] for one in mounts if one.point.startswith(above) and one.point != above)


def _known_mounts() -> list[Mount]:
    try:
        return read_mounts()
    except OSError as error:
        check_host(error, reading=True)
        return []
