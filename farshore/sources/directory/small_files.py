"""The common small file of a tree, read in seven system calls: settled long ago, without a hole, as it was listed.

Every other file is left to `content.py`, which finds out what it is and reports it.
"""

from __future__ import annotations

import os

from farshore.handles import DirectoryHandles
from farshore.model import Entry, EntryKind, ProblemCode
from farshore.sources.directory.metadata import FILE_FLAGS, MetadataReader, Xattrs

_NO_ATIME = getattr(os, "O_NOATIME", 0)
_SEEK_HOLE = getattr(os, "SEEK_HOLE", None)


class SmallFiles:
    """Reads small files, and the attributes of entries without content. One thread.

    Args:
        handles: Directories below the root of the tree.
        settled_before_ns: A file stamped before this moment shows any later write by a new stamp.
    """

    def __init__(self, *, handles: DirectoryHandles, settled_before_ns: int) -> None:
        self._handles = handles
        self._settled_before_ns = settled_before_ns
        self._metadata = MetadataReader(report=self._note)
        self._plain = True

    def read(self, entry: Entry) -> tuple[bytes, Xattrs] | None:
        """Return content and extended attributes of a file, or None where it needs a closer look.

        Content and attributes belong to `entry`: size, times and inode were the same before the first byte and after
        the last. Never raises.
        """
        if entry.ctime_ns >= self._settled_before_ns or _SEEK_HOLE is None:
            return None
        above, _, name = entry.path.rpartition(b"/")
        try:
            directory = self._handles.get(above)
            fd = os.open(name, FILE_FLAGS | _NO_ATIME, dir_fd=directory.fd)
        except OSError:
            return None
        try:
            return self._read(fd, entry)
        except OSError:
            return None
        finally:
            os.close(fd)

    def attributes(self, entry: Entry) -> Xattrs | None:
        """Return the extended attributes of an entry without content, or None if reading them failed."""
        above, _, name = entry.path.rpartition(b"/")
        if not name:
            return None
        self._plain = True
        try:
            directory = self._handles.get(above)
        except OSError:
            return None
        xattrs = self._metadata.complete(entry, directory, name, page_globs=(False, False)).xattrs
        return xattrs if self._plain else None

    def _read(self, fd: int, entry: Entry) -> tuple[bytes, Xattrs] | None:
        if not _is_as_listed(os.fstat(fd), entry):
            return None
        size = entry.size
        if size and os.lseek(fd, 0, _SEEK_HOLE) != size:  # type: ignore[arg-type]  # `read` has asked
            return None
        data = os.pread(fd, size + 1, 0)  # there is more than it claims where a program makes it up
        self._plain = True
        xattrs = self._metadata.xattrs(fd, entry.path, entry.device)
        if len(data) != size or not self._plain or not _is_as_listed(os.fstat(fd), entry):
            return None
        return data, xattrs

    def _note(self, path: bytes, code: ProblemCode, message: str) -> None:
        self._plain = False


def _is_as_listed(status: os.stat_result, entry: Entry) -> bool:
    """Whether the open file is the listed one, unchanged: any change leaves another ctime."""
    return (
        status.st_ctime_ns == entry.ctime_ns
        and status.st_ino == entry.inode
        and status.st_size == entry.size
        and status.st_mtime_ns == entry.mtime_ns
        and status.st_dev == entry.device
        and entry.kind is EntryKind.FILE
    )
