"""Whether one place of this machine is inside another, however it is reached: by symlinks, by bind mounts."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from farshore.model import dataclass
from farshore.mountinfo import Mount, read_mounts


@dataclass(frozen=True, slots=True)
class Location:
    """A place by its path without symlinks, and by where that is on its file system.

    `path_there` is seen from the root of the file system, so it is the same wherever that, or a part of it, is mounted.
    """

    path: bytes
    file_system: bytes  # its device number as text; empty where the system has none
    path_there: bytes

    def is_inside(self, other: Location) -> bool:
        """Return whether this place is the other one, or below it."""
        if _is_below(self.path, other.path):
            return True
        known = self.file_system and self.file_system == other.file_system
        return bool(known) and _is_below(self.path_there, other.path_there)


def locate(path: Path) -> Location:
    """Return where a path leads; the end of it need not exist yet."""
    real = os.path.realpath(os.fsencode(path))
    try:
        mounts = read_mounts()
    except OSError:
        return Location(real, b"", real)
    return place_on_mounts(mounts, real)


def place_on_mounts(mounts: Iterable[Mount], path: bytes) -> Location:
    """Return the location of an absolute path without symlinks: in its innermost, last mount."""
    length, found = -1, Location(path, b"", path)
    for one in mounts:
        root, point = one.root.rstrip(b"/"), one.point.rstrip(b"/")
        if len(point) >= length and _is_below(path, point):
            length = len(point)
            found = Location(path, one.device, (root + path[len(point) :]).rstrip(b"/"))
    return found


def _is_below(path: bytes, other: bytes) -> bool:
    return (path.rstrip(b"/") + b"/").startswith(other.rstrip(b"/") + b"/")
