"""Whether a directory is empty enough to restore into. The one thing it may hold is what `mkfs` left there."""

from __future__ import annotations

import os
import stat

from farshore.handles import DIRECTORY_FLAGS

LOST_AND_FOUND = b"lost+found"


def find_occupant(fd: int) -> bytes | None:
    """Return the name of something in an open directory, or None where it is empty.

    An empty `lost+found` of root at the top of a mounted file system does not count: fsck uses it, and every fresh ext
    file system has one.

    Raises:
        OSError: The directory cannot be read.
    """
    with os.scandir(fd) as inside:
        for entry in inside:
            name = os.fsencode(entry.name)
            if name != LOST_AND_FOUND or not _is_of_mkfs(fd):
                return name
    return None


def _is_of_mkfs(above: int) -> bool:
    here = os.fstat(above)
    try:
        parent = os.stat("..", dir_fd=above)
        if here.st_dev == parent.st_dev and here.st_ino != parent.st_ino:
            return False  # not the top of a file system
        found = os.stat(LOST_AND_FOUND, dir_fd=above, follow_symlinks=False)
    except OSError:
        return False
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_dev != here.st_dev:
        return False
    try:
        fd = os.open(LOST_AND_FOUND, DIRECTORY_FLAGS, dir_fd=above)
    except PermissionError:
        return True  # closed to all but root, as mkfs makes it: nothing of ours can get in
    except OSError:
        return False
    try:
        with os.scandir(fd) as inside:
            return next(inside, None) is None
    finally:
        os.close(fd)
