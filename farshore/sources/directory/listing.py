"""Names that a walking process found, as columns: unchanged entries never become Python objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore.errors import Bug
from farshore.sources.base import Item
from farshore.sources.directory.walk import is_below
from farshore.sources.directory.walking_protocol import ATTRIBUTES_HASH_BYTES, COUNT, RECORD
from farshore.sources.posix_status import KnownStatus

# As `RECORD` has it. Inodes and devices are signed here, as a manifest has them.
_DTYPE = np.dtype(
    [(name, "<u4") for name in ("mode", "uid", "gid", "attributes")]
    + [(name, "<i8") for name in ("links", "size", "mtime_ns", "ctime_ns", "inode", "device", "rdev")]
    + [(name, "<u4") for name in ("path_bytes", "target_bytes")]
)
MakeItem = Callable[[bytes, KnownStatus, bytes], Item]


class PosixListing:
    """Implements `Listing`; without `make_item` it has names and no items."""

    def __init__(self, body: bytes, make_item: MakeItem | None = None) -> None:
        (self.count,) = COUNT.unpack_from(body)
        end = COUNT.size + self.count * RECORD.size
        self._body = body
        self._make_item = make_item
        self.records: npt.NDArray[Any] = np.frombuffer(body, _DTYPE, self.count, COUNT.size)
        self.path_ends = _ends(self.records["path_bytes"])
        self._target_ends = _ends(self.records["target_bytes"])
        self._targets_at = end + int(self.path_ends[-1])
        self.paths: npt.NDArray[np.uint8] = np.frombuffer(body, np.uint8, int(self.path_ends[-1]), end)
        self._paths_at = end
        if self._targets_at + int(self._target_ends[-1]) != len(body):
            raise Bug("a walking process sent names that do not add up")

    def path(self, at: int) -> bytes:
        return self._body[self._paths_at + int(self.path_ends[at]) : self._paths_at + int(self.path_ends[at + 1])]

    def target(self, at: int) -> bytes:
        target = self._target(at)
        return target[:-ATTRIBUTES_HASH_BYTES] if self.records["attributes"][at] else target

    def attributes(self, at: int) -> bytes:
        """Return the hash of an entry's extended attributes; empty where it has none, or nobody looked."""
        return self._target(at)[-ATTRIBUTES_HASH_BYTES:] if self.records["attributes"][at] else b""

    def status(self, at: int) -> KnownStatus:
        """Return the status of an entry."""
        *status, _, _ = RECORD.unpack_from(self._body, COUNT.size + at * RECORD.size)
        return KnownStatus(*status)

    def without(self, directory: bytes) -> PosixListing:
        """Return a listing without the entries below a directory."""
        keep = [at for at in range(self.count) if not is_below(self.path(at), directory)]
        size = RECORD.size
        records = [self._body[COUNT.size + at * size : COUNT.size + (at + 1) * size] for at in keep]
        parts = (*records, *map(self.path, keep), *map(self._target, keep))
        return PosixListing(COUNT.pack(len(keep)) + b"".join(parts), self._make_item)

    def item(self, at: int) -> Item:
        if self._make_item is None:
            raise Bug("a listing without items was asked for one")
        return self._make_item(self.path(at), self.status(at), self.target(at))

    def _target(self, at: int) -> bytes:
        """Return the target of an entry, with the hash of its attributes after it if it has any."""
        start, end = int(self._target_ends[at]), int(self._target_ends[at + 1])
        return self._body[self._targets_at + start : self._targets_at + end]


def _ends(lengths: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return the offset at which each of some adjacent values begins, and where the last one ends."""
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)))
