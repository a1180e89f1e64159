"""Metadata of directories that waits for the end of a restore, written in order, read back in reverse.

A record is a fixed head, the path, and pairs of extended attributes. Memory holds eight bytes a directory and a bounded
buffer; the rest is in an unnamed file at the target.
"""

from __future__ import annotations

import os
import struct
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path

from farshore import limits
from farshore.handles import Handle
from farshore.model import Entry, EntryKind
from farshore.targets.directory.posix_files import write_all

_HEAD = struct.Struct("<IqqqII")  # mode, uid, gid, mtime_ns, bytes of path, number of attributes
_PAIR = struct.Struct("<II")  # bytes of name, bytes of value


class DirectorySpool:
    """Entries of directories, kept aside. One thread.

    Args:
        place: A directory on the disk to use once memory is full.
        memory_bytes: That entries may have in memory.
    """

    def __init__(self, *, place: Path, memory_bytes: int = limits.SPOOL_MEMORY_BYTES) -> None:
        self._memory_bytes = memory_bytes
        self._place = place
        self._file = Handle(-1)
        self._file_bytes = 0
        self._memory = bytearray()
        self._ends = array("Q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, entry: Entry) -> None:
        """Keep one entry.

        Raises:
            OSError: There is no space for it.
        """
        parts = [_HEAD.pack(entry.mode, entry.uid, entry.gid, entry.mtime_ns, len(entry.path), len(entry.xattrs))]
        parts.append(entry.path)
        for name, value in entry.xattrs:
            parts += (_PAIR.pack(len(name), len(value)), name, value)
        self._memory += b"".join(parts)
        self._ends.append(self._file_bytes + len(self._memory))
        if len(self._memory) > self._memory_bytes:
            self._flush()

    def reverse(self) -> Iterator[Entry]:
        """Yield the kept entries, the last first."""
        for number in range(len(self) - 1, -1, -1):
            start, end = self._ends[number], self._ends[number + 1]
            if start >= self._file_bytes:
                yield _decode(bytes(self._memory[start - self._file_bytes : end - self._file_bytes]))
            else:
                yield _decode(os.pread(self._file.fd, end - start, start))

    def close(self) -> None:
        """Forget everything. Safe to repeat."""
        self._memory.clear()
        self._file.close()

    def _flush(self) -> None:
        if self._file.fd < 0:
            with tempfile.TemporaryFile(dir=self._place) as file:
                self._file = Handle(os.dup(file.fileno()))
        write_all(self._file, self._file_bytes, bytes(self._memory))
        self._file_bytes += len(self._memory)
        self._memory.clear()


def _decode(record: bytes) -> Entry:
    mode, uid, gid, mtime_ns, path_bytes, count = _HEAD.unpack_from(record)
    at = _HEAD.size + path_bytes
    path = record[_HEAD.size : at]
    xattrs = []
    for _ in range(count):
        name_bytes, value_bytes = _PAIR.unpack_from(record, at)
        at += _PAIR.size
        xattrs.append((record[at : at + name_bytes], record[at + name_bytes : at + name_bytes + value_bytes]))
        at += name_bytes + value_bytes
    return Entry(path, EntryKind.DIRECTORY, mode, uid, gid, mtime_ns=mtime_ns, xattrs=tuple(xattrs))
