"""Places whole small files, many at a time: shared by a restore and its writing processes.

A plain file needs six system calls: made with its mode, written, checked with fstat, given its time, closed. Where the
check shows a difference (an owner, a mode cut by a mask), and for files with more metadata (attributes, setuid),
`MetadataWriter` sets the rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from blake3 import blake3

from farshore.handles import Handle
from farshore.model import Problem, ProblemCode
from farshore.targets.base import Placed, SmallFile
from farshore.targets.directory.posix_files import write_all
from farshore.targets.directory.posix_metadata import PLAIN_TIMES_NS, MetadataWriter
from farshore.targets.directory.posix_tree import FILE_FLAGS, NO_NAMES, TargetTree

WRONG_CONTENT = "its content does not hash to what the manifest says"
_MAKE_FLAGS = FILE_FLAGS | os.O_CREAT | os.O_EXCL
_MODE_BITS = 0o7777
_PLAIN_MODES = range(0o1000)


class FilePlacer:
    """Places whole files below one root. One thread."""

    def __init__(self, *, tree: TargetTree, metadata: MetadataWriter) -> None:
        self._tree = tree
        self._metadata = metadata
        self._owner = (os.geteuid(), os.getegid())
        self._above_path = b""  # files of the root itself are not placed the quick way, so this stands for none
        self._above: Handle | None = None

    def place(self, files: Iterable[SmallFile], data: memoryview) -> Placed:
        """Make, write and settle files, each after its content was hashed.

        Raises:
            TargetFailed: The target is full or cannot be written; the message names the path.
            ObjectCorrupt: No backup can have made a path.
        """
        placed = Placed()
        start = 0
        for file in files:
            end = start + file.size
            content = data[start:end]
            start = end
            placed.files += 1
            if len(content) != file.size or blake3(content).digest() != file.content_hash:
                placed.lost.append(Problem(file.path, ProblemCode.LOST, WRONG_CONTENT))
                continue
            placed.bytes_written += file.size
            if self._tree.token or not self._place_plain(file, content):
                self._place(file, content)
        self._tree.flush()
        return placed

    def _place_plain(self, file: SmallFile, content: memoryview) -> bool:
        """Place a file with nothing special to it; return whether it was one."""
        path, mode, uid, gid, mtime_ns, xattrs, size, _ = file
        above_path, _, name = path.rpartition(b"/")
        if above_path != self._above_path and not self._enter(file, above_path):
            return False
        above = self._above
        plain = (uid, gid) == self._owner and mode in _PLAIN_MODES and mtime_ns in PLAIN_TIMES_NS and not xattrs
        if above is None or not plain or name in NO_NAMES or b"\x00" in path:
            return False
        try:
            handle = Handle(os.open(name, _MAKE_FLAGS, mode, dir_fd=above.fd))
        except OSError as error:
            self._tree.refuse(file.entry(), error)
            return True
        try:
            if size:
                write_all(handle, 0, content)
            status = os.fstat(handle.fd)
            if (status.st_uid, status.st_gid, status.st_mode & _MODE_BITS) != (uid, gid, mode):
                self._metadata.apply(file.entry(), handle)
            elif not _stamp(handle, mtime_ns):
                self._metadata.apply(file.entry(), handle)  # which says why
            handle.close()
        except OSError as error:
            raise self._tree.failed(file.entry(), error) from error
        return True

    def _enter(self, file: SmallFile, above_path: bytes) -> bool:
        """Find the directory of the files that follow; return whether files can be placed there the quick way."""
        self._above_path, self._above = b"", None
        if not above_path:  # the root may be open to others while files are not yet theirs
            return False
        self._above, _ = self._tree.locate(file.entry())
        if self._above is not None:
            self._above_path = above_path
        return self._above is not None

    def _place(self, file: SmallFile, content: memoryview) -> None:
        entry = file.entry()
        above, name = self._tree.locate(entry)
        handle = None if above is None else self._tree.make_file(entry, above, name, sized=False)
        if handle is None:
            return
        try:
            write_all(handle, 0, content)
            self._metadata.apply(entry, handle)
            handle.close()
            self._tree.commit(entry)
        except OSError as error:
            raise self._tree.failed(entry, error) from error


def _stamp(handle: Handle, mtime_ns: int) -> bool:
    """Set the times of a file; return whether that could be done."""
    try:
        os.utime(handle.fd, ns=(mtime_ns, mtime_ns))
    except OSError:
        return False
    return True
