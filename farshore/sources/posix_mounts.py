"""What a directory is mounted as: facts that tell an unmounted volume from an empty one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(rb"\\([0-7]{3})")


def is_mount_point(fd: int) -> bool:
    """Return whether the open directory is the root of a mounted file system."""
    here = os.fstat(fd)
    try:
        above = os.stat("..", dir_fd=fd)
    except OSError:  # it may be listed and not passed
        return False
    return here.st_dev != above.st_dev or here.st_ino == above.st_ino


def file_system_type(path: bytes) -> str:
    """Return the type of the file system that holds the absolute `path`; empty where the system does not tell."""
    try:
        lines = _MOUNTS.read_bytes().splitlines()
    except OSError:
        return ""
    return find_type(lines, path)


def find_type(lines: Iterable[bytes], path: bytes) -> str:
    """Return the type that lines of mountinfo give for `path`: of its innermost mount, the last one mounted there."""
    found, length = "", -1
    for line in lines:
        fields = line.split(b" ")
        if b"-" not in fields[6:] or len(fields) < 9:
            continue
        point = _ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), fields[4]).rstrip(b"/")
        if len(point) >= length and (path + b"/").startswith(point + b"/"):
            found, length = fields[fields.index(b"-", 6) + 1].decode("ascii", "replace"), len(point)
    return found
