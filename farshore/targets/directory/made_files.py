"""Files of a restore between making and settling: more may wait for bytes than can be open.

A file that closed meanwhile is opened again by its name, and only the very file that was made is written to: where
another user may write in its directory, the name may be another's by then.
"""

from __future__ import annotations

import errno
import os
import stat

from farshore.errors import Bug
from farshore.handles import Handle, HandleCache
from farshore.model import Entry
from farshore.targets.directory.posix_tree import FILE_FLAGS, TargetTree, shown

_AGAIN_FLAGS = FILE_FLAGS | os.O_NONBLOCK  # which no file minds, and without which a FIFO would wait for a reader


class MadeFiles:
    """Files that were made and not settled. Safe from any thread."""

    def __init__(self, *, tree: TargetTree, open_max: int) -> None:
        self._tree = tree
        self._open = HandleCache(open_max=open_max)
        self._identities: dict[bytes, tuple[int, int]] = {}  # path -> device, inode

    def put(self, entry: Entry, file: Handle) -> None:
        """Keep a file that was made, open for writing."""
        status = os.fstat(file.fd)
        self._identities[entry.path] = status.st_dev, status.st_ino
        self._open.put(entry.path, file)

    def get(self, entry: Entry) -> Handle:
        """Return a file, open for writing.

        Raises:
            OSError: It cannot be opened any more, or its name is another file's.
        """
        file = self._open.get(entry.path)
        if file is None:
            file = self.open_again(entry)
            self._open.put(entry.path, file)
        return file

    def open_again(self, entry: Entry, flags: int = 0) -> Handle:
        """Open a file once more for writing, with more flags. Raises as `get`."""
        identity = self._identities.get(entry.path)
        above, name = self._tree.locate(entry)
        if above is None or identity is None:
            raise Bug(f"{shown(entry.path)} was written before it was made")
        file = Handle(os.open(self._tree.staged_name(entry, name), _AGAIN_FLAGS | flags, dir_fd=above.fd))
        status = os.fstat(file.fd)
        if (status.st_dev, status.st_ino) != identity or not stat.S_ISREG(status.st_mode):  # numbers are used again
            raise OSError(errno.EPERM, "another file was put in its place meanwhile")
        return file

    def forget(self, entry: Entry) -> None:
        """Forget a file. Safe to repeat."""
        self._identities.pop(entry.path, None)
        self._open.pop(entry.path)

    def clear(self) -> None:
        """Forget every file."""
        self._identities.clear()
        self._open.clear()
