"""Large files, written past the page cache where that can be done.

Restored bytes are not read again soon, and through the cache each is copied once more, pushes out pages that others
use, and waits for the flush at the end. Aligned ranges go to the disk at once; the rest goes the usual way.
"""

from __future__ import annotations

import errno
import os

from farshore import limits
from farshore.handles import Handle, HandleCache
from farshore.model import Entry
from farshore.targets.directory.made_files import MadeFiles

_DIRECT = getattr(os, "O_DIRECT", 0)


class DirectFiles:
    """Files of at least `file_bytes_min`, open for writing past the cache. Safe from any thread."""

    def __init__(self, *, files: MadeFiles, file_bytes_min: int, open_max: int) -> None:
        self._files = files
        self._file_bytes_min = file_bytes_min
        self._open = HandleCache(open_max=open_max)
        self._refused = not _DIRECT

    def write(self, entry: Entry, offset: int, data: bytes | memoryview) -> int:
        """Write the leading bytes that can bypass the cache; return how many those were, often none.

        Raises:
            OSError: The disk is full, or fails.
        """
        if self._refused or entry.size < self._file_bytes_min:
            return 0
        if offset % limits.DIRECT_ALIGNED_BYTES or len(data) % limits.DIRECT_ALIGNED_BYTES or not len(data):
            return 0
        try:
            handle = self._handle(entry)  # held while it is written: another thread may put its own in the cache
            return os.pwrite(handle.fd, data, offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return 0  # of memory or a file system that cannot

    def close(self, entry: Entry) -> None:
        """Close one file. Safe to repeat."""
        self._open.pop(entry.path)

    def clear(self) -> None:
        """Close every file."""
        self._open.clear()

    def _handle(self, entry: Entry) -> Handle:
        handle = self._open.get(entry.path)
        if handle is None:
            try:
                handle = self._files.open_again(entry, _DIRECT)
            except OSError as error:
                self._refused = self._refused or error.errno == errno.EINVAL
                raise
            self._open.put(entry.path, handle)
        return handle
