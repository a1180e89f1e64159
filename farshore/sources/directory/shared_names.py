"""Files with several names: the first name a walk finds is the file, the others are hard links to it."""

from __future__ import annotations

import stat

from farshore.model import EntryKind
from farshore.sources.posix_status import Status


class SharedNames:
    """The first name of each file that has several, until all of them were seen. Names are in manifest order."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, int], tuple[bytes, int, tuple[int, int, int]]] = {}

    def resolve(self, path: bytes, kind: EntryKind, status: Status, target: bytes) -> tuple[EntryKind, bytes]:
        """Return kind and target of one of several names: a hard link where its file had a name before."""
        first = self._first_name(status, path)
        return (kind, target) if first is None else (EntryKind.HARDLINK, first)

    def _first_name(self, status: Status, path: bytes) -> bytes | None:
        key = status.st_dev, status.st_ino
        sort = stat.S_IFMT(status.st_mode), status.st_size, status.st_mtime_ns
        known = self._first.get(key)
        # An inode number may pass to a new file while we walk. Then the two differ here, and each is kept by itself.
        if known is None or known[2] != sort:
            self._first[key] = path, status.st_nlink - 1, sort
            return None
        if known[1] == 1:
            del self._first[key]
        else:
            self._first[key] = known[0], known[1] - 1, sort
        return known[0]
