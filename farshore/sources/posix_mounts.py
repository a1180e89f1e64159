"""What a directory is mounted as: facts that tell an unmounted volume from an empty one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from farshore.handles import Handle
from farshore.host_limits import check_host

_MOUNTS = Path("/proc/self/mountinfo")
_MOUNT_ID = re.compile(rb"^mnt_id:\s*(\d+)$", re.MULTILINE)
_PATH_FLAGS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
_ESCAPED = re.compile(rb"\\([0-7]{3})")


def mount_id(fd: int) -> int | None:
    """Return which mount an open file was reached by; None where the system does not tell.

    Unlike the device, it tells a bind mount from the rest of the same file system.
    """
    try:
        facts = Path(f"/proc/self/fdinfo/{fd}").read_bytes()
    except OSError as error:
        check_host(error, reading=True)
        return None
    found = _MOUNT_ID.search(facts)
    return int(found[1]) if found else None


def mount_of(fd: int) -> tuple[str, str]:
    """Return the type and the source of the mount that an open file was reached by; empty where nobody tells."""
    own = mount_id(fd)
    try:
        lines = _MOUNTS.read_bytes().splitlines()
    except OSError as error:
        check_host(error, reading=True)
        return "", ""
    return ("", "") if own is None else find_mount(lines, own)


def find_mount(lines: Iterable[bytes], mount: int) -> tuple[str, str]:
    """Return the type and the source that lines of mountinfo give for a mount."""
    wanted = b"%d" % mount
    for line in lines:
        fields = line.split(b" ")
        if fields[0] == wanted and b"-" in fields[6:]:
            kind, source = fields[fields.index(b"-", 6) + 1 :][:2]
            return kind.decode("ascii", "replace"), os.fsdecode(_path(source))
    return "", ""


def mounted_below(root: int) -> frozenset[bytes]:
    """Return the paths below an open directory, seen from there, at which something is mounted.

    What is mounted inside such a mount is not among them, nor what another mount hides.
    """
    own = mount_id(root)
    try:
        top = os.fsencode(os.readlink(f"/proc/self/fd/{root}")).rstrip(b"/") + b"/"
        lines = _MOUNTS.read_bytes().splitlines()
    except OSError as error:
        check_host(error, reading=True)
        return frozenset()
    return frozenset() if own is None else find_mounted(lines, top, own)


def find_mounted(lines: Iterable[bytes], top: bytes, mount: int) -> frozenset[bytes]:
    """Return the mount points that lines of mountinfo have on `mount` and below `top`, which ends in a slash."""
    wanted = b"%d" % mount
    rows = (line.split(b" ", 5) for line in lines)
    points = (_path(row[4]) for row in rows if len(row) > 5 and row[1] == wanted)
    return frozenset(point[len(top) :] for point in points if point.startswith(top) and point != top)


def _path(field: bytes) -> bytes:
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), field)


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
    """Return the type of the file system that holds the absolute `path`; empty where the system does not tell."""
    try:
        lines = _MOUNTS.read_bytes().splitlines()
    except OSError as error:
        check_host(error, reading=True)
        return ""
    return find_type(lines, path)


def find_type(lines: Iterable[bytes], path: bytes) -> str:
    """Return the type that lines of mountinfo give for `path`: of its innermost mount, the last one mounted there."""
    found, length = "", -1
    for line in lines:
        fields = line.split(b" ")
        if b"-" not in fields[6:] or len(fields) < 9:
            continue
        point = _path(fields[4]).rstrip(b"/")
        if len(point) >= length and (path + b"/").startswith(point + b"/"):
            found, length = fields[fields.index(b"-", 6) + 1].decode("ascii", "replace"), len(point)
    return found


def mounts_below(path: bytes) -> list[bytes]:
    """Return what is mounted below the absolute `path`, bind mounts too, relative to it; none where nobody tells."""
    try:
        lines = _MOUNTS.read_bytes().splitlines()
    except OSError:
        return []
    points = {_ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), line.split(b" ")[4]) for line in lines}
    above = path.rstrip(b"/") + b"/"
    return sorted(point[len(above) :] for point in points if point.startswith(above) and point != above)
