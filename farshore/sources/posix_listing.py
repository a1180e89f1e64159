"""Names that a walking process found, as columns: what is as it was never becomes a Python object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore.errors import Bug
from farshore.sources.base import Item
from farshore.sources.posix_status import KnownStatus
from farshore.sources.posix_walk import is_below
from farshore.sources.posix_walk_orders import COUNT, RECORD

# As `RECORD` has it. Inodes and devices are signed here, as a manifest has them.
_DTYPE = np.dtype(
    [(name, "<u4") for name in ("mode", "uid", "gid", "nothing")]
    + [(name, "<i8") for name in ("links", "size", "mtime_ns", "ctime_ns", "inode", "device", "rdev")]
    + [(name, "<u4") for name in ("path_bytes", "target_bytes")]
)
MakeItem = Callable[[bytes, KnownStatus, bytes], Item]


class PosixListing:
    """Implements `Listing`."""

    def __init__(self, body: bytes, make_item: MakeItem) -> None:
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
            raise Bug("a walking process told names that do not add up")

    def path(self, at: int) -> bytes:
        return self._body[self._paths_at + int(self.path_ends[at]) : self._paths_at + int(self.path_ends[at + 1])]

    def target(self, at: int) -> bytes:
        start, end = int(self._target_ends[at]), int(self._target_ends[at + 1])
        return self._body[self._targets_at + start : self._targets_at + end]

    def without(self, directory: bytes) -> PosixListing:
        """Return a listing without what lies below a directory."""
        keep = [at for at in range(self.count) if not is_below(self.path(at), directory)]
        size = RECORD.size
        records = [self._body[COUNT.size + at * size : COUNT.size + (at + 1) * size] for at in keep]
        parts = (*records, *map(self.path, keep), *map(self.target, keep))
        return PosixListing(COUNT.pack(len(keep)) + b"".join(parts), self._make_item)

    def item(self, at: int) -> Item:
        *status, _, _ = RECORD.unpack_from(self._body, COUNT.size + at * RECORD.size)
        return self._make_item(self.path(at), KnownStatus(*status), self.target(at))


def _ends(lengths: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return where each of some values that stand end to end begins, and where the last one ends."""
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)))
