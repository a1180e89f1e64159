"""Metadata of directories that waits for the end of a restore, in order, and comes back in reverse.

A record is a fixed head, the path, and pairs of extended attributes. Memory holds eight bytes a directory and a bounded
buffer; the rest lies in an unnamed file at the target.
"""

from __future__ import annotations

import struct
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path

from farshore import limits
from farshore.model import Entry, EntryKind

_HEAD = struct.Struct("<IqqqII")  # mode, uid, gid, mtime_ns, bytes of path, number of attributes
_PAIR = struct.Struct("<II")  # bytes of name, bytes of value


class DirectorySpool:
    """Entries of directories, kept aside. One thread.

    Args:
        place: A directory on the disk to use once memory is full.
    """

    def __init__(self, *, place: Path) -> None:
        self._file = tempfile.SpooledTemporaryFile(limits.SPOOL_MEMORY_BYTES, dir=str(place))  # noqa: SIM115 - see close
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
        record = b"".join(parts)
        self._file.write(record)
        self._ends.append(self._ends[-1] + len(record))

    def reverse(self) -> Iterator[Entry]:
        """Yield what was kept, the last first."""
        for number in range(len(self._ends) - 2, -1, -1):
            self._file.seek(self._ends[number])
            yield _decode(self._file.read(self._ends[number + 1] - self._ends[number]))

    def close(self) -> None:
        """Forget everything. Safe to repeat."""
        self._file.close()


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
