"""Sets of 32-byte ids as sorted arrays: 32 bytes an id, so that a million packs cost a prune little memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore.format.footers import PACK_ID_DTYPE

ID_BYTES = PACK_ID_DTYPE.itemsize
_ADDED_MAX = 1 << 18  # ids that wait to be sorted in: 8 MiB
Table = npt.NDArray[Any]


class IdSet:
    """Ids, each once; sorted in when enough were added, or when somebody asks. For one thread."""

    def __init__(self, ids: Iterable[bytes] = ()) -> None:
        self._sorted: Table = np.zeros(0, PACK_ID_DTYPE)
        self._added = bytearray(b"".join(ids))

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, one: bytes) -> bool:
        return bool(self.among(np.frombuffer(one, PACK_ID_DTYPE))[0])

    def __iter__(self) -> Iterator[bytes]:
        for at in range(len(self.ids)):
            yield self._sorted[at].tobytes()

    def add(self, ids: bytes) -> None:
        """Add one id, or several end to end."""
        self._added += ids
        if len(self._added) > _ADDED_MAX * ID_BYTES:
            self._sort_in()

    @property
    def ids(self) -> Table:
        """All ids as a sorted `V32` array. Not to be changed."""
        if self._added:
            self._sort_in()
        return self._sorted

    def find(self, wanted: Table) -> Table:
        """Return the place of each of these ids in `ids`; of one that is not there, the length of it."""
        ids = self.ids
        at = np.searchsorted(ids, wanted)
        if len(ids):
            at[ids[np.minimum(at, len(ids) - 1)] != wanted] = len(ids)
        return at

    def among(self, wanted: Table) -> Table:
        """Return for each of these ids whether it is in the set."""
        found: Table = self.find(wanted) < len(self.ids)
        return found

    def _sort_in(self) -> None:
        both = np.concatenate((self._sorted, np.frombuffer(bytes(self._added), PACK_ID_DTYPE)))
        self._added = bytearray()
        both.sort()
        first = np.ones(len(both), dtype=bool)
        first[1:] = both[1:] != both[:-1]
        self._sorted = both[first] if not first.all() else both
